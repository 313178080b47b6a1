"""One instrument's market: mark and index, a synthetic book around mark, bands, the public tape.

Prices come in by `move`; orders read the book through `takeable`. The book is drawn anew around
every mark price, so what an order takes from it is there again at the next move.
"""

import random
from collections import deque
from collections.abc import Iterable
from decimal import Decimal

from vigil.domain.money import ZERO, round_down, round_nearest
from vigil.domain.order import Direction, Trigger
from vigil.paper.market.instruments import Listing
from vigil.paper.market.tape import PublicTrade

Level = tuple[Decimal, Decimal]

# Limit orders outside mark +-1.5 % are refused, and a market order stops there.
# Source: derived from recorded market orders, price against mark (order parameters).
BAND = Decimal("0.015")

_PRICE_QUANTUM = Decimal("0.01")  # of mark and index, as recorded
_LEVELS = 25
_HALF_SPREAD = Decimal("0.000005")  # of mark
_LEVEL_GAP = Decimal("0.00002")  # of mark
_LEVEL_NOTIONAL_USD = Decimal(20_000)  # at the best price; deeper levels hold more
_WEIGHT_MIN, _WEIGHT_MAX = 50, 150  # percent of a level's ordinary amount
_REDRAWN_PER_MOVE = 3
_TAPE_LENGTH = 1000


class Market:
    """One instrument's prices and book.

    Args:
        index_price: Where the index starts.
        premium: Mark over index, as a fraction; inside +-0.025 % funding is zero.
    """

    def __init__(self, listing: Listing, *, index_price: Decimal, premium: Decimal) -> None:
        self.listing = listing
        self._premium = premium
        self._weights = {
            direction: [(_WEIGHT_MIN + _WEIGHT_MAX) // 2] * _LEVELS for direction in Direction
        }
        self._drawn: dict[Direction, list[Level]] = {}
        self.tape: deque[PublicTrade] = deque(maxlen=_TAPE_LENGTH)
        self._fresh: list[PublicTrade] = []
        self.volume = self.volume_usd = ZERO
        self.tick_direction = 0
        self._set_prices(index_price)
        self.settlement_price = self.open_price = self.high = self.low = self.mark_price
        self.last_price = listing.instrument.round_price(self.mark_price)

    def move(self, index_price: Decimal) -> None:
        """Follow the index: new mark price, bands and book."""
        self._set_prices(index_price)
        self.high, self.low = max(self.high, self.mark_price), min(self.low, self.mark_price)

    def redraw(self, dice: random.Random) -> None:
        """Let other people's orders come and go: change the amounts of a few levels."""
        for weights in self._weights.values():
            for _ in range(_REDRAWN_PER_MOVE):
                weights[dice.randrange(_LEVELS)] = dice.randint(_WEIGHT_MIN, _WEIGHT_MAX)
        self._drawn.clear()

    def record_trade(self, trade: PublicTrade) -> None:
        """Put an execution on the tape and remember its price."""
        self.tape.append(trade)
        self._fresh.append(trade)
        self.last_price, self.tick_direction = trade.price, trade.tick_direction
        notional = self.listing.instrument.notional_usd(trade.amount, trade.price)
        self.volume_usd += notional
        self.volume += notional / trade.price

    def drain_tape(self) -> list[PublicTrade]:
        """Executions since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def tick_direction_of(self, price: Decimal) -> int:
        """0 plus, 1 zero-plus, 2 minus, 3 zero-minus, against the last trade."""
        if price == self.last_price:
            return self.tick_direction | 1
        return 0 if price > self.last_price else 2

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

    def best_opposite(self, direction: Direction) -> Decimal:
        """The price that an order in `direction` meets first."""
        return self._best_prices[direction.opposite]

    def takeable(self, direction: Direction, limit: Decimal) -> list[Level]:
        """Levels that an order in `direction` may take at `limit` or better, best first."""
        best = self.best_opposite(direction)
        if (best - limit) * direction.sign > 0:
            return []
        if direction is Direction.BUY:
            return [level for level in self.asks if level[0] <= limit]
        return [level for level in self.bids if level[0] >= limit]

    def restore(
        self,
        *,
        weights: Iterable[Iterable[int]],
        settlement_price: Decimal,
        last_price: Decimal,
    ) -> None:
        """Take back what a restart would forget."""
        for direction, saved in zip(Direction, weights, strict=True):
            self._weights[direction] = list(saved)
        self.settlement_price, self.last_price = settlement_price, last_price
        self._drawn.clear()

    @property
    def weights(self) -> tuple[tuple[int, ...], ...]:
        """Level weights, buy side first, for `restore`."""
        return tuple(tuple(weights) for weights in self._weights.values())

    @property
    def bids(self) -> list[Level]:
        """What others buy at, best first."""
        return self._draw(Direction.BUY)

    @property
    def asks(self) -> list[Level]:
        """What others sell at, best first."""
        return self._draw(Direction.SELL)

    @property
    def best_bid(self) -> Level:
        """Highest price that somebody buys at, and how much."""
        return self._best(Direction.BUY)

    @property
    def best_ask(self) -> Level:
        """Lowest price that somebody sells at, and how much."""
        return self._best(Direction.SELL)

    def _best(self, direction: Direction) -> Level:
        return self._best_prices[direction], self._level_amount(0, self._weights[direction][0])

    def _set_prices(self, index_price: Decimal) -> None:
        instrument = self.listing.instrument
        self.index_price = round_nearest(index_price, _PRICE_QUANTUM)
        self.mark_price = round_nearest(index_price * (1 + self._premium), _PRICE_QUANTUM)
        self.min_price = instrument.round_price_up(self.mark_price * (1 - BAND))
        self.max_price = instrument.round_price_down(self.mark_price * (1 + BAND))
        tick = instrument.tick_at(self.mark_price)
        half_spread = max(tick / 2, self.mark_price * _HALF_SPREAD)
        self._gap = max(tick, instrument.round_price(self.mark_price * _LEVEL_GAP))
        self._best_prices = {
            Direction.BUY: instrument.round_price_down(self.mark_price - half_spread),
            Direction.SELL: instrument.round_price_up(self.mark_price + half_spread),
        }
        self._drawn.clear()

    def _draw(self, direction: Direction) -> list[Level]:
        """One side of the book; most are never looked at, so they are drawn when they are."""
        drawn = self._drawn.get(direction)
        if drawn is None:
            best = self._best_prices[direction]
            away = -self._gap if direction is Direction.BUY else self._gap
            drawn = self._drawn[direction] = [
                (best + depth * away, self._level_amount(depth, weight))
                for depth, weight in enumerate(self._weights[direction])
            ]
        return drawn

    def _level_amount(self, depth: int, weight: int) -> Decimal:
        instrument = self.listing.instrument
        notional_usd = _LEVEL_NOTIONAL_USD * (2 + depth) / 2 * weight / 100
        raw = notional_usd if instrument.amount_unit == "USD" else notional_usd / self.mark_price
        return max(round_down(raw, instrument.contract_size), instrument.min_trade_amount)
