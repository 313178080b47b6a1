"""What the running whole can tell and be told: the API's view of fleet, ledger and reconciler."""

import resource
import sqlite3
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from vigil.clock import Clock
from vigil.domain.money import ZERO
from vigil.domain.order import OwnOrder
from vigil.domain.portfolio import Position
from vigil.domain.standing import DesiredStatus
from vigil.domain.trade import Trade
from vigil.fleet import desired as desired_states
from vigil.fleet.desired import DesiredStrategy
from vigil.fleet.fleet import Fleet
from vigil.fleet.state_file import StateFile
from vigil.fleet.vitals import Vitals
from vigil.ledger.ledger import Ledger
from vigil.ledger.runs import ReconciliationRun
from vigil.reconcile.reconciler import Reconciler
from vigil.supervision.health import Health
from vigil.supervision.supervisor import ChildState
from vigil.telemetry.status import (
    DatabaseHealth,
    HealthReport,
    HealthStatus,
    PositionStatus,
    Readiness,
    ReconciliationHealth,
    ReconciliationOutcome,
    ReconciliationSummary,
    StateFileProblem,
    StateFileRefused,
    StrategyCounts,
    StrategyStatus,
    TradeQuery,
    UnknownStrategy,
    WebsocketHealth,
)
from vigil.trading.risk import cooldown_until_ms


class Session(Protocol):
    """The exchange session, as far as people are told about it."""

    @property
    def is_live(self) -> bool:
        """Whether a session is authenticated and subscribed."""
        ...

    @property
    def epoch(self) -> int:
        """Number of the current session."""
        ...

    @property
    def silent_s(self) -> float | None:
        """Seconds since the exchange was last heard; None without a session."""
        ...

    def exchange_now_ms(self) -> int:
        """The exchange's time as measured now."""
        ...

    async def positions(self) -> tuple[Position, ...]:
        """Net positions in all currencies."""
        ...


