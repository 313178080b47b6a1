"""Prices of the paper exchange: a seeded walk of one index.

The paper server asks for `advance(market_seconds)` ten times a second and gets the next index
price; the venue makes marks, quotes and tickers of it. Nothing here knows the time of day: the
caller says how far the market moves, so that a day passes in a second when a rehearsal wants it.

The logarithm of the price is the sum of

- a trend that rises steadily for hours, then falls, always back past its start, so that prices stay
  sane for weeks;
- dips against it (spikes while it falls) of three lengths (`DIPS`), which fall sharply and recover
  soon: the shallow ones every quarter of a minute, the deep ones every 50 minutes;
- little noise: a slow random walk with a memory of a day, and a quick flutter.

All transitions are exact for any step: the law of the price after a market second does not depend
on how many calls covered it.

A market of plain noise would show Razor nothing: RSI is low while the fast average is still above
the slow one only when a steady trend with little noise breaks off within a candle or two, and for
each length of candle by the right multiple of what the trend gains in one. The numbers are what a
search over such walks found, judged by Razor itself with its default parameters. It then says to
enter for the first time, counted from its first quote and without history:

    timeframeS  speed  seeds   median  95 of 100
             1      1    100     47 s      191 s
             1     10     60     54 s      176 s
             1     60    100     85 s      408 s
             5      1     50    720 s     > 40 min
            60      1     50   2 h 52 min  9 h 40 min   (warm start)

Volatility lies within Razor's bounds at 98 of 100 closes, and at 89 with a minute per candle.
"""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

