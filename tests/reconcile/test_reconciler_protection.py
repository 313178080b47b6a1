"""A trade is never left without its stop for longer than a pass: missing, wrong, leftover, lost."""

from decimal import Decimal

import pytest

from rig import BUY, INVERSE, LINEAR, LOT, SELL, by_status
from vigil.deribit.outcome import Confirmed
from vigil.domain.order import OrderStatus, Role
from vigil.domain.trade import ExitReason, PnlSource
from vigil.trading.execution import Author

each_case = pytest.mark.parametrize(
    ("name", "side"),
    [
        pytest.param(LINEAR, BUY, id="linear long"),
        pytest.param(LINEAR, SELL, id="linear short"),
        pytest.param(INVERSE, BUY, id="inverse long"),
        pytest.param(INVERSE, SELL, id="inverse short"),
    ],
)
AUTHOR = Author(strategy_id="s", strategy_name="Scripted")


async def cancel_by_hand(rig, trade, *roles):
    rows = await rig.rows(trade.trade_id)
    for role in roles:
        await rig.person.call("private/cancel", order_id=rows[role].order_id)


def assert_pair_rests(rig, trade):
    resting = {order.order_type.value: order for order in rig.resting(trade.instrument_name)}
    assert set(resting) == {"stop_market", "limit"}
    assert resting["stop_market"].trigger_price == trade.stop_loss
    assert resting["limit"].price == trade.take_profit
    assert resting["stop_market"].oco_ref == resting["limit"].oco_ref is not None
    assert {order.amount for order in resting.values()} == {trade.open_amount}
    assert all(order.reduce_only for order in resting.values())


@pytest.mark.parametrize(
    "roles",
    [
        pytest.param((Role.STOP,), id="stop"),
        pytest.param((Role.TARGET,), id="target"),
        pytest.param((Role.STOP, Role.TARGET), id="both"),
    ],
)
@each_case
async def test_what_is_missing_of_the_protection_is_restored_as_a_pair(rig, name, side, roles):
    trade = await rig.enter(name, side)
    await cancel_by_hand(rig, trade, *roles)
    run = await rig.reconcile()
    assert f"trade {trade.trade_id}: protection restored" in run.remedies
    await rig.until(lambda: len(rig.resting()) == 2)
    assert_pair_rests(rig, trade)
    await rig.reconcile()
    await rig.assert_agreement()
    rig.price(name, trade.stop_loss - side.sign * 30)
    closed = await rig.closed(trade.trade_id)
    assert closed.exit_reason is ExitReason.SL_HIT
    assert closed.pnl == await rig.exchange_pnl(name)
    await rig.reconcile()
    await rig.assert_agreement()


@each_case
async def test_a_price_beyond_the_stop_while_unprotected_closes_at_market(rig, name, side):
    trade = await rig.enter(name, side)
    await cancel_by_hand(rig, trade, Role.STOP)
    rig.price(name, trade.stop_loss - side.sign * 30)
    run = await rig.reconcile()
    assert f"trade {trade.trade_id}: closed at market" in run.remedies
    closed = await rig.closed(trade.trade_id)
    assert (closed.exit_reason, closed.pnl_source) == (ExitReason.SL_HIT, PnlSource.FILLS)
    assert closed.pnl == await rig.exchange_pnl(name)
    assert (await rig.reconcile()).drifts == ()
    await rig.assert_agreement()


@pytest.mark.parametrize(
    ("role", "change"),
    [
        pytest.param(Role.STOP, "amount", id="stop of the wrong size"),
        pytest.param(Role.STOP, "trigger_price", id="stop at the wrong price"),
        pytest.param(Role.TARGET, "amount", id="target of the wrong size"),
    ],
)
@each_case
async def test_what_a_person_changed_of_the_protection_is_set_right_again(
    rig, name, side, role, change
):
    trade = await rig.enter(name, side)
    row = (await rig.rows(trade.trade_id))[role]
    wish = {"amount": row.amount}
    if role is Role.STOP:
        wish["trigger_price"] = row.trigger_price
    else:
        wish["price"] = row.price
    wish[change] = LOT[name] / 2 if change == "amount" else row.trigger_price - side.sign * 100
    await rig.person.call("private/edit", order_id=row.order_id, **wish)
    run = await rig.reconcile()
    assert run.remedies == (f"trade {trade.trade_id}: {role.value} fitted",)
    assert_pair_rests(rig, trade)
    assert rig.venue.acts()[-1:] == ["private/edit"]
    assert (await rig.reconcile()).drifts == ()
    await rig.assert_agreement()


