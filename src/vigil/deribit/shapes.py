"""Deribit's objects, field by field, as far as Vigil reads them.

Only `wire` uses these. A field without a default is one that we cannot do without; every other may
be missing or null. Fields not named here are ignored.
Source: Deribit API v2, object shapes; recorded payloads.
"""

from decimal import Decimal

import msgspec

from vigil.domain.instrument import NEVER_EXPIRES_MS
from vigil.domain.money import ZERO


class TickerShape(msgspec.Struct, gc=False):
    """A ticker, of the channel and of `public/ticker`."""

    instrument_name: str
    timestamp: int
    mark_price: Decimal
    index_price: Decimal
    state: str = ""
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
    order_type: str
    order_state: str
    amount: Decimal
    creation_timestamp: int
    last_update_timestamp: int
    label: str | None = None
    filled_amount: Decimal | None = None
    price: msgspec.Raw = msgspec.Raw(b"null")
    average_price: Decimal | None = None
    reduce_only: bool = False
    trigger: str | None = None
    trigger_price: Decimal | None = None
    trigger_order_id: str | None = None
    primary_order_id: str | None = None
    oco_ref: str | None = None
    cancel_reason: str | None = None
    is_liquidation: bool = False


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


class SummaryShape(msgspec.Struct, gc=False):
    """Cash and margin in one currency, of a summary and of the portfolio channel."""

    currency: str
    balance: Decimal
    equity: Decimal
    available_funds: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal


class SummariesShape(msgspec.Struct, gc=False):
    """The account and every currency of it."""

    id: int
    summaries: list[SummaryShape]


class StepShape(msgspec.Struct, gc=False):
    """A step of the tick size."""

    above_price: Decimal
    tick_size: Decimal


class InstrumentShape(msgspec.Struct, gc=False):
    """An instrument; spot has neither settlement currency nor type."""

    instrument_name: str
    kind: str
    base_currency: str
    quote_currency: str
    contract_size: Decimal
    min_trade_amount: Decimal
    tick_size: Decimal
    settlement_currency: str | None = None
    instrument_type: str | None = None
    future_type: str | None = None
    tick_size_steps: list[StepShape] = []
    maker_commission: Decimal = ZERO
    taker_commission: Decimal = ZERO
    max_leverage: Decimal = Decimal(1)
    expiration_timestamp: int = NEVER_EXPIRES_MS
    price_index: str = ""
    is_active: bool = True


class ChartShape(msgspec.Struct, gc=False):
    """Candles as parallel columns."""

    status: str
    ticks: list[int] = []
    open: list[Decimal] = []
    high: list[Decimal] = []
    low: list[Decimal] = []
    close: list[Decimal] = []
