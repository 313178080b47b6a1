"""What the public channels say: first messages, and what is due at a tick.

Delivered, archived and inactive instruments say nothing any more.
Source: Deribit API v2, subscription channels; recorded notifications.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from vigil.domain.instrument import Kind
from vigil.domain.money import ZERO, round_nearest
from vigil.paper.exchange import Exchange
from vigil.paper.market.chart_columns import chart_columns
from vigil.paper.market.charts import RESOLUTION_MINUTES
from vigil.paper.market.delivery_price import DAY_MS, next_expiry_ms
from vigil.paper.market.floor import InstrumentListed, News, StateChanged
from vigil.paper.market.market import EMPTY_STATES, BookState, Market
from vigil.paper.market.options import smile_volatility
from vigil.paper.notify.books import Books, change, grouped_window, snapshot, stale_change
from vigil.paper.notify.channels import Topic
from vigil.paper.wire import render_market

SLOW_MS = 1000  # of agg2 channels, indexes and portfolios
_PLATFORM_MS = 10_000
_FULL_TICKER_MS = 60_000
_CANDLE = ("tick", "open", "high", "low", "close", "volume", "cost")
_VOLATILITY_YEARS = 30 / 365
_HUNDREDTH = Decimal("0.01")
_HIGH_VOLATILITY = Decimal("0.1")  # of the day's range to its low

_SLOW_FAMILIES = frozenset(
    {
        "deribit_price_index",
        "deribit_price_statistics",
        "deribit_volatility_index",
        "estimated_expiration_price",
        "incremental_ticker",
        "markprice.options",
    }
)


@dataclass(slots=True, kw_only=True)
class Channel:
    """A channel that somebody listens to.

    Args:
        listeners: Connection to the label its notifications carry.
        waiting: Events gathered since the last message of an aggregated channel.
        shown: What was last sent, where only changes are worth a message.
        last_slow_ms: When a channel that speaks seldom did last.
        last_full_ms: When one that sends changes sent everything.
    """

    name: str
    topic: Topic
    listeners: dict[int, str | None]
    waiting: list[Any]
    shown: Any = None
    last_slow_ms: int = 0
    last_full_ms: int = 0
    _groups: dict[str | None, tuple[int, ...]] | None = None

    def listen(self, connection_id: int, label: str | None) -> None:
        """Let one more connection hear it, or under another label."""
        self.listeners[connection_id] = label
        self._groups = None

    def leave(self, connection_id: int) -> None:
        """Let a connection hear it no more."""
        del self.listeners[connection_id]
        self._groups = None

    @property
    def groups(self) -> dict[str | None, tuple[int, ...]]:
        """Connections by the label that they gave: each label is a message of its own."""
        if self._groups is None:
            groups: dict[str | None, tuple[int, ...]] = {}
            for connection_id, label in self.listeners.items():
                groups[label] = (*groups.get(label, ()), connection_id)
            self._groups = groups
        return self._groups

    @property
    def period_ms(self) -> int:
        """How seldom it speaks; 0 at every tick."""
        if self.topic.family == "platform_state":
            return _PLATFORM_MS
        is_slow = self.topic.interval == "agg2" or self.topic.family in _SLOW_FAMILIES
        return SLOW_MS if is_slow else 0


class MarketData:
    """Makes the messages of public channels.

    Tickers are made once a tick, however many channels carry them.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.books = Books(exchange)
        self._exchange = exchange
        self._tickers: dict[str, dict[str, Any]] = {}

    def begin_tick(self) -> None:
        """Prices may have changed."""
        self._tickers.clear()

    def first(self, channel: Channel, now_ms: int) -> Iterator[Any]:
        """What a new listener hears at once."""
        topic = channel.topic
        match topic.family:
            case "book":
                market = self.market(channel)
                if channel.shown is None:
                    channel.shown = self.books.look(market.listing.name)
                yield snapshot(market, channel.shown, now_ms)
                if self._exchange.switches.late_book_events:
                    yield stale_change(market, channel.shown, now_ms)
            case "incremental_ticker":
                if channel.shown is None:
                    channel.shown = self._ticker(self.market(channel), now_ms)
                    channel.last_full_ms = channel.last_slow_ms = now_ms
                yield {"type": "snapshot"} | channel.shown
            case "platform_state":
                yield from self._exchange.platform.index_states()
            case "platform_state.public_methods_state":
                yield self._exchange.platform.public_methods_state()
            case "trades" | "instrument.state" | "instrument.creation":
                pass
            case _:
                # What others have seen already is new to this one; what this one sees now, others
                # have still to be told.
                shown, channel.shown = channel.shown, None
                yield from self.due(channel, now_ms)
                if shown is not None:
                    channel.shown = shown

    def due(self, channel: Channel, now_ms: int) -> Iterator[Any]:
        """What all listeners hear now."""
        topic = channel.topic
        if topic.instrument_name is not None and not self._is_alive(topic.instrument_name):
            return
        match topic.family:
            case "ticker":
                yield self._ticker(self.market(channel), now_ms)
            case "incremental_ticker":
                yield from self._incremental_ticker(channel, now_ms)
            case "quote":
                market, missing = self.market(channel), self._missing
                yield from _if_new(channel, render_market.quote(market, now_ms, missing=missing))
            case "book":
                yield from self._book_changes(channel, now_ms)
            case "book_window":
                yield from self._book_window(channel, now_ms)
            case "perpetual":
                market = self.market(channel)
                yield {
                    "index_price": market.index_price,
                    "interest": market.current_funding,
                    "timestamp": now_ms,
                }
            case "chart.trades":
                yield from self._last_candle(channel, now_ms)
            case "platform_state":
                yield from self._exchange.platform.index_states()
            case "markprice.options":
                yield from self._option_marks(topic.detail, now_ms)
            case _ if topic.detail in self._exchange.floor.indexes.by_name:
                yield from self._of_index(channel, now_ms)
            case _:
                waiting, channel.waiting = channel.waiting, []
                if waiting and topic.family == "trades":
                    yield waiting
                else:
                    yield from waiting

    def gather_trades(self, channels: Iterable[Channel]) -> None:
        """Put what was traded since the last call into the channels that tell of it."""
        exchange = self._exchange
        channels = list(channels)
        for name in exchange.floor.drain_traded():
            market = exchange.markets[name]
            made = market.tape.drain()
            covering = [c for c in channels if c.topic.covers(market.listing)]
            if covering:
                objects = [render_market.public_trade(t, exchange.catalogue) for t in made]
                for channel in covering:
                    channel.waiting.extend(objects)

    def gather_news(self, channels: Iterable[Channel], now_ms: int) -> None:
        """The same of new instruments and of books in new states."""
        channels = list(channels)
        for item in self._exchange.floor.drain_news():
            if isinstance(item, StateChanged) and item.state is BookState.ARCHIVIZED:
                self.books.forget(item.instrument_name)
            for channel in channels:
                channel.waiting.extend(self._news_for(channel, item, now_ms))

    def market(self, channel: Channel) -> Market:
        """The market that a channel is about."""
        assert channel.topic.instrument_name is not None
        return self._exchange.markets[channel.topic.instrument_name]

    def _is_alive(self, instrument_name: str) -> bool:
        market = self._exchange.markets.get(instrument_name)
        return market is not None and market.state not in EMPTY_STATES

    @property
    def _missing(self) -> Decimal | None:
        return self._exchange.missing_price

    def _ticker(self, market: Market, now_ms: int) -> dict[str, Any]:
        known = self._tickers.get(market.listing.name)
        if known is None:
            known = render_market.ticker(market, now_ms, missing=self._missing)
            self._tickers[market.listing.name] = known
        return known

    def _incremental_ticker(self, channel: Channel, now_ms: int) -> Iterator[Any]:
        now, before = self._ticker(self.market(channel), now_ms), channel.shown or {}
        changed = {n: v for n, v in now.items() if n != "timestamp" and before.get(n) != v}
        if now_ms - channel.last_full_ms >= _FULL_TICKER_MS and not changed:
            channel.last_full_ms = now_ms
            yield {"type": "snapshot"} | now
        elif changed:
            channel.last_full_ms = now_ms
            name = self.market(channel).listing.name
            yield {"type": "change", "instrument_name": name, "timestamp": now_ms} | changed
        channel.shown = now

    def _book_changes(self, channel: Channel, now_ms: int) -> Iterator[Any]:
        market, before = self.market(channel), channel.shown
        now = self.books.look(market.listing.name)
        if now.change_id != before.change_id:
            channel.shown = now
            yield change(market, before, now, now_ms)

    def _book_window(self, channel: Channel, now_ms: int) -> Iterator[Any]:
        market = self.market(channel)
        view = self.books.look(market.listing.name)
        group, _, depth = channel.topic.detail.partition(".")
        window = grouped_window(view, market.listing, group, int(depth))
        if window != channel.shown:
            channel.shown = window
            yield {
                "timestamp": now_ms,
                "instrument_name": market.listing.name,
                "change_id": view.change_id,
            } | window

    def _last_candle(self, channel: Channel, now_ms: int) -> Iterator[Any]:
        market = self.market(channel)
        chart = self._exchange.charts[market.listing.instrument.price_index]
        minutes = RESOLUTION_MINUTES[channel.topic.detail]
        columns = chart_columns(market, chart, now_ms, now_ms, minutes)
        if columns["ticks"]:
            data = {name: columns["ticks" if name == "tick" else name][-1] for name in _CANDLE}
            yield from _if_new(channel, data)

    def _option_marks(self, index_name: str, now_ms: int) -> Iterator[Any]:
        marks = [
            render_market.option_mark(market, now_ms)
            for market in self._exchange.floor.dated(index_name)
            if market.listing.instrument.kind is Kind.OPTION
        ]
        if marks:
            yield marks

    def _of_index(self, channel: Channel, now_ms: int) -> Iterator[Any]:
        name = channel.topic.detail
        index = self._exchange.floor.indexes.by_name[name]
        match channel.topic.family:
            case "deribit_price_index":
                yield {"index_name": name, "price": index.price, "timestamp": now_ms}
            case "deribit_price_statistics":
                yield from _if_new(channel, self._statistics(name, now_ms))
            case "estimated_expiration_price":
                yield {
                    "seconds": (next_expiry_ms(now_ms) - now_ms) // 1000,
                    "price": index.estimated_delivery_price,
                    "is_estimated": index.window is not None,
                }
            case _:
                price = float(index.price)
                percent = 100 * smile_volatility(
                    forward=price, strike=price, years=_VOLATILITY_YEARS
                )
                volatility = round_nearest(Decimal(repr(percent)), _HUNDREDTH)
                yield {"index_name": name, "volatility": volatility, "timestamp": now_ms}

    def _statistics(self, index_name: str, now_ms: int) -> dict[str, Any]:
        """With the clock set back beyond the oldest candle there is the present price only."""
        candles = self._exchange.charts[index_name].candles(now_ms - DAY_MS, now_ms, 60)
        price = self._exchange.floor.indexes.by_name[index_name].price
        low = min((candle.low for candle in candles), default=price)
        high = max((candle.high for candle in candles), default=price)
        return {
            "index_name": index_name,
            "low24h": low,
            "high24h": high,
            "change24h": candles[-1].close - candles[0].open if candles else ZERO,
            "high_volatility": (high - low) / low > _HIGH_VOLATILITY,
        }

    def _news_for(self, channel: Channel, item: News, now_ms: int) -> Iterator[dict[str, Any]]:
        match item:
            case InstrumentListed(listing=listing) if channel.topic.covers(listing):
                if channel.topic.family == "instrument.creation":
                    yield render_market.instrument(listing)
                else:
                    for state in ("created", "started"):
                        yield _state(listing.name, state, now_ms)
            case StateChanged(instrument_name=name, state=state):
                is_asked = channel.topic.family == "instrument.state"
                if is_asked and channel.topic.covers(self._exchange.catalogue.by_name[name]):
                    yield _state(name, state, now_ms)
            case _:
                pass


def _state(instrument_name: str, state: str, now_ms: int) -> dict[str, Any]:
    return {"instrument_name": instrument_name, "state": state, "timestamp": now_ms}


def _if_new(channel: Channel, data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The message, unless its like was the last one, its time aside."""
    content = {key: value for key, value in data.items() if key != "timestamp"}
    if content != channel.shown:
        channel.shown = content
        yield data
