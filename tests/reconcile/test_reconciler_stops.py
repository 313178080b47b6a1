"""Stops that fired and did not fill, and protection that a lost connection took away.

FAULTS E8, E9, E25.
"""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from rig import BUY, INVERSE, LINEAR, LOT, SELL, by_status
from vigil.desk import desk as desk_module
from vigil.domain.order import OrderStatus, OrderType, Role
from vigil.domain.trade import ExitReason
from vigil.supervision.restarts import ChildSpec
from vigil.trading.execution import Author, plan_entry, plan_protection

AUTHOR = Author(strategy_id="s", strategy_name="Scripted")
each_case = pytest.mark.parametrize(
    ("name", "side"),
    [pytest.param(LINEAR, BUY, id="linear long"), pytest.param(INVERSE, SELL, id="inverse short")],
)


async def cancel_by_hand(rig, trade, *roles):
    rows = await rig.rows(trade.trade_id)
    for role in roles:
        await rig.person.call("private/cancel", order_id=rows[role].order_id)
    await rig.until(lambda: are_final(rig, trade, roles))


async def are_final(rig, trade, roles):
    rows = await rig.rows(trade.trade_id)
    return all(rows[role].status.is_final for role in roles)


async def with_stop_limit(rig, monkeypatch, name, side):
    """A trade whose stop places a limit order that the market has left behind when it fires."""
    trade = await rig.enter(name, side, target=None)
    await cancel_by_hand(rig, trade, Role.STOP)

    def plan(*args, **options):
        market = plan_protection(*args, **options)
        price = trade.stop_loss + side.sign * 100
        terms = {"order_type": OrderType.STOP_LIMIT, "price": price}
        return replace(
            market,
            request=replace(market.request, **terms),
            orders=tuple(replace(row, **terms) for row in market.orders),
        )

    with monkeypatch.context() as patch:
        patch.setattr(desk_module, "plan_protection", plan)
        await rig.desk.protect(trade)
    await rig.reconcile()
    await rig.reconcile()
    return trade


@each_case
@pytest.mark.fault("E25")
async def test_a_stop_that_fired_and_whose_order_only_rests_becomes_a_close_at_market(
    rig, monkeypatch, name, side
):
    """FAULTS E25: the price has run away from what the stop placed."""
    trade = await with_stop_limit(rig, monkeypatch, name, side)
    rig.price(name, trade.stop_loss - side.sign * 300)
    stop = await rig.until(lambda: fired(rig, trade))
    assert rig.position(name) == trade.signed_open_amount, "it has fired and not filled"
    run = await rig.reconcile()
    assert f"trade {trade.trade_id}: stop {stop.label} has fired and did not fill" in run.drifts
    closed = await rig.closed(trade.trade_id)
    assert closed.exit_reason is ExitReason.SL_HIT
    assert rig.resting() == []
    kinds = {one.kind for one in await rig.ledger.open_incidents()}
    assert kinds <= {"stop_unfilled"}
    await rig.reconcile()
    await rig.reconcile()
    assert await rig.incidents() == {}
    await rig.assert_agreement()


async def fired(rig, trade):
    row = (await rig.rows(trade.trade_id))[Role.STOP]
    return row if row.status is OrderStatus.TRIGGERED else None


@pytest.mark.fault("E25")
async def test_a_stop_that_fired_and_left_nothing_behind_becomes_a_close_at_market(
    rig, monkeypatch
):
    trade = await with_stop_limit(rig, monkeypatch, LINEAR, BUY)
    rig.account.put = lambda event: None
    rig.price(LINEAR, trade.stop_loss - 300)
    spawned = await rig.until(
        lambda: next((one for one in rig.resting() if one.order_type is OrderType.LIMIT), None)
    )
    stop = (await rig.rows(trade.trade_id))[Role.STOP]
    seen = await rig.client.orders_by_label("USDC", stop.label)
    await rig.books.book_orders([one for one in seen if one.status is OrderStatus.TRIGGERED])
    assert (await rig.ledger.order(stop.label)).status is OrderStatus.TRIGGERED
    await rig.person.call("private/cancel", order_id=spawned.order_id)
    await rig.reconcile()
    await rig.reconcile()
    closed = await rig.trade(trade.trade_id)
    assert (closed.is_open, closed.exit_reason) == (False, ExitReason.SL_HIT)
    await rig.reconcile()
    await rig.assert_agreement()


async def test_a_stop_that_has_just_fired_is_left_to_its_fill(rig, monkeypatch):
    trade = await with_stop_limit(rig, monkeypatch, LINEAR, BUY)
    rig.price(LINEAR, trade.stop_loss - 300)
    await rig.until(lambda: fired(rig, trade))
    acts = rig.venue.acts()
    await rig.reconciler.run_once("at once")
    assert rig.venue.acts() == acts
    assert rig.runs[-1].is_unsettled


# --- cancel-on-disconnect, which the account's owner may have switched on


