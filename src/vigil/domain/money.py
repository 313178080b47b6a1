"""Exact amounts: rounding that says which way, and money that knows its currency."""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

from msgspec import Struct

ZERO = Decimal(0)

# Trades report fees and profit with eight decimals, in coin and in USDC alike.
# Source: recorded user trades, e.g. fee 6.0e-8 BTC and 0.010347 USDC.
SETTLEMENT_QUANTUM = Decimal("0.00000001")


def round_down(value: Decimal, step: Decimal) -> Decimal:
    """The nearest multiple of `step` at or below `value` (towards minus infinity)."""
    return (value / step).to_integral_value(ROUND_FLOOR) * step


def round_up(value: Decimal, step: Decimal) -> Decimal:
    """The nearest multiple of `step` at or above `value` (towards plus infinity)."""
    return (value / step).to_integral_value(ROUND_CEILING) * step


def round_nearest(value: Decimal, step: Decimal) -> Decimal:
    """The multiple of `step` nearest to `value`; halves go to the even multiple."""
    return (value / step).to_integral_value(ROUND_HALF_EVEN) * step


def round_settlement(value: Decimal) -> Decimal:
    """A cash amount as the exchange books it: eight decimals, halves to even."""
    return value.quantize(SETTLEMENT_QUANTUM, ROUND_HALF_EVEN)


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Whether `value` is a whole number of steps."""
    return value % step == 0


def decimal_text(value: Decimal) -> str:
    """Canonical text: plain notation, no trailing zeros, no negative zero."""
    if value == 0:
        return "0"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


class Money(Struct, frozen=True, kw_only=True):
    """An amount of one currency. Adding two currencies raises ValueError."""

    amount: Decimal
    currency: str

    def __add__(self, other: "Money") -> "Money":
        self._require_same_currency(other)
        return Money(amount=self.amount + other.amount, currency=self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._require_same_currency(other)
        return Money(amount=self.amount - other.amount, currency=self.currency)

    def _require_same_currency(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise ValueError(f"cannot combine {self.currency} with {other.currency}")
