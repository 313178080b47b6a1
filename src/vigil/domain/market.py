"""What the market says: tickers and candles, with the exchange's own time on them."""

from decimal import Decimal

from msgspec import Struct


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
