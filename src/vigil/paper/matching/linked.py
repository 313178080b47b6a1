"""Linked orders: the secondaries that a fill brings to life, and what it leaves of a pair.

Source: Deribit API v2, linked orders: one triggers other, one cancels other, and both at once, each
under a condition on how much has to fill.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from vigil.domain.money import ZERO, round_down
from vigil.paper.account.orders import FillCondition, OrderState, PaperOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """A pending secondary that has to be placed now, and how much of it."""

    pending: PaperOrder
    amount: Decimal


def due_secondaries(
    primary: PaperOrder, pendings: Iterable[PaperOrder], contract_size: Decimal
) -> list[Activation]:
    """What the primary's fills so far bring to life, beyond what they brought before."""
    return [
        Activation(pending=pending, amount=amount)
        for pending in pendings
        if (amount := _due_amount(primary, pending, contract_size) - pending.activated_amount) > 0
    ]


def _due_amount(primary: PaperOrder, pending: PaperOrder, contract_size: Decimal) -> Decimal:
    match primary.fill_condition:
        case FillCondition.COMPLETE_FILL:
            return pending.amount if primary.state is OrderState.FILLED else ZERO
        case FillCondition.INCREMENTAL:
            share = pending.amount * primary.filled_amount / primary.amount
            return min(round_down(share, contract_size), pending.amount)
        case FillCondition.FIRST_HIT | None:
            return pending.amount if primary.filled_amount else ZERO


def remaining_of_other(
    order: PaperOrder, filled_now: Decimal, other: PaperOrder, contract_size: Decimal
) -> Decimal:
    """What a fill of one order of a pair leaves of the other; zero cancels it."""
    match order.fill_condition:
        case FillCondition.COMPLETE_FILL:
            return ZERO if order.state is OrderState.FILLED else other.remaining
        case FillCondition.INCREMENTAL:
            if order.state is OrderState.FILLED:
                return ZERO
            share = round_down(other.amount * filled_now / order.amount, contract_size)
            return max(other.remaining - share, ZERO)
        case FillCondition.FIRST_HIT | None:
            return ZERO
