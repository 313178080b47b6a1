"""Errors as replies: who can do something about it decides the status."""

from dataclasses import dataclass

from vigil.errors import Misconfigured, OutcomeUnknown, Rejected, Transient, VigilError
from vigil.telemetry.status import StateFileRefused, UnknownStrategy
from vigil.web.requests import BadRequest


@dataclass(kw_only=True, eq=False)
class Failure(Exception):
    """A reply that is not a success, on its way out.

    Args:
        field: The parameter or key at fault.
        fix: What to do about it.
        headers: To send besides the usual ones.
    """

    status: int
    code: str
    message: str
    field: str | None = None
    fix: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


def failure_of(error: VigilError) -> Failure:
    """The reply for each family of errors."""
    message = str(error)
    match error:
        case BadRequest():
            return Failure(
                status=400,
                code="bad_request",
                message=message,
                field=error.field,
                fix=error.fix,
            )
        case UnknownStrategy():
            return Failure(status=404, code="unknown_strategy", message=message, field="id")
        case StateFileRefused():
            problem = error.problem
            return Failure(
                status=409,
                code="state_file_refused",
                message=message,
                field=problem.field,
                fix=problem.fix,
            )
        case Transient():
            return Failure(status=503, code="unavailable", message=message, fix="ask again soon")
        case OutcomeUnknown():
            return Failure(
                status=502,
                code="outcome_unknown",
                message=message,
                fix="it will be resolved by reconciliation; look before asking again",
            )
        case Rejected():
            return Failure(status=409, code="rejected", message=message)
        case Misconfigured():
            return Failure(status=409, code="misconfigured", message=message)
        case _:
            return Failure(status=500, code="failed", message=message)
