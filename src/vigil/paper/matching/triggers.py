"""Trigger orders: when one fires, how a trailing stop follows the market, and what comes of it.

Source: Deribit API v2, trigger orders; a trailing stop follows the best price since it was placed
and fires when the reference has come back from there by `trigger_offset`.
"""

from dataclasses import replace
from decimal import Decimal

from vigil.domain.order import Direction, OrderType
from vigil.paper.account.orders import (
    PROTECTIVE_TYPES,
    TRIGGER_TYPES,
    FillCondition,
    OrderForm,
    OrderState,
    PaperOrder,
)
from vigil.paper.market.market import Market

_SPAWNED_TYPE = {
    OrderType.STOP_MARKET: OrderType.MARKET,
    OrderType.TAKE_MARKET: OrderType.MARKET,
    OrderType.TRAILING_STOP: OrderType.MARKET,
    OrderType.STOP_LIMIT: OrderType.LIMIT,
    OrderType.TAKE_LIMIT: OrderType.LIMIT,
}


def is_crossed(order: OrderForm | PaperOrder, market: Market) -> bool:
    """Whether the reference has reached the trigger price."""
    if order.order_type not in TRIGGER_TYPES or order.trigger_price is None:
        return False
    assert order.trigger is not None
    reference = market.reference(order.trigger)
    fires_above = (order.order_type in PROTECTIVE_TYPES) is (order.direction is Direction.BUY)
    if fires_above:
        return reference >= order.trigger_price
    return reference <= order.trigger_price


def trailing_price(direction: Direction, reference: Decimal, offset: Decimal) -> Decimal:
    """Where a trailing stop stands when `reference` is the best price so far."""
    return reference + direction.sign * offset


def started(order: PaperOrder, market: Market) -> PaperOrder:
    """A trigger order as it starts to wait: a trailing stop takes its place behind the market."""
    if order.order_type is not OrderType.TRAILING_STOP:
        return order
    assert order.trigger is not None
    assert order.trigger_offset is not None
    reference = market.reference(order.trigger)
    return replace(
        order,
        trigger_price=trailing_price(order.direction, reference, order.trigger_offset),
        trigger_reference_price=reference,
    )


def followed(order: PaperOrder, market: Market) -> PaperOrder:
    """A waiting order after a price move: a trailing stop comes after, never back."""
    if order.order_type is not OrderType.TRAILING_STOP:
        return order
    assert order.trigger is not None
    assert order.trigger_offset is not None
    assert order.trigger_price is not None
    reference = market.reference(order.trigger)
    behind = trailing_price(order.direction, reference, order.trigger_offset)
    if (behind - order.trigger_price) * order.direction.sign >= 0:
        return order
    return replace(order, trigger_price=behind)


def with_offset(order: PaperOrder, offset: Decimal) -> PaperOrder:
    """A trailing stop at another distance from the best price it has seen."""
    assert order.trigger_offset is not None
    assert order.trigger_price is not None
    best = order.trigger_price - order.direction.sign * order.trigger_offset
    return replace(
        order,
        trigger_offset=offset,
        trigger_price=trailing_price(order.direction, best, offset),
    )


def spawned(order: PaperOrder, market: Market, now_ms: int) -> PaperOrder:
    """The order that enters when a trigger order fires; it has no id yet.

    One of a pair that ends by any execution leaves its pair here; under the other conditions the
    pair goes on with it.
    """
    order_type = _SPAWNED_TYPE[order.order_type]
    leaves_pair = order.fill_condition in (None, FillCondition.FIRST_HIT)
    return replace(
        order,
        order_id="",
        order_type=order_type,
        state=OrderState.OPEN,
        price=market.bound(order.direction) if order_type is OrderType.MARKET else order.price,
        creation_timestamp_ms=now_ms,
        last_update_timestamp_ms=now_ms,
        trigger_order_id=order.order_id,
        oco_ref=None if leaves_pair else order.oco_ref,
        is_replaced=False,
    )
