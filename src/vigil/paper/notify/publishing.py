"""Who hears what: subscriptions, and notifications made of what happened.

The venue calls `tell` after every request and tick with the books' journal, and `tick` after every
tick. What comes out are messages with the connections that get them, in order.
Source: Deribit API v2, notifications; recorded channels for objects versus arrays.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from vigil.paper.account import summaries
from vigil.paper.account.books import (
    Entry,
    LiquidationNoticed,
    Logged,
    OrderChanged,
    Traded,
)
from vigil.paper.account.orders import PaperOrder, PaperTrade
from vigil.paper.exchange import Exchange
from vigil.paper.market.market import BookState
from vigil.paper.notify.books import BookView
from vigil.paper.notify.channels import Topic, parse_channel
from vigil.paper.notify.market_data import SLOW_MS, Channel, MarketData
from vigil.paper.wire import render, render_account
from vigil.paper.wire.framing import subscription

_RAW_FAMILIES = frozenset({"ticker", "book", "trades", "quote"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One notification for some connections."""

    connection_ids: tuple[int, ...]
    message: dict[str, Any]


class Publisher:
    """All subscriptions of all connections."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._market_data = MarketData(exchange)
        self._channels: dict[str, Channel] = {}

    def subscribe(self, connection_id: int, name: str, topic: Topic, label: str | None) -> bool:
        """Add a listener; False when it listens already."""
        channel = self._channels.get(name)
        if channel is None:
            channel = Channel(name=name, topic=topic, listeners={}, waiting=[])
            self._channels[name] = channel
        is_new = connection_id not in channel.listeners
        channel.listen(connection_id, label)
        return is_new

    def unsubscribe(self, connection_id: int, name: str) -> bool:
        """Remove a listener; False when it did not listen."""
        channel = self._channels.get(name)
        if channel is None or connection_id not in channel.listeners:
            return False
        channel.leave(connection_id)
        if not channel.listeners:
            del self._channels[name]
        return True

    def channels_of(self, connection_id: int) -> list[str]:
        """Everything that a connection listens to."""
        return [n for n, c in self._channels.items() if connection_id in c.listeners]

    def forget(self, connection_id: int) -> None:
        """The connection is gone."""
        for name in self.channels_of(connection_id):
            self.unsubscribe(connection_id, name)

    def forget_private(self, connection_id: int) -> None:
        """The connection's login has ended."""
        for name in self.channels_of(connection_id):
            if self._channels[name].topic.is_private:
                self.unsubscribe(connection_id, name)

    def announce(self, family: str, items: Iterable[dict[str, Any]]) -> Iterator[Push]:
        """Tell all who listen to a family of channels, whatever else its names say."""
        for data in items:
            for channel in self._listened(family):
                yield from self._pushes(channel, data)

    def book(self, instrument_name: str) -> BookView:
        """A book as the channels tell of it."""
        return self._market_data.books.look(instrument_name)

    def greet(self, connection_id: int, name: str, now_ms: int) -> Iterator[Push]:
        """The first messages of a new subscription."""
        channel = self._channels[name]
        if channel.topic.family == "user.portfolio":
            first: Iterable[Any] = self._portfolios(channel)
        elif channel.topic.is_private:
            first = ()
        else:
            first = self._market_data.first(channel, now_ms)
        for data in first:
            yield from self._pushes(channel, data, only=connection_id)

    def tell(self, journal: Iterable[Entry], now_ms: int) -> Iterator[Push]:
        """Notifications of what happened to the account's orders, trades and cash."""
        orders: dict[str, list[PaperOrder]] = {}
        trades: dict[str, list[PaperTrade]] = {}
        has_cash_moved = False
        for entry in journal:
            match entry:
                case OrderChanged(order=order, is_silent=False):
                    orders.setdefault(order.instrument_name, []).append(order)
                    yield from self._tell("user.orders", order.instrument_name, [order])
                case Traded(trade=trade):
                    trades.setdefault(trade.instrument_name, []).append(trade)
                case Logged():
                    has_cash_moved = True
                case LiquidationNoticed(notice=notice):
                    for channel in self._listened("user.liquidation"):
                        yield from self._pushes(channel, render_account.liquidation(notice))
                case _:
                    pass
        for name, made in trades.items():
            yield from self._tell("user.trades", name, made)
        for name in dict.fromkeys((*orders, *trades)):
            yield from self._tell_changes(name, orders.get(name, []), trades.get(name, []))
        if orders or trades or has_cash_moved:
            yield from self._tell_portfolios(now_ms, is_due=True)
        if orders or trades:
            yield from self._tell_raw(dict.fromkeys((*orders, *trades)), now_ms)

    def tick(self, now_ms: int) -> Iterator[Push]:
        """Market data, and what aggregated channels gathered."""
        data = self._market_data
        data.begin_tick()
        data.gather_trades(self._listened("trades"))
        data.gather_news(self._listened("instrument.state", "instrument.creation"), now_ms)
        for channel in tuple(self._channels.values()):
            if channel.period_ms:
                # Either way: a clock that was set back keeps nothing silent.
                if abs(now_ms - channel.last_slow_ms) < channel.period_ms:
                    continue
                channel.last_slow_ms = now_ms
            yield from self._due(channel, now_ms)
        yield from self._tell_portfolios(now_ms, is_due=False)

    def _due(self, channel: Channel, now_ms: int) -> Iterator[Push]:
        topic = channel.topic
        due = _gathered(channel) if topic.is_private else self._market_data.due(channel, now_ms)
        for data in due:
            yield from self._pushes(channel, data)

    def _tell_raw(self, instrument_names: Iterable[str], now_ms: int) -> Iterator[Push]:
        """What the account did shows in the unaggregated public channels at once."""
        data = self._market_data
        raw = [
            channel
            for channel in self._channels.values()
            if channel.topic.interval == "raw" and channel.topic.family in _RAW_FAMILIES
        ]
        if not raw:
            return
        data.begin_tick()
        data.gather_trades(self._listened("trades"))
        markets = self._exchange.markets
        touched = [markets[name].listing for name in instrument_names]
        for channel in raw:
            if any(channel.topic.covers(listing) for listing in touched):
                yield from self._due(channel, now_ms)

    # -- the account ---------------------------------------------------------------------------

    def _tell(
        self, family: str, instrument_name: str, items: list[PaperOrder] | list[PaperTrade]
    ) -> Iterator[Push]:
        catalogue = self._exchange.catalogue
        listing = catalogue.by_name[instrument_name]
        for channel in self._listened(family):
            if not channel.topic.covers(listing):
                continue
            objects = [
                render.order(item, catalogue)
                if isinstance(item, PaperOrder)
                else render.trade(item, catalogue)
                for item in items
            ]
            if channel.topic.interval != "raw":
                channel.waiting.extend(objects)
            elif family == "user.orders":
                for item in objects:
                    yield from self._pushes(channel, item)
            else:
                yield from self._pushes(channel, objects)

    def _tell_changes(
        self, instrument_name: str, orders: list[PaperOrder], trades: list[PaperTrade]
    ) -> Iterator[Push]:
        market, catalogue = self._exchange.markets[instrument_name], self._exchange.catalogue
        for channel in self._listened("user.changes"):
            if not channel.topic.covers(market.listing):
                continue
            data = {
                "instrument_name": instrument_name,
                "orders": [render.order(order, catalogue) for order in orders],
                "trades": [render.trade(trade, catalogue) for trade in trades],
                "positions": [
                    render_account.position(
                        self._exchange.books,
                        self._exchange.markets,
                        instrument_name,
                        is_pushed=True,
                    )
                ],
            }
            if channel.topic.interval == "raw":
                yield from self._pushes(channel, data)
            else:
                channel.waiting.append(data)

    def _tell_portfolios(self, now_ms: int, *, is_due: bool) -> Iterator[Push]:
        for channel in self._listened("user.portfolio"):
            if not is_due and abs(now_ms - channel.last_slow_ms) < SLOW_MS:
                continue
            channel.last_slow_ms = now_ms
            shown = channel.shown or {}
            channel.shown = {data["currency"]: data for data in self._portfolios(channel)}
            for currency, data in channel.shown.items():
                if shown.get(currency) != data:
                    yield from self._pushes(channel, data)

    def _portfolios(self, channel: Channel) -> list[dict[str, Any]]:
        wanted = channel.topic.currency
        books, markets = self._exchange.books, self._exchange.markets
        names = books.cash if wanted == "any" else (wanted,)
        return [summaries.portfolio(name, books, markets) for name in names]

    # -- plumbing ------------------------------------------------------------------------------

    def _listened(self, *families: str) -> list[Channel]:
        return [c for c in self._channels.values() if c.topic.family in families]

    def _pushes(self, channel: Channel, data: Any, only: int | None = None) -> Iterator[Push]:
        """One message for all listeners that gave the same label."""
        groups = channel.groups
        if only is not None:
            groups = {channel.listeners[only]: (only,)}
        for label, connection_ids in groups.items():
            yield Push(
                connection_ids=connection_ids,
                message=subscription(channel.name, data, label),
            )


def _gathered(channel: Channel) -> Iterator[Any]:
    waiting, channel.waiting = channel.waiting, []
    if channel.topic.family == "user.changes":
        yield from waiting
    elif waiting:
        yield waiting


def topic_of(name: str, exchange: Exchange, *, is_private_call: bool) -> Topic | None:
    """The topic of a channel, if that kind of call may subscribe to it now."""
    topic = parse_channel(name, exchange.catalogue)
    if topic is None or (topic.is_private and not is_private_call):
        return None
    if topic.instrument_name is not None and not topic.is_private:
        is_open = exchange.markets[topic.instrument_name].state is BookState.OPEN
        if exchange.switches.closed_instruments_vanish and not is_open:
            return None
    return topic
