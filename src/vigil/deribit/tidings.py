"""What a refusal tells beyond its own order: a lock that every order meets, facts that are not so.

Source: Deribit API v2, RPC error codes.
"""

from enum import StrEnum

from vigil.deribit.outcome import Outcome, Refused, Unknown, Verdict


class Tidings(StrEnum):
    """What somebody else should know of."""

    ACCOUNT_LOCKED = "account_locked"
    MAINTENANCE = "maintenance"
    FACTS = "facts"  # tick, amount or state of the instrument are not what we think


_MEANINGS = {
    10019: Tidings.ACCOUNT_LOCKED,  # locked_by_admin
    10072: Tidings.ACCOUNT_LOCKED,  # disabled_while_position_lock
    11098: Tidings.ACCOUNT_LOCKED,  # account_locked
    11051: Tidings.MAINTENANCE,  # system_maintenance
    # A wrong amount or price, or an instrument that is not what it was.
    10002: Tidings.FACTS,
    10012: Tidings.FACTS,
    10020: Tidings.FACTS,
    10021: Tidings.FACTS,
    10022: Tidings.FACTS,
    10023: Tidings.FACTS,
    10026: Tidings.FACTS,
    10027: Tidings.FACTS,
    10031: Tidings.FACTS,
    10043: Tidings.FACTS,
    10044: Tidings.FACTS,
    11046: Tidings.FACTS,
    13019: Tidings.FACTS,
    13020: Tidings.FACTS,
    -32602: Tidings.FACTS,
}


def tidings_of(outcome: Outcome) -> Tidings | None:
    """What an order's outcome tells beyond itself; None for most.

    An error whose code and words contradict each other tells nothing.
    """
    match outcome:
        case Refused(code=code) | Unknown(code=int(code), verdict=Verdict.RETRY_LATER):
            return _MEANINGS.get(code)
        case _:
            return None


def words_of(outcome: Refused | Unknown) -> str:
    """What the exchange said, for people."""
    if isinstance(outcome, Refused):
        return f"{outcome.code} {outcome.message}"
    return outcome.reason
