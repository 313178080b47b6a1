"""Orders compared: what rests for each trade, and whether it should.

Part of `compare`. A stop is judged by its trade; whatever else rests, or should, by itself.
"""

from collections.abc import Mapping, Sequence

from vigil.domain.labels import parse_label
from vigil.domain.order import Order, OrderStatus, OwnOrder, Role
from vigil.domain.trade import Trade
from vigil.reconcile.drift import (
    Crossed,
    Drift,
    ForeignOrder,
    Leftover,
    Misfit,
    Naked,
    Silent,
    Stillborn,
    Targetless,
    Unfilled,
    Unprotectable,
    Unreadable,
    Unrecorded,
    Unsettled,
)
from vigil.reconcile.readings import ExchangeReading, LedgerReading
from vigil.trading.protection import is_beyond_stop


def compare_protection(
    trades: Sequence[Trade], ledger: LedgerReading, exchange: ExchangeReading
) -> list[Drift]:
    """What is wrong with the stops and targets of these trades."""
    rows = {order.label: order for order in ledger.working}
    resting: dict[tuple[str, Role], Order] = {}
    drifts: list[Drift] = []
    for order in exchange.open_orders:
        row = rows.get(order.label)
        if row is None:
            continue
        if resting.setdefault((row.trade_id, row.role), order) is not order:
            # One stop and one target are enough, and one entry is all that was wanted.
            drifts.append(Leftover(order=order))
    stops = {(row.trade_id, row.status): row for row in ledger.working if row.role is Role.STOP}
    for trade in trades:
        drifts += _protection_drifts(trade, resting, stops, exchange)
    return drifts


def _protection_drifts(
    trade: Trade,
    resting: Mapping[tuple[str, Role], Order],
    stops: Mapping[tuple[str, OrderStatus], OwnOrder],
    exchange: ExchangeReading,
) -> list[Drift]:
    if trade.stop_loss is None:
        return [Unprotectable(trade=trade)]
    fired = stops.get((trade.trade_id, OrderStatus.TRIGGERED))
    if fired is not None:
        # What it spawned fills within moments, or not at all: the price has run away from it.
        if fired.heard_ms > exchange.horizon_ms:
            return [_unsettled(trade, f"stop {fired.label} has just fired")]
        return [Unfilled(trade=trade, order=fired)]
    stop = resting.get((trade.trade_id, Role.STOP))
    placed = stops.get((trade.trade_id, OrderStatus.UNTRIGGERED))
    if stop is None and placed is not None and _is_news(placed, exchange):
        return [_unsettled(trade, f"stop {placed.label} is too young")]
    unread = stop if stop is not None and stop.status is OrderStatus.UNKNOWN else None
    if unread is not None and unread.last_update_timestamp_ms > exchange.horizon_ms:
        return [_unsettled(trade, f"the state of stop {unread.order_id} is a strange word")]
    mark_price = exchange.mark_prices[trade.instrument_name]
    is_in_place = stop is not None and unread is None and stop.trigger_price == trade.stop_loss
    if not is_in_place and is_beyond_stop(trade, mark_price):
        return [Crossed(trade=trade, mark_price=mark_price)]
    if stop is None:
        return [Naked(trade=trade)]
    if unread is not None:
        return [Unreadable(trade=trade, order=unread)]
    drifts: list[Drift] = []
    is_resting_stop = stop.status is OrderStatus.UNTRIGGERED
    target = resting.get((trade.trade_id, Role.TARGET))
    is_halved = target is None and trade.take_profit is not None and stop.oco_ref is not None
    is_settled = stop.creation_timestamp_ms <= exchange.horizon_ms
    if is_resting_stop and is_halved and is_settled:
        return [Targetless(trade=trade)]
    if is_resting_stop and (
        stop.amount != trade.open_amount or stop.trigger_price != trade.stop_loss
    ):
        drifts.append(Misfit(trade=trade, order=stop, role=Role.STOP))
    if target is not None and target.amount - target.filled_amount != trade.open_amount:
        drifts.append(Misfit(trade=trade, order=target, role=Role.TARGET))
    return drifts


def compare_orders(ledger: LedgerReading, exchange: ExchangeReading) -> list[Drift]:
    """Orders that should not rest, and orders that should."""
    rows = {order.label: order for order in ledger.working}
    # A trade lives from its entry on, which may have no fill yet, or none that we know of.
    living = {trade.trade_id for trade in ledger.trades}
    living |= {order.trade_id for order in ledger.working if order.role is Role.ENTRY}
    living |= ledger.unseen
    drifts: list[Drift] = []
    for order in exchange.open_orders:
        row = rows.get(order.label) or ledger.ended.get(order.label)
        if parse_label(order.label) is None:
            drifts.append(ForeignOrder(order=order))
        elif order.creation_timestamp_ms > exchange.horizon_ms:
            continue
        elif row is None:
            drifts.append(Unrecorded(order=order))
        elif _has_moved(row, ledger, exchange):
            continue  # the list is from before its end, or its trade's
        elif row.status.is_final or (row.role is not Role.ENTRY and row.trade_id not in living):
            drifts.append(Leftover(order=order))
    resting_labels = {order.label for order in exchange.open_orders}
    for row in ledger.working:
        if row.label in resting_labels or is_in_doubt(row) or _is_news(row, exchange):
            continue
        if row.status.is_unproven:
            parent = rows.get(row.parent_label or "")
            if parent is None:  # the parent is final: it has fired its linked orders or never will
                drifts.append(Stillborn(order=row))
        elif not (row.status is OrderStatus.TRIGGERED and row.role is Role.STOP) or (
            row.trade_id not in living
        ):
            # A stop that has fired for a trade that is still open is judged with its protection.
            drifts.append(Silent(order=row))
    return drifts


def _unsettled(trade: Trade, why: str) -> Unsettled:
    return Unsettled(instrument_name=trade.instrument_name, why=why)


def _is_news(row: OwnOrder, exchange: ExchangeReading) -> bool:
    """Whether the reading may be from before what the ledger knows of the order."""
    return max(row.created_ms, row.heard_ms) > exchange.horizon_ms


def _has_moved(row: OwnOrder, ledger: LedgerReading, exchange: ExchangeReading) -> bool:
    filled_ms = ledger.last_fill_ms.get(row.instrument_name, 0)
    return max(row.heard_ms, filled_ms) > exchange.horizon_ms


def is_in_doubt(order: OwnOrder) -> bool:
    """Whether nobody knows yet if the exchange has the order; linked ones follow their parent."""
    return order.status.is_unproven and order.parent_label is None
