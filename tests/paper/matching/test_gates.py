"""What an order book's state, and a locked index, allow."""

import pytest

from vigil.paper.market.market import BookState
from vigil.paper.switches import Switches

LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"
STOP = {"type": "stop_market", "trigger": "index_price"}


@pytest.fixture
def order(desk):
    return desk.buy(amount=0.01, price=94900)["order"]


@pytest.mark.parametrize(
    ("state", "entering", "cancelling"),
    [
        (BookState.SETTLEMENT, 10041, 10041),
        (BookState.DELIVERED, 13019, 13019),
        (BookState.INACTIVE, 13019, 13019),
        (BookState.ARCHIVIZED, 13019, 13019),
        (BookState.LOCKED, 10019, None),
        (BookState.HALTED, 10012, 10012),
    ],
)
def test_each_state_refuses_what_it_must(desk, order, state, entering, cancelling):
    desk.market().state = state
    new = {"instrument_name": LINEAR, "amount": 0.01, "price": 94900}
    edit = {"order_id": order["order_id"], "amount": 0.02, "price": 94900}
    assert desk.refusal("private/buy", **new).code == entering
    assert desk.refusal("private/edit", **edit).code == entering
    if cancelling is None:
        desk.call("private/cancel", order_id=order["order_id"])
        return
    assert desk.refusal("private/cancel", order_id=order["order_id"]).code == cancelling
    assert desk.refusal("private/cancel_all").code == cancelling
    (group,) = desk.call("private/cancel_all", detailed=True)
    assert (group["type"], group["error"]["code"]) == ("limit", cancelling)
    desk.market().state = BookState.OPEN
    assert desk.order(order["order_id"])["order_state"] == "open"


@pytest.mark.parametrize(
    ("switches", "state", "code"),
    [
        (Switches(closed_book_code=10012), BookState.DELIVERED, 10012),
        (Switches(locked_code=11051), BookState.LOCKED, 11051),
        (Switches(locked_code=10072), BookState.LOCKED, 10072),
    ],
)
def test_other_codes_are_a_matter_of_reading(make_desk, switches, state, code):
    desk = make_desk(switches=switches)
    desk.market().state = state
    refusal = desk.refusal("private/buy", instrument_name=LINEAR, amount=0.01, price=94900)
    assert refusal.code == code


def test_a_halted_book_cancels_under_the_mild_reading(make_desk):
    desk = make_desk(switches=Switches(halted_refuses_cancel=False))
    order = desk.buy(amount=0.01, price=94900)["order"]
    desk.market().state = BookState.HALTED
    desk.call("private/cancel", order_id=order["order_id"])


def test_a_book_that_is_not_open_fills_and_fires_nothing(desk, order):
    stop = desk.sell(amount=0.01, trigger_price=94800, **STOP)["order"]
    desk.market().state = BookState.SETTLEMENT
    desk.move(94700)
    assert desk.order(order["order_id"])["order_state"] == "open"
    assert desk.order(stop["order_id"])["order_state"] == "untriggered"
    desk.market().state = BookState.OPEN
    desk.move(94700)
    assert desk.order(order["order_id"])["order_state"] == "filled"
    assert desk.order(stop["order_id"])["order_state"] == "triggered"


def test_a_locked_index_stops_its_own_instruments_only(desk, order):
    desk.venue.exchange.locked_indexes.add("btc_usdc")
    new = {"amount": 0.01, "price": 94900}
    assert desk.refusal("private/buy", instrument_name=LINEAR, **new).code == 10019
    desk.move(94700)
    assert desk.order(order["order_id"])["order_state"] == "open"
    desk.buy(INVERSE, amount=10, type="market")
    desk.call("private/cancel", order_id=order["order_id"])
    desk.venue.exchange.locked_indexes.clear()
    desk.buy(amount=0.01, type="market")
