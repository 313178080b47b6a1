"""Deribit's trading objects as bytes, and the domain's values: the only place that knows both.

JSON text comes in and domain values leave, numbers exact to the digit. Unknown fields are ignored.
A missing or mistyped field that matters raises `Unreadable`: it was said, and was not understood,
which is neither an empty answer nor a reason to end the session. A word that we do not know is
kept as it came (`Order.strange_words`), and nothing is concluded from it. What is heard all the
time is here; `wire_account` and `wire_market` read what is asked now and then.
Source: Deribit API v2, object shapes; recorded payloads.
"""

from decimal import Decimal

import msgspec

from vigil.deribit.decoding import (
    Page,
    count,
    decode,
    decoder,
    next_page,
    number,
    optional,
    or_zero,
    time_ms,
    unless_empty,
)
from vigil.deribit.decoding import Unreadable as Unreadable  # noqa: PLC0414 (a name of wire too)
from vigil.deribit.shapes import (
    CancelledShape,
    ChangesShape,
    FillPageShape,
    FillShape,
    OrderPageShape,
    OrderShape,
    PlacedShape,
    PositionShape,
    TickerShape,
)
from vigil.domain.market import Ticker
from vigil.domain.money import ZERO
from vigil.domain.order import (
    Direction,
    Fill,
    Order,
    OrderStatus,
    OrderType,
    StrangeWord,
    TimeInForce,
    Trigger,
)
from vigil.domain.portfolio import AccountChanges, Position

# Looked up rather than called: an enum's own look-up costs several times as much.
_DIRECTIONS = {word.value: word for word in Direction}
_ORDER_TYPES = {word.value: word for word in OrderType}
_TIMES_IN_FORCE = {word.value: word for word in TimeInForce}
_TRIGGERS = {word.value: word for word in Trigger}

# The exchange has no partially-filled state, and knows nothing of our own doubts.
_STATUSES = {
    word.value: word
    for word in (
        OrderStatus.OPEN,
        OrderStatus.FILLED,
        OrderStatus.CANCELLED,
        OrderStatus.REJECTED,
        OrderStatus.UNTRIGGERED,
        OrderStatus.TRIGGERED,
    )
}

# Source: Deribit API v2, the order's `cancel_reason`; its changelog of May 2026.
_CANCEL_REASONS = frozenset(
    {
        "user_request",
        "autoliquidation",
        "cancel_on_disconnect",
        "risk_mitigation",
        "pme_risk_reduction",
        "pme_account_locked",
        "position_locked",
        "mmp_trigger",
        "mmp_config_curtailment",
        "edit_post_only_reject",
        "oco_other_closed",
        "oto_primary_closed",
        "settlement",
        "order_overlap",
        "order_overlap_another_sub",
    }
)
_MARKET_PRICES = frozenset({b'"market_price"', b"null"})
_WORD_LENGTH_MAX = 64
_REASON_LENGTH_MAX = 200

_ticker = decoder(TickerShape)
_order = decoder(OrderShape)
_orders = decoder(list[OrderShape])
_order_page = decoder(OrderPageShape)
_cancelled = decoder(list[CancelledShape])
_fills = decoder(list[FillShape])
_fill_page = decoder(FillPageShape)
_changes = decoder(ChangesShape)
_placed = decoder(PlacedShape)
_position = decoder(PositionShape)
_positions = decoder(list[PositionShape])
_price = decoder(Decimal)
_word = decoder(str)
_integer = decoder(int)
_channels = decoder(list[str])


def to_ticker(raw: msgspec.Raw) -> Ticker:
    """A ticker. A best price of zero or null means that the side is empty."""
    shape = decode(_ticker, raw)
    return Ticker(
        instrument_name=shape.instrument_name,
        timestamp_ms=time_ms(shape.timestamp),
        mark_price=number(shape.mark_price),
        index_price=number(shape.index_price),
        last_price=unless_empty(shape.last_price),
        best_bid_price=unless_empty(shape.best_bid_price),
        best_ask_price=unless_empty(shape.best_ask_price),
        best_bid_amount=unless_empty(shape.best_bid_amount),
        best_ask_amount=unless_empty(shape.best_ask_amount),
        min_price=unless_empty(shape.min_price),
        max_price=unless_empty(shape.max_price),
        is_open=shape.state == "open",
    )


def to_order(raw: msgspec.Raw) -> Order:
    """One bare order."""
    return _order_of(decode(_order, raw))


