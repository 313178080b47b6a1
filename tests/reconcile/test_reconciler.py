"""Passes: whole or nothing, one at a time, soon enough and not too often, each on record."""

import asyncio
from decimal import Decimal

import pytest

from rig import ACTS, HTTP, LINEAR, SETTLE_MS
from vigil.domain.order import Role
from vigil.fleet.dispatch import FAILED_PASSES_MAX
from vigil.reconcile import passes, readings, reconciler
from vigil.supervision.restarts import ChildSpec

READS = [
    "private/get_user_trades_by_currency_and_time",
    "private/get_positions",
    "private/get_open_orders",
    "public/ticker",
]


async def disturbed(rig):
    """A world in which a pass has something to mend: a naked trade and a row that is not there."""
    trade = await rig.enter()
    stop = (await rig.rows(trade.trade_id))[Role.STOP]
    await rig.person.call("private/cancel", order_id=stop.order_id)
    rig.insert_trade(instrument="ETH_USDC-PERPETUAL", entry_price="3300")
    await rig.until(lambda: stop_is_final(rig, stop.label))
    return trade


async def stop_is_final(rig, label):
    return (await rig.ledger.order(label)).status.is_final


def history(rig):
    """All that the ledger holds but the record of passes."""
    tables = ("trades", "orders", "fills", "trade_fills", "trade_changes", "incidents")
    return {table: rig.sql(f"SELECT * FROM {table}") for table in tables}


@pytest.fixture
async def loop(rig):
    """The reconciler's own loop, started by the test with an interval."""

    def start(interval_s):
        rig.connect(rig.new_reconciler(interval_s))
        rig.supervisor.add_child(ChildSpec(name="reconciler", start=rig.reconciler.run))

    return start


async def test_a_second_pass_finds_nothing_and_sends_nothing(rig):
    await disturbed(rig)
    assert (await rig.reconcile()).remedies != ()
    await rig.reconcile()
    before, sent = history(rig), len(rig.venue.asked)
    run = await rig.reconcile()
    assert (run.outcome, run.drifts, run.remedies, run.is_unsettled) == ("ok", (), (), False)
    assert history(rig) == before
    asked = {request.method for _, request in rig.venue.asked[sent:]}
    assert not asked & ACTS
    await rig.assert_agreement()


async def test_a_pass_over_nothing_asks_the_exchange_little(rig):
    await rig.reconcile()
    sent = len(rig.venue.asked)
    run = await rig.reconcile()
    assert [request.method for _, request in rig.venue.asked[sent:]] == [
        "private/get_user_trades_by_currency_and_time",
        "private/get_user_trades_by_currency_and_time",
        "private/get_positions",
        "private/get_open_orders",
    ]
    assert (run.open_trades, run.trigger) == (0, "demand")


@pytest.mark.parametrize("method", READS)
async def test_a_reading_that_fails_changes_nothing(rig, method):
    await disturbed(rig)
    before, acts = history(rig), rig.venue.acts()
    rig.venue.refuse(method, 13028, "temporarily_unavailable")
    run = await rig.reconcile()
    assert (run.outcome, run.drifts, run.remedies) == ("skipped", (), ())
    assert method in run.reason
    assert "13028" in run.reason
    assert history(rig) == before
    assert rig.venue.acts() == acts
    (recorded, *_) = await rig.ledger.reconciliation_runs()
    assert (recorded.outcome, recorded.reason) == ("skipped", run.reason)
    assert (await rig.reconcile()).outcome == "ok"


@pytest.mark.parametrize("method", READS)
async def test_a_session_that_ends_in_the_middle_of_a_pass_changes_nothing(rig, method):
    await disturbed(rig)
    before, acts = history(rig), rig.venue.acts()
    rig.venue.before(method, lambda _: rig.server.drop_connections())
    run = await rig.reconcile()
    assert (run.outcome, run.drifts, run.remedies) == ("skipped", (), ())
    assert history(rig) == before
    assert rig.venue.acts() == acts
    await rig.until(lambda: rig.client.is_live)
    assert (await rig.reconcile()).outcome == "ok"
    await rig.reconcile()
    await rig.assert_agreement()


async def test_an_answer_that_does_not_come_ends_the_pass(rig):
    await disturbed(rig)
    before = history(rig)
    rig.server.faults.withhold_replies("private/get_positions")
    run = await rig.reconcile()
    assert run.outcome == "skipped"
    assert history(rig) == before


async def test_a_pass_that_takes_too_long_is_given_up(rig, monkeypatch):
    monkeypatch.setattr(reconciler, "PASS_TIMEOUT_S", 0.1)
    rig.server.faults.delay_replies("private/get_positions", 0.5)
    run = await rig.reconcile()
    assert (run.outcome, run.reason) == ("skipped", "no complete reading in 0.1 s")


