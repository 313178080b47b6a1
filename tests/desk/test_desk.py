"""The only road to the wire: first on disk, then sent, then booked as what came back."""

import asyncio
from decimal import Decimal

import pytest

from rig import BUY, INVERSE, LEDGER_NAME, LINEAR, SELL, by_status
from vigil.deribit.outcome import NOT_SENT, Confirmed, Refused, Unknown
from vigil.domain.order import OrderStatus, Role
from vigil.domain.trade import ExitReason
from vigil.trading.execution import ORDER_VALIDITY_MS, Author

AUTHOR = Author(strategy_id="s", strategy_name="Scripted")
FAILED, REJECTED = OrderStatus.FAILED, OrderStatus.REJECTED


class OnDisk:
    """What the ledger's file held, read by another program, when a request reached the exchange."""

    def __init__(self, rig, method, select):
        self.rows = None
        self._rig, self._select = rig, select
        rig.venue.before(method, self._look)

    def _look(self, request):
        assert (self._rig.path / LEDGER_NAME).exists()
        self.request = request
        self.rows = self._rig.sql(self._select)


def order_labels(request):
    linked = request.params.get("otoco_config", ())
    return [request.params["label"], *(one["label"] for one in linked)]


async def test_an_entry_and_its_linked_orders_are_on_disk_when_the_exchange_hears_of_them(rig):
    seen = OnDisk(rig, "private/buy", "SELECT label, status, order_id FROM orders ORDER BY seq")
    await rig.enter()
    assert [row[0] for row in seen.rows] == order_labels(seen.request)
    assert {row[1:] for row in seen.rows} == {("pending", None)}
    assert len(seen.rows) == 3


async def test_an_order_is_valid_for_no_longer_than_it_may_be_in_doubt(rig):
    seen = OnDisk(rig, "private/buy", "SELECT 1")
    before_ms = rig.client.exchange_now_ms()
    await rig.enter()
    validity_ms = seen.request.params["valid_until"] - before_ms
    assert 0 < validity_ms < ORDER_VALIDITY_MS + 1_000


@pytest.mark.parametrize("name", [LINEAR, INVERSE])
@pytest.mark.parametrize("side", [BUY, SELL])
async def test_a_refused_entry_is_rejected_with_its_reason_and_its_linked_orders_fail(
    rig, name, side
):
    approved = await rig.approved(name, side)
    rig.venue.refuse(f"private/{side.value}", 10009, "not_enough_funds")
    outcome = await rig.desk.enter(approved, instrument_name=name, author=AUTHOR)
    assert outcome == Refused(code=10009, message="not_enough_funds")
    rows = await rig.rows("t1")
    assert by_status(rows) == {Role.ENTRY: REJECTED, Role.STOP: FAILED, Role.TARGET: FAILED}
    assert rows[Role.ENTRY].reason == "10009 not_enough_funds"
    assert await rig.open_ids() == set()
    assert (await rig.reconcile()).drifts == ()


async def test_an_answer_that_proves_nothing_leaves_the_entry_in_doubt(rig):
    approved = await rig.approved()
    rig.venue.refuse("private/buy", 13028, "temporarily_unavailable")
    outcome = await rig.desk.enter(approved, instrument_name=LINEAR, author=AUTHOR)
    assert isinstance(outcome, Unknown)
    rows = await rig.rows("t1")
    assert by_status(rows) == {
        Role.ENTRY: OrderStatus.IN_DOUBT,
        Role.STOP: OrderStatus.PENDING,
        Role.TARGET: OrderStatus.PENDING,
    }
    assert "13028" in rows[Role.ENTRY].reason


async def test_many_who_enter_at_once_do_not_overrun_the_matching_engine(rig):
    """It lets eight wait and refuses the next, whose order would be in doubt."""
    rig.venue.queue.processing_ms = 15
    approved = await rig.approved(amount=Decimal("0.001"))
    authors = [Author(strategy_id=f"s{i}", strategy_name="Scripted") for i in range(20)]
    outcomes = await asyncio.gather(
        *(rig.desk.enter(approved, instrument_name=LINEAR, author=one) for one in authors)
    )
    assert all(isinstance(outcome, Confirmed) for outcome in outcomes), outcomes


async def test_without_a_session_an_entry_is_rejected_and_never_sent_later(rig):
    approved = await rig.approved()
    await rig.supervisor.remove_child("session")
    outcome = await rig.desk.enter(approved, instrument_name=LINEAR, author=AUTHOR)
    assert isinstance(outcome, Refused)
    assert outcome.code == NOT_SENT
    assert set(by_status(await rig.rows("t1")).values()) == {REJECTED, FAILED}
    rig.start_session()
    await rig.until(lambda: rig.client.is_live)
    await rig.reconcile()
    assert rig.venue.acts() == []


@pytest.mark.parametrize("name", [LINEAR, INVERSE])
@pytest.mark.parametrize("side", [BUY, SELL])
async def test_a_close_cancels_the_protection_first_and_books_its_reason(rig, name, side):
    trade = await rig.enter(name, side)
    method = f"private/{side.opposite.value}"
    seen = OnDisk(rig, method, "SELECT status FROM orders WHERE role = 'close'")
    cancelling = OnDisk(rig, "private/cancel", "SELECT status FROM orders WHERE role = 'close'")
    outcome = await rig.desk.close(trade, ExitReason.EMERGENCY)
    assert isinstance(outcome, Confirmed)
    assert rig.venue.acts()[1:] == ["private/cancel", "private/cancel", method]
    assert cancelling.rows == [("pending",)], "committed before its protection is touched"
    assert seen.rows == [("pending",)]
    assert seen.request.params["reduce_only"] is True
    closed = await rig.closed(trade.trade_id)
    assert closed.exit_reason is ExitReason.EMERGENCY
    assert closed.pnl == await rig.exchange_pnl(name)
    assert by_status(await rig.rows(trade.trade_id)) == {
        Role.ENTRY: OrderStatus.FILLED,
        Role.STOP: OrderStatus.CANCELLED,
        Role.TARGET: OrderStatus.CANCELLED,
        Role.CLOSE: OrderStatus.FILLED,
    }
    assert (await rig.reconcile()).drifts == ()
    await rig.assert_agreement()


