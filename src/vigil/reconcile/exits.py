"""How a position really ended: which fills of others closed which trade of ours.

Fills of our own orders are booked to their trades by label before anyone looks here. What is left
are fills that no order of ours made: a person in the web page, another client, a liquidation.
"""

from collections.abc import Sequence
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from vigil.domain.money import ZERO
from vigil.domain.order import Fill
from vigil.domain.trade import ExitReason, FillShare, Trade


class LooseFill(Struct, frozen=True, kw_only=True):
    """A fill, and how much of it belongs to no trade yet."""

    fill: Fill
    amount: Decimal


class ExplainedExit(Struct, frozen=True, kw_only=True):
    """Fills that closed all or part of a trade from outside."""

    trade: Trade
    shares: tuple[FillShare, ...]

    @property
    def amount(self) -> Decimal:
        """How much of the trade they closed, in the instrument's unit."""
        return sum((share.amount for share in self.shares), ZERO)


def explain(
    trades: Sequence[Trade], shortage: Decimal, loose: Sequence[LooseFill]
) -> tuple[ExplainedExit, ...]:
    """Share fills out to the trades that they closed.

    Args:
        trades: Open trades of one instrument and side, in the order in which they are closed.
        shortage: How much less the exchange holds than the trades say, positive.
        loose: Fills of the same instrument.

    The newest reductions explain a shortage: an older one had its effect on some position that an
    earlier pass has already agreed with. Within them the oldest trade is closed first, and no
    trade by a fill from before it was opened. Fills are matched by instrument, direction and
    order of time, never by a window of time alone.
    """
    if not trades:
        return ()
    direction = trades[0].side.opposite
    chosen: list[LooseFill] = []
    wanted = shortage
    for candidate in sorted(loose, key=_age, reverse=True):
        if wanted <= 0:
            break
        if candidate.fill.direction is not direction:
            continue
        amount = min(candidate.amount, wanted, _room(trades, chosen, candidate.fill))
        if amount > 0:
            chosen.append(LooseFill(fill=candidate.fill, amount=amount))
            wanted -= amount
    shares: dict[str, list[FillShare]] = {trade.trade_id: [] for trade in trades}
    open_amounts = {trade.trade_id: trade.open_amount for trade in trades}
    for candidate in sorted(chosen, key=_age):
        left = candidate.amount
        for trade in trades:
            amount = min(left, open_amounts[trade.trade_id])
            if amount <= 0 or trade.entry_time_ms > candidate.fill.timestamp_ms:
                continue
            shares[trade.trade_id].append(_exit_share(candidate.fill, amount))
            open_amounts[trade.trade_id] -= amount
            left -= amount
    return tuple(
        ExplainedExit(trade=trade, shares=tuple(shares[trade.trade_id]))
        for trade in trades
        if shares[trade.trade_id]
    )


def explain_late(
    closed: Trade, shares: Sequence[FillShare], loose: Sequence[LooseFill]
) -> ExplainedExit | None:
    """What turned up after `closed` was closed by an estimate; None when nothing did.

    Args:
        shares: What the trade has so far.
        loose: Fills of its instrument. Those after the estimate are none of its own: the
            exchange held nothing of it any more.
    """
    entered = sum((share.amount for share in shares if share.is_entry), ZERO) or closed.amount
    exited = sum((share.amount for share in shares if not share.is_entry), ZERO)
    assert closed.exit_time_ms is not None
    before = [one for one in loose if one.fill.timestamp_ms <= closed.exit_time_ms]
    reopened = replace(closed, open_amount=entered - exited)
    return next(iter(explain([reopened], reopened.open_amount, before)), None)


def _room(trades: Sequence[Trade], chosen: Sequence[LooseFill], fill: Fill) -> Decimal:
    """How much of `fill` the trades can still take beside the newer fills in `chosen`.

    A fill closes only trades from before it, so at every moment the fills up to it must fit into
    the trades that were open then.
    """
    taken = ZERO
    room = _open_at(trades, fill.timestamp_ms)
    for newer in reversed(chosen):  # oldest first
        taken += newer.amount
        room = min(room, _open_at(trades, newer.fill.timestamp_ms) - taken)
    return room


def _open_at(trades: Sequence[Trade], moment_ms: int) -> Decimal:
    return sum((trade.open_amount for trade in trades if trade.entry_time_ms <= moment_ms), ZERO)


def _age(loose: LooseFill) -> tuple[int, int]:
    return (loose.fill.timestamp_ms, loose.fill.trade_seq)


def _exit_share(fill: Fill, amount: Decimal) -> FillShare:
    reason = ExitReason.LIQUIDATION if fill.is_liquidation else ExitReason.MANUAL
    return FillShare(fill=fill, amount=amount, is_entry=False, reason=reason)
