"""Orders sent and not answered: found by label, or proven absent, and never sent twice. FAULTS §4."""

import contextlib

import pytest

from rig import BUY, HTTP, INVERSE, LINEAR, LOT, SELL, SOCKET, by_status
from vigil.deribit.outcome import Confirmed, Unknown
from vigil.domain.order import OrderStatus, Role
from vigil.domain.trade import ExitReason
from vigil.trading import execution
from vigil.trading.execution import Author

AUTHOR = Author(strategy_id="s", strategy_name="Scripted")
LABEL = "vg-s-1-1"
each_case = pytest.mark.parametrize(
    ("name", "side"),
    [pytest.param(LINEAR, BUY, id="linear long"), pytest.param(INVERSE, SELL, id="inverse short")],
)


@pytest.fixture(autouse=True)
def _soon_expired(monkeypatch):
    monkeypatch.setattr(execution, "ORDER_VALIDITY_MS", 500)


@contextlib.contextmanager
def impatient(rig):
    """An answer that does not come is not waited for long."""
    patience_s, rig.client._call_timeout_s = rig.client._call_timeout_s, 0.2
    yield
    rig.client._call_timeout_s = patience_s


def histories(rig, road):
    """Complete searches made over a road, told by the part that no other question has."""
    return sum(
        method == "private/get_order_history_by_currency" and not request.params.get("historical")
        for known, request in rig.venue.asked
        if known == road and (method := request.method)
    )


def blind_desk(rig, times=1):
    """Nor can the desk look for itself what became of an order."""
    rig.venue.refuse(
        "private/get_order_state_by_label", 13028, "temporarily_unavailable", times=times
    )


def deafen(rig):
    """The account's stream says nothing any more; only questions are answered."""
    rig.account.put = lambda event: None


async def enter_in_doubt(rig, name=LINEAR, side=BUY):
    approved = await rig.approved(name, side)
    with impatient(rig):
        outcome = await rig.desk.enter(approved, instrument_name=name, author=AUTHOR)
    assert isinstance(outcome, Unknown)
    assert (await rig.ledger.order(LABEL)).status is OrderStatus.IN_DOUBT


async def reconcile_until_final(rig):
    """Passes until nothing is in doubt; the statuses of the entry seen on the way."""
    seen = []
    while True:
        await rig.reconcile()
        status = (await rig.ledger.order(LABEL)).status
        seen.append(status)
        if status.is_final:
            return seen


@each_case
@pytest.mark.fault("E1")
async def test_an_entry_whose_answer_was_lost_is_found_with_all_its_fills(rig, name, side):
    deafen(rig)
    method = "private/buy" if side is BUY else "private/sell"
    rig.server.faults.withhold_replies(method)
    await enter_in_doubt(rig, name, side)
    run = await rig.reconcile()
    assert run.outcome == "ok"
    (trade,) = (await rig.ledger.open_trades()).trades
    assert trade.signed_open_amount == side.sign * LOT[name]
    await rig.reconcile()
    assert by_status(await rig.rows(trade.trade_id)) == {
        Role.ENTRY: OrderStatus.FILLED,
        Role.STOP: OrderStatus.UNTRIGGERED,
        Role.TARGET: OrderStatus.OPEN,
    }
    assert rig.venue.acts() == [method]
    await rig.assert_agreement()


@pytest.mark.fault("E2")
async def test_an_entry_that_never_arrived_is_proven_absent_by_two_searches_and_not_sent_again(rig):
    rig.server.faults.lose_requests("private/buy")
    await enter_in_doubt(rig)
    seen = await reconcile_until_final(rig)
    assert seen[-1] is OrderStatus.FAILED
    assert len(seen) >= 2, "one search proves nothing"
    rows = await rig.rows("t1")
    assert set(by_status(rows).values()) == {OrderStatus.FAILED}
    searches = {road: histories(rig, road) for road in (SOCKET, HTTP)}
    assert searches[SOCKET] >= 2, "two complete searches"
    assert searches[HTTP] == 1, "and the second witness has the last word"
    assert "private/buy" not in rig.venue.methods(), "it was lost on the way in"
    assert not rig.runs[-1].is_unsettled
    await rig.assert_agreement()


async def test_a_search_that_fails_starts_the_proof_over(rig):
    rig.server.faults.lose_requests("private/buy")
    await enter_in_doubt(rig)
    entry = await rig.ledger.order(LABEL)
    await rig.until(lambda: rig.client.exchange_now_ms() > entry.valid_until_ms + 100)
    await rig.reconcile()
    rig.venue.refuse("private/get_open_orders_by_label", 13028, "temporarily_unavailable")
    assert (await rig.reconcile()).outcome == "skipped"
    await rig.reconcile()
    assert (await rig.ledger.order(LABEL)).status is OrderStatus.IN_DOUBT
    assert (await reconcile_until_final(rig))[-1] is OrderStatus.FAILED


