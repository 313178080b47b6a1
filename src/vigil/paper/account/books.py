"""The exchange's books: orders, trades, positions, cash, transaction log, counters.

`Books` only keeps; `matching` decides. Everything that changes is also appended to `journal`, from
which the venue makes notifications and persistence makes rows, so that neither can miss one.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from vigil.domain.money import ZERO
from vigil.domain.order import Direction
from vigil.paper.account.orders import LogRow, PaperOrder, PaperTrade
from vigil.paper.account.positions import PaperPosition
from vigil.paper.market.instruments import LISTING_BY_NAME

# Where counters start: large, as on the exchange, so that nobody parses ids as small integers.
_FIRST = {
    "order": 74_000_000_000,
    "trade": 208_000_000,
    "trade_seq": 123_000_000,
    "trigger": 19_000,
    "change": 118_850_000_000,
    "user_seq": 6_000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cash:
    """One currency of the account.

    Args:
        balance: Moved by fees, and at settlement by session profit.
        session_rpl: Profit realised since the last settlement.
    """

    currency: str
    balance: Decimal
    session_rpl: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChanged:
    """An order is new or in a new state. Silent changes are kept, but nobody is told."""

    order: PaperOrder
    is_silent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderForgotten:
    """An order left without a trace: under another id from now on, or vanished."""

    order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Traded:
    """One of the account's orders was executed."""

    trade: PaperTrade


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """A row was added to the transaction log."""

    row: LogRow


Entry = OrderChanged | OrderForgotten | Traded | Logged


class Books:
    """One account's books.

    Args:
        balances: Starting cash by currency.
    """

    def __init__(self, balances: Mapping[str, Decimal]) -> None:
        self.orders: dict[str, PaperOrder] = {}
        self.trades: list[PaperTrade] = []
        self.log: list[LogRow] = []
        self.positions: dict[str, PaperPosition] = {}
        self.cash = {
            currency: Cash(currency=currency, balance=balance)
            for currency, balance in balances.items()
        }
        self.counters: dict[str, int] = {}
        self.journal: list[Entry] = []
        self._live: dict[str, dict[str, None]] = {}
        self._by_label: dict[str, dict[str, None]] = {}
        self._trades_by_order: dict[str, list[PaperTrade]] = {}

    def next_number(self, kind: str, scope: str = "") -> int:
        """The next value of a counter: its kind, and within it one count per scope."""
        name = f"{kind}:{scope}" if scope else kind
        self.counters[name] = self.counters.get(name, _FIRST.get(kind, 0)) + 1
        return self.counters[name]

    def put(self, order: PaperOrder, *, is_silent: bool = False) -> PaperOrder:
        """Keep the order's new state."""
        self._index(order)
        self.journal.append(OrderChanged(order=order, is_silent=is_silent))
        return order

    def forget(self, order_id: str) -> None:
        """Drop a pending order's record."""
        order = self.orders.pop(order_id)
        self._by_label.get(order.label, {}).pop(order_id, None)
        self.journal.append(OrderForgotten(order_id=order_id))

    def add_trade(self, trade: PaperTrade) -> None:
        """Keep an execution."""
        self._index_trade(trade)
        self.journal.append(Traded(trade=trade))

    def add_row(self, row: LogRow) -> None:
        """Keep a row of the transaction log."""
        self.log.append(row)
        self.journal.append(Logged(row=row))

    def book_cash(self, currency: str, *, fee: Decimal, profit_loss: Decimal) -> Cash:
        """Take a fee from cash at once and add profit to the session."""
        cash = self.cash[currency]
        self.cash[currency] = replace(
            cash, balance=cash.balance - fee, session_rpl=cash.session_rpl + profit_loss
        )
        return self.cash[currency]

    def position(self, instrument_name: str) -> PaperPosition:
        """The net position; flat when there never was one."""
        return self.positions.get(instrument_name) or PaperPosition(instrument_name=instrument_name)

    def live_orders(self, instrument_name: str | None = None) -> Iterator[PaperOrder]:
        """Orders that rest or wait for a trigger, oldest first; pending secondaries excluded."""
        names = self._live if instrument_name is None else (instrument_name,)
        for name in names:
            for order_id in tuple(self._live.get(name, ())):
                order = self.orders[order_id]
                if order.is_live:
                    yield order

    def labelled(self, label: str) -> list[PaperOrder]:
        """Every order with that label, oldest first."""
        return [self.orders[order_id] for order_id in self._by_label.get(label, ())]

    def trades_of(self, order_id: str) -> list[PaperTrade]:
        """An order's executions, oldest first."""
        return self._trades_by_order.get(order_id, [])

    def uncovered(self, instrument_name: str, direction: Direction) -> Decimal:
        """What of the position no resting reduce-only order in `direction` covers yet.

        Orders that cancel each other cover the same part, so a pair counts once.
        """
        covered: dict[str, Decimal] = {}
        for order in self.live_orders(instrument_name):
            if order.reduce_only and order.direction is direction:
                group = order.oco_ref or order.order_id
                covered[group] = max(covered.get(group, ZERO), order.remaining)
        held = self.position(instrument_name).reducible_by(direction)
        return held - sum(covered.values(), ZERO)

    def drain(self) -> list[Entry]:
        """Everything that changed since the last call."""
        journal, self.journal = self.journal, []
        return journal

    def restore(
        self,
        *,
        orders: Iterable[PaperOrder],
        trades: Iterable[PaperTrade],
        log: Iterable[LogRow],
        positions: Iterable[PaperPosition],
        cash: Iterable[Cash],
        counters: Mapping[str, int],
    ) -> None:
        """Take back books that were kept. Connections are gone, so orders forget theirs."""
        for order in orders:
            self._index(replace(order, connection_id=None))
        for trade in trades:
            self._index_trade(trade)
        self.log.extend(log)
        self.positions |= {position.instrument_name: position for position in positions}
        self.cash |= {item.currency: item for item in cash}
        self.counters |= counters

    def _index(self, order: PaperOrder) -> None:
        assert order.instrument_name in LISTING_BY_NAME, order
        self.orders[order.order_id] = order
        self._by_label.setdefault(order.label, {})[order.order_id] = None
        live = self._live.setdefault(order.instrument_name, {})
        if order.is_live and not order.is_pending:
            live[order.order_id] = None
        else:
            live.pop(order.order_id, None)

    def _index_trade(self, trade: PaperTrade) -> None:
        self.trades.append(trade)
        self._trades_by_order.setdefault(trade.order_id, []).append(trade)
