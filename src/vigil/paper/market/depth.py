"""Other people's orders: amounts around a best price that come and go, drawn when looked at.

The book is drawn anew around every mark price, so what an order takes from it is there again at the
next move.
"""

import random
from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum

from vigil.domain.instrument import Instrument, Kind
from vigil.domain.money import round_down
from vigil.domain.order import Direction

Level = tuple[Decimal, Decimal]

_LEVELS = {Kind.FUTURE: 25, Kind.OPTION: 6}
_HALF_SPREAD = Decimal("0.000005")  # of a future's mark
_OPTION_HALF_SPREAD = Decimal("0.01")  # of an option's mark
_LEVEL_GAP = Decimal("0.00002")  # of a future's mark
_LEVEL_NOTIONAL_USD = Decimal(20_000)  # at the best price; deeper levels hold more
_LEVEL_CONTRACTS = 20  # the same of options
_WEIGHT_MIN, _WEIGHT_MAX = 50, 150  # percent of a level's ordinary amount
_WEIGHT_SPAN = _WEIGHT_MAX - _WEIGHT_MIN + 1
_REDRAWN_PER_MOVE = 3
_AWAY = Decimal("1.03")  # of mark


class BookTrouble(StrEnum):
    """What can be wrong with a book.

    A thin one has one level of the least amount; a crossed one bids more than it asks; in one that
    is away others trade 3 % above mark.
    """

    THIN = "thin"
    EMPTY = "empty"
    CROSSED = "crossed"
    AWAY = "away"


class Depth:
    """Both sides of one instrument's book.

    Args:
        instrument: Futures show 25 levels a side, options 6. An option worth less than its tick
            has no bids.
    """

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._is_option = instrument.kind is Kind.OPTION
        self._levels = _LEVELS.get(instrument.kind, _LEVELS[Kind.FUTURE])
        self._weights: dict[Direction, list[int]] = {side: [] for side in Direction}
        self._mark = self._gap = Decimal(0)
        self._best: dict[Direction, Decimal | None] = dict.fromkeys(Direction)
        self._drawn: dict[Direction, list[Level]] = {}
        self._dice: random.Random | None = None
        self._due = 0
        self.trouble: BookTrouble | None = None

    def surround(self, mark_price: Decimal) -> None:
        """Put the book around a mark price."""
        instrument = self._instrument
        if self.trouble is BookTrouble.AWAY:
            mark_price *= _AWAY
        tick = instrument.tick_at(mark_price)
        share = _OPTION_HALF_SPREAD if self._is_option else _HALF_SPREAD
        half_spread = max(tick / 2, mark_price * share)
        self._mark = mark_price
        self._gap = max(tick, instrument.round_price(mark_price * _LEVEL_GAP))
        bid = instrument.round_price_down(mark_price - half_spread)
        self._best = {
            Direction.BUY: bid if bid > 0 else None,
            Direction.SELL: instrument.round_price_up(mark_price + half_spread),
        }
        if self.trouble is BookTrouble.EMPTY:
            self._best = dict.fromkeys(Direction)
        elif self.trouble is BookTrouble.CROSSED:
            self._best = {side: self._best[side.opposite] for side in Direction}
        self._drawn.clear()

    def best_price(self, side: Direction) -> Decimal | None:
        """The best price of a side; None where it is empty."""
        return self._best[side]

    def best_level(self, side: Direction) -> Level | None:
        """The best price of a side and its amount; the other levels stay undrawn."""
        price = self._best[side]
        if price is None:
            return None
        drawn = self._drawn.get(side)
        if drawn is not None:
            return drawn[0]
        self._throw()
        return price, self._amount(0, self._side_weights(side)[0])

    def side(self, side: Direction) -> list[Level]:
        """The levels of a side, best first."""
        drawn = self._drawn.get(side)
        if drawn is None:
            self._throw()
            drawn = self._drawn[side] = [
                (price, self._amount(depth, weight))
                for depth, (price, weight) in enumerate(
                    zip(self._prices(side), self._side_weights(side), strict=False)
                )
            ]
        return drawn

    def redraw(self, dice: random.Random) -> None:
        """Let other people's orders come and go: the amounts of a few levels change.

        They are thrown when somebody looks, and no more of them than there are levels.
        """
        self._dice = dice
        self._due = min(self._due + _REDRAWN_PER_MOVE, self._levels)
        self._drawn.clear()

    @property
    def weights(self) -> tuple[tuple[int, ...], ...]:
        """Level weights, buy side first, for `restore`; what is due is thrown first."""
        self._throw()
        return tuple(tuple(self._side_weights(side)) for side in Direction)

    def restore(self, weights: Iterable[Iterable[int]]) -> None:
        """Take back weights; those of another number of levels are forgotten."""
        for side, saved in zip(Direction, weights, strict=False):
            known = list(saved)
            if len(known) == self._levels:
                self._weights[side] = known
        self._drawn.clear()

    def _throw(self) -> None:
        due, self._due = self._due, 0
        if self._dice is None:
            return
        throw = self._dice.random
        for side in Direction:
            weights = self._side_weights(side)
            for _ in range(due):
                weights[int(throw() * self._levels)] = _WEIGHT_MIN + int(throw() * _WEIGHT_SPAN)

    def _side_weights(self, side: Direction) -> list[int]:
        weights = self._weights[side]
        if not weights:
            weights = self._weights[side] = [(_WEIGHT_MIN + _WEIGHT_MAX) // 2] * self._levels
        return weights

    def _prices(self, side: Direction) -> list[Decimal]:
        best = self._best[side]
        if best is None:
            return []
        if self.trouble is BookTrouble.THIN:
            return [best]
        if not self._is_option:
            return [best - depth * side.sign * self._gap for depth in range(self._levels)]
        prices = [best]
        instrument = self._instrument
        while len(prices) < self._levels:
            price = prices[-1] - side.sign * instrument.tick_at(prices[-1])
            if side is Direction.SELL:
                price = instrument.round_price_up(price)
            if price <= 0:
                break
            prices.append(price)
        return prices

    def _amount(self, depth: int, weight: int) -> Decimal:
        instrument = self._instrument
        step, least = instrument.amount_step, instrument.min_trade_amount
        if self.trouble is BookTrouble.THIN:
            return least
        if self._is_option:
            ordinary = _LEVEL_CONTRACTS * instrument.contract_size
            return max(round_down(ordinary * (2 + depth) / 2 * weight / 100, step), least)
        notional_usd = _LEVEL_NOTIONAL_USD * (2 + depth) / 2 * weight / 100
        raw = notional_usd if instrument.amount_unit == "USD" else notional_usd / self._mark
        return max(round_down(raw, step), least)
