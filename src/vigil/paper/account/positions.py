"""The account's net position in one instrument, and what fills do to it.

Profit and averages come from `domain.pnl`, so that the exchange's figures and a client's are the
same to the last digit. A position has two entry prices: its average, which outlives settlements,
and what it is worth since the last one, on which the session's profit is reckoned.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

from vigil.domain.instrument import Contract
from vigil.domain.money import ZERO, round_nearest, round_settlement
from vigil.domain.order import Direction
from vigil.domain.pnl import average_price, gross_pnl

# Position figures of inverse contracts are built from coin sizes with nine decimals.
# Source: derived from recorded positions, e.g. 40 USD from 112585.87 to 109266.97.
COIN_QUANTUM = Decimal("0.000000001")

_PARTS_MAX = 64

Parts = tuple[tuple[Decimal, Decimal], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperPosition:
    """A net position. Money is in settlement currency, sessions end at settlement.

    Args:
        size: Signed, in the instrument's unit.
        parts: What the position was opened by, as (amount, price); empty when flat.
        session_parts: The same since the last settlement, what was held then at its settlement
            price; None while no settlement has passed over it.
        realized_profit_loss: This session's as positions show it; stays when flat.
        session_rpl: This session's as booked: profit of closing trades, and funding.
        realized_funding: This session's part of that.
    """

    instrument_name: str
    size: Decimal = ZERO
    parts: Parts = ()
    session_parts: Parts | None = None
    realized_profit_loss: Decimal = ZERO
    session_rpl: Decimal = ZERO
    realized_funding: Decimal = ZERO

    @property
    def side(self) -> Direction | None:
        """The direction that opened it; None when flat."""
        if not self.size:
            return None
        return Direction.BUY if self.size > 0 else Direction.SELL

    def reducible_by(self, direction: Direction) -> Decimal:
        """How much an order in `direction` can close."""
        return abs(self.size) if self.side is direction.opposite else ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class FillEffect:
    """What one fill did. Profits have eight decimals and are in settlement currency.

    Args:
        closed_amount: The part that closed; the rest opened.
        profit_loss: Of that part, since the last settlement.
        average_profit_loss: Of that part, against the average entry.
    """

    position: PaperPosition
    closed_amount: Decimal
    profit_loss: Decimal
    average_profit_loss: Decimal


def entry_price(contract: Contract, position: PaperPosition) -> Decimal | None:
    """Average entry, unrounded; harmonic for inverse contracts. None when flat."""
    return average_price(contract, position.parts)


def session_price(contract: Contract, position: PaperPosition) -> Decimal | None:
    """What the session's profit is reckoned from: entry, or the last settlement price."""
    return average_price(contract, _session_parts(position))


def apply_fill(
    contract: Contract,
    position: PaperPosition,
    direction: Direction,
    amount: Decimal,
    price: Decimal,
) -> FillEffect:
    """The position after a fill; one that crosses zero closes first and then opens."""
    closed = min(amount, position.reducible_by(direction))
    opened = amount - closed
    profit_loss = average_profit_loss = realized = ZERO
    parts, session_parts = position.parts, position.session_parts
    if closed:
        entry, since = entry_price(contract, position), session_price(contract, position)
        side = position.side
        assert entry is not None
        assert since is not None
        assert side is not None
        profit_loss = round_settlement(gross_pnl(contract, side, closed, since, price))
        average_profit_loss = round_settlement(gross_pnl(contract, side, closed, entry, price))
        realized = _position_pnl(contract, side, closed, since, price)
        left = abs(position.size) - closed
        parts = ((left, entry),) if left else ()
        session_parts = ((left, since),) if left and session_parts is not None else None
    if opened:
        parts = _with_part(contract, parts, opened, price)
        if session_parts is not None:
            session_parts = _with_part(contract, session_parts, opened, price)
    return FillEffect(
        position=replace(
            position,
            size=position.size + direction.sign * amount,
            parts=parts,
            session_parts=session_parts,
            realized_profit_loss=position.realized_profit_loss + realized,
            session_rpl=position.session_rpl + profit_loss,
        ),
        closed_amount=closed,
        profit_loss=profit_loss,
        average_profit_loss=average_profit_loss,
    )


def with_funding(position: PaperPosition, received: Decimal) -> PaperPosition:
    """The position after funding was paid to it (negative: by it)."""
    return replace(
        position,
        session_rpl=position.session_rpl + received,
        realized_funding=position.realized_funding + received,
    )


def settled(position: PaperPosition, settlement_price: Decimal) -> PaperPosition:
    """The position at the start of a new session; size and average stay."""
    held = ((abs(position.size), settlement_price),) if position.size else None
    return replace(
        position,
        session_parts=held,
        realized_profit_loss=ZERO,
        session_rpl=ZERO,
        realized_funding=ZERO,
    )


def floating_pnl(contract: Contract, position: PaperPosition, mark_price: Decimal) -> Decimal:
    """Profit at mark since the last settlement, rounded as positions show it."""
    return _open_pnl(contract, position, session_price(contract, position), mark_price)


def total_pnl(contract: Contract, position: PaperPosition, mark_price: Decimal) -> Decimal:
    """Profit at mark against the average entry, rounded as positions show it."""
    return _open_pnl(contract, position, entry_price(contract, position), mark_price)


def option_value(position: PaperPosition, mark_price: Decimal) -> Decimal:
    """What an option position is worth at mark; negative when it was sold."""
    return position.size * mark_price


def _session_parts(position: PaperPosition) -> Parts:
    return position.parts if position.session_parts is None else position.session_parts


def _open_pnl(
    contract: Contract, position: PaperPosition, since: Decimal | None, at: Decimal
) -> Decimal:
    side = position.side
    if since is None or side is None:
        return ZERO
    return _position_pnl(contract, side, abs(position.size), since, at)


def _position_pnl(
    contract: Contract, side: Direction, amount: Decimal, entry: Decimal, at: Decimal
) -> Decimal:
    if contract.is_linear or contract.is_option:
        return round_settlement(gross_pnl(contract, side, amount, entry, at))
    sizes = (round_nearest(amount / price, COIN_QUANTUM) for price in (entry, at))
    return side.sign * (next(sizes) - next(sizes))


def _with_part(contract: Contract, parts: Parts, amount: Decimal, price: Decimal) -> Parts:
    """Add a part; equal prices share one, and a long list is folded into its average."""
    merged = {known: held for held, known in parts}
    merged[price] = merged.get(price, ZERO) + amount
    if len(merged) > _PARTS_MAX:
        folded = tuple((held, known) for known, held in merged.items())
        average = average_price(contract, folded)
        assert average is not None
        return ((sum(merged.values(), ZERO), average),)
    return tuple((held, known) for known, held in merged.items())
