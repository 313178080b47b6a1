"""Cancels, edits, lost lines and leavings, while the exchange does things of its own.

Every fault is injected by the paper exchange, over a real socket.
"""

from decimal import Decimal

import pytest
from doubt import closing, deafen, enter, impatient, opening, order_of
from msgspec.structs import replace

from rig import BUY, INVERSE, LINEAR, LOT, QUICK, SELL
from vigil.deribit.outcome import NOT_SENT, Confirmed, Refused, Unknown
from vigil.desk import desk as desk_module
from vigil.desk import patience, withdrawal
from vigil.desk.withdrawal import withdraw_entries
from vigil.domain.order import OrderStatus, OrderType, Role
from vigil.domain.trade import ExitReason
from vigil.supervision.restarts import ChildSpec
from vigil.trading import execution
from vigil.trading.execution import plan_entry

LABEL = "vg-s-1-1"
STRATEGY_STOP = ExitReason.STRATEGY_STOP
each_case = pytest.mark.parametrize(
    ("name", "side"),
    [pytest.param(LINEAR, BUY, id="linear long"), pytest.param(INVERSE, SELL, id="inverse short")],
)


@pytest.fixture(autouse=True)
def _soon_expired(rig, monkeypatch):
    monkeypatch.setattr(execution, "ORDER_VALIDITY_MS", 300)
    monkeypatch.setattr(desk_module, "EDIT_MARGIN_MS", 20)


def limit_entries(monkeypatch, price_of):
    """Entries are limit orders at a price made from what was approved."""

    def plan(approved, **options):
        market = plan_entry(approved, **options)
        terms = {"order_type": OrderType.LIMIT, "price": price_of(approved)}
        entry, *linked = market.orders
        return replace(
            market,
            request=replace(market.request, **terms),
            orders=(replace(entry, **terms), *linked),
        )

    monkeypatch.setattr(desk_module, "plan_entry", plan)


def at_best(approved):
    """For more than is offered there, so that a part is filled."""
    return approved.reference_price


def far_below(approved):
    return Decimal(90_000)


async def cancel_on_disconnect(rig):
    await rig.client._ask("private/enable_cancel_on_disconnect", {"scope": "connection"})


async def cut(rig):
    """The line ends without a word; the next session is live."""
    before = rig.client.epoch
    rig.server.deeds.do("abort-connection")
    await rig.until(lambda: rig.client.is_live and rig.client.epoch > before)


def stops(rig):
    return [one for one in rig.resting() if one.order_type is OrderType.STOP_MARKET]


# --- E8


@each_case
@pytest.mark.fault("E8", "E1")
async def test_an_entry_that_lost_answer_line_and_rest_together_is_protected_by_what_it_filled(
    rig, agreement, monkeypatch, name, side
):
    """All at once: a part is filled, nobody tells, and the line takes the rest with it."""
    limit_entries(monkeypatch, at_best)
    await cancel_on_disconnect(rig)
    deafen(rig)
    rig.server.faults.arm("abort-connection", method=opening(side), moment="after")
    assert isinstance(await enter(rig, name, side), Unknown)
    await rig.until(lambda: rig.client.epoch == 2)
    filled = rig.position(name)
    assert 0 < abs(filled) < LOT[name]
    await agreement.holds()
    assert rig.position(name) == filled
    assert (await rig.ledger.order(LABEL)).status is OrderStatus.CANCELLED
    (stop,) = stops(rig)
    assert stop.amount == abs(filled)
    assert agreement.entries() == [LABEL]


@pytest.mark.fault("E8")
async def test_more_of_an_entry_fills_while_nobody_listens_and_the_stop_grows_with_it(
    rig, agreement, monkeypatch
):
    limit_entries(monkeypatch, at_best)
    await enter(rig)
    await rig.reconcile()
    deafen(rig)
    before = rig.position(LINEAR)
    rig.server.deeds.do("fill-order", of_label=LABEL, amount=Decimal("0.1"))
    rig.server.deeds.do("cancel-orders", of_label=LABEL)
    assert rig.position(LINEAR) == before + Decimal("0.1")
    await agreement.holds()
    (stop,) = stops(rig)
    assert stop.amount == rig.position(LINEAR)


