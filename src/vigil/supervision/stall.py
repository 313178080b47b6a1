"""Is the event loop moving, and if not, where does it stand?

A child beats once a second and measures how late it woke: that is the loop's lag. Each beat also
arms faulthandler's timer; when no beat follows in time, its thread writes every stack to the log,
so that the culprit is named before systemd's watchdog ends the process. That thread is C code that
needs no interpreter lock, hence it works even under a C call that never returns; it can do nothing
but dump, and never vouches for anybody.
"""

import faulthandler
from collections.abc import Callable
from typing import TextIO

from vigil.clock import Clock


class StallGuard:
    """Measures the loop's lag and has stacks dumped when it is stuck.

    One per process, since faulthandler's timer is one per process; not for a simulation.

    Args:
        dump_to: Gets the stacks; needs a file descriptor, which stays open while this runs.
        beat_s: Time between beats, seconds.
        stuck_s: No beat for so long beyond its time means stuck.
        lag_s_warned: Lag from which on `on_lag` is told.
        on_lag: Told the lag in seconds, after the fact, in the loop.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        dump_to: TextIO,
        beat_s: float = 1.0,
        stuck_s: float = 5.0,
        lag_s_warned: float = 0.5,
        on_lag: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._dump_to = dump_to
        self._beat_s = beat_s
        self._stuck_s = stuck_s
        self._lag_s_warned = lag_s_warned
        self._on_lag = on_lag
        self.lag_s = 0.0
        self.lag_s_max = 0.0
        self.last_beat_s: float | None = None

    async def run(self) -> None:
        """Beat until cancelled."""
        try:
            while True:
                faulthandler.dump_traceback_later(
                    self._beat_s + self._stuck_s, repeat=False, file=self._dump_to
                )
                slept_from_s = self._clock.elapsed_s()
                self.last_beat_s = slept_from_s
                await self._clock.sleep(self._beat_s)
                self._measure(self._clock.elapsed_s() - slept_from_s - self._beat_s)
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _measure(self, lag_s: float) -> None:
        self.lag_s = max(0.0, lag_s)  # timers may fire a clock tick early
        self.lag_s_max = max(self.lag_s_max, self.lag_s)
        if self.lag_s >= self._lag_s_warned:
            self._on_lag(self.lag_s)
