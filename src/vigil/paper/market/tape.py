"""The public tape: what everybody sees of an execution."""

from dataclasses import dataclass
from decimal import Decimal

from vigil.domain.order import Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicTrade:
    """One execution as everybody sees it; `direction` is the taker's.

    Args:
        iv: Of an option, the volatility that the price implies, percent.
        liquidation: Who was liquidated by it: maker `M`, taker `T` or both `MT`.
    """

    trade_id: str
    trade_seq: int
    instrument_name: str
    timestamp_ms: int
    direction: Direction
    price: Decimal
    amount: Decimal
    mark_price: Decimal
    index_price: Decimal
    tick_direction: int
    iv: Decimal | None = None
    liquidation: str | None = None

    @property
    def number(self) -> int:
        """The number inside the trade id, which is ordered in time."""
        return int(self.trade_id.rpartition("-")[2])
