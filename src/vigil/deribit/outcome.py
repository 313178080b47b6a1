"""What became of an order, edit or cancel: the three answers, and nothing between them.

Only `Refused` may end an intent. `Unknown` is neither failed nor empty: the request may rest at
the exchange, and is settled by asking for its label.
"""

from enum import StrEnum

from msgspec import Struct

from vigil.domain.order import Fill, Order

# Not an exchange code: the request never left this machine, so nothing can have come of it.
NOT_SENT = 0


class Verdict(StrEnum):
    """What an error lets its caller do next."""

    REFUSED = "refused"  # a definite no: the request is wrong, or a limit or lock forbids it
    STALE = "stale"  # a definite no, because the order or book has changed: read it again
    AUTH_FAILURE = "auth_failure"  # a definite no: this session is not, or no longer, logged in
    FORBIDDEN = "forbidden"  # a definite no: the key lacks the right, which only a person can give
    RETRY_LATER = "retry_later"  # not now; whether an order was taken is not proven
    SESSION_LOST = "session_lost"  # the exchange is about to end the session; no proof either
    AMBIGUOUS = "ambiguous"  # nothing can be concluded


class Confirmed(Struct, frozen=True, kw_only=True):
    """The exchange did it, and this is the order now.

    Args:
        fills: Executions that came with the reply; others may follow as events.
    """

    order: Order
    fills: tuple[Fill, ...] = ()


class Refused(Struct, frozen=True, kw_only=True):
    """The exchange did not do it and never will; or nothing was sent (`NOT_SENT`).

    Args:
        code: The exchange's error code.
        message: Its words, with the reason it gave.
        verdict: What may be done next; RETRY_LATER for what was not sent and may be, later.
    """

    code: int
    message: str
    verdict: Verdict = Verdict.REFUSED


class Unknown(Struct, frozen=True, kw_only=True):
    """Sent, and not proven either way.

    Args:
        verdict: Of the error that came back; None when no answer came, or none we understood.
            What may be repeated without harm, such as a cancel, may be after RETRY_LATER.
        code: Of that error.
    """

    reason: str
    verdict: Verdict | None = None
    code: int | None = None


Outcome = Confirmed | Refused | Unknown


class CancelledMany(Struct, frozen=True, kw_only=True):
    """A mass cancellation was carried out, as far as `failures` do not say otherwise.

    Args:
        count: Of orders that it ended.
        orders: Those orders, when the exchange told of them in detail.
        failures: Where it failed, in words: what rests there is unknown.
    """

    count: int
    orders: tuple[Order, ...] = ()
    failures: tuple[str, ...] = ()


MassOutcome = CancelledMany | Refused | Unknown


class LateReply(Struct, frozen=True, kw_only=True):
    """What the exchange said of an order, edit or cancel after its caller had given up.

    Args:
        label: Of the order that was to be placed; None for an edit or a cancel.
        order_id: Of the order that was to be edited or cancelled; None for a new one.
    """

    method: str
    label: str | None
    order_id: str | None
    outcome: Outcome