# --- E9


@each_case
@pytest.mark.fault("E9")
async def test_a_stop_that_went_with_the_line_rests_again_within_seconds(
    rig, agreement, name, side
):
    await cancel_on_disconnect(rig)
    trade = await rig.enter(name, side)
    rig.supervisor.add_child(ChildSpec(name="reconciler", start=rig.reconciler.run, backoff=QUICK))
    await rig.until(lambda: rig.runs and not rig.runs[-1].is_unsettled)
    for _ in range(2):
        await cancel_on_disconnect(rig)
        await cut(rig)
        assert stops(rig) == [], "the exchange has taken it"
        cut_s = rig.clock.elapsed_s()
        await rig.until(lambda: stops(rig))
        assert rig.clock.elapsed_s() - cut_s < 5
    (stop,) = stops(rig)
    assert (stop.amount, stop.trigger_price) == (trade.open_amount, trade.stop_loss)
    await agreement.holds()


@pytest.mark.fault("E9")
async def test_a_stop_that_went_while_the_price_ran_through_it_is_a_close_at_market(rig, agreement):
    await cancel_on_disconnect(rig)
    trade = await rig.enter()
    await rig.reconcile()
    await cut(rig)
    rig.price(LINEAR, trade.stop_loss - 200)
    assert rig.position(LINEAR) == LOT[LINEAR], "nothing was there to stop it"
    await rig.reconcile()
    closed = await rig.closed(trade.trade_id)
    assert closed.exit_reason is ExitReason.SL_HIT
    await agreement.holds()


# --- E10


async def leave(rig):
    """What a stop does last: entries withdrawn, then the session closed in order."""
    left = await withdraw_entries(rig.ledger, rig.desk, rig.client, rig.clock)
    await rig.supervisor.remove_child("session")
    return left


@pytest.fixture
def leaving(monkeypatch):
    monkeypatch.setattr(withdrawal, "LOOK_S", 0.02)
    monkeypatch.setattr(withdrawal, "_MARGIN_MS", 20)


@pytest.mark.fault("E10")
@pytest.mark.parametrize("fault", ["none", "lose-request", "withhold-reply", "error-reply"])
async def test_after_a_stop_no_entry_can_fill_any_more_and_stops_still_rest(
    rig, agreement, monkeypatch, leaving, fault
):
    """The account keeps what rests when a session logs out: whatever is left would fill."""
    held = await rig.enter()
    limit_entries(monkeypatch, far_below)
    outcome = await enter(rig)
    assert isinstance(outcome, Confirmed)
    assert len(rig.resting()) == 3
    if fault != "none":
        code = {"code": 13028, "is_applied": True} if fault == "error-reply" else {}
        rig.server.faults.arm(fault, method="private/cancel", **code)
    with impatient(rig):
        assert await leave(rig) == ()
    assert not rig.client.is_live
    assert {order.amount for order in rig.resting()} == {held.open_amount}
    assert len(rig.resting()) == 2
    rig.price(LINEAR, 94_500)
    rig.price(LINEAR, 95_000)
    assert rig.position(LINEAR) == held.open_amount
    rig.start_session()
    await agreement.holds()


