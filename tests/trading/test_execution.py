"""Plans: what goes on the wire, and the rows that are committed before it."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.domain.labels import LABEL_LENGTH_MAX, parse_label
from vigil.domain.order import Direction, OrderStatus, OrderType, Role, Trigger
from vigil.domain.trade import ExitReason, Trade, TradeStatus
from vigil.trading.execution import (
    ORDER_VALIDITY_MS,
    ORPHANAGE,
    Author,
    Stamp,
    author_of,
    plan_again,
    plan_close,
    plan_entry,
    plan_protection,
)
from vigil.trading.protection import Bracket
from vigil.trading.risk import Approved

BUY, SELL = Direction.BUY, Direction.SELL
AUTHOR = Author(strategy_id="razor-1", strategy_name="Razor")
STAMP = Stamp(now_ms=1_000_000, exchange_now_ms=2_000_000)
VALID_UNTIL_MS = 2_000_000 + ORDER_VALIDITY_MS
NAME = "BTC_USDC-PERPETUAL"


def approved(direction=BUY, target="50500", **changes):
    return Approved(
        **{
            "direction": direction,
            "amount": D("0.01"),
            "reference_price": D(50_000),
            "bracket": Bracket(
                stop_price=D(49_750), target_price=None if target is None else D(target)
            ),
            "reason": "rsi",
        }
        | changes
    )


def trade(side=BUY, **changes):
    return Trade(
        **{
            "trade_id": "t7",
            "strategy_id": "razor-1",
            "strategy_name": "Razor",
            "instrument_name": NAME,
            "side": side,
            "entry_order_id": "o1",
            "entry_price": D(50_000),
            "amount": D("0.02"),
            "entry_time_ms": 0,
            "status": TradeStatus.OPEN,
            "open_amount": D("0.01"),
            "stop_loss": D(49_750),
            "take_profit": D(50_500),
        }
        | changes
    )


def entry_plan(direction=BUY, target="50500"):
    return plan_entry(
        approved(direction, target),
        instrument_name=NAME,
        author=AUTHOR,
        intent_ids=(7, 8, 9),
        stamp=STAMP,
    )


def protection_plan(**changes):
    return plan_protection(trade(**changes), author=AUTHOR, intent_ids=(8, 9), stamp=STAMP)


def close_plan(reason=ExitReason.STRATEGY_STOP, **changes):
    return plan_close(trade(**changes), author=AUTHOR, intent_id=8, reason=reason, stamp=STAMP)


PLANS = [
    pytest.param(entry_plan, id="entry"),
    pytest.param(lambda: entry_plan(SELL, None), id="entry without target"),
    pytest.param(protection_plan, id="protection"),
    pytest.param(lambda: protection_plan(take_profit=None), id="protection without target"),
    pytest.param(close_plan, id="close"),
]


@pytest.mark.parametrize("make", PLANS)
def test_every_order_of_a_plan_has_a_row_of_its_own_and_every_row_an_order(make):
    plan = make()
    on_the_wire = [plan.request.label, *(linked.label for linked in plan.request.linked)]
    assert [row.label for row in plan.orders] == on_the_wire
    assert len(set(on_the_wire)) == len(on_the_wire)
    assert plan.label == on_the_wire[0]


@pytest.mark.parametrize("make", PLANS)
def test_a_row_says_what_its_order_says(make):
    plan = make()
    request = plan.request
    for row, order in zip(plan.orders, [request, *request.linked], strict=True):
        assert row.instrument_name == request.instrument_name
        assert (row.direction, row.order_type, row.amount) == (
            order.direction,
            order.order_type,
            order.amount,
        )
        assert (row.price, row.trigger_price) == (order.price, order.trigger_price)
        assert row.reduce_only is order.reduce_only


@pytest.mark.parametrize("make", PLANS)
def test_a_plan_is_pending_until_it_is_heard_of_and_bounded_by_exchange_time(make):
    plan = make()
    assert plan.request.valid_until_ms == VALID_UNTIL_MS
    for row in plan.orders:
        assert row.status is OrderStatus.PENDING
        assert row.valid_until_ms == VALID_UNTIL_MS
        assert row.created_ms == STAMP.now_ms
        assert row.order_id is None
        assert row.filled_amount == 0


@pytest.mark.parametrize("make", PLANS)
def test_labels_name_the_strategy_and_the_intent(make):
    for row in make().orders:
        label = parse_label(row.label)
        assert label is not None
        assert (label.strategy_id, label.intent_id, label.attempt) == (
            row.strategy_id,
            row.intent_id,
            row.attempt,
        )


@pytest.mark.parametrize("make", PLANS)
def test_everything_but_an_entry_can_only_reduce(make):
    for row in make().orders:
        assert row.reduce_only is (row.role is not Role.ENTRY)


@pytest.mark.parametrize(("direction", "exits"), [(BUY, SELL), (SELL, BUY)])
def test_an_entry_carries_its_stop_and_target(direction, exits):
    request = entry_plan(direction).request
    stop, target = request.linked
    assert (request.direction, request.order_type) == (direction, OrderType.MARKET)
    assert not request.reduce_only
    assert not request.linked_one_cancels
    assert (stop.direction, target.direction) == (exits, exits)
    assert (stop.amount, target.amount) == (request.amount, request.amount)
    assert (stop.order_type, stop.trigger_price) == (OrderType.STOP_MARKET, D(49_750))
    assert stop.trigger is Trigger.MARK
    assert stop.price is None
    assert (target.order_type, target.price) == (OrderType.LIMIT, D(50_500))
    assert (target.trigger, target.trigger_price) == (None, None)


def test_an_entry_without_target_still_carries_its_stop():
    (stop,) = entry_plan(target=None).request.linked
    assert stop.trigger_price == D(49_750)


def test_the_rows_of_an_entry_belong_to_the_trade_it_will_open():
    entry, stop, target = entry_plan().orders
    assert {row.trade_id for row in (entry, stop, target)} == {"t7"}
    assert [row.role for row in (entry, stop, target)] == [Role.ENTRY, Role.STOP, Role.TARGET]
    assert entry.parent_label is None
    assert stop.parent_label == target.parent_label == entry.label
    assert (entry.strategy_id, entry.strategy_name) == ("razor-1", "Razor")


@pytest.mark.parametrize(("side", "exits"), [(BUY, SELL), (SELL, BUY)])
def test_protection_is_a_pair_over_what_is_still_open(side, exits):
    plan = protection_plan(side=side)
    request, (target,) = plan.request, plan.request.linked
    assert (request.direction, target.direction) == (exits, exits)
    assert (request.amount, target.amount) == (D("0.01"), D("0.01"))
    assert (request.order_type, request.trigger) == (OrderType.STOP_MARKET, Trigger.MARK)
    assert (request.trigger_price, target.price) == (D(49_750), D(50_500))
    assert request.linked_one_cancels
    assert [row.role for row in plan.orders] == [Role.STOP, Role.TARGET]
    assert {row.trade_id for row in plan.orders} == {"t7"}


def test_protection_without_target_is_a_stop_alone():
    request = protection_plan(take_profit=None).request
    assert request.linked == ()
    assert not request.linked_one_cancels


def test_protection_is_never_planned_where_no_stop_was_ever_set():
    with pytest.raises(AssertionError):
        protection_plan(stop_loss=None)


@pytest.mark.parametrize(("side", "exits"), [(BUY, SELL), (SELL, BUY)])
def test_a_close_takes_what_is_open_at_market_and_no_more(side, exits):
    plan = close_plan(side=side)
    (row,) = plan.orders
    assert plan.request.direction is exits
    assert plan.request.order_type is OrderType.MARKET
    assert plan.request.amount == D("0.01")
    assert plan.request.linked == ()
    assert (row.role, row.trade_id) == (Role.CLOSE, "t7")


@pytest.mark.parametrize("reason", ExitReason)
def test_a_close_remembers_why(reason):
    (row,) = close_plan(reason).orders
    assert row.reason == reason.value


@pytest.mark.parametrize(
    ("strategy_id", "expected"), [("razor-1", "razor-1"), (None, ORPHANAGE), ("", ORPHANAGE)]
)
def test_a_trade_that_nobody_runs_is_healed_in_the_name_of_the_orphanage(strategy_id, expected):
    author = author_of(trade(strategy_id=strategy_id))
    assert (author.strategy_id, author.strategy_name) == (expected, "Razor")


@given(now_ms=st.integers(0, 2**45), skew_ms=st.integers(-(10**7), 10**7))
def test_validity_counts_from_the_exchanges_clock_and_not_from_ours(now_ms, skew_ms):
    stamp = Stamp(now_ms=now_ms, exchange_now_ms=now_ms + skew_ms)
    assert stamp.valid_until_ms == now_ms + skew_ms + ORDER_VALIDITY_MS
    assert 2_000 <= ORDER_VALIDITY_MS <= 5_000  # FAULTS §4


@given(strategy_id=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", fullmatch=True))
def test_labels_of_any_strategy_and_a_ledger_of_any_age_fit(strategy_id):
    plan = plan_entry(
        approved(),
        instrument_name=NAME,
        author=Author(strategy_id=strategy_id, strategy_name="Razor"),
        intent_ids=(10**15, 10**15 + 1, 10**15 + 2),
        stamp=STAMP,
    )
    assert all(len(row.label) <= LABEL_LENGTH_MAX for row in plan.orders)


# --- once more


@pytest.mark.parametrize("make", [protection_plan, close_plan], ids=["protection", "close"])
def test_another_attempt_is_the_same_order_under_labels_of_its_own(make):
    """So that the ledger and the exchange can tell the attempts apart. FAULTS §4.5."""
    first = make()
    later = Stamp(now_ms=STAMP.now_ms + 500, exchange_now_ms=STAMP.exchange_now_ms + 500)
    second = plan_again(first, stamp=later)
    third = plan_again(second, stamp=later)
    labels = [row.label for plan in (first, second, third) for row in plan.orders]
    assert len(labels) == len(set(labels))
    assert [plan.orders[0].attempt for plan in (first, second, third)] == [1, 2, 3]
    for before, after in zip(first.orders, second.orders, strict=True):
        assert (after.intent_id, after.attempt) == (before.intent_id, 2)
        assert after.valid_until_ms == second.request.valid_until_ms == VALID_UNTIL_MS + 500
        names = ("role", "trade_id", "direction", "order_type", "amount", "price", "trigger_price")
        assert [getattr(after, name) for name in names] == [getattr(before, name) for name in names]
    assert second.request.label == second.orders[0].label
    assert [one.label for one in second.request.linked] == [row.label for row in second.orders[1:]]
    assert {row.parent_label for row in second.orders[1:]} <= {second.label}
