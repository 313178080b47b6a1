"""When a child that ended is started again: policy, intensity, backoff.

The supervisor hands in what happened and gets back what to do: `Restart` after a delay, `Stop`
because the end was in order, or `GiveUp` because the level above has to act. The only backoff
policy in Vigil lives here.

Source: the words and their meaning are those of Erlang/OTP's supervisor; growing delays are not
OTP's, which restarts at once.
"""

import enum
import random
from collections.abc import Awaitable, Callable

from msgspec import Struct
from msgspec.structs import replace

_DOUBLINGS_MAX = 32
_FAILURES_COUNTED_MAX = 1_000_000


class RestartPolicy(enum.Enum):
    """Which ends call for a restart."""

    PERMANENT = "permanent"  # every end
    TRANSIENT = "transient"  # only a crash
    TEMPORARY = "temporary"  # none


class Outcome(enum.Enum):
    """How a child ended by itself."""

    FINISHED = "finished"
    CRASHED = "crashed"
    MISCONFIGURED = "misconfigured"  # only a person can help


class Backoff(Struct, frozen=True, kw_only=True):
    """Delays that grow by doubling up to a cap, each drawn anew between zero and there.

    Full jitter: many children that fell together do not come back together.

    Args:
        base_s: Upper end of the first delay, positive.
        cap_s: Upper end of every delay, at least `base_s`.
        settled_s: A run at least this long is a success: the next failure counts as the first.
    """

    base_s: float = 0.5
    cap_s: float = 30.0
    settled_s: float = 60.0

    def __post_init__(self) -> None:
        assert 0 < self.base_s <= self.cap_s, self
        assert self.settled_s >= 0, self

    def delay_s_max(self, failures: int) -> float:
        """The longest delay after so many failures in a row, counted from 1."""
        assert failures >= 1, failures
        # The exponent is bounded as well as the result: 2.0**10_000 is an OverflowError.
        return min(self.cap_s, self.base_s * 2.0 ** min(failures - 1, _DOUBLINGS_MAX))

    def delay_s(self, failures: int, rng: random.Random) -> float:
        """A delay after so many failures in a row."""
        return rng.uniform(0.0, self.delay_s_max(failures))


class Intensity(Struct, frozen=True, kw_only=True):
    """How many restarts within how long are bearable; one more is given up on."""

    restarts_max: int
    period_s: float

    def __post_init__(self) -> None:
        assert self.restarts_max >= 0, self
        assert self.period_s > 0, self


class ChildSpec(Struct, frozen=True, kw_only=True):
    """A child as the supervisor knows it.

    Args:
        name: Unique under one supervisor.
        start: Begins a fresh life and runs until it ends; called anew for each restart.
        intensity: None for a child that is never given up on, such as a connection.
        stop_timeout_s: How long a stop may take before the child is abandoned.
        stage: Children of a higher stage are stopped before those of a lower one; within a
            stage the youngest goes first.
        misconfigured_retry_s: Bounds of the first retry after `Misconfigured`. Slow, so that a
            wrong key is no storm on the exchange; a retry, so that the person who mends it
            elsewhere need not restart anything here.
        misconfigured_cap_s: Both bounds double with every further one in a row, up to this: an
            exchange may lock out who tries too often.
    """

    name: str
    start: Callable[[], Awaitable[None]]
    restart: RestartPolicy = RestartPolicy.PERMANENT
    intensity: Intensity | None = None
    backoff: Backoff = Backoff()
    stop_timeout_s: float = 5.0
    stage: int = 0
    misconfigured_retry_s: tuple[float, float] = (30.0, 60.0)
    misconfigured_cap_s: float = 600.0

    def misconfigured_delay_s(self, failures: int, rng: random.Random) -> float:
        """A delay after so many ends in a row, counted from 1, that only a person can mend."""
        factor = 2.0 ** min(failures - 1, _DOUBLINGS_MAX)
        low_s, high_s = self.misconfigured_retry_s
        # The lower bound stays below the cap, so that many do not come back at one moment.
        cap_s = max(self.misconfigured_cap_s, high_s)
        return rng.uniform(min(low_s * factor, cap_s / 2), min(high_s * factor, cap_s))


class History(Struct, frozen=True, kw_only=True):
    """What is remembered of a child's ends.

    Args:
        failures_in_row: Unsettled ends since the last settled run.
        restarts_s: Times of the restarts that intensity still counts, loop seconds, oldest first.
        restarts: All restarts since the child was added or restarted by hand.
        misconfigured_in_row: Ends since the last other one that only a person can mend.
    """

    failures_in_row: int = 0
    misconfigured_in_row: int = 0
    restarts_s: tuple[float, ...] = ()
    restarts: int = 0


class Restart(Struct, frozen=True, kw_only=True):
    """Start it again after `delay_s`."""

    delay_s: float
    history: History


class Stop(Struct, frozen=True, kw_only=True):
    """Leave it ended; that is in order."""


class GiveUp(Struct, frozen=True, kw_only=True):
    """Leave it failed and tell the level above."""

    reason: str


Decision = Restart | Stop | GiveUp


def on_exit(
    spec: ChildSpec,
    history: History,
    outcome: Outcome,
    *,
    ran_s: float,
    now_s: float,
    rng: random.Random,
) -> Decision:
    """Decide what follows on a child's end.

    Args:
        spec: The child's own policy.
        history: As the last decision left it.
        outcome: How this life ended.
        ran_s: How long it lasted, seconds.
        now_s: Loop time of the end, seconds.
        rng: The dice of the jitter; a decision draws once at most.
    """
    if spec.restart is RestartPolicy.TEMPORARY:
        if outcome is Outcome.FINISHED:
            return Stop()
        return GiveUp(reason=f"{outcome.value}, and a temporary child is not restarted")
    if spec.restart is RestartPolicy.TRANSIENT and outcome is Outcome.FINISHED:
        return Stop()
    if outcome is Outcome.MISCONFIGURED:
        # Not counted against intensity: it is known that only a person can help, and waiting for
        # that person is not a storm.
        has_settled = ran_s >= spec.backoff.settled_s
        in_row = 1 if has_settled else min(history.misconfigured_in_row + 1, _FAILURES_COUNTED_MAX)
        waiting = replace(history, restarts=history.restarts + 1, misconfigured_in_row=in_row)
        return Restart(delay_s=spec.misconfigured_delay_s(in_row, rng), history=waiting)

    counted = _restarts_within(spec.intensity, history.restarts_s, now_s)
    if spec.intensity is not None and len(counted) >= spec.intensity.restarts_max:
        return GiveUp(
            reason=f"{outcome.value} after {len(counted)} restarts"
            f" within {spec.intensity.period_s:g} s"
        )
    is_settled = ran_s >= spec.backoff.settled_s
    failures = 1 if is_settled else min(history.failures_in_row + 1, _FAILURES_COUNTED_MAX)
    return Restart(
        delay_s=spec.backoff.delay_s(failures, rng),
        history=History(
            failures_in_row=failures,
            restarts_s=(*counted, now_s) if spec.intensity is not None else (),
            restarts=history.restarts + 1,
        ),
    )


def _restarts_within(
    intensity: Intensity | None, restarts_s: tuple[float, ...], now_s: float
) -> tuple[float, ...]:
    if intensity is None:
        return ()
    return tuple(at_s for at_s in restarts_s if now_s - at_s < intensity.period_s)
