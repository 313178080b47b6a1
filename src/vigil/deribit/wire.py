"""Deribit's objects as bytes, and the domain's values: the only place that knows both.

JSON text comes in and domain values leave, numbers exact to the digit. Unknown fields are ignored.
What is missing, has the wrong type, or is a word we do not know raises `Unreadable`: it was said,
and was not understood, which is neither an empty answer nor a reason to end the session.
Source: Deribit API v2, object shapes; recorded payloads.
"""

from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

import msgspec

from vigil.deribit.jsonrpc import DECODE_ERRORS
from vigil.deribit.shapes import (
    ChartShape,
    FillPageShape,
    FillShape,
    InstrumentShape,
    OrderShape,
    PlacedShape,
    PositionShape,
    SummariesShape,
    SummaryShape,
    TickerShape,
)
from vigil.domain.instrument import Instrument, Kind, TickStep
from vigil.domain.market import Candle, Ticker
from vigil.domain.money import ZERO
from vigil.domain.order import (
    Direction,
    Fill,
    Order,
    OrderStatus,
    OrderType,
    Trigger,
)
from vigil.domain.portfolio import AccountSummary, Position
from vigil.errors import OutcomeUnknown

# Deribit's numbers lie far inside these powers of ten; beyond them, plain notation of one number
# could fill the memory.
_EXPONENT_MAX = 32
_TIMESTAMP_MS_MAX = 2**53

_S = TypeVar("_S")
_E = TypeVar("_E", bound=StrEnum)


class Unreadable(OutcomeUnknown):
    """The exchange said something that we do not understand: ask again before acting."""


def _decoder(shape: type[_S]) -> "msgspec.json.Decoder[_S]":
    # Lax, because one field comes as 10, 10.0 or 1.0e1; what is no number at all is still refused.
    return msgspec.json.Decoder(shape, strict=False)


_ticker = _decoder(TickerShape)
_order = _decoder(OrderShape)
_orders = _decoder(list[OrderShape])
_fills = _decoder(list[FillShape])
_fill_page = _decoder(FillPageShape)
_placed = _decoder(PlacedShape)
_position = _decoder(PositionShape)
_positions = _decoder(list[PositionShape])
_summary = _decoder(SummaryShape)
_summaries = _decoder(SummariesShape)
_instrument = _decoder(InstrumentShape)
_instruments = _decoder(list[InstrumentShape])
_chart = _decoder(ChartShape)
_price = _decoder(Decimal)
_integer = _decoder(int)
_channels = _decoder(list[str])


def to_ticker(raw: msgspec.Raw) -> Ticker:
    """A ticker. A best price of zero or null means that the side is empty."""
    shape = _decode(_ticker, raw)
    return Ticker(
        instrument_name=shape.instrument_name,
        timestamp_ms=_time(shape.timestamp),
        mark_price=_number(shape.mark_price),
        index_price=_number(shape.index_price),
        last_price=_unless_empty(shape.last_price),
        best_bid_price=_unless_empty(shape.best_bid_price),
        best_ask_price=_unless_empty(shape.best_ask_price),
        best_bid_amount=_unless_empty(shape.best_bid_amount),
        best_ask_amount=_unless_empty(shape.best_ask_amount),
        min_price=_unless_empty(shape.min_price),
        max_price=_unless_empty(shape.max_price),
        is_open=shape.state == "open",
    )


def to_order(raw: msgspec.Raw) -> Order:
    """One bare order."""
    return _order_of(_decode(_order, raw))


def to_orders(raw: msgspec.Raw) -> tuple[Order, ...]:
    """An array of orders; or one order, as raw notifications carry it."""
    if bytes(raw).startswith(b"{"):
        return (to_order(raw),)
    return tuple(_order_of(shape) for shape in _decode(_orders, raw))


def to_placed(raw: msgspec.Raw) -> tuple[Order, tuple[Fill, ...]]:
    """The answer to buy, sell and edit: the order, and the fills made before the answer."""
    shape = _decode(_placed, raw)
    return _order_of(shape.order), tuple(_fill_of(fill) for fill in shape.trades)


def to_fills(raw: msgspec.Raw) -> tuple[Fill, ...]:
    """An array of the account's own trades."""
    return tuple(_fill_of(shape) for shape in _decode(_fills, raw))


def to_fill_page(raw: msgspec.Raw) -> tuple[tuple[Fill, ...], bool]:
    """One page of own trades, and whether there are more."""
    page = _decode(_fill_page, raw)
    return tuple(_fill_of(shape) for shape in page.trades), page.has_more


