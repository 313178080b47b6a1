"""What a refusal tells of the order that was to be changed, or of the position to be reduced."""

from vigil.deribit.outcome import Outcome, Refused, Verdict

# The order is gone already: filled, cancelled, fired or forgotten. Which one must be read.
# Source: Deribit, `order_not_found`, `already_closed`, `already_filled`, `not_open_order`.
GONE = frozenset({10004, 10010, 11008, 11044})

# Refused because there is no position to reduce, or other reduce-only orders cover all of it.
# Source: Deribit, error 11030 `other_reject`.
OTHER_REJECT = 11030
NOTHING_TO_REDUCE = "invalid_reduce_only_order"


def is_nothing_to_reduce(outcome: Outcome) -> bool:
    """Whether the exchange refused a reduce-only order for want of a position to reduce."""
    return (
        isinstance(outcome, Refused)
        and outcome.code == OTHER_REJECT
        and NOTHING_TO_REDUCE in outcome.message
    )


def is_flat_already(outcome: Outcome) -> bool:
    """Whether the position that was to be closed or protected was found to be gone already."""
    is_stale = isinstance(outcome, Refused) and outcome.verdict is Verdict.STALE
    return is_stale and is_nothing_to_reduce(outcome)
