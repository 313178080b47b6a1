"""A ledger of any length, and an exchange that agrees with it.

Rows go in through the ledger's own statements and row encoders, in one transaction instead of one
for each trade, so that a hundred thousand trades take seconds.
"""

import sqlite3
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from vigil.clock import Clock
from vigil.deribit.outcome import NOT_SENT, Outcome, Refused
from vigil.domain.account_log import LogEntry
from vigil.domain.labels import make_label
from vigil.domain.market import Ticker
from vigil.domain.order import (
    Direction,
    Fill,
    LabelFindings,
    Order,
    OrderRequest,
    OrderStatus,
    OrderType,
    OwnOrder,
    Role,
    Trigger,
)
from vigil.domain.portfolio import AccountSummary, Position
from vigil.domain.trade import FillShare, Trade, TradeStatus, settle
from vigil.ledger import intents
from vigil.ledger.ledger import Ledger
from vigil.ledger.queries import sql
from vigil.ledger.rows import fill_currency, fill_row, trade_row

INSTRUMENTS = ("BTC_USDC-PERPETUAL", "ETH_USDC-PERPETUAL")

_AMOUNT = Decimal("0.01")
_ENTRY_PRICE = Decimal(95000)
_STOP_PRICE = Decimal(94500)
_AGE_MS = 3_600_000  # old enough that nothing waits to settle
_APART_MS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _History:
    """One trade and everything that the ledger holds of it."""

    trade: Trade
    orders: tuple[OwnOrder, ...]
    shares: tuple[FillShare, ...]


async def fill_ledger(path: Path, *, rows: int, open_rows: int, clock: Clock) -> None:
    """Make a ledger of `rows` trades, the newest `open_rows` of them open."""
    ledger = await Ledger.open(path, environment="paper", account="bench", clock=clock)
    await ledger.close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN")
    newest_ms = clock.now_ms() - _AGE_MS
    for number in range(rows):
        entered_ms = newest_ms - (rows - number) * _APART_MS
        _insert(connection, _history(number, entered_ms, is_open=number >= rows - open_rows))
    connection.execute("COMMIT")
    connection.close()


def bare_open_trades(connection: sqlite3.Connection) -> int:
    """Fetch the open trades and do nothing with them; how many."""
    return len(connection.execute(sql("trades.open_page"), {"after": 0, "limit": -1}).fetchall())


def bare_reads(connection: sqlite3.Connection) -> int:
    """Fetch the rows that a pass must look at, and do nothing with them; how many."""
    orders = connection.execute(sql("orders.working")).fetchall()
    shares = connection.execute(
        "SELECT s.*, f.* FROM trades AS t"
        " INNER JOIN trade_fills AS s ON s.trade_id = t.id"
        " INNER JOIN fills AS f ON f.seq = s.fill_seq WHERE t.status = 'open'"
    ).fetchall()
    return bare_open_trades(connection) + len(orders) + len(shares)


class AgreeingExchange:
    """Positions and resting stops exactly as the ledger has them; answers without a wire."""

    is_live = True
    epoch = 1

    def __init__(
        self,
        clock: Clock,
        positions: tuple[Position, ...],
        open_orders: tuple[Order, ...],
        newest_fills: dict[str, Fill],
    ) -> None:
        self._clock = clock
        self._positions = positions
        self._open_orders = open_orders
        self._newest_fills = newest_fills

    def exchange_now_ms(self) -> int:
        """The machine's own time."""
        return self._clock.now_ms()

    async def positions(self) -> tuple[Position, ...]:
        """The sums of the open trades."""
        return self._positions

    async def open_orders(self) -> tuple[Order, ...]:
        """One stop for each open trade."""
        return self._open_orders

    async def fills_since(self, currency: str, start_ms: int, end_ms: int) -> tuple[Fill, ...]:
        """Nothing new; the last of what is known, when the search goes back to it."""
        fill = self._newest_fills.get(currency)
        return () if fill is None or not start_ms <= fill.timestamp_ms <= end_ms else (fill,)

    async def orders_by_label(self, currency: str, label: str) -> tuple[Order, ...]:
        """Nothing is in doubt."""
        del currency, label
        return ()

    async def fills_of_order(self, order_id: str) -> tuple[Fill, ...]:
        """Nothing is in doubt."""
        del order_id
        return ()

    async def search_label(self, currency: str, label: str, *, since_ms: int) -> LabelFindings:
        """Nothing is in doubt."""
        del currency, label, since_ms
        return LabelFindings(orders=(), fills=())

    async def order_state(self, order_id: str) -> Order | None:
        """Nothing is asked of one order."""
        del order_id
        return None

    async def account_summaries(self) -> tuple[AccountSummary, ...]:
        """No cash, so no log but that of the currencies in play."""
        return ()

    async def transaction_log(
        self, currency: str, start_ms: int, end_ms: int
    ) -> tuple[LogEntry, ...]:
        """Nothing moved."""
        del currency, start_ms, end_ms
        return ()

    async def ticker(self, instrument_name: str) -> Ticker:
        """A quote at the entry price."""
        return Ticker(
            instrument_name=instrument_name,
            timestamp_ms=self._clock.now_ms(),
            mark_price=_ENTRY_PRICE,
            index_price=_ENTRY_PRICE,
        )

    async def place(self, request: OrderRequest) -> Outcome:
        """A pass that finds nothing sends nothing."""
        return _refused(request.label)

    async def edit(self, order_id: str, **terms: Any) -> Outcome:
        """A pass that finds nothing sends nothing."""
        del terms
        return _refused(order_id)

    async def cancel(self, order_id: str) -> Outcome:
        """A pass that finds nothing sends nothing."""
        return _refused(order_id)


