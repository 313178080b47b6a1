"""Records kept by time, bounded, and the two windows through which readers see them.

Recent records are there at once and leave after a while; the archive shows what has left, but only
once it was indexed. Between the two a record is in neither.
Source: Deribit API v2, accessing historical trades and orders.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

RECENT_ORDERS_MS = 30 * 60 * 1000
RECENT_TRADES_MS = 24 * 60 * 60 * 1000
# Of one instrument. What is older is dropped, so that an exchange may run for months.
LENGTH_MAX = 20_000

_FOREVER_MS = 2**63
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Records from `start_ms` to `end_ms`, both inclusive."""

    start_ms: int = 0
    end_ms: int = _FOREVER_MS

    def within(self, start_ms: int, end_ms: int) -> "Window":
        """The part of it that also lies between the two."""
        return Window(start_ms=max(self.start_ms, start_ms), end_ms=min(self.end_ms, end_ms))


def visible(now_ms: int, recent_ms: int, *, is_historical: bool, archive_delay_ms: int) -> Window:
    """What a reading may show: the recent records, or the archive without them."""
    if is_historical:
        return Window(end_ms=now_ms - recent_ms - archive_delay_ms)
    return Window(start_ms=now_ms - recent_ms + 1)


class Shelf(Generic[_T]):
    """Records as they came; the oldest are dropped when it is full.

    Where the clock went back, a record stands behind later ones, and windows show it all the same.
    """

    def __init__(self, length_max: int = LENGTH_MAX) -> None:
        self._length_max = length_max
        self._setback_ms = 0
        self._latest: list[int] = []  # never falls, so that it can be searched
        self.times: list[int] = []
        self.items: list[_T] = []

    def add(self, time_ms: int, item: _T) -> list[_T]:
        """Put a record at the end. Returns what had to go for it, many at a time."""
        latest_ms = max(time_ms, self._latest[-1]) if self._latest else time_ms
        self._setback_ms = max(self._setback_ms, latest_ms - time_ms)
        self._latest.append(latest_ms)
        self.times.append(time_ms)
        self.items.append(item)
        excess = len(self.items) - self._length_max
        if excess <= self._length_max // 10:
            return []
        return self.drop(excess)

    def drop(self, count: int) -> list[_T]:
        """Let the oldest so many go, and return them."""
        dropped = self.items[:count]
        del self.items[:count], self.times[:count], self._latest[:count]
        return dropped

    def oldest_first(self, window: Window, first: int = 0, end: int | None = None) -> Iterator[_T]:
        """Records inside the window and of these places, as they came."""
        return self._read(window, self._range(window, first, end))

    def newest_first(self, window: Window, first: int = 0, end: int | None = None) -> Iterator[_T]:
        """The same, the newest first; both read no more than is asked for."""
        return self._read(window, reversed(self._range(window, first, end)))

    def _read(self, window: Window, places: Iterable[int]) -> Iterator[_T]:
        is_in = range(window.start_ms, window.end_ms + 1)
        return (self.items[place] for place in places if self.times[place] in is_in)

    def _range(self, window: Window, first: int, end: int | None) -> range:
        begins = bisect_left(self._latest, window.start_ms)
        ends = bisect_right(self._latest, window.end_ms + self._setback_ms)
        return range(max(first, begins), ends if end is None else min(end, ends))
