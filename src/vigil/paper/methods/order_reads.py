"""Methods that read orders: open ones, one by its id or label, closed ones, ended triggers.

Closed orders are recent for half an hour. After that they are in the archive alone, once it has
indexed them, and nobody finds them by id or label.
Source: Deribit API v2, reading methods and their paging; accessing historical trades and orders.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Any

from vigil.domain.order import OrderType
from vigil.paper.account.orders import (
    STOP_TYPES,
    TAKE_TYPES,
    TRIGGER_TYPES,
    PaperOrder,
    TriggerEnd,
)
from vigil.paper.account.shelf import RECENT_ORDERS_MS, Window
from vigil.paper.methods.calls import Call, Methods
from vigil.paper.methods.selection import (
    is_in,
    live_orders_in,
    names_in,
    read_count,
    read_kind,
    read_window,
)
from vigil.paper.refusals import invalid_param, order_not_found
from vigil.paper.wire import render

_HISTORY_COUNT = 20
_TRAILING = frozenset({OrderType.TRAILING_STOP})
_OPEN_TYPES: dict[str, frozenset[OrderType]] = {
    "all": frozenset(OrderType),
    "limit": frozenset({OrderType.LIMIT}),
    "trigger_all": TRIGGER_TYPES,
    "stop_all": STOP_TYPES,
    "stop_limit": frozenset({OrderType.STOP_LIMIT}),
    "stop_market": frozenset({OrderType.STOP_MARKET}),
    "take_all": TAKE_TYPES,
    "take_limit": frozenset({OrderType.TAKE_LIMIT}),
    "take_market": frozenset({OrderType.TAKE_MARKET}),
    "trailing_all": _TRAILING,
    "trailing_stop": _TRAILING,
}


def _open_orders(call: Call) -> list[dict[str, Any]]:
    return _open_of_type(call, live_orders_in(call, "any"))


def _open_orders_by_currency(call: Call) -> list[dict[str, Any]]:
    return _open_of_type(call, live_orders_in(call, call.currency("any")))


def _open_orders_by_instrument(call: Call) -> list[dict[str, Any]]:
    return _open_of_type(call, call.exchange.books.live_orders(call.market().listing.name))


def _open_orders_by_label(call: Call) -> list[dict[str, Any]]:
    label = call.params.text_or_none("label")
    return [
        render.order(order, call.exchange.catalogue)
        for order in live_orders_in(call, call.currency("any"))
        if label is None or order.label == label
    ]


def _open_of_type(call: Call, orders: Iterable[PaperOrder]) -> list[dict[str, Any]]:
    wanted = _OPEN_TYPES[call.params.choice("type", _OPEN_TYPES, "all")]
    return [
        render.order(order, call.exchange.catalogue)
        for order in orders
        if order.order_type in wanted
    ]


def _order_state(call: Call) -> dict[str, Any]:
    order_id = call.params.text("order_id")
    books = call.exchange.books
    books.age(call.now_ms)
    order = books.orders.get(order_id)
    if order is None:
        raise order_not_found()
    return render.order(order, call.exchange.catalogue)


def _order_state_by_label(call: Call) -> list[dict[str, Any]]:
    """Every order with the label; an unknown label has none, which is no error."""
    currency, label = call.currency("any"), call.params.text("label", "")
    books = call.exchange.books
    books.age(call.now_ms)
    return [
        render.order(order, call.exchange.catalogue)
        for order in books.labelled(label)
        if is_in(call, order.instrument_name, currency)
    ]


def _order_history_by_currency(call: Call) -> Any:
    return _order_history(call, names_in(call, call.currency("any"), read_kind(call)))


def _order_history_by_instrument(call: Call) -> Any:
    return _order_history(call, [call.market().listing.name])


def _order_history(call: Call, names: list[str]) -> Any:
    """Closed orders, the latest first; those that never filled only when asked for.

    `include_old` asks for what is in the archive now; it is accepted and adds nothing.
    """
    params = call.params
    with_unfilled = params.flag("include_unfilled")
    params.flag("include_old")
    window = read_window(call, RECENT_ORDERS_MS)
    count, offset = read_count(call, _HISTORY_COUNT), params.integer("offset", 0)
    if params.has("continuation"):
        offset = _offset_of(params.text("continuation"))
    closed = (
        order
        for order in call.exchange.books.order_records.closed(names, window)
        if with_unfilled or order.filled_amount
    )
    page = list(islice(closed, offset, offset + count + 1))
    orders = [render.order(order, call.exchange.catalogue) for order in page[:count]]
    if not params.flag("with_continuation"):
        return orders
    return {
        "orders": orders,
        "continuation": str(offset + count) if len(page) > count else None,
    }


def _offset_of(continuation: str) -> int:
    if not continuation.isascii() or not continuation.isdigit():
        raise invalid_param("continuation")
    return int(continuation)


def _trigger_order_history(call: Call) -> dict[str, Any]:
    """How trigger orders ended, the latest first; `continuation` names the last one shown."""
    currency, count = call.currency(), read_count(call, _HISTORY_COUNT)
    names = {call.market().listing.name} if call.params.has("instrument_name") else None
    below = _end_number(call)

    def is_wanted(end: TriggerEnd) -> bool:
        name = end.order.instrument_name
        return (
            end.number < below and is_in(call, name, currency) and (names is None or name in names)
        )

    ends = call.exchange.books.trigger_ends.newest_first(Window())
    page = list(islice((end for end in ends if is_wanted(end)), count + 1))
    catalogue = call.exchange.catalogue
    last = page[count - 1] if len(page) > count else None
    return {
        "entries": [render.trigger_end(end, catalogue) for end in page[:count]],
        "continuation": None if last is None else f"{last.number}.{last.order.order_id}",
    }


def _end_number(call: Call) -> int:
    if not call.params.has("continuation"):
        return 2**63
    return _offset_of(call.params.text("continuation").partition(".")[0])


ORDER_METHODS: Methods = {
    "private/get_open_orders": _open_orders,
    "private/get_open_orders_by_currency": _open_orders_by_currency,
    "private/get_open_orders_by_instrument": _open_orders_by_instrument,
    "private/get_open_orders_by_label": _open_orders_by_label,
    "private/get_order_state": _order_state,
    "private/get_order_state_by_label": _order_state_by_label,
    "private/get_order_history_by_currency": _order_history_by_currency,
    "private/get_order_history_by_instrument": _order_history_by_instrument,
    "private/get_trigger_order_history": _trigger_order_history,
}
