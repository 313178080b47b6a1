"""Which part of which fill belongs to a trade, and what the trade becomes of it.

Reached with all that is known of one trade: its own orders' fills, the shares the reconciler
assigned to it, and the mark of an estimated closing. Leaves as the complete list of its shares
and the trade they make. Each call decides from the whole set, so that fills which arrive twice,
late or in another order lead to the same trade.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from vigil.domain.money import ZERO
from vigil.domain.order import Fill, OwnOrder, Role
from vigil.domain.trade import (
    EXIT_REASON_BY_ROLE,
    ExitReason,
    FillShare,
    Trade,
    TradeStatus,
    close_at_estimate,
    settle,
)

_EXIT_REASONS = frozenset(reason.value for reason in ExitReason)


class Candidate(Struct, frozen=True, kw_only=True):
    """A fill that an order of the trade brought.

    Args:
        order: None for a fill of the order that a person named as the trade's entry.
        free_amount: What other trades have not taken of it.
    """

    fill: Fill
    order: OwnOrder | None
    free_amount: Decimal

    @property
    def is_entry(self) -> bool:
        """Whether it opens the trade."""
        return self.order is None or self.order.role is Role.ENTRY


class Estimate(Struct, frozen=True, kw_only=True):
    """A closing that no fill explained: the mark and the time it was booked at."""

    mark_price: Decimal
    at_ms: int


def opened_by(entry: OwnOrder, fill: Fill, siblings: Sequence[OwnOrder]) -> Trade:
    """The trade that an entry's first fill opens.

    Its protection is what was committed with the entry: the newest stop and target of the trade,
    whatever became of those orders since.
    """
    stop_loss = take_profit = None
    for order in siblings:
        if order.role is Role.STOP:
            stop_loss = order.trigger_price
        elif order.role is Role.TARGET:
            take_profit = order.price if order.price is not None else order.trigger_price
    return Trade(
        trade_id=entry.trade_id,
        strategy_id=entry.strategy_id,
        strategy_name=entry.strategy_name,
        instrument_name=entry.instrument_name,
        side=entry.direction,
        entry_order_id=fill.order_id,
        entry_price=fill.price,
        amount=fill.amount,
        entry_time_ms=fill.timestamp_ms,
        status=TradeStatus.OPEN,
        open_amount=fill.amount,
        stop_loss=stop_loss,
        take_profit=take_profit,
    )


def exit_reason(order: OwnOrder, fill: Fill) -> ExitReason:
    """Why a fill of our own closing order happened; a close may say so itself."""
    if fill.is_liquidation:
        return ExitReason.LIQUIDATION
    if order.role is Role.CLOSE and order.reason in _EXIT_REASONS:
        return ExitReason(order.reason)
    return EXIT_REASON_BY_ROLE[order.role]


def close_reason(order: OwnOrder) -> str | None:
    """The exit reason that a close carries from before it is sent."""
    is_told = order.role is Role.CLOSE and order.reason in _EXIT_REASONS
    return order.reason if is_told else None


def share_out(
    trade: Trade, candidates: Iterable[Candidate], assigned: Sequence[FillShare]
) -> tuple[FillShare, ...]:
    """All shares of the trade, from its own orders' fills and what the reconciler assigned.

    Entries give all that is free. Exits close until nothing is open, first those assigned, then
    our own orders' in the order they happened; what is left over of them belongs to no trade yet.
    """
    in_order = sorted(candidates, key=lambda candidate: _moment(candidate.fill))
    entries = [share for share in assigned if share.is_entry]
    entries += [
        FillShare(fill=candidate.fill, amount=candidate.free_amount, is_entry=True)
        for candidate in in_order
        if candidate.is_entry and candidate.fill.direction is trade.side and candidate.free_amount
    ]
    still_open = open_amount(trade, entries)
    exits = []
    for share in assigned:
        amount = ZERO if share.is_entry else min(share.amount, still_open)
        if amount > 0:
            still_open -= amount
            exits.append(replace(share, amount=amount))
    for candidate in in_order:
        order, fill = candidate.order, candidate.fill
        if order is None or candidate.is_entry or fill.direction is trade.side:
            continue
        amount = min(candidate.free_amount, still_open)
        if amount > 0:
            still_open -= amount
            reason = exit_reason(order, fill)
            exits.append(FillShare(fill=fill, amount=amount, is_entry=False, reason=reason))
    return (*entries, *exits)


def open_amount(trade: Trade, shares: Iterable[FillShare]) -> Decimal:
    """What the shares leave open; without entries among them the trade's own amount stands."""
    entered = exited = ZERO
    for share in shares:
        if share.is_entry:
            entered += share.amount
        else:
            exited += share.amount
    return (entered or trade.amount) - exited


def clamp(
    trade: Trade, shares: Sequence[FillShare], share: FillShare, free_amount: Decimal
) -> FillShare | None:
    """As much of a wanted share as the fill and the trade still have room for; None for nothing.

    The reconciler decided on a reading; fills that arrived since may have taken some of it.
    """
    amount = min(share.amount, free_amount)
    if not share.is_entry:
        amount = min(amount, open_amount(trade, shares))
    return replace(share, amount=amount) if amount > 0 else None


def rebuild(trade: Trade, shares: Sequence[FillShare], estimate: Estimate | None) -> Trade:
    """The trade as its shares make it; closed at the estimate's mark while they fall short.

    An estimate says that the exchange held nothing any more at its time. Fills that turn up
    later replace it part by part, and wholly once they close the trade; an entry after it opens
    the trade again.
    """
    has_exits = any(not share.is_entry for share in shares)
    if not trade.is_open and not has_exits and estimate is None:
        return trade  # closed by other evidence than fills, which they must not undo
    settled = settle(trade, shares)
    if estimate is None or not settled.is_open:
        return settled
    entered_ms = [share.fill.timestamp_ms for share in shares if share.is_entry]
    if entered_ms and max(entered_ms) > estimate.at_ms:
        return settled
    return close_at_estimate(settled, mark_price=estimate.mark_price, now_ms=estimate.at_ms)


def _moment(fill: Fill) -> tuple[int, int, str]:
    return fill.timestamp_ms, fill.trade_seq, fill.trade_id
