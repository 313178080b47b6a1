"""Every order label that reached the exchange, when, and through which connection.

Noted before anything becomes of the request, lost ones included, so that a checker can hold it
against what the client wrote down beforehand.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vigil.paper.matching.forms import LABEL_LENGTH_MAX
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
ARRIVALS_MAX = 100_000


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
    """The newest hundred thousand arrivals, oldest first; what is too long is no label.

    Args:
        is_kept: Whether anybody will ask; else nothing is noted.
    """

    def __init__(self, *, is_kept: bool = True) -> None:
        self.seen: deque[Arrival] = deque(maxlen=ARRIVALS_MAX if is_kept else 0)

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
    if isinstance(label, str) and len(label) <= LABEL_LENGTH_MAX:
        yield label
    linked = params.get("otoco_config")
    if isinstance(linked, list):
        for each in linked:
            if isinstance(each, dict):
                yield from _labels(each)