async def test_a_stop_whose_linked_order_vanished_at_activation_is_recorded_failed_and_healed(rig):
    """The price fell through the stop between decision and fill; PROTOCOL §11."""
    approved = await rig.approved()
    rig.price(LINEAR, approved.bracket.stop_price - 100)
    outcome = await rig.desk.enter(approved, instrument_name=LINEAR, author=AUTHOR)
    assert isinstance(outcome, Confirmed)
    (trade,) = await rig.until(lambda: open_trades(rig))
    await rig.until(lambda: has_status(rig, trade, Role.TARGET, OrderStatus.OPEN))
    assert [order.order_type.value for order in rig.resting()] == ["limit"]
    await rig.reconcile()
    closed = await rig.closed(trade.trade_id)
    assert closed.exit_reason is ExitReason.SL_HIT
    assert closed.pnl == await rig.exchange_pnl(LINEAR)
    await rig.reconcile()
    await rig.reconcile()
    statuses = by_status(await rig.rows(trade.trade_id))
    assert statuses == {
        Role.ENTRY: OrderStatus.FILLED,
        Role.STOP: OrderStatus.FAILED,
        Role.TARGET: OrderStatus.CANCELLED,
        Role.CLOSE: OrderStatus.FILLED,
    }
    await rig.assert_agreement()


async def test_a_vanished_stop_is_placed_anew_once_the_price_is_back(rig):
    approved = await rig.approved()
    rig.price(LINEAR, approved.bracket.stop_price - 100)
    await rig.desk.enter(approved, instrument_name=LINEAR, author=AUTHOR)
    (trade,) = await rig.until(lambda: open_trades(rig))
    rig.price(LINEAR, 95_000)
    await rig.reconcile()
    await rig.reconcile()
    assert_pair_rests(rig, trade)
    assert (await rig.reconcile()).drifts == ()
    await rig.assert_agreement()


async def test_an_entry_without_target_is_protected_by_its_stop_alone(rig):
    trade = await rig.enter(target=None)
    assert trade.take_profit is None
    await cancel_by_hand(rig, trade, Role.STOP)
    await rig.reconcile()
    assert [order.trigger_price for order in rig.resting()] == [trade.stop_loss]
    await rig.reconcile()
    await rig.assert_agreement()


async def test_where_a_pair_is_refused_the_stop_is_placed_alone(rig):
    trade = await rig.enter()
    await cancel_by_hand(rig, trade, Role.STOP, Role.TARGET)
    rig.venue.refuse("private/sell", 13901, "no_more_oto_orders")
    await rig.reconcile()
    assert [order.order_type.value for order in rig.resting()] == ["stop_market"]
    run = await rig.reconcile()
    assert run.drifts == (), "it is not exchanged for a pair that would be refused again"
    await rig.assert_agreement()


async def test_a_pair_that_was_not_sent_is_no_pair_that_was_refused(rig):
    """A stop placed alone would stay alone, and the target never come back."""
    trade = await rig.enter()
    await cancel_by_hand(rig, trade, Role.TARGET)
    rig.venue.refuse("private/cancel", 10045, "can_not_cancel_liquidation_order")
    await rig.reconcile()
    await rig.reconcile()
    assert len(rig.resting()) == 2
    assert "protection_refused t1" not in await rig.incidents()
    await rig.assert_agreement()


async def test_what_is_closed_while_it_is_protected_is_nothing_to_tell_people_of(rig):
    trade = await rig.enter()
    await cancel_by_hand(rig, trade, Role.STOP, Role.TARGET)
    close = {"instrument_name": LINEAR}
    rig.venue.before("private/sell", lambda _: rig.server.deeds.do("close-by-hand", **close))
    run = await rig.reconcile()
    assert f"trade {trade.trade_id}: nothing left to protect" in run.remedies
    assert rig.venue.acts().count("private/sell") == 1
    assert rig.sql("SELECT kind FROM incidents WHERE kind = 'protection_refused'") == []
    await rig.reconcile()
    assert not (await rig.trade(trade.trade_id)).is_open


async def test_a_stop_that_stays_refused_is_one_incident_until_it_rests(rig):
    trade = await rig.enter()
    await cancel_by_hand(rig, trade, Role.STOP, Role.TARGET)
    # Once in a pass: the stop alone would meet the same lock as the pair.
    rig.venue.refuse("private/sell", 11098, "account_locked", times=2)
    key = f"protection_refused {trade.trade_id}"
    for _ in range(2):
        run = await rig.reconcile()
        assert (run.outcome, run.is_unsettled) == ("ok", True)
    incident = (await rig.incidents())[key]
    assert incident.count == 2
    assert "account_locked" in incident.message
    await rig.reconcile()
    assert_pair_rests(rig, trade)
    await rig.reconcile()
    assert key not in await rig.incidents()


