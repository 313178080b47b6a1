"""Signs of life: the heartbeat that a connection asked for, and the silence that ends one.

Source: Deribit API v2, session management; timings as seen on production in September 2026.
"""

import random
from dataclasses import dataclass

ANSWER_MS_MAX = 10_000
_FIRST_DELAY_MS = (2_000, 2_600)
_NEXT_DELAY_MS = (600, 700)


@dataclass(slots=True, kw_only=True)
class Pulse:
    """The heartbeat of one connection.

    Args:
        next_ms: When the next `test_request` is sent.
        asked_ms: When the unanswered one was sent.
        is_busy: Something else was sent since the last one, so that none but it is needed.
    """

    interval_ms: int
    next_ms: int
    dice: random.Random
    asked_ms: int | None = None
    is_busy: bool = False

    @classmethod
    def starting(cls, interval_s: int, now_ms: int, dice: random.Random) -> "Pulse":
        """Ask for signs of life from now on."""
        interval_ms = interval_s * 1000
        return cls(
            interval_ms=interval_ms,
            next_ms=now_ms + interval_ms + dice.randint(*_FIRST_DELAY_MS),
            dice=dice,
        )

    def beat(self, now_ms: int) -> tuple[str, ...]:
        """The kinds of heartbeat messages due now; they count as sent."""
        # Where the clock was set back, they come no later for it.
        self.next_ms = min(self.next_ms, now_ms + self.interval_ms + _FIRST_DELAY_MS[1])
        if now_ms < self.next_ms:
            return ()
        kinds = ("test_request",) if self.is_busy else ("heartbeat", "test_request")
        self.next_ms = now_ms + self.interval_ms + self.dice.randint(*_NEXT_DELAY_MS)
        self.is_busy = False
        if self.asked_ms is None:
            self.asked_ms = now_ms
        return kinds

    def answer(self) -> None:
        """The other side is there."""
        self.asked_ms = None

    def is_mute(self, now_ms: int) -> bool:
        """Whether a `test_request` went unanswered for too long."""
        if self.asked_ms is None:
            return False
        self.asked_ms = min(self.asked_ms, now_ms)
        return now_ms - self.asked_ms >= ANSWER_MS_MAX