@pytest.mark.fault("E10", "E2")
async def test_an_entry_that_arrives_while_we_leave_is_waited_for_and_taken_back(
    rig, agreement, monkeypatch, leaving
):
    monkeypatch.setattr(execution, "ORDER_VALIDITY_MS", 3_000)  # in time, however slow we are
    limit_entries(monkeypatch, far_below)
    deafen(rig)
    rig.server.faults.arm("delay-request", method="private/buy", delay_s=0.25)
    assert isinstance(await enter(rig), Unknown)
    assert rig.resting() == [], "it is still on its way"
    assert await leave(rig) == ()
    await rig.until(lambda: rig.clock.now_ms() > agreement.arrived_ms(LABEL) + 600)
    assert rig.resting() == []
    assert (await rig.ledger.order(LABEL)).status is OrderStatus.CANCELLED
    rig.start_session()
    await agreement.holds()


# --- E22


@each_case
@pytest.mark.fault("E22", "E3")
async def test_an_entry_that_is_carried_out_twice_counts_twice_and_is_told(
    rig, agreement, name, side
):
    """The stop covers both, and a strategy that holds both wants no third."""
    rig.server.faults.arm("duplicate-request", method=opening(side))
    await enter(rig, name, side)
    doubled = frozenset(row.label for row in await rig.ledger.orders_of_trade("t1"))
    await rig.reconcile()
    label = (await rig.rows("t1"))[Role.ENTRY].label
    assert rig.position(name) == side.sign * 2 * LOT[name]
    assert f"duplicate_label {label}" in await rig.incidents()
    trade = await rig.trade("t1")
    assert trade.signed_open_amount == rig.position(name)
    await agreement.holds(doubled=doubled)
    assert f"duplicate_label {label}" in await rig.incidents(), "it stays told"
    assert agreement.entries() == [label]


@pytest.mark.fault("E22")
async def test_a_second_order_under_the_label_of_one_that_rests_is_seen_and_told(
    rig, agreement, monkeypatch
):
    limit_entries(monkeypatch, far_below)
    await enter(rig)
    rig.server.deeds.do("same-label-order", of_label=LABEL)
    await rig.until(lambda: rig.sql("SELECT 1 FROM incidents WHERE kind = 'duplicate_label'"))
    run = await rig.reconcile()
    assert run.remedies, "one entry was wanted, so one of them goes, or both"
    await agreement.holds(doubled=frozenset({LABEL}))
    assert len([one for one in rig.resting() if one.label == LABEL]) <= 1
    assert f"duplicate_label {LABEL}" in await rig.incidents()


@pytest.mark.fault("E22")
async def test_a_second_stop_under_the_label_of_the_first_leaves_one_stop(rig, agreement):
    trade = await rig.enter()
    stop = await order_of(rig, trade.trade_id, Role.STOP)
    rig.server.deeds.do("same-label-order", of_label=stop.label)
    assert len(stops(rig)) == 2
    await agreement.holds(doubled=frozenset({stop.label}))
    assert f"duplicate_label {stop.label}" in await rig.incidents()
    assert rig.position(LINEAR) == LOT[LINEAR]


# --- E27


@each_case
@pytest.mark.fault("E27", "E26")
async def test_a_stop_that_fires_just_before_its_cancel_wins(rig, agreement, name, side):
    trade = await rig.enter(name, side)
    stop = await order_of(rig, trade.trade_id, Role.STOP)
    rig.server.faults.arm("fire-trigger", method="private/cancel", of_label=stop.label)
    outcome = await rig.desk.close(trade, STRATEGY_STOP)
    assert isinstance(outcome, Refused)
    assert outcome.code == NOT_SENT
    assert rig.position(name) == 0
    assert closing(side) not in rig.venue.acts()
    assert (await rig.closed(trade.trade_id)).exit_reason is ExitReason.SL_HIT
    await agreement.holds()


@pytest.mark.fault("E27")
async def test_a_target_that_fills_just_before_a_cancel_that_nobody_answers_wins(rig, agreement):
    trade = await rig.enter()
    target = await order_of(rig, trade.trade_id, Role.TARGET)
    deafen(rig)
    faults = rig.server.faults
    faults.arm("fill-order", method="private/cancel", of_label=target.label)
    faults.arm("withhold-reply", method="private/cancel")
    with impatient(rig):
        outcome = await rig.desk.close(trade, STRATEGY_STOP)
    assert isinstance(outcome, Refused)
    assert rig.position(LINEAR) == 0
    assert rig.venue.acts().count("private/cancel") <= 2
    assert "private/sell" not in rig.venue.acts()
    await agreement.holds()
    assert (await rig.trade(trade.trade_id)).exit_reason is ExitReason.TP_HIT


