"""One instrument's market: mark, bands, the book around mark with the account's orders in it, tape.

Everything follows from the index and is reckoned when it is looked at: most instruments are looked
at by nobody most of the time.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from enum import StrEnum

from vigil.domain.instrument import Kind
from vigil.domain.money import ZERO, round_nearest
from vigil.domain.order import Direction, Trigger
from vigil.paper.market.depth import BookTrouble, Depth, Level
from vigil.paper.market.index import Index
from vigil.paper.market.instruments import Listing
from vigil.paper.market.pricing import (
    FUTURE_BAND,
    PERPETUAL_BAND,
    OptionQuote,
    future_mark,
)
from vigil.paper.market.tape import PublicTrade, Tape

OwnOrders = Callable[[str], Iterable[tuple[Direction, Decimal, Decimal]]]

_IV_QUANTUM = Decimal("0.01")


class BookState(StrEnum):
    """What an order book is doing; only an open one takes orders and trades.

    Source: Deribit API v2, `state` of the order book, life cycle since January 2026.
    """

    OPEN = "open"
    SETTLEMENT = "settlement"
    DELIVERED = "delivered"
    INACTIVE = "inactive"
    LOCKED = "locked"
    HALTED = "halted"
    ARCHIVIZED = "archivized"


EMPTY_STATES = frozenset({BookState.DELIVERED, BookState.INACTIVE, BookState.ARCHIVIZED})


def _nobody(_name: str) -> Iterable[tuple[Direction, Decimal, Decimal]]:
    return ()


def _ignore(_name: str) -> None:
    pass


class Market:
    """One instrument's prices and book.

    Attributes `current_funding` and `funding_8h` of a perpetual are rates per eight hours,
    `interest_value` is what they added up to since the last settlement, and `delivery_price` is set
    once the instrument is delivered; clearing keeps them.

    Args:
        index: What its prices follow.
        premium: Mark of a perpetual over index, as a fraction; inside +-0.025 % funding is zero.
        own_orders: Gives side, price and visible amount of the account's resting orders.
        underlying_index: Of an option: the future of its expiry, or what stands for one.
        on_state: Told the instrument's name after every change of its state.
        on_trade: The same when there is something to drain from the tape.
    """

    def __init__(
        self,
        listing: Listing,
        index: Index,
        *,
        premium: Decimal,
        own_orders: OwnOrders = _nobody,
        underlying_index: str = "",
        on_state: Callable[[str], None] = _ignore,
        on_trade: Callable[[str], None] = _ignore,
    ) -> None:
        self.listing = listing
        self.index = index
        self._premium = self._usual_premium = premium
        self._follows_time = not listing.is_perpetual
        self.underlying_index = underlying_index
        self.current_funding = self.funding_8h = self.interest_value = ZERO
        self.delivery_price: Decimal | None = None
        self.tape = Tape()
        self._state = BookState.OPEN
        self._own_orders, self._on_state, self._on_trade = own_orders, on_state, on_trade
        self._is_option = listing.instrument.kind is Kind.OPTION
        self._depth = Depth(listing.instrument)
        self._version = -1
        self._quote: OptionQuote | None = None
        self._bounds: tuple[Decimal, Decimal] | None = None
        self._born = index.price, index.now_ms
        self._open_price: Decimal | None = None
        self._settlement_price: Decimal | None = None
        self._mark_extremes: tuple[Decimal, Decimal] | None = None

    # -- life cycle ----------------------------------------------------------------------------

    @property
    def state(self) -> BookState:
        """What the book is doing."""
        return self._state

    @state.setter
    def state(self, state: BookState) -> None:
        if state is not self._state:
            self._state = state
            self._on_state(self.listing.name)

    def restore(
        self,
        *,
        weights: Iterable[Iterable[int]],
        settlement_price: Decimal | None,
        last_price: Decimal | None,
        state: BookState = BookState.OPEN,
        delivery_price: Decimal | None = None,
        premium: Decimal | None = None,
    ) -> None:
        """Take back what a restart would forget; nobody is told of the state."""
        self._depth.restore(weights)
        self._settlement_price, self.tape.last_price = settlement_price, last_price
        self._state, self.delivery_price = state, delivery_price
        if premium is not None:
            self.premium = premium

    @property
    def premium(self) -> Decimal:
        """Mark of a perpetual over index now, as a fraction."""
        return self._premium

    @premium.setter
    def premium(self, premium: Decimal) -> None:
        self._premium = premium
        self._version = -1

    def archive(self) -> None:
        """It was delivered long ago: little more than its record is kept."""
        self.state = BookState.ARCHIVIZED
        self.tape.archive()

    def go_on(self, listing: Listing, trouble: BookTrouble | None = None) -> None:
        """Go on with other ticks or sizes, or with something wrong with other people's orders."""
        self.listing, self._depth = listing, Depth(listing.instrument)
        self._depth.trouble, self._version = trouble, -1

    @property
    def weights(self) -> tuple[tuple[int, ...], ...]:
        """Level weights of the book, for `restore`."""
        return self._depth.weights

    # -- prices --------------------------------------------------------------------------------

    def move(self) -> None:
        """The index moved: remember the extremes of mark."""
        mark = self.mark_price
        low, high = self._mark_extremes or (mark, mark)
        self._mark_extremes = min(low, mark), max(high, mark)

    @property
    def index_price(self) -> Decimal:
        """The present index price."""
        return self.index.price

    @property
    def mark_price(self) -> Decimal:
        """What positions are worth."""
        self._refresh()
        return self._mark_price

    @property
    def min_price(self) -> Decimal:
        """The lowest price that a sell may name."""
        return self._band()[0]

    @property
    def max_price(self) -> Decimal:
        """The highest price that a buy may name."""
        return self._band()[1]

    @property
    def option_quote(self) -> OptionQuote:
        """Volatility, greeks and underlying of an option."""
        self._refresh()
        assert self._quote is not None
        return self._quote

    def iv_of(self, price: Decimal) -> Decimal:
        """The volatility that an option's price implies, in percent."""
        percent = Decimal(repr(self.option_quote.volatility_of(price))) * 100
        return round_nearest(percent, _IV_QUANTUM)

    @property
    def settlement_price(self) -> Decimal:
        """Mark at the last settlement, or where the market began."""
        if self._settlement_price is None:
            self._settlement_price = self.open_price
        return self._settlement_price

    @settlement_price.setter
    def settlement_price(self, price: Decimal) -> None:
        self._settlement_price = price

    @property
    def open_price(self) -> Decimal:
        """Mark where the market began."""
        if self._open_price is None:
            self._open_price = self._mark_at(*self._born)
        return self._open_price

    @property
    def last_price(self) -> Decimal:
        """The last trade's price; before the first, mark on tick."""
        if self.tape.last_price is None:
            return self.listing.instrument.round_price(self.mark_price)
        return self.tape.last_price

    @property
    def has_traded(self) -> bool:
        """Whether there was a trade, or there always is one."""
        return self.tape.last_price is not None or self.listing.is_perpetual

    @property
    def high(self) -> Decimal | None:
        """The highest since the start: of mark for perpetuals, of trades for the others."""
        return self._extremes[1]

    @property
    def low(self) -> Decimal | None:
        """The lowest since the start."""
        return self._extremes[0]

    @property
    def estimated_delivery_price(self) -> Decimal:
        """What the instrument would be delivered at; for perpetuals, the index."""
        if self.listing.is_perpetual:
            return self.index.price
        return self.index.delivery_price(self.listing.expires_ms)

    def price_at(self, index_price: Decimal, time_ms: int) -> Decimal:
        """The instrument's usual price when its index is there at a time, on tick."""
        return self.listing.instrument.round_price(self._mark_at(index_price, time_ms))

    def reference(self, trigger: Trigger) -> Decimal:
        """The price that a trigger watches."""
        match trigger:
            case Trigger.MARK:
                return self.mark_price
            case Trigger.INDEX:
                return self.index_price
            case Trigger.LAST:
                return self.last_price

    def bound(self, direction: Direction) -> Decimal:
        """The worst price a market order may reach, and a limit order may name."""
        return self.max_price if direction is Direction.BUY else self.min_price

    # -- the book ------------------------------------------------------------------------------

    def redraw(self, dice: random.Random) -> None:
        """Let other people's orders come and go."""
        self._depth.redraw(dice)

    def best_opposite(self, direction: Direction) -> Decimal:
        """The price of somebody else that an order in `direction` meets first.

        Where nobody is there, one that no order reaches.
        """
        self._refresh()
        best = None if self._state in EMPTY_STATES else self._depth.best_price(direction.opposite)
        if best is not None:
            return best
        return Decimal("Infinity") if direction is Direction.BUY else ZERO

    def takeable(self, direction: Direction, limit: Decimal) -> list[Level]:
        """Levels that an order in `direction` may take at `limit` or better, best first."""
        best = self.best_opposite(direction)
        if (best - limit) * direction.sign > 0:
            return []
        levels = self._others(direction.opposite)
        if direction is Direction.BUY:
            return [level for level in levels if level[0] <= limit]
        return [level for level in levels if level[0] >= limit]

    @property
    def bids(self) -> list[Level]:
        """What there is to sell to, the account's own orders among it, best first."""
        return self._shown(Direction.BUY)

    @property
    def asks(self) -> list[Level]:
        """What there is to buy, the account's own orders among it, best first."""
        return self._shown(Direction.SELL)

    @property
    def best_bid(self) -> Level | None:
        """Highest price that somebody buys at, and how much."""
        return self._best_shown(Direction.BUY)

    @property
    def best_ask(self) -> Level | None:
        """Lowest price that somebody sells at, and how much."""
        return self._best_shown(Direction.SELL)

    # -- the tape ------------------------------------------------------------------------------

    def record_trade(self, trade: PublicTrade) -> None:
        """Put an execution on the tape and remember its price."""
        if self._is_option and trade.iv is None:
            trade = replace(trade, iv=self.iv_of(trade.price))
        if self.tape.record(trade, self.listing):
            self._on_trade(self.listing.name)

    def tick_direction_of(self, price: Decimal) -> int:
        """0 plus, 1 zero-plus, 2 minus, 3 zero-minus, against the last trade."""
        return self.tape.tick_direction_of(price, self.last_price)

    # -- reckoning -----------------------------------------------------------------------------

    @property
    def _extremes(self) -> tuple[Decimal | None, Decimal | None]:
        if not self.listing.is_perpetual:
            return self.tape.low, self.tape.high
        return self._mark_extremes or (self.open_price, self.open_price)

    @property
    def _reference_price(self) -> Decimal:
        """The index, or what the average of the last half hour makes of it."""
        if self.listing.is_perpetual:
            return self.index.price
        return self.index.delivery_price(self.listing.expires_ms)

    def _refresh(self) -> None:
        index = self.index
        version = index.version if self._follows_time else index.price_version
        if self._version == version:
            return
        self._version = version
        self._bounds = None
        now_ms = self.index.now_ms
        if self._is_option:
            self._quote = self._quote_at(self._reference_price, now_ms)
            self._mark_price = self._quote.mark_price
        else:
            self._mark_price = future_mark(
                self.listing, self._reference_price, now_ms, self._premium
            )
        self._depth.surround(self._mark_price)

    def _band(self) -> tuple[Decimal, Decimal]:
        """The lowest and the highest price that may be named."""
        self._refresh()
        if self._bounds is None:
            instrument, mark = self.listing.instrument, self._mark_price
            if self._quote is not None:
                band = self._quote.band
            else:
                band = mark * (FUTURE_BAND if self._follows_time else PERPETUAL_BAND)
            self._bounds = (
                max(instrument.round_price_up(mark - band), instrument.tick_size),
                instrument.round_price_down(mark + band),
            )
        return self._bounds

    def _mark_at(self, index_price: Decimal, time_ms: int) -> Decimal:
        if self._is_option:
            return self._quote_at(index_price, time_ms).mark_price
        return future_mark(self.listing, index_price, time_ms, self._usual_premium)

    def _quote_at(self, index_price: Decimal, time_ms: int) -> OptionQuote:
        return OptionQuote(self.listing, index_price, time_ms, quantum=self.index.quantum)

    def _others(self, side: Direction) -> list[Level]:
        self._refresh()
        return [] if self._state in EMPTY_STATES else self._depth.side(side)

    def _best_shown(self, side: Direction) -> Level | None:
        """The first of `_shown`, without the others where nothing of ours is in between."""
        if any(order[0] is side for order in self._own_orders(self.listing.name)):
            return next(iter(self._shown(side)), None)
        self._refresh()
        return None if self._state in EMPTY_STATES else self._depth.best_level(side)

    def _shown(self, side: Direction) -> list[Level]:
        levels = self._others(side)
        own = [order for order in self._own_orders(self.listing.name) if order[0] is side]
        if not own:
            return levels
        merged = dict(levels)
        for _, price, amount in own:
            merged[price] = merged.get(price, ZERO) + amount
        return sorted(merged.items(), reverse=side is Direction.BUY)
