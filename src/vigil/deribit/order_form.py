"""An order as we ask for it, as the parameters of a call.

Source: Deribit API v2, private/buy, private/sell and private/edit.
"""

from decimal import Decimal
from typing import Any

from vigil.domain.order import LinkedOrder, OrderRequest, OrderType

# Refused with a time in force, or resting by a rule of their own. Source: Deribit private/buy.
_MARKET_KINDS = frozenset(
    {
        OrderType.MARKET,
        OrderType.STOP_MARKET,
        OrderType.TAKE_MARKET,
        OrderType.MARKET_LIMIT,
        OrderType.TRAILING_STOP,
    }
)


def encode_order(request: OrderRequest) -> dict[str, Any]:
    """The parameters of `private/buy` or `private/sell`; words stay members of their enums.

    Source: Deribit private/buy, linked orders: `one_triggers_one_cancels_other` takes two
    secondaries, `one_triggers_other` and `one_cancels_other` take one.
    """
    params: dict[str, Any] = {
        "instrument_name": request.instrument_name,
        "amount": request.amount,
        "type": request.order_type,
        "label": request.label,
        "reduce_only": request.reduce_only,
    }
    _add_prices(params, request)
    if request.order_type not in _MARKET_KINDS:
        # Said either way: the machine-readable reference gives true as the default.
        params["post_only"] = request.post_only
        if request.time_in_force is not None:
            params["time_in_force"] = request.time_in_force
    if request.valid_until_ms is not None:
        params["valid_until"] = request.valid_until_ms
    if request.linked:
        if request.linked_one_cancels:
            assert len(request.linked) == 1, "a one-cancels-other pair has one linked order"
            params["linked_order_type"] = "one_cancels_other"
        elif len(request.linked) == 1:
            params["linked_order_type"] = "one_triggers_other"
        else:
            assert len(request.linked) == 2, "a bracket has two linked orders"
            params["linked_order_type"] = "one_triggers_one_cancels_other"
        params["trigger_fill_condition"] = "first_hit"
        params["otoco_config"] = [_encode_linked(linked) for linked in request.linked]
    return params


def _encode_linked(linked: LinkedOrder) -> dict[str, Any]:
    params: dict[str, Any] = {
        "amount": linked.amount,
        "direction": linked.direction,
        "type": linked.order_type,
        "label": linked.label,
        "reduce_only": linked.reduce_only,
    }
    _add_prices(params, linked)
    return params


def _add_prices(params: dict[str, Any], order: OrderRequest | LinkedOrder) -> None:
    if order.price is not None:
        params["price"] = order.price
    if order.trigger_price is not None:
        params["trigger_price"] = order.trigger_price
    if order.trigger is not None:
        params["trigger"] = order.trigger


def encode_edit(
    order_id: str,
    *,
    amount: Decimal,
    price: Decimal | None,
    trigger_price: Decimal | None,
    valid_until_ms: int | None,
) -> dict[str, Any]:
    """The parameters of `private/edit`. `amount` is the new total, filled part included."""
    params: dict[str, Any] = {"order_id": order_id, "amount": amount}
    if price is not None:
        params["price"] = price
    if trigger_price is not None:
        params["trigger_price"] = trigger_price
    if valid_until_ms is not None:
        params["valid_until"] = valid_until_ms
    return params
