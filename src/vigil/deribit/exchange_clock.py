"""What a measurement of the exchange's clock is worth, and when it is not believed at once.

Orders expire by the exchange's time, so a wrong measurement would let them die on arrival, or live
on after we gave them up. One answer that comes out of the blue is asked for again; two that agree
are true, as after a suspended machine.
"""

from enum import StrEnum

from msgspec import Struct

# An answer is good to half its round trip. Above this it is asked for again, if only a few times.
ROUND_TRIP_S_GOOD = 0.5

# Clocks that part by more than this between two looks were set, or somebody slept.
JUMP_MS_MAX = 1_000

# Two clocks further apart than this are worth a person's look; they are well again below the other.
# Source: RTS 25 allows an automated trader far less; records and alerts carry our own time.
SKEW_MS_MAX = 500
SKEW_MS_WELL = 400


class ClockReading(Struct, frozen=True, kw_only=True):
    """It was `exchange_ms` at the exchange when it was `at_s` in loop time.

    Args:
        round_trip_s: How long the question and its answer took.
    """

    exchange_ms: int
    at_s: float
    round_trip_s: float = 0.0

    def now_ms(self, now_s: float) -> int:
        """Exchange time at loop time `now_s`."""
        return self.exchange_ms + round((now_s - self.at_s) * 1000)


class Judgement(StrEnum):
    """What to do with a reading."""

    BELIEVE = "believe"
    ASK_AGAIN = "ask_again"


def judge(
    reading: ClockReading, *, believed: ClockReading | None, last: ClockReading | None
) -> Judgement:
    """Whether a reading may be used.

    Args:
        believed: What has been in use until now; None before the first.
        last: The reading just before this one, when that was not believed.
    """
    if believed is None or abs(_step_ms(believed, reading)) <= JUMP_MS_MAX:
        return Judgement.BELIEVE
    if last is not None and abs(_step_ms(last, reading)) <= JUMP_MS_MAX:
        return Judgement.BELIEVE
    return Judgement.ASK_AGAIN


def is_skewed(skew_ms: int, *, was_skewed: bool) -> bool:
    """Whether our wall clock and the exchange's are too far apart."""
    return abs(skew_ms) > (SKEW_MS_WELL if was_skewed else SKEW_MS_MAX)


def _step_ms(before: ClockReading, after: ClockReading) -> int:
    """How far the exchange's clock moved more than ours between two readings."""
    return after.exchange_ms - before.now_ms(after.at_s)
