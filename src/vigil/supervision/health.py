"""From signs of life to a verdict: healthy, degraded or unhealthy, with reasons.

Each part of Vigil leaves beats (when it last did its work) and facts (what it knows to be wrong);
`/health`, the watchdog and the terminal all show the verdict that comes out of here.
"""

import enum
from collections.abc import Iterable

from msgspec import Struct


class Health(enum.Enum):
    """The verdict on the whole."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"  # alive and impaired; a restart would not help
    UNHEALTHY = "unhealthy"  # not doing its duty


class Severity(enum.Enum):
    """What a missing beat or a failed fact makes of the whole."""

    DEGRADES = "degrades"
    BREAKS = "breaks"


class Beat(Struct, frozen=True, kw_only=True):
    """When something last did its work.

    Args:
        last_s: Loop time of the last beat, seconds; for a part that has not beaten yet, the time
            it was started; None for a part that is not running at all.
        max_age_s: Older than this is stale.
    """

    name: str
    last_s: float | None
    max_age_s: float
    severity: Severity = Severity.BREAKS


class Fact(Struct, frozen=True, kw_only=True):
    """Something that is known to be right or wrong, whenever it was learnt."""

    name: str
    is_ok: bool
    reason: str
    severity: Severity = Severity.DEGRADES


class Reason(Struct, frozen=True, kw_only=True):
    """One thing that is wrong, in words."""

    name: str
    text: str
    severity: Severity


class Assessment(Struct, frozen=True, kw_only=True):
    """The verdict and every reason for it, worst first."""

    health: Health
    reasons: tuple[Reason, ...]


def assess(beats: Iterable[Beat], facts: Iterable[Fact], now_s: float) -> Assessment:
    """Judge the whole at loop time `now_s`; the worst reason decides."""
    found = [
        *(reason for beat in beats if (reason := _judge_beat(beat, now_s)) is not None),
        *(
            Reason(name=fact.name, text=fact.reason, severity=fact.severity)
            for fact in facts
            if not fact.is_ok
        ),
    ]
    reasons = tuple(sorted(found, key=lambda reason: reason.severity is not Severity.BREAKS))
    if not reasons:
        return Assessment(health=Health.HEALTHY, reasons=())
    if reasons[0].severity is Severity.BREAKS:
        return Assessment(health=Health.UNHEALTHY, reasons=reasons)
    return Assessment(health=Health.DEGRADED, reasons=reasons)


def _judge_beat(beat: Beat, now_s: float) -> Reason | None:
    if beat.last_s is None:
        return Reason(name=beat.name, text="is not running", severity=beat.severity)
    age_s = now_s - beat.last_s
    if age_s <= beat.max_age_s:
        return None
    text = f"last beat {age_s:.1f} s ago, allowed are {beat.max_age_s:g} s"
    return Reason(name=beat.name, text=text, severity=beat.severity)