def to_position(raw: msgspec.Raw) -> Position:
    """One position, flat or not."""
    return _position_of(_decode(_position, raw))


def to_positions(raw: msgspec.Raw) -> tuple[Position, ...]:
    """All positions, flat ones as the exchange lists them."""
    return tuple(_position_of(shape) for shape in _decode(_positions, raw))


def to_account_summary(raw: msgspec.Raw) -> AccountSummary:
    """Cash and margin in one currency, from a summary or a portfolio notification."""
    return _summary_of(_decode(_summary, raw))


def to_account_id(raw: msgspec.Raw) -> str:
    """The account's number, out of its summaries."""
    return str(_decode(_summaries, raw).id)


def to_account_summaries(raw: msgspec.Raw) -> tuple[AccountSummary, ...]:
    """Cash and margin in every currency of the account."""
    return tuple(_summary_of(shape) for shape in _decode(_summaries, raw).summaries)


def to_instrument(raw: msgspec.Raw) -> Instrument:
    """One instrument."""
    return _instrument_of(_decode(_instrument, raw))


def to_instruments(raw: msgspec.Raw) -> tuple[Instrument, ...]:
    """A list of instruments; those of a kind we do not know are left out.

    Nothing can be held or traded in what we cannot describe, and one novelty in a list of
    thousands must not hide the rest. Asking for it by name raises.
    """
    known = {kind.value for kind in Kind}
    shapes = _decode(_instruments, raw)
    return tuple(_instrument_of(shape) for shape in shapes if shape.kind in known)


def to_candles(raw: msgspec.Raw) -> tuple[Candle, ...]:
    """Chart data, oldest first; empty when the exchange has none for the window."""
    chart = _decode(_chart, raw)
    if chart.status not in ("ok", "no_data"):
        raise Unreadable(f"chart status {chart.status!r}")
    columns = (chart.ticks, chart.open, chart.high, chart.low, chart.close)
    if len({len(column) for column in columns}) != 1:
        raise Unreadable("chart columns differ in length")
    return tuple(
        Candle(
            start_ms=_time(tick),
            open=_number(open_),
            high=_number(high),
            low=_number(low),
            close=_number(close),
        )
        for tick, open_, high, low, close in zip(*columns, strict=True)
    )


def to_server_time_ms(raw: msgspec.Raw) -> int:
    """Exchange time, milliseconds since the epoch."""
    return _time(_decode(_integer, raw))


def to_channels(raw: msgspec.Raw) -> tuple[str, ...]:
    """The channels that a subscription was accepted for, in no order."""
    names = _decode(_channels, raw)
    return tuple(names)


def _order_of(shape: OrderShape) -> Order:
    amount = _number(shape.amount)
    filled = ZERO if shape.filled_amount is None else _number(shape.filled_amount)
    status = _word(OrderStatus, shape.order_state, "order_state", _WIRE_STATUSES)
    if status is OrderStatus.OPEN and filled > 0:
        status = OrderStatus.PARTIALLY_FILLED
    return Order(
        order_id=shape.order_id,
        label=shape.label or "",
        instrument_name=shape.instrument_name,
        direction=_word(Direction, shape.direction, "direction"),
        order_type=_word(OrderType, shape.order_type, "order_type"),
        status=status,
        amount=amount,
        filled_amount=filled,
        creation_timestamp_ms=_time(shape.creation_timestamp),
        last_update_timestamp_ms=_time(shape.last_update_timestamp),
        price=_order_price(shape.price),
        average_price=_unless_empty(shape.average_price),
        reduce_only=shape.reduce_only,
        trigger=None if shape.trigger is None else _word(Trigger, shape.trigger, "trigger"),
        trigger_price=_optional(shape.trigger_price),
        trigger_order_id=shape.trigger_order_id,
        primary_order_id=shape.primary_order_id,
        oco_ref=shape.oco_ref,
        cancel_reason=shape.cancel_reason,
        is_liquidation=shape.is_liquidation,
    )


# The exchange has no partially-filled state, and knows nothing of our own doubts.
_WIRE_STATUSES = frozenset(
    {
        OrderStatus.OPEN,
        OrderStatus.FILLED,
        OrderStatus.CANCELLED,
        OrderStatus.REJECTED,
        OrderStatus.UNTRIGGERED,
        OrderStatus.TRIGGERED,
    }
)