@each_case
@pytest.mark.fault("E27", "E26")
async def test_a_target_that_fills_in_part_just_before_its_cancel_is_not_closed_on_top(
    rig, agreement, name, side
):
    """The close was for the whole of it, and might take from what others hold."""
    trade = await rig.enter(name, side)
    target = await order_of(rig, trade.trade_id, Role.TARGET)
    part = LOT[name] / 5
    rig.server.faults.arm("fill-order", method="private/cancel", of_label=target.label, amount=part)
    outcome = await rig.desk.close(trade, STRATEGY_STOP)
    assert isinstance(outcome, Refused)
    assert outcome.code == NOT_SENT
    assert closing(side) not in rig.venue.acts()
    left = side.sign * (LOT[name] - part)
    await rig.until(
        lambda: rig.trade_if(trade.trade_id, lambda one: one.signed_open_amount == left)
    )
    await agreement.holds()
    assert rig.position(name) == left
    assert (await rig.trade(trade.trade_id)).signed_open_amount == left
    assert [stop.amount for stop in stops(rig)] == [abs(left)]


@pytest.mark.fault("E27")
async def test_an_entry_that_fills_while_it_is_cancelled_is_a_protected_trade(
    rig, agreement, monkeypatch
):
    limit_entries(monkeypatch, far_below)
    outcome = await enter(rig)
    rig.server.faults.arm("fill-order", method="private/cancel", of_label=LABEL)
    outcome = await rig.desk.cancel(outcome.order.order_id, why="to see")
    assert isinstance(outcome, Refused)
    await agreement.holds()
    trade = await rig.trade("t1")
    assert (trade.is_open, trade.open_amount) == (True, LOT[LINEAR])


@pytest.mark.fault("E27")
@pytest.mark.parametrize("fault", ["lose-request", "withhold-reply"])
async def test_cancels_whose_answers_are_lost_do_not_multiply(rig, agreement, fault):
    """Lost requests are repeated within a budget; of what was done one look tells."""
    trade = await rig.enter()
    rows = await rig.rows(trade.trade_id)
    faults = rig.server.faults
    faults.arm(fault, method="private/cancel", count=1_000)
    with impatient(rig, 0.05):
        for role in (Role.STOP, Role.TARGET):
            await rig.desk.cancel(rows[role].order_id, why="to see")
    budget = 1 + len(patience.RETRY_DELAYS_S)
    arrived = faults.arms.hits[fault]
    assert arrived == (2 * budget if fault == "lose-request" else 2)
    rests = fault == "lose-request"
    assert bool(rig.resting()) is rests
    for _ in range(3):
        await rig.reconcile()
    assert faults.arms.hits[fault] == arrived, "what should rest is not cancelled again"
    await agreement.holds()


@pytest.mark.fault("E27")
async def test_a_leftover_whose_cancels_are_all_lost_is_cancelled_within_a_budget_a_pass(
    rig, agreement
):
    trade = await rig.enter()
    rig.server.faults.arm("lose-request", method="private/cancel", count=1_000)
    rig.server.deeds.do("cancel-orders", of_label=(await rig.rows("t1"))[Role.TARGET].label)
    await rig.until(lambda: rig.resting() or True)
    rig.server.deeds.do("close-by-hand", instrument_name=LINEAR)
    budget = 1 + len(patience.RETRY_DELAYS_S)
    with impatient(rig, 0.05):
        for number in range(1, 4):
            await rig.reconcile()
            assert rig.server.faults.arms.hits["lose-request"] <= number * 2 * budget
    await agreement.holds()
    assert not (await rig.trade(trade.trade_id)).is_open


