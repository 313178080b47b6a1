"""What the whole tells and is told, from the parts that own the facts."""

import json
import sqlite3
import sys
from decimal import Decimal

import pytest

from rig import ETHER, INVERSE, LINEAR, LOT, QUICK, SELL, wanted
from vigil.domain.standing import AnalysisState, DesiredStatus
from vigil.domain.trade import ExitReason, TradeStatus
from vigil.fleet import fleet as fleets
from vigil.fleet import state_file as state_files
from vigil.fleet.operations import Operations
from vigil.fleet.state_file import StateFile
from vigil.fleet.vitals import Vitals
from vigil.supervision.restarts import ChildSpec
from vigil.supervision.stall import StallGuard
from vigil.telemetry.status import (
    HealthStatus,
    ReconciliationOutcome,
    StateFileRefused,
    TradeQuery,
    UnknownStrategy,
)


class Whole:
    """A rig that is started, with its operator's file and what the API asks."""

    def __init__(self, rig, path):
        self.rig, self.path = rig, path
        self.state_file = StateFile(path, clock=rig.clock)
        self.desired = self.state_file.load()
        self.stall = StallGuard(clock=rig.clock, dump_to=sys.__stderr__)
        self.vitals = Vitals(
            supervisor=rig.supervisor,
            authority=rig.authority,
            locks=rig.locks,
            troubles=rig.troubles,
            state_file=self.state_file,
            ledger=rig.ledger,
            reconciler=rig.reconciler,
            stall=self.stall,
            clock=rig.clock,
            reconcile_interval_s=60.0,
        )
        self.operations = Operations(
            fleet=rig.fleet,
            state_file=self.state_file,
            ledger=rig.ledger,
            ledger_path=path.with_name("trades.db"),
            reconciler=rig.reconciler,
            session=rig.client,
            clock=rig.clock,
            vitals=self.vitals,
            environment="paper",
            version="0.1.0",
        )

    async def start(self):
        rig = self.rig
        await rig.fleet.apply(self.desired)
        await rig.reconcile()
        await rig.fleet.start()
        rig.supervisor.add_child(ChildSpec(name="state file", start=self._watch, backoff=QUICK))
        self.stall.last_beat_s = rig.reconciler.last_beat_s = rig.clock.elapsed_s()
        self.vitals.is_started = True

    async def _watch(self):
        await self.state_file.watch(
            validate=self.rig.fleet.validate,
            on_accept=self.rig.fleet.apply,
            on_refuse=lambda refused: None,
        )

    def status(self, strategy_id):
        return next(one for one in self.operations.strategies() if one.strategy_id == strategy_id)


@pytest.fixture
async def whole(rig, tmp_path, monkeypatch):
    monkeypatch.setattr(fleets, "STRATEGY_BACKOFF", QUICK)
    monkeypatch.setattr(state_files, "POLL_S", 0.02)
    rig.brain.cooldown_ms = 60_000
    path = tmp_path / "backend-state.json"
    path.write_text(
        json.dumps(
            {
                "activeStrategies": [
                    wanted("a") | {"account": "main"},
                    wanted("b", "stopped", instrument=INVERSE),
                ]
            }
        )
    )
    made = Whole(rig, path)
    await made.start()
    return made


async def analyzing(whole):
    await whole.rig.until(lambda: whole.status("a").analysis_state is AnalysisState.ANALYZING)


async def test_health_is_one_truth_of_all_parts(whole, rig):
    await analyzing(whole)
    report = whole.operations.health()
    assert (report.status, report.reasons) == (HealthStatus.HEALTHY, ())
    assert (report.environment, report.version) == ("paper", "0.1.0")
    assert (report.websocket.is_connected, report.websocket.epoch) == (True, 1)
    assert (report.strategies.total, report.strategies.active) == (2, 1)
    assert report.database.is_ok
    assert report.database.sqlite_version == sqlite3.sqlite_version
    assert report.reconciliation.outcome is ReconciliationOutcome.CLEAN
    assert report.reconciliation.last_run_ms == rig.runs[-1].finished_ms
    assert report.memory_rss_bytes > 1_000_000
    assert 0 <= report.uptime_s < 60
    assert whole.operations.readiness().is_ready