class Operations:
    """Answers the API from the parts that own the facts."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        state_file: StateFile,
        ledger: Ledger,
        ledger_path: Path,
        reconciler: Reconciler,
        session: Session,
        clock: Clock,
        vitals: Vitals,
        environment: str,
        version: str,
    ) -> None:
        self._fleet = fleet
        self._state_file = state_file
        self._ledger = ledger
        self._ledger_path = ledger_path
        self._reconciler = reconciler
        self._session = session
        self._clock = clock
        self._vitals = vitals
        self._environment = environment
        self._version = version
        self._started_s = clock.elapsed_s()

    def health(self) -> HealthReport:
        """The state of everything, from memory."""
        verdict = self._vitals.assess()
        last = self._reconciler.last_run
        statuses = self.strategies()
        problem = self._state_file.problem
        return HealthReport(
            status=_HEALTH[verdict.health],
            reasons=tuple(f"{reason.name}: {reason.text}" for reason in verdict.reasons),
            uptime_s=self._clock.elapsed_s() - self._started_s,
            version=self._version,
            environment=self._environment,
            websocket=WebsocketHealth(
                is_connected=self._session.is_live,
                epoch=self._session.epoch,
                last_message_age_s=self._session.silent_s,
            ),
            database=DatabaseHealth(
                is_ok=self._ledger.problem is None,
                path=str(self._ledger_path),
                sqlite_version=sqlite3.sqlite_version,
                problem=self._ledger.problem,
            ),
            strategies=StrategyCounts(
                total=len(statuses),
                active=sum(
                    status.is_running and status.desired is DesiredStatus.ACTIVE
                    for status in statuses
                ),
            ),
            reconciliation=ReconciliationHealth(
                last_run_ms=None if last is None else last.finished_ms,
                outcome=None if last is None else _outcome(last),
                next_run_ms=self._reconciler.next_run_ms,
                reason=None if last is None else last.reason,
            ),
            state_file_problem=None if problem is None else _shown(problem),
            memory_rss_bytes=resident_bytes(),
        )

    def readiness(self) -> Readiness:
        """Whether trading may begin."""
        reason = self._vitals.unready()
        return Readiness(is_ready=reason is None, reason=reason)

    def strategies(self) -> Sequence[StrategyStatus]:
        """Every strategy of the file in force, in its order."""
        return [self._status(strategy) for strategy in self._fleet.members]

    async def start_strategy(self, strategy_id: str) -> StrategyStatus:
        """Save `active` in the operator's file and start it."""
        return await self._set_status(strategy_id, DesiredStatus.ACTIVE)

    async def stop_strategy(self, strategy_id: str) -> StrategyStatus:
        """Save `stopped` in the operator's file and stop it."""
        return await self._set_status(strategy_id, DesiredStatus.STOPPED)

    async def trades(self, query: TradeQuery) -> Sequence[Trade]:
        """Trades of the ledger, newest entry first."""
        page = await self._ledger.reports.history(
            status=query.status,
            strategy=query.strategy,
            instrument=query.instrument_name,
            limit=query.limit,
            before=query.before_ms,
        )
        return page.trades

    async def positions(self) -> Sequence[PositionStatus]:
        """Every instrument in which the ledger or the exchange holds something."""
        sizes: dict[str, Decimal] = {}
        for trade in (await self._ledger.open_trades()).trades:
            name = trade.instrument_name
            sizes[name] = sizes.get(name, ZERO) + trade.signed_open_amount
        held: dict[str, Position] | None = None
        observed_ms = self._session.exchange_now_ms()
        if self._session.is_live:
            held = {one.instrument_name: one for one in await self._session.positions()}
        return [
            PositionStatus(
                instrument_name=name,
                ledger_size=sizes.get(name, ZERO),
                exchange=None if held is None else held.get(name, _flat(name)),
                observed_ms=None if held is None else observed_ms,
            )
            for name in sorted(sizes.keys() | (held or {}).keys())
        ]

    async def orders(self) -> Sequence[OwnOrder]:
        """Own orders that are not final, oldest first."""
        return await self._ledger.working_orders()

    async def reconcile(self) -> ReconciliationSummary:
        """Run one pass now."""
        return _summary(await self._reconciler.run_once("demand"))

    async def reconciliation_runs(self, limit: int) -> Sequence[ReconciliationSummary]:
        """The last passes, newest first."""
        return [_summary(run) for run in await self._ledger.reconciliation_runs(limit)]

    async def _set_status(self, strategy_id: str, status: DesiredStatus) -> StrategyStatus:
        known = {strategy.id: strategy for strategy in self._fleet.members}
        if strategy_id not in known:
            raise UnknownStrategy(strategy_id, tuple(known))
        try:
            await self._state_file.set_status(strategy_id, status)
        except desired_states.StateFileRefused as refused:
            raise StateFileRefused(_shown(refused)) from refused
        return next(one for one in self.strategies() if one.strategy_id == strategy_id)

    def _status(self, desired: DesiredStrategy) -> StrategyStatus:
        child = self._fleet.child(desired.id)
        executor = self._fleet.executor(desired.id)
        strategy = self._fleet.strategy(desired.id)
        state = None if executor is None else executor.state
        now_ms = self._session.exchange_now_ms()
        until_ms = None if state is None else cooldown_until_ms(strategy.limits, state.last_exit_ms)
        return StrategyStatus(
            strategy_id=desired.id,
            name=desired.name,
            account=desired.account or "",
            desired=desired.status,
            analysis_state=self._fleet.analysis_state(desired.id),
            instrument_name=strategy.instrument_name,
            is_running=child is not None and child.state is ChildState.RUNNING,
            trade=None if state is None else state.trade,
            cooldown_until_ms=until_ms if until_ms is not None and until_ms > now_ms else None,
            daily_trades=0 if state is None else state.trades_on(now_ms),
            daily_trades_max=strategy.limits.daily_trades_max,
            checkpoints=() if state is None else state.checkpoints,
            last_error=None if child is None else child.last_error,
            restarts=0 if child is None else child.restarts,
            refusal=None if executor is None else executor.refusal,
        )


_HEALTH = {
    Health.HEALTHY: HealthStatus.HEALTHY,
    Health.DEGRADED: HealthStatus.DEGRADED,
    Health.UNHEALTHY: HealthStatus.UNHEALTHY,
}


def _shown(refused: desired_states.StateFileRefused) -> StateFileProblem:
    return StateFileProblem(
        path=refused.path,
        reason=refused.reason,
        line=refused.line,
        column=refused.column,
        field=refused.field or None,
        fix=refused.fix,
    )


def resident_bytes() -> int:
    """Resident memory of this process now; its peak where the system tells no more."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * resource.getpagesize()


def _flat(instrument_name: str) -> Position:
    return Position(
        instrument_name=instrument_name,
        size=ZERO,
        average_price=None,
        mark_price=ZERO,
        realized_profit_loss=ZERO,
        floating_profit_loss=ZERO,
    )


def _outcome(run: ReconciliationRun) -> ReconciliationOutcome:
    if run.outcome != "ok":
        return ReconciliationOutcome(run.outcome)
    if run.is_unsettled:
        return ReconciliationOutcome.UNSETTLED
    return ReconciliationOutcome.REMEDIED if run.remedies else ReconciliationOutcome.CLEAN


def _summary(run: ReconciliationRun) -> ReconciliationSummary:
    return ReconciliationSummary(
        run_id=run.run_id or 0,
        started_ms=run.started_ms,
        duration_ms=run.finished_ms - run.started_ms,
        cause=run.trigger,
        outcome=_outcome(run),
        open_trades=run.open_trades,
        drifts=run.drifts,
        remedies=run.remedies,
        reason=run.reason,
    )
