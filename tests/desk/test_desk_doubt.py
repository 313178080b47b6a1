"""Cancels, edits and closes whose answer proves nothing: looked at, and repeated only without harm.

FAULTS E7, E24, E27, E28.
"""

import contextlib
from decimal import Decimal

import pytest

from rig import BUY, INVERSE, LINEAR, LOT, SELL
from vigil.deribit.outcome import NOT_SENT, Confirmed, Refused, Unknown
from vigil.desk import desk as desk_module
from vigil.desk import patience
from vigil.desk.refusals import OTHER_REJECT, is_flat_already
from vigil.domain.order import OrderStatus, OrderType, Role
from vigil.domain.trade import ExitReason
from vigil.paper.account.orders import OrderForm

STRATEGY_STOP = ExitReason.STRATEGY_STOP
LATER = [
    pytest.param(10040, "retry", id="retry"),
    pytest.param(10041, "settlement_in_progress", id="settlement"),
    pytest.param(10047, "matching_engine_queue_full", id="queue full"),
    pytest.param(13028, "temporarily_unavailable", id="unavailable"),
    pytest.param(11051, "system_maintenance", id="maintenance"),
]
each_case = pytest.mark.parametrize(
    ("name", "side"),
    [pytest.param(LINEAR, BUY, id="linear long"), pytest.param(INVERSE, SELL, id="inverse short")],
)


@pytest.fixture(autouse=True)
def _brisk(monkeypatch):
    monkeypatch.setattr(patience, "RETRY_DELAYS_S", (0.01, 0.02, 0.03))


@contextlib.contextmanager
def impatient(rig):
    """An answer that does not come is not waited for long."""
    patience_s, rig.client._call_timeout_s = rig.client._call_timeout_s, 0.2
    yield
    rig.client._call_timeout_s = patience_s


def closing(side):
    return "private/sell" if side is BUY else "private/buy"


async def order_of(rig, trade, role):
    return (await rig.rows(trade.trade_id))[role]


# --- cancels


async def test_a_cancel_that_was_lost_is_repeated_because_the_order_is_seen_to_rest(rig):
    trade = await rig.enter()
    target = await order_of(rig, trade, Role.TARGET)
    rig.server.faults.lose_requests("private/cancel")
    with impatient(rig):
        outcome = await rig.desk.cancel(target.order_id, why="to see")
    assert isinstance(outcome, Confirmed)
    assert (await rig.ledger.order(target.label)).status is OrderStatus.CANCELLED


@pytest.mark.fault("E27")
async def test_a_cancel_whose_answer_was_lost_is_not_repeated(rig):
    """FAULTS E27: no second cancel, but a look."""
    trade = await rig.enter()
    target = await order_of(rig, trade, Role.TARGET)
    rig.server.faults.withhold_replies("private/cancel")
    with impatient(rig):
        outcome = await rig.desk.cancel(target.order_id, why="to see")
    assert isinstance(outcome, Confirmed)
    assert rig.venue.acts().count("private/cancel") == 1


@pytest.mark.parametrize(("code", "message"), LATER)
async def test_a_cancel_that_is_to_be_sent_later_is_sent_later(rig, code, message):
    trade = await rig.enter()
    target = await order_of(rig, trade, Role.TARGET)
    rig.venue.refuse("private/cancel", code, message, times=2)
    assert isinstance(await rig.desk.cancel(target.order_id, why="to see"), Confirmed)
    assert rig.venue.acts().count("private/cancel") == 3


async def test_cancelling_ends_though_the_exchange_never_answers_to_the_point(rig):
    trade = await rig.enter()
    target = await order_of(rig, trade, Role.TARGET)
    rig.venue.refuse("private/cancel", 13028, "temporarily_unavailable", times=50)
    assert isinstance(await rig.desk.cancel(target.order_id, why="to see"), Unknown)
    assert rig.venue.acts().count("private/cancel") == 1 + len(patience.RETRY_DELAYS_S)


async def test_no_further_try_begins_after_the_budget_is_spent(rig, monkeypatch):
    monkeypatch.setattr(patience, "RETRY_BUDGET_S", 0.015)
    trade = await rig.enter()
    target = await order_of(rig, trade, Role.TARGET)
    rig.venue.refuse("private/cancel", 13028, "temporarily_unavailable", times=50)
    assert isinstance(await rig.desk.cancel(target.order_id, why="to see"), Unknown)
    assert rig.venue.acts().count("private/cancel") <= 2


async def test_a_definite_no_to_a_cancel_is_not_argued_with(rig):
    trade = await rig.enter()
    target = await order_of(rig, trade, Role.TARGET)
    rig.venue.refuse("private/cancel", 10045, "can_not_cancel_liquidation_order")
    outcome = await rig.desk.cancel(target.order_id, why="to see")
    assert isinstance(outcome, Refused)
    assert rig.venue.acts().count("private/cancel") == 1


