"""The exchange's clock, which the fault menu may set wrong. Waits and ages stay true."""

from vigil.clock import Clock


class SkewedClock:
    """A clock whose wall time is off by a set amount.

    Args:
        clock: The true one.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._from_ms = self._to_ms = 0
        self._begun_s = self._smear_s = 0.0

    @property
    def offset_ms(self) -> int:
        """How far it is ahead now."""
        if not self._smear_s:
            return self._to_ms
        share = min((self._clock.elapsed_s() - self._begun_s) / self._smear_s, 1.0)
        return self._from_ms + round((self._to_ms - self._from_ms) * share)

    def set_offset(self, offset_ms: int, smear_s: float = 0.0) -> None:
        """Be off by that much: at once, or growing into it."""
        self._from_ms, self._to_ms = self.offset_ms, offset_ms
        self._begun_s, self._smear_s = self._clock.elapsed_s(), smear_s

    def now_ms(self) -> int:
        """Wall time as the exchange tells it."""
        return self._clock.now_ms() + (self.offset_ms if self._to_ms or self._smear_s else 0)

    def elapsed_s(self) -> float:
        """The true clock's."""
        return self._clock.elapsed_s()

    async def sleep(self, delay_s: float) -> None:
        """The true clock's."""
        await self._clock.sleep(delay_s)
