from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.deribit.reading_account import _in_sequence
from vigil.deribit.wire import Unreadable
from vigil.domain.account_log import LogEntry

START_MS, END_MS = 1_000, 2_000


def entry(seq: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": 60_000 + seq,
        "user_seq": seq,
        "currency": "BTC",
        "timestamp": START_MS + seq,
        "type": "trade",
        "change": -0.5,
        "balance": 10,
        "side": "open buy",
    } | changes


def position(name: str, size: float, direction: str) -> dict[str, Any]:
    return {"instrument_name": name, "direction": direction, "size": size, "mark_price": 1}


# --- the transaction log


async def test_the_log_is_read_to_its_end_and_told_oldest_first(scripted: Any, turns: Any) -> None:
    reader = scripted(
        get_transaction_log=turns(
            [
                {"logs": [entry(6), entry(5)], "continuation": 5},
                {"logs": [entry(4), entry(3, side="-", info={"a": 1})], "continuation": None},
            ]
        )
    )
    entries = await reader.transaction_log("BTC", START_MS, END_MS)
    assert [one.user_seq for one in entries] == [3, 4, 5, 6]
    assert (entries[0].side, entries[0].info) == ("", '{"a": 1}')
    (_, first), (_, second) = reader.asked
    assert first == {
        "currency": "BTC",
        "start_timestamp": START_MS,
        "end_timestamp": END_MS,
        "count": 250,
    }
    assert second["continuation"] == 5


async def test_a_trade_through_zero_is_two_entries(scripted: Any) -> None:
    close, open_ = entry(1, trade_id="7", side="close buy"), entry(2, trade_id="7")
    reader = scripted(get_transaction_log={"logs": [open_, close], "continuation": None})
    entries = await reader.transaction_log("BTC", START_MS, END_MS)
    assert [one.side for one in entries] == ["close buy", "open buy"]


@pytest.mark.parametrize(
    "pages",
    [
        pytest.param([{"logs": [], "continuation": 5}], id="empty, and there is more"),
        pytest.param([{"continuation": None}], id="no entries at all"),
        pytest.param(
            [{"logs": [entry(6)], "continuation": 5}, {"logs": [entry(6)], "continuation": 4}],
            id="the same page again",
        ),
        pytest.param(
            [
                {"logs": [entry(6)], "continuation": 5},
                {"logs": [entry(4)], "continuation": 5},
            ],
            id="a continuation that stays",
        ),
        pytest.param([{"logs": [entry(6, currency="ETH")], "continuation": None}], id="currency"),
        pytest.param([{"logs": [entry(6, timestamp=END_MS + 1)], "continuation": None}], id="late"),
        pytest.param([{"logs": [entry(6, timestamp=0)], "continuation": None}], id="early"),
        pytest.param([{"logs": [entry(6), entry(6, id=1)], "continuation": None}], id="one place"),
        pytest.param(
            [{"logs": [entry(6), entry(6, change=1)], "continuation": None}], id="contradiction"
        ),
    ],
)
async def test_a_log_that_does_not_add_up_is_no_log(
    scripted: Any, turns: Any, pages: list[Any]
) -> None:
    reader = scripted(get_transaction_log=turns(pages))
    with pytest.raises(Unreadable):
        await reader.transaction_log("BTC", START_MS, END_MS)


@given(st.permutations(range(1, 9)))
def test_entries_are_put_in_the_order_of_their_numbers(order: list[int]) -> None:
    entries = [
        LogEntry(
            entry_id=seq,
            user_seq=seq,
            currency="BTC",
            timestamp_ms=1,
            entry_type="trade",
            change=Decimal(0),
            balance=Decimal(0),
        )
        for seq in order
    ]
    assert [one.user_seq for one in _in_sequence(entries)] == list(range(1, 9))


# --- settlements


async def test_settlements_since_a_moment_are_told_oldest_first(scripted: Any, turns: Any) -> None:
    def row(at_ms: int, kind: str = "settlement") -> dict[str, Any]:
        return {"type": kind, "timestamp": at_ms, "instrument_name": "ETH-PERPETUAL"}

    reader = scripted(
        get_settlement_history_by_currency=turns(
            [
                {"settlements": [row(9), row(8, "delivery")], "continuation": "a"},
                {"settlements": [row(7), row(4)], "continuation": "b"},
                {"settlements": [row(3)], "continuation": "c"},
            ]
        )
    )
    rows = await reader.settlements("ETH", since_ms=4, settlement_type="delivery")
    assert [one.timestamp_ms for one in rows] == [4, 7, 8, 9]
    assert reader.asked[0][1]["type"] == "delivery"
    assert len(reader.asked) == 3


async def test_settlements_of_others_are_no_answer(scripted: Any) -> None:
    page = {
        "settlements": [{"type": "delivery", "timestamp": 5, "instrument_name": "ETH-PERPETUAL"}],
        "continuation": None,
    }
    reader = scripted(get_settlement_history_by_currency=page)
    with pytest.raises(Unreadable):
        await reader.settlements("BTC", since_ms=0)
    (row,) = await reader.settlements("ETH", since_ms=0)
    assert row.settlement_type == "delivery"


# --- positions, cash, margin, locks


async def test_flat_positions_are_left_out(scripted: Any) -> None:
    reader = scripted(get_positions=[position("A", 0.0, "zero"), position("B", -1, "sell")])
    assert [one.instrument_name for one in await reader.positions()] == ["B"]


@pytest.mark.parametrize(
    "listed",
    [
        pytest.param([position("A", 1, "buy"), position("A", 2, "buy")], id="twice"),
        pytest.param([position("A", 1, "zero")], id="a size in no direction"),
        pytest.param([position("A", -1, "buy")], id="long below zero"),
        pytest.param([position("A", 1, "up")], id="a strange direction"),
        pytest.param([{"instrument_name": "A", "direction": "buy"}], id="no size"),
        pytest.param(None, id="null"),
    ],
)
async def test_positions_that_do_not_add_up_are_no_answer(scripted: Any, listed: Any) -> None:
    with pytest.raises(Unreadable):
        await scripted(get_positions=listed).positions()


async def test_one_position_flat_or_not(scripted: Any) -> None:
    reader = scripted(get_position=position("A", 0.0, "zero"))
    assert (await reader.position("A")).size == 0
    with pytest.raises(Unreadable, match="told of A"):
        await reader.position("B")


async def test_one_currency(scripted: Any) -> None:
    figures = ("balance", "equity", "available_funds", "initial_margin", "maintenance_margin")
    answer = {"currency": "BTC", "limits": None} | dict.fromkeys(figures, 1.5)
    reader = scripted(get_account_summary=answer)
    assert (await reader.account_summary("BTC")).equity == Decimal("1.5")
    assert (await reader.account_terms("BTC")).rate_limits == {}
    assert reader.asked[1][1]["extended"] is True
    with pytest.raises(Unreadable, match="told of BTC"):
        await reader.account_summary("ETH")


async def test_locks(scripted: Any) -> None:
    reader = scripted(
        get_user_locks=[
            {"currency": "BTC", "locked": False},
            {"currency": "ETH", "locked": True, "message": "by admin"},
        ]
    )
    assert [(lock.currency, lock.is_locked) for lock in await reader.account_locks()] == [
        ("BTC", False),
        ("ETH", True),
    ]


async def test_whether_orders_die_with_their_connection(scripted: Any) -> None:
    reader = scripted(get_cancel_on_disconnect={"scope": "connection", "enabled": True})
    assert await reader.cancel_on_disconnect()
    with pytest.raises(Unreadable, match="scope"):
        await reader.cancel_on_disconnect("account")