async def test_a_stop_the_exchange_would_fire_at_once_is_a_close_instead(rig):
    """The mark moves beyond the stop between the reading and the order: 11036."""
    trade = await rig.enter()
    await cancel_by_hand(rig, trade, Role.STOP, Role.TARGET)
    rig.venue.before("private/sell", lambda _: rig.price(LINEAR, trade.stop_loss - 100))
    await rig.reconcile()
    closed = await rig.closed(trade.trade_id)
    assert closed.exit_reason is ExitReason.SL_HIT
    await rig.reconcile()
    await rig.assert_agreement()


async def test_leftover_orders_of_a_closed_trade_are_cancelled(rig):
    trade = await rig.enter()
    await rig.supervisor.remove_child("session")
    await rig.person.call("private/close_position", instrument_name=LINEAR, type="market")
    assert len(rig.resting()) == 2
    rig.start_session()
    await rig.until(lambda: rig.client.is_live)
    run = await rig.reconcile()
    assert not (await rig.trade(trade.trade_id)).is_open
    assert rig.resting() == []
    assert len([line for line in run.remedies if line.startswith("leftover order")]) == 2
    await rig.reconcile()
    await rig.assert_agreement()


async def test_a_trade_without_a_stop_price_is_told_and_nothing_is_invented(rig):
    bought = await rig.person.call(
        "private/buy", instrument_name=LINEAR, amount=Decimal("0.01"), type="market"
    )
    rig.insert_trade(entry_order_id=bought["order"]["order_id"], stop_loss=None, take_profit=None)
    await rig.reconcile()
    assert set(await rig.incidents()) == {"unprotectable_trade by_hand"}
    assert rig.venue.acts() == []
    rig.sql("UPDATE trades SET stop_loss = '94000' WHERE id = 'by_hand'")
    await rig.reconcile()
    await rig.reconcile()
    assert await rig.incidents() == {}
    await rig.assert_agreement()


@each_case
async def test_protection_fits_each_of_two_trades_on_one_instrument(rig, name, side):
    first = await rig.enter(name, side, strategy_id="a")
    second = await rig.enter(name, side, strategy_id="b", amount=LOT[name] / 2, stop="0.8")
    await cancel_by_hand(rig, first, Role.STOP, Role.TARGET)
    await cancel_by_hand(rig, second, Role.STOP)
    await rig.reconcile()
    await rig.reconcile()
    await rig.assert_agreement()
    rig.price(name, second.stop_loss - side.sign * 30)
    assert (await rig.closed(second.trade_id)).exit_reason is ExitReason.SL_HIT
    await rig.reconcile()
    assert await rig.open_ids() == {first.trade_id}
    await rig.assert_agreement()


async def open_trades(rig):
    return (await rig.ledger.open_trades()).trades


async def has_status(rig, trade, role, status):
    return (await rig.rows(trade.trade_id))[role].status is status


def hibernating(rig):
    """Whatever the exchange lists is in a state that nobody knows."""
    rig.server.faults.arm(
        "mutate-reply",
        method="private/get_open_orders",
        change="unknown-enum",
        field="order_state",
        value="hibernating",
        count=100,
    )


@pytest.mark.fault("E34")
async def test_a_stop_in_a_state_that_nobody_knows_is_left_alone_and_told_of(rig):
    """Placing another could be one too many, and taking it for granted none at all."""
    trade = await rig.enter()
    before = {order.order_id for order in rig.resting()}
    hibernating(rig)
    for count in (1, 2):
        run = await rig.reconcile()
        assert run.remedies == ()
        incident = (await rig.incidents())[f"stop_unreadable {trade.trade_id}"]
        assert incident.count == count
    assert "order_state 'hibernating'" in incident.message
    assert rig.venue.acts() == ["private/buy"]
    assert {order.order_id for order in rig.resting()} == before
    assert rig.suspicions == []
    rig.server.faults.clear()
    assert not (await rig.reconcile()).is_unsettled
    assert await rig.incidents() == {}
    await rig.assert_agreement()
    assert (await rig.trade(trade.trade_id)).is_open


@pytest.mark.fault("E34")
async def test_a_stop_in_a_state_that_nobody_knows_and_that_should_have_fired_is_made_up_for(rig):
    """Its trigger was moved away, and its state says nothing: the price is beyond the stop."""
    trade = await rig.enter()
    stop = (await rig.rows(trade.trade_id))[Role.STOP]
    await rig.person.call(
        "private/edit", order_id=stop.order_id, amount=stop.amount, trigger_price=90_000
    )
    hibernating(rig)
    rig.price(LINEAR, trade.stop_loss - 30)
    await rig.until(lambda: rig.mark(LINEAR) < trade.stop_loss)
    await rig.reconcile()
    closed = await rig.closed(trade.trade_id)
    assert (closed.exit_reason, rig.position(LINEAR)) == (ExitReason.SL_HIT, 0)
    rig.server.faults.clear()
    await rig.reconcile()
    await rig.assert_agreement()
