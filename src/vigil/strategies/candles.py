"""Candles from quotes, by the exchange's own time.

A strategy shows each quote to a `CandleBuilder` and gets back the candles that it closed: mostly
none, one at the end of a period, several after silence. A ticker is sent when something changes, so
silence means an unchanged price, and a period without a quote becomes a flat candle at the last
close. That holds for a while only: a quote more than `GAP_CANDLES_MAX` periods away, later or
earlier, does not continue the series (`is_broken_by`), and its reader has to begin anew.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from vigil.domain.market import Candle, Ticker

# Silence of as many candles as the slowest average looks back would leave nothing but flat ones.
GAP_CANDLES_MAX = 20


def quoted_price(ticker: Ticker) -> Decimal:
    """The middle of the best quotes, or the mark price while a side of the book is empty.

    The mark alone would do, but it is smoothed by the exchange; the last trade bounces between
    bid and ask.
    """
    if ticker.best_bid_price is None or ticker.best_ask_price is None:
        return ticker.mark_price
    return (ticker.best_bid_price + ticker.best_ask_price) / 2


class CandleBuilder:
    """Builds candles of one timeframe, aligned to multiples of it since the epoch.

    Args:
        timeframe_ms: Length of a candle, milliseconds, positive.
    """

    __slots__ = ("_close", "_high", "_is_quoted", "_low", "_newest_ms", "_open", "_start_ms", "_tf")

    def __init__(self, *, timeframe_ms: int) -> None:
        self._tf = timeframe_ms
        self._start_ms: int | None = None
        self._newest_ms = 0
        # Whether the candle under way has seen a quote; before that its prices are the last close.
        self._is_quoted = False
        self._open = self._high = self._low = self._close = Decimal(0)

    @property
    def start_ms(self) -> int | None:
        """Start of the candle under way; all earlier ones are closed. None before the first."""
        return self._start_ms

    def is_broken_by(self, timestamp_ms: int) -> bool:
        """Whether a quote of that time is too far from the series to continue it.

        Too early counts as well: one quote with a time far in the future must not make all the
        following ones look late for ever.
        """
        if self._start_ms is None:
            return False
        return abs(timestamp_ms - self._start_ms) > (GAP_CANDLES_MAX + 1) * self._tf

    def add(self, price: Decimal, timestamp_ms: int) -> tuple[Candle, ...]:
        """Take a quote that does not break the series; return the candles it closed.

        A quote older than the newest one is ignored.
        """
        if timestamp_ms < self._newest_ms:
            return ()
        self._newest_ms = timestamp_ms
        if self._start_ms is not None and timestamp_ms < self._start_ms + self._tf:
            if not self._is_quoted:
                self._begin(self._start_ms, price, is_quoted=True)
                return ()
            self._close = price
            if price > self._high:
                self._high = price
            elif price < self._low:
                self._low = price
            return ()
        start_ms = timestamp_ms - timestamp_ms % self._tf
        closed = self._close_before(start_ms)
        self._begin(start_ms, price, is_quoted=True)
        return closed

    def follow(self, candle: Candle) -> tuple[Candle, ...]:
        """Take a closed candle from elsewhere; return it with those that had to close before it.

        It replaces the candle under way when it is the same one; an older one is ignored.
        """
        start_ms = candle.start_ms - candle.start_ms % self._tf
        if self._start_ms is not None and start_ms < self._start_ms:
            return ()
        closed = self._close_before(start_ms)
        self._begin(start_ms + self._tf, candle.close, is_quoted=False)
        self._newest_ms = max(self._newest_ms, start_ms + self._tf)
        return (*closed, candle)

    def snapshot(self) -> dict[str, Any]:
        """The candle under way, as JSON values."""
        return {
            "startMs": self._start_ms,
            "newestMs": self._newest_ms,
            "isQuoted": self._is_quoted,
            "prices": [str(price) for price in (self._open, self._high, self._low, self._close)],
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take a snapshot back.

        Raises: ArithmeticError, KeyError, TypeError or ValueError, when it is none.
        """
        start_ms, newest_ms = snapshot["startMs"], snapshot["newestMs"]
        if type(newest_ms) is not int or (start_ms is not None and type(start_ms) is not int):
            raise ValueError(f"candle times {start_ms!r} and {newest_ms!r} are not milliseconds")
        if start_ms is not None and start_ms % self._tf:
            raise ValueError(f"candle start {start_ms} is not a multiple of {self._tf} ms")
        prices = [Decimal(text) for text in snapshot["prices"]]
        if not all(price.is_finite() for price in prices):
            raise ValueError(f"candle prices {snapshot['prices']!r} are not finite")
        self._open, self._high, self._low, self._close = prices
        self._start_ms, self._newest_ms = start_ms, newest_ms
        self._is_quoted = snapshot["isQuoted"] is True

    def _begin(self, start_ms: int, price: Decimal, *, is_quoted: bool) -> None:
        self._start_ms = start_ms
        self._is_quoted = is_quoted
        self._open = self._high = self._low = self._close = price

    def _close_before(self, start_ms: int) -> tuple[Candle, ...]:
        """The candle under way and the flat ones after it, up to `start_ms`."""
        if self._start_ms is None or start_ms <= self._start_ms:
            return ()
        close = self._close
        candle = Candle(
            start_ms=self._start_ms, open=self._open, high=self._high, low=self._low, close=close
        )
        silent = range(self._start_ms + self._tf, start_ms, self._tf)
        return (
            candle,
            *(Candle(start_ms=at, open=close, high=close, low=close, close=close) for at in silent),
        )


class CandleAggregator:
    """Joins candles of one timeframe into candles of `candles_per_aggregate` times its length.

    Aligned to the epoch as well, so that it does not matter when it was started: only its first
    aggregate may lack its beginning.
    """

    __slots__ = ("_long_ms", "_timeframe_ms", "_under_way")

    def __init__(self, *, timeframe_ms: int, candles_per_aggregate: int) -> None:
        self._timeframe_ms = timeframe_ms
        self._long_ms = timeframe_ms * candles_per_aggregate
        self._under_way: Candle | None = None

    def add(self, candle: Candle) -> Candle | None:
        """Take the next closed candle, without gaps; return the aggregate that it completes."""
        start_ms = candle.start_ms - candle.start_ms % self._long_ms
        before = self._under_way
        if before is None or before.start_ms != start_ms:
            before = candle
        joined = Candle(
            start_ms=start_ms,
            open=before.open,
            high=max(before.high, candle.high),
            low=min(before.low, candle.low),
            close=candle.close,
        )
        if candle.start_ms + self._timeframe_ms == start_ms + self._long_ms:
            self._under_way = None
            return joined
        self._under_way = joined
        return None

    def snapshot(self) -> list[Any] | None:
        """The aggregate under way: its start and prices."""
        candle = self._under_way
        if candle is None:
            return None
        prices = (candle.open, candle.high, candle.low, candle.close)
        return [candle.start_ms, *(str(price) for price in prices)]

    def restore(self, snapshot: Any) -> None:
        """Take a snapshot back.

        Raises: ArithmeticError, TypeError or ValueError, when it is none.
        """
        if snapshot is None:
            self._under_way = None
            return
        start_ms, *prices = snapshot
        if type(start_ms) is not int:
            raise ValueError(f"aggregate start {start_ms!r} is not milliseconds")
        opened, high, low, close = (Decimal(text) for text in prices)
        self._under_way = Candle(start_ms=start_ms, open=opened, high=high, low=low, close=close)
