"""Methods that change orders: buy, sell, edit, cancel, close.

Source: Deribit API v2, trading methods; shapes of results from recorded replies.
"""

from collections.abc import Iterable
from typing import Any

from vigil.domain.instrument import Kind
from vigil.domain.order import Direction, OrderType
from vigil.paper.account.orders import STOP_TYPES, OrderForm, PaperOrder
from vigil.paper.market.instruments import LISTING_BY_NAME
from vigil.paper.matching.admission import check_amount, check_prices
from vigil.paper.matching.execution import Execution
from vigil.paper.matching.forms import read_edit, read_label, read_order
from vigil.paper.methods.calls import Call, Methods
from vigil.paper.refusals import Refusal, invalid_reduce_only, order_not_found
from vigil.paper.wire import render
from vigil.paper.wire.params import Params

CANCEL_TYPES = ("all", "limit", "trigger_all", "stop", "take", "trailing_stop")
KINDS = ("any", *(kind.value for kind in Kind))


def _buy(call: Call) -> dict[str, Any]:
    return _place(call, Direction.BUY)


def _sell(call: Call) -> dict[str, Any]:
    return _place(call, Direction.SELL)


def _place(call: Call, direction: Direction) -> dict[str, Any]:
    form = read_order(call.params, direction, call.market().listing)
    execution = call.exchange.engine.place(
        form, now_ms=call.now_ms, connection_id=call.session.connection_id
    )
    return _executed(execution)


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
    order = call.exchange.engine.live_order(order_id)
    if valid_until_ms is not None and call.now_ms > valid_until_ms:
        raise Refusal(13888, "timed_out")
    listing = LISTING_BY_NAME[order.instrument_name]
    edited = read_edit(call.params, order, listing)
    check_amount(listing, edited.amount)
    check_prices(listing, edited.price, edited.trigger_price)
    return _executed(call.exchange.engine.apply_edit(edited, now_ms=call.now_ms))


def _close_position(call: Call) -> dict[str, Any]:
    """Reduce-only by nature, whatever other orders cover the position."""
    listing = call.market().listing
    order_type = OrderType(call.params.choice("type", ("limit", "market")))
    position = call.exchange.books.position(listing.name)
    if position.side is None:
        raise invalid_reduce_only()
    form = OrderForm(
        instrument_name=listing.name,
        direction=position.side.opposite,
        order_type=order_type,
        amount=abs(position.size),
        price=call.params.number("price") if order_type is OrderType.LIMIT else None,
        reduce_only=True,
    )
    execution = call.exchange.engine.place(
        form,
        now_ms=call.now_ms,
        connection_id=call.session.connection_id,
        may_be_covered=True,
    )
    return _executed(execution)


def _cancel(call: Call) -> dict[str, Any]:
    order_id = call.params.text("order_id")
    return render.order(call.exchange.engine.cancel(order_id, "user_request", now_ms=call.now_ms))


def _cancel_all(call: Call) -> Any:
    return _cancel_each(call, call.exchange.books.live_orders())


def _cancel_all_by_currency(call: Call) -> Any:
    currency = call.currency()
    call.params.choice("kind", KINDS, "any")
    return _cancel_each(call, _of_type(call.params, orders_in(call, currency)))


def _cancel_all_by_instrument(call: Call) -> Any:
    orders = call.exchange.books.live_orders(call.market().listing.name)
    return _cancel_each(call, _of_type(call.params, orders))


def _cancel_all_by_kind_or_type(call: Call) -> Any:
    currency = call.currency("any", default="any")
    kind = call.params.choice("kind", KINDS, "any")
    orders = orders_in(call, currency) if kind in ("any", Kind.FUTURE.value) else ()
    return _cancel_each(call, _of_type(call.params, orders))


def _cancel_by_label(call: Call) -> int:
    currency = call.currency("any", default="any")
    label = call.params.text("label")
    orders = [order for order in orders_in(call, currency) if order.label == label]
    return len(_cancelled(call, orders))


def orders_in(call: Call, currency: str) -> Iterable[PaperOrder]:
    """Live orders settled in a currency, or all with `any`."""
    return (
        order
        for order in call.exchange.books.live_orders()
        if currency in ("any", LISTING_BY_NAME[order.instrument_name].currency)
    )


def _of_type(params: Params, orders: Iterable[PaperOrder]) -> list[PaperOrder]:
    wanted = params.choice("type", CANCEL_TYPES, "all")
    return [order for order in orders if _is_of_type(order, wanted)]


def _is_of_type(order: PaperOrder, wanted: str) -> bool:
    match wanted:
        case "all":
            return True
        case "limit":
            return not order.waits_for_trigger
        case "trigger_all":
            return order.waits_for_trigger
        case "stop":
            return order.order_type in STOP_TYPES
        case "take":
            return order.waits_for_trigger and order.order_type not in STOP_TYPES
        case _:
            return False


def _cancel_each(call: Call, orders: Iterable[PaperOrder]) -> Any:
    """Cancel, and answer with the count, or with the orders when `detailed`."""
    is_detailed = call.params.flag("detailed")
    cancelled = _cancelled(call, list(orders))
    if not is_detailed:
        return len(cancelled)
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for order in cancelled:
        kind = "trigger" if order.waits_for_trigger else "limit"
        groups.setdefault((order.instrument_name, kind), []).append(render.order(order))
    return [
        {
            "instrument_name": name,
            "currency": LISTING_BY_NAME[name].currency,
            "type": kind,
            "result": result,
        }
        for (name, kind), result in groups.items()
    ]


def _cancelled(call: Call, orders: Iterable[PaperOrder]) -> list[PaperOrder]:
    """Cancel what is still live when its turn comes: one cancel may close another order."""
    books, engine = call.exchange.books, call.exchange.engine
    return [
        engine.cancel(order.order_id, "user_request", now_ms=call.now_ms)
        for order in orders
        if books.orders[order.order_id].is_live
    ]


def _executed(execution: Execution) -> dict[str, Any]:
    return {
        "order": render.order(execution.order),
        "trades": [render.trade(trade) for trade in execution.trades],
    }


TRADING_METHODS: Methods = {
    "private/buy": _buy,
    "private/sell": _sell,
    "private/edit": _edit,
    "private/edit_by_label": _edit_by_label,
    "private/close_position": _close_position,
    "private/cancel": _cancel,
    "private/cancel_by_label": _cancel_by_label,
    "private/cancel_all": _cancel_all,
    "private/cancel_all_by_currency": _cancel_all_by_currency,
    "private/cancel_all_by_instrument": _cancel_all_by_instrument,
    "private/cancel_all_by_kind_or_type": _cancel_all_by_kind_or_type,
}
