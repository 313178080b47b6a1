"""Order parameters to order forms: what `private/buy`, `sell` and `edit` say, typed.

Only the syntax is judged here; whether the market takes the order is `admission`'s question.
Source: Deribit API v2, parameters of the order methods.
"""

from dataclasses import replace
from decimal import Decimal

from vigil.domain.order import Direction, OrderType, TimeInForce, Trigger
from vigil.paper.account.orders import (
    LIMIT_TYPES,
    TRIGGER_TYPES,
    Advanced,
    FillCondition,
    LinkedType,
    OrderForm,
    PaperOrder,
)
from vigil.paper.market.instruments import Listing
from vigil.paper.matching.triggers import with_offset
from vigil.paper.refusals import Refusal, invalid_param
from vigil.paper.switches import Switches
from vigil.paper.wire.params import Params

LABEL_LENGTH_MAX = 64

_TYPES = {kind.value for kind in OrderType if kind is not OrderType.LIQUIDATION}


def read_order(
    params: Params, direction: Direction, listing: Listing, switches: Switches
) -> OrderForm:
    """The form of a new order, its linked orders included. Raises: Refusal."""
    form = _read_one(params, direction, listing, switches, default_amount=None)
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
            _read_one(item, _direction(item), listing, switches, default_amount=form.amount)
            for item in params.objects("otoco_config")
        ),
    )


def read_edit(params: Params, order: PaperOrder, listing: Listing) -> PaperOrder:
    """The order as an edit wants it; what is not named stays. Raises: Refusal."""
    if params.has("mmp"):
        raise invalid_param("mmp", "editing mmp flag is not supported")
    changed = replace(
        order,
        amount=_amount(params, listing, default=order.amount),
        post_only=params.flag("post_only", default=order.post_only),
        reject_post_only=params.flag("reject_post_only", default=order.reject_post_only),
        reduce_only=params.flag("reduce_only", default=order.reduce_only),
    )
    if params.has("display_amount"):
        changed = replace(changed, display_amount=params.number("display_amount"))
    if params.has("price") and order.order_type in LIMIT_TYPES:
        changed = _with_price(params, changed)
    if order.order_type is OrderType.TRAILING_STOP:
        return _with_offset(params, changed)
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
    params: Params,
    direction: Direction,
    listing: Listing,
    switches: Switches,
    *,
    default_amount: Decimal | None,
) -> OrderForm:
    order_type = OrderType(params.choice("type", _TYPES, OrderType.LIMIT.value))
    is_limit, is_trigger = order_type in LIMIT_TYPES, order_type in TRIGGER_TYPES
    is_trailing = order_type is OrderType.TRAILING_STOP
    advanced = None
    if params.has("advanced"):
        advanced = Advanced(params.choice("advanced", [value.value for value in Advanced]))
    price = params.number_or_none("price") if is_limit else None
    trigger = None
    if params.has("trigger"):
        trigger = Trigger(params.choice("trigger", [value.value for value in Trigger]))
    has_fixed_trigger = is_trigger and not is_trailing
    return OrderForm(
        instrument_name=listing.name,
        direction=direction,
        order_type=order_type,
        amount=_amount(params, listing, default=default_amount),
        label=read_label(params),
        price=price if advanced is None else None,
        time_in_force=_time_in_force(params, order_type, switches),
        post_only=params.flag("post_only"),
        reject_post_only=params.flag("reject_post_only"),
        reduce_only=params.flag("reduce_only"),
        trigger=trigger if is_trigger else None,
        trigger_price=params.number_or_none("trigger_price") if has_fixed_trigger else None,
        trigger_offset=params.number_or_none("trigger_offset") if is_trailing else None,
        display_amount=params.number_or_none("display_amount"),
        mmp=params.flag("mmp"),
        advanced=advanced,
        advanced_price=None if advanced is None else price,
        valid_until_ms=params.timestamp_or_none("valid_until"),
    )


def _time_in_force(params: Params, order_type: OrderType, switches: Switches) -> TimeInForce:
    """Market kinds have none of their own; all that they may name is the default."""
    default = TimeInForce.GOOD_TIL_CANCELLED
    named = TimeInForce(
        params.choice("time_in_force", [value.value for value in TimeInForce], default.value)
    )
    if order_type in LIMIT_TYPES or named is default:
        return named
    if switches.market_refuses_time_in_force:
        raise invalid_param("time_in_force")
    return default


def _with_price(params: Params, order: PaperOrder) -> PaperOrder:
    """A new price, in the unit that the order's price was named in."""
    if order.advanced is None:
        if params.has("advanced"):
            raise Refusal(11041, "not_adv_order")
        return replace(order, price=params.number("price"))
    params.choice("advanced", (order.advanced.value,), order.advanced.value)
    return replace(order, advanced_price=params.number("price"))


def _with_offset(params: Params, order: PaperOrder) -> PaperOrder:
    if not params.has("trigger_offset"):
        return order
    offset = params.number("trigger_offset")
    if order.trigger_price is None:  # a secondary that does not follow the market yet
        return replace(order, trigger_offset=offset)
    return with_offset(order, offset)


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
