"""Methods that place and change orders: buy, sell, edit, close.

Source: Deribit API v2, trading methods; shapes of results from recorded replies.
"""

from typing import Any

from vigil.domain.order import Direction, OrderType
from vigil.paper.account.orders import OrderForm
from vigil.paper.matching.execution import Execution
from vigil.paper.matching.forms import read_edit, read_label, read_order
from vigil.paper.methods.calls import Call, Methods
from vigil.paper.refusals import Refusal, invalid_reduce_only, order_not_found
from vigil.paper.wire import render


def _buy(call: Call) -> dict[str, Any]:
    return _place(call, Direction.BUY)


def _sell(call: Call) -> dict[str, Any]:
    return _place(call, Direction.SELL)


def _place(call: Call, direction: Direction) -> dict[str, Any]:
    exchange = call.exchange
    form = read_order(call.params, direction, call.market().listing, exchange.switches)
    execution = exchange.engine.place(
        form, now_ms=call.now_ms, connection_id=call.session.connection_id
    )
    return _executed(call, execution)


def _edit(call: Call) -> dict[str, Any]:
    return _edit_order(call, call.params.text("order_id"))


def _edit_by_label(call: Call) -> dict[str, Any]:
    name = call.market().listing.name
    label = read_label(call.params)
    matching = [
        order
        for order in call.exchange.books.labelled(label)
        if order.instrument_name == name and order.is_live
    ]
    if not matching:
        raise order_not_found()
    if len(matching) > 1:
        raise Refusal(13032, "non_unique_order_label")
    return _edit_order(call, matching[0].order_id)


def _edit_order(call: Call, order_id: str) -> dict[str, Any]:
    valid_until_ms = call.params.timestamp_or_none("valid_until")
    engine = call.exchange.engine
    order = engine.live_order(order_id, now_ms=call.now_ms)
    listing = call.exchange.catalogue.by_name[order.instrument_name]
    edited = read_edit(call.params, order, listing)
    execution = engine.apply_edit(edited, now_ms=call.now_ms, valid_until_ms=valid_until_ms)
    return _executed(call, execution)


def _close_position(call: Call) -> dict[str, Any]:
    """Reduce-only by nature, whatever other orders cover the position."""
    listing = call.market().listing
    order_type = OrderType(call.params.choice("type", ("limit", "market")))
    price = call.params.number("price") if order_type is OrderType.LIMIT else None
    position = call.exchange.books.position(listing.name)
    if position.side is None:
        raise invalid_reduce_only()
    form = OrderForm(
        instrument_name=listing.name,
        direction=position.side.opposite,
        order_type=order_type,
        amount=abs(position.size),
        price=price,
        reduce_only=True,
    )
    execution = call.exchange.engine.place(
        form,
        now_ms=call.now_ms,
        connection_id=call.session.connection_id,
        may_be_covered=True,
    )
    return _executed(call, execution)


def _executed(call: Call, execution: Execution) -> dict[str, Any]:
    catalogue = call.exchange.catalogue
    return {
        "order": render.order(execution.order, catalogue),
        "trades": [render.trade(trade, catalogue) for trade in execution.trades],
    }


TRADING_METHODS: Methods = {
    "private/buy": _buy,
    "private/sell": _sell,
    "private/edit": _edit,
    "private/edit_by_label": _edit_by_label,
    "private/close_position": _close_position,
}
