"""May this order enter? The exchange's checks, in its order, each with its own error.

Nothing here changes the books. What comes back is the form as it will enter: a post-only price that
would take is moved inside the spread. Source: Deribit API v2, order semantics; PROTOCOL notes name
the reports behind each rule.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from vigil.domain.money import is_multiple
from vigil.domain.order import Direction, OrderType
from vigil.paper.account.books import Books
from vigil.paper.account.orders import (
    IMMEDIATE,
    LIMIT_TYPES,
    STOP_TYPES,
    TRIGGER_TYPES,
    LinkedType,
    OrderForm,
    PaperOrder,
)
from vigil.paper.market.instruments import Listing
from vigil.paper.market.market import Market
from vigil.paper.refusals import Refusal, invalid_param, invalid_reduce_only
from vigil.paper.switches import Switches

_LINKED_COUNT_MAX = {LinkedType.OTO: 2, LinkedType.OCO: 1, LinkedType.OTOCO: 2}
_LINKED_COUNT_MIN = {LinkedType.OTO: 1, LinkedType.OCO: 1, LinkedType.OTOCO: 2}


def admit(
    form: OrderForm,
    books: Books,
    markets: Mapping[str, Market],
    switches: Switches,
    *,
    now_ms: int,
    may_be_covered: bool = False,
) -> OrderForm:
    """Check a new order with its secondaries.

    With `may_be_covered`, other reduce-only orders may cover the position already.

    Raises: Refusal, naming the first rule that it breaks.
    """
    market = markets[form.instrument_name]
    if form.valid_until_ms is not None and now_ms > form.valid_until_ms:
        raise Refusal(13888, "timed_out")
    check_amount(market.listing, form.amount)
    check_prices(market.listing, form.price, form.trigger_price)
    _check_trigger(form)
    if form.price is not None and form.order_type not in TRIGGER_TYPES:
        check_band(market, form.direction, form.price)
    form = _with_post_only_price(form, market)
    if switches.crossed_trigger_is_refused and is_crossed(form, market):
        raise Refusal(11036, "invalid_trigger_price")
    if form.reduce_only:
        _check_reduce_only(form, books, switches, may_be_covered=may_be_covered)
    _check_linked(form, market.listing)
    return form


def check_amount(listing: Listing, amount: Decimal) -> None:
    """An amount must be positive, at least the minimum, and whole contracts."""
    instrument = listing.instrument
    if amount <= 0:
        raise invalid_param("amount")
    if amount < instrument.min_trade_amount:
        raise invalid_param("amount", f"value must be >= {instrument.min_trade_amount}")
    if not is_multiple(amount, instrument.contract_size):
        raise invalid_param("amount", "must be a multiple of the minimum order size")


def check_prices(listing: Listing, price: Decimal | None, trigger_price: Decimal | None) -> None:
    """Prices must be positive and on tick."""
    for name, value in (("price", price), ("trigger_price", trigger_price)):
        if value is None:
            continue
        if value <= 0:
            raise invalid_param(name)
        if not is_multiple(value, listing.instrument.tick_at(value)):
            raise invalid_param(name, "must conform to tick size")


def check_band(market: Market, direction: Direction, price: Decimal) -> None:
    """A buy may not be priced above the band, nor a sell below it."""
    if direction is Direction.BUY and price > market.max_price:
        raise Refusal(10007, f"price_too_high {market.max_price}")
    if direction is Direction.SELL and price < market.min_price:
        raise Refusal(10005, f"price_too_low {market.min_price}")


def would_take(market: Market, direction: Direction, price: Decimal) -> bool:
    """Whether a limit order at `price` meets an order of the book."""
    best = market.best_opposite(direction)
    return price >= best if direction is Direction.BUY else price <= best


def is_crossed(order: OrderForm | PaperOrder, market: Market) -> bool:
    """Whether the reference has reached the trigger price."""
    if order.order_type not in TRIGGER_TYPES:
        return False
    assert order.trigger is not None
    assert order.trigger_price is not None
    reference = market.reference(order.trigger)
    fires_above = (order.order_type in STOP_TYPES) is (order.direction is Direction.BUY)
    if fires_above:
        return reference >= order.trigger_price
    return reference <= order.trigger_price


def _check_trigger(form: OrderForm) -> None:
    if form.order_type in TRIGGER_TYPES:
        if form.trigger_price is None:
            raise invalid_param("trigger_price", "value required")
        if form.trigger is None:
            raise invalid_param("trigger", "value required")
    if form.order_type in LIMIT_TYPES and form.price is None:
        raise invalid_param("price", "value required")


def _with_post_only_price(form: OrderForm, market: Market) -> OrderForm:
    if not form.post_only:
        return form
    if form.order_type not in LIMIT_TYPES or form.time_in_force in IMMEDIATE:
        raise Refusal(11055, "post_only_not_allowed")
    if form.order_type is not OrderType.LIMIT:
        return form
    price = slid_price(market, form.direction, form.price, reject=form.reject_post_only)
    return replace(form, price=price)


def slid_price(
    market: Market, direction: Direction, price: Decimal | None, *, reject: bool
) -> Decimal:
    """A post-only price, moved to one tick inside when it would take.

    Raises: Refusal 11054 instead, when `reject` is set.
    """
    assert price is not None
    if not would_take(market, direction, price):
        return price
    if reject:
        raise Refusal(11054, "post_only_reject")
    best = market.best_opposite(direction)
    return best - direction.sign * market.listing.instrument.tick_at(best)


def _check_reduce_only(
    form: OrderForm, books: Books, switches: Switches, *, may_be_covered: bool
) -> None:
    if not books.position(form.instrument_name).reducible_by(form.direction):
        raise invalid_reduce_only()
    is_immediate = form.order_type is OrderType.MARKET or form.time_in_force in IMMEDIATE
    if may_be_covered or (is_immediate and not switches.covered_refuses_immediate):
        return
    if books.uncovered(form.instrument_name, form.direction) <= 0:
        raise invalid_reduce_only()


def _check_linked(form: OrderForm, listing: Listing) -> None:
    """Secondaries are checked for shape, not for the position: there is none yet."""
    if form.linked_type is None:
        return
    low, high = _LINKED_COUNT_MIN[form.linked_type], _LINKED_COUNT_MAX[form.linked_type]
    if not low <= len(form.linked) <= high:
        raise invalid_param("otoco_config")
    for secondary in form.linked:
        check_amount(listing, secondary.amount)
        check_prices(listing, secondary.price, secondary.trigger_price)
        _check_trigger(secondary)
