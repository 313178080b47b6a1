"""Candles of one index: made-up history before the exchange's first start, recorded prices after.

Minutes are kept for a week, after that hours; longer resolutions are aggregated from them. A minute
without a price, as while the exchange was down, is flat at the close before it.
Source: Deribit API v2, `public/get_tradingview_chart_data`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby

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
        self._times: list[int] = []  # of the minutes, rising
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
        if known is None:
            self._times.append(minute_ms)
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
        self._times = sorted(self._minutes)
        self._last_ms = self._times[-1]
        self._folded_ms = _hour_of(self._times[0])

    def candles(self, start_ms: int, end_ms: int, resolution_minutes: int) -> list[Candle]:
        """Candles that begin between the bucket of `start_ms` and `end_ms`, oldest first.

        At most `CANDLES_MAX`, the newest ones.
        """
        step_ms = resolution_minutes * MINUTE_MS
        first_ms = self.start_ms - (HISTORY_MINUTES + 1) * MINUTE_MS
        end_ms = min(end_ms, self._last_ms)
        start_ms = max(start_ms, first_ms, end_ms - (CANDLES_MAX - 1) * step_ms)
        begins_ms = start_ms - start_ms % step_ms
        candles: list[Candle] = []
        close = self._close_before(begins_ms)
        known = self._known_between(begins_ms, end_ms)
        for bucket_ms, gathered in groupby(known, lambda it: it.start_ms - it.start_ms % step_ms):
            minutes = list(gathered)
            if close is not None:
                candles.extend(_flat(time, close) for time in range(begins_ms, bucket_ms, step_ms))
                if minutes[0].start_ms > bucket_ms:
                    minutes.insert(0, _flat(bucket_ms, close))
            candles.append(_joined(bucket_ms, minutes))
            close = minutes[-1].close
            begins_ms = bucket_ms + step_ms
        if close is not None:
            candles.extend(_flat(time, close) for time in range(begins_ms, end_ms + 1, step_ms))
        return candles

    def _known_between(self, start_ms: int, end_ms: int) -> Iterator[Candle]:
        """What was made up and what was recorded, without the minutes that had no price."""
        born_ms = _minute_of(self.start_ms)
        if start_ms < born_ms:
            before = self._before_start((born_ms - start_ms) // MINUTE_MS)
            skipped = max(len(before) - (born_ms - start_ms) // MINUTE_MS, 0)
            for offset, (opened, high, low, close) in enumerate(before[skipped:], skipped):
                minute_ms = born_ms - (len(before) - offset) * MINUTE_MS
                if minute_ms <= end_ms:
                    yield Candle(start_ms=minute_ms, open=opened, high=high, low=low, close=close)
        first, end = bisect_left(self._times, start_ms), bisect_right(self._times, end_ms)
        yield from (self._minutes[time] for time in self._times[first:end])

    def _fold(self, until_ms: int) -> None:
        """Let the minutes of every hour that ended by then become one candle."""
        while self._folded_ms + HOUR_MS <= until_ms:
            begins = bisect_left(self._times, self._folded_ms)
            self._folded_ms += HOUR_MS
            known = self._times[begins : bisect_left(self._times, self._folded_ms)]
            if len(known) < 2:
                continue
            first, *others = known
            hour = _joined(first, [self._minutes[time] for time in known])
            for time in others:
                del self._minutes[time]
            del self._times[begins + 1 : begins + len(known)]
            self._minutes[first] = hour
            self._closed.append(ClosedMinute(index_name=self.index_name, candle=hour))
            self._folded.extend(others)

    def _close_before(self, minute_ms: int) -> Decimal | None:
        """The last price recorded before a minute; None where there is none."""
        place = bisect_left(self._times, minute_ms)
        return self._minutes[self._times[place - 1]].close if place else None

    def _before_start(self, minutes: int) -> list[OhlcPrices]:
        if len(self._before) < minutes:
            self._before = self._history(minutes)
        return self._before


def flat_history(price: Decimal) -> Callable[[int], list[OhlcPrices]]:
    """History of an index whose prices are set by hand: it never moved."""

    def history(minutes: int) -> list[OhlcPrices]:
        return [(price, price, price, price)] * minutes

    return history


def _flat(start_ms: int, price: Decimal) -> Candle:
    return Candle(start_ms=start_ms, open=price, high=price, low=price, close=price)


def _joined(start_ms: int, candles: Sequence[Candle]) -> Candle:
    """Candles that follow each other as one."""
    return Candle(
        start_ms=start_ms,
        open=candles[0].open,
        high=max(candle.high for candle in candles),
        low=min(candle.low for candle in candles),
        close=candles[-1].close,
    )


def _minute_of(time_ms: int) -> int:
    return time_ms - time_ms % MINUTE_MS


def _hour_of(time_ms: int) -> int:
    return time_ms - time_ms % HOUR_MS