async def test_a_pass_that_breaks_is_on_record_and_counts_as_failed(rig, monkeypatch):
    """However often the supervisor starts it anew, nothing is opened on what it cannot compare."""
    await rig.reconcile()
    assert rig.authority.refusal is None

    def broken(*readings):
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as bug:
        bug.setattr(passes, "compare", broken)
        for _ in range(FAILED_PASSES_MAX):
            with pytest.raises(ZeroDivisionError):
                await rig.reconcile()
    (recorded, *_) = await rig.ledger.reconciliation_runs()
    assert (recorded.outcome, recorded.reason) == ("failed", "ZeroDivisionError: a bug")
    assert rig.reconciler.last_run == recorded
    assert "ZeroDivisionError" in rig.authority.refusal
    await rig.reconcile()
    assert rig.authority.refusal is None


async def test_a_pass_that_acts_to_its_last_round_is_not_settled(rig, monkeypatch):
    """Nobody has looked at what that led to."""
    monkeypatch.setattr(passes, "ROUNDS_MAX", 1)
    await disturbed(rig)
    run = await rig.reconcile()
    assert run.remedies != ()
    assert run.is_unsettled


async def test_without_a_session_a_pass_is_skipped_and_on_record(rig):
    await rig.supervisor.remove_child("session")
    run = await rig.reconcile()
    assert run.outcome == "skipped"
    assert "not connected" in run.reason
    (recorded,) = await rig.ledger.reconciliation_runs()
    assert recorded.outcome == "skipped"


async def test_a_pass_that_outlives_its_session_is_not_a_good_one(rig):
    """The second look waits over HTTP; meanwhile another session begins, not reconciled yet."""
    rig.insert_trade()
    epoch = rig.client.epoch
    rig.server.faults.delay_replies("private/get_positions", 0.0)  # the socket's own
    rig.server.faults.delay_replies("private/get_positions", 1.0)  # the witness's
    rig.venue.before("private/get_positions", lambda _: rig.server.drop_connections(), road=HTTP)
    run = await rig.reconcile()
    assert run.outcome == "skipped"
    assert run.reason == "another session began during the pass"
    assert rig.client.epoch == epoch + 1
    assert rig.authority.refusal is not None
    await rig.reconcile()
    assert rig.authority.refusal is None


async def test_two_passes_never_overlap_and_each_caller_gets_his_own(rig):
    rig.server.faults.delay_replies("private/get_positions", 0.05, count=3)
    await rig.settled()
    runs = await asyncio.gather(*(rig.reconciler.run_once(f"caller {n}") for n in range(3)))
    assert [run.trigger for run in runs] == ["caller 0", "caller 1", "caller 2"]
    for earlier, later in zip(runs, runs[1:], strict=False):
        assert earlier.finished_ms <= later.started_ms


async def test_a_pass_on_demand_joins_the_queue_behind_the_loops_own(rig, loop):
    rig.server.faults.delay_replies("private/get_positions", 0.2)
    loop(60.0)
    await rig.until(lambda: "private/get_positions" in rig.venue.methods())
    assert rig.runs == []
    run = await rig.reconciler.run_once("demand")
    assert [one.trigger for one in rig.runs] == ["start", "demand"]
    assert rig.runs[0].finished_ms <= run.started_ms


async def test_the_loop_makes_a_pass_each_interval(rig, loop):
    loop(0.1)
    await rig.until(lambda: len(rig.runs) >= 3)
    assert [run.trigger for run in rig.runs[:3]] == ["start", "interval", "interval"]
    for earlier, later in zip(rig.runs, rig.runs[1:], strict=False):
        assert later.started_ms - earlier.finished_ms >= 95
    assert rig.reconciler.last_beat_s is not None
    assert rig.reconciler.next_run_ms > rig.runs[-1].finished_ms


async def test_however_often_a_pass_is_asked_for_they_are_spaced(rig, loop, monkeypatch):
    monkeypatch.setattr(reconciler, "PASS_SPACING_S", 0.15)
    loop(60.0)
    for _ in range(3):
        count = len(rig.runs)
        for _ in range(10):
            rig.reconciler.request("foreign fill")
        await rig.until(lambda: len(rig.runs) > count)
    assert {run.trigger for run in rig.runs[1:]} == {"foreign fill"}
    for earlier, later in zip(rig.runs, rig.runs[1:], strict=False):
        assert later.started_ms - earlier.finished_ms >= 145


