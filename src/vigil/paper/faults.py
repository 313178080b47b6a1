"""Faults that a test can ask of the server: what becomes of the reply to a request.

Handed to the server by its constructor and out of reach of the wire. The request itself is always
carried out, except when it is lost on the way in.
"""

from dataclasses import dataclass
from enum import Enum, auto


class Fate(Enum):
    """What becomes of one request and its reply."""

    ORDINARY = auto()
    REQUEST_LOST = auto()
    REPLY_WITHHELD = auto()


@dataclass(slots=True, kw_only=True)
class _Rule:
    method: str
    fate: Fate
    delay_s: float
    left: int


class Faults:
    """Rules for the requests to come, each for a method and a number of times."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []

    def withhold_replies(self, method: str, count: int = 1) -> None:
        """Carry out the next `count` requests of that method and say nothing to the caller."""
        self._add(method, Fate.REPLY_WITHHELD, 0.0, count)

    def lose_requests(self, method: str, count: int = 1) -> None:
        """Let the next `count` requests of that method vanish before they are carried out."""
        self._add(method, Fate.REQUEST_LOST, 0.0, count)

    def delay_replies(self, method: str, delay_s: float, count: int = 1) -> None:
        """Carry out the next `count` requests of that method at once and answer later."""
        self._add(method, Fate.ORDINARY, delay_s, count)

    def clear(self) -> None:
        """Forget all rules."""
        self._rules.clear()

    def next_fate(self, method: str) -> tuple[Fate, float]:
        """The fate of a request that came in now, and the delay of its reply in seconds."""
        for rule in self._rules:
            if rule.method == method:
                rule.left -= 1
                if not rule.left:
                    self._rules.remove(rule)
                return rule.fate, rule.delay_s
        return Fate.ORDINARY, 0.0

    def _add(self, method: str, fate: Fate, delay_s: float, count: int) -> None:
        self._rules.append(_Rule(method=method, fate=fate, delay_s=delay_s, left=count))