async def test_a_close_of_a_position_that_is_gone_is_refused_and_changes_nothing(rig):
    """The stop fired, or a person was quicker: no order flips the position. FAULTS E24, E26."""
    trade = await rig.enter()
    await rig.person.call("private/close_position", instrument_name=LINEAR, type="market")
    outcome = await rig.desk.close(trade, ExitReason.STRATEGY_STOP)
    assert isinstance(outcome, Refused)
    assert rig.position(LINEAR) == 0
    await rig.reconcile()
    closed = await rig.trade(trade.trade_id)
    assert closed.exit_reason is ExitReason.MANUAL
    await rig.reconcile()
    await rig.assert_agreement()


@pytest.mark.parametrize("name", [LINEAR, INVERSE])
async def test_a_stop_that_fires_while_we_close_takes_nothing_of_another_strategys_trade(rig, name):
    """Both share one net position: a close on top of the stop would eat into the other's part."""
    ours = await rig.enter(name, strategy_id="a", stop="1")
    other = await rig.enter(name, strategy_id="b", stop="40")
    fired_at = ours.entry_price * Decimal("0.98")
    rig.venue.before("private/cancel", lambda _: rig.price(name, fired_at))
    assert isinstance(await rig.desk.close(ours, ExitReason.STRATEGY_STOP), Refused)
    await rig.until(lambda: rig.position(name) == other.amount)
    await rig.reconcile()
    closed, untouched = await rig.trade(ours.trade_id), await rig.trade(other.trade_id)
    assert closed.exit_reason is ExitReason.SL_HIT
    assert untouched.open_amount == other.amount
    await rig.reconcile()
    await rig.assert_agreement()


async def test_a_refused_close_leaves_a_naked_trade_that_the_next_pass_protects(rig):
    trade = await rig.enter()
    rig.venue.refuse("private/sell", 11098, "account_locked")
    assert isinstance(await rig.desk.close(trade, ExitReason.STRATEGY_STOP), Refused)
    assert (await rig.rows(trade.trade_id))[Role.CLOSE].reason == "11098 account_locked"
    await rig.reconcile()
    await rig.reconcile()
    await rig.assert_agreement()
    assert len(rig.resting()) == 2


@pytest.mark.parametrize("name", [LINEAR, INVERSE])
@pytest.mark.parametrize("side", [BUY, SELL])
async def test_a_tightened_stop_is_on_disk_before_it_is_edited(rig, name, side):
    trade = await rig.enter(name, side)
    price = trade.stop_loss + side.sign * 100
    seen = OnDisk(rig, "private/edit", "SELECT stop_loss FROM trades")
    assert await rig.desk.tighten_stop(trade, price)
    assert [Decimal(row[0]) for row in seen.rows] == [price]
    (stop,) = [order for order in rig.resting() if order.waits_for_trigger]
    assert (stop.trigger_price, stop.amount) == (price, trade.amount)
    assert (await rig.reconcile()).drifts == ()
    await rig.assert_agreement()


async def test_a_stop_that_could_not_be_moved_is_moved_by_the_next_pass(rig):
    trade = await rig.enter()
    price = trade.stop_loss + 100
    rig.venue.refuse("private/edit", 11031, "other_error")
    assert not await rig.desk.tighten_stop(trade, price)
    run = await rig.reconcile()
    assert run.remedies == (f"trade {trade.trade_id}: stop fitted",)
    await rig.assert_agreement()


async def test_a_trade_without_a_resting_stop_cannot_have_it_moved(rig):
    trade = await rig.enter()
    stop = (await rig.rows(trade.trade_id))[Role.STOP]
    await rig.desk.cancel(stop.order_id, why="to see")
    assert not await rig.desk.tighten_stop(trade, trade.stop_loss + 100)
    assert (await rig.trade(trade.trade_id)).stop_loss == trade.stop_loss + 100


async def test_cancelling_what_is_cancelled_already_is_confirmed_by_looking(rig):
    trade = await rig.enter()
    stop = (await rig.rows(trade.trade_id))[Role.STOP]
    assert isinstance(await rig.desk.cancel(stop.order_id, why="to see"), Confirmed)
    assert isinstance(await rig.desk.cancel(stop.order_id, why="again"), Confirmed)
    assert rig.venue.acts().count("private/cancel") == 2
    assert (await rig.ledger.order(stop.label)).status is OrderStatus.CANCELLED


async def test_no_label_is_ever_used_twice(rig):
    for _ in range(3):
        trade = await rig.enter()
        await rig.desk.close(trade, ExitReason.STRATEGY_STOP)
        await rig.closed(trade.trade_id)
    labels = [
        label
        for _, request in rig.venue.asked
        if request.method in ("private/buy", "private/sell")
        for label in order_labels(request)
    ]
    assert len(labels) == len(set(labels)) == 3 * 4
