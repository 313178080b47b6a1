"""What an order must be by itself: whole contracts, prices on tick, complete triggers.

Source: Deribit API v2, order parameters. A wrong amount or price was reported as -32602 with reason
and parameter; the error table has codes of its own, which a switch turns on.
"""

from decimal import Decimal

from vigil.domain.instrument import Kind
from vigil.domain.money import is_multiple
from vigil.domain.order import OrderType
from vigil.paper.account.orders import (
    LIMIT_TYPES,
    TRIGGER_TYPES,
    Advanced,
    OrderForm,
    PaperOrder,
)
from vigil.paper.market.instruments import Listing
from vigil.paper.market.market import Market
from vigil.paper.refusals import Refusal, invalid_param
from vigil.paper.switches import Switches

# Of an iceberg: shown at least so many minimum amounts, and at least a hundredth of the whole.
# Source: Deribit, order management, iceberg orders.
_DISPLAY_MINIMUMS = 100
_HIDDEN_MAX = 100


def check_amount(listing: Listing, amount: Decimal, switches: Switches) -> None:
    """An amount must be positive, at least the minimum, and whole contracts. Raises: Refusal."""
    instrument = listing.instrument
    has_codes = switches.form_errors_have_own_codes
    if amount <= 0:
        raise Refusal(10021, "invalid_amount") if has_codes else invalid_param("amount")
    if amount < instrument.min_trade_amount:
        if has_codes:
            raise Refusal(10002, "qty_too_low")
        raise invalid_param("amount", f"value must be >= {instrument.min_trade_amount}")
    if not is_multiple(amount, instrument.amount_step):
        if has_codes:
            raise Refusal(10027, "non_integer_contract_amount")
        raise invalid_param("amount", "must be a multiple of the minimum order size")


def check_prices(listing: Listing, order: OrderForm | PaperOrder, switches: Switches) -> None:
    """Prices must be positive and on tick. Raises: Refusal."""
    has_codes = switches.form_errors_have_own_codes
    trigger_price = order.trigger_price
    if order.order_type is OrderType.TRAILING_STOP:
        trigger_price = None  # follows the reference, which has no ticks
    for name, value, word, code in (
        ("price", order.price, "price_wrong_tick", 10043),
        ("trigger_price", trigger_price, "trigger_price_wrong_tick", 10044),
        ("trigger_offset", order.trigger_offset, "trigger_price_wrong_tick", 10044),
    ):
        if value is None:
            continue
        if value <= 0:
            raise Refusal(10023, "invalid_price") if has_codes else invalid_param(name)
        if not is_multiple(value, listing.instrument.tick_at(value)):
            if has_codes:
                raise Refusal(code, word)
            raise invalid_param(name, "must conform to tick size")


def check_trigger(form: OrderForm) -> None:
    """What the order's type needs must be there. Raises: Refusal."""
    if form.order_type in TRIGGER_TYPES:
        is_trailing = form.order_type is OrderType.TRAILING_STOP
        if is_trailing and form.trigger_offset is None:
            raise invalid_param("trigger_offset", "value required")
        if not is_trailing and form.trigger_price is None:
            raise invalid_param("trigger_price", "value required")
        if form.trigger is None:
            raise invalid_param("trigger", "value required")
    has_price = form.price is not None or form.advanced_price is not None
    if form.order_type in LIMIT_TYPES and not has_price:
        raise invalid_param("price", "value required")


def check_display(order: OrderForm | PaperOrder, listing: Listing) -> None:
    """An iceberg shows enough of itself, and rests. Raises: Refusal."""
    shown = order.display_amount
    if shown is None:
        return
    instrument = listing.instrument
    if order.order_type not in LIMIT_TYPES:
        raise Refusal(11047, "unsupported_arg_combination")
    if instrument.kind is Kind.OPTION and shown != order.amount:
        raise Refusal(11048, "wrong_max_show_for_option")
    if not is_multiple(shown, instrument.amount_step) or shown > order.amount:
        raise Refusal(10036, "invalid_max_show_amount")
    if shown < _DISPLAY_MINIMUMS * instrument.min_trade_amount:
        raise Refusal(10036, "invalid_max_show_amount")
    if order.amount - shown >= _HIDDEN_MAX * shown:
        raise Refusal(10036, "invalid_max_show_amount")


def check_advanced(form: OrderForm, listing: Listing) -> None:
    """Prices in dollars or volatility are for limit orders of options. Raises: Refusal."""
    if form.advanced is None:
        return
    if listing.instrument.kind is not Kind.OPTION:
        raise Refusal(11038, "no_adv_for_futures")
    if form.post_only:
        raise Refusal(11039, "no_adv_postonly")
    if form.order_type is not OrderType.LIMIT:
        raise Refusal(11047, "unsupported_arg_combination")
    if form.advanced is Advanced.USD and listing.contract.is_linear:
        raise invalid_param("advanced")
    if form.advanced_price is not None and form.advanced_price <= 0:
        raise invalid_param("price")


def reckoned_price(advanced: Advanced, named: Decimal, market: Market) -> Decimal:
    """An option's price on tick, from one named in dollars or as a volatility in percent.

    At least one tick, below which there is no price.
    """
    match advanced:
        case Advanced.USD:
            price = named / market.index_price
        case Advanced.IMPLIED_VOLATILITY:
            price = market.option_quote.price_at(float(named) / 100)
    instrument = market.listing.instrument
    return max(instrument.round_price(price), instrument.tick_size)
