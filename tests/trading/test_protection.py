"""Where stops and targets belong, on both sides of the market."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.domain.instrument import Instrument, Kind
from vigil.domain.money import is_multiple
from vigil.domain.order import Direction
from vigil.domain.trade import Trade, TradeStatus
from vigil.trading.protection import Bracket, bracket, is_beyond_stop, is_tighter

BUY, SELL = Direction.BUY, Direction.SELL
PERPETUAL = Instrument(
    instrument_name="BTC-PERPETUAL",
    kind=Kind.FUTURE,
    is_linear=False,
    base_currency="BTC",
    quote_currency="USD",
    settlement_currency="BTC",
    contract_size=D(10),
    min_trade_amount=D(10),
    tick_size=D("0.5"),
)


def trade(side, stop_loss):
    return Trade(
        trade_id="t1",
        strategy_name="Razor",
        instrument_name="BTC-PERPETUAL",
        side=side,
        entry_order_id="o1",
        entry_price=D(100),
        amount=D(10),
        entry_time_ms=0,
        status=TradeStatus.OPEN,
        open_amount=D(10),
        stop_loss=None if stop_loss is None else D(stop_loss),
    )


def place(side, price, stop, target):
    return bracket(
        PERPETUAL,
        side,
        D(price),
        stop_loss_percent=D(stop),
        take_profit_percent=None if target is None else D(target),
    )


@pytest.mark.parametrize(
    ("side", "price", "stop", "target", "stop_price", "target_price"),
    [
        pytest.param(BUY, "60000", "0.5", "1", "59700", "60600", id="long"),
        pytest.param(SELL, "60000", "0.5", "1", "60300", "59400", id="short"),
        pytest.param(BUY, "60000", "0.5", None, "59700", None, id="long without target"),
        pytest.param(SELL, "60000", "0.5", None, "60300", None, id="short without target"),
        pytest.param(BUY, "60001", "0.5", "1", "59701", "60601", id="long, both towards price"),
        pytest.param(SELL, "60001", "0.5", "1", "60301", "59401", id="short, both towards price"),
    ],
)
def test_stop_and_target_lie_at_their_distance_rounded_towards_the_price(
    side, price, stop, target, stop_price, target_price
):
    assert place(side, price, stop, target) == Bracket(
        stop_price=D(stop_price), target_price=None if target_price is None else D(target_price)
    )


@given(
    side=st.sampled_from(Direction),
    price=st.integers(2_000, 400_000).map(lambda halves: D(halves) / 2),
    stop=st.decimals("0.1", "90", places=2),
    target=st.decimals("0.1", "90", places=2),
)
def test_neither_risks_nor_hopes_for_more_than_was_asked(side, price, stop, target):
    placed = place(side, price, stop, target)
    lost = (price - placed.stop_price) * side.sign
    won = (placed.target_price - price) * side.sign
    assert 0 < lost <= price * stop / 100
    assert 0 < won <= price * target / 100
    assert is_multiple(placed.stop_price, D("0.5"))
    assert is_multiple(placed.target_price, D("0.5"))


@pytest.mark.parametrize(
    ("side", "stop_loss", "mark_price", "is_beyond"),
    [
        pytest.param(BUY, "95", "95.5", False, id="long, one tick before its stop"),
        pytest.param(BUY, "95", "95", True, id="long, at its stop"),
        pytest.param(BUY, "95", "94.5", True, id="long, past its stop"),
        pytest.param(SELL, "105", "104.5", False, id="short, one tick before its stop"),
        pytest.param(SELL, "105", "105", True, id="short, at its stop"),
        pytest.param(SELL, "105", "105.5", True, id="short, past its stop"),
        pytest.param(BUY, None, "1", False, id="long without a stop"),
        pytest.param(SELL, None, "1000000", False, id="short without a stop"),
    ],
)
def test_a_stop_would_fire_at_its_price_and_past_it(side, stop_loss, mark_price, is_beyond):
    assert is_beyond_stop(trade(side, stop_loss), D(mark_price)) is is_beyond


@pytest.mark.parametrize(
    ("side", "stop_loss", "wanted", "is_better"),
    [
        pytest.param(BUY, "95", "95.5", True, id="long, up"),
        pytest.param(BUY, "95", "95", False, id="long, where it is"),
        pytest.param(BUY, "95", "94.5", False, id="long, down"),
        pytest.param(SELL, "105", "104.5", True, id="short, down"),
        pytest.param(SELL, "105", "105", False, id="short, where it is"),
        pytest.param(SELL, "105", "105.5", False, id="short, up"),
        pytest.param(BUY, None, "1", True, id="any stop is better than none, long"),
        pytest.param(SELL, None, "1000", True, id="any stop is better than none, short"),
    ],
)
def test_a_stop_may_come_closer_and_never_loosens(side, stop_loss, wanted, is_better):
    assert is_tighter(trade(side, stop_loss), D(wanted)) is is_better


@given(
    side=st.sampled_from(Direction),
    stops=st.lists(st.integers(1, 200).map(D), min_size=1, max_size=8),
    mark=st.integers(1, 200).map(D),
)
def test_once_beyond_a_stop_always_beyond_its_tightened_successors(side, stops, mark):
    held = trade(side, stops[0])
    for stop in stops[1:]:
        if is_tighter(held, stop):
            was_beyond = is_beyond_stop(held, mark)
            held = trade(side, stop)
            assert is_beyond_stop(held, mark) or not was_beyond
