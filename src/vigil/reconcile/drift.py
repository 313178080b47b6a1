"""The kinds of difference between ledger and exchange, each with one remedy.

`compare` finds them, `remedies` mends them, `notices` tells people of them.
"""

from decimal import Decimal
from typing import assert_never

from msgspec import Struct

from vigil.domain.money import decimal_text
from vigil.domain.order import Order, OwnOrder, Role
from vigil.domain.trade import Trade
from vigil.reconcile.exits import ExplainedExit


class Orphan(Struct, frozen=True, kw_only=True):
    """A trade was closed, in whole or in part, by fills that are not ours. Book them to it."""

    exit: ExplainedExit

    @property
    def trade(self) -> Trade:
        """The trade that was closed."""
        return self.exit.trade


class Vanished(Struct, frozen=True, kw_only=True):
    """The exchange does not hold the trade and no fill says why.

    Close it at mark, once a second source agrees.
    """

    trade: Trade


class Unexplained(Struct, frozen=True, kw_only=True):
    """The exchange holds less of a trade than we know, and no fill says why. Tell people."""

    trade: Trade
    missing_amount: Decimal


class Naked(Struct, frozen=True, kw_only=True):
    """An open trade without a resting stop. Place its stop and target again."""

    trade: Trade


class Targetless(Struct, frozen=True, kw_only=True):
    """A resting stop that was one of a pair and has lost its target. Place both again.

    A stop that was placed alone, because the exchange refused the pair, is none of these.
    """

    trade: Trade


class Crossed(Struct, frozen=True, kw_only=True):
    """The price is beyond where the stop belongs, and none rests there. Close at market."""

    trade: Trade
    mark_price: Decimal


class Unfilled(Struct, frozen=True, kw_only=True):
    """A stop that has fired, and what it was to close is still held. Close at market."""

    trade: Trade
    order: OwnOrder


class Unreadable(Struct, frozen=True, kw_only=True):
    """A listed stop whose state is told in a word that nobody here knows. Tell people.

    It is left where it is, as it most likely rests; once the price is beyond it, it is `Crossed`.
    """

    trade: Trade
    order: Order


class Unprotectable(Struct, frozen=True, kw_only=True):
    """An open trade for which nobody ever said where its stop belongs. Tell people."""

    trade: Trade


class Misfit(Struct, frozen=True, kw_only=True):
    """A resting stop or target of the wrong size or price. Edit it."""

    trade: Trade
    order: Order
    role: Role


class Leftover(Struct, frozen=True, kw_only=True):
    """An order of ours that has nothing to do any more, or is over by the ledger. Cancel it."""

    order: Order


class Unrecorded(Struct, frozen=True, kw_only=True):
    """An order with our label that the ledger does not know. Cancel it and tell people."""

    order: Order


class Silent(Struct, frozen=True, kw_only=True):
    """An order that rests by the ledger but not at the exchange. Ask what became of it."""

    order: OwnOrder


class Stillborn(Struct, frozen=True, kw_only=True):
    """A linked order that its filled parent should have brought to life. Record that it failed."""

    order: OwnOrder


class ForeignPosition(Struct, frozen=True, kw_only=True):
    """A position that no trade of ours explains. Never touched; tell people."""

    instrument_name: str
    size: Decimal


class ForeignOrder(Struct, frozen=True, kw_only=True):
    """An order without our label. Never touched; tell people."""

    order: Order


class Unsettled(Struct, frozen=True, kw_only=True):
    """Too fresh or in doubt: left for the next pass."""

    instrument_name: str
    why: str


SizeDrift = Orphan | Vanished | Unexplained | ForeignPosition | Unsettled

Drift = (
    SizeDrift
    | Naked
    | Targetless
    | Crossed
    | Unfilled
    | Unprotectable
    | Misfit
    | Leftover
    | Unrecorded
    | Silent
    | Stillborn
    | Unreadable
    | ForeignOrder
)

# What is concluded from something not being there, or from the ledger being right about it.
_CONCLUSIONS = (Orphan, Vanished, Silent, Stillborn, Leftover, Unrecorded)

_TOLD_ONLY = (
    ForeignOrder,
    ForeignPosition,
    Unexplained,
    Unprotectable,
    Unreadable,
    Unsettled,
    Vanished,
)


def is_mended_by_us(drift: Drift) -> bool:
    """Whether the drift has a remedy of its own, beyond telling people."""
    return not isinstance(drift, _TOLD_ONLY)


def is_conclusion(drift: Drift) -> bool:
    """Whether its remedy ends something, so that it has to wait while history is in question."""
    return isinstance(drift, _CONCLUSIONS)


def describe(drift: Drift) -> str:
    """The drift in one line."""
    match drift:
        case Orphan(exit=exit_):
            what = f"{decimal_text(exit_.amount)} closed by fills of others"
            return f"orphan trade {exit_.trade.trade_id}: {what}"
        case Vanished(trade=trade):
            return f"orphan trade {trade.trade_id}: not at the exchange, no fill found"
        case Unexplained(trade=trade, missing_amount=amount):
            return f"trade {trade.trade_id}: {decimal_text(amount)} missing, no fill found"
        case Naked(trade=trade):
            return f"trade {trade.trade_id}: no stop rests at the exchange"
        case Targetless(trade=trade):
            return f"trade {trade.trade_id}: no target rests at the exchange"
        case Crossed(trade=trade, mark_price=mark_price):
            return f"trade {trade.trade_id}: mark {decimal_text(mark_price)} is beyond its stop"
        case Unfilled(trade=trade, order=own):
            return f"trade {trade.trade_id}: stop {own.label} has fired and did not fill"
        case Unprotectable(trade=trade):
            return f"trade {trade.trade_id}: has no stop_loss, so none can be placed"
        case Unreadable(trade=trade, order=order):
            words = ", ".join(str(word) for word in order.strange_words)
            return (
                f"trade {trade.trade_id}: nobody can tell whether stop {order.order_id} protects "
                f"it, {words or 'its state is unknown'}"
            )
        case Misfit(trade=trade, role=role, order=order):
            return (
                f"trade {trade.trade_id}: {role.value} {order.order_id} has the wrong size or price"
            )
        case Leftover(order=order):
            return f"leftover order {order.order_id} {order.label}"
        case Unrecorded(order=order):
            return f"order {order.order_id} {order.label} is not in the ledger"
        case Silent(order=own):
            return f"order {own.order_id} {own.label} rests in the ledger only"
        case Stillborn(order=own):
            return f"linked order {own.label} never came to life"
        case ForeignPosition(instrument_name=name, size=size):
            return f"foreign position {decimal_text(size)} in {name}"
        case ForeignOrder(order=order):
            return f"foreign order {order.order_id} in {order.instrument_name}"
        case Unsettled(instrument_name=name, why=why):
            return f"{name}: {why}"
        case _:
            assert_never(drift)
