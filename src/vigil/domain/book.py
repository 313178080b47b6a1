"""An order book: every price level that the exchange showed, best first."""

from decimal import Decimal

from msgspec import Struct


class Level(Struct, frozen=True, gc=False):
    """All that rests at one price; `amount` in the instrument's unit."""

    price: Decimal
    amount: Decimal


class Book(Struct, frozen=True, kw_only=True):
    """A whole book, or the best levels of one.

    Args:
        timestamp_ms: When the exchange last changed it, exchange time.
        change_id: The exchange's counter of changes, shared by many instruments.
        bids: Best first, prices falling.
        asks: Best first, prices rising.
        is_whole: False when only the best levels are shown.
    """

    instrument_name: str
    timestamp_ms: int
    change_id: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    is_whole: bool = True

    @property
    def best_bid(self) -> Level | None:
        """The highest bid; None when nobody bids."""
        return self.bids[0] if self.bids else None

    @property
    def best_ask(self) -> Level | None:
        """The lowest ask; None when nobody asks."""
        return self.asks[0] if self.asks else None

    @property
    def is_crossed(self) -> bool:
        """Whether somebody bids at or above what somebody asks: no book stays so."""
        return bool(self.bids and self.asks) and self.bids[0].price >= self.asks[0].price