async def test_while_an_entry_is_in_doubt_its_instrument_is_not_judged(rig):
    """The position it may have made is no foreign one, and a row by hand is not closed."""
    deafen(rig)
    rig.insert_trade()
    rig.server.faults.lose_requests("private/buy")
    await enter_in_doubt(rig)
    run = await rig.reconcile()
    assert (run.outcome, run.is_unsettled, run.drifts) == ("ok", True, ())
    assert (await rig.trade("by_hand")).is_open


async def test_a_process_that_died_between_commit_and_send_leaves_nothing_behind(rig, monkeypatch):
    """The row says pending; no answer ever comes, because nothing was ever sent."""

    class Died(BaseException):
        pass

    async def die(request):
        raise Died

    approved = await rig.approved()
    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr(rig.client, "place", die)
        await rig.desk.enter(approved, instrument_name=LINEAR, author=AUTHOR)
    assert (await rig.ledger.order(LABEL)).status is OrderStatus.PENDING
    assert (await reconcile_until_final(rig))[-1] is OrderStatus.FAILED


@each_case
async def test_a_close_whose_answer_was_lost_closes_the_trade_once(rig, name, side):
    trade = await rig.enter(name, side)
    deafen(rig)
    method = "private/sell" if side is BUY else "private/buy"
    rig.server.faults.withhold_replies(method)
    blind_desk(rig)
    with impatient(rig):
        outcome = await rig.desk.close(trade, ExitReason.STRATEGY_STOP)
    assert isinstance(outcome, Unknown)
    assert (await rig.trade(trade.trade_id)).is_open
    await rig.reconcile()
    closed = await rig.trade(trade.trade_id)
    assert closed.exit_reason is ExitReason.STRATEGY_STOP
    assert closed.pnl == await rig.exchange_pnl(name)
    await rig.reconcile()
    await rig.assert_agreement()


async def test_a_close_that_never_arrived_leaves_the_trade_protected_again(rig):
    """Its stop was cancelled for it: once the close is proven absent, the pair rests anew."""
    trade = await rig.enter()
    rig.server.faults.lose_requests("private/sell")
    blind_desk(rig)
    with impatient(rig):
        outcome = await rig.desk.close(trade, ExitReason.STRATEGY_STOP)
    assert isinstance(outcome, Unknown)
    assert rig.resting() == []
    await rig.until_reconciled(lambda: len(rig.resting()) == 2)
    assert (await rig.trade(trade.trade_id)).is_open
    await rig.reconcile()
    await rig.assert_agreement()


async def test_a_stop_whose_edit_was_not_answered_is_looked_at_again(rig):
    """Old price or new: the reading tells, and what is wrong is edited again. FAULTS E28."""
    trade = await rig.enter()
    deafen(rig)
    stop_price = trade.stop_loss + 100
    rig.server.faults.lose_requests("private/edit")
    with impatient(rig):
        assert not await rig.desk.tighten_stop(trade, stop_price)
    assert (await rig.trade(trade.trade_id)).stop_loss == stop_price
    run = await rig.reconcile()
    assert run.remedies == (f"trade {trade.trade_id}: stop fitted",)
    assert stop_price in {order.trigger_price for order in rig.resting()}
    await rig.reconcile()
    await rig.assert_agreement()


async def test_a_cancel_whose_answer_was_lost_is_found_out(rig):
    trade = await rig.enter()
    deafen(rig)
    target = (await rig.rows(trade.trade_id))[Role.TARGET]
    rig.server.faults.withhold_replies("private/cancel")
    with impatient(rig):
        assert isinstance(await rig.desk.cancel(target.order_id, why="to see"), Confirmed)
    assert (await rig.ledger.order(target.label)).status is OrderStatus.CANCELLED
    assert rig.venue.acts().count("private/cancel") == 1
    await rig.reconcile()
    await rig.assert_agreement()


@pytest.mark.fault("N6")
async def test_news_of_the_stream_resolves_an_entry_whose_answer_never_comes(rig):
    """And the answer's absence, noticed later, takes nothing back."""
    rig.server.faults.withhold_replies("private/buy")
    approved = await rig.approved()
    with impatient(rig):
        outcome = await rig.desk.enter(approved, instrument_name=LINEAR, author=AUTHOR)
    assert isinstance(outcome, Unknown)
    assert (await rig.ledger.order(LABEL)).status is OrderStatus.FILLED
    assert rig.books.directions_in_doubt(LINEAR) == frozenset()
    await rig.reconcile()
    assert "private/get_order_state_by_label" not in rig.venue.methods()
    await rig.reconcile()
    await rig.assert_agreement()


@pytest.mark.fault("N6")
async def test_the_answer_resolves_an_entry_of_which_the_stream_tells_nothing(rig):
    deafen(rig)
    approved = await rig.approved()
    outcome = await rig.desk.enter(approved, instrument_name=LINEAR, author=AUTHOR)
    assert isinstance(outcome, Confirmed)
    trade = await rig.trade("t1")
    assert trade.open_amount == LOT[LINEAR]
    await rig.reconcile()
    await rig.reconcile()
    await rig.assert_agreement()
