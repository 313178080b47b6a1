"""An order that would meet one of the account's own."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.domain.order import Direction, OrderType
from vigil.paper.account.orders import OrderState, PaperOrder
from vigil.paper.matching.self_match import before_own, meet
from vigil.paper.switches import Switches

D = Decimal
LINEAR = "BTC_USDC-PERPETUAL"
BUY, SELL = Direction.BUY, Direction.SELL


def limit(number, side, price, amount):
    return PaperOrder(
        order_id=f"o{number}",
        instrument_name=LINEAR,
        direction=side,
        order_type=OrderType.LIMIT,
        amount=D(amount),
        state=OrderState.OPEN,
        creation_timestamp_ms=0,
        last_update_timestamp_ms=0,
        price=D(price),
    )


LEVELS = [(D(101), D(2)), (D(102), D(2)), (D(103), D(2))]


@pytest.mark.parametrize(
    ("price", "amount", "own", "met"),
    [
        pytest.param(105, 10, [(102, 1)], [102], id="in the way"),
        pytest.param(105, 2, [(102, 1)], [], id="filled before"),
        pytest.param(105, 4, [(102, 1)], [], id="filled by others at the same price"),
        pytest.param(105, 5, [(102, 1)], [102], id="one past them"),
        pytest.param(101, 10, [(102, 1)], [], id="limit too low"),
        pytest.param(100, 1, [(100, 1)], [100], id="better than all others"),
        pytest.param(105, 10, [(103, 1), (100, 1), (200, 1)], [100, 103], id="several"),
    ],
)
def test_who_meets_whom(price, amount, own, met):
    taker = limit(0, BUY, price, amount)
    resting = [limit(i + 1, SELL, at, size) for i, (at, size) in enumerate(own)]
    levels = [level for level in LEVELS if level[0] <= price]
    meeting = meet(taker, levels, [*resting, limit(9, BUY, 200, 1)])
    assert [order.price for order in meeting.met] == met


@given(
    st.sampled_from([BUY, SELL]),
    st.integers(90, 110),
    st.integers(1, 12),
    st.lists(st.integers(90, 110), max_size=5),
)
def test_nothing_behind_the_own_order_is_taken_and_what_lies_before_is(side, price, amount, own):
    sign = side.sign
    taker = limit(0, side, price, amount)
    levels = [(100 + sign * D(step), D(2)) for step in range(1, 6)]
    levels = [level for level in levels if (price - level[0]) * sign >= 0]
    resting = [limit(i + 1, side.opposite, at, 1) for i, at in enumerate(own)]
    meeting = meet(taker, levels, resting)
    before = before_own(taker, meeting)
    if not meeting.met:
        assert before == levels
        return
    first = meeting.met[0].price
    assert all((price - order.price) * sign >= 0 for order in meeting.met)
    assert before == [level for level in levels if (level[0] - first) * sign <= 0]
    assert sum((size for _, size in before), D(0)) < amount


@pytest.fixture
def own(desk):
    """A resting order at the very front of the book."""
    price = desk.market().best_opposite(BUY) - D("0.1")
    return desk.sell(amount=0.01, price=price, label="own")["order"]


def test_the_resting_order_gives_way(desk, own):
    result = desk.buy(amount=0.02, type="market")
    assert result["order"]["order_state"] == "filled"
    resting = desk.order(own["order_id"])
    assert (resting["order_state"], resting["cancel_reason"]) == ("cancelled", "order_overlap")
    assert desk.position()["size"] == D("0.02")


def test_a_killed_order_leaves_it_alone(desk, own):
    price = own["price"]
    killed = desk.buy(amount=5, price=price, time_in_force="fill_or_kill")["order"]
    assert killed["order_state"] == "cancelled"
    assert desk.order(own["order_id"])["order_state"] == "open"


class TestRejectTaker:
    @pytest.fixture
    def desk(self, make_desk):
        return make_desk(switches=Switches(self_trading_reject_mode="reject_taker"))

    def test_the_new_order_ends_at_once(self, desk, own):
        order = desk.buy(amount=0.02, type="market")["order"]
        assert (order["order_state"], order["cancel_reason"]) == ("cancelled", "order_overlap")
        assert order["filled_amount"] == 0
        assert desk.order(own["order_id"])["order_state"] == "open"

    def test_it_keeps_what_lay_before_the_own_order(self, desk):
        best, amount = desk.market().best_ask
        own = desk.sell(amount=0.01, price=best)["order"]
        order = desk.buy(amount=float(amount + 1), type="market")["order"]
        assert (order["order_state"], order["filled_amount"]) == ("cancelled", amount)
        assert desk.order(own["order_id"])["order_state"] == "open"

    def test_the_account_says_so(self, desk):
        summary = desk.call("private/get_account_summary", currency="BTC", extended=True)
        assert summary["self_trading_reject_mode"] == "reject_taker"

    def test_orders_that_do_not_meet_are_not_touched(self, desk, own):
        assert desk.buy(amount=0.01, price=94000)["order"]["order_state"] == "open"


def test_it_is_refused_under_the_older_reading(make_desk):
    switches = Switches(self_trading_reject_mode="reject_taker", overlap_cancels_taker=False)
    desk = make_desk(switches=switches)
    price = desk.market().best_opposite(BUY) - D("0.1")
    desk.sell(amount=0.01, price=price)
    for params in ({"type": "market"}, {"price": price}, {"type": "market_limit"}):
        refusal = desk.refusal("private/buy", instrument_name=LINEAR, amount=0.02, **params)
        assert (refusal.code, refusal.message) == (10003, "order_overlap")
    assert len(desk.open_orders()) == 1
    resting = desk.buy(amount=0.01, price=94900)["order"]
    edit = {"order_id": resting["order_id"], "amount": 0.01, "price": price}
    assert desk.refusal("private/edit", **edit).code == 10003
