"""Candles of one index: made-up history before the exchange's first start, recorded prices after.

Minutes are kept for a week, after that hours; longer resolutions are aggregated from them. A minute
without a price, as while the exchange was down, is flat at the close before it.
Source: Deribit API v2, `public/get_tradingview_chart_data`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

from msgspec.structs import replace

from vigil.domain.market import Candle

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
MINUTES_KEPT_MS = 7 * 24 * HOUR_MS
HISTORY_MINUTES = 3 * 24 * 60
CANDLES_MAX = 5000

RESOLUTION_MINUTES = {
    "1": 1,
    "3": 3,
    "5": 5,
    "10": 10,
    "15": 15,
    "30": 30,
    "60": 60,
    "120": 120,
    "180": 180,
    "360": 360,
    "720": 720,
    "1D": 1440,
}

OhlcPrices = tuple[Decimal, Decimal, Decimal, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedMinute:
    """A finished minute of an index, for persistence; an hour, when its minutes became one."""

    index_name: str
    candle: Candle


class Chart:
    """The candles of one index.

    Args:
        history: Gives (open, high, low, close) per minute before the start, oldest first. Asked
            only when somebody looks that far back, and only as far as they look: it is slow.
        start_ms: When the exchange first started.
    """

    def __init__(
        self,
        index_name: str,
        *,
        history: Callable[[int], list[OhlcPrices]],
        start_price: Decimal,
        start_ms: int,
    ) -> None:
        self.index_name = index_name
        self.start_price = start_price
        self.start_ms = start_ms
        self._history = history
        self._before: list[OhlcPrices] = []
        self._minutes: dict[int, Candle] = {}
        self._last_ms = _minute_of(start_ms)
        self._closed: list[ClosedMinute] = []
        self._folded: list[int] = []
        self._folded_ms = _hour_of(start_ms)
        self.record(start_price, start_ms)

    def record(self, price: Decimal, now_ms: int) -> None:
        """Take a price into the present minute."""
        minute_ms = _minute_of(now_ms)
        if minute_ms > self._last_ms:
            self._closed.append(
                ClosedMinute(index_name=self.index_name, candle=self._minutes[self._last_ms])
            )
            self._fold(minute_ms - MINUTES_KEPT_MS)
        elif minute_ms < self._last_ms:  # the wall clock stepped back; stay in the later minute
            minute_ms = self._last_ms
        known = self._minutes.get(minute_ms)
        if known is not None and price == known.close:
            return
        self._minutes[minute_ms] = (
            replace(known, high=max(known.high, price), low=min(known.low, price), close=price)
            if known
            else Candle(start_ms=minute_ms, open=price, high=price, low=price, close=price)
        )
        self._last_ms = minute_ms

    def drain_closed(self) -> list[ClosedMinute]:
        """Minutes that ended since the last call."""
        closed, self._closed = self._closed, []
        return closed

    def drain_folded(self) -> list[int]:
        """Where minutes began that went into hours since the last call."""
        folded, self._folded = self._folded, []
        return folded

    def restore(self, candles: Iterable[Candle]) -> None:
        """Take back recorded minutes."""
        for candle in candles:
            self._minutes[candle.start_ms] = candle
        self._last_ms = max(self._minutes)
        self._folded_ms = _hour_of(min(self._minutes))

    def candles(self, start_ms: int, end_ms: int, resolution_minutes: int) -> list[Candle]:
        """Candles that begin between the bucket of `start_ms` and `end_ms`, oldest first.

        At most `CANDLES_MAX`, the newest ones.
        """
        step_ms = resolution_minutes * MINUTE_MS
        first_ms = self.start_ms - (HISTORY_MINUTES + 1) * MINUTE_MS
        end_ms = min(end_ms, self._last_ms)
        start_ms = max(start_ms, first_ms, end_ms - (CANDLES_MAX - 1) * step_ms)
        candles: list[Candle] = []
        for minute in self._minutes_between(start_ms - start_ms % step_ms, end_ms):
            bucket_ms = minute.start_ms - minute.start_ms % step_ms
            if candles and candles[-1].start_ms == bucket_ms:
                last = candles[-1]
                candles[-1] = replace(
                    last,
                    high=max(last.high, minute.high),
                    low=min(last.low, minute.low),
                    close=minute.close,
                )
            else:
                candles.append(replace(minute, start_ms=bucket_ms))
        return candles

    def _minutes_between(self, start_ms: int, end_ms: int) -> Iterable[Candle]:
        born_ms = _minute_of(self.start_ms)
        if start_ms < born_ms:
            before = self._before_start((born_ms - start_ms) // MINUTE_MS)
            skipped = max(len(before) - (born_ms - start_ms) // MINUTE_MS, 0)
            for offset, (opened, high, low, close) in enumerate(before[skipped:], skipped):
                minute_ms = born_ms - (len(before) - offset) * MINUTE_MS
                if minute_ms <= end_ms:
                    yield Candle(start_ms=minute_ms, open=opened, high=high, low=low, close=close)
        previous: Candle | None = None
        for minute_ms in range(max(start_ms, born_ms), end_ms + 1, MINUTE_MS):
            known = self._minutes.get(minute_ms)
            if known is None:
                close = previous.close if previous else self._close_before(minute_ms)
                known = Candle(start_ms=minute_ms, open=close, high=close, low=close, close=close)
            yield known
            previous = known

    def _fold(self, until_ms: int) -> None:
        """Let the minutes of every hour that ended by then become one candle."""
        while self._folded_ms + HOUR_MS <= until_ms:
            times = range(self._folded_ms, self._folded_ms + HOUR_MS, MINUTE_MS)
            self._folded_ms += HOUR_MS
            known = [time for time in times if time in self._minutes]
            if len(known) < 2:
                continue
            first, *others = known
            minutes = [self._minutes[first], *(self._minutes.pop(time) for time in others)]
            hour = replace(
                minutes[0],
                high=max(minute.high for minute in minutes),
                low=min(minute.low for minute in minutes),
                close=minutes[-1].close,
            )
            self._minutes[first] = hour
            self._closed.append(ClosedMinute(index_name=self.index_name, candle=hour))
            self._folded.extend(others)

    def _close_before(self, minute_ms: int) -> Decimal:
        earlier = [candle for start_ms, candle in self._minutes.items() if start_ms < minute_ms]
        return max(earlier, key=lambda candle: candle.start_ms).close

    def _before_start(self, minutes: int) -> list[OhlcPrices]:
        if len(self._before) < minutes:
            self._before = self._history(minutes)
        return self._before


def flat_history(price: Decimal) -> Callable[[int], list[OhlcPrices]]:
    """History of an index whose prices are set by hand: it never moved."""

    def history(minutes: int) -> list[OhlcPrices]:
        return [(price, price, price, price)] * minutes

    return history


def _minute_of(time_ms: int) -> int:
    return time_ms - time_ms % MINUTE_MS


def _hour_of(time_ms: int) -> int:
    return time_ms - time_ms % HOUR_MS