def to_orders(raw: msgspec.Raw) -> tuple[Order, ...]:
    """An array of orders; or one order, as raw notifications carry it."""
    if bytes(raw).startswith(b"{"):
        return (to_order(raw),)
    return tuple(_order_of(shape) for shape in decode(_orders, raw))


def to_order_page(raw: msgspec.Raw, *, rows_max: int) -> Page[Order]:
    """One page of ended orders.

    Args:
        rows_max: As many as were asked for: so many without a word of more may lack the rest.
    """
    continuation: int | str | msgspec.UnsetType | None = msgspec.UNSET
    if bytes(raw).startswith(b"["):
        orders = to_orders(raw)
    else:
        page = decode(_order_page, raw)
        orders = tuple(_order_of(shape) for shape in page.orders)
        continuation = page.continuation
    if isinstance(continuation, msgspec.UnsetType):
        if len(orders) >= rows_max:
            raise Unreadable("a full page of orders does not say whether there are more")
        return Page(orders)
    return Page(orders, next_page(continuation))


def to_cancelled(raw: msgspec.Raw) -> tuple[tuple[Order, ...], tuple[str, ...]]:
    """The orders out of a detailed mass cancellation, and where it failed, in words."""
    cancelled: list[Order] = []
    failures: list[str] = []
    for part in decode(_cancelled, raw):
        why = bytes(part.error)
        if part.result is not None and why == b"null":
            cancelled += (_order_of(shape) for shape in part.result)
        else:
            where = part.instrument_name or part.currency or "somewhere"
            failures.append(f"{where}: {why[:_REASON_LENGTH_MAX].decode(errors='replace')}")
    return tuple(cancelled), tuple(failures)


def to_placed(raw: msgspec.Raw) -> tuple[Order, tuple[Fill, ...]]:
    """The answer to buy, sell and edit: the order, and the fills made before the answer."""
    shape = decode(_placed, raw)
    return _order_of(shape.order), tuple(_fill_of(fill) for fill in shape.trades)


def to_fills(raw: msgspec.Raw) -> tuple[Fill, ...]:
    """An array of the account's own trades."""
    return tuple(_fill_of(shape) for shape in decode(_fills, raw))


def to_fill_page(raw: msgspec.Raw) -> tuple[tuple[Fill, ...], bool]:
    """One page of own trades, and whether there are more."""
    page = decode(_fill_page, raw)
    return tuple(_fill_of(shape) for shape in page.trades), page.has_more


def to_changes(raw: msgspec.Raw) -> AccountChanges:
    """Orders, fills and the position of one instrument, as one event left them."""
    shape = decode(_changes, raw)
    return AccountChanges(
        instrument_name=shape.instrument_name,
        orders=tuple(_order_of(order) for order in shape.orders),
        fills=tuple(_fill_of(fill) for fill in shape.trades),
        positions=tuple(_position_of(position) for position in shape.positions),
    )


def to_position(raw: msgspec.Raw) -> Position:
    """One position, flat or not."""
    return _position_of(decode(_position, raw))


def to_positions(raw: msgspec.Raw) -> tuple[Position, ...]:
    """All positions, flat ones as the exchange lists them."""
    return tuple(_position_of(shape) for shape in decode(_positions, raw))


def to_server_time_ms(raw: msgspec.Raw) -> int:
    """Exchange time, milliseconds since the epoch."""
    return time_ms(decode(_integer, raw))


def to_count(raw: msgspec.Raw) -> int:
    """A bare number of things, such as of cancelled orders."""
    return count(decode(_integer, raw))


def is_ok(raw: msgspec.Raw) -> bool:
    """Whether an answer is the word `ok`."""
    return bytes(raw) == b'"ok"'


def to_channels(raw: msgspec.Raw) -> tuple[str, ...]:
    """The channels that a subscription was accepted for, in no order."""
    names = decode(_channels, raw)
    return tuple(names)


