"""The public tape: what everybody sees of an execution."""

from dataclasses import dataclass
from decimal import Decimal

from vigil.domain.order import Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicTrade:
    """One execution as everybody sees it; `direction` is the taker's."""

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
