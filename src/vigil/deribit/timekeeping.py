"""Measuring the exchange's clock, at the start of a session and for as long as it lasts."""

from collections.abc import Awaitable, Callable

import structlog

from vigil.clock import Clock
from vigil.deribit.exchange_clock import (
    ROUND_TRIP_S_GOOD,
    ClockReading,
    Judgement,
    is_skewed,
    judge,
)
from vigil.deribit.session import Trouble, TroubleKind

_log = structlog.get_logger(__name__)

_READINGS_MAX = 4
_AGAIN_AFTER_S = 0.25


class Timekeeper:
    """Asks what time it is at the exchange until the answer can be believed.

    Args:
        on_trouble: Told when our wall clock is far off, and when it is no longer.
    """

    def __init__(self, clock: Clock, *, on_trouble: Callable[[Trouble], None]) -> None:
        self._clock = clock
        self._on_trouble = on_trouble
        self._is_skewed = False

    async def measure(
        self, ask: Callable[[], Awaitable[int]], believed: ClockReading | None
    ) -> ClockReading:
        """The exchange's time now; `believed` itself, when no two answers agree on another.

        Args:
            ask: One question to the exchange's clock, ms since the epoch.

        Raises: as `ask`.
        """
        last: ClockReading | None = None
        best: ClockReading | None = None
        for number in range(_READINGS_MAX):
            if number:
                await self._clock.sleep(_AGAIN_AFTER_S)
            reading = await self._read(ask)
            if judge(reading, believed=believed, last=last) is Judgement.ASK_AGAIN:
                last = reading
                continue
            if best is None or reading.round_trip_s < best.round_trip_s:
                best = reading
            if best.round_trip_s <= ROUND_TRIP_S_GOOD or number:
                break  # a slow road does not get faster by asking for ever
        if best is not None:
            self._report(best, believed)
            return best
        assert believed is not None, "without a belief every reading is believed"
        _log.error("clock.incredible", action="going on with the time as measured before")
        return believed

    def _report(self, reading: ClockReading, believed: ClockReading | None) -> None:
        now_s = self._clock.elapsed_s()
        if believed is not None:
            step_ms = reading.now_ms(now_s) - believed.now_ms(now_s)
            if is_skewed(step_ms, was_skewed=False):
                _log.warning("clock.stepped", by_ms=step_ms)
        skew_ms = reading.now_ms(now_s) - self._clock.now_ms()
        was_skewed, self._is_skewed = (
            self._is_skewed,
            is_skewed(skew_ms, was_skewed=self._is_skewed),
        )
        if self._is_skewed:
            _log.warning("clock.skewed", exchange_ahead_ms=skew_ms, action="orders use its time")
            reason = f"the exchange's clock is {skew_ms} ms ahead of ours: set ours right"
            self._on_trouble(Trouble(kind=TroubleKind.CLOCK, reason=reason))
        elif was_skewed or believed is None:
            self._on_trouble(Trouble(kind=TroubleKind.CLOCK, reason=None))

    async def _read(self, ask: Callable[[], Awaitable[int]]) -> ClockReading:
        asked_s = self._clock.elapsed_s()
        exchange_ms = await ask()
        answered_s = self._clock.elapsed_s()
        return ClockReading(
            exchange_ms=exchange_ms,
            at_s=(asked_s + answered_s) / 2,
            round_trip_s=answered_s - asked_s,
        )
