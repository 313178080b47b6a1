"""Prices of the paper exchange: a seeded walk of one index.

The paper server asks for `advance(market_seconds)` ten times a second and gets the next index
price; the venue makes marks, quotes and tickers of it. Nothing here knows the time of day: the
caller says how far the market moves, so that a day passes in a second when a rehearsal wants it.

The logarithm of the price is the sum of

- noise: a slow random walk that keeps a memory of its start for a day, and a quick flutter;
- two swings, one for candles of a second and one for candles of a minute (`SWINGS`). Each drifts up
  for a while, then down, always back past its middle, so that prices stay sane for weeks. Against
  the slow drift come sharp dips, or spikes while it falls, that recover.

All transitions are exact for any step: the law of the price after a market second does not depend
on how many calls covered it.

A market of plain noise would show Razor nothing: RSI is low while the fast average is still above
the slow one only when a steady drift with little noise breaks off within a candle or two. The
numbers are what a search over such walks found, judged by Razor itself with its default
parameters; `tests/paper/test_feed.py` holds the result.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

OhlcPrices = tuple[Decimal, Decimal, Decimal, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwingShape:
    """How a swing looks; times in units of `scale_s`, heights in log price, percent.

    Args:
        scale_s: The length of candle in which its dips look sharp, seconds.
        drift: How far it drifts in one `scale_s`.
        drift_time: Shortest and longest drift in one direction.
        dip: Mean depth of a dip; each is up to a quarter more or less.
        gap: Mean time between the end of a dip and the next; each up to 40 % more or less.
        fall: How long a dip takes to its bottom.
        recovery: How long it takes back.
    """

    scale_s: float
    drift: float
    drift_time: tuple[float, float]
    dip: float
    gap: float
    fall: float
    recovery: float


SWINGS = (
    SwingShape(
        scale_s=60.0,
        drift=0.049,
        drift_time=(240.0, 560.0),
        dip=3.4,
        gap=14.0,
        fall=0.9,
        recovery=10.5,
    ),
    SwingShape(
        scale_s=1.0,
        drift=0.0022,
        drift_time=(125.0, 290.0),
        dip=0.52,
        gap=6.9,
        fall=0.48,
        recovery=11.3,
    ),
)

# Percent of the log price. The slow noise per root of a market second, and how long it remembers;
# the standard deviation of the flutter, and how long it lasts.
SLOW_NOISE = 0.0024
SLOW_NOISE_MEMORY_S = 86_400.0
FLUTTER = 0.0075
FLUTTER_MEMORY_S = 4.0

_HISTORY_STEP_S = 6.0
_STEPS_PER_MINUTE = 10
_CENT = Decimal("0.01")


class _Noise:
    """An Ornstein-Uhlenbeck process about zero, begun anywhere in its long-run spread."""

    __slots__ = ("level", "memory_s", "spread")

    def __init__(self, spread: float, memory_s: float, dice: random.Random) -> None:
        self.spread = spread
        self.memory_s = memory_s
        self.level = dice.gauss(0.0, spread)

    def advance(self, step_s: float, dice: random.Random) -> float:
        fade = math.exp(-step_s / self.memory_s)
        self.level = self.level * fade + dice.gauss(0.0, self.spread * math.sqrt(1 - fade * fade))
        return self.level


class _Swing:
    """One swing: a drift that turns, and a dip that falls, recovers and waits."""

    __slots__ = (
        "dip",
        "dip_left_s",
        "dip_slope",
        "drift",
        "drift_left_s",
        "is_recovering",
        "shape",
        "sign",
        "slower",
    )

    def __init__(self, shape: SwingShape, slower: "_Swing | None", dice: random.Random) -> None:
        self.shape = shape
        self.slower = slower
        self.drift = 0.0
        self.sign = dice.choice((-1, 1))
        self.drift_left_s = dice.random() * dice.uniform(*shape.drift_time) * shape.scale_s
        self.dip = 0.0
        self.dip_slope = 0.0
        self.is_recovering = False
        self.dip_left_s = dice.random() * self.gap_s(dice)

    def advance(self, step_s: float, dice: random.Random) -> float:
        slope = self.shape.drift / self.shape.scale_s
        left_s = step_s
        while self.drift_left_s <= left_s:
            self.drift += self.sign * slope * self.drift_left_s
            left_s -= self.drift_left_s
            self.sign = -1 if self.drift > 0 else 1
            self.drift_left_s = dice.uniform(*self.shape.drift_time) * self.shape.scale_s
        self.drift += self.sign * slope * left_s
        self.drift_left_s -= left_s
        left_s = step_s
        while self.dip_left_s <= left_s:
            self.dip += self.dip_slope * self.dip_left_s
            left_s -= self.dip_left_s
            self.turn_dip(dice)
        self.dip += self.dip_slope * left_s
        self.dip_left_s -= left_s
        return self.drift + self.dip

    def turn_dip(self, dice: random.Random) -> None:
        """From waiting to falling to recovering to waiting."""
        shape = self.shape
        if self.is_recovering:
            self.is_recovering, self.dip, self.dip_slope = False, 0.0, 0.0
            self.dip_left_s = self.gap_s(dice)
        elif self.dip_slope:
            self.is_recovering = True
            self.dip_left_s = shape.recovery * shape.scale_s
            self.dip_slope = -self.dip / self.dip_left_s
        else:
            # Against the slowest drift, so that the higher timeframes are with the entry.
            sign = self.sign if self.slower is None else self.slower.sign
            self.dip_left_s = shape.fall * shape.scale_s
            self.dip_slope = -sign * shape.dip * dice.uniform(0.75, 1.25) / self.dip_left_s

    def gap_s(self, dice: random.Random) -> float:
        return dice.uniform(0.6, 1.4) * self.shape.gap * self.shape.scale_s

    def snapshot(self) -> list[Any]:
        heights = [self.drift, self.dip, self.dip_slope]
        return [self.sign, self.is_recovering, heights, [self.drift_left_s, self.dip_left_s]]

    def restore(self, snapshot: list[Any]) -> None:
        sign, is_recovering, heights, left_s = snapshot
        self.sign = 1 if sign > 0 else -1
        self.is_recovering = is_recovering is True
        self.drift, self.dip, self.dip_slope = map(_finite, heights)
        self.drift_left_s, self.dip_left_s = (max(0.0, _finite(left)) for left in left_s)


class _LogWalk:
    """The logarithm of the price, relative to where it began."""

    __slots__ = ("dice", "flutter", "slow", "start", "swings")

    def __init__(self, seed: str) -> None:
        # A text seed goes through SHA-512, not through hash(): the same in every process.
        self.dice = random.Random(seed)  # noqa: S311 - a market, not a secret
        spread = SLOW_NOISE * math.sqrt(SLOW_NOISE_MEMORY_S / 2)
        self.slow = _Noise(spread, SLOW_NOISE_MEMORY_S, self.dice)
        self.flutter = _Noise(FLUTTER, FLUTTER_MEMORY_S, self.dice)
        self.start = self.slow.level + self.flutter.level
        self.swings: list[_Swing] = []
        for shape in SWINGS:
            slower = self.swings[-1] if self.swings else None
            self.swings.append(_Swing(shape, slower, self.dice))

    def advance(self, step_s: float) -> float:
        percent = self.slow.advance(step_s, self.dice) + self.flutter.advance(step_s, self.dice)
        percent += sum(swing.advance(step_s, self.dice) for swing in self.swings)
        return (percent - self.start) / 100


class PriceWalk:
    """The index price of one index, in USD, as a deterministic function of the seed.

    Args:
        seed: The same seed, name and start give the same prices in every process.
        index_name: Mixed into the seed, so that two indexes of one venue move apart.
        start_price: The first price, USD, positive.
    """

    def __init__(self, *, seed: int, index_name: str, start_price: Decimal) -> None:
        if not start_price.is_finite() or start_price <= 0:
            raise ValueError(f"start price {start_price} USD is not positive")
        self._name = f"{index_name}:{seed}"
        self._start_price = start_price
        self._walk = _LogWalk(f"{self._name}:ahead")
        self._price = start_price.quantize(_CENT)

    @property
    def price(self) -> Decimal:
        """The current index price, USD, two decimals."""
        return self._price

    def advance(self, market_seconds: float) -> Decimal:
        """Move the market by that many seconds, positive, and return the new price."""
        self._price = self._price_at(self._walk.advance(market_seconds))
        return self._price

    def history(self, minutes: int) -> list[OhlcPrices]:
        """Open, high, low and close of the minutes before the start, oldest first.

        The last close is the start price. Always the same for one seed, whatever has been
        advanced, and a shorter history is the end of a longer one: the past is walked backwards.
        """
        walk = _LogWalk(f"{self._name}:behind")
        candles: list[OhlcPrices] = []
        close = self._start_price.quantize(_CENT)
        for _ in range(minutes):
            prices = [close]
            prices += [
                self._price_at(walk.advance(_HISTORY_STEP_S)) for _ in range(_STEPS_PER_MINUTE)
            ]
            candles.append((prices[-1], max(prices), min(prices), close))
            close = prices[-1]
        candles.reverse()
        return candles

    def snapshot(self) -> dict[str, Any]:
        """All that the next prices depend on, as JSON values."""
        version, words, gauss_next = self._walk.dice.getstate()
        return {
            "name": self._name,
            "price": str(self._price),
            "noise": [self._walk.slow.level, self._walk.flutter.level],
            "swings": [swing.snapshot() for swing in self._walk.swings],
            "dice": [version, list(words), gauss_next],
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on where `snapshot` was taken.

        Raises: ValueError, when it is of another index or seed, or not a snapshot.
        """
        if snapshot.get("name") != self._name:
            raise ValueError(f"price snapshot of {snapshot.get('name')!r} is not of {self._name!r}")
        walk = _LogWalk(f"{self._name}:ahead")
        try:
            price = Decimal(snapshot["price"])
            if not price.is_finite() or price <= 0:
                raise ValueError(f"price {price} USD is not positive")
            walk.slow.level, walk.flutter.level = map(_finite, snapshot["noise"])
            for swing, state in zip(walk.swings, snapshot["swings"], strict=True):
                swing.restore(state)
            version, words, gauss_next = snapshot["dice"]
            walk.dice.setstate((version, tuple(words), gauss_next))
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"price snapshot of {self._name!r} is damaged: {error}") from error
        self._price, self._walk = price, walk

    def _price_at(self, log_price: float) -> Decimal:
        return Decimal(format(float(self._start_price) * math.exp(log_price), ".2f"))


def _finite(number: Any) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number!r} is not a finite number")
    return value