@each_case
@pytest.mark.fault("E26", "E27")
async def test_when_a_fill_overtakes_a_cancel_the_fill_wins(rig, name, side):
    """FAULTS E27, E26: and nothing is sent on top of it."""
    trade = await rig.enter(name, side)
    beyond = trade.stop_loss - side.sign * 300
    rig.venue.before("private/cancel", lambda _: rig.price(name, beyond))
    outcome = await rig.desk.close(trade, STRATEGY_STOP)
    assert isinstance(outcome, Refused)
    assert outcome.code == NOT_SENT
    closed = await rig.closed(trade.trade_id)
    assert closed.exit_reason is ExitReason.SL_HIT
    assert rig.position(name) == 0
    assert closing(side) not in rig.venue.acts()
    await rig.reconcile()
    await rig.reconcile()
    await rig.assert_agreement()


# --- edits


@pytest.fixture
async def held(rig):
    trade = await rig.enter()
    return trade, await order_of(rig, trade, Role.STOP), trade.stop_loss + 100


async def test_an_edit_whose_answer_was_lost_is_confirmed_by_looking(rig, held):
    trade, stop, price = held
    rig.server.faults.withhold_replies("private/edit")
    with impatient(rig):
        outcome = await rig.desk.amend(stop.order_id, amount=trade.open_amount, trigger_price=price)
    assert isinstance(outcome, Confirmed)
    assert outcome.order.trigger_price == price
    assert (await rig.ledger.order(stop.label)).trigger_price == price
    assert rig.venue.acts().count("private/edit") == 1


@pytest.mark.fault("E28")
async def test_an_edit_that_was_lost_is_in_doubt_for_as_long_as_it_may_still_arrive(
    rig, held, monkeypatch
):
    """FAULTS E28: until then every reading is one of two, and is not the last."""
    monkeypatch.setattr(desk_module, "EDIT_MARGIN_MS", 50)
    trade, stop, price = held
    rig.server.faults.lose_requests("private/edit")
    with impatient(rig):
        assert not await rig.desk.tighten_stop(trade, price)
    assert (await rig.ledger.order(stop.label)).trigger_price == trade.stop_loss
    assert rig.desk.has_edits_in_doubt(rig.client.exchange_now_ms())
    run = await rig.reconcile()
    assert run.is_unsettled, "the late edit may still undo this one"
    assert {order.trigger_price for order in rig.resting()} >= {price}
    await rig.until(lambda: not rig.desk.has_edits_in_doubt(rig.client.exchange_now_ms()))
    assert not (await rig.reconcile()).is_unsettled
    await rig.assert_agreement()


@pytest.mark.fault("E28")
async def test_an_edit_that_another_one_overtook_is_looked_up(rig, held):
    trade, stop, price = held
    rig.venue.refuse("private/edit", 13777, "replaced")
    assert not await rig.desk.tighten_stop(trade, price)
    await rig.reconcile()
    assert {order.trigger_price for order in rig.resting()} >= {price}
    await rig.reconcile()
    await rig.assert_agreement()


async def test_an_edit_of_a_stop_that_has_fired_is_no_edit(rig, held):
    trade, _, price = held
    rig.venue.before("private/edit", lambda _: rig.price(LINEAR, trade.stop_loss - 300))
    assert not await rig.desk.tighten_stop(trade, price)
    assert (await rig.closed(trade.trade_id)).exit_reason is ExitReason.SL_HIT
    assert not rig.desk.has_edits_in_doubt(rig.client.exchange_now_ms())


# --- closes and protection


@each_case
@pytest.mark.fault("E24")
async def test_a_close_over_a_flat_position_has_what_it_wanted(rig, name, side):
    """FAULTS E24: no flip, and no second try."""
    trade = await rig.enter(name, side)
    rig.account.put = lambda event: None
    await rig.person.call("private/close_position", instrument_name=name, type="market")
    outcome = await rig.desk.close(trade, STRATEGY_STOP)
    assert is_flat_already(outcome)
    assert rig.position(name) == 0
    assert rig.venue.acts().count(closing(side)) == 1
    await rig.reconcile()
    closed = await rig.trade(trade.trade_id)
    assert (closed.is_open, closed.exit_reason) == (False, ExitReason.MANUAL)
    assert closed.pnl == await rig.exchange_pnl(name)


