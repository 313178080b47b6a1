"""The account's net position in one instrument, and what fills do to it.

Profit and averages come from `domain.pnl`, so that the exchange's figures and a client's are the
same to the last digit.
"""

from dataclasses import dataclass
from decimal import Decimal

from vigil.domain.instrument import Contract
from vigil.domain.money import ZERO, round_nearest, round_settlement
from vigil.domain.order import Direction
from vigil.domain.pnl import average_price, gross_pnl

# Position figures of inverse contracts are built from coin sizes with nine decimals.
# Source: derived from recorded positions, e.g. 40 USD from 112585.87 to 109266.97.
COIN_QUANTUM = Decimal("0.000000001")

_PARTS_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperPosition:
    """A net position.

    Args:
        size: Signed, in the instrument's unit.
        parts: What the position was opened by, as (amount, price); empty when flat.
        realized_profit_loss: This session's, in settlement currency; stays when flat.
    """

    instrument_name: str
    size: Decimal = ZERO
    parts: tuple[tuple[Decimal, Decimal], ...] = ()
    realized_profit_loss: Decimal = ZERO

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
    """What one fill did.

    Args:
        closed_amount: The part that closed; the rest opened.
        profit_loss: Of that part, eight decimals, in settlement currency.
    """

    position: PaperPosition
    closed_amount: Decimal
    profit_loss: Decimal


def entry_price(contract: Contract, position: PaperPosition) -> Decimal | None:
    """Average entry, unrounded; harmonic for inverse contracts. None when flat."""
    return average_price(contract, position.parts)


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
    size = position.size + direction.sign * amount
    profit_loss = realized = ZERO
    parts = position.parts
    if closed:
        entry, side = entry_price(contract, position), position.side
        assert entry is not None
        assert side is not None
        profit_loss = round_settlement(gross_pnl(contract, side, closed, entry, price))
        realized = _position_pnl(contract, side, closed, entry, price)
        left = abs(position.size) - closed
        parts = ((left, entry),) if left else ()
    if opened:
        parts = _with_part(contract, parts, opened, price)
    return FillEffect(
        position=PaperPosition(
            instrument_name=position.instrument_name,
            size=size,
            parts=parts,
            realized_profit_loss=position.realized_profit_loss + realized,
        ),
        closed_amount=closed,
        profit_loss=profit_loss,
    )


def floating_pnl(contract: Contract, position: PaperPosition, mark_price: Decimal) -> Decimal:
    """Profit at mark, in settlement currency, rounded as positions show it."""
    entry, side = entry_price(contract, position), position.side
    if entry is None or side is None:
        return ZERO
    return _position_pnl(contract, side, abs(position.size), entry, mark_price)


def _position_pnl(
    contract: Contract, side: Direction, amount: Decimal, entry: Decimal, at: Decimal
) -> Decimal:
    if contract.is_linear or contract.is_option:
        return round_settlement(gross_pnl(contract, side, amount, entry, at))
    sizes = (round_nearest(amount / price, COIN_QUANTUM) for price in (entry, at))
    return side.sign * (next(sizes) - next(sizes))


def _with_part(
    contract: Contract,
    parts: tuple[tuple[Decimal, Decimal], ...],
    amount: Decimal,
    price: Decimal,
) -> tuple[tuple[Decimal, Decimal], ...]:
    """Add a part; equal prices share one, and a long list is folded into its average."""
    merged = {known: held for held, known in parts}
    merged[price] = merged.get(price, ZERO) + amount
    if len(merged) > _PARTS_MAX:
        folded = tuple((held, known) for known, held in merged.items())
        average = average_price(contract, folded)
        assert average is not None
        return ((sum(merged.values(), ZERO), average),)
    return tuple((held, known) for known, held in merged.items())
