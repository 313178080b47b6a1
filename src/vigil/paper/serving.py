"""What the two halves of the server, WebSocket and HTTP, have in common and need of it."""

from dataclasses import dataclass
from typing import Protocol

from vigil.paper.faults.deeds import Deeds, Shell
from vigil.paper.faults.interference import Sending
from vigil.paper.faults.skew import SkewedClock
from vigil.paper.line import Line

# What is above the protocol's 32 kB still has to be read to be refused by name.
FRAME_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Received:
    """When a request came in: the exchange's wall time, and the loop's own to reckon with."""

    now_ms: int
    elapsed_s: float

    @classmethod
    def now(cls, clock: SkewedClock) -> "Received":
        """This moment."""
        return cls(clock.now_ms(), clock.elapsed_s())


class Serving(Shell, Protocol):
    """The server, as its halves know it."""

    deeds: Deeds

    def encode_reply(
        self, request_id: int | str | None, answer: object, received: Received
    ) -> bytes:
        """A reply with its times."""
        ...

    def send(self, line: Line, sending: Sending) -> None:
        """Send a frame over a line when it is due."""
        ...
