"""What trading and delivery cost, by kind of instrument; all in settlement currency.

Source: Deribit fees: rate x notional, options by their underlying and never above 12.5 % of what
they cost or are worth; a total of 1 % where futures are liquidated. Rates of trades stand in the
instrument and may be negative.
"""

from decimal import Decimal

from vigil.domain.instrument import Kind
from vigil.domain.money import ZERO, round_settlement
from vigil.paper.market.instruments import Listing

# Of a liquidated future, the trade's own fee included; and on top of it for a liquidated option,
# where only an older schedule is known.
LIQUIDATION_COMMISSION = Decimal("0.01")
_OPTION_LIQUIDATION_SURCHARGE = Decimal("0.0019")

# Of block trades in futures and perpetuals; options pay there as they do in the book.
BLOCK_COMMISSION = Decimal("0.00025")

_FUTURE_DELIVERY = Decimal("0.00025")
_OPTION_DELIVERY = Decimal("0.00015")
_OPTION_CAP = Decimal("0.125")


def notional(listing: Listing, amount: Decimal, price: Decimal, index_price: Decimal) -> Decimal:
    """What fee rates are multiplied with.

    Futures by their price: coin where inverse, the quote currency where linear. Options by their
    underlying: one coin each where inverse, its index price where linear.
    """
    if listing.contract.is_option:
        return amount * index_price if listing.contract.is_linear else amount
    return amount * price if listing.contract.is_linear else amount / price


def trade_fee(
    listing: Listing,
    amount: Decimal,
    price: Decimal,
    index_price: Decimal,
    *,
    is_maker: bool,
    is_liquidation: bool = False,
    is_block: bool = False,
) -> Decimal:
    """The fee of one execution, eight decimals; negative is a rebate."""
    instrument, is_option = listing.instrument, listing.contract.is_option
    rate = instrument.maker_commission if is_maker else instrument.taker_commission
    if is_liquidation and not is_option:
        rate = LIQUIDATION_COMMISSION
    elif is_block and not is_option:
        rate = BLOCK_COMMISSION
    base = notional(listing, amount, price, index_price)
    fee = rate * base
    if is_option:
        fee = min(fee, _OPTION_CAP * amount * price)
        if is_liquidation:
            fee += _OPTION_LIQUIDATION_SURCHARGE * base
    return round_settlement(fee)


def delivery_fee(
    listing: Listing, size: Decimal, delivery_price: Decimal, value: Decimal
) -> Decimal:
    """The fee of a delivery; none for weekly futures.

    Args:
        delivery_price: Of the index.
        value: What one unit of an option is worth at that price.
    """
    amount = abs(size)
    base = notional(listing, amount, delivery_price, delivery_price)
    if listing.instrument.kind is Kind.OPTION:
        return round_settlement(min(_OPTION_DELIVERY * base, _OPTION_CAP * amount * value))
    if listing.settlement_period == "week":
        return ZERO
    return round_settlement(_FUTURE_DELIVERY * base)
