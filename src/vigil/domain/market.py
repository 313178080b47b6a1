"""What the market says: tickers and candles, with the exchange's own time on them."""

from decimal import Decimal

from msgspec import Struct

from vigil.domain.order import Direction


class Ticker(Struct, frozen=True, kw_only=True):
    """A market snapshot. Prices in the instrument's quote unit; `None` where a side is empty.

    Args:
        timestamp_ms: When the exchange made it, exchange time.
        min_price: Lowest price the exchange accepts for a limit order now.
        max_price: Highest price the exchange accepts for a limit order now.
        is_open: False while the instrument is halted, locked or settling.
    """

    instrument_name: str
    timestamp_ms: int
    mark_price: Decimal
    index_price: Decimal
    last_price: Decimal | None = None
    best_bid_price: Decimal | None = None
    best_ask_price: Decimal | None = None
    best_bid_amount: Decimal | None = None
    best_ask_amount: Decimal | None = None
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    is_open: bool = True

    def age_ms(self, now_ms: int) -> int:
        """How old the snapshot is, in milliseconds; negative when the clocks disagree."""
        return now_ms - self.timestamp_ms


class Candle(Struct, frozen=True, kw_only=True):
    """Prices over `[start_ms, start_ms + timeframe)`."""

    start_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


class PublicTrade(Struct, frozen=True, kw_only=True):
    """A trade of anybody.

    Args:
        direction: The taker's.
        is_liquidation: A side was liquidated; the exchange tells it an hour later.
        is_block: Agreed away from the book.
    """

    trade_id: str
    trade_seq: int
    instrument_name: str
    timestamp_ms: int
    direction: Direction
    price: Decimal
    amount: Decimal
    mark_price: Decimal | None = None
    index_price: Decimal | None = None
    is_liquidation: bool = False
    is_block: bool = False


class Quote(Struct, frozen=True, kw_only=True):
    """The best prices of a book; None where a side is empty."""

    instrument_name: str
    timestamp_ms: int
    bid_price: Decimal | None = None
    bid_amount: Decimal | None = None
    ask_price: Decimal | None = None
    ask_amount: Decimal | None = None


class InstrumentState(Struct, frozen=True, kw_only=True):
    """A step in an instrument's life, in the exchange's own word.

    `open`, `settlement`, `delivered`, `inactive`, `locked`, `halted`, `archivized`; older words
    are created, started, settled, closed, deactivated, terminated.
    """

    instrument_name: str
    state: str
    timestamp_ms: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether orders are surely taken; a word that we do not know says no."""
        return self.state in ("open", "started")


class FundingNow(Struct, frozen=True, kw_only=True):
    """The funding rate of this instant, per eight hours."""

    timestamp_ms: int
    interest: Decimal
    index_price: Decimal


class BookSummary(Struct, frozen=True, kw_only=True):
    """One instrument's market in short; None where there is no such price."""

    instrument_name: str
    timestamp_ms: int
    mark_price: Decimal | None = None
    bid_price: Decimal | None = None
    ask_price: Decimal | None = None
    last_price: Decimal | None = None
    open_interest: Decimal | None = None
    volume: Decimal | None = None


class PlatformStatus(Struct, frozen=True, kw_only=True):
    """Locks of trading in force.

    Args:
        is_locked: Everywhere.
        locked_indices: Where, when not everywhere.
        is_partly_locked: Somewhere; the exchange may not say where.
    """

    is_locked: bool
    is_partly_locked: bool = False
    locked_indices: frozenset[str] = frozenset()
