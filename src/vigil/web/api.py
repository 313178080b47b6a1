"""The routes: one table from which requests are served, tokens demanded and OpenAPI written.

A handler is given the application's `Operations` and the checked request, and answers with a
shape. It knows neither sockets nor headers; `web/border.py` stands between it and the network.
A route outside `ROUTES` does not exist.
"""

from typing import Any

from vigil.telemetry.status import HealthStatus
from vigil.web.openapi import describe
from vigil.web.page import status_page
from vigil.web.replies import (
    health_reply,
    order_shape,
    position_shape,
    ready_reply,
    run_shape,
    strategy_shape,
    trade_shape,
)
from vigil.web.requests import Nothing, RunsRequest, StrategyCommand, TradesRequest
from vigil.web.route import Answer, Context, Route
from vigil.web.shapes import (
    HealthReply,
    OrdersReply,
    PositionsReply,
    ReadyReply,
    ReconciliationReply,
    ReconciliationRunsReply,
    StrategiesReply,
    StrategyReply,
    TradesReply,
)


async def _page(context: Context, _: Nothing) -> Answer:
    health = health_reply(context.operations.health(), context.clock.now_ms())
    strategies = [strategy_shape(status) for status in context.operations.strategies()]
    return Answer(content=status_page(health, strategies, ROUTES))


async def _health(context: Context, _: Nothing) -> Answer:
    report = context.operations.health()
    status = 503 if report.status is HealthStatus.UNHEALTHY else 200
    return Answer(content=health_reply(report, context.clock.now_ms()), status=status)


async def _ready(context: Context, _: Nothing) -> Answer:
    readiness = context.operations.readiness()
    return Answer(content=ready_reply(readiness), status=200 if readiness.is_ready else 503)


async def _strategies(context: Context, _: Nothing) -> Answer:
    statuses = context.operations.strategies()
    return Answer(content=StrategiesReply(strategies=[strategy_shape(item) for item in statuses]))


async def _start_strategy(context: Context, command: StrategyCommand) -> Answer:
    status = await context.operations.start_strategy(command.named())
    return Answer(content=StrategyReply(strategy=strategy_shape(status)))


async def _stop_strategy(context: Context, command: StrategyCommand) -> Answer:
    status = await context.operations.stop_strategy(command.named())
    return Answer(content=StrategyReply(strategy=strategy_shape(status)))


async def _trades(context: Context, request: TradesRequest) -> Answer:
    trades = await context.operations.trades(request.query())
    return Answer(content=TradesReply(trades=[trade_shape(trade) for trade in trades]))


async def _positions(context: Context, _: Nothing) -> Answer:
    positions = await context.operations.positions()
    return Answer(content=PositionsReply(positions=[position_shape(item) for item in positions]))


async def _orders(context: Context, _: Nothing) -> Answer:
    orders = await context.operations.orders()
    return Answer(content=OrdersReply(orders=[order_shape(order) for order in orders]))


async def _reconcile(context: Context, _: Nothing) -> Answer:
    summary = await context.operations.reconcile()
    return Answer(content=ReconciliationReply(reconciliation=run_shape(summary)))


async def _runs(context: Context, request: RunsRequest) -> Answer:
    runs = await context.operations.reconciliation_runs(request.limit)
    return Answer(content=ReconciliationRunsReply(runs=[run_shape(run) for run in runs]))


async def _openapi(context: Context, _: Nothing) -> Answer:
    return Answer(content=describe(ROUTES, context.operations.health().version))


# fmt: off
ROUTES: tuple[Route[Any], ...] = (
    Route("GET", "/", "State and endpoints, for people.",
          _page, Nothing, None),
    Route("GET", "/health", "State of every part; 503 when unhealthy.",
          _health, Nothing, HealthReply, statuses=(200, 503)),
    Route("GET", "/ready", "Whether trading may begin; 503 while it may not.",
          _ready, Nothing, ReadyReply, statuses=(200, 503)),
    Route("GET", "/api/strategy/status", "Every strategy: what is wanted of it, and what it does.",
          _strategies, Nothing, StrategiesReply),
    Route("POST", "/api/strategy/start", "Save a strategy as active and start it.",
          _start_strategy, StrategyCommand, StrategyReply),
    Route("POST", "/api/strategy/stop", "Save a strategy as stopped and stop it.",
          _stop_strategy, StrategyCommand, StrategyReply),
    Route("GET", "/api/trades/history", "Trades, newest entry first.",
          _trades, TradesRequest, TradesReply),
    Route("GET", "/api/positions", "Positions, ledger beside exchange.",
          _positions, Nothing, PositionsReply),
    Route("GET", "/api/orders", "Own orders that are not final.",
          _orders, Nothing, OrdersReply),
    Route("POST", "/api/reconcile", "Reconcile now and tell how it ended.",
          _reconcile, Nothing, ReconciliationReply),
    Route("GET", "/api/reconciliation/runs", "The last passes of the reconciler, newest first.",
          _runs, RunsRequest, ReconciliationRunsReply),
    Route("GET", "/openapi.json", "This API, described.",
          _openapi, Nothing, dict[str, Any]),
)
# fmt: on
