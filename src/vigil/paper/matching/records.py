"""A form becomes an order: its record, and the id it gets.

Source: Deribit API v2, order objects; ids as recorded.
"""

from vigil.domain.order import Direction, OrderType
from vigil.paper.account.books import Books
from vigil.paper.account.orders import (
    STOP_TYPES,
    LinkedType,
    OrderForm,
    OrderState,
    Origin,
    PaperOrder,
)
from vigil.paper.market.instruments import Listing


def record_of(
    form: OrderForm, *, now_ms: int, connection_id: int | None, origin: Origin
) -> PaperOrder:
    """The record of a new order, without an id."""
    is_linked = form.linked_type is not None
    return PaperOrder(
        order_id="",
        instrument_name=form.instrument_name,
        direction=form.direction,
        order_type=form.order_type,
        amount=form.amount,
        state=OrderState.OPEN,
        creation_timestamp_ms=now_ms,
        last_update_timestamp_ms=now_ms,
        label=form.label,
        price=form.price,
        time_in_force=form.time_in_force,
        post_only=form.post_only,
        reject_post_only=form.reject_post_only,
        reduce_only=form.reduce_only,
        trigger=form.trigger,
        trigger_price=form.trigger_price,
        trigger_offset=form.trigger_offset,
        display_amount=form.display_amount,
        mmp=form.mmp,
        advanced=form.advanced,
        advanced_price=form.advanced_price,
        fill_condition=form.fill_condition if is_linked else None,
        is_primary_otoco=form.linked_type is LinkedType.OTOCO,
        connection_id=connection_id,
        origin=origin,
    )


def next_order_id(order: PaperOrder, listing: Listing, books: Books) -> str:
    """`USDC-74000000001`, or `USDC-SLMB-19001` for an order that waits for a trigger.

    The letters are stop, take or trailing, the reference, and the side that the order protects.
    Source: one recorded id of a sell stop on mark; the rest by analogy.
    """
    prefix = listing.id_prefix
    if not order.waits_for_trigger:
        return f"{prefix}{books.next_number('order', prefix)}"
    assert order.trigger is not None
    if order.order_type is OrderType.TRAILING_STOP:
        kind = "TS"
    else:
        kind = "SL" if order.order_type in STOP_TYPES else "TP"
    side = "B" if order.direction is Direction.SELL else "S"
    number = books.next_number("trigger")
    return f"{prefix}{kind}{order.trigger.value[0].upper()}{side}-{number}"
