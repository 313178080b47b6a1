import asyncio
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigil.deribit.reading import Reader
from vigil.deribit.wire import Unreadable
from vigil.errors import Transient

Make = Callable[..., dict[str, Any]]

HOUR_MS = 3_600_000
NOW_MS = 1_800_000_000_000


class Archive(Reader):
    """Own trades in two stores, paged as the exchange pages them."""

    def __init__(self, recent: list[dict[str, Any]], old: list[dict[str, Any]]) -> None:
        self.stores = {False: recent, True: old}
        self.page_count = 1_000
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}

    def exchange_now_ms(self) -> int:
        return NOW_MS

    async def _ask(self, method: str, params: Mapping[str, Any]) -> msgspec.Raw:
        self.calls.append((method, dict(params)))
        if method in self.answers:
            answer = self.answers[method]
            if isinstance(answer, Exception):
                raise answer
            return msgspec.Raw(msgspec.json.encode(answer))
        trades = self.stores[params["historical"]]
        if "order_id" in params:
            answer = [trade for trade in trades if trade["order_id"] == params["order_id"]]
            return msgspec.Raw(msgspec.json.encode(answer))
        assert params["sorting"] == "asc"
        if "start_id" in params:
            ids = [trade["trade_id"] for trade in trades]
            trades = trades[ids.index(params["start_id"]) :]
        else:
            trades = [t for t in trades if t["timestamp"] >= params["start_timestamp"]]
        trades = [t for t in trades if t["timestamp"] <= params["end_timestamp"]]
        count = min(params["count"], self.page_count)
        page = {"trades": trades[:count], "has_more": len(trades) > count}
        return msgspec.Raw(msgspec.json.encode(page))


def trades(fill_json: Make, times_ms: list[int], first_id: int = 1) -> list[dict[str, Any]]:
    return [
        fill_json(trade_id=f"USDC-{first_id + i}", trade_seq=first_id + i, timestamp=at_ms)
        for i, at_ms in enumerate(times_ms)
    ]


@pytest.mark.parametrize(
    "times_ms",
    [
        pytest.param([NOW_MS - 100 + i for i in range(25)], id="one a millisecond"),
        pytest.param([NOW_MS - 100 + i // 3 for i in range(25)], id="pages split a millisecond"),
        pytest.param([NOW_MS - 100] * 25, id="more than a page in one millisecond"),
        pytest.param([NOW_MS - 100] * 12 + [NOW_MS - 99] * 13, id="two crowded milliseconds"),
        pytest.param([NOW_MS - 100], id="one"),
        pytest.param([], id="none"),
    ],
)
async def test_paging_brings_every_fill_once(fill_json: Make, times_ms: list[int]) -> None:
    archive = Archive(trades(fill_json, times_ms), [])
    archive.page_count = 5
    fills = await archive.fills_since("USDC", NOW_MS - HOUR_MS, NOW_MS)
    assert [fill.trade_seq for fill in fills] == list(range(1, len(times_ms) + 1))


async def test_a_young_window_spares_the_archive(fill_json: Make) -> None:
    archive = Archive([], [])
    await archive.fills_since("USDC", NOW_MS - HOUR_MS, NOW_MS)
    assert [params["historical"] for _, params in archive.calls] == [False]


async def test_an_old_window_joins_the_recent_store_and_the_archive(fill_json: Make) -> None:
    old = trades(fill_json, [NOW_MS - 30 * HOUR_MS, NOW_MS - 24 * HOUR_MS])
    recent = trades(fill_json, [NOW_MS - 24 * HOUR_MS, NOW_MS - HOUR_MS], first_id=2)
    archive = Archive(recent, old)
    fills = await archive.fills_since("USDC", NOW_MS - 48 * HOUR_MS, NOW_MS)
    assert [fill.trade_id for fill in fills] == ["USDC-1", "USDC-2", "USDC-3"]
    assert [params["historical"] for _, params in archive.calls] == [False, True]


@pytest.mark.parametrize(
    "page",
    [
        pytest.param({"trades": [], "has_more": True}, id="empty, yet there is more"),
        pytest.param({"trades": []}, id="does not say whether there is more"),
        pytest.param({"has_more": False}, id="no trades at all"),
    ],
)
async def test_a_page_that_does_not_add_up_discards_the_whole_reading(page: Any) -> None:
    archive = Archive([], [])
    archive.answers["private/get_user_trades_by_currency_and_time"] = page
    with pytest.raises(Unreadable):
        await archive.fills_since("USDC", NOW_MS - HOUR_MS, NOW_MS)


async def test_pages_that_never_end_are_given_up(fill_json: Make) -> None:
    archive = Archive([], [])
    page = {"trades": trades(fill_json, [NOW_MS - 5]), "has_more": True}
    archive.answers["private/get_user_trades_by_currency_and_time"] = page
    archive.answers["private/get_user_trades_by_currency"] = page
    with pytest.raises(Unreadable, match="do not move on"):
        await archive.fills_since("USDC", NOW_MS - HOUR_MS, NOW_MS)


async def test_pages_in_the_wrong_order_are_not_trusted(fill_json: Make) -> None:
    archive = Archive([], [])
    archive.answers["private/get_user_trades_by_currency_and_time"] = {
        "trades": trades(fill_json, [NOW_MS - 5, NOW_MS - 6]),
        "has_more": True,
    }
    with pytest.raises(Unreadable, match="not in order"):
        await archive.fills_since("USDC", NOW_MS - HOUR_MS, NOW_MS)


async def test_a_later_page_that_fails_discards_the_earlier_ones(fill_json: Make) -> None:
    archive = Archive(trades(fill_json, [NOW_MS - 30 * HOUR_MS]), [])

    class Failing(Archive):
        async def _ask(self, method: str, params: Mapping[str, Any]) -> msgspec.Raw:
            if params["historical"]:
                raise Transient("settlement")
            return await archive._ask(method, params)

    with pytest.raises(Transient):
        await Failing([], []).fills_since("USDC", NOW_MS - 48 * HOUR_MS, NOW_MS)


async def test_the_fills_of_an_order_come_from_both_stores_once(fill_json: Make) -> None:
    old = trades(fill_json, [1, 2])
    archive = Archive(trades(fill_json, [2], first_id=2), old)
    fills = await archive.fills_of_order("USDC-1")
    assert [fill.trade_id for fill in fills] == ["USDC-1", "USDC-2"]


async def test_fills_of_another_order_are_not_this_orders(fill_json: Make) -> None:
    archive = Archive([], [])
    archive.answers["private/get_user_trades_by_order"] = [fill_json(order_id="USDC-2")]
    with pytest.raises(Unreadable, match="another order"):
        await archive.fills_of_order("USDC-1")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"timestamp": NOW_MS - 2 * HOUR_MS}, id="before the window"),
        pytest.param({"timestamp": NOW_MS + 1}, id="after the window"),
        pytest.param({"instrument_name": "BTC-PERPETUAL"}, id="another currency"),
        pytest.param({"instrument_name": "ETH_BTC"}, id="spot of other coins"),
    ],
)
async def test_a_fill_that_was_not_asked_for_discards_the_whole_reading(
    fill_json: Make, change: dict[str, Any]
) -> None:
    archive = Archive([], [])
    inside = fill_json(trade_id="USDC-6", timestamp=NOW_MS - 5)
    page = {"trades": [inside, fill_json(timestamp=NOW_MS - 5) | change], "has_more": False}
    archive.answers["private/get_user_trades_by_currency_and_time"] = page
    with pytest.raises(Unreadable, match="not asked for"):
        await archive.fills_since("USDC", NOW_MS - HOUR_MS, NOW_MS)


