"""Executions by instrument, time, sequence, id and order."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.domain.order import Direction, OrderType
from vigil.paper.account.orders import OrderState, PaperTrade
from vigil.paper.account.shelf import Window
from vigil.paper.account.trade_records import TradeRange, TradeRecords

LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"
D = Decimal


def trade(number, *, at_ms, name=LINEAR, order_id="o", seq=None):
    return PaperTrade(
        trade_id=f"USDC-{number}",
        number=number,
        trade_seq=seq or number,
        order_id=order_id,
        label="",
        instrument_name=name,
        direction=Direction.BUY,
        amount=D(1),
        price=D(1),
        fee=D(0),
        fee_currency="USDC",
        profit_loss=D(0),
        timestamp_ms=at_ms,
        is_maker=False,
        state=OrderState.FILLED,
        order_type=OrderType.LIMIT,
        mark_price=D(1),
        index_price=D(1),
        tick_direction=0,
        post_only=False,
        reduce_only=False,
    )


def numbers(trades):
    return [item.number for item in trades]


@pytest.fixture
def six():
    """Three a millisecond on one instrument, and two on another."""
    records = TradeRecords()
    for number in range(1, 7):
        records.add(trade(number, at_ms=number // 4, seq=100 + number))
    records.add(trade(3, at_ms=1, name=INVERSE))
    records.add(trade(4, at_ms=1, name=INVERSE))
    return records


def test_both_directions_and_several_instruments_are_in_time(six):
    names = [LINEAR, INVERSE]
    rising = list(six.select(names, TradeRange(window=Window()), is_ascending=True))
    falling = list(six.select(names, TradeRange(window=Window()), is_ascending=False))
    assert numbers(rising) == [1, 2, 3, 3, 4, 4, 5, 6]
    assert falling == rising[::-1] or numbers(falling) == numbers(rising)[::-1]
    assert numbers(six.everything()) == [1, 2, 3, 4, 5, 6, 3, 4]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param({"first_number": 3, "last_number": 5}, [3, 4, 5], id="ids, inclusive"),
        pytest.param({"first_seq": 102, "last_seq": 104}, [2, 3, 4], id="sequence, inclusive"),
        pytest.param({"window": Window(start_ms=1, end_ms=1)}, [4, 5, 6], id="time, inclusive"),
        pytest.param({"first_seq": 103, "window": Window(end_ms=0)}, [3], id="both"),
        pytest.param({"first_number": 6, "last_number": 5}, [], id="nothing between"),
    ],
)
def test_bounds_hold(six, wanted, expected):
    wanted = TradeRange(**{"window": Window(), **wanted})
    assert numbers(six.select([LINEAR], wanted, is_ascending=True)) == expected


def test_the_oldest_executions_are_dropped_from_every_index():
    records = TradeRecords(length_max=10)
    for number in range(30):
        name = INVERSE if number % 3 else LINEAR
        dropped = records.add(trade(number, at_ms=number, name=name, order_id=f"o{number}"))
        for old in dropped:
            assert records.of_order(old.order_id) == []
        kept = records.everything()
        assert len(kept) <= 11
        found = records.select([LINEAR, INVERSE], TradeRange(window=Window()), is_ascending=True)
        assert list(found) == kept
    assert numbers(records.of_order("o29")) == [29]


def test_an_order_keeps_its_later_executions_when_its_oldest_are_dropped():
    records = TradeRecords(length_max=10)
    for number in range(12):
        records.add(trade(number, at_ms=number, order_id="long"))
    assert numbers(records.of_order("long")) == numbers(records.everything())


def test_an_execution_after_the_clock_went_back_is_found_by_its_own_time():
    records = TradeRecords()
    records.add(trade(1, at_ms=5_000))
    records.add(trade(2, at_ms=1_000))
    wanted = TradeRange(window=Window(start_ms=500, end_ms=1_500))
    for is_ascending in (True, False):
        assert numbers(records.select([LINEAR], wanted, is_ascending=is_ascending)) == [2]


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(0, 40), st.integers(1, 7))
def test_paging_by_id_meets_every_execution_once(gaps, start, size):
    records, at_ms = TradeRecords(), 0
    for number, gap in enumerate(gaps):
        at_ms += gap
        records.add(trade(number, at_ms=at_ms))
    seen, first = [], min(start, len(gaps))
    while True:
        wanted = TradeRange(window=Window(), first_number=first)
        page = numbers(records.select([LINEAR], wanted, is_ascending=True))[:size]
        if not page:
            break
        seen += page
        first = page[-1] + 1
    assert seen == list(range(min(start, len(gaps)), len(gaps)))