async def agreeing_exchange(ledger: Ledger, clock: Clock) -> AgreeingExchange:
    """The exchange that this ledger is true of."""
    sizes: dict[str, Decimal] = defaultdict(Decimal)
    for trade in (await ledger.open_trades()).trades:
        sizes[trade.instrument_name] += trade.signed_open_amount
    positions = tuple(
        Position(
            instrument_name=name,
            size=size,
            average_price=_ENTRY_PRICE,
            mark_price=_ENTRY_PRICE,
            realized_profit_loss=Decimal(0),
            floating_profit_loss=Decimal(0),
        )
        for name, size in sizes.items()
    )
    resting = tuple(_as_exchange_shows(order) for order in await ledger.working_orders())
    return AgreeingExchange(clock, positions, resting, await ledger.newest_fills())


def _history(number: int, entered_ms: int, *, is_open: bool) -> _History:
    instrument_name = INSTRUMENTS[number % len(INSTRUMENTS)]
    entry_id, stop_id = 2 * number + 1, 2 * number + 2
    entry = OwnOrder(
        label=make_label("bench", entry_id),
        intent_id=entry_id,
        attempt=1,
        strategy_id="bench",
        strategy_name="Razor",
        role=Role.ENTRY,
        trade_id=f"t{entry_id}",
        instrument_name=instrument_name,
        direction=Direction.BUY,
        order_type=OrderType.MARKET,
        amount=_AMOUNT,
        created_ms=entered_ms,
        valid_until_ms=entered_ms + 4_000,
        status=OrderStatus.FILLED,
        order_id=f"USDC-{entry_id}",
        filled_amount=_AMOUNT,
    )
    stop = replace(
        entry,
        label=make_label("bench", stop_id),
        intent_id=stop_id,
        role=Role.STOP,
        direction=Direction.SELL,
        order_type=OrderType.STOP_MARKET,
        trigger_price=_STOP_PRICE,
        reduce_only=True,
        parent_label=entry.label,
        order_id=f"USDC-{stop_id}",
        status=OrderStatus.UNTRIGGERED if is_open else OrderStatus.FILLED,
        filled_amount=Decimal(0) if is_open else _AMOUNT,
    )
    shares = [FillShare(fill=_fill(entry, _ENTRY_PRICE), amount=_AMOUNT, is_entry=True)]
    if not is_open:
        shares.append(FillShare(fill=_fill(stop, _STOP_PRICE), amount=_AMOUNT, is_entry=False))
    trade = Trade(
        trade_id=entry.trade_id,
        strategy_name="Razor",
        strategy_id="bench",
        instrument_name=instrument_name,
        side=Direction.BUY,
        entry_order_id=f"USDC-{entry_id}",
        entry_price=_ENTRY_PRICE,
        amount=_AMOUNT,
        entry_time_ms=entered_ms,
        status=TradeStatus.OPEN,
        open_amount=_AMOUNT,
        stop_loss=_STOP_PRICE,
    )
    return _History(trade=settle(trade, shares), orders=(entry, stop), shares=tuple(shares))


def _fill(order: OwnOrder, price: Decimal) -> Fill:
    return Fill(
        trade_id=f"USDC-{order.intent_id}",
        order_id=order.order_id or "",
        label=order.label,
        instrument_name=order.instrument_name,
        direction=order.direction,
        amount=order.amount,
        price=price,
        fee=Decimal("0.05"),
        fee_currency="USDC",
        timestamp_ms=order.created_ms,
        trade_seq=order.intent_id,
        order_type=order.order_type.value,
        mark_price=price,
        index_price=price,
    )


def _insert(connection: sqlite3.Connection, history: _History) -> None:
    intents.insert(connection, history.orders)
    row = trade_row(history.trade) | {"closed_by": None, "idempotency_key": None}
    connection.execute(sql("trades.put"), row)
    for share in history.shares:
        connection.execute(sql("fills.insert"), fill_row(share.fill, own_label=share.fill.label))
        key = {"currency": fill_currency(share.fill), "trade_id": share.fill.trade_id}
        fill_seq = connection.execute(sql("fills.find"), key).fetchone()[0]
        connection.execute(
            sql("fills.put_share"),
            {
                "trade_id": history.trade.trade_id,
                "fill_seq": fill_seq,
                "amount": str(share.amount),
                "is_entry": share.is_entry,
                "reason": None,
                "source": "order",
            },
        )
        nothing_left = {"unassigned_amount": "0", "fill_seq": fill_seq}
        connection.execute(sql("fills.set_unassigned"), nothing_left)


def _as_exchange_shows(order: OwnOrder) -> Order:
    assert order.order_id is not None
    return Order(
        order_id=order.order_id,
        label=order.label,
        instrument_name=order.instrument_name,
        direction=order.direction,
        order_type=order.order_type,
        status=order.status,
        amount=order.amount,
        filled_amount=order.filled_amount,
        creation_timestamp_ms=order.created_ms,
        last_update_timestamp_ms=order.created_ms,
        reduce_only=order.reduce_only,
        trigger=Trigger.MARK,
        trigger_price=order.trigger_price,
    )


def _refused(what: str) -> Outcome:
    return Refused(code=NOT_SENT, message=f"the benchmark's exchange takes no orders: {what}")