async def test_health_says_what_is_wrong_and_readiness_what_is_awaited(whole, rig):
    await rig.supervisor.remove_child("session")
    report = whole.operations.health()
    assert report.status is HealthStatus.DEGRADED
    assert not report.websocket.is_connected
    assert any(reason.startswith("trading: no session") for reason in report.reasons)
    readiness = whole.operations.readiness()
    assert not readiness.is_ready
    assert readiness.reason.startswith("no session")


async def test_a_strategy_is_shown_as_it_is(whole, rig):
    await analyzing(whole)
    status = whole.status("a")
    assert (status.name, status.account, status.instrument_name) == ("Scripted", "main", LINEAR)
    assert (status.desired, status.is_running) == (DesiredStatus.ACTIVE, True)
    assert (status.trade, status.cooldown_until_ms, status.daily_trades) == (None, None, 0)
    assert status.daily_trades_max == 1_000
    trade = await rig.enter(strategy_id="a")
    await rig.until(lambda: whole.status("a").trade)
    assert whole.status("a").trade == trade
    await rig.desk.close(trade, ExitReason.STRATEGY_STOP)
    await rig.until(lambda: whole.status("a").cooldown_until_ms)
    closed = await rig.closed(trade.trade_id)
    status = whole.status("a")
    assert status.analysis_state is AnalysisState.COOLDOWN
    assert status.cooldown_until_ms == closed.exit_time_ms + 60_000
    assert status.daily_trades == 1


async def test_a_stopped_strategy_is_shown_without_what_nobody_knows(whole):
    status = whole.status("b")
    assert status.analysis_state is AnalysisState.STOPPED
    assert (status.is_running, status.trade, status.last_error) == (False, None, None)
    assert status.instrument_name == INVERSE


async def test_a_crashed_strategy_is_shown_with_its_error(whole, rig):
    await analyzing(whole)

    def broken(ticker, position):
        raise RuntimeError("faulty on purpose")

    rig.brain.decide = broken
    await rig.until(lambda: whole.status("a").last_error)
    status = whole.status("a")
    assert status.last_error == "RuntimeError: faulty on purpose"
    assert status.restarts >= 1


async def test_a_command_is_saved_in_the_file_and_in_force_when_it_returns(whole, rig):
    status = await whole.operations.start_strategy("b")
    assert status.desired is DesiredStatus.ACTIVE
    saved = json.loads(whole.path.read_text())["activeStrategies"]
    assert [one["status"] for one in saved] == ["active", "active"]
    await rig.until(lambda: whole.status("b").analysis_state is AnalysisState.ANALYZING)
    status = await whole.operations.stop_strategy("a")
    assert status.analysis_state is AnalysisState.STOPPED
    assert not status.is_running
    saved = json.loads(whole.path.read_text())["activeStrategies"]
    assert [one["status"] for one in saved] == ["stopped", "active"]


async def test_a_command_for_nobody_names_those_that_there_are(whole):
    before = whole.path.read_bytes()
    with pytest.raises(UnknownStrategy, match="known are: a, b"):
        await whole.operations.start_strategy("c")
    assert whole.path.read_bytes() == before


async def test_a_command_on_a_broken_file_changes_nothing_and_says_where_it_is_broken(whole, rig):
    whole.path.write_text('{"activeStrategies": [}')
    with pytest.raises(StateFileRefused) as refused:
        await whole.operations.start_strategy("b")
    assert (refused.value.problem.line, refused.value.problem.column) == (1, 23)
    assert whole.path.read_text() == '{"activeStrategies": [}'
    await rig.until(lambda: whole.operations.health().state_file_problem)
    problem = whole.operations.health().state_file_problem
    assert (problem.line, problem.column) == (1, 23)
    assert whole.operations.health().status is HealthStatus.DEGRADED
    assert whole.status("a").is_running