async def cancel_on_disconnect(rig):
    await rig.client._ask("private/enable_cancel_on_disconnect", {"scope": "connection"})


@each_case
@pytest.mark.fault("E9")
async def test_protection_that_went_with_the_connection_is_back_in_the_first_pass(rig, name, side):
    """FAULTS E9."""
    await cancel_on_disconnect(rig)
    trade = await rig.enter(name, side)
    await rig.reconcile()
    await rig.drop_session()
    assert rig.resting() == [], "the exchange has cancelled both"
    await rig.reconcile("reconnect")
    (stop,) = [one for one in rig.resting() if one.order_type is OrderType.STOP_MARKET]
    assert (stop.amount, stop.trigger_price) == (trade.open_amount, trade.stop_loss)
    await rig.reconcile()
    await rig.assert_agreement()


async def test_the_loop_restores_it_within_seconds_of_the_reconnect(rig):
    await cancel_on_disconnect(rig)
    await rig.enter()
    await rig.reconcile()
    rig.supervisor.add_child(ChildSpec(name="reconciler", start=rig.reconciler.run))
    await rig.drop_session()
    live_s = rig.clock.elapsed_s()
    await rig.until(lambda: len(rig.resting()) == 2)
    assert rig.clock.elapsed_s() - live_s < 5


@pytest.fixture
def partly_filled(monkeypatch):
    """Entries are limit orders at the best price, for more than is offered there."""

    def plan(approved, **options):
        market = plan_entry(approved, **options)
        terms = {"order_type": OrderType.LIMIT, "price": approved.reference_price}
        entry, *linked = market.orders
        return replace(
            market,
            request=replace(market.request, **terms),
            orders=(replace(entry, **terms), *linked),
        )

    monkeypatch.setattr(desk_module, "plan_entry", plan)


@each_case
@pytest.mark.fault("E8")
async def test_of_an_entry_cut_short_by_a_lost_connection_the_filled_part_is_protected(
    rig, partly_filled, name, side
):
    """FAULTS E8: the rest is cancelled, and the stop has the size of what is held."""
    await cancel_on_disconnect(rig)
    await rig.desk.enter(await rig.approved(name, side), instrument_name=name, author=AUTHOR)
    trade = await rig.until(lambda: rig.trade_if("t1", lambda one: one.is_open))
    assert 0 < trade.open_amount < LOT[name]
    await rig.drop_session()
    for _ in range(2):
        await rig.reconcile("reconnect")
    held = await rig.trade("t1")
    assert rig.position(name) == held.signed_open_amount
    assert abs(rig.position(name)) < LOT[name]
    assert by_status(await rig.rows("t1"))[Role.ENTRY] is OrderStatus.CANCELLED
    (stop,) = [one for one in rig.resting() if one.order_type is OrderType.STOP_MARKET]
    assert (stop.amount, stop.trigger_price) == (held.open_amount, held.stop_loss)
    await rig.reconcile()
    await rig.assert_agreement()


async def test_without_it_the_entry_and_its_protection_outlive_the_connection(rig):
    trade = await rig.enter()
    await rig.reconcile()
    before = {order.order_id for order in rig.resting()}
    await rig.drop_session()
    await rig.reconcile("reconnect")
    assert {order.order_id for order in rig.resting()} == before
    assert (await rig.trade(trade.trade_id)).open_amount == LOT[LINEAR] > Decimal(0)


@pytest.mark.fault("E34")
async def test_what_a_stop_placed_in_a_strange_state_is_cancelled_before_the_close(
    rig, monkeypatch
):
    """Recorded as gone, it would go on working beside the close."""
    trade = await with_stop_limit(rig, monkeypatch, LINEAR, BUY)
    rig.price(LINEAR, trade.stop_loss - 300)
    stop = await rig.until(lambda: fired(rig, trade))
    honest = rig.client.orders_by_label

    async def strange(currency, label):
        return tuple(
            replace(one, status=OrderStatus.UNKNOWN) for one in await honest(currency, label)
        )

    monkeypatch.setattr(rig.client, "orders_by_label", strange)
    await rig.reconcile()
    await rig.closed(trade.trade_id)
    assert rig.resting() == []
    assert (
        await rig.ledger.order(stop.label)
    ).reason != "fired, and what it placed is gone without a fill"
    await rig.reconcile()
    await rig.assert_agreement()


async def test_a_stop_that_fires_on_what_was_closed_by_hand_is_over(rig):
    """The exchange ends it as rejected, since there is nothing to reduce."""
    trade = await rig.enter()
    await rig.reconcile()
    await rig.person.call("private/close_position", instrument_name=LINEAR, type="market")
    rig.price(LINEAR, trade.stop_loss - 300)
    for _ in range(3):
        run = await rig.reconcile()
    assert (run.remedies, run.is_unsettled) == ((), False)
    assert by_status(await rig.rows(trade.trade_id))[Role.STOP] is OrderStatus.REJECTED
    await rig.assert_agreement()
