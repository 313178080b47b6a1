from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from vigil.deribit.wire import Unreadable

PERPETUAL = {
    "instrument_name": "BTC-PERPETUAL",
    "kind": "future",
    "instrument_type": "reversed",
    "base_currency": "BTC",
    "quote_currency": "USD",
    "settlement_currency": "BTC",
    "contract_size": 10,
    "min_trade_amount": 10,
    "tick_size": 0.5,
}


def public(scripted: Any, **answers: Any) -> Any:
    reader = scripted()
    reader.answers = {f"public/{name}": answer for name, answer in answers.items()}
    return reader


async def test_what_an_instrument_list_leaves_out_is_told(scripted: Any) -> None:
    reader = public(scripted, get_instruments=[PERPETUAL, PERPETUAL | {"kind": "prediction"}])
    with capture_logs() as logs:
        (instrument,) = await reader.instruments("BTC", is_expired=True)
    assert instrument.instrument_name == "BTC-PERPETUAL"
    assert logs[0]["event"] == "instruments.left_out"
    assert reader.asked == [("public/get_instruments", {"currency": "BTC", "expired": True})]


async def test_an_answer_about_another_instrument_is_no_answer(scripted: Any) -> None:
    ticker = {"instrument_name": "B", "timestamp": 1, "mark_price": 1, "index_price": 1}
    book = {"instrument_name": "B", "timestamp": 1, "change_id": 1, "bids": [], "asks": []}
    reader = public(
        scripted,
        get_instrument=PERPETUAL | {"instrument_name": "B"},
        ticker=ticker,
        get_order_book=book,
    )
    for question in (
        reader.instrument("A"),
        reader.ticker("A"),
        reader.order_book("A", depth=5),
    ):
        with pytest.raises(Unreadable, match="told of B"):
            await question
    assert (await reader.order_book("B", depth=5)).is_whole is False


# --- deliveries: the one answer that says how many there are


def deliveries(dates: list[str], total: int) -> dict[str, Any]:
    rows = [{"date": date, "delivery_price": 1.5} for date in dates]
    return {"data": rows, "records_total": total}


async def test_deliveries_are_read_until_their_total(scripted: Any, turns: Any) -> None:
    reader = public(
        scripted,
        get_delivery_prices=turns([deliveries(["c", "b"], 3), deliveries(["a"], 3)]),
    )
    prices = await reader.delivery_prices("btc_usd")
    assert [price.date for price in prices] == ["c", "b", "a"]
    assert [params["offset"] for _, params in reader.asked] == [0, 2]


@pytest.mark.parametrize(
    "pages",
    [
        pytest.param([deliveries([], 3)], id="none of three"),
        pytest.param([deliveries(["a", "b"], 1)], id="more than there are"),
        pytest.param([deliveries(["a"], 3), deliveries(["a"], 3)], id="the same again"),
        pytest.param([{"data": []}], id="no total"),
    ],
)
async def test_deliveries_that_miss_their_total_are_no_answer(
    scripted: Any, turns: Any, pages: list[Any]
) -> None:
    reader = public(scripted, get_delivery_prices=turns(pages))
    with pytest.raises(Unreadable):
        await reader.delivery_prices("btc_usd")


# --- trades of anybody


def trade(seq: int, **changes: Any) -> dict[str, Any]:
    return {
        "trade_id": f"t{seq}",
        "trade_seq": seq,
        "instrument_name": "A",
        "timestamp": 100,
        "direction": "buy",
        "price": 1,
        "amount": 1,
    } | changes


async def test_trades_are_paged_by_their_number(scripted: Any, turns: Any) -> None:
    reader = public(
        scripted,
        get_last_trades_by_instrument=turns(
            [
                {"trades": [trade(1), trade(2)], "has_more": True},
                {"trades": [trade(2), trade(3)], "has_more": False},
            ]
        ),
    )
    trades = await reader.public_trades("A", 100, 100)
    assert [one.trade_seq for one in trades] == [1, 2, 3]
    assert reader.asked[1][1]["start_seq"] == 2


@pytest.mark.parametrize(
    "page",
    [
        pytest.param({"trades": [], "has_more": True}, id="empty, and there is more"),
        pytest.param({"trades": [trade(1)]}, id="does not say whether there is more"),
        pytest.param({"trades": [trade(1, instrument_name="B")], "has_more": False}, id="other"),
        pytest.param({"trades": [trade(1, timestamp=99)], "has_more": False}, id="early"),
        pytest.param({"trades": [trade(1)], "has_more": True}, id="does not move on"),
    ],
)
async def test_pages_of_trades_that_do_not_add_up_are_no_answer(scripted: Any, page: Any) -> None:
    reader = public(scripted, get_last_trades_by_instrument=page)
    with pytest.raises(Unreadable):
        await reader.public_trades("A", 100, 101)


# --- funding, index, platform


async def test_funding_is_told_oldest_first_and_once(scripted: Any) -> None:
    def hour(at_ms: int) -> dict[str, Any]:
        return {"timestamp": at_ms, "interest_1h": 1.0e-7, "interest_8h": -2.0e-7}

    reader = public(scripted, get_funding_rate_history=[hour(2), hour(1)], get_funding_rate_value=0)
    rows = await reader.funding_history("BTC-PERPETUAL", 1, 2)
    assert [row.timestamp_ms for row in rows] == [1, 2]
    assert rows[0].interest_8h == Decimal("-0.0000002")
    assert await reader.funding_rate("BTC-PERPETUAL", 1, 2) == 0
    reader.answers["public/get_funding_rate_history"] = [hour(1), hour(1)]
    with pytest.raises(Unreadable, match="twice"):
        await reader.funding_history("BTC-PERPETUAL", 1, 2)


async def test_the_rest_of_the_market(scripted: Any) -> None:
    reader = public(
        scripted,
        get_index_price={"index_price": 92035.22, "estimated_delivery_price": 0},
        status={"locked": "partial", "locked_indices": ["sol_usd"]},
        get_expirations={"future": ["PERPETUAL"]},
        get_book_summary_by_currency=[{"instrument_name": "A", "creation_timestamp": 1}],
        get_time=1_800_000_000_000,
    )
    index = await reader.index_price("btc_usd")
    assert (index.index_name, index.price) == ("btc_usd", Decimal("92035.22"))
    assert index.estimated_delivery_price is None
    assert (await reader.platform_status()).locked_indices == {"sol_usd"}
    assert await reader.expirations("BTC", "future") == {"future": ("PERPETUAL",)}
    assert (await reader.book_summaries("BTC"))[0].mark_price is None
    assert await reader.server_time_ms() == 1_800_000_000_000
