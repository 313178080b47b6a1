"""One unbroken series of candles and what the indicators say about it.

Quotes go in through `candles`, closed candles through `take`, and at a candle's close `reading`
gives the values that Razor judges. When the series breaks, it is thrown away whole and a fresh one
takes its place: indicators of two different markets are never mixed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from vigil.domain.market import Candle
from vigil.strategies.candles import CandleAggregator, CandleBuilder
from vigil.strategies.indicators import Atr, Ema, RealisedVolatility, Rsi

EMA_FAST_PERIOD = 8
EMA_SLOW_PERIOD = 21
RSI_PERIOD = 14
ATR_PERIOD = 14
VOLATILITY_CLOSES = 20
TREND_CANDLES = (5, 15)
# The slow average is the last to have a value.
CANDLES_WANTED = EMA_SLOW_PERIOD


class Trend:
    """Whether candles of a higher timeframe rise or fall, by the same two averages."""

    __slots__ = ("_aggregator", "_fast", "_slow")

    def __init__(self, *, timeframe_ms: int, candles_per_aggregate: int) -> None:
        self._aggregator = CandleAggregator(
            timeframe_ms=timeframe_ms, candles_per_aggregate=candles_per_aggregate
        )
        self._fast = Ema(EMA_FAST_PERIOD)
        self._slow = Ema(EMA_SLOW_PERIOD)

    @property
    def sign(self) -> int | None:
        """+1 rising, -1 falling, 0 flat; None before there were enough candles."""
        fast, slow = self._fast.value, self._slow.value
        if fast is None or slow is None:
            return None
        return (fast > slow) - (fast < slow)

    def take(self, candle: Candle) -> None:
        """Take the next closed candle of the short timeframe."""
        aggregate = self._aggregator.add(candle)
        if aggregate is not None:
            close = float(aggregate.close)
            self._fast.update(close)
            self._slow.update(close)

    def snapshot(self) -> list[Any]:
        """All of it, as JSON values."""
        return [self._aggregator.snapshot(), self._fast.snapshot(), self._slow.snapshot()]

    def restore(self, snapshot: Sequence[Any]) -> None:
        """Take a snapshot back.

        Raises: ArithmeticError, LookupError, TypeError or ValueError, when it is none.
        """
        aggregate, fast, slow = snapshot
        self._aggregator.restore(aggregate)
        self._fast.restore(fast)
        self._slow.restore(slow)


class Reading(Struct, frozen=True, kw_only=True):
    """What the indicators say at a candle's close.

    Args:
        volatility: Percent a candle.
        trends: Candles per aggregate, and the sign of its trend; None while unknown.
    """

    rsi: float
    ema_fast: float
    ema_slow: float
    volatility: float
    trends: tuple[tuple[int, int | None], ...]


class Series:
    """Candles of one timeframe without a break, and all that is reckoned from them."""

    def __init__(self, *, timeframe_ms: int) -> None:
        self.candles = CandleBuilder(timeframe_ms=timeframe_ms)
        self.count = 0
        self.atr = Atr(ATR_PERIOD)
        self._fast = Ema(EMA_FAST_PERIOD)
        self._slow = Ema(EMA_SLOW_PERIOD)
        self._rsi = Rsi(RSI_PERIOD)
        self._volatility = RealisedVolatility(VOLATILITY_CLOSES)
        self._trends = {
            candles: Trend(timeframe_ms=timeframe_ms, candles_per_aggregate=candles)
            for candles in TREND_CANDLES
        }

    def take(self, candle: Candle) -> None:
        """Take the next closed candle, as `candles` gave it."""
        close = float(candle.close)
        self.count += 1
        self._fast.update(close)
        self._slow.update(close)
        self._rsi.update(close)
        self._volatility.update(close)
        self.atr.update(float(candle.high), float(candle.low), close)
        for trend in self._trends.values():
            trend.take(candle)

    def reading(self) -> Reading | None:
        """What the indicators say now; None while warming up."""
        fast, slow = self._fast.value, self._slow.value
        rsi, volatility = self._rsi.value, self._volatility.value
        if fast is None or slow is None or rsi is None or volatility is None:
            return None
        return Reading(
            rsi=rsi,
            ema_fast=fast,
            ema_slow=slow,
            volatility=volatility,
            trends=tuple((candles, trend.sign) for candles, trend in self._trends.items()),
        )

    def snapshot(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        return {
            "candles": self.candles.snapshot(),
            "count": self.count,
            "atr": self.atr.snapshot(),
            "emaFast": self._fast.snapshot(),
            "emaSlow": self._slow.snapshot(),
            "rsi": self._rsi.snapshot(),
            "volatility": self._volatility.snapshot(),
            "trends": [trend.snapshot() for trend in self._trends.values()],
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take a snapshot back.

        Raises: ArithmeticError, LookupError, TypeError or ValueError, when it is none.
        """
        self.candles.restore(snapshot["candles"])
        self.count = int(snapshot["count"])
        self.atr.restore(snapshot["atr"])
        self._fast.restore(snapshot["emaFast"])
        self._slow.restore(snapshot["emaSlow"])
        self._rsi.restore(snapshot["rsi"])
        self._volatility.restore(snapshot["volatility"])
        for trend, state in zip(self._trends.values(), snapshot["trends"], strict=True):
            trend.restore(state)