async def test_what_was_left_unsettled_is_looked_at_again_soon(rig, loop, monkeypatch):
    monkeypatch.setattr(readings, "SETTLE_MS", 500)
    trade = await rig.enter()
    loop(60.0)
    await rig.until(lambda: any(not run.is_unsettled for run in rig.runs))
    assert rig.runs[0].is_unsettled, "the trade is too young to be judged"
    assert (await rig.trade(trade.trade_id)).is_open
    for earlier, later in zip(rig.runs, rig.runs[1:], strict=False):
        assert later.started_ms - earlier.finished_ms < SETTLE_MS + 1_000


async def test_a_skipped_pass_is_made_again_soon(rig, loop):
    rig.venue.refuse("private/get_positions", 13028, "temporarily_unavailable", times=2)
    loop(60.0)
    await rig.until(lambda: len(rig.runs) >= 3)
    assert [run.outcome for run in rig.runs[:3]] == ["skipped", "skipped", "ok"]


async def test_the_loop_waits_for_a_session_and_reconciles_as_soon_as_there_is_one(rig, loop):
    trade = await rig.enter()
    await rig.supervisor.remove_child("session")
    loop(60.0)
    await rig.until(lambda: rig.reconciler.last_beat_s is not None)
    await rig.person.call("private/close_position", instrument_name=LINEAR, type="market")
    assert rig.runs == []
    rig.start_session()
    await rig.closed(trade.trade_id)
    await rig.until(lambda: rig.runs)
    assert rig.runs[0].trigger == "reconnect"


async def test_what_is_asked_for_without_a_session_waits_for_one_and_holds_nobody_up(
    rig, loop, monkeypatch
):
    """A request that comes as the session ends is still there when nobody can carry it out."""
    await rig.supervisor.remove_child("session")
    looks = 0

    def is_live(_):
        nonlocal looks
        looks += 1
        assert looks < 100, "it looks and never waits"
        return False

    with monkeypatch.context() as away:
        away.setattr(type(rig.client), "is_live", property(is_live))
        loop(60.0)
        await rig.until(lambda: looks)
        for _ in range(3):
            before = looks
            rig.reconciler.request("unreadable")
            await rig.until(lambda before=before: looks > before)
        assert looks < 10
    rig.start_session()
    await rig.until(lambda: rig.runs)
    assert rig.runs[0].trigger == "reconnect"


async def test_a_foreign_close_is_booked_by_the_loop_though_the_interval_is_long(rig, loop):
    trade = await rig.enter()
    loop(60.0)
    await rig.until(lambda: any(not run.is_unsettled for run in rig.runs))
    await rig.person.call("private/close_position", instrument_name=LINEAR, type="market")
    closed = await rig.closed(trade.trade_id)
    assert closed.pnl == await rig.exchange_pnl(LINEAR)
    await rig.until(lambda: rig.resting() == [])


async def test_fills_of_a_time_when_nobody_listened_are_searched_for_since_the_last_search(rig):
    """What happened while the process was down, however long, is found by the first pass."""
    trade = await rig.enter()
    await rig.reconcile()
    rig.sql("UPDATE searches SET since_ms = 0, complete_ms = complete_ms - 86400000 * 3")
    await rig.supervisor.remove_child("session")
    await rig.person.call("private/close_position", instrument_name=LINEAR, type="market")
    rig.connect(rig.new_reconciler())
    rig.start_session()
    await rig.until(lambda: rig.client.is_live)
    sent = len(rig.venue.asked)
    await rig.reconcile("start")
    starts = [
        request.params["start_timestamp"]
        for _, request in rig.venue.asked[sent:]
        if request.method.startswith("private/get_user_trades")
        and request.params["currency"] == "USDC"
    ]
    now_ms = rig.client.exchange_now_ms()
    assert now_ms - min(starts) > 86_400_000 * 3
    closed = await rig.trade(trade.trade_id)
    assert closed.pnl == await rig.exchange_pnl(LINEAR)


async def test_a_row_by_hand_is_searched_for_from_its_own_entry_on(rig):
    await rig.reconcile()
    entry_time = rig.clock.now_ms() - 5 * 86_400_000
    rig.insert_trade(entry_time=entry_time)
    sent = len(rig.venue.asked)
    await rig.reconcile()
    searches = [
        request.params
        for _, request in rig.venue.asked[sent:]
        if request.method == "private/get_user_trades_by_currency_and_time"
        and request.params["currency"] == "USDC"
    ]
    assert min(search["start_timestamp"] for search in searches) <= entry_time
    assert {search["historical"] for search in searches} == {True, False}
    closed = await rig.trade("by_hand")
    assert closed.pnl == Decimal("0.01") * (rig.mark(LINEAR) - 95000)