@pytest.mark.fault("E6")
async def test_a_lock_is_shown_with_the_strategy_and_in_the_health_of_the_whole(whole, rig):
    await analyzing(whole)
    assert whole.status("a").refusal is None
    rig.server.deeds.do("lock-platform", price_index="btc_usdc")
    await rig.until(lambda: whole.status("a").refusal)
    assert whole.status("a").refusal == "platform_locked: trading on btc_usdc is locked"
    assert whole.status("b").refusal is None, "it does not run"
    report = whole.operations.health()
    assert report.status is HealthStatus.DEGRADED
    assert report.reasons == ("platform_locked: trading on btc_usdc is locked",)
    assert whole.operations.readiness().is_ready, "other instruments are traded"


async def test_positions_show_both_sides_of_every_instrument(whole, rig):
    await rig.enter()
    await rig.enter(INVERSE, SELL)
    await rig.person.call("private/buy", instrument_name=ETHER, amount=Decimal(1), type="market")
    shown = {one.instrument_name: one for one in await whole.operations.positions()}
    assert list(shown) == sorted(shown)
    sizes = {name: (one.ledger_size, one.exchange.size) for name, one in shown.items()}
    assert sizes == {
        LINEAR: (LOT[LINEAR], LOT[LINEAR]),
        INVERSE: (-LOT[INVERSE], -LOT[INVERSE]),
        ETHER: (0, 1),
    }
    assert [shown[name].is_equal for name in (LINEAR, INVERSE, ETHER)] == [True, True, False]


async def test_a_trade_that_the_exchange_does_not_hold_is_shown_as_flat_there(whole, rig):
    rig.insert_trade()
    (shown,) = await whole.operations.positions()
    assert (shown.ledger_size, shown.exchange.size) == (Decimal("0.01"), 0)
    assert shown.is_equal is False


async def test_without_a_session_the_exchanges_side_is_unknown_and_not_flat(whole, rig):
    await rig.enter()
    await rig.supervisor.remove_child("session")
    (shown,) = await whole.operations.positions()
    assert (shown.ledger_size, shown.exchange, shown.is_equal) == (LOT[LINEAR], None, None)


async def test_trades_and_orders_come_from_the_ledger(whole, rig):
    older = await rig.enter()
    await rig.desk.close(older, ExitReason.STRATEGY_STOP)
    await rig.closed(older.trade_id)
    await rig.settled()
    newer = await rig.enter(INVERSE, strategy_id="b")
    ids = [trade.trade_id for trade in await whole.operations.trades(TradeQuery())]
    assert ids == [newer.trade_id, older.trade_id]
    (closed,) = await whole.operations.trades(TradeQuery(status=TradeStatus.CLOSED))
    assert closed.trade_id == older.trade_id
    (by_instrument,) = await whole.operations.trades(TradeQuery(instrument_name=INVERSE))
    assert by_instrument.trade_id == newer.trade_id
    assert {order.trade_id for order in await whole.operations.orders()} == {newer.trade_id}


async def test_a_pass_on_demand_is_told_and_on_record(whole, rig):
    rig.insert_trade()
    await rig.settled()
    summary = await whole.operations.reconcile()
    assert summary.outcome is ReconciliationOutcome.REMEDIED
    assert (summary.cause, summary.open_trades) == ("demand", 1)
    assert summary.remedies == ("orphan trade by_hand closed at mark, pnl estimated",)
    assert summary.duration_ms >= 50, "the second look waits"
    rig.venue.refuse("private/get_positions", 13028, "temporarily_unavailable")
    skipped = await whole.operations.reconcile()
    assert skipped.outcome is ReconciliationOutcome.SKIPPED
    recorded = await whole.operations.reconciliation_runs(10)
    assert [run.outcome.value for run in recorded][:2] == ["skipped", "remedied"]
    assert recorded[0].run_id > recorded[1].run_id > 0
