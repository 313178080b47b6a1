"""The exchange's books: orders, trades, positions, cash, transaction log, counters.

`Books` only keeps; `matching` decides. Everything that changes is also appended to `journal`, from
which the venue makes notifications and persistence makes rows, so that neither can miss one.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from vigil.domain.instrument import contract_of
from vigil.domain.money import ZERO
from vigil.domain.order import Direction
from vigil.paper.account.funding import FundingHour
from vigil.paper.account.log_rows import LiquidationNotice, LogRow, SettlementRow
from vigil.paper.account.order_records import OrderRecords
from vigil.paper.account.orders import PaperOrder, PaperTrade, TriggerEnd
from vigil.paper.account.positions import PaperPosition
from vigil.paper.account.shelf import Shelf
from vigil.paper.account.trade_records import TradeRecords
from vigil.paper.switches import Switches

# Rows of the transaction log that are kept; a trade writes one or two.
LOG_MAX = 50_000

# Where counters start: large, as on the exchange, so that nobody parses ids as small integers.
_FIRST = {
    "order": 74_000_000_000,
    "trade": 208_000_000,
    "trade_seq": 123_000_000,
    "trigger": 19_000,
    "change": 118_850_000_000,
    "user_seq": 6_000,
    "log": 610_000_000,
    "settlement": 1_000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cash:
    """One currency of the account.

    Args:
        balance: Moved by fees and option premiums, and at settlement by session profit.
        session_rpl: Profit of futures since the last settlement, realised and funding.
        options_session_rpl: The same of options, for show: their cash has moved already.
        liquidation_ms: When the next round of a liquidation is due; None while there is none.
    """

    currency: str
    balance: Decimal
    session_rpl: Decimal = ZERO
    options_session_rpl: Decimal = ZERO
    liquidation_ms: int | None = None


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
class TradesForgotten:
    """The oldest executions were dropped to make room."""

    trade_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerEnded:
    """A trigger order ended; the oldest ends may have been dropped to make room."""

    end: TriggerEnd
    dropped: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """A row was added to the transaction log; the oldest may have been dropped to make room."""

    row: LogRow
    dropped: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A row was added to the settlement history; the oldest may have been dropped for it."""

    row: SettlementRow
    dropped: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingRecorded:
    """An hour of a perpetual's funding ended."""

    hour: FundingHour


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidationNoticed:
    """A liquidation began, moved a position, or ended."""

    notice: LiquidationNotice


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiped:
    """Everything that was kept is void; what is true now follows."""


Entry = (
    OrderChanged
    | OrderForgotten
    | Traded
    | TradesForgotten
    | TriggerEnded
    | Logged
    | Settled
    | FundingRecorded
    | LiquidationNoticed
    | Wiped
)


