"""Order parameters to order forms: what `private/buy`, `sell` and `edit` say, typed.

Only the syntax is judged here; whether the market takes the order is `admission`'s question.
Source: Deribit API v2, parameters of the order methods.
"""

from dataclasses import replace
from decimal import Decimal

from vigil.domain.order import Direction, OrderType, TimeInForce, Trigger
from vigil.paper.account.orders import LIMIT_TYPES, FillCondition, LinkedType, OrderForm, PaperOrder
from vigil.paper.market.instruments import Listing
from vigil.paper.refusals import Refusal, invalid_param
from vigil.paper.wire.params import Params

LABEL_LENGTH_MAX = 64

_TYPES = {kind.value for kind in OrderType if kind is not OrderType.LIQUIDATION}
_NOT_IMPLEMENTED = {OrderType.MARKET_LIMIT, OrderType.TRAILING_STOP}


def read_order(params: Params, direction: Direction, listing: Listing) -> OrderForm:
    """The form of a new order, its linked orders included. Raises: Refusal."""
    form = _read_one(params, direction, listing, default_amount=None)
    if not params.has("linked_order_type"):
        return form
    linked_type = LinkedType(params.choice("linked_order_type", [t.value for t in LinkedType]))
    condition = params.choice(
        "trigger_fill_condition",
        [c.value for c in FillCondition],
        FillCondition.FIRST_HIT.value,
    )
    return replace(
        form,
        linked_type=linked_type,
        fill_condition=FillCondition(condition),
        linked=tuple(
            _read_one(item, _direction(item), listing, default_amount=form.amount)
            for item in params.objects("otoco_config")
        ),
    )


def read_edit(params: Params, order: PaperOrder, listing: Listing) -> PaperOrder:
    """The order as an edit wants it; what is not named stays. Raises: Refusal."""
    if params.has("mmp"):
        raise invalid_param("mmp", "editing mmp flag is not supported")
    amount = _amount(params, listing, default=order.amount)
    if amount <= order.filled_amount:
        raise Refusal(10021, "invalid_amount")
    changed = replace(
        order,
        amount=amount,
        post_only=params.flag("post_only", default=order.post_only),
        reject_post_only=params.flag("reject_post_only", default=order.reject_post_only),
        reduce_only=params.flag("reduce_only", default=order.reduce_only),
    )
    if params.has("price") and order.order_type in LIMIT_TYPES:
        changed = replace(changed, price=params.number("price"))
    if params.has("trigger_price") and order.waits_for_trigger:
        changed = replace(changed, trigger_price=params.number("trigger_price"))
    return changed


def read_label(params: Params) -> str:
    """A label of at most 64 characters; empty when there is none."""
    label = params.text("label", "")
    if len(label) > LABEL_LENGTH_MAX:
        raise invalid_param("label")
    return label


def _read_one(
    params: Params, direction: Direction, listing: Listing, *, default_amount: Decimal | None
) -> OrderForm:
    order_type = OrderType(params.choice("type", _TYPES, OrderType.LIMIT.value))
    if order_type in _NOT_IMPLEMENTED:
        raise Refusal(10033, "not_implemented")
    if params.has("advanced"):
        raise Refusal(11038, "no_adv_for_futures")
    time_in_force = params.choice(
        "time_in_force",
        [value.value for value in TimeInForce],
        TimeInForce.GOOD_TIL_CANCELLED.value,
    )
    trigger = None
    if params.has("trigger"):
        trigger = Trigger(params.choice("trigger", [value.value for value in Trigger]))
    is_trigger_kind = order_type not in (OrderType.LIMIT, OrderType.MARKET)
    return OrderForm(
        instrument_name=listing.name,
        direction=direction,
        order_type=order_type,
        amount=_amount(params, listing, default=default_amount),
        label=read_label(params),
        price=params.number_or_none("price") if order_type in LIMIT_TYPES else None,
        time_in_force=TimeInForce(time_in_force),
        post_only=params.flag("post_only"),
        reject_post_only=params.flag("reject_post_only"),
        reduce_only=params.flag("reduce_only"),
        trigger=trigger if is_trigger_kind else None,
        trigger_price=params.number_or_none("trigger_price") if is_trigger_kind else None,
        valid_until_ms=params.timestamp_or_none("valid_until"),
    )


def _amount(params: Params, listing: Listing, *, default: Decimal | None) -> Decimal:
    """`amount`, or `contracts` converted; both must agree."""
    amount, contracts = params.number_or_none("amount"), params.number_or_none("contracts")
    if contracts is not None:
        meant = contracts * listing.instrument.contract_size
        if amount is not None and amount != meant:
            raise invalid_param("amount")
        return meant
    if amount is not None:
        return amount
    if default is None:
        raise invalid_param("amount", "value required")
    return default


def _direction(params: Params) -> Direction:
    return Direction(params.choice("direction", [value.value for value in Direction]))
