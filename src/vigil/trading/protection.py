"""Where the stop and the target of a position belong."""

from decimal import Decimal

from msgspec import Struct

from vigil.domain.instrument import Instrument
from vigil.domain.order import Direction
from vigil.domain.trade import Trade


class Bracket(Struct, frozen=True, kw_only=True):
    """Trigger price of the stop, and limit price of the target if there is one."""

    stop_price: Decimal
    target_price: Decimal | None


def bracket(
    instrument: Instrument,
    side: Direction,
    price: Decimal,
    *,
    stop_loss_percent: Decimal,
    take_profit_percent: Decimal | None,
) -> Bracket:
    """Stop and target at a distance in percent from `price`, rounded to ticks towards it."""
    down = instrument.round_price_down
    up = instrument.round_price_up
    away, toward = (down, up) if side is Direction.BUY else (up, down)
    stop = price * (1 - side.sign * stop_loss_percent / 100)
    target = (
        None if take_profit_percent is None else price * (1 + side.sign * take_profit_percent / 100)
    )
    return Bracket(stop_price=toward(stop), target_price=None if target is None else away(target))


def is_beyond_stop(trade: Trade, mark_price: Decimal) -> bool:
    """Whether a stop at the trade's `stop_loss` would fire at once."""
    if trade.stop_loss is None:
        return False
    return (mark_price - trade.stop_loss) * trade.side.sign <= 0


def is_tighter(trade: Trade, stop_price: Decimal) -> bool:
    """Whether `stop_price` protects more than the stop the trade has. A stop never loosens."""
    if trade.stop_loss is None:
        return True
    return (stop_price - trade.stop_loss) * trade.side.sign > 0
