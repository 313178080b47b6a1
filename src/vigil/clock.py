"""The clock seam: the one place that reads wall time or waits.

Wall time (UTC) is for records; loop time is for delays and ages. A simulation hands in a clock
of its own, and everything above this module runs on it unchanged.
"""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time, elapsed time and waiting."""

    def now_ms(self) -> int:
        """Wall time, UTC, milliseconds since the epoch."""
        ...

    def elapsed_s(self) -> float:
        """The event loop's monotonic time, seconds from an arbitrary start."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Wait for that many seconds of loop time."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        """Wall time, UTC, milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def elapsed_s(self) -> float:
        """Monotonic seconds; the same clock the event loop's timers use."""
        return time.monotonic()

    async def sleep(self, delay_s: float) -> None:
        """Wait for that many seconds."""
        await asyncio.sleep(delay_s)
