"""The JSON that leaves: one shape for each thing shown, and how it is written as bytes.

Keys are camelCase; times ending in `Time` are UTC milliseconds, as in the ledger. Money is a JSON
number with every digit that the ledger holds, so that `jq '.trades[].pnl'` needs no conversion;
a reader that wants the last digit must parse numbers as decimals, not as binary floats. What is
not known is null.
"""

from decimal import Decimal
from typing import Any

import msgspec

from vigil.domain.order import Direction, OrderStatus, OrderType, Role
from vigil.domain.standing import AnalysisState, DesiredStatus
from vigil.domain.trade import ExitReason, PnlSource, TradeStatus
from vigil.telemetry.status import HealthStatus, ReconciliationOutcome

_encoder = msgspec.json.Encoder(decimal_format="number")


class Shape(msgspec.Struct, rename="camel", kw_only=True):
    """A JSON object with camelCase keys."""


class ErrorDetail(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What went wrong, where, and what to do about it."""

    code: str
    message: str
    field: str | None = None
    fix: str | None = None


class ErrorReply(Shape):
    """Every reply that is not a success has this shape, `/health` and `/ready` excepted."""

    error: ErrorDetail


class WebsocketShape(Shape):
    """The exchange session."""

    connected: bool
    epoch: int
    last_message_age_s: float | None


class DatabaseShape(Shape):
    """The ledger."""

    ok: bool
    path: str
    sqlite_version: str
    problem: str | None


class StrategyCountsShape(Shape):
    """Strategies in the operator's file, and those running now."""

    total: int
    active: int


class ReconciliationHealthShape(Shape):
    """The reconciler's last pass and when the next is due."""

    last_run_time: int | None
    outcome: ReconciliationOutcome | None
    next_run_time: int | None
    reason: str | None


class ServicesShape(Shape):
    """The parts that health is made of."""

    websocket: WebsocketShape
    database: DatabaseShape
    strategies: StrategyCountsShape
    reconciliation: ReconciliationHealthShape


class MemoryShape(Shape):
    """Memory of this process; null where the system does not tell."""

    rss_bytes: int | None


class SystemShape(Shape):
    """This process as the machine sees it."""

    memory: MemoryShape


class StateFileProblemShape(Shape):
    """Why the operator's file was refused; its last good version is in force."""

    path: str
    line: int | None
    column: int | None
    field: str | None
    reason: str
    fix: str | None


class HealthReply(Shape):
    """The one truth; 503 when `status` is unhealthy, else 200."""

    status: HealthStatus
    reasons: tuple[str, ...]
    timestamp: str
    uptime: float
    version: str
    environment: str
    services: ServicesShape
    system: SystemShape
    state_file_problem: StateFileProblemShape | None


class ReadyReply(Shape):
    """Whether trading may begin; 503 while it may not."""

    ready: bool
    reason: str | None


class TradeShape(Shape):
    """One round trip. `pnl` is net of fees, in `pnlCurrency`; funding is told apart."""

    id: str
    strategy_name: str
    strategy_id: str | None
    instrument: str
    side: Direction
    amount: Decimal
    open_amount: Decimal
    entry_price: Decimal
    entry_time: int
    entry_order_id: str
    exit_price: Decimal | None
    exit_time: int | None
    exit_reason: ExitReason | None
    status: TradeStatus
    stop_loss: Decimal | None
    take_profit: Decimal | None
    pnl: Decimal | None
    pnl_currency: str
    pnl_source: PnlSource | None
    fees: Decimal
    funding: Decimal


class TradesReply(Shape):
    """Trades, newest entry first."""

    trades: list[TradeShape]


class CheckpointShape(Shape):
    """One condition of a strategy's last decision."""

    name: str
    value: str
    wanted: str
    passed: bool


class StrategyShape(Shape):
    """What is wanted of one strategy (`status`) and what it does (`analysisState`)."""

    id: str
    name: str
    account: str
    status: DesiredStatus
    analysis_state: AnalysisState
    instrument: str
    running: bool
    trade: TradeShape | None
    cooldown_until_time: int | None
    daily_trades: int
    daily_trades_max: int | None
    checkpoints: list[CheckpointShape]
    last_error: str | None
    restarts: int
    next_restart_time: int | None
    refusal: str | None


class StrategiesReply(Shape):
    """Every strategy of the operator's file in force."""

    strategies: list[StrategyShape]


class StrategyReply(Shape):
    """The strategy after the command."""

    strategy: StrategyShape


class ExchangePositionShape(Shape):
    """The account's net position, signed, in the instrument's unit."""

    size: Decimal
    average_price: Decimal | None
    mark_price: Decimal
    floating_profit_loss: Decimal
    realized_profit_loss: Decimal


class PositionShape(Shape):
    """One instrument: the ledger's signed size beside the exchange's, null while not yet read."""

    instrument: str
    ledger_size: Decimal
    exchange: ExchangePositionShape | None
    equal: bool | None
    currency: str
    observed_time: int | None


class PositionsReply(Shape):
    """Every instrument in which the ledger or the exchange holds something."""

    positions: list[PositionShape]


class OrderShape(Shape):
    """One own order, from before it was sent on."""

    label: str
    order_id: str | None
    strategy_id: str
    strategy_name: str
    role: Role
    trade_id: str
    instrument: str
    direction: Direction
    order_type: OrderType
    amount: Decimal
    filled_amount: Decimal
    price: Decimal | None
    trigger_price: Decimal | None
    reduce_only: bool
    status: OrderStatus
    created_time: int
    valid_until_time: int
    reason: str | None


class OrdersReply(Shape):
    """Own orders that are not final, oldest first."""

    orders: list[OrderShape]


class ReconciliationRunShape(Shape):
    """One pass of the reconciler."""

    id: int
    started_time: int
    duration_ms: int
    cause: str
    outcome: ReconciliationOutcome
    reason: str | None
    open_trades: int
    drifts: tuple[str, ...]
    remedies: tuple[str, ...]


class ReconciliationReply(Shape):
    """How the pass that was asked for ended."""

    reconciliation: ReconciliationRunShape


class ReconciliationRunsReply(Shape):
    """The last passes, newest first."""

    runs: list[ReconciliationRunShape]


def encode_json(content: object) -> bytes:
    """A reply as JSON, money as exact numbers, closed by a newline for people with curl."""
    return _encoder.encode(content) + b"\n"


def schema_of(shapes: tuple[type[Any], ...]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """JSON Schemas of `shapes` as they are really sent: money as numbers, not as text."""
    schemas, components = msgspec.json.schema_components(
        shapes, ref_template="#/components/schemas/{name}"
    )
    return list(_money_as_number(schemas)), dict(_money_as_number(components))


def _money_as_number(schema: Any) -> Any:
    if isinstance(schema, dict):
        if schema.get("format") == "decimal":
            kept = {key: value for key, value in schema.items() if key not in ("type", "format")}
            return {"type": "number", **kept}
        return {key: _money_as_number(value) for key, value in schema.items()}
    if isinstance(schema, (list, tuple)):
        return [_money_as_number(item) for item in schema]
    return schema
