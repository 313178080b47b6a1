"""May this order enter? The exchange's checks, in its order, each with its own error.

Nothing here changes the books. What comes back is the form as it will enter: a post-only price that
would take is moved inside the spread, a price named in dollars is reckoned in coin.
Source: Deribit API v2, order semantics.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

from vigil.domain.order import OrderType, TimeInForce
from vigil.paper.account.books import Books
from vigil.paper.account.orders import (
    IMMEDIATE,
    LIMIT_TYPES,
    TRIGGER_TYPES,
    LinkedType,
    OrderForm,
    PaperOrder,
)
from vigil.paper.market.market import Market
from vigil.paper.matching.form_checks import (
    check_advanced,
    check_amount,
    check_display,
    check_prices,
    check_trigger,
    reckoned_price,
)
from vigil.paper.matching.gates import check_may_enter
from vigil.paper.matching.pricing import check_band, slid_price
from vigil.paper.matching.triggers import is_crossed
from vigil.paper.refusals import (
    Refusal,
    invalid_param,
    invalid_reduce_only,
    invalid_trigger_price,
)
from vigil.paper.switches import Switches

_LINKED_COUNTS = {LinkedType.OTO: (1, None), LinkedType.OCO: (1, 1), LinkedType.OTOCO: (2, 2)}


def admit(
    form: OrderForm,
    books: Books,
    markets: Mapping[str, Market],
    switches: Switches,
    *,
    now_ms: int,
    locked_indexes: Collection[str] = (),
    may_be_covered: bool = False,
) -> OrderForm:
    """Check a new order with its secondaries.

    With `may_be_covered`, other reduce-only orders may cover the position already.

    Raises: Refusal, naming the first rule that it breaks.
    """
    market = markets[form.instrument_name]
    check_may_enter(market, locked_indexes, switches)
    if books.is_liquidating(market.listing.currency):
        raise Refusal(10072, "disabled_while_position_lock")
    check_not_late(form.valid_until_ms, now_ms)
    form = _fit(form, market, switches)
    form = _fit_to_market(form, market, switches)
    if form.reduce_only:
        _check_reduce_only(form, books, switches, may_be_covered=may_be_covered)
    form = _with_linked(form, market, switches)
    _check_room(form, books, switches)
    return form


def admit_edit(edited: PaperOrder, books: Books, market: Market, switches: Switches) -> PaperOrder:
    """Check an edited order by itself; whether the market allows it is seen when it enters.

    Returns: The order with its price in coin.
    Raises: Refusal, naming the first rule that it breaks.
    """
    if edited.is_liquidation:
        raise Refusal(10046, "can_not_edit_liquidation_order")
    check_amount(market.listing, edited.amount, switches)
    if edited.amount <= edited.filled_amount:
        raise Refusal(10021, "invalid_amount")
    if edited.advanced is not None and edited.advanced_price is not None:
        price = reckoned_price(edited.advanced, edited.advanced_price, market)
        edited = replace(edited, price=price)
    check_prices(market.listing, edited, switches)
    check_display(edited, market.listing)
    _check_offset(edited, market)
    if edited.post_only and edited.time_in_force is not TimeInForce.GOOD_TIL_CANCELLED:
        raise Refusal(11055, "post_only_not_allowed")
    was_reduce_only = books.orders[edited.order_id].reduce_only
    if edited.reduce_only and not was_reduce_only and not edited.is_pending:
        name, direction = edited.instrument_name, edited.direction
        if books.uncovered(name, direction) <= 0:
            raise invalid_reduce_only()
    return edited


def check_not_late(valid_until_ms: int | None, now_ms: int) -> None:
    """The engine starts a request only before its time is over. Raises: Refusal 13888."""
    if valid_until_ms is not None and now_ms > valid_until_ms:
        raise Refusal(13888, "timed_out")


def _fit(form: OrderForm, market: Market, switches: Switches) -> OrderForm:
    """What an order must be by itself, wherever the market is."""
    listing = market.listing
    check_amount(listing, form.amount, switches)
    check_advanced(form, listing)
    check_trigger(form)
    if form.advanced is not None and form.advanced_price is not None:
        price = reckoned_price(form.advanced, form.advanced_price, market)
        form = replace(form, price=price)
    check_prices(listing, form, switches)
    check_display(form, listing)
    _check_offset(form, market)
    _check_post_only(form)
    if form.mmp and form.order_type is not OrderType.LIMIT:
        raise invalid_param("mmp")
    return form


def _fit_to_market(form: OrderForm, market: Market, switches: Switches) -> OrderForm:
    """What the present market allows of an order that enters now."""
    if form.order_type is OrderType.LIMIT:
        assert form.price is not None
        check_band(market, form.direction, form.price)
        if form.post_only:
            price = slid_price(market, form.direction, form.price, reject=form.reject_post_only)
            form = replace(form, price=price)
    if switches.crossed_trigger_is_refused and is_crossed(form, market):
        raise invalid_trigger_price()
    return form


def _check_offset(order: OrderForm | PaperOrder, market: Market) -> None:
    """A trailing stop cannot follow from farther away than there is price. Raises: Refusal."""
    if order.trigger_offset is not None:
        assert order.trigger is not None
        if order.trigger_offset >= market.reference(order.trigger):
            raise invalid_param("trigger_offset")


def _check_post_only(form: OrderForm) -> None:
    if form.reject_post_only and not form.post_only:
        raise invalid_param("reject_post_only")
    if not form.post_only:
        return
    is_lasting = form.time_in_force is TimeInForce.GOOD_TIL_CANCELLED
    if form.order_type not in LIMIT_TYPES or not is_lasting:
        raise Refusal(11055, "post_only_not_allowed")


def _check_reduce_only(
    form: OrderForm, books: Books, switches: Switches, *, may_be_covered: bool
) -> None:
    if not books.position(form.instrument_name).reducible_by(form.direction):
        raise invalid_reduce_only()
    is_immediate = (
        form.order_type in (OrderType.MARKET, OrderType.MARKET_LIMIT)
        or form.time_in_force in IMMEDIATE
    )
    if may_be_covered or (is_immediate and not switches.covered_refuses_immediate):
        return
    if books.uncovered(form.instrument_name, form.direction) <= 0:
        raise invalid_reduce_only()


def _with_linked(form: OrderForm, market: Market, switches: Switches) -> OrderForm:
    """Secondaries are checked for shape, not for the position: there is none yet.

    The other of a pair enters at once, so the present market has to allow it.
    """
    if form.linked_type is None:
        return form
    least, most = _LINKED_COUNTS[form.linked_type]
    if len(form.linked) < least or (most is not None and len(form.linked) > most):
        raise invalid_param("otoco_config")
    linked = tuple(_fit(secondary, market, switches) for secondary in form.linked)
    if form.linked_type is LinkedType.OCO:
        linked = tuple(_fit_to_market(secondary, market, switches) for secondary in linked)
    return replace(form, linked=linked)


def _check_room(form: OrderForm, books: Books, switches: Switches) -> None:
    """An account may have so many orders, triggers, and secondaries in waiting."""
    entering = [form]
    waiting: tuple[OrderForm, ...] = ()
    if form.linked_type is LinkedType.OCO:
        entering.extend(form.linked)
    else:
        waiting = form.linked
    records = books.order_records
    if records.live_count() + len(entering) > switches.open_orders_max:
        raise Refusal(10013, f"pme_max_total_open_orders {switches.open_orders_max}")
    new_triggers = sum(item.order_type in TRIGGER_TYPES for item in entering)
    if new_triggers:
        triggers = sum(order.waits_for_trigger for order in records.live())
        if triggers + new_triggers > switches.trigger_orders_max:
            raise Refusal(11035, f"no_more_triggers {switches.trigger_orders_max}")
    if waiting and len(records.pending()) + len(waiting) > switches.pending_orders_max:
        raise Refusal(13901, "no_more_oto_orders")
