"""Markets of one temper: quiet, trending, crashing, or with gaps.

Each is a cycle of straight stretches and jumps that ends where it began, so that prices stay sane
for weeks, with a little noise on top. A stretch is up to a fifth longer or shorter than it says,
and each cycle up to a fifth larger or smaller. Exact for any step, like the ordinary walk.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from vigil.paper.market.feed import Noise, PriceWalk

_SPREAD = (0.8, 1.2)
_NOISE_MEMORY_S = 30.0


class Regime(StrEnum):
    """How a market behaves; without one it is the ordinary walk."""

    QUIET = "quiet"
    TREND = "trend"
    CRASH = "crash"
    GAP = "gap"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Temper:
    """A regime's cycle.

    Args:
        stretches: Length in seconds and change of the log price; length 0 is a jump.
        noise: Standard deviation, as a fraction of the price.
        turns: Every other cycle goes the other way.
    """

    stretches: tuple[tuple[float, float], ...]
    noise: float
    turns: bool = False


_TEMPERS = {
    Regime.QUIET: _Temper(stretches=((3600.0, 0.0),), noise=0.0002),
    Regime.TREND: _Temper(stretches=((14_400.0, 0.08), (14_400.0, -0.08)), noise=0.0003),
    Regime.CRASH: _Temper(
        stretches=((600.0, 0.0), (90.0, -0.10), (30.0, 0.03), (300.0, -0.02), (1800.0, 0.09)),
        noise=0.0008,
    ),
    Regime.GAP: _Temper(
        stretches=((240.0, 0.0), (0.0, 0.04), (240.0, 0.0), (0.0, -0.04)), noise=0.0002, turns=True
    ),
}


def regime_walk(
    *, seed: int, index_name: str, start_price: Decimal, regime: Regime, decimals: int = 2
) -> PriceWalk:
    """A walk of one temper."""
    return PriceWalk(
        seed=seed,
        index_name=index_name,
        start_price=start_price,
        style=regime.value,
        make_path=lambda text: _RegimePath(text, _TEMPERS[regime]),
        decimals=decimals,
    )


class _RegimePath:
    """The logarithm of the price, relative to where it began."""

    def __init__(self, seed: str, temper: _Temper) -> None:
        self._dice = random.Random(seed)  # noqa: S311 - a market, not a secret
        self._temper = temper
        self._noise = Noise(temper.noise, _NOISE_MEMORY_S, self._dice)
        self._start = self._noise.level
        self._level = 0.0
        self._place = -1
        self._size = 1.0
        self._sign = 1.0
        self._left_s = self._slope = 0.0
        self._next_stretch()

    def advance(self, step_s: float) -> float:
        noise = self._noise.advance(step_s, self._dice) - self._start
        while self._left_s <= step_s:
            self._level += self._slope * self._left_s
            step_s -= self._left_s
            self._next_stretch()
        self._level += self._slope * step_s
        self._left_s -= step_s
        return self._level + noise

    def snapshot(self) -> dict[str, Any]:
        version, words, gauss_next = self._dice.getstate()
        return {
            "noise": self._noise.level,
            "start": self._start,
            "stretch": [self._place, self._left_s, self._slope],
            "cycle": [self._level, self._size, self._sign],
            "dice": [version, list(words), gauss_next],
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        self._noise.level, self._start = _finite(snapshot["noise"]), _finite(snapshot["start"])
        place, left_s, slope = snapshot["stretch"]
        self._place = int(place) % len(self._temper.stretches)
        self._left_s, self._slope = max(0.0, _finite(left_s)), _finite(slope)
        self._level, self._size, self._sign = map(_finite, snapshot["cycle"])
        version, words, gauss_next = snapshot["dice"]
        self._dice.setstate((version, tuple(words), gauss_next))

    def _next_stretch(self) -> None:
        """The next straight stretch; jumps on the way are taken at once."""
        stretches = self._temper.stretches
        while True:
            self._place = (self._place + 1) % len(stretches)
            if self._place == 0:
                self._size = self._dice.uniform(*_SPREAD)
                if self._temper.turns:
                    self._sign = self._dice.choice((-1.0, 1.0))
            length_s, change = stretches[self._place]
            change *= self._size * self._sign
            if length_s:
                self._left_s = length_s * self._dice.uniform(*_SPREAD)
                self._slope = change / self._left_s
                return
            self._level += change


def _finite(number: Any) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number!r} is not a finite number")
    return value
