"""Realised profit, from entry and exit prices, for every contract family.

All results are gross of fees and funding and in the contract's settlement currency.
Source: Deribit knowledge base, inverse and linear perpetuals and futures, options.
"""

from collections.abc import Iterable
from decimal import Decimal

from vigil.domain.instrument import Contract
from vigil.domain.money import ZERO
from vigil.domain.order import Direction


def gross_pnl(
    contract: Contract,
    side: Direction,
    amount: Decimal,
    entry_price: Decimal,
    exit_price: Decimal,
) -> Decimal:
    """Profit of closing `amount` of a position held on `side`, unrounded; negative is a loss.

    Inverse futures: `amount` is USD, profit is coin: amount x (1/entry - 1/exit).
    Linear futures and options of both kinds: amount x (exit - entry), where an option's prices
    are premiums in its settlement currency.

    Raises: decimal.DecimalException, when an inverse price is zero.
    """
    if contract.is_linear or contract.is_option:
        return side.sign * amount * (exit_price - entry_price)
    return side.sign * (amount / entry_price - amount / exit_price)


def option_payoff(
    contract: Contract, *, strike: Decimal, is_call: bool, delivery_price: Decimal
) -> Decimal:
    """What one unit of an option is worth at expiry, in its settlement currency, unrounded.

    Linear: max(0, S - K) of a call, max(0, K - S) of a put; inverse: that amount over S, in coin.

    Raises: decimal.DecimalException, when the delivery price of an inverse option is zero.
    """
    intrinsic = max(delivery_price - strike if is_call else strike - delivery_price, ZERO)
    return intrinsic if contract.is_linear else intrinsic / delivery_price


def average_price(contract: Contract, parts: Iterable[tuple[Decimal, Decimal]]) -> Decimal | None:
    """The price at which one fill would equal all `(amount, price)` parts; None without parts.

    Total cost over total quantity. The cost of an inverse contract is coin, so its average is
    the harmonic mean.
    """
    is_inverse = not (contract.is_linear or contract.is_option)
    total = cost = ZERO
    prices: set[Decimal] = set()
    for amount, price in parts:
        prices.add(price)
        total += amount
        cost += amount / price if is_inverse else amount * price
    if not total:
        return None
    if len(prices) == 1:  # exact, where dividing back and forth would leave a last digit
        return prices.pop()
    return total / cost if is_inverse else cost / total