OhlcPrices = tuple[Decimal, Decimal, Decimal, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class DipShape:
    """Dips of one length; times in units of `scale_s`.

    Args:
        scale_s: The length, seconds.
        depth: Mean depth, percent of the log price; each is up to a fifth more or less.
        gap: Mean time between the end of a dip and the next; each up to 40 % more or less.
        fall: How long it takes to its bottom.
        recovery: How long it takes back.
    """

    scale_s: float
    depth: float
    gap: float
    fall: float
    recovery: float


DIPS = (
    DipShape(scale_s=1.0, depth=0.154, gap=14.0, fall=0.54, recovery=2.1),
    DipShape(scale_s=16.0, depth=1.29, gap=15.0, fall=0.52, recovery=2.2),
    DipShape(scale_s=100.0, depth=6.1, gap=27.0, fall=0.5, recovery=2.0),
)

# The trend, percent of the log price per second, and how long it goes one way, seconds.
TREND = 0.0027
TREND_TIME_S = (6500.0, 15_000.0)

# Percent of the log price. The slow noise per root of a market second, and how long it remembers;
# the standard deviation of the flutter, and how long it lasts.
SLOW_NOISE = 0.0015
SLOW_NOISE_MEMORY_S = 86_400.0
FLUTTER = 0.002
FLUTTER_MEMORY_S = 4.0

_HISTORY_STEP_S = 6.0
_STEPS_PER_MINUTE = 10


class LogPath(Protocol):
    """The logarithm of a price, relative to where it began."""

    def advance(self, step_s: float) -> float:
        """Move on by that many market seconds and return where it is."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """All that `restore` needs, as JSON values."""
        ...

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take back a snapshot."""
        ...


class Noise:
    """An Ornstein-Uhlenbeck process about zero, begun anywhere in its long-run spread."""

    __slots__ = ("level", "memory_s", "spread")

    def __init__(self, spread: float, memory_s: float, dice: random.Random) -> None:
        self.spread = spread
        self.memory_s = memory_s
        self.level = dice.gauss(0.0, spread)

    def advance(self, step_s: float, dice: random.Random) -> float:
        """Move on by that many seconds and return the level there."""
        fade = math.exp(-step_s / self.memory_s)
        self.level = self.level * fade + dice.gauss(0.0, self.spread * math.sqrt(1 - fade * fade))
        return self.level


class _Trend:
    """Rises and falls at one pace, and turns when it has passed its start again."""

    __slots__ = ("left_s", "level", "sign")

    def __init__(self, dice: random.Random) -> None:
        self.level = 0.0
        self.sign = dice.choice((-1, 1))
        self.left_s = dice.random() * dice.uniform(*TREND_TIME_S)

    def advance(self, step_s: float, dice: random.Random) -> float:
        while self.left_s <= step_s:
            self.level += self.sign * TREND * self.left_s
            step_s -= self.left_s
            self.sign = -1 if self.level > 0 else 1
            self.left_s = dice.uniform(*TREND_TIME_S)
        self.level += self.sign * TREND * step_s
        self.left_s -= step_s
        return self.level


class _Dip:
    """Waits, falls and recovers, in straight lines."""

    __slots__ = ("is_recovering", "left_s", "level", "shape", "slope")

    def __init__(self, shape: DipShape, dice: random.Random) -> None:
        self.shape = shape
        self.level = 0.0
        self.slope = 0.0
        self.is_recovering = False
        self.left_s = dice.random() * self.wait_s(dice)

    def advance(self, step_s: float, trend_sign: int, dice: random.Random) -> float:
        while self.left_s <= step_s:
            self.level += self.slope * self.left_s
            step_s -= self.left_s
            self.turn(trend_sign, dice)
        self.level += self.slope * step_s
        self.left_s -= step_s
        return self.level

    def turn(self, trend_sign: int, dice: random.Random) -> None:
        """From waiting to falling to recovering to waiting."""
        shape = self.shape
        if self.is_recovering:
            self.is_recovering, self.level, self.slope = False, 0.0, 0.0
            self.left_s = self.wait_s(dice)
        elif self.slope:
            self.is_recovering = True
            self.left_s = shape.recovery * shape.scale_s
            self.slope = -self.level / self.left_s
        else:
            self.left_s = shape.fall * shape.scale_s
            self.slope = -trend_sign * shape.depth * dice.uniform(0.8, 1.2) / self.left_s

    def wait_s(self, dice: random.Random) -> float:
        return dice.uniform(0.6, 1.4) * self.shape.gap * self.shape.scale_s


class _LogWalk:
    """The logarithm of the price, relative to where it began."""

    __slots__ = ("dice", "dips", "flutter", "slow", "start", "trend")

    def __init__(self, seed: str) -> None:
        # A text seed goes through SHA-512, not through hash(): the same in every process.
        self.dice = random.Random(seed)  # noqa: S311 - a market, not a secret
        spread = SLOW_NOISE * math.sqrt(SLOW_NOISE_MEMORY_S / 2)
        self.slow = Noise(spread, SLOW_NOISE_MEMORY_S, self.dice)
        self.flutter = Noise(FLUTTER, FLUTTER_MEMORY_S, self.dice)
        self.start = self.slow.level + self.flutter.level
        self.trend = _Trend(self.dice)
        self.dips = [_Dip(shape, self.dice) for shape in DIPS]

    def advance(self, step_s: float) -> float:
        dice = self.dice
        percent = self.slow.advance(step_s, dice) + self.flutter.advance(step_s, dice)
        percent += self.trend.advance(step_s, dice)
        for dip in self.dips:
            percent += dip.advance(step_s, self.trend.sign, dice)
        return (percent - self.start) / 100

    def snapshot(self) -> dict[str, Any]:
        version, words, gauss_next = self.dice.getstate()
        return {
            "noise": [self.slow.level, self.flutter.level],
            "trend": [self.trend.sign, self.trend.level, self.trend.left_s],
            "dips": [[dip.is_recovering, dip.level, dip.slope, dip.left_s] for dip in self.dips],
            "dice": [version, list(words), gauss_next],
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        self.slow.level, self.flutter.level = map(_finite, snapshot["noise"])
        sign, level, left_s = snapshot["trend"]
        self.trend.sign = 1 if sign > 0 else -1
        self.trend.level, self.trend.left_s = _finite(level), max(0.0, _finite(left_s))
        for dip, (is_recovering, height, slope, until_s) in zip(
            self.dips, snapshot["dips"], strict=True
        ):
            dip.is_recovering = is_recovering is True
            dip.level, dip.slope, dip.left_s = _finite(height), _finite(slope), _finite(until_s)
        version, words, gauss_next = snapshot["dice"]
        self.dice.setstate((version, tuple(words), gauss_next))


class PriceWalk:
    """The index price of one index, in USD, as a deterministic function of the seed.

    Args:
        seed: The same seed, name and start give the same prices in every process.
        index_name: Mixed into the seed, so that two indexes of one venue move apart.
        start_price: The first price, USD, positive.
        style: Names another kind of path than the ordinary one; mixed into the seed.
        make_path: Makes a path of its seed.
        decimals: Of the price.
    """

    def __init__(
        self,
        *,
        seed: int,
        index_name: str,
        start_price: Decimal,
        style: str = "",
        make_path: Callable[[str], LogPath] | None = None,
        decimals: int = 2,
    ) -> None:
        if not start_price.is_finite() or start_price <= 0:
            raise ValueError(f"start price {start_price} USD is not positive")
        self._name = f"{index_name}:{seed}" + (f":{style}" if style else "")
        self._start_price = start_price
        self._make_path = make_path or _LogWalk
        self._decimals = decimals
        self._walk = self._make_path(f"{self._name}:ahead")
        self._price = start_price.quantize(self._quantum)

    @property
    def price(self) -> Decimal:
        """The current index price, USD, on its decimals."""
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
        walk = self._make_path(f"{self._name}:behind")
        candles: list[OhlcPrices] = []
        close = self._start_price.quantize(self._quantum)
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
        return {"name": self._name, "price": str(self._price), **self._walk.snapshot()}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on where `snapshot` was taken.

        Raises: ValueError, when it is of another index or seed, or not a snapshot.
        """
        if snapshot.get("name") != self._name:
            raise ValueError(f"price snapshot of {snapshot.get('name')!r} is not of {self._name!r}")
        walk = self._make_path(f"{self._name}:ahead")
        try:
            price = Decimal(snapshot["price"])
            if not price.is_finite() or price <= 0:
                raise ValueError(f"price {price} USD is not positive")
            walk.restore(snapshot)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"price snapshot of {self._name!r} is damaged: {error}") from error
        self._price, self._walk = price, walk

    def _price_at(self, log_price: float) -> Decimal:
        price = float(self._start_price) * math.exp(log_price)
        return Decimal(format(price, f".{self._decimals}f"))

    @property
    def _quantum(self) -> Decimal:
        return Decimal(1).scaleb(-self._decimals)


def _finite(number: Any) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number!r} is not a finite number")
    return value