def _order_of(shape: OrderShape) -> Order:
    filled = or_zero(shape.filled_amount)
    status = _STATUSES.get(shape.order_state or "", OrderStatus.UNKNOWN)
    if status is OrderStatus.OPEN and filled:
        status = OrderStatus.PARTIALLY_FILLED
    order_type = _ORDER_TYPES.get(shape.order_type or "")
    time_in_force = _TIMES_IN_FORCE.get(shape.time_in_force or "")
    trigger = _TRIGGERS.get(shape.trigger or "")
    price, strange_price = _order_price(shape.price)
    is_strange = (
        status is OrderStatus.UNKNOWN
        or order_type is None
        or strange_price is not None
        or (time_in_force is None and shape.time_in_force)
        or (trigger is None and shape.trigger)
        or (shape.cancel_reason is not None and shape.cancel_reason not in _CANCEL_REASONS)
    )
    return Order(
        order_id=_present(shape.order_id),
        label=shape.label or "",
        instrument_name=_present(shape.instrument_name),
        direction=_direction(shape.direction),
        order_type=order_type,
        status=status,
        amount=_amount(shape.amount),
        filled_amount=filled,
        creation_timestamp_ms=time_ms(shape.creation_timestamp),
        last_update_timestamp_ms=time_ms(shape.last_update_timestamp),
        price=price,
        average_price=unless_empty(shape.average_price),
        time_in_force=time_in_force,
        reduce_only=bool(shape.reduce_only),
        trigger=trigger,
        trigger_price=optional(shape.trigger_price),
        trigger_order_id=shape.trigger_order_id,
        primary_order_id=shape.primary_order_id,
        oco_ref=shape.oco_ref,
        cancel_reason=shape.cancel_reason,
        is_liquidation=bool(shape.is_liquidation),
        strange_words=_strange_words(shape, strange_price) if is_strange else (),
    )


def _strange_words(shape: OrderShape, price: str | None) -> tuple[StrangeWord, ...]:
    said = (
        ("order_state", shape.order_state or "", shape.order_state in _STATUSES),
        ("order_type", shape.order_type or "", shape.order_type in _ORDER_TYPES),
        ("time_in_force", shape.time_in_force, shape.time_in_force in _TIMES_IN_FORCE),
        ("trigger", shape.trigger, shape.trigger in _TRIGGERS),
        ("cancel_reason", shape.cancel_reason, shape.cancel_reason in _CANCEL_REASONS),
        ("price", price, False),
    )
    return tuple(
        StrangeWord(field, word[:_WORD_LENGTH_MAX])
        for field, word, is_known in said
        if word is not None and not is_known
    )


def _order_price(raw: msgspec.Raw) -> tuple[Decimal | None, str | None]:
    """The price, or the word that stands in its place; neither for market orders."""
    text = bytes(raw)
    if text in _MARKET_PRICES:
        return None, None
    try:
        return number(decode(_price, raw)), None
    except Unreadable:
        return None, decode(_word, raw)


def _fill_of(shape: FillShape) -> Fill:
    return Fill(
        trade_id=_present(shape.trade_id),
        order_id=_present(shape.order_id),
        label=shape.label or "",
        instrument_name=_present(shape.instrument_name),
        direction=_direction(shape.direction),
        amount=_amount(shape.amount),
        price=number(shape.price),
        fee=number(shape.fee),
        fee_currency=_present(shape.fee_currency),
        timestamp_ms=time_ms(shape.timestamp),
        trade_seq=count(shape.trade_seq),
        order_type=shape.order_type or "",
        mark_price=optional(shape.mark_price),
        index_price=optional(shape.index_price),
        is_maker=shape.liquidity == "M",
        # `liquidation` names the side or sides that were liquidated: M, T or MT.
        is_liquidation=shape.order_type == "liquidation"
        or (shape.liquidation is not None and (shape.liquidity or "?") in shape.liquidation),
    )


def _position_of(shape: PositionShape) -> Position:
    # Futures come signed; whether options do is not documented, so direction decides.
    size = abs(number(shape.size))
    if shape.direction == "buy" and shape.size < 0:
        raise Unreadable(f"a long position in {shape.instrument_name} of {shape.size}")
    match shape.direction:
        case "buy":
            signed = size
        case "sell":
            signed = -size
        case "zero":
            signed = ZERO
        case other:
            raise Unreadable(f"direction {other[:_WORD_LENGTH_MAX]!r} of a position")
    if bool(size) is not bool(signed):
        raise Unreadable(f"a position in {shape.instrument_name} of {size} in no direction")
    return Position(
        instrument_name=_present(shape.instrument_name),
        size=signed,
        average_price=unless_empty(shape.average_price) if signed else None,
        mark_price=number(shape.mark_price),
        realized_profit_loss=or_zero(shape.realized_profit_loss),
        floating_profit_loss=or_zero(shape.floating_profit_loss),
    )


def _direction(word: str) -> Direction:
    direction = _DIRECTIONS.get(word)
    if direction is None:
        raise Unreadable(f"direction {word[:_WORD_LENGTH_MAX]!r}")
    return direction


def _present(name: str) -> str:
    if not name:
        raise Unreadable("a name that is empty")
    return name


def _amount(value: Decimal) -> Decimal:
    if not value or value.is_signed():
        raise Unreadable("an amount that is not above zero")
    return number(value)
