"""Readings: one complete look at the exchange, and one at the ledger.

A reading is all good or it is none: the first part that fails raises, and nothing is concluded
from the rest.
"""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Protocol

from vigil.domain.instrument import contract_of
from vigil.domain.labels import parse_label
from vigil.domain.market import Ticker
from vigil.domain.order import Fill, Order, OrderStatus
from vigil.domain.portfolio import Position
from vigil.domain.trade import Trade
from vigil.ledger.ledger import Ledger
from vigil.reconcile.exits import LooseFill
from vigil.reconcile.readings import ExchangeReading, LedgerReading

# Searches by time reach back over the cursor by this much: the exchange's records of one moment
# do not all appear at once.
OVERLAP_MS = 60_000


class Source(Protocol):
    """A way to ask the exchange. Every method raises a VigilError rather than answer in part."""

    async def positions(self) -> tuple[Position, ...]:
        """Net positions in all currencies."""
        ...

    async def open_orders(self) -> tuple[Order, ...]:
        """Resting and untriggered orders in all currencies."""
        ...

    async def fills_since(self, currency: str, start_ms: int, end_ms: int) -> tuple[Fill, ...]:
        """All executions of the account in a window of exchange time."""
        ...


class Quotes(Protocol):
    """Where a mark price comes from for an instrument in which no position is held."""

    async def ticker(self, instrument_name: str) -> Ticker:
        """The instrument's market snapshot."""
        ...


async def read_exchange(
    source: Source, quotes: Quotes, *, trades: Iterable[Trade], started_ms: int
) -> ExchangeReading:
    """Positions, open orders and the marks of all instruments in play."""
    positions = {position.instrument_name: position for position in await source.positions()}
    open_orders = await source.open_orders()
    mark_prices: dict[str, Decimal] = {
        name: position.mark_price for name, position in positions.items()
    }
    for name in sorted({trade.instrument_name for trade in trades} - mark_prices.keys()):
        mark_prices[name] = (await quotes.ticker(name)).mark_price
    return ExchangeReading(
        started_ms=started_ms,
        positions=positions,
        open_orders=open_orders,
        mark_prices=mark_prices,
    )


async def read_ledger(ledger: Ledger, open_orders: Iterable[Order] = ()) -> LedgerReading:
    """Open trades, what proves them, working orders, and fills that belong to no trade.

    Args:
        open_orders: What the exchange lists: of those, the orders that are over are read as well.
    """
    # Before the trades: one that is born meanwhile is then among these or among those.
    short = await ledger.orders_short_of_fills()
    short_ids = {order.trade_id for order in short}
    unborn = {trade_id for trade_id in short_ids if await ledger.trade(trade_id) is None}
    known = await ledger.open_trades()
    trades = known.trades
    working = await ledger.working_orders()
    at_work = {row.label for row in working}
    listed = {one.label for one in open_orders if parse_label(one.label)} - at_work
    rows = [await ledger.order(label) for label in sorted(listed)]
    return LedgerReading(
        trades=trades,
        with_entry_fills=await ledger.open_trades_with_entry_fills(),
        working=working,
        ended={row.label: row for row in rows if row is not None and row.status.is_final},
        loose_fills=await read_loose_fills(ledger, trades),
        last_fill_ms=await ledger.last_fill_ms_by_instrument(),
        short=short,
        unseen=frozenset(unborn | {row.trade_id for row in known.unreadable}),
    )


async def read_loose_fills(ledger: Ledger, trades: Iterable[Trade]) -> dict[str, list[LooseFill]]:
    """Fills since the first of `trades` that belong to no trade, by instrument."""
    loose: dict[str, list[LooseFill]] = defaultdict(list)
    entries_ms = [trade.entry_time_ms for trade in trades]
    if entries_ms:
        for fill, amount in await ledger.unassigned_fills(None, min(entries_ms)):
            loose[fill.instrument_name].append(LooseFill(fill=fill, amount=amount))
    return loose


def unheard_in(ledger: LedgerReading, open_orders: Iterable[Order]) -> tuple[Order, ...]:
    """The orders of which the exchange tells something that the ledger does not say.

    A state in a strange word says nothing, and goes on saying it in every reading.
    """
    rows = {row.label: row for row in ledger.working}
    return tuple(
        order
        for order in open_orders
        if (row := rows.get(order.label)) is None
        or (row.order_id, row.status, row.amount, row.filled_amount, row.price, row.trigger_price)
        != (
            order.order_id,
            row.status if order.status is OrderStatus.UNKNOWN else order.status,
            order.amount,
            order.filled_amount,
            order.price,
            order.trigger_price,
        )
    )


def currencies_of(trades: Iterable[Trade], instrument_names: Iterable[str]) -> set[str]:
    """The settlement currencies in which something of ours may have happened."""
    names = {trade.instrument_name for trade in trades} | set(instrument_names)
    return {contract_of(name).settlement_currency for name in names}
