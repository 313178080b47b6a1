"""Deribit's objects about the market as bytes, and the domain's values.

As `wire`, for what is asked now and then, and for the market's quieter channels. Books are in
`book`.
Source: Deribit API v2, object shapes; recorded payloads.
"""

from decimal import Decimal

import msgspec

from vigil.deribit.decoding import (
    Unreadable,
    count,
    decode,
    decoder,
    number,
    optional,
    or_zero,
    time_ms,
    unless_empty,
)
from vigil.deribit.shapes_market import (
    BookSummaryShape,
    CandleShape,
    ChartShape,
    FundingNowShape,
    InstrumentShape,
    InstrumentStateShape,
    PlatformStateShape,
    PlatformStatusShape,
    PublicTradePageShape,
    PublicTradeShape,
    QuoteShape,
    VersionShape,
)
from vigil.domain.events import PlatformStateReceived
from vigil.domain.instrument import NEVER_EXPIRES_MS, Instrument, Kind, TickStep, contract_of
from vigil.domain.market import (
    BookSummary,
    Candle,
    FundingNow,
    InstrumentState,
    PlatformStatus,
    PublicTrade,
    Quote,
)
from vigil.domain.order import Direction

_KINDS = {word.value: word for word in Kind}
_DIRECTIONS = {word.value: word for word in Direction}

_instrument = decoder(InstrumentShape)
_instruments = decoder(list[InstrumentShape])
_chart = decoder(ChartShape)
_candle = decoder(CandleShape)
_public_trades = decoder(list[PublicTradeShape])
_public_trade_page = decoder(PublicTradePageShape)
_quote = decoder(QuoteShape)
_instrument_state = decoder(InstrumentStateShape)
_funding_now = decoder(FundingNowShape)
_book_summaries = decoder(list[BookSummaryShape])
_platform_state = decoder(PlatformStateShape)
_platform_status = decoder(PlatformStatusShape)
_version = decoder(VersionShape)
_expirations = decoder(dict[str, list[str]])
_expirations_by_currency = decoder(dict[str, dict[str, list[str]]])
_decimal = decoder(Decimal)


def to_instrument(raw: msgspec.Raw) -> Instrument:
    """One instrument."""
    return _instrument_of(decode(_instrument, raw))


def to_instruments(raw: msgspec.Raw) -> tuple[tuple[Instrument, ...], frozenset[str]]:
    """A list of instruments, and why some of it was left out.

    Nothing can be held or traded in what we cannot describe, and one novelty in a list of
    thousands must not hide the rest. Asking for one that was left out by its name raises.
    """
    known: dict[str, Instrument] = {}
    strange: set[str] = set()
    for shape in decode(_instruments, raw):
        try:
            instrument = _instrument_of(shape)
        except Unreadable as error:
            strange.add(str(error))
            continue
        if known.setdefault(instrument.instrument_name, instrument) is not instrument:
            raise Unreadable(f"{instrument.instrument_name} is listed twice")
    return tuple(known.values()), frozenset(strange)


def to_candles(raw: msgspec.Raw) -> tuple[Candle, ...]:
    """Chart data, oldest first; empty when the exchange has none for the window."""
    chart = decode(_chart, raw)
    if chart.status not in ("ok", "no_data"):
        raise Unreadable(f"chart status {chart.status[:64]!r}")
    columns = (chart.ticks, chart.open, chart.high, chart.low, chart.close)
    if len({len(column) for column in columns}) != 1:
        raise Unreadable("chart columns differ in length")
    return tuple(
        Candle(
            start_ms=time_ms(tick),
            open=number(open_),
            high=number(high),
            low=number(low),
            close=number(close),
        )
        for tick, open_, high, low, close in zip(*columns, strict=True)
    )


def to_candle(raw: msgspec.Raw) -> Candle:
    """The candle that is being made."""
    shape = decode(_candle, raw)
    return Candle(
        start_ms=time_ms(shape.tick),
        open=number(shape.open),
        high=number(shape.high),
        low=number(shape.low),
        close=number(shape.close),
    )


def to_public_trades(raw: msgspec.Raw) -> tuple[PublicTrade, ...]:
    """An array of trades of anybody."""
    return tuple(_public_trade_of(shape) for shape in decode(_public_trades, raw))


def to_public_trade_page(raw: msgspec.Raw) -> tuple[tuple[PublicTrade, ...], bool]:
    """One page of trades of anybody, and whether there are more."""
    page = decode(_public_trade_page, raw)
    return tuple(_public_trade_of(shape) for shape in page.trades), page.has_more


def to_quote(raw: msgspec.Raw) -> Quote:
    """The best prices of a book. Zero or null means that the side is empty."""
    shape = decode(_quote, raw)
    return Quote(
        instrument_name=shape.instrument_name,
        timestamp_ms=time_ms(shape.timestamp),
        bid_price=unless_empty(shape.best_bid_price),
        bid_amount=unless_empty(shape.best_bid_amount),
        ask_price=unless_empty(shape.best_ask_price),
        ask_amount=unless_empty(shape.best_ask_amount),
    )


def to_instrument_state(raw: msgspec.Raw) -> InstrumentState:
    """An instrument's step in its life; the word is kept as it comes."""
    shape = decode(_instrument_state, raw)
    return InstrumentState(
        instrument_name=shape.instrument_name,
        state=shape.state,
        timestamp_ms=None if shape.timestamp is None else time_ms(shape.timestamp),
    )