async def test_the_same_refusal_over_a_position_that_is_still_there_is_a_refusal(rig):
    """Somebody's reduce-only order covers it; the position is no less there."""
    trade = await rig.enter()
    rig.venue.refuse("private/sell", OTHER_REJECT, "other_reject invalid_reduce_only_order")
    outcome = await rig.desk.close(trade, STRATEGY_STOP)
    assert isinstance(outcome, Refused)
    assert not is_flat_already(outcome)


@pytest.mark.parametrize(("code", "message"), LATER)
@each_case
@pytest.mark.fault("E7")
async def test_a_close_of_the_whole_position_is_repeated_until_it_is_done(
    rig, name, side, code, message
):
    """Each try is an attempt of its own, on disk before the wire. FAULTS E7."""
    trade = await rig.enter(name, side)
    rig.venue.refuse(closing(side), code, message, times=2)
    assert isinstance(await rig.desk.close(trade, STRATEGY_STOP), Confirmed)
    closed = await rig.closed(trade.trade_id)
    assert closed.exit_reason is STRATEGY_STOP
    attempts = [
        (row.intent_id, row.attempt)
        for row in await rig.ledger.orders_of_trade(trade.trade_id)
        if row.role is Role.CLOSE
    ]
    assert attempts == [(4, 1), (4, 2), (4, 3)]
    await rig.until_reconciled(lambda: not rig.runs[-1].is_unsettled if rig.runs else False)
    await rig.assert_agreement()


async def test_two_closes_of_the_whole_position_close_it_once(rig):
    """The first one arrives after all, just before the second."""
    trade = await rig.enter()

    def first_arrives(request):
        form = OrderForm(
            instrument_name=LINEAR,
            direction=SELL,
            order_type=OrderType.MARKET,
            amount=trade.open_amount,
            label="vg-s-4-1",
            reduce_only=True,
        )
        rig.venue.exchange.engine.place(form, now_ms=rig.clock.now_ms(), connection_id=None)

    rig.server.faults.lose_requests("private/sell")
    rig.venue.before("private/sell", first_arrives)
    with impatient(rig):
        outcome = await rig.desk.close(trade, STRATEGY_STOP)
    assert is_flat_already(outcome)
    closed = await rig.closed(trade.trade_id)
    assert closed.exit_reason is STRATEGY_STOP
    assert rig.position(LINEAR) == 0, "it never turns round"
    await rig.reconcile()
    await rig.assert_agreement()


async def test_a_close_of_a_part_is_not_repeated(rig):
    """Two parts add up: the second would be taken from the other trade. FAULTS §4.5."""
    first = await rig.enter(strategy_id="a")
    second = await rig.enter(strategy_id="b", amount=Decimal("0.1"))
    rig.venue.refuse("private/sell", 10041, "settlement_in_progress")
    outcome = await rig.desk.close(second, STRATEGY_STOP)
    assert isinstance(outcome, Unknown)
    assert rig.venue.acts().count("private/sell") == 1
    assert rig.position(LINEAR) == first.open_amount + second.open_amount


async def test_a_close_that_cannot_be_looked_up_is_not_repeated(rig):
    trade = await rig.enter()
    rig.venue.refuse("private/sell", 10041, "settlement_in_progress")
    rig.venue.refuse("private/get_positions", 13028, "temporarily_unavailable")
    assert isinstance(await rig.desk.close(trade, STRATEGY_STOP), Unknown)
    assert rig.venue.acts().count("private/sell") == 1


@pytest.mark.fault("E7")
async def test_an_entry_is_never_repeated_whatever_the_answer(rig):
    for code, message in ((10041, "settlement_in_progress"), (13028, "temporarily_unavailable")):
        rig.venue.refuse("private/buy", code, message)
        outcome = await rig.desk.enter(
            await rig.approved(),
            instrument_name=LINEAR,
            author=desk_module.Author(strategy_id="s", strategy_name="Scripted"),
        )
        assert isinstance(outcome, Unknown)
    assert rig.venue.acts() == ["private/buy"] * 2
    assert rig.position(LINEAR) == 0


async def test_protection_of_the_whole_position_is_repeated_until_it_rests(rig):
    trade = await rig.enter()
    for role in (Role.STOP, Role.TARGET):
        await rig.desk.cancel((await order_of(rig, trade, role)).order_id, why="to see")
    rig.venue.refuse("private/sell", 10047, "matching_engine_queue_full", times=2)
    assert isinstance(await rig.desk.protect(trade), Confirmed)
    assert {order.trigger_price for order in rig.resting()} >= {trade.stop_loss}
    assert len(rig.resting()) == 2
    assert {order.amount for order in rig.resting()} == {LOT[LINEAR]}
    await rig.until_reconciled(lambda: not rig.runs[-1].is_unsettled if rig.runs else False)
    await rig.assert_agreement()
