"""An order that would meet one of the account's own: who gives way.

Source: Deribit API v2, `self_trading_reject_mode`: `cancel_maker` cancels the order in the book,
`reject_taker` ends the incoming one; `order_overlap` since May 2026.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from vigil.domain.money import ZERO
from vigil.paper.account.orders import PaperOrder
from vigil.paper.market.depth import Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """What an entering order finds.

    Args:
        levels: What it may take of others' orders.
        met: The account's own orders that it would reach, best first.
    """

    levels: list[Level]
    met: tuple[PaperOrder, ...] = ()


def meet(order: PaperOrder, levels: list[Level], resting: Iterable[PaperOrder]) -> Meeting:
    """Which of the account's `resting` orders an order reaches before it is filled.

    At one price, others come first.
    """
    opposite = [other for other in resting if _can_meet(order, other)]
    opposite.sort(key=lambda other: _rank(order, other))
    met = []
    for other in opposite:
        before = sum(
            (amount for price, amount in levels if not _is_behind(order, price, other)), ZERO
        )
        if before >= order.remaining:
            break
        met.append(other)
    return Meeting(levels=levels, met=tuple(met))


def before_own(order: PaperOrder, meeting: Meeting) -> list[Level]:
    """What an order may take until it reaches the first of the account's own."""
    if not meeting.met:
        return meeting.levels
    first = meeting.met[0]
    return [level for level in meeting.levels if not _is_behind(order, level[0], first)]


def _can_meet(order: PaperOrder, other: PaperOrder) -> bool:
    if other.direction is order.direction or other.waits_for_trigger or not other.is_live:
        return False
    assert order.price is not None
    assert other.price is not None
    return (order.price - other.price) * order.direction.sign >= 0


def _is_behind(order: PaperOrder, price: Decimal, other: PaperOrder) -> bool:
    """Whether a level is worse for the entering order than the price of its own resting one."""
    return price * order.direction.sign > _rank(order, other)


def _rank(order: PaperOrder, other: PaperOrder) -> Decimal:
    """Small for what the entering order meets first."""
    assert other.price is not None
    return other.price * order.direction.sign
