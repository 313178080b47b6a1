"""The account as the exchange shows it: net positions and cash."""

from decimal import Decimal

from msgspec import Struct


class Position(Struct, frozen=True, kw_only=True):
    """The account's net position in one instrument.

    Args:
        size: Signed, in the instrument's unit; negative is short, zero is flat.
        average_price: None when flat.
    """

    instrument_name: str
    size: Decimal
    average_price: Decimal | None
    mark_price: Decimal
    realized_profit_loss: Decimal
    floating_profit_loss: Decimal


class AccountSummary(Struct, frozen=True, kw_only=True):
    """Cash and margin in one currency, all in that currency."""

    currency: str
    balance: Decimal
    equity: Decimal
    available_funds: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
