"""Whoever wanted an act is cancelled in the middle of it: as when Vigil stops, or a file is saved."""

import asyncio

import pytest
import structlog

from rig import BUY, LINEAR
from vigil.deribit.outcome import Confirmed, Refused
from vigil.desk import desk as desk_module
from vigil.desk import finishing, patience
from vigil.domain.order import OrderStatus, Role
from vigil.domain.trade import ExitReason
from vigil.trading import execution
from vigil.trading.execution import Author

AUTHOR = Author(strategy_id="s", strategy_name="Scripted")
STRATEGY_STOP = ExitReason.STRATEGY_STOP


@pytest.fixture(autouse=True)
def _brisk(monkeypatch):
    monkeypatch.setattr(patience, "RETRY_DELAYS_S", (0.01, 0.02, 0.03))


async def broken_off(rig, act, method):
    """Start `act`, and cancel it when the exchange hears of its first request of that method."""
    acting = asyncio.ensure_future(act)
    rig.venue.before(method, lambda _: acting.cancel())
    with pytest.raises(asyncio.CancelledError):
        await acting


@pytest.mark.parametrize("method", ["private/cancel", "private/sell"])
async def test_a_close_is_carried_to_its_end(rig, method):
    """Its protection is gone already: what is left would stand bare until somebody looks."""
    trade = await rig.enter()
    await broken_off(rig, rig.desk.close(trade, STRATEGY_STOP), method)
    assert rig.position(LINEAR) == 0
    assert (await rig.trade(trade.trade_id)).exit_reason is STRATEGY_STOP
    await rig.reconcile()
    await rig.assert_agreement()


async def test_new_protection_is_carried_to_its_end(rig):
    trade = await rig.enter()
    await broken_off(rig, rig.desk.protect(trade), "private/cancel")
    assert len(rig.resting()) == 2
    assert (await rig.reconcile()).drifts == ()
    await rig.assert_agreement()


async def test_nobody_is_kept_for_long(rig, monkeypatch):
    monkeypatch.setattr(finishing, "FINISH_S", 0.05)
    trade = await rig.enter()
    rig.server.faults.withhold_replies("private/cancel")
    started_s = rig.clock.elapsed_s()
    await broken_off(rig, rig.desk.close(trade, STRATEGY_STOP), "private/cancel")
    assert rig.clock.elapsed_s() - started_s < rig.client._call_timeout_s
    await asyncio.sleep(0)
    going_on = [str(task.get_coro()) for task in asyncio.all_tasks()]
    assert not any("_replace_protection" in act for act in going_on), "behind nobody's back"
    assert "private/sell" not in rig.venue.acts()


async def test_what_breaks_when_nobody_waits_any_more_is_told_all_the_same(rig, monkeypatch):
    """Whoever asked was cancelled, so the error has nobody to go to but the log."""
    trade = await rig.enter()

    async def broken(orders):
        raise OSError("disk is full")

    monkeypatch.setattr(rig.books, "book_orders", broken)
    with structlog.testing.capture_logs() as lines:
        await broken_off(rig, rig.desk.close(trade, STRATEGY_STOP), "private/cancel")
    (line,) = [line for line in lines if line["event"] == "act.broken"]
    assert isinstance(line["exc_info"], OSError)


async def test_an_entry_is_in_doubt_at_once(rig):
    """No other strategy adds to what may just be opening."""
    entering = rig.desk.enter(await rig.approved(), instrument_name=LINEAR, author=AUTHOR)
    rig.client._on_late = None
    rig.account.put = lambda event: None
    await broken_off(rig, entering, "private/buy")
    assert rig.books.directions_in_doubt(LINEAR) == {BUY}
    await rig.reconcile()
    assert rig.books.directions_in_doubt(LINEAR) == frozenset()
    assert (await rig.trade("t1")).is_open


async def test_an_edit_is_in_doubt_until_its_time_is_over(rig):
    trade = await rig.enter()
    moving = rig.desk.tighten_stop(trade, trade.stop_loss + 100)
    await broken_off(rig, moving, "private/edit")
    assert rig.desk.has_edits_in_doubt(rig.client.exchange_now_ms())
    assert (await rig.reconcile()).is_unsettled


# --- protection goes only as far as it must


async def test_when_only_one_of_the_pair_can_be_cancelled_it_is_not_the_stop(rig):
    trade = await rig.enter()
    no = (10045, "can_not_cancel_liquidation_order")
    rig.venue.before("private/cancel", lambda _: None)
    rig.venue.before("private/cancel", lambda _: rig.venue.refuse("private/cancel", *no))
    assert isinstance(await rig.desk.close(trade, STRATEGY_STOP), Refused)
    stop = (await rig.rows(trade.trade_id))[Role.STOP]
    assert stop.status is OrderStatus.UNTRIGGERED
    assert stop.order_id in {order.order_id for order in rig.resting()}


async def test_a_close_of_a_part_that_was_held_up_is_sent_with_a_validity_of_its_own(
    rig, monkeypatch
):
    """One that is sent too late would be in doubt, and is not repeated: it is only a part."""
    await rig.enter(strategy_id="other")
    trade = await rig.enter()
    monkeypatch.setattr(execution, "ORDER_VALIDITY_MS", 30)
    monkeypatch.setattr(patience, "RETRY_DELAYS_S", (0.05, 0.05))
    rig.venue.refuse("private/cancel", 13028, "temporarily_unavailable", times=2)
    assert isinstance(await rig.desk.close(trade, STRATEGY_STOP), Confirmed)
    closes = [
        (row.attempt, row.status)
        for row in await rig.ledger.orders_of_trade(trade.trade_id)
        if row.role is Role.CLOSE
    ]
    assert closes == [(1, OrderStatus.FAILED), (2, OrderStatus.FILLED)]
    assert rig.venue.acts().count("private/sell") == 1


# --- another process


async def test_edits_that_a_killed_process_left_on_the_road_are_looked_for_again(rig, monkeypatch):
    """Nobody has written them down: they may undo what the first look has mended.

    The old process wanted the stop at one price and was killed; the new one has tightened it
    further when the old edit arrives after all.
    """
    monkeypatch.setattr(desk_module, "INHERITED_S", 0.6)
    trade = await rig.enter()
    stop = (await rig.rows(trade.trade_id))[Role.STOP]
    heir = rig.desk = desk_module.Desk(
        ledger=rig.ledger, books=rig.books, client=rig.client, clock=rig.clock
    )
    rig.connect(rig.new_reconciler())
    assert (await rig.reconcile("start")).is_unsettled
    assert await heir.tighten_stop(trade, trade.stop_loss + 200)
    old = {"amount": trade.open_amount, "trigger_price": trade.stop_loss + 100}
    await rig.person.call("private/edit", order_id=stop.order_id, **old)
    await rig.until_reconciled(lambda: not rig.runs[-1].is_unsettled)
    await rig.assert_agreement()
    assert rig.clock.elapsed_s() >= heir._inherited_until_s


async def test_where_nothing_rests_no_edit_of_another_process_is_waited_for(rig, monkeypatch):
    """Else every start on an empty ledger would say that something is not settled yet."""
    monkeypatch.setattr(desk_module, "INHERITED_S", 60.0)
    rig.desk = desk_module.Desk(
        ledger=rig.ledger, books=rig.books, client=rig.client, clock=rig.clock
    )
    rig.connect(rig.new_reconciler())
    assert not (await rig.reconcile("start")).is_unsettled
