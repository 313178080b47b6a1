"""Time for tests: what the machine keeps from this process does not count.

A busy machine lets a process wait, for tens of milliseconds or for a whole second. Nothing can be
done, heard or answered meanwhile, so that every deadline of a few hundred milliseconds would be a
matter of luck. Here such a pause is no time for anybody in the process: neither for the loop's
timers nor for the clock that Vigil and the paper exchange go by. Otherwise time passes as ever.

Hence nothing here can tell how long a callback holds the loop, and nothing here agrees for long with
another process: for both there is `MachineClock`.
"""

import asyncio
import threading
import time

from vigil.clock import SystemClock

# The loop is woken that often; what it is late by beyond the grace is left out.
BEAT_S = 0.01
GRACE_S = 0.02

_lock = threading.Lock()
_loops: list["SteadyLoop"] = []  # those not yet closed, the newest last


class SteadyLoop(asyncio.SelectorEventLoop):
    """A loop whose time stands still while it does not get to run.

    Attributes:
        left_out_s: How much of the machine's time was none here.
    """

    def __init__(self) -> None:
        self.left_out_s = 0.0
        # The latest that it can be before the loop is run, or has come round, once more.
        self._latest_s = super().time()
        self._beating: asyncio.Handle | None = None
        super().__init__()
        _loops.append(self)

    def time(self) -> float:
        now_s = super().time() - self.left_out_s
        if now_s <= self._latest_s:
            return now_s
        with _lock:
            self.left_out_s = max(self.left_out_s, super().time() - self._latest_s)
        return self._latest_s

    def run_forever(self) -> None:
        self._beat()
        try:
            super().run_forever()
        finally:
            if self._beating is not None:
                self._beating.cancel()
            self._latest_s = self.time()

    def close(self) -> None:
        super().close()
        if self in _loops:
            _loops.remove(self)

    def _beat(self) -> None:
        due_s = self.time() + BEAT_S
        self._latest_s = due_s + GRACE_S
        self._beating = self.call_at(due_s, self._beat)


class SteadyTime:
    """Stands in for the module `time` where Vigil's clock reads it."""

    @staticmethod
    def monotonic() -> float:
        return _loops[-1].time() if _loops else time.monotonic()

    @staticmethod
    def time_ns() -> int:
        if not _loops:
            return time.time_ns()
        _loops[-1].time()
        return time.time_ns() - round(_loops[-1].left_out_s * 1e9)


class MachineClock(SystemClock):
    """Vigil's clock as it ships, pauses included."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def elapsed_s(self) -> float:
        return time.monotonic()
