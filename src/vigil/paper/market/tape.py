"""The public tape: what everybody sees of an execution, and what the executions come to."""

from collections import deque
from dataclasses import dataclass
from decimal import Decimal

from vigil.domain.money import ZERO
from vigil.domain.order import Direction
from vigil.paper.market.instruments import Listing

_LENGTH = 1000
# Of what nobody trades any more.
_ARCHIVED_LENGTH = 50


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
    block_trade_id: str | None = None

    @property
    def number(self) -> int:
        """The number inside the trade id, which is ordered in time."""
        return int(self.trade_id.rpartition("-")[2])


class Tape:
    """What was traded of one instrument: the latest executions, and sums over all of them.

    Attributes: `last_price`, `high` and `low` are None before the first; `volume` is in base coin,
    of options in contracts, `volume_usd` in the quote currency.
    """

    def __init__(self) -> None:
        self.trades: deque[PublicTrade] = deque(maxlen=_LENGTH)
        self.last_price: Decimal | None = None
        self.high: Decimal | None = None
        self.low: Decimal | None = None
        self.volume = self.volume_usd = ZERO
        self._tick_direction = 0
        self._fresh: list[PublicTrade] = []

    def record(self, trade: PublicTrade, listing: Listing) -> bool:
        """Put an execution on the tape. Returns: whether nothing else waits to be drained."""
        self.trades.append(trade)
        self._fresh.append(trade)
        price = trade.price
        if trade.block_trade_id is None:  # others are agreed on away from the market
            self.last_price, self._tick_direction = price, trade.tick_direction
            self.high = price if self.high is None else max(self.high, price)
            self.low = price if self.low is None else min(self.low, price)
        if listing.contract.is_option:
            unit = 1 if listing.contract.is_linear else trade.index_price
            self.volume += trade.amount
            self.volume_usd += trade.amount * price * unit
        else:
            notional = listing.instrument.notional_usd(trade.amount, price)
            self.volume_usd += notional
            self.volume += notional / price
        return len(self._fresh) == 1

    def drain(self) -> list[PublicTrade]:
        """Executions since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def tick_direction_of(self, price: Decimal, last_price: Decimal) -> int:
        """0 plus, 1 zero-plus, 2 minus, 3 zero-minus, after a trade at `last_price`."""
        if price == last_price:
            return self._tick_direction | 1
        return 0 if price > last_price else 2

    def archive(self) -> None:
        """Keep only the end of it."""
        self.trades = deque(tuple(self.trades)[-_ARCHIVED_LENGTH:], maxlen=_ARCHIVED_LENGTH)
