"""A running Vigil in memory: it behaves as `Operations` promises, and can be told to misbehave."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal

import httpx
import pytest
from msgspec.structs import replace

from vigil.clock import SystemClock
from vigil.domain.order import Direction, OrderStatus, OrderType, OwnOrder, Role
from vigil.domain.portfolio import Position
from vigil.domain.standing import AnalysisState, DesiredStatus
from vigil.domain.trade import ExitReason, PnlSource, Trade, TradeStatus
from vigil.telemetry.status import (
    DatabaseHealth,
    HealthReport,
    HealthStatus,
    PositionStatus,
    Readiness,
    ReconciliationHealth,
    ReconciliationOutcome,
    ReconciliationSummary,
    StrategyCounts,
    StrategyStatus,
    UnknownStrategy,
    WebsocketHealth,
)
from vigil.trading.signal import Checkpoint
from vigil.web.server import ApiServer, ServerLimits

TOKEN = "correct-horse-battery-staple-0123456789"

CLOSED = Trade(
    trade_id="t1",
    strategy_name="Razor",
    strategy_id="razor-btc",
    instrument_name="BTC_USDC-PERPETUAL",
    side=Direction.BUY,
    entry_order_id="o1",
    entry_price=Decimal("95000.0"),
    amount=Decimal("0.010"),
    open_amount=Decimal(0),
    entry_time_ms=1_700_000_000_000,
    status=TradeStatus.CLOSED,
    stop_loss=Decimal(94500),
    take_profit=Decimal(95500),
    exit_price=Decimal(95500),
    exit_time_ms=1_700_000_060_000,
    exit_reason=ExitReason.TP_HIT,
    pnl=Decimal("4.123456789012345678"),
    pnl_source=PnlSource.FILLS,
    fees=Decimal("0.00000001"),
)
OPEN = replace(
    CLOSED,
    trade_id="t2",
    strategy_id=None,
    instrument_name="BTC-PERPETUAL",
    side=Direction.SELL,
    amount=Decimal("1E+2"),
    open_amount=Decimal("1E+2"),
    entry_time_ms=1_700_000_100_000,
    status=TradeStatus.OPEN,
    exit_price=None,
    exit_time_ms=None,
    exit_reason=None,
    pnl=None,
    pnl_source=None,
)
RAZOR = StrategyStatus(
    strategy_id="razor-btc",
    name="Razor",
    account="main",
    desired=DesiredStatus.ACTIVE,
    analysis_state=AnalysisState.POSITION_OPEN,
    instrument_name="BTC_USDC-PERPETUAL",
    is_running=True,
    trade=OPEN,
    daily_trades=3,
    daily_trades_max=150,
    checkpoints=(Checkpoint(name="rsi", value="31.2", wanted="< 35", is_passed=True),),
    refusal="platform_locked: trading on btc_usdc is locked",
)
HEALTHY = HealthReport(
    status=HealthStatus.HEALTHY,
    reasons=(),
    uptime_s=93784.5,
    version="0.1.0",
    environment="paper",
    websocket=WebsocketHealth(is_connected=True, epoch=2, last_message_age_s=0.25),
    database=DatabaseHealth(is_ok=True, path="state/trades.db", sqlite_version="3.40.1"),
    strategies=StrategyCounts(total=2, active=1),
    reconciliation=ReconciliationHealth(
        last_run_ms=1_700_000_120_000,
        outcome=ReconciliationOutcome.CLEAN,
        next_run_ms=1_700_000_180_000,
    ),
    memory_rss_bytes=52_428_800,
)
ORDER = OwnOrder(
    label="vg-razor-btc-7-1",
    intent_id=7,
    attempt=1,
    strategy_id="razor-btc",
    strategy_name="Razor",
    role=Role.STOP,
    trade_id="t2",
    instrument_name="BTC-PERPETUAL",
    direction=Direction.BUY,
    order_type=OrderType.STOP_MARKET,
    amount=Decimal(100),
    created_ms=1_700_000_100_000,
    valid_until_ms=1_700_000_105_000,
    status=OrderStatus.UNTRIGGERED,
    trigger_price=Decimal("95500.5"),
    reduce_only=True,
)


@dataclass
class InMemoryOperations:
    report: HealthReport = HEALTHY
    ready: Readiness = Readiness(is_ready=True)
    statuses: dict[str, StrategyStatus] = field(
        default_factory=lambda: {
            "razor-btc": RAZOR,
            "razor-eth": replace(
                RAZOR,
                strategy_id="razor-eth",
                instrument_name="ETH_USDC-PERPETUAL",
                desired=DesiredStatus.STOPPED,
                analysis_state=AnalysisState.STOPPED,
                is_running=False,
                trade=None,
            ),
        }
    )
    ledger: list[Trade] = field(default_factory=lambda: [OPEN, CLOSED])
    runs: list[ReconciliationSummary] = field(default_factory=list)
    failure: Exception | None = None
    is_stuck: bool = False

    def health(self):
        if self.failure is not None:
            raise self.failure
        return self.report

    def readiness(self):
        return self.ready

    def strategies(self):
        return tuple(self.statuses.values())

    async def start_strategy(self, strategy_id):
        return await self._set(strategy_id, DesiredStatus.ACTIVE, AnalysisState.ANALYZING)

    async def stop_strategy(self, strategy_id):
        return await self._set(strategy_id, DesiredStatus.STOPPED, AnalysisState.STOPPED)

    async def _set(self, strategy_id, desired, state):
        if self.failure is not None:
            raise self.failure
        if strategy_id not in self.statuses:
            raise UnknownStrategy(strategy_id, tuple(self.statuses))
        self.statuses[strategy_id] = replace(
            self.statuses[strategy_id],
            desired=desired,
            analysis_state=state,
            is_running=desired is DesiredStatus.ACTIVE,
        )
        return self.statuses[strategy_id]

    async def trades(self, query):
        matching = [
            trade
            for trade in sorted(self.ledger, key=lambda trade: -trade.entry_time_ms)
            if query.status in (None, trade.status)
            and query.strategy in (None, trade.strategy_id, trade.strategy_name)
            and query.instrument_name in (None, trade.instrument_name)
            and (query.before_ms is None or trade.entry_time_ms < query.before_ms)
        ]
        return matching[: query.limit]

    async def positions(self):
        held = Position(
            instrument_name="BTC-PERPETUAL",
            size=Decimal(-100),
            average_price=Decimal(95000),
            mark_price=Decimal("95010.25"),
            realized_profit_loss=Decimal(0),
            floating_profit_loss=Decimal("-0.00000011"),
        )
        return [
            PositionStatus(
                instrument_name="BTC-PERPETUAL",
                ledger_size=Decimal(-100),
                exchange=held,
                observed_ms=1_700_000_120_000,
            ),
            PositionStatus(instrument_name="ETH_USDC-PERPETUAL", ledger_size=Decimal("0.5")),
        ]

    async def orders(self):
        return [ORDER]

    async def reconcile(self):
        if self.is_stuck:
            await asyncio.Event().wait()
        summary = ReconciliationSummary(
            run_id=len(self.runs) + 1,
            started_ms=1_700_000_120_000 + len(self.runs),
            duration_ms=12,
            cause="demand",
            outcome=ReconciliationOutcome.REMEDIED,
            open_trades=1,
            drifts=("orphan trade t1 on BTC_USDC-PERPETUAL",),
            remedies=("closed at 95500",),
        )
        self.runs.insert(0, summary)
        return summary

    async def reconciliation_runs(self, limit):
        return self.runs[:limit]


@asynccontextmanager
async def serving(operations, **limits):
    server = ApiServer(
        operations,
        host="127.0.0.1",
        port=0,
        token=TOKEN,
        clock=SystemClock(),
        limits=ServerLimits(**limits),
    )
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
def operations():
    return InMemoryOperations()


@pytest.fixture
def serve(operations):
    """Starts a server with limits of the test's own: `async with serve(receipt_s=0.2) as server`."""
    return lambda **limits: serving(operations, **limits)


@pytest.fixture
async def server(operations):
    async with serving(operations) as server:
        yield server


@pytest.fixture
async def client(server):
    async with httpx.AsyncClient(base_url=server.url) as client:
        yield client


@pytest.fixture
def bearer():
    return {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def exchange_bytes(server):
    """Sends raw bytes and returns all that comes back until the server closes."""
    return lambda sent: send_raw(server.port, sent)


async def send_raw(port, sent):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()
