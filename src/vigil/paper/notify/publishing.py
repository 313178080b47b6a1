"""Who hears what: subscriptions, and notifications made of what happened.

The venue calls `tell` after every request and tick with the books' journal, and `tick` after every
tick. What comes out are messages with the connections that get them, in order.
Source: Deribit API v2, notifications; recorded channels for objects versus arrays.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from vigil.paper.account import summaries
from vigil.paper.account.books import Entry, Logged, OrderChanged, OrderForgotten, Traded
from vigil.paper.account.orders import PaperOrder, PaperTrade
from vigil.paper.exchange import Exchange
from vigil.paper.market.charts import RESOLUTION_MINUTES
from vigil.paper.market.instruments import INDEX_NAMES
from vigil.paper.market.market import Market
from vigil.paper.notify.channels import Topic, parse_channel
from vigil.paper.wire import render
from vigil.paper.wire.framing import subscription

_SLOW_MS = 1000  # of agg2 channels, indexes and portfolios


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One notification for some connections."""

    connection_ids: tuple[int, ...]
    message: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class _Channel:
    """A channel that somebody listens to.

    Args:
        listeners: Connection to the label its notifications carry.
        waiting: Events gathered since the last message of an aggregated channel.
        shown: What was last sent, where only changes are worth a message.
        change_id: Of the last book message.
    """

    name: str
    topic: Topic
    listeners: dict[int, str | None]
    waiting: list[Any]
    shown: Any = None
    change_id: int = 0
    last_slow_ms: int = 0