def to_funding_now(raw: msgspec.Raw) -> FundingNow:
    """The funding rate of this instant."""
    shape = decode(_funding_now, raw)
    return FundingNow(
        timestamp_ms=time_ms(shape.timestamp),
        interest=number(shape.interest),
        index_price=number(shape.index_price),
    )


def to_book_summaries(raw: msgspec.Raw) -> tuple[BookSummary, ...]:
    """Markets in short."""
    return tuple(
        BookSummary(
            instrument_name=shape.instrument_name,
            timestamp_ms=time_ms(shape.creation_timestamp),
            mark_price=unless_empty(shape.mark_price),
            bid_price=unless_empty(shape.bid_price),
            ask_price=unless_empty(shape.ask_price),
            last_price=unless_empty(shape.last),
            open_interest=optional(shape.open_interest),
            volume=optional(shape.volume),
        )
        for shape in decode(_book_summaries, raw)
    )


def to_expirations(raw: msgspec.Raw) -> dict[str, tuple[str, ...]]:
    """Expiry dates as in instrument names, and `PERPETUAL`, by kind.

    Asked for several currencies at once the exchange nests them; the kinds are then joined.
    """
    try:
        by_kind = decode(_expirations, raw)
    except Unreadable:
        by_kind = {}
        for kinds in decode(_expirations_by_currency, raw).values():
            for kind, dates in kinds.items():
                by_kind.setdefault(kind, []).extend(dates)
    return {kind: tuple(dict.fromkeys(dates)) for kind, dates in by_kind.items()}


def to_platform_state(raw: msgspec.Raw) -> PlatformStateReceived:
    """A lock of trading on an index, its release, or the announcement of maintenance."""
    shape = decode(_platform_state, raw)
    if shape.locked is None and shape.maintenance is None:
        raise Unreadable("a platform state that says nothing")
    return PlatformStateReceived(
        price_index=shape.price_index,
        is_locked=bool(shape.locked),
        is_maintenance=bool(shape.maintenance),
    )


def to_platform_status(raw: msgspec.Raw) -> PlatformStatus:
    """Locks in force. A word that we do not know counts as locked."""
    shape = decode(_platform_status, raw)
    word = str(shape.locked).lower()
    indices = frozenset(shape.locked_indices or ())
    return PlatformStatus(
        is_locked=word not in ("false", "partial"),
        is_partly_locked=word == "partial" or bool(indices),
        locked_indices=indices,
    )


def to_version(raw: msgspec.Raw) -> str:
    """The version that the exchange says it runs."""
    return decode(_version, raw).version


def _public_trade_of(shape: PublicTradeShape) -> PublicTrade:
    direction = _DIRECTIONS.get(shape.direction)
    if direction is None:
        raise Unreadable(f"direction {shape.direction[:64]!r} of a trade")
    return PublicTrade(
        trade_id=shape.trade_id,
        trade_seq=count(shape.trade_seq),
        instrument_name=shape.instrument_name,
        timestamp_ms=time_ms(shape.timestamp),
        direction=direction,
        price=number(shape.price),
        amount=number(shape.amount),
        mark_price=optional(shape.mark_price),
        index_price=optional(shape.index_price),
        is_liquidation=bool(shape.liquidation) and shape.liquidation != "none",
        is_block=shape.block_trade_id is not None,
    )


def _instrument_of(shape: InstrumentShape) -> Instrument:
    kind = _KINDS.get(shape.kind)
    if kind is None:
        raise Unreadable(f"kind {shape.kind[:64]!r}")
    family = shape.instrument_type or shape.future_type
    contract = contract_of(shape.instrument_name)
    if family is None:  # older records leave it to the name
        family = "linear" if contract.is_linear else "reversed"
    if family not in ("linear", "reversed") and kind in (Kind.FUTURE, Kind.OPTION):
        raise Unreadable(f"instrument_type {family[:64]!r}")
    expiration_ms = shape.expiration_timestamp
    return Instrument(
        instrument_name=shape.instrument_name,
        kind=kind,
        is_linear=family == "linear" or kind is Kind.SPOT,
        base_currency=shape.base_currency,
        quote_currency=shape.quote_currency,
        settlement_currency=shape.settlement_currency or contract.settlement_currency,
        contract_size=_positive(shape.contract_size),
        min_trade_amount=_positive(shape.min_trade_amount),
        tick_size=_positive(shape.tick_size),
        tick_size_steps=tuple(
            TickStep(above_price=number(step.above_price), tick_size=_positive(step.tick_size))
            for step in shape.tick_size_steps or ()
        ),
        maker_commission=or_zero(shape.maker_commission),
        taker_commission=or_zero(shape.taker_commission),
        max_leverage=1 if shape.max_leverage is None else count(int(number(shape.max_leverage))),
        expiration_timestamp_ms=NEVER_EXPIRES_MS
        if expiration_ms is None
        else time_ms(expiration_ms),
        price_index=shape.price_index or "",
        is_active=shape.is_active is not False,
    )


def _positive(value: Decimal) -> Decimal:
    """A step or size, by which others are divided."""
    if number(value) <= 0:
        raise Unreadable(f"a step or size of {value}")
    return value