class Books:
    """One account's books.

    Args:
        balances: Starting cash by currency.
    """

    def __init__(self, balances: Mapping[str, Decimal], switches: Switches | None = None) -> None:
        self.switches = switches or Switches()
        self.order_records = OrderRecords()
        self.trade_records = TradeRecords()
        self.trigger_ends: Shelf[TriggerEnd] = Shelf()
        self.log_rows: Shelf[LogRow] = Shelf(LOG_MAX)
        self.settlement_rows: Shelf[SettlementRow] = Shelf()
        self.positions: dict[str, PaperPosition] = {}
        self.cash = {
            currency: Cash(currency=currency, balance=balance)
            for currency, balance in balances.items()
        }
        self.counters: dict[str, int] = {}
        self.journal: list[Entry] = []

    @property
    def orders(self) -> Mapping[str, PaperOrder]:
        """Orders that can be asked for by their id: live ones, and those that closed recently."""
        return self.order_records.by_id

    @property
    def trades(self) -> list[PaperTrade]:
        """Every execution that is still kept, as they came."""
        return self.trade_records.everything()

    @property
    def log(self) -> list[LogRow]:
        """The rows of the transaction log that are still kept, as they came."""
        return self.log_rows.items

    @property
    def settlements(self) -> list[SettlementRow]:
        """The rows of the settlement history that are still kept, as they came."""
        return self.settlement_rows.items

    def next_number(self, kind: str, scope: str = "", *, step: int = 1) -> int:
        """The next value of a counter: its kind, and within it one count per scope."""
        name = f"{kind}:{scope}" if scope else kind
        self.counters[name] = self.counters.get(name, _FIRST.get(kind, 0)) + step
        return self.counters[name]

    def put(self, order: PaperOrder, *, is_silent: bool = False) -> PaperOrder:
        """Keep the order's new state."""
        dropped = self.order_records.put(order)
        self.journal.append(OrderChanged(order=order, is_silent=is_silent))
        self.journal.extend(OrderForgotten(order_id=old.order_id) for old in dropped)
        return order

    def forget(self, order_id: str) -> None:
        """Drop a pending order's record."""
        self.order_records.forget(order_id)
        self.journal.append(OrderForgotten(order_id=order_id))

    def add_trade(self, trade: PaperTrade) -> None:
        """Keep an execution."""
        dropped = self.trade_records.add(trade)
        self.journal.append(Traded(trade=trade))
        if dropped:
            self.journal.append(TradesForgotten(trade_ids=tuple(old.trade_id for old in dropped)))

    def add_trigger_end(self, end: TriggerEnd) -> None:
        """Keep how a trigger order ended."""
        dropped = self.trigger_ends.add(end.timestamp_ms, end)
        self.journal.append(TriggerEnded(end=end, dropped=tuple(old.number for old in dropped)))

    def age(self, now_ms: int) -> None:
        """Let orders that closed long enough ago leave the recent store."""
        self.order_records.age(now_ms)

    def add_row(self, row: LogRow) -> None:
        """Keep a row of the transaction log."""
        dropped = self.log_rows.add(row.timestamp_ms, row)
        self.journal.append(Logged(row=row, dropped=tuple(old.number for old in dropped)))

    def add_settlement(self, row: SettlementRow) -> None:
        """Keep a row of the settlement history."""
        dropped = self.settlement_rows.add(row.timestamp_ms, row)
        self.journal.append(Settled(row=row, dropped=tuple(old.row_id for old in dropped)))

    def add_funding_hour(self, hour: FundingHour) -> None:
        """Let an hour of funding be kept; who reckons it remembers it."""
        self.journal.append(FundingRecorded(hour=hour))

    def notice_liquidation(self, notice: LiquidationNotice) -> None:
        """Let the account hear of a liquidation."""
        self.journal.append(LiquidationNoticed(notice=notice))

    def next_user_seq(self, currency: str) -> int:
        """The next number of the transaction log."""
        return self.next_number("user_seq", currency if self.switches.user_seq_per_currency else "")

    def book_cash(
        self,
        currency: str,
        *,
        change: Decimal = ZERO,
        session_rpl: Decimal = ZERO,
        options_session_rpl: Decimal = ZERO,
    ) -> Cash:
        """Change cash at once, and add profit to the session of futures or of options."""
        cash = self.cash_of(currency)
        self.cash[currency] = replace(
            cash,
            balance=cash.balance + change,
            session_rpl=cash.session_rpl + session_rpl,
            options_session_rpl=cash.options_session_rpl + options_session_rpl,
        )
        return self.cash[currency]

    def cash_of(self, currency: str) -> Cash:
        """A currency of the account; empty when nothing was ever in it."""
        return self.cash.get(currency) or Cash(currency=currency, balance=ZERO)

    def is_liquidating(self, currency: str) -> bool:
        """Whether the exchange is closing the account's positions in a currency by force."""
        return self.cash_of(currency).liquidation_ms is not None

    def active_names(self) -> tuple[str, ...]:
        """Instruments with a position or a live order."""
        held = (name for name, position in self.positions.items() if position.size)
        return tuple(dict.fromkeys((*held, *self.order_records.live_names())))

    def named(self) -> set[str]:
        """Every instrument that anything kept here is about."""
        records = self.order_records
        names = {trade.instrument_name for trade in self.trades}
        names |= {row.instrument_name for row in self.log if row.instrument_name is not None}
        names |= {s.instrument_name for s in self.settlements if s.instrument_name is not None}
        names |= {end.order.instrument_name for end in self.trigger_ends.items}
        names |= {order.instrument_name for order in (*records.live(), *records.pending())}
        return names | set(records.closed_names()) | set(self.positions)

    def position(self, instrument_name: str) -> PaperPosition:
        """The net position; flat when there never was one."""
        return self.positions.get(instrument_name) or PaperPosition(instrument_name=instrument_name)

    def live_orders(self, instrument_name: str | None = None) -> Iterator[PaperOrder]:
        """Orders that rest or wait for a trigger, oldest first; pending secondaries excluded."""
        return self.order_records.live(instrument_name)

    def labelled(self, label: str) -> list[PaperOrder]:
        """Every order with that label, oldest first."""
        return self.order_records.labelled(label)

    def trades_of(self, order_id: str) -> list[PaperTrade]:
        """An order's executions, oldest first."""
        return self.trade_records.of_order(order_id)

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
        settlements: Iterable[SettlementRow] = (),
        trigger_ends: Iterable[TriggerEnd] = (),
    ) -> None:
        """Take back books that were kept. Connections are gone, so orders forget theirs."""
        self.order_records.restore(replace(order, connection_id=None) for order in orders)
        for trade in trades:
            self.trade_records.add(trade)
        for end in trigger_ends:
            self.trigger_ends.add(end.timestamp_ms, end)
        for row in log:
            self.log_rows.add(row.timestamp_ms, row)
        self.positions |= {position.instrument_name: position for position in positions}
        self.cash |= {item.currency: item for item in cash}
        self.counters |= counters
        for settlement in settlements:
            self.settlement_rows.add(settlement.timestamp_ms, settlement)
        self._share_sessions()

    def _share_sessions(self) -> None:
        """In files of earlier versions only cash knows the session's profit, and no position."""
        left = {item.currency: item.session_rpl for item in self.cash.values()}
        owners: dict[str, PaperPosition] = {}
        for name, position in self.positions.items():
            contract = contract_of(name)
            if not contract.is_option and contract.settlement_currency in left:
                left[contract.settlement_currency] -= position.session_rpl
                owners.setdefault(contract.settlement_currency, position)
        for currency, owner in owners.items():
            if left[currency]:
                self.positions[owner.instrument_name] = replace(
                    owner, session_rpl=owner.session_rpl + left[currency]
                )
