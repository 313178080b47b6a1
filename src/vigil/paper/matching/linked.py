"""Linked orders: the secondaries that a fill brings to life, and what it leaves of a pair.

Source: Deribit API v2, linked orders: one triggers other, one cancels other, and both at once, each
under a condition on how much has to fill.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from vigil.domain.money import ZERO, round_down
from vigil.paper.account.orders import FillCondition, OrderState, PaperOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """A pending secondary that has to be placed now, and how much of it."""

    pending: PaperOrder
    amount: Decimal


def due_secondaries(
    primary: PaperOrder, pendings: Iterable[PaperOrder], amount_step: Decimal
) -> list[Activation]:
    """What the primary's fills so far bring to life, beyond what they brought before."""
    return [
        Activation(pending=pending, amount=amount)
        for pending in pendings
        if (amount := _due_amount(primary, pending, amount_step) - pending.activated_amount) > 0
    ]


def _due_amount(primary: PaperOrder, pending: PaperOrder, amount_step: Decimal) -> Decimal:
    match primary.fill_condition:
        case FillCondition.COMPLETE_FILL:
            return pending.amount if primary.state is OrderState.FILLED else ZERO
        case FillCondition.INCREMENTAL:
            share = pending.amount * primary.filled_amount / primary.amount
            return min(round_down(share, amount_step), pending.amount)
        case FillCondition.FIRST_HIT | None:
            return pending.amount if primary.filled_amount else ZERO


def activated(
    item: Activation, primary: PaperOrder, pair_ref: str | None, now_ms: int
) -> PaperOrder:
    """The order that a pending secondary becomes, as far as it is due; it has no id yet.

    It belongs to the connection that placed it, as its primary does.
    """
    return replace(
        item.pending,
        order_id="",
        amount=item.amount,
        state=OrderState.OPEN,
        is_pending=False,
        activated_amount=ZERO,
        primary_order_id=primary.order_id,
        oco_ref=pair_ref,
        creation_timestamp_ms=now_ms,
        last_update_timestamp_ms=now_ms,
    )


def remaining_of_other(
    order: PaperOrder, filled_now: Decimal, other: PaperOrder, amount_step: Decimal
) -> Decimal:
    """What a fill of one order of a pair leaves of the other; zero cancels it."""
    match order.fill_condition:
        case FillCondition.COMPLETE_FILL:
            return ZERO if order.state is OrderState.FILLED else other.remaining
        case FillCondition.INCREMENTAL:
            if order.state is OrderState.FILLED:
                return ZERO
            # Of what was left of both: the other's amount shrank with earlier fills.
            share = other.remaining * filled_now / (order.remaining + filled_now)
            return max(other.remaining - round_down(share, amount_step), ZERO)
        case FillCondition.FIRST_HIT | None:
            return ZERO
