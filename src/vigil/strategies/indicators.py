"""Streaming indicators: one closed candle in, one number out, all of it checkpointable.

They work in floats, where the rest of Vigil works in `Decimal`. An indicator is a statistic that is
compared with a threshold and never becomes an amount. It stays exact where it must be: the same
candles give the same bits, since only the four operations and the square root are used, which
IEEE 754 rounds the same way on every machine (a logarithm would not be: hence simple returns), and
JSON carries a double there and back unchanged, so that a resumed indicator decides as one that
never stopped. A `Decimal` of 28 digits would round just the same, at several times the cost.

Each has `value`, which is None until enough candles were seen, `snapshot`, which gives JSON values,
and `restore`, which raises TypeError or ValueError on anything else.
"""

import math
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import Any


class SmoothedMean:
    """A mean in which each new number has the same weight, begun at the plain mean.

    Args:
        period: How many numbers the first value is the mean of.
        weight: Of each later number, between 0 and 1.
    """

    __slots__ = ("_count", "_mean", "_period", "_weight")

    def __init__(self, period: int, weight: float) -> None:
        self._period = period
        self._weight = weight
        self._count = 0
        # The sum of what was seen until the mean can be taken, the mean from then on.
        self._mean = 0.0

    @property
    def value(self) -> float | None:
        """The mean; None before `period` numbers."""
        return self._mean if self._count >= self._period else None

    def update(self, number: float) -> None:
        """Take the next number."""
        if self._count >= self._period:
            self._mean += self._weight * (number - self._mean)
            return
        self._mean += number
        self._count += 1
        if self._count == self._period:
            self._mean /= self._period

    def snapshot(self) -> list[Any]:
        """Count and running mean."""
        return [self._count, self._mean]

    def restore(self, snapshot: Sequence[Any]) -> None:
        """Take a snapshot back."""
        count, mean = snapshot
        if type(count) is not int or not 0 <= count <= self._period:
            raise ValueError(f"{count!r} is not a count of at most {self._period}")
        self._count, self._mean = count, _finite(mean)


class Ema(SmoothedMean):
    """Exponential moving average: weight 2 / (period + 1). Source: the textbook form."""

    __slots__ = ()

    def __init__(self, period: int) -> None:
        super().__init__(period, 2 / (period + 1))


class WilderMean(SmoothedMean):
    """Wilder's smoothing: weight 1 / period.

    Source: J. W. Wilder, New Concepts in Technical Trading Systems, 1978.
    """

    __slots__ = ()

    def __init__(self, period: int) -> None:
        super().__init__(period, 1 / period)


class Rsi:
    """Wilder's relative strength index, 0 to 100, of closes.

    Without any change in sight it is 50: neither side was stronger.
    """

    __slots__ = ("_close", "_gain", "_loss")

    def __init__(self, period: int) -> None:
        self._gain = WilderMean(period)
        self._loss = WilderMean(period)
        self._close: float | None = None

    @property
    def value(self) -> float | None:
        """The index; None before `period` + 1 closes."""
        gain, loss = self._gain.value, self._loss.value
        if gain is None or loss is None:
            return None
        if gain + loss == 0:
            return 50.0
        # In this order rounding cannot carry it past 100.
        return 100 * (gain / (gain + loss))

    def update(self, close: float) -> None:
        """Take the close of the next candle."""
        if self._close is not None:
            change = close - self._close
            self._gain.update(max(change, 0.0))
            self._loss.update(max(-change, 0.0))
        self._close = close

    def snapshot(self) -> list[Any]:
        """Last close and both means."""
        return [self._close, self._gain.snapshot(), self._loss.snapshot()]

    def restore(self, snapshot: Sequence[Any]) -> None:
        """Take a snapshot back."""
        close, gain, loss = snapshot
        self._close = None if close is None else _finite(close)
        self._gain.restore(gain)
        self._loss.restore(loss)


class Atr:
    """Wilder's average true range, in the unit of the price."""

    __slots__ = ("_close", "_range")

    def __init__(self, period: int) -> None:
        self._range = WilderMean(period)
        self._close: float | None = None

    @property
    def value(self) -> float | None:
        """The average; None before `period` + 1 candles."""
        return self._range.value

    def update(self, high: float, low: float, close: float) -> None:
        """Take the next candle. The first has no close before it, and so no true range."""
        if self._close is not None:
            self._range.update(max(high, self._close) - min(low, self._close))
        self._close = close

    def snapshot(self) -> list[Any]:
        """Last close and the mean."""
        return [self._close, self._range.snapshot()]

    def restore(self, snapshot: Sequence[Any]) -> None:
        """Take a snapshot back."""
        close, mean = snapshot
        self._close = None if close is None else _finite(close)
        self._range.restore(mean)


class RealisedVolatility:
    """Sample standard deviation of the simple returns between the last closes, percent a candle."""

    __slots__ = ("_closes", "_count")

    def __init__(self, count: int) -> None:
        self._count = count
        self._closes: deque[float] = deque(maxlen=count)

    @property
    def value(self) -> float | None:
        """Percent; None before `count` closes."""
        if len(self._closes) < self._count:
            return None
        closes = list(self._closes)
        returns = [after / before - 1 for before, after in pairwise(closes)]
        mean = sum(returns) / len(returns)
        squares = sum((one - mean) * (one - mean) for one in returns)
        return 100 * math.sqrt(squares / (len(returns) - 1))

    def update(self, close: float) -> None:
        """Take the close of the next candle, positive."""
        self._closes.append(close)

    def snapshot(self) -> list[Any]:
        """The closes in the window, oldest first."""
        return list(self._closes)

    def restore(self, snapshot: Sequence[Any]) -> None:
        """Take a snapshot back."""
        closes = [_finite(close) for close in snapshot]
        if len(closes) > self._count or any(close <= 0 for close in closes):
            raise ValueError(f"{closes!r} is not a window of {self._count} closes")
        self._closes = deque(closes, maxlen=self._count)


def _finite(number: Any) -> float:
    value = float(number)
    if isinstance(number, str | bool) or not math.isfinite(value):
        raise ValueError(f"{number!r} is not a finite number")
    return value