# --- E28


@pytest.mark.fault("E28")
@pytest.mark.parametrize(
    ("name", "side", "fault", "fields"),
    [
        pytest.param(LINEAR, BUY, "lose-request", {}, id="lost"),
        pytest.param(INVERSE, SELL, "lose-request", {}, id="lost, inverse short"),
        pytest.param(LINEAR, BUY, "withhold-reply", {}, id="done and not answered"),
        pytest.param(LINEAR, BUY, "delay-request", {"delay_s": 0.2}, id="late"),
        pytest.param(
            INVERSE, SELL, "error-reply", {"code": 13777, "is_applied": True}, id="replaced, done"
        ),
        pytest.param(LINEAR, BUY, "error-reply", {"code": 13777}, id="replaced, not done"),
        pytest.param(
            LINEAR, BUY, "error-reply", {"code": 11094, "is_applied": True}, id="broken, done"
        ),
    ],
)
async def test_a_stop_ends_where_the_ledger_says_whatever_became_of_an_edit(
    rig, agreement, name, side, fault, fields
):
    """Nobody tells; until the edit can no longer arrive no reading is the last."""
    trade = await rig.enter(name, side)
    await rig.reconcile()
    deafen(rig)
    wanted = trade.stop_loss + side.sign * 100
    rig.server.faults.arm(fault, method="private/edit", **fields)
    with impatient(rig):
        is_there = await rig.desk.tighten_stop(trade, wanted)
    at_exchange = stops(rig)[0].trigger_price
    assert (await rig.trade(trade.trade_id)).stop_loss == wanted, "where it belongs is on disk"
    assert not is_there or at_exchange == wanted, "never said to be where it is not"
    if fault == "withhold-reply" or "is_applied" in fields:
        assert is_there, "it was looked up"
    if not is_there and fault != "error-reply":
        assert (await rig.reconcile()).is_unsettled
    await rig.until(lambda: not rig.desk.has_edits_in_doubt(rig.client.exchange_now_ms()))
    await agreement.holds()
    assert [stop.trigger_price for stop in stops(rig)] == [wanted]


@pytest.mark.fault("E28")
async def test_an_edit_that_arrives_after_a_newer_one_is_put_right(rig, agreement):
    """The old one was late, not lost, and moves the stop back."""
    trade = await rig.enter()
    await rig.reconcile()
    rig.server.faults.arm("delay-request", method="private/edit", delay_s=0.25)
    older, newer = trade.stop_loss + 100, trade.stop_loss + 200
    with impatient(rig, 0.05):
        assert not await rig.desk.tighten_stop(trade, older)
    assert await rig.desk.tighten_stop(await rig.trade(trade.trade_id), newer)
    await rig.until(lambda: stops(rig)[0].trigger_price == older)
    await agreement.holds()
    assert stops(rig)[0].trigger_price == newer


@pytest.mark.fault("E28", "E8")
async def test_a_stop_whose_new_size_was_not_confirmed_covers_the_position_in_the_end(
    rig, agreement
):
    """A part is closed by hand, so the stop is to shrink; the edit is lost, twice."""
    trade = await rig.enter()
    await rig.reconcile()
    rig.server.faults.arm("lose-request", method="private/edit", count=2)
    rig.server.deeds.do("close-by-hand", instrument_name=LINEAR, amount=Decimal("0.1"))
    with impatient(rig, 0.05):
        await rig.reconcile()
    assert stops(rig)[0].amount >= rig.position(LINEAR), "never less than is held"
    await agreement.holds()
    assert stops(rig)[0].amount == rig.position(LINEAR) == LOT[LINEAR] - Decimal("0.1")
    assert (await rig.trade(trade.trade_id)).open_amount == rig.position(LINEAR)
