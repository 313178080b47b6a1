"""The account as the exchange shows it: net positions and cash."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSummary:
    """Cash and margin in one currency, all in that currency."""

    currency: str
    balance: Decimal
    equity: Decimal
    available_funds: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
