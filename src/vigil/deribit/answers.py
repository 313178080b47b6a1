"""What the answers to orders, edits and cancels prove.

An answer that is about another order than was asked for, or that cannot be read, proves nothing:
the request may have been carried out.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from vigil.deribit import wire
from vigil.deribit.classify import outcome_of
from vigil.deribit.jsonrpc import ErrorReply, Reply
from vigil.deribit.outcome import CancelledMany, Confirmed, MassOutcome, Outcome, Refused, Unknown
from vigil.domain.order import Fill, Order

_Placed = tuple[Order, tuple[Fill, ...]]


def _to_cancelled_one(raw: msgspec.Raw) -> _Placed:
    return wire.to_order(raw), ()


# The methods that act on one order, and what their answers hold.
READERS: Mapping[str, Callable[[msgspec.Raw], _Placed]] = {
    "private/buy": wire.to_placed,
    "private/sell": wire.to_placed,
    "private/edit": wire.to_placed,
    "private/cancel": _to_cancelled_one,
}


def outcome(method: str, params: Mapping[str, Any], reply: Reply | ErrorReply) -> Outcome:
    """What an answer to one of `READERS` proves."""
    if isinstance(reply, ErrorReply):
        return outcome_of(reply)
    try:
        order, fills = READERS[method](reply.result)
    except wire.Unreadable as error:
        return Unknown(reason=str(error))
    for name, told in (
        ("label", order.label),
        ("order_id", order.order_id),
        ("instrument_name", order.instrument_name),
    ):
        if params.get(name, told) != told:
            return Unknown(reason=f"{method}: the answer is about {name} {told!r}")
    return Confirmed(order=order, fills=fills)


def mass_outcome(reply: Reply | ErrorReply) -> MassOutcome:
    """What an answer to a mass cancellation proves: a list in detail, or a count."""
    if isinstance(reply, ErrorReply):
        refused = outcome_of(reply)
        assert isinstance(refused, Refused | Unknown), refused
        return refused
    try:
        if not bytes(reply.result).startswith(b"["):
            return CancelledMany(count=wire.to_count(reply.result))
        orders, failures = wire.to_cancelled(reply.result)
    except wire.Unreadable as error:
        return Unknown(reason=str(error))
    return CancelledMany(count=len(orders), orders=orders, failures=failures)
