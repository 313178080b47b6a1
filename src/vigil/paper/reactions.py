"""What the venue answers its server with: replies, notifications, hang-ups, requests that wait."""

from dataclasses import dataclass
from typing import Any

from vigil.paper.methods.calls import Call
from vigil.paper.notify.publishing import Push
from vigil.paper.session.queue import Ticket

# Never sent: the line is cut without a close frame, which the other side sees as this code.
CUT = 1006


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp:
    """End a connection with a close frame, or without one when `code` is `CUT`."""

    connection_id: int
    code: int
    reason: str


Outgoing = Push | HangUp


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A request that was let in and is not carried out yet."""

    call: Call
    method: str
    ticket: Ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """What a request leads to.

    Args:
        answer: The result, or the Refusal in its place.
        has_reply: False for the one method that has none, and while the request waits.
        before, after: Messages to send before and after the reply.
        waiting: What to hand to `Venue.resume` when its time has come.
    """

    answer: Any = None
    has_reply: bool = True
    before: tuple[Outgoing, ...] = ()
    after: tuple[Outgoing, ...] = ()
    waiting: Waiting | None = None