class Publisher:
    """All subscriptions of all connections."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._channels: dict[str, _Channel] = {}

    def subscribe(self, connection_id: int, name: str, topic: Topic, label: str | None) -> bool:
        """Add a listener; False when it listens already."""
        channel = self._channels.get(name)
        if channel is None:
            channel = _Channel(name=name, topic=topic, listeners={}, waiting=[])
            self._channels[name] = channel
        is_new = connection_id not in channel.listeners
        channel.listeners[connection_id] = label
        return is_new

    def unsubscribe(self, connection_id: int, name: str) -> bool:
        """Remove a listener; False when it did not listen."""
        channel = self._channels.get(name)
        if channel is None or connection_id not in channel.listeners:
            return False
        del channel.listeners[connection_id]
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

    def greet(self, connection_id: int, name: str, now_ms: int) -> Iterator[Push]:
        """The first messages of a new subscription."""
        channel = self._channels[name]
        for data in self._first_data(channel, now_ms):
            yield from self._pushes(channel, data, only=connection_id)

    def tell(self, journal: Iterable[Entry], now_ms: int) -> Iterator[Push]:
        """Notifications of what happened to the account's orders, trades and cash."""
        orders: dict[str, list[PaperOrder]] = {}
        trades: dict[str, list[PaperTrade]] = {}
        for entry in journal:
            match entry:
                case OrderChanged(order=order, is_silent=False):
                    orders.setdefault(order.instrument_name, []).append(order)
                    yield from self._tell("user.orders", order.instrument_name, [order])
                case Traded(trade=trade):
                    trades.setdefault(trade.instrument_name, []).append(trade)
                case OrderChanged() | OrderForgotten() | Logged():
                    pass
        for name, made in trades.items():
            yield from self._tell("user.trades", name, made)
        for name in dict.fromkeys((*orders, *trades)):
            yield from self._tell_changes(name, orders.get(name, []), trades.get(name, []))
        if orders or trades:
            yield from self._tell_portfolios(now_ms, is_due=True)

    def tick(self, now_ms: int) -> Iterator[Push]:
        """Market data, and what aggregated channels gathered."""
        fresh = {name: m.drain_tape() for name, m in self._exchange.markets.items()}
        for channel in tuple(self._channels.values()):
            topic = channel.topic
            if topic.family == "trades":
                for name, made in fresh.items():
                    if topic.covers(self._exchange.markets[name].listing):
                        channel.waiting.extend(render.public_trade(item) for item in made)
            is_slow = topic.interval == "agg2" or topic.family == "deribit_price_index"
            if is_slow and now_ms - channel.last_slow_ms < _SLOW_MS:
                continue
            if is_slow:
                channel.last_slow_ms = now_ms
            for data in self._due_data(channel, now_ms):
                yield from self._pushes(channel, data)
        yield from self._tell_portfolios(now_ms, is_due=False)

    # -- the account ---------------------------------------------------------------------------

    def _tell(
        self, family: str, instrument_name: str, items: list[PaperOrder] | list[PaperTrade]
    ) -> Iterator[Push]:
        listing = self._exchange.markets[instrument_name].listing
        for channel in self._listened(family):
            if not channel.topic.covers(listing):
                continue
            objects = [
                render.order(item) if isinstance(item, PaperOrder) else render.trade(item)
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
        market = self._exchange.markets[instrument_name]
        for channel in self._listened("user.changes"):
            if not channel.topic.covers(market.listing):
                continue
            data = {
                "instrument_name": instrument_name,
                "orders": [render.order(order) for order in orders],
                "trades": [render.trade(trade) for trade in trades],
                "positions": [render.position(self._exchange.books, market)],
            }
            if channel.topic.interval == "raw":
                yield from self._pushes(channel, data)
            else:
                channel.waiting.append(data)

    def _tell_portfolios(self, now_ms: int, *, is_due: bool) -> Iterator[Push]:
        for channel in self._listened("user.portfolio"):
            if not is_due and now_ms - channel.last_slow_ms < _SLOW_MS:
                continue
            channel.last_slow_ms = now_ms
            shown = channel.shown or {}
            channel.shown = {data["currency"]: data for data in self._portfolios(channel)}
            for currency, data in channel.shown.items():
                if shown.get(currency) != data:
                    yield from self._pushes(channel, data)

    def _portfolios(self, channel: _Channel) -> list[dict[str, Any]]:
        wanted = channel.topic.currency
        books, markets = self._exchange.books, self._exchange.markets
        names = books.cash if wanted == "any" else (wanted,)
        return [summaries.portfolio(name, books, markets) for name in names]

    # -- the market ----------------------------------------------------------------------------

    def _first_data(self, channel: _Channel, now_ms: int) -> Iterator[Any]:
        topic = channel.topic
        match topic.family:
            case "book":
                market = self._market(channel)
                if channel.change_id == 0:
                    channel.change_id = self._next_change_id()
                    channel.shown = _book_sides(market)
                yield {
                    "timestamp": now_ms,
                    "type": "snapshot",
                    "change_id": channel.change_id,
                    "instrument_name": market.listing.name,
                } | {
                    side: [["new", price, amount] for price, amount in levels.items()]
                    for side, levels in channel.shown.items()
                }
            case "platform_state":
                for index_name in INDEX_NAMES:
                    yield {"price_index": index_name, "locked": False}
            case "user.portfolio":
                yield from self._portfolios(channel)
            case "ticker" | "perpetual" | "deribit_price_index":
                yield from self._due_data(channel, now_ms)
            case "quote" | "book_window" | "chart.trades":
                channel.shown = None  # what others have seen already is new to this one
                yield from self._due_data(channel, now_ms)
            case _:
                pass

    def _due_data(self, channel: _Channel, now_ms: int) -> Iterator[Any]:
        topic = channel.topic
        match topic.family:
            case "ticker":
                yield render.ticker(self._market(channel), now_ms)
            case "quote":
                data = render.quote(self._market(channel), now_ms)
                content = {key: value for key, value in data.items() if key != "timestamp"}
                if content != channel.shown:
                    channel.shown = content
                    yield data
            case "book":
                yield from self._book_changes(channel, now_ms)
            case "book_window":
                yield from self._book_window(channel, now_ms)
            case "perpetual":
                index_price = self._market(channel).index_price
                yield {"index_price": index_price, "interest": Decimal(0), "timestamp": now_ms}
            case "deribit_price_index":
                price = self._exchange.prices[topic.detail]
                yield {"index_name": topic.detail, "price": price, "timestamp": now_ms}
            case "chart.trades":
                yield from self._last_candle(channel, now_ms)
            case _:
                yield from _gathered(channel)

    def _book_changes(self, channel: _Channel, now_ms: int) -> Iterator[Any]:
        market = self._market(channel)
        now, before = _book_sides(market), channel.shown
        changes = {side: _side_changes(before[side], now[side]) for side in now}
        if not any(changes.values()):
            return
        previous, channel.change_id = channel.change_id, self._next_change_id()
        channel.shown = now
        yield {
            "timestamp": now_ms,
            "type": "change",
            "change_id": channel.change_id,
            "prev_change_id": previous,
            "instrument_name": market.listing.name,
        } | changes

    def _book_window(self, channel: _Channel, now_ms: int) -> Iterator[Any]:
        market, depth = self._market(channel), int(channel.topic.detail)
        window = {"bids": market.bids[:depth], "asks": market.asks[:depth]}
        if window == channel.shown:
            return
        channel.shown = window
        yield {
            "timestamp": now_ms,
            "instrument_name": market.listing.name,
            "change_id": self._next_change_id(),
        } | window

    def _last_candle(self, channel: _Channel, now_ms: int) -> Iterator[Any]:
        market = self._market(channel)
        minutes = RESOLUTION_MINUTES[channel.topic.detail]
        columns = summaries.chart(self._exchange, market, now_ms, now_ms, minutes)
        if not columns["ticks"]:
            return
        data = {name: columns["ticks" if name == "tick" else name][-1] for name in _CANDLE}
        if data != channel.shown:
            channel.shown = data
            yield data

    # -- plumbing ------------------------------------------------------------------------------

    def _listened(self, family: str) -> list[_Channel]:
        return [c for c in self._channels.values() if c.topic.family == family]

    def _market(self, channel: _Channel) -> Market:
        assert channel.topic.instrument_name is not None
        return self._exchange.markets[channel.topic.instrument_name]

    def _next_change_id(self) -> int:
        return self._exchange.books.next_number("change")

    def _pushes(self, channel: _Channel, data: Any, only: int | None = None) -> Iterator[Push]:
        """One message for all listeners that gave the same label."""
        by_label: dict[str | None, list[int]] = {}
        for connection_id, label in channel.listeners.items():
            if only in (None, connection_id):
                by_label.setdefault(label, []).append(connection_id)
        for label, connection_ids in by_label.items():
            yield Push(
                connection_ids=tuple(connection_ids),
                message=subscription(channel.name, data, label),
            )


_CANDLE = ("tick", "open", "high", "low", "close", "volume", "cost")


def _gathered(channel: _Channel) -> Iterator[Any]:
    waiting, channel.waiting = channel.waiting, []
    if channel.topic.family == "user.changes":
        yield from waiting
    elif waiting:
        yield waiting


def _book_sides(market: Market) -> dict[str, dict[Decimal, Decimal]]:
    return {"bids": dict(market.bids), "asks": dict(market.asks)}


def _side_changes(
    before: dict[Decimal, Decimal], now: dict[Decimal, Decimal]
) -> list[tuple[str, Decimal, Decimal]]:
    gone = [("delete", price, Decimal("0.0")) for price in before if price not in now]
    return gone + [
        ("change" if price in before else "new", price, amount)
        for price, amount in now.items()
        if before.get(price) != amount
    ]


def topic_of(name: str, *, is_private_call: bool) -> Topic | None:
    """The topic of a channel, if that kind of call may subscribe to it."""
    topic = parse_channel(name)
    if topic is None or (topic.is_private and not is_private_call):
        return None
    return topic
