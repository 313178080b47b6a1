"""Deeds to the account's orders, and orders of other people and programs on it. Pure."""

from collections.abc import Mapping
from decimal import Decimal

from vigil.domain.order import Direction, OrderType
from vigil.paper.account.orders import OrderForm, OrderState, Origin, PaperOrder
from vigil.paper.faults.deed import Deed, Doing, Scene
from vigil.paper.faults.entry import Unfit
from vigil.paper.matching.execution import Execution
from vigil.paper.refusals import Refusal


def _fill_order(scene: Scene) -> Deed:
    filled = []
    for order in _meant(scene):
        if order.waits_for_trigger or order.price is None:
            continue
        price = scene.values["price"] or order.price
        amount = min(scene.values["amount"] or order.remaining, order.remaining)
        result = scene.exchange.engine.fill(order, price=price, amount=amount, now_ms=scene.now_ms)
        filled.append(_told(result))
    if not filled:
        raise Unfit("order_id", "what was meant waits for its trigger; do fire-trigger instead")
    return Deed(done={"filled": filled})


def _cancel_orders(scene: Scene) -> Deed:
    names = {market.listing.name for market in scene.markets()}
    engine, cancelled = scene.exchange.engine, []
    for order in _meant(scene):
        if order.instrument_name in names and _is_live(scene, order):
            engine.cancel(order.order_id, scene.values["reason"], now_ms=scene.now_ms)
            cancelled.append(order.order_id)
    if not cancelled:
        raise Unfit("instruments", "nothing that was meant rests there")
    return Deed(done={"cancelled": cancelled})


def _fire_trigger(scene: Scene) -> Deed:
    waiting = [order for order in _meant(scene) if order.waits_for_trigger]
    if not waiting:
        raise Unfit("order_id", "nothing that was meant waits for a trigger")
    for order in waiting:
        if _is_live(scene, order):
            scene.exchange.engine.fire(order, now_ms=scene.now_ms)
    return Deed(done={"fired": [order.order_id for order in waiting]})


def _same_label_order(scene: Scene) -> Deed:
    order = _meant(scene)[-1]
    form = OrderForm(
        instrument_name=order.instrument_name,
        direction=order.direction,
        order_type=order.order_type,
        amount=order.amount,
        label=order.label,
        price=order.price,
        time_in_force=order.time_in_force,
        reduce_only=order.reduce_only,
        trigger=order.trigger,
        trigger_price=order.trigger_price,
        trigger_offset=order.trigger_offset,
    )
    return Deed(done=_told(_place(scene, form, Origin.API)))


def _trade_by_hand(scene: Scene) -> Deed:
    form = _form(scene, label="", reduce_only=scene.values["reduce_only"])
    return Deed(done=_told(_place(scene, form, Origin.WEB)))


def _foreign_order(scene: Scene) -> Deed:
    form = _form(scene, label=scene.values["foreign_label"], reduce_only=False)
    return Deed(done=_told(_place(scene, form, Origin.API)))


def _close_by_hand(scene: Scene) -> Deed:
    name = scene.market().listing.name
    form = _closing(scene, name, scene.values["amount"])
    return Deed(done=_told(_place(scene, form, Origin.WEB)))


def _close_and_reverse(scene: Scene) -> Deed:
    name = scene.market().listing.name
    closing = _closing(scene, name, None)
    opening = OrderForm(
        instrument_name=name,
        direction=closing.direction,
        order_type=OrderType.MARKET,
        amount=closing.amount,
    )
    results = [_place(scene, form, Origin.WEB) for form in (closing, opening)]
    return Deed(done={"orders": [_told(result) for result in results]})


def _closing(scene: Scene, name: str, amount: Decimal | None) -> OrderForm:
    position = scene.exchange.books.position(name)
    if position.side is None:
        raise Unfit("instrument_name", f"there is no position in {name}")
    return OrderForm(
        instrument_name=name,
        direction=position.side.opposite,
        order_type=OrderType.MARKET,
        amount=min(amount or abs(position.size), abs(position.size)),
        reduce_only=True,
    )


def _form(scene: Scene, *, label: str, reduce_only: bool) -> OrderForm:
    values = scene.values
    return OrderForm(
        instrument_name=scene.market().listing.name,
        direction=Direction(values["direction"]),
        order_type=OrderType.MARKET if values["price"] is None else OrderType.LIMIT,
        amount=values["amount"],
        price=values["price"],
        label=label,
        reduce_only=reduce_only,
    )


def _place(scene: Scene, form: OrderForm, origin: Origin) -> Execution:
    try:
        return scene.exchange.engine.place(
            form, now_ms=scene.now_ms, may_be_covered=True, origin=origin
        )
    except Refusal as refusal:
        raise Unfit(
            "order", f"the exchange refuses it: {refusal} {refusal.data or ''}"
        ) from refusal


def _meant(scene: Scene) -> list[PaperOrder]:
    """The live orders that `order_id` or `of_label` mean, oldest first."""
    order_id, label = scene.values["order_id"], scene.values["of_label"]
    if order_id is None and label is None:
        raise Unfit("of_label", "name an order_id or a label; * means every order")
    meant = [
        order
        for order in scene.exchange.books.live_orders()
        if order_id in (None, order.order_id) and label in (None, "*", order.label)
    ]
    if not meant:
        raise Unfit("order_id", "no such order rests")
    return meant


def _is_live(scene: Scene, order: PaperOrder) -> bool:
    """Whether it still is: what happened to another may have ended it."""
    known = scene.exchange.books.orders.get(order.order_id)
    return known is not None and known.state in (OrderState.OPEN, OrderState.UNTRIGGERED)


def _told(result: Execution) -> dict[str, object]:
    return {
        "order_id": result.order.order_id,
        "order_state": result.order.state.value,
        "filled_amount": result.order.filled_amount,
        "trade_ids": [trade.trade_id for trade in result.trades],
    }


ORDER_DEEDS: Mapping[str, Doing] = {
    "fill-order": _fill_order,
    "cancel-orders": _cancel_orders,
    "fire-trigger": _fire_trigger,
    "same-label-order": _same_label_order,
    "trade-by-hand": _trade_by_hand,
    "close-by-hand": _close_by_hand,
    "close-and-reverse": _close_and_reverse,
    "foreign-order": _foreign_order,
}
