"""Rows to and from domain values."""

import sqlite3
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from vigil.domain.order import Direction
from vigil.domain.trade import ExitReason, PnlSource, Trade, TradeStatus
from vigil.ledger.rows import UnreadableRow, order_from, order_row, trade_from, trade_row

POSITIVE = st.decimals(
    min_value=Decimal("1e-12"), max_value=Decimal(10**12), places=12, allow_nan=False
)
SIGNED = st.decimals(min_value=-(10**9), max_value=10**9, places=8)
TEXT = st.text(min_size=1, max_size=20).filter(lambda text: "\x00" not in text)


@st.composite
def trades(draw):
    amount = draw(POSITIVE)
    return Trade(
        trade_id=draw(TEXT),
        strategy_name=draw(TEXT),
        instrument_name=draw(st.sampled_from(["BTC-PERPETUAL", "ETH_USDC-PERPETUAL"])),
        side=draw(st.sampled_from(Direction)),
        entry_order_id=draw(TEXT),
        entry_price=draw(POSITIVE),
        amount=amount,
        entry_time_ms=draw(st.integers(0, 2**53)),
        status=draw(st.sampled_from(TradeStatus)),
        open_amount=draw(st.sampled_from([Decimal(0), amount, amount / 2])),
        strategy_id=draw(st.none() | TEXT),
        stop_loss=draw(st.none() | POSITIVE),
        take_profit=draw(st.none() | POSITIVE),
        exit_price=draw(st.none() | POSITIVE),
        exit_time_ms=draw(st.none() | st.integers(0, 2**53)),
        exit_reason=draw(st.none() | st.sampled_from(ExitReason)),
        pnl=draw(st.none() | SIGNED),
        pnl_source=draw(st.none() | st.sampled_from(PnlSource)),
        fees=draw(SIGNED),
        funding=draw(SIGNED),
    )


@given(trade=trades())
def test_a_trade_written_to_the_file_reads_back_exactly(trade, world):
    from vigil.ledger.queries import sql

    world.execute("BEGIN")
    row = trade_row(trade) | {"closed_by": None, "idempotency_key": None}
    world.execute(sql("trades.put"), row)
    stored = world.execute(sql("trades.load"), {"trade_id": trade.trade_id}).fetchone()
    world.execute("ROLLBACK")
    assert trade_from(stored[2:]) == trade


@given(amount=POSITIVE, price=st.none() | POSITIVE, trigger_price=st.none() | POSITIVE)
def test_an_order_written_to_the_file_reads_back_exactly(amount, price, trigger_price, world, make):
    from vigil.ledger import intents

    order = make.entry(amount=amount, price=price, trigger_price=trigger_price)
    world.execute("BEGIN")
    intents.insert(world, [order])
    stored = intents.load(world, order.label)
    world.execute("ROLLBACK")
    assert stored == order


def test_order_row_and_its_columns_agree(make):
    order = replace(make.stop(), order_id="X", reason="why", heard_ms=7)
    assert order_from((*order_row(order), 7)) == order


GOOD = (
    "t1", "Razor", "BTC_USDC-PERPETUAL", "buy", "test", "95000", "0.01", 1_732_200_000_000, "open",
    None, None, "94500", "95500", None, None, None, None, None, "0", "0",
)  # fmt: skip


@pytest.mark.parametrize(
    ("position", "value", "column"),
    [
        (3, "long", "side"),
        (5, "abc", "entry_price"),
        (5, "-1", "entry_price"),
        (5, "NaN", "entry_price"),
        (6, "0", "amount"),
        (6, "Infinity", "amount"),
        (8, "half", "status"),
        (9, "0.02", "open_amount"),
        (9, "x", "open_amount"),
        (11, "", "stop_loss"),
        (12, "1.2.3", "take_profit"),
        (13, "NaN", "exit_price"),
        (15, "bored", "exit_reason"),
        (16, "sNaN", "pnl"),
        (17, "guess", "pnl_source"),
        (18, "free", "fees"),
        (19, "free", "funding"),
    ],
)
def test_a_row_that_is_no_trade_names_its_column_and_value(position, value, column):
    row = (*GOOD[:position], value, *GOOD[position + 1 :])
    problem = trade_from(row)
    assert isinstance(problem, UnreadableRow)
    assert (problem.trade_id, problem.column) == ("t1", column)
    assert repr(value) in str(problem)


COLUMNS = (
    "id, strategy_name, instrument, side, entry_order_id, entry_price, amount, stop_loss, "
    "take_profit, entry_time, status"
)


@pytest.mark.parametrize(
    ("literal", "exact"),
    [
        ("95000", Decimal(95000)),
        ("95000.0", Decimal(95000)),
        ("0.01", Decimal("0.01")),
        ("'0.010'", Decimal("0.01")),
        ("95000.5", Decimal("95000.5")),
        ("0.00001", Decimal("0.00001")),
        ("'123456789.123456789123456789'", Decimal("123456789.123456789123456789")),
    ],
)
def test_money_inserted_by_hand_is_the_decimal_that_was_typed(literal, exact, world):
    world.execute("BEGIN")
    world.execute(
        f"INSERT INTO trades ({COLUMNS}) VALUES "
        f"('h', 'Razor', 'BTC_USDC-PERPETUAL', 'buy', 'e', {literal}, {literal}, NULL, NULL, 1, 'open')"
    )
    from vigil.ledger.queries import sql

    stored = world.execute(sql("trades.load"), {"trade_id": "h"}).fetchone()
    world.execute("ROLLBACK")
    trade = trade_from(stored[2:])
    assert (trade.entry_price, trade.amount, trade.open_amount) == (exact, exact, exact)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param("'h','R','I','long','e',1,1,NULL,NULL,1,'open'", id="unknown side"),
        pytest.param("'h','R','I','buy','e','abc',1,NULL,NULL,1,'open'", id="price is no number"),
        pytest.param("'h','R','I','buy','e',0,1,NULL,NULL,1,'open'", id="price zero"),
        pytest.param("'h','R','I','buy','e',1,-1,NULL,NULL,1,'open'", id="amount negative"),
        pytest.param("'h','R','I','buy','e',1,'',NULL,NULL,1,'open'", id="amount empty"),
        pytest.param("'h','R','I','buy','e',1,1,'x',NULL,1,'open'", id="stop is no number"),
        pytest.param("'h','R','I','buy','e',1,1,NULL,-5,1,'open'", id="target negative"),
        pytest.param("'h','R','I','buy','e',1,1,NULL,NULL,'noon','open'", id="time is no number"),
        pytest.param("'h','R','I','buy','e',1,1,NULL,NULL,1,'opened'", id="unknown status"),
        pytest.param("'h','R','','buy','e',1,1,NULL,NULL,1,'open'", id="no instrument"),
        pytest.param("'','R','I','buy','e',1,1,NULL,NULL,1,'open'", id="no id"),
        pytest.param("'h','R','I','buy','e','Infinity',1,NULL,NULL,1,'open'", id="infinite price"),
    ],
)
def test_the_file_itself_refuses_a_senseless_row(row, world):
    world.execute("BEGIN")
    with pytest.raises(sqlite3.IntegrityError):
        world.execute(f"INSERT INTO trades ({COLUMNS}) VALUES ({row})")
    world.execute("ROLLBACK")