def _fill_of(shape: FillShape) -> Fill:
    return Fill(
        trade_id=shape.trade_id,
        order_id=shape.order_id,
        label=shape.label or "",
        instrument_name=shape.instrument_name,
        direction=_word(Direction, shape.direction, "direction"),
        amount=_number(shape.amount),
        price=_number(shape.price),
        fee=_number(shape.fee),
        fee_currency=shape.fee_currency,
        timestamp_ms=_time(shape.timestamp),
        trade_seq=shape.trade_seq,
        order_type=shape.order_type or "",
        mark_price=_optional(shape.mark_price),
        index_price=_optional(shape.index_price),
        is_maker=shape.liquidity == "M",
        # `liquidation` names the side or sides that were liquidated: M, T or MT.
        is_liquidation=shape.order_type == OrderType.LIQUIDATION
        or (shape.liquidity is not None and shape.liquidity in (shape.liquidation or "")),
    )


def _position_of(shape: PositionShape) -> Position:
    # Futures come signed; whether options do is not documented, so direction decides.
    size = abs(_number(shape.size))
    match shape.direction:
        case "buy":
            signed = size
        case "sell":
            signed = -size
        case "zero":
            signed = ZERO
        case other:
            raise Unreadable(f"direction {other!r} of a position")
    return Position(
        instrument_name=shape.instrument_name,
        size=signed,
        average_price=_unless_empty(shape.average_price) if signed else None,
        mark_price=_number(shape.mark_price),
        realized_profit_loss=_optional(shape.realized_profit_loss) or ZERO,
        floating_profit_loss=_optional(shape.floating_profit_loss) or ZERO,
    )


def _summary_of(shape: SummaryShape) -> AccountSummary:
    return AccountSummary(
        currency=shape.currency,
        balance=_number(shape.balance),
        equity=_number(shape.equity),
        available_funds=_number(shape.available_funds),
        initial_margin=_number(shape.initial_margin),
        maintenance_margin=_number(shape.maintenance_margin),
    )


def _instrument_of(shape: InstrumentShape) -> Instrument:
    kind = _word(Kind, shape.kind, "kind")
    family = shape.instrument_type or shape.future_type
    if family not in ("linear", "reversed") and kind in (Kind.FUTURE, Kind.OPTION):
        raise Unreadable(f"instrument_type {family!r} of {shape.instrument_name}")
    return Instrument(
        instrument_name=shape.instrument_name,
        kind=kind,
        is_linear=family == "linear" or kind is Kind.SPOT,
        base_currency=shape.base_currency,
        quote_currency=shape.quote_currency,
        settlement_currency=shape.settlement_currency or shape.quote_currency,
        contract_size=_number(shape.contract_size),
        min_trade_amount=_number(shape.min_trade_amount),
        tick_size=_number(shape.tick_size),
        tick_size_steps=tuple(
            TickStep(above_price=_number(step.above_price), tick_size=_number(step.tick_size))
            for step in shape.tick_size_steps
        ),
        maker_commission=_number(shape.maker_commission),
        taker_commission=_number(shape.taker_commission),
        max_leverage=int(_number(shape.max_leverage)),
        expiration_timestamp_ms=_time(shape.expiration_timestamp),
        price_index=shape.price_index,
        is_active=shape.is_active,
    )


def _decode(decoder: "msgspec.json.Decoder[_S]", raw: msgspec.Raw) -> _S:
    try:
        return decoder.decode(raw)
    except DECODE_ERRORS as error:
        raise Unreadable(str(error)) from error


def _word(words: type[_E], text: str, field: str, among: frozenset[_E] | None = None) -> _E:
    try:
        word = words(text)
    except ValueError:
        raise Unreadable(f"{field} {text[:64]!r}") from None
    if among is not None and word not in among:
        raise Unreadable(f"{field} {text!r}")
    return word


def _order_price(raw: msgspec.Raw) -> Decimal | None:
    text = bytes(raw)
    if text in (b'"market_price"', b"null"):
        return None
    return _number(_decode(_price, raw))


def _number(value: Decimal) -> Decimal:
    if not (-_EXPONENT_MAX <= value.adjusted() <= _EXPONENT_MAX and value.is_finite()):
        raise Unreadable("a number that is not finite, or beyond all measure")
    return value


def _optional(value: Decimal | None) -> Decimal | None:
    return None if value is None else _number(value)


def _unless_empty(value: Decimal | None) -> Decimal | None:
    return None if not value else _number(value)


def _time(timestamp_ms: int) -> int:
    if not 0 <= timestamp_ms <= _TIMESTAMP_MS_MAX:
        raise Unreadable("a time outside all calendars")
    return timestamp_ms
