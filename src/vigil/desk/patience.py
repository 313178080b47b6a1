"""How long what may be repeated without harm is repeated: a budget of tries, ever further apart.

Only cancels, and orders that could at most close a whole position, come here. An entry never does:
its doubt is settled by proof, not by another try.
"""

from vigil.clock import Clock

RETRY_DELAYS_S = (0.25, 0.5, 1.0, 2.0)

# No further try begins later than this after the first: who waits for it has other things to do,
# and the reconciler comes back to whatever is left.
RETRY_BUDGET_S = 6.0


class Patience:
    """The tries that are left for one act."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_s = clock.elapsed_s()
        self._delays = list(reversed(RETRY_DELAYS_S))

    async def wait(self) -> bool:
        """Wait before the next try; False, at once, when there is to be none."""
        if not self._delays:
            return False
        delay_s = self._delays.pop()
        if self._clock.elapsed_s() + delay_s > self._started_s + RETRY_BUDGET_S:
            return False
        await self._clock.sleep(delay_s)
        return True
