"""Waiting for credits: the higher lane first, within a lane in order of arrival, never for long.

While there is enough, `try_spend` takes it at once and nothing is awaited. One throttle serves the
whole account: all sessions after one another, and the second witness beside them.
"""

import bisect
import math
from collections.abc import Callable, Mapping

import structlog

from vigil.clock import Clock
from vigil.deribit.credits import Credits, Lane, Pool, Rate, limits_of, pool_of
from vigil.domain.portfolio import RateLimit
from vigil.errors import Transient

_log = structlog.get_logger(__name__)

# Of each lane, so that no crowd of entries keeps a cancel from waiting.
_WAITING_MAX = 256

# Timers are not exact; asking again a little later costs nothing.
_LOOK_S_MIN = 0.001


class Throttle:
    """Hands out the account's credits.

    Args:
        credits: What is known of them; by default those of the lowest tier, after a fresh start.
        on_drained: Told of the exchange's words when it says that we asked too much.
    """

    def __init__(
        self,
        clock: Clock,
        credits: Credits | None = None,  # noqa: A002
        *,
        on_drained: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._on_drained = on_drained
        self._credits = Credits(now_s=clock.elapsed_s()) if credits is None else credits
        self._waiting: dict[Pool, list[tuple[Lane, int]]] = {pool: [] for pool in Pool}
        self._last_number = 0
        self._adopted: dict[Pool, Rate] = {}
        self._drained_s = -math.inf

    def try_spend(self, method: str, lane: Lane) -> bool:
        """Take the credit of one call, if there is enough and nobody waits before it."""
        pool = pool_of(method)
        waiting = self._waiting[pool]
        if waiting and waiting[0][0] <= lane:
            return False
        return self._credits.spend(pool, lane, self._clock.elapsed_s())

    async def spend(self, method: str, lane: Lane, *, within_s: float) -> None:
        """Take the credit of one call, waiting for it no longer than `within_s`.

        Raises: Transient, as soon as it is clear that there will not be enough in time.
        """
        pool = pool_of(method)
        waiting = self._waiting[pool]
        if sum(other is lane for other, _ in waiting) >= _WAITING_MAX:
            raise Transient(f"{method}: {_WAITING_MAX} calls wait for rate-limit credit already")
        self._last_number += 1
        ticket = (lane, self._last_number)
        bisect.insort(waiting, ticket)
        deadline_s = self._clock.elapsed_s() + within_s
        try:
            while True:
                now_s = self._clock.elapsed_s()
                ahead = waiting.index(ticket)
                if ahead == 0 and self._credits.spend(pool, lane, now_s):
                    return
                delay_s = self._credits.wait_s(pool, lane, now_s, ahead=ahead)
                if now_s + delay_s > deadline_s:
                    raise Transient(
                        f"{method}: no rate-limit credit for {delay_s:.1f} s, and {within_s:g} s"
                        " is as long as it may wait"
                    )
                await self._clock.sleep(max(delay_s, _LOOK_S_MIN))
        finally:
            waiting.remove(ticket)

    def spend_anyway(self, method: str) -> None:
        """Count a call that goes out whatever is left."""
        self._credits.spend_anyway(pool_of(method), self._clock.elapsed_s())

    @property
    def calm_s(self) -> float:
        """Seconds since the exchange last said that we asked too much; infinite if it never did."""
        return self._clock.elapsed_s() - self._drained_s

    def drain(self, words: str) -> None:
        """The exchange says, in these words, that we asked too much."""
        self._drained_s = self._clock.elapsed_s()
        self._credits.drain(self._drained_s)
        self._on_drained(words)

    async def recover(self) -> None:
        """Before opening a session: wait until a drained pool is half full again."""
        while delay_s := self._credits.recovery_s(self._clock.elapsed_s()):
            _log.warning("credits.recovering", delay_s=round(delay_s, 1))
            await self._clock.sleep(max(delay_s, _LOOK_S_MIN))

    def adopt(self, rate_limits: Mapping[str, RateLimit]) -> None:
        """Go on with the account's own limits, as its summary gives them."""
        limits = limits_of(rate_limits)
        if limits != self._adopted:
            self._adopted = limits
            words = {pool.name.lower(): f"{r.per_s:g}/s {r.burst:g}" for pool, r in limits.items()}
            _log.info("credits.limits", **words)
            self._credits.adopt(limits, self._clock.elapsed_s())
