"""Methods that cancel: one order, those with a label, and all of some sort.

Source: Deribit API v2, cancel methods; the detailed answer from a recorded reply.
"""

from collections.abc import Iterable
from typing import Any

from vigil.paper.account.orders import STOP_TYPES, TAKE_TYPES, PaperOrder
from vigil.paper.methods.calls import Call, Methods
from vigil.paper.methods.selection import is_in, live_orders_in, read_currencies, read_kind
from vigil.paper.refusals import Refusal, invalid_param
from vigil.paper.wire import render

CANCEL_TYPES = ("all", "limit", "trigger_all", "stop", "take", "trailing_stop")


def _cancel(call: Call) -> dict[str, Any]:
    order_id = call.params.text("order_id")
    order = call.exchange.engine.cancel_as_asked(order_id, now_ms=call.now_ms)
    return render.order(order, call.exchange.catalogue)


def _cancel_all(call: Call) -> Any:
    return _cancel_each(call, call.exchange.books.live_orders())


def _cancel_all_by_currency(call: Call) -> Any:
    return _cancel_each(call, _of_type(call, live_orders_in(call, call.currency())))


def _cancel_all_by_currency_pair(call: Call) -> Any:
    """A pair is named as its index is, such as `btc_usd`."""
    pair = call.params.text("currency_pair")
    catalogue = call.exchange.catalogue
    if pair not in catalogue.index_names:
        raise invalid_param("currency_pair")
    kind = read_kind(call)
    orders = (
        order
        for order in call.exchange.books.live_orders()
        if catalogue.by_name[order.instrument_name].instrument.price_index == pair
        and is_in(call, order.instrument_name, "any", kind)
    )
    return _cancel_each(call, _of_type(call, orders))


def _cancel_all_by_instrument(call: Call) -> Any:
    call.params.flag("include_combos")
    orders = call.exchange.books.live_orders(call.market().listing.name)
    return _cancel_each(call, _of_type(call, orders))


def _cancel_all_by_kind_or_type(call: Call) -> Any:
    """One currency, a list of them, or `any`."""
    currencies = read_currencies(call)
    kind = read_kind(call)
    orders = (
        order
        for order in call.exchange.books.live_orders()
        if any(is_in(call, order.instrument_name, currency, kind) for currency in currencies)
    )
    return _cancel_each(call, _of_type(call, orders))


def _cancel_by_label(call: Call) -> int:
    """Secondaries that wait for their primary are found by their labels, too."""
    currency = call.currency("any", default="any")
    label = call.params.text("label")
    orders = [
        order
        for order in call.exchange.books.labelled(label)
        if order.is_live and is_in(call, order.instrument_name, currency)
    ]
    cancelled, refused = _cancelled(call, orders)
    return _counted(cancelled, refused)


def _of_type(call: Call, orders: Iterable[PaperOrder]) -> list[PaperOrder]:
    wanted = call.params.choice("type", CANCEL_TYPES, "all")
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
            return order.order_type in TAKE_TYPES
        case _:
            return order.order_type == wanted


def _cancel_each(call: Call, orders: Iterable[PaperOrder]) -> Any:
    """Cancel, and answer with the count, or with the orders when `detailed`."""
    is_detailed = call.params.flag("detailed")
    call.params.flag("freeze_quotes")
    cancelled, refused = _cancelled(call, list(orders))
    if not is_detailed:
        return _counted(cancelled, refused)
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for order in cancelled:
        group = groups.setdefault((order.instrument_name, _sort(order)), [])
        group.append(render.order(order, call.exchange.catalogue))
    return [
        _heading(call, name, sort) | {"result": result} for (name, sort), result in groups.items()
    ] + [
        _heading(call, name, sort) | {"error": {"code": refusal.code, "message": refusal.message}}
        for (name, sort), refusal in refused.items()
    ]


def _heading(call: Call, name: str, sort: str) -> dict[str, Any]:
    currency = call.exchange.catalogue.by_name[name].currency
    return {"instrument_name": name, "currency": currency, "type": sort}


def _sort(order: PaperOrder) -> str:
    return "trigger" if order.waits_for_trigger else "limit"


_Refused = dict[tuple[str, str], Refusal]


def _cancelled(call: Call, orders: Iterable[PaperOrder]) -> tuple[list[PaperOrder], _Refused]:
    """Cancel what is still live when its turn comes: one cancel may close another order."""
    books, engine = call.exchange.books, call.exchange.engine
    cancelled: list[PaperOrder] = []
    refused: _Refused = {}
    for order in orders:
        if not books.orders[order.order_id].is_live:
            continue
        try:
            cancelled.append(engine.cancel_as_asked(order.order_id, now_ms=call.now_ms))
        except Refusal as refusal:
            refused[order.instrument_name, _sort(order)] = refusal
    return cancelled, refused


def _counted(cancelled: list[PaperOrder], refused: _Refused) -> int:
    """How many were cancelled. Raises: Refusal, when there was something and none could be."""
    if refused and not cancelled:
        raise next(iter(refused.values()))
    return len(cancelled)


CANCEL_METHODS: Methods = {
    "private/cancel": _cancel,
    "private/cancel_by_label": _cancel_by_label,
    "private/cancel_all": _cancel_all,
    "private/cancel_all_by_currency": _cancel_all_by_currency,
    "private/cancel_all_by_currency_pair": _cancel_all_by_currency_pair,
    "private/cancel_all_by_instrument": _cancel_all_by_instrument,
    "private/cancel_all_by_kind_or_type": _cancel_all_by_kind_or_type,
}
