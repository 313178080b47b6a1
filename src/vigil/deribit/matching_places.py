"""Places in the matching engine's queue: how many of our requests may be on the way at once.

The engine carries out one after another, lets eight more of them wait, and refuses the rest; an
order refused so is in doubt. Our web page's own wait in the same queue, so we keep below that.
What closes or cancels never waits here: there is always room left for a few of these.
Source: Deribit, order management: the queue is by currency; counting all of them as one costs
nothing, since an answer comes sooner than the rate limit allows as many again.
"""

import asyncio
import bisect
import math
from collections.abc import Mapping

from vigil.deribit.credits import Lane
from vigil.errors import Transient

# Of these, and of what goes before them, so many are on the way when one more may follow.
_BELOW: Mapping[Lane, float] = {
    Lane.REDUCE: math.inf,
    Lane.PROTECT: 7,
    Lane.ENTRY: 5,
    Lane.QUERY: 5,
}

_WAITING_MAX = 256


class MatchingPlaces:
    """Hands out the places, the higher lane first and within a lane in order of arrival."""

    def __init__(self) -> None:
        self._taken = 0
        self._waiting: list[tuple[Lane, int]] = []
        self._turns: dict[tuple[Lane, int], asyncio.Future[None]] = {}
        self._last_number = 0

    def try_enter(self, lane: Lane) -> bool:
        """Take a place, if there is one and nobody waits before it."""
        if self._taken >= _BELOW[lane] or (self._waiting and self._waiting[0][0] <= lane):
            return False
        self._taken += 1
        return True

    async def enter(self, lane: Lane, *, within_s: float) -> None:
        """Take a place, waiting for it no longer than `within_s`.

        Raises: Transient, when there was none in time.
        """
        if len(self._waiting) >= _WAITING_MAX:
            raise Transient(f"{_WAITING_MAX} calls wait for the matching engine already")
        self._last_number += 1
        ticket = (lane, self._last_number)
        bisect.insort(self._waiting, ticket)
        self._turns[ticket] = turn = asyncio.get_running_loop().create_future()
        has_come = False
        try:
            async with asyncio.timeout(within_s):
                await turn
            has_come = True
        except TimeoutError as error:
            text = f"{self._taken} calls before it were not answered within {within_s:g} s"
            raise Transient(text) from error
        finally:
            if not has_come:
                self._give_up(ticket, turn)

    def leave(self) -> None:
        """Give a place back: the answer came, or is waited for no more."""
        self._taken -= 1
        while self._waiting and self._taken < _BELOW[self._waiting[0][0]]:
            turn = self._turns.pop(self._waiting.pop(0))
            if not turn.done():  # else whoever waited has just given up
                self._taken += 1
                turn.set_result(None)

    def _give_up(self, ticket: tuple[Lane, int], turn: asyncio.Future[None]) -> None:
        if self._turns.pop(ticket, None) is not None:
            self._waiting.remove(ticket)
        elif not turn.cancelled():  # its turn has come, and nobody is there to take it
            self.leave()
