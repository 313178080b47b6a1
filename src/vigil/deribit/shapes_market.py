"""Deribit's objects about the market, field by field, as far as Vigil reads them.

Only `wire_market` uses these. A field without a default is one that we cannot do without; every
other may be missing or null. Fields not named here are ignored.
Source: Deribit API v2, object shapes; recorded payloads.
"""

from decimal import Decimal

import msgspec

from vigil.domain.instrument import NEVER_EXPIRES_MS


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
    tick_size_steps: list[StepShape] | None = None
    maker_commission: Decimal | None = None
    taker_commission: Decimal | None = None
    max_leverage: Decimal | None = None
    expiration_timestamp: int | None = NEVER_EXPIRES_MS
    price_index: str | None = None
    is_active: bool | None = True


class ChartShape(msgspec.Struct, gc=False):
    """Candles as parallel columns."""

    status: str
    ticks: list[int] = []
    open: list[Decimal] = []
    high: list[Decimal] = []
    low: list[Decimal] = []
    close: list[Decimal] = []


class CandleShape(msgspec.Struct, gc=False):
    """The candle that is being made, of the chart channel."""

    tick: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


class PublicTradeShape(msgspec.Struct, gc=False):
    """A trade of anybody; `direction` is the taker's."""

    trade_id: str
    trade_seq: int
    instrument_name: str
    timestamp: int
    direction: str
    price: Decimal
    amount: Decimal
    mark_price: Decimal | None = None
    index_price: Decimal | None = None
    liquidation: str | None = None
    block_trade_id: str | None = None


class PublicTradePageShape(msgspec.Struct, gc=False):
    """One page of trades."""

    trades: list[PublicTradeShape]
    has_more: bool


class QuoteShape(msgspec.Struct, gc=False):
    """The best prices of a book."""

    instrument_name: str
    timestamp: int
    best_bid_price: Decimal | None = None
    best_bid_amount: Decimal | None = None
    best_ask_price: Decimal | None = None
    best_ask_amount: Decimal | None = None


class InstrumentStateShape(msgspec.Struct, gc=False):
    """An instrument's step in its life."""

    instrument_name: str
    state: str
    timestamp: int | None = None


class FundingNowShape(msgspec.Struct, gc=False):
    """The funding rate of this instant, of the perpetual channel."""

    interest: Decimal
    index_price: Decimal
    timestamp: int


class BookSummaryShape(msgspec.Struct, gc=False):
    """One instrument's market in short."""

    instrument_name: str
    creation_timestamp: int
    mark_price: Decimal | None = None
    bid_price: Decimal | None = None
    ask_price: Decimal | None = None
    last: Decimal | None = None
    open_interest: Decimal | None = None
    volume: Decimal | None = None


class OrderBookShape(msgspec.Struct, gc=False):
    """A book as a question answers it: pairs of price and amount."""

    instrument_name: str
    timestamp: int
    change_id: int
    bids: list[tuple[Decimal, Decimal]]
    asks: list[tuple[Decimal, Decimal]]


class BookEventShape(msgspec.Struct, gc=False):
    """What the channel of a whole book says: triples of action, price and amount."""

    instrument_name: str
    timestamp: int
    change_id: int
    type: str
    bids: list[tuple[str, Decimal, Decimal]]
    asks: list[tuple[str, Decimal, Decimal]]
    prev_change_id: int | None = None


class PlatformStateShape(msgspec.Struct, gc=False):
    """A lock of trading on an index, or the announcement of maintenance."""

    price_index: str | None = None
    locked: bool | None = None
    maintenance: bool | None = None


class PlatformStatusShape(msgspec.Struct, gc=False):
    """Locks in force; `locked` is a word, and was a truth value once."""

    locked: str | bool
    locked_indices: list[str] | None = None


class VersionShape(msgspec.Struct, gc=False):
    """The answer to a sign of life."""

    version: str
