"""What is traded: units, ticks, steps, and every conversion between them.

Deribit's `amount` is USD for inverse futures and perpetuals, base coin for linear ones and for
options. Nothing outside this module converts between amounts, contracts and money.
Source: Deribit API v2, instruments; the order and instrument objects.
"""

from decimal import Decimal
from enum import StrEnum
from functools import lru_cache

from msgspec import Struct

from vigil.domain.money import ZERO, is_multiple, round_down, round_nearest, round_up

# Perpetuals carry this expiry on the wire. Source: recorded get_instrument payloads.
NEVER_EXPIRES_MS = 32_503_708_800_000


class Kind(StrEnum):
    """The family an instrument belongs to; perpetuals are futures on the wire."""

    FUTURE = "future"
    OPTION = "option"
    SPOT = "spot"
    FUTURE_COMBO = "future_combo"
    OPTION_COMBO = "option_combo"


class Contract(Struct, frozen=True, kw_only=True):
    """What an instrument's name alone says about money: which way profit is reckoned, and in what.

    Args:
        is_linear: Amounts in base coin and profit in the quote currency; else amounts in USD and
            profit in coin (futures), or amounts and premium in coin (options).
        is_option: Profit is reckoned on premiums.
        settlement_currency: Currency of profit, fees and margin.
    """

    is_linear: bool
    is_option: bool
    settlement_currency: str


@lru_cache(maxsize=4096)
def contract_of(instrument_name: str) -> Contract:
    """Read the contract from an instrument's name.

    `BTC-PERPETUAL` and `BTC-25DEC26` are inverse, settled in BTC; `BTC_USDC-PERPETUAL` is linear,
    settled in USDC; a name that ends in `-C` or `-P` is an option.
    Source: Deribit naming, `CUR-…` and `BASE_QUOTE-…`.
    """
    pair, _, rest = instrument_name.partition("-")
    base, has_quote, quote = pair.partition("_")
    return Contract(
        is_linear=bool(has_quote),
        is_option=rest.endswith(("-C", "-P")),
        settlement_currency=quote if has_quote else base,
    )


class TickStep(Struct, frozen=True, kw_only=True):
    """Above `above_price` the tick is `tick_size`."""

    above_price: Decimal
    tick_size: Decimal


class Instrument(Struct, frozen=True, kw_only=True):
    """One instrument as the exchange describes it.

    Args:
        contract_size: One contract, in the unit of `amount`.
        min_trade_amount: Smallest amount of an order, in the unit of `amount`.
        tick_size: Price step below the first entry of `tick_size_steps`.
        maker_commission: Fee rate on notional; negative is a rebate.
        expiration_timestamp_ms: `NEVER_EXPIRES_MS` for perpetuals.
    """

    instrument_name: str
    kind: Kind
    is_linear: bool
    base_currency: str
    quote_currency: str
    settlement_currency: str
    contract_size: Decimal
    min_trade_amount: Decimal
    tick_size: Decimal
    tick_size_steps: tuple[TickStep, ...] = ()
    maker_commission: Decimal = ZERO
    taker_commission: Decimal = ZERO
    max_leverage: int = 50
    expiration_timestamp_ms: int = NEVER_EXPIRES_MS
    price_index: str = ""
    is_active: bool = True

    @property
    def amount_unit(self) -> str:
        """Currency of `amount`: the base coin, or USD for inverse futures."""
        if self.is_linear or self.kind in (Kind.OPTION, Kind.OPTION_COMBO):
            return self.base_currency
        return "USD"

    @property
    def amount_step(self) -> Decimal:
        """What amounts are multiples of: one contract, or less where less can be traded.

        Options have contracts of one coin and trade tenths of it.
        """
        return min(self.contract_size, self.min_trade_amount)

    def tick_at(self, price: Decimal) -> Decimal:
        """The price step that applies at `price`."""
        tick = self.tick_size
        for step in self.tick_size_steps:
            if price > step.above_price:
                tick = step.tick_size
        return tick

    def round_price_down(self, price: Decimal) -> Decimal:
        """The nearest tick at or below `price`."""
        return round_down(price, self.tick_at(price))

    def round_price_up(self, price: Decimal) -> Decimal:
        """The nearest tick at or above `price`."""
        return round_up(price, self.tick_at(price))

    def round_price(self, price: Decimal) -> Decimal:
        """The tick nearest to `price`."""
        return round_nearest(price, self.tick_at(price))

    def amount_for_notional(self, notional_usd: Decimal, price: Decimal) -> Decimal:
        """The amount worth at most `notional_usd` at `price`, rounded down to the step.

        Returns zero when the notional does not reach `min_trade_amount`. USDC and USDT count
        as dollars here.
        """
        raw = notional_usd / price if self.amount_unit != "USD" else notional_usd
        amount = round_down(raw, self.amount_step)
        return amount if amount >= self.min_trade_amount else ZERO

    def notional_usd(self, amount: Decimal, price: Decimal) -> Decimal:
        """What `amount` is worth in USD at `price`."""
        return amount if self.amount_unit == "USD" else amount * price

    def contracts(self, amount: Decimal) -> Decimal:
        """Number of contracts in `amount`."""
        return amount / self.contract_size

    def refusal_of_amount(self, amount: Decimal) -> str | None:
        """Why the exchange would refuse `amount`, with units; None when it would not."""
        unit = self.amount_unit
        if not amount.is_finite() or amount <= 0:
            return f"amount {amount} {unit} is not positive"
        if amount < self.min_trade_amount:
            return f"amount {amount} {unit} is below the minimum {self.min_trade_amount} {unit}"
        if not is_multiple(amount, self.amount_step):
            return f"amount {amount} {unit} is not a multiple of {self.amount_step} {unit}"
        return None
