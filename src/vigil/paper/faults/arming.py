"""Armed faults: which one strikes what, when, and how often.

Pure. An armed fault is an entry of the menu with its values, a matcher and a `When`. The shell asks
`Arms.strikes` at each point that a request, a reply, a notification or a connection passes; the
answer depends on nothing but what was armed, the seed, and what was asked before.
"""

import random
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from vigil.paper.faults.entry import Fault, Point, Unfit
from vigil.paper.faults.menu import ARMING_PARAMS, fault_named

_SPENT_MAX = 1000
_ARMED_MAX = 1000

ARMING_FIELDS = frozenset(param.name for param in ARMING_PARAMS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What passes a point, as matchers see it.

    Args:
        connection: Its number; None over HTTP.
    """

    method: str | None = None
    channel: str | None = None
    instruments: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    connection: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Matcher:
    """Which subjects a fault is for. Several globs are alternatives."""

    method: tuple[str, ...] = ("*",)
    channel: tuple[str, ...] = ("*",)
    instrument: tuple[str, ...] = ("*",)
    label: tuple[str, ...] = ("*",)
    connection: int | None = None
    transport: str = "any"

    def covers(self, subject: Subject) -> bool:
        """Whether the subject is meant."""
        if self.connection not in (None, subject.connection):
            return False
        if self.transport != "any" and (self.transport == "http") != (subject.connection is None):
            return False
        return (
            _fits(self.method, (subject.method,))
            and _fits(self.channel, (subject.channel,))
            and _fits(self.instrument, subject.instruments)
            and _fits(self.label, subject.labels)
        )


def _fits(globs: tuple[str, ...], values: Iterable[str | None]) -> bool:
    if globs == ("*",):
        return True
    return any(value is not None and fnmatchcase(value, glob) for value in values for glob in globs)


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """How often and in which span of exchange time.

    Args:
        count: None strikes until disarmed.
        skip: Matches let pass first.
        until_ms: Excluded.
    """

    count: int | None = 1
    skip: int = 0
    probability: Decimal = Decimal(1)
    from_ms: int | None = None
    until_ms: int | None = None

    def is_open(self, now_ms: int) -> bool:
        """Whether now is within the span."""
        is_begun = self.from_ms is None or now_ms >= self.from_ms
        return is_begun and not self.is_over(now_ms)

    def is_over(self, now_ms: int) -> bool:
        """Whether the span has ended."""
        return self.until_ms is not None and now_ms >= self.until_ms


@dataclass(slots=True, kw_only=True)
class Armed:
    """An armed fault.

    Args:
        values: Of the entry's own parameters.
        triggers: What sets off a fault of a connection or the venue: a point with `moment`, or
            the time alone.
        matched: Subjects that it covered, struck or not.
        memory: What it has to remember from one strike to the next.
    """

    number: int
    fault: Fault
    values: Mapping[str, Any]
    matcher: Matcher
    when: When
    triggers: str
    dice: random.Random
    matched: int = 0
    hits: int = 0
    memory: dict[Any, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The entry's name."""
        return self.fault.name

    @property
    def is_spent(self) -> bool:
        """Whether it will never strike again for lack of strikes."""
        return self.when.count is not None and self.hits >= self.when.count

    def is_struck(self, subject: Subject | None, now_ms: int) -> bool:
        """Whether it strikes this subject, or now; asking counts the match and throws the dice."""
        if self.is_spent or not self.when.is_open(now_ms):
            return False
        if subject is not None and not self.matcher.covers(subject):
            return False
        self.matched += 1
        if self.matched <= self.when.skip:
            return False
        probability = self.when.probability
        return probability == 1 or Decimal(self.dice.random()) < probability

    def described(self) -> dict[str, Any]:
        """As the control endpoint lists it."""
        when = self.when
        return {
            "id": self.number,
            "fault": self.name,
            "rows": self.fault.rows,
            "values": dict(self.values),
            "method": ",".join(self.matcher.method),
            "channel": ",".join(self.matcher.channel),
            "instrument": ",".join(self.matcher.instrument),
            "label": ",".join(self.matcher.label),
            "connection": self.matcher.connection,
            "transport": self.matcher.transport,
            "triggers": self.triggers,
            "count": when.count,
            "skip": when.skip,
            "probability": when.probability,
            "from_ms": when.from_ms,
            "until_ms": when.until_ms,
            "matched": self.matched,
            "hits": self.hits,
        }


class Arms:
    """All armed faults, in the order in which they were armed.

    Args:
        seed: Of every armed fault's dice, together with its number.
    """

    def __init__(self, seed: int = 1) -> None:
        self.hits: Counter[str] = Counter()
        self.spent: deque[Armed] = deque(maxlen=_SPENT_MAX)
        self._seed = seed
        self._last_number = 0
        self._by_trigger: dict[str, list[Armed]] = {}

    def arm(self, name: str, given: Mapping[str, Any], now_ms: int) -> Armed:
        """Arm an entry of the menu.

        Args:
            given: The entry's own values, and any of `ARMING_PARAMS`.
            now_ms: Exchange time, which `in_s` and `for_s` count from.

        Raises: Unfit.
        """
        fault = fault_named(name)
        if sum(map(len, self._by_trigger.values())) >= _ARMED_MAX:
            raise Unfit("fault", f"{_ARMED_MAX} are armed already; disarm some first")
        own = {key: value for key, value in given.items() if key not in ARMING_FIELDS}
        values = fault.read_values(own)
        general = {
            param.name: param.read(given[param.name]) if param.name in given else param.default
            for param in ARMING_PARAMS
        }
        self._last_number += 1
        number = self._last_number
        seed = self._seed if general["seed"] is None else general["seed"]
        salt = number if general["seed"] is None else ""
        armed = Armed(
            number=number,
            fault=fault,
            values=values,
            matcher=_matcher(fault, general),
            when=_when(fault, general, now_ms),
            triggers=_triggers(fault, general),
            dice=random.Random(f"fault:{seed}:{salt}"),  # noqa: S311 - chance, not a secret
        )
        self._by_trigger.setdefault(armed.triggers, []).append(armed)
        return armed

    def disarm(self, number: int) -> Armed:
        """Take back an armed fault. Raises: Unfit, when none with that number is armed."""
        for armed in self.armed():
            if armed.number == number:
                self._drop(armed)
                return armed
        raise Unfit("id", f"{number} is not armed; armed are {[a.number for a in self.armed()]}")

    def clear(self) -> None:
        """Take back all."""
        for armed in self.armed():
            self._drop(armed)

    def armed(self) -> list[Armed]:
        """What may still strike, in the order of arming."""
        everything = (armed for many in self._by_trigger.values() for armed in many)
        return sorted(everything, key=lambda armed: armed.number)

    def waits_at(self, *triggers: str) -> bool:
        """Whether anything at all is armed for one of these."""
        return any(self._by_trigger.get(trigger) for trigger in triggers)

    def strikes(self, trigger: str, subject: Subject, now_ms: int) -> list[Armed]:
        """What strikes this subject now. Of entries of one name only the first does."""
        waiting = self._by_trigger.get(trigger)
        if not waiting:
            return []
        struck: dict[str, Armed] = {}
        for armed in tuple(waiting):
            if armed.when.is_over(now_ms):
                self._drop(armed)
            elif armed.name not in struck and armed.is_struck(subject, now_ms):
                struck[armed.name] = armed
                self.count_hit(armed)
        return list(struck.values())

    def due(self, now_ms: int) -> list[Armed]:
        """Faults that time alone sets off, and that now is the time of."""
        due = []
        for armed in tuple(self._by_trigger.get(TIME, ())):
            if armed.when.is_over(now_ms):
                self._drop(armed)
            elif armed.is_struck(None, now_ms):
                self.count_hit(armed)
                due.append(armed)
        return due

    def count_hit(self, armed: Armed) -> None:
        """It struck; one that may not again is set aside."""
        armed.hits += 1
        self.hits[armed.name] += 1
        if armed.is_spent:
            self._drop(armed)

    def take_back_hit(self, armed: Armed) -> None:
        """It struck something that it could do nothing to: that did not count."""
        armed.hits -= 1
        self.hits[armed.name] -= 1
        if armed in self.spent:
            self.spent.remove(armed)
            self._by_trigger[armed.triggers].append(armed)
            self._by_trigger[armed.triggers].sort(key=lambda each: each.number)

    def _drop(self, armed: Armed) -> None:
        waiting = self._by_trigger[armed.triggers]
        if armed in waiting:
            waiting.remove(armed)
            self.spent.append(armed)


# What sets off a fault: a point that it is asked at, or the time.
TIME = "time"
BEFORE_REQUEST = "before request"
AFTER_REQUEST = "after request"
ON_NOTIFICATION = "on notification"


def _triggers(fault: Fault, general: Mapping[str, Any]) -> str:
    """What sets the fault off; faults of a connection or the venue may wait for others' doings."""
    if fault.point not in (Point.CONNECTION, Point.VENUE):
        return fault.point.value
    if general["channel"] is not None:
        return ON_NOTIFICATION
    names = ("instrument", "label")
    is_of_requests = general["method"] is not None or general["transport"] != "any"
    if is_of_requests or any(general[name] != "*" for name in names):
        return BEFORE_REQUEST if general["moment"] == "before" else AFTER_REQUEST
    return TIME


def _matcher(fault: Fault, general: Mapping[str, Any]) -> Matcher:
    is_asked = fault.point in (Point.REQUEST, Point.REPLY)
    if is_asked and general["channel"] is not None:
        raise Unfit("channel", f"{fault.name} strikes requests; name a method instead")
    if fault.point is Point.NOTIFICATION and general["method"] is not None:
        raise Unfit("method", f"{fault.name} strikes notifications; name a channel instead")
    return Matcher(
        method=_globs("method", general["method"] or fault.method),
        channel=_globs("channel", general["channel"] or fault.channel),
        instrument=_globs("instrument", general["instrument"]),
        label=_globs("label", general["label"]),
        connection=general["connection"],
        transport=general["transport"],
    )


def _globs(name: str, listed: str) -> tuple[str, ...]:
    globs = tuple(glob.strip() for glob in listed.split(","))
    if not all(globs):
        raise Unfit(name, f"{listed!r} has an empty glob; write * for everything")
    return globs


def _when(fault: Fault, general: Mapping[str, Any], now_ms: int) -> When:
    from_ms, until_ms = general["from_ms"], general["until_ms"]
    if general["in_s"] is not None:
        if from_ms is not None:
            raise Unfit("in_s", "from_ms says the same; give one of them")
        from_ms = now_ms + round(general["in_s"] * 1000)
    if general["for_s"] is not None:
        if until_ms is not None:
            raise Unfit("for_s", "until_ms says the same; give one of them")
        until_ms = (now_ms if from_ms is None else from_ms) + round(general["for_s"] * 1000)
    if from_ms is not None and until_ms is not None and until_ms <= from_ms:
        raise Unfit("until_ms", f"{until_ms} is not after the beginning, {from_ms}")
    count = general["count"]
    return When(
        count=1 if count is None and not fault.is_lasting else count,
        skip=general["skip"],
        probability=general["probability"],
        from_ms=from_ms,
        until_ms=until_ms,
    )