@pytest.mark.parametrize(
    "name", ["BTC_USDC-PERPETUAL", "SOL_USDC-25DEC26", "BTC_USDC", "USDC_USDT"]
)
async def test_fills_of_a_settlement_currency_and_its_spot_are_its_own(
    fill_json: Make, name: str
) -> None:
    archive = Archive([fill_json(instrument_name=name, timestamp=NOW_MS - 5)], [])
    (fill,) = await archive.fills_since("USDC", NOW_MS - HOUR_MS, NOW_MS)
    assert fill.instrument_name == name


async def test_a_page_that_tells_a_trade_twice_is_not_trusted(fill_json: Make) -> None:
    archive = Archive([], [])
    twice = [fill_json(timestamp=NOW_MS - 5)] * 2
    archive.answers["private/get_user_trades_by_currency_and_time"] = {
        "trades": twice,
        "has_more": False,
    }
    with pytest.raises(Unreadable, match="twice"):
        await archive.fills_since("USDC", NOW_MS - HOUR_MS, NOW_MS)


async def test_two_stores_that_tell_a_trade_differently_are_not_joined(fill_json: Make) -> None:
    at_ms = NOW_MS - 24 * HOUR_MS
    recent = fill_json(timestamp=at_ms)
    archive = Archive([recent], [recent | {"amount": 0.02}])
    with pytest.raises(Unreadable, match="two ways"):
        await archive.fills_since("USDC", at_ms, NOW_MS)
    # What only decorates a trade may be missing in the archive.
    archive = Archive([recent | {"mark_price": 95000}], [recent])
    assert len(await archive.fills_since("USDC", at_ms, NOW_MS)) == 1


@settings(max_examples=100)
@given(
    steps_ms=st.lists(st.sampled_from([0, 0, 0, 1, 50]), max_size=40),
    page_count=st.integers(2, 7),
)
def test_no_way_of_paging_loses_or_repeats_a_fill(steps_ms: list[int], page_count: int) -> None:
    times_ms = [NOW_MS - 10_000 + at_ms for at_ms in itertools.accumulate(steps_ms)]
    archive = Archive(trades(plain_fill, times_ms), [])
    archive.page_count = page_count
    fills = asyncio.run(archive.fills_since("USDC", NOW_MS - HOUR_MS, NOW_MS))
    assert [fill.trade_seq for fill in fills] == list(range(1, len(times_ms) + 1))


def plain_fill(**changes: Any) -> dict[str, Any]:
    return {
        "order_id": "USDC-1",
        "instrument_name": "BTC_USDC-PERPETUAL",
        "direction": "buy",
        "price": 95000.5,
        "amount": 0.01,
        "fee": 0.3325,
        "fee_currency": "USDC",
    } | changes
