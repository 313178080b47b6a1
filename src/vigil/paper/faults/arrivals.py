"""Every order label that ever reached the exchange, when, and through which connection.

Noted before anything becomes of the request, lost ones included, so that a checker can hold it
against what the client wrote down beforehand.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vigil.paper.wire.framing import Request

_METHODS = frozenset(
    {
        "private/buy",
        "private/sell",
        "private/edit",
        "private/edit_by_label",
        "private/cancel_by_label",
    }
)
_ARRIVALS_MAX = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One label in one request.

    Args:
        connection: None over HTTP.
    """

    label: str
    method: str
    arrived_ms: int
    connection: int | None


class Arrivals:
    """All arrivals, oldest first; the oldest of a million make room."""

    def __init__(self) -> None:
        self.seen: deque[Arrival] = deque(maxlen=_ARRIVALS_MAX)

    def note(self, request: Request, connection: int | None, now_ms: int) -> None:
        """Write down the labels of a request."""
        if request.method in _METHODS:
            self.seen.extend(
                Arrival(
                    label=label, method=request.method, arrived_ms=now_ms, connection=connection
                )
                for label in _labels(request.params)
            )


def _labels(params: Mapping[str, Any]) -> Iterator[str]:
    label = params.get("label")
    if isinstance(label, str):
        yield label
    linked = params.get("otoco_config")
    if isinstance(linked, list):
        for each in linked:
            if isinstance(each, dict):
                yield from _labels(each)
