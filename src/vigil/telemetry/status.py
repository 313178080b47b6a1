"""What people are told: health, strategies, positions and reconciliation as plain values.

The fleet, the reconciler and the supervisor fill these in; the HTTP API, the terminal and, later,
the dashboard show them. Nothing here knows JSON, HTTP or where the figures come from. Where a
figure could not be read it is None, never zero and never empty.
"""

from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

from vigil.domain.portfolio import Position
from vigil.domain.standing import AnalysisState, DesiredStatus
from vigil.domain.trade import Trade, TradeStatus
from vigil.errors import VigilError
from vigil.trading.signal import Checkpoint


class HealthStatus(StrEnum):
    """Alive and well; alive and impaired; not to be relied on."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


class ReconciliationOutcome(StrEnum):
    """How one pass of the reconciler ended."""

    CLEAN = "clean"
    REMEDIED = "remedied"
    UNSETTLED = "unsettled"  # something was too fresh or in doubt; looked at again soon
    SKIPPED = "skipped"
    FAILED = "failed"


class WebsocketHealth(Struct, frozen=True, kw_only=True):
    """The exchange session.

    Args:
        epoch: Counts sessions of this process; 0 before the first.
        last_message_age_s: None when nothing has been received yet.
    """

    is_connected: bool
    epoch: int = 0
    last_message_age_s: float | None = None


class DatabaseHealth(Struct, frozen=True, kw_only=True):
    """The ledger. `problem` says why it is not usable, and the fix."""

    is_ok: bool
    path: str
    sqlite_version: str
    problem: str | None = None


class StrategyCounts(Struct, frozen=True, kw_only=True):
    """Strategies in the operator's file, and those running now."""

    total: int
    active: int


class ReconciliationHealth(Struct, frozen=True, kw_only=True):
    """The reconciler's last pass, None before the first, and when the next is due.

    Args:
        reason: Why the last pass was skipped or failed.
    """

    last_run_ms: int | None = None
    outcome: ReconciliationOutcome | None = None
    next_run_ms: int | None = None
    reason: str | None = None


class StateFileProblem(Struct, frozen=True, kw_only=True):
    """Why the operator's file was refused; the last good version stays in force.

    Args:
        line, column: From 1; None when the trouble has no place in the text (a missing file).
        field: As `activeStrategies[0].config.tradeSize`.
    """

    path: str
    reason: str
    line: int | None = None
    column: int | None = None
    field: str | None = None
    fix: str | None = None

    def __str__(self) -> str:
        place = f":{self.line}:{self.column}" if self.line is not None else ""
        field = f" {self.field}:" if self.field else ""
        return f"{self.path}{place}:{field} {self.reason}"


class HealthReport(Struct, frozen=True, kw_only=True):
    """The one truth that `/health`, the terminal and the watchdog share.

    Args:
        reasons: Why `status` is not healthy, one sentence each; empty when it is.
        environment: `paper`, `testnet` or `live`.
        memory_rss_bytes: Resident memory; None where the system does not tell.
    """

    status: HealthStatus
    reasons: tuple[str, ...]
    uptime_s: float
    version: str
    environment: str
    websocket: WebsocketHealth
    database: DatabaseHealth
    strategies: StrategyCounts
    reconciliation: ReconciliationHealth
    state_file_problem: StateFileProblem | None = None
    memory_rss_bytes: int | None = None


class Readiness(Struct, frozen=True, kw_only=True):
    """Whether the first good reconcile is behind us; `reason` says what is awaited."""

    is_ready: bool
    reason: str | None = None


class StrategyStatus(Struct, frozen=True, kw_only=True):
    """One strategy of the operator's file: what is wanted of it and what it does.

    Args:
        trade: Its open trade.
        cooldown_until_ms: End of its rest; None when it is not resting.
        daily_trades: Opened this UTC day.
        checkpoints: The conditions of its last decision.
        last_error: What ended its last run, in one line.
        restarts: How often it was restarted since this process started.
        next_restart_ms: When a crashed one is tried again; None when it is not waiting for that.
        refusal: Why it may open nothing now, whatever it wishes: a stable word and its detail;
            None when nothing is against it, or it is not running.
    """

    strategy_id: str
    name: str
    account: str
    desired: DesiredStatus
    analysis_state: AnalysisState
    instrument_name: str
    is_running: bool
    trade: Trade | None = None
    cooldown_until_ms: int | None = None
    daily_trades: int = 0
    daily_trades_max: int | None = None
    checkpoints: tuple[Checkpoint, ...] = ()
    last_error: str | None = None
    restarts: int = 0
    next_restart_ms: int | None = None
    refusal: str | None = None


class PositionStatus(Struct, frozen=True, kw_only=True):
    """One instrument, as the ledger and as the exchange see it.

    Args:
        ledger_size: Signed sum of the open trades, in the instrument's unit.
        exchange: The account's net position; None when it has not been read.
        observed_ms: When the exchange was read.
    """

    instrument_name: str
    ledger_size: Decimal
    exchange: Position | None = None
    observed_ms: int | None = None

    @property
    def is_equal(self) -> bool | None:
        """Whether ledger and exchange agree; None while the exchange's side is not known."""
        return None if self.exchange is None else self.exchange.size == self.ledger_size


class ReconciliationSummary(Struct, frozen=True, kw_only=True):
    """One pass of the reconciler.

    Args:
        cause: What asked for it: `start`, `reconnect`, `interval` or `demand`.
        open_trades: Found open in the ledger when the pass began.
        drifts: Differences found, one line each.
        remedies: What was done about them, one line each.
        reason: Why it was skipped or failed.
    """

    run_id: int
    started_ms: int
    duration_ms: int
    cause: str
    outcome: ReconciliationOutcome
    open_trades: int
    drifts: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()
    reason: str | None = None


class TradeQuery(Struct, frozen=True, kw_only=True):
    """Which trades to show, newest entry first.

    Args:
        strategy: A strategy's id, or the name of its class.
        limit: At most so many, positive.
        before_ms: Only trades entered before this time.
    """

    status: TradeStatus | None = None
    strategy: str | None = None
    instrument_name: str | None = None
    limit: int = 100
    before_ms: int | None = None


class UnknownStrategy(VigilError):
    """A command named a strategy that the operator's file does not hold."""

    def __init__(self, strategy_id: str, known: tuple[str, ...]) -> None:
        super().__init__(
            f"strategy {strategy_id!r} is not in the state file; "
            f"known are: {', '.join(known) or 'none'}"
        )
        self.strategy_id = strategy_id
        self.known = known


class StateFileRefused(VigilError):
    """A command cannot be saved because the operator's file is broken; nothing was changed."""

    def __init__(self, problem: StateFileProblem) -> None:
        super().__init__(f"the state file was refused, so nothing was changed: {problem}")
        self.problem = problem
