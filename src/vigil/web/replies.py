"""From domain values to the shapes that leave as JSON."""

from datetime import UTC, datetime
from decimal import Decimal

from vigil.domain.instrument import contract_of
from vigil.domain.money import decimal_text
from vigil.domain.order import OwnOrder
from vigil.domain.portfolio import Position
from vigil.domain.trade import Trade
from vigil.telemetry.status import (
    HealthReport,
    PositionStatus,
    Readiness,
    ReconciliationSummary,
    StateFileProblem,
    StrategyStatus,
)
from vigil.web.shapes import (
    CheckpointShape,
    DatabaseShape,
    ExchangePositionShape,
    HealthReply,
    MemoryShape,
    OrderShape,
    PositionShape,
    ReadyReply,
    ReconciliationHealthShape,
    ReconciliationRunShape,
    ServicesShape,
    StateFileProblemShape,
    StrategyCountsShape,
    StrategyShape,
    SystemShape,
    TradeShape,
    WebsocketShape,
)


def health_reply(report: HealthReport, now_ms: int) -> HealthReply:
    """Health, laid out for `/health`."""
    return HealthReply(
        status=report.status,
        reasons=report.reasons,
        timestamp=_iso_utc(now_ms),
        uptime=round(report.uptime_s, 3),
        version=report.version,
        environment=report.environment,
        services=ServicesShape(
            websocket=WebsocketShape(
                connected=report.websocket.is_connected,
                epoch=report.websocket.epoch,
                last_message_age_s=report.websocket.last_message_age_s,
            ),
            database=DatabaseShape(
                ok=report.database.is_ok,
                path=report.database.path,
                sqlite_version=report.database.sqlite_version,
                problem=report.database.problem,
            ),
            strategies=StrategyCountsShape(
                total=report.strategies.total, active=report.strategies.active
            ),
            reconciliation=ReconciliationHealthShape(
                last_run_time=report.reconciliation.last_run_ms,
                outcome=report.reconciliation.outcome,
                next_run_time=report.reconciliation.next_run_ms,
                reason=report.reconciliation.reason,
            ),
        ),
        system=SystemShape(memory=MemoryShape(rss_bytes=report.memory_rss_bytes)),
        state_file_problem=_problem_shape(report.state_file_problem),
    )


def ready_reply(readiness: Readiness) -> ReadyReply:
    """Readiness as a probe reads it."""
    return ReadyReply(ready=readiness.is_ready, reason=readiness.reason)


def trade_shape(trade: Trade) -> TradeShape:
    """A trade of the ledger."""
    return TradeShape(
        id=trade.trade_id,
        strategy_name=trade.strategy_name,
        strategy_id=trade.strategy_id,
        instrument=trade.instrument_name,
        side=trade.side,
        amount=_canonical(trade.amount),
        open_amount=_canonical(trade.open_amount),
        entry_price=_canonical(trade.entry_price),
        entry_time=trade.entry_time_ms,
        entry_order_id=trade.entry_order_id,
        exit_price=_optional(trade.exit_price),
        exit_time=trade.exit_time_ms,
        exit_reason=trade.exit_reason,
        status=trade.status,
        stop_loss=_optional(trade.stop_loss),
        take_profit=_optional(trade.take_profit),
        pnl=_optional(trade.pnl),
        pnl_currency=trade.settlement_currency,
        pnl_source=trade.pnl_source,
        fees=_canonical(trade.fees),
        funding=_canonical(trade.funding),
    )


def strategy_shape(status: StrategyStatus) -> StrategyShape:
    """A strategy, wanted and actual."""
    return StrategyShape(
        id=status.strategy_id,
        name=status.name,
        account=status.account,
        status=status.desired,
        analysis_state=status.analysis_state,
        instrument=status.instrument_name,
        running=status.is_running,
        trade=None if status.trade is None else trade_shape(status.trade),
        cooldown_until_time=status.cooldown_until_ms,
        daily_trades=status.daily_trades,
        daily_trades_max=status.daily_trades_max,
        checkpoints=[
            CheckpointShape(
                name=checkpoint.name,
                value=checkpoint.value,
                wanted=checkpoint.wanted,
                passed=checkpoint.is_passed,
            )
            for checkpoint in status.checkpoints
        ],
        last_error=status.last_error,
        restarts=status.restarts,
        next_restart_time=status.next_restart_ms,
        refusal=status.refusal,
    )


def position_shape(status: PositionStatus) -> PositionShape:
    """A position, ours beside the exchange's."""
    return PositionShape(
        instrument=status.instrument_name,
        ledger_size=_canonical(status.ledger_size),
        exchange=None if status.exchange is None else _exchange_shape(status.exchange),
        equal=status.is_equal,
        currency=contract_of(status.instrument_name).settlement_currency,
        observed_time=status.observed_ms,
    )


def order_shape(order: OwnOrder) -> OrderShape:
    """An own order."""
    return OrderShape(
        label=order.label,
        order_id=order.order_id,
        strategy_id=order.strategy_id,
        strategy_name=order.strategy_name,
        role=order.role,
        trade_id=order.trade_id,
        instrument=order.instrument_name,
        direction=order.direction,
        order_type=order.order_type,
        amount=_canonical(order.amount),
        filled_amount=_canonical(order.filled_amount),
        price=_optional(order.price),
        trigger_price=_optional(order.trigger_price),
        reduce_only=order.reduce_only,
        status=order.status,
        created_time=order.created_ms,
        valid_until_time=order.valid_until_ms,
        reason=order.reason,
    )


def run_shape(summary: ReconciliationSummary) -> ReconciliationRunShape:
    """A pass of the reconciler."""
    return ReconciliationRunShape(
        id=summary.run_id,
        started_time=summary.started_ms,
        duration_ms=summary.duration_ms,
        cause=summary.cause,
        outcome=summary.outcome,
        reason=summary.reason,
        open_trades=summary.open_trades,
        drifts=summary.drifts,
        remedies=summary.remedies,
    )


def _exchange_shape(position: Position) -> ExchangePositionShape:
    return ExchangePositionShape(
        size=_canonical(position.size),
        average_price=_optional(position.average_price),
        mark_price=_canonical(position.mark_price),
        floating_profit_loss=_canonical(position.floating_profit_loss),
        realized_profit_loss=_canonical(position.realized_profit_loss),
    )


def _problem_shape(problem: StateFileProblem | None) -> StateFileProblemShape | None:
    if problem is None:
        return None
    return StateFileProblemShape(
        path=problem.path,
        line=problem.line,
        column=problem.column,
        field=problem.field,
        reason=problem.reason,
        fix=problem.fix,
    )


def _canonical(value: Decimal) -> Decimal:
    return Decimal(decimal_text(value))


def _optional(value: Decimal | None) -> Decimal | None:
    return None if value is None else _canonical(value)


def _iso_utc(time_ms: int) -> str:
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
