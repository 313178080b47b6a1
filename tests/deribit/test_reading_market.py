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


# --- the platform, and the rest


async def test_the_rest_of_the_market(scripted: Any) -> None:
    reader = public(
        scripted,
        status={"locked": "partial", "locked_indices": ["sol_usd"]},
        get_expirations={"future": ["PERPETUAL"]},
        get_book_summary_by_currency=[{"instrument_name": "A", "creation_timestamp": 1}],
        get_time=1_800_000_000_000,
    )
    assert (await reader.platform_status()).locked_indices == {"sol_usd"}
    assert await reader.expirations("BTC", "future") == {"future": ("PERPETUAL",)}
    assert (await reader.book_summaries("BTC"))[0].mark_price is None
    assert await reader.server_time_ms() == 1_800_000_000_000
