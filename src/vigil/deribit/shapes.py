"""Deribit's trading objects, field by field, as far as Vigil reads them.

Only `wire` uses these. A field without a default is one that we cannot do without; every other may
be missing or null. Fields not named here are ignored.
Source: Deribit API v2, object shapes; recorded payloads.
"""

from decimal import Decimal

import msgspec


class TickerShape(msgspec.Struct, gc=False):
    """A ticker, of the channel and of `public/ticker`."""

    instrument_name: str
    timestamp: int
    mark_price: Decimal
    index_price: Decimal
    state: str | None = None
    last_price: Decimal | None = None
    best_bid_price: Decimal | None = None
    best_ask_price: Decimal | None = None
    best_bid_amount: Decimal | None = None
    best_ask_amount: Decimal | None = None
    min_price: Decimal | None = None
    max_price: Decimal | None = None


class OrderShape(msgspec.Struct, gc=False):
    """An order; `price` is a number or the word `market_price`, so it stays undecoded."""

    order_id: str
    instrument_name: str
    direction: str
    amount: Decimal
    creation_timestamp: int
    last_update_timestamp: int
    order_state: str | None = None
    order_type: str | None = None
    time_in_force: str | None = None
    label: str | None = None
    filled_amount: Decimal | None = None
    price: msgspec.Raw = msgspec.Raw(b"null")
    average_price: Decimal | None = None
    reduce_only: bool | None = None
    trigger: str | None = None
    trigger_price: Decimal | None = None
    trigger_order_id: str | None = None
    primary_order_id: str | None = None
    oco_ref: str | None = None
    cancel_reason: str | None = None
    is_liquidation: bool | None = None


class OrderPageShape(msgspec.Struct, gc=False):
    """One page of ended orders."""

    orders: list[OrderShape]
    continuation: int | str | msgspec.UnsetType | None = msgspec.UNSET


class CancelledShape(msgspec.Struct, gc=False):
    """One part of a detailed mass cancellation: the orders of it, or why it failed."""

    instrument_name: str | None = None
    currency: str | None = None
    result: list[OrderShape] | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


class FillShape(msgspec.Struct, gc=False):
    """One of the account's own trades."""

    trade_id: str
    order_id: str
    instrument_name: str
    direction: str
    amount: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    timestamp: int
    trade_seq: int
    label: str | None = None
    order_type: str | None = None
    liquidity: str | None = None
    liquidation: str | None = None
    mark_price: Decimal | None = None
    index_price: Decimal | None = None


class FillPageShape(msgspec.Struct, gc=False):
    """One page of own trades."""

    trades: list[FillShape]
    has_more: bool


class PlacedShape(msgspec.Struct, gc=False):
    """The answer to buy, sell and edit."""

    order: OrderShape
    trades: list[FillShape] = []


class PositionShape(msgspec.Struct, gc=False):
    """A net position; `direction` is buy, sell or zero."""

    instrument_name: str
    direction: str
    size: Decimal
    mark_price: Decimal
    average_price: Decimal | None = None
    realized_profit_loss: Decimal | None = None
    floating_profit_loss: Decimal | None = None


class ChangesShape(msgspec.Struct, gc=False):
    """What one event changed in one instrument."""

    instrument_name: str
    orders: list[OrderShape] = []
    trades: list[FillShape] = []
    positions: list[PositionShape] = []
