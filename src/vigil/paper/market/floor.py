"""The trading floor: every index, chart and market, and the walks that move them.

Perpetuals are followed at every move. Dated instruments are only told that time went by: they
reckon their prices when somebody looks. After every 08:00 UTC new expiries are listed.
"""

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from vigil.domain.money import round_nearest
from vigil.paper.market.board import FIRST_ID, board
from vigil.paper.market.charts import Chart, ClosedMinute, flat_history
from vigil.paper.market.delivery_price import DAY_MS, DeliveryWindow, expiry_before
from vigil.paper.market.index import Delivery, Index
from vigil.paper.market.instruments import PERPETUALS, Catalogue, Listing
from vigil.paper.market.market import BookState, Market, OwnOrders
from vigil.paper.market.premium import drifted
from vigil.paper.market.pricing import price_quantum
from vigil.paper.market.walk import Walk

_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentListed:
    """A new instrument can be traded."""

    listing: Listing


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChanged:
    """A book is in another state."""

    instrument_name: str
    state: BookState


News = InstrumentListed | StateChanged


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketState:
    """One market, as persistence keeps it."""

    instrument_name: str
    last_price: Decimal
    settlement_price: Decimal
    weights: tuple[tuple[int, ...], ...]
    state: BookState = BookState.OPEN
    delivery_price: Decimal | None = None
    premium: Decimal | None = None


class Floor:
    """Markets by instrument name, with what they follow.

    Args:
        listings: What is listed whatever the day is; an instrument whose expiry has passed is
            listed as archived.
        walks: By index name; one walk may serve several. An index without one stands still.
        start_prices: Of indexes without a walk.
        lists_expiries: Dated futures and options of the day are listed as well.
        dice: For the amounts in the books.
        own_orders: See `Market`.
    """

    def __init__(
        self,
        *,
        now_ms: int,
        listings: Iterable[Listing],
        walks: Mapping[str, Walk],
        start_prices: Mapping[str, Decimal],
        premium: Decimal,
        dice: random.Random,
        own_orders: OwnOrders,
        lists_expiries: bool = True,
    ) -> None:
        self.catalogue = Catalogue(listings)
        self.born_ms = now_ms
        self.markets: dict[str, Market] = {}
        self.news: list[News] = []
        self._traded: list[str] = []
        self._walks = dict(walks)
        self._shifts: dict[str, Decimal] = {}  # of indexes that a hand moved off their walk
        self._premium = premium
        self._premiums: dict[str, Decimal] = {}
        self._dice = dice
        self._own_orders = own_orders
        self._lists_expiries = lists_expiries
        self._base = self.catalogue.listings
        self._new_deliveries: list[Delivery] = []
        self._dated: dict[str, list[Market]] = {}
        self._perpetuals: dict[str, list[Market]] = {}
        prices = {
            name: walks[name].price if name in walks else start_prices[name]
            for name in self.catalogue.index_names
        }
        self.born_prices = dict(prices)
        self.indexes = {name: self._index(name, price, now_ms) for name, price in prices.items()}
        self.charts = self._charts()
        self._listed_until_ms = expiry_before(now_ms)
        self._new_listings = [item for item in self.catalogue.listings if item not in PERPETUALS]
        if lists_expiries:
            for listing in board(now_ms, prices):
                self.catalogue.add(listing)
                self._new_listings.append(listing)
        for listing in self.catalogue.listings:
            self._open(listing)

    @property
    def prices(self) -> dict[str, Decimal]:
        """Present prices by index name."""
        return {name: index.price for name, index in self.indexes.items()}

    def walk(self, market_seconds: float) -> dict[str, Decimal]:
        """Let the walks cover that many market seconds. Returns: new prices by index name."""
        moved = {id(walk): walk for walk in self._walks.values()}
        prices = {key: walk.advance(market_seconds) for key, walk in moved.items()}
        return {
            name: prices[id(walk)] * self._shifts.get(name, 1)
            for name, walk in self._walks.items()
            if name in self.indexes
        }

    def shift(self, index_name: str, price: Decimal) -> None:
        """Let an index's walk go on from a price that a hand moved it to."""
        walk = self._walks.get(index_name)
        if walk is None:
            return
        walked = walk.price * self._shifts.get(index_name, 1)
        if round_nearest(walked, self.indexes[index_name].quantum) != price:
            self._shifts[index_name] = price / walk.price

    def move(self, index_name: str, price: Decimal, now_ms: int) -> None:
        """Move one index, and note what was delivered meanwhile."""
        index = self.indexes[index_name]
        self._new_deliveries.extend(index.move(price, now_ms))
        self.charts[index_name].record(index.price, now_ms)

    def drift_premiums(self, index_name: str, market_seconds: float) -> None:
        """Let the premiums of an index's perpetuals wander; the next move shows it."""
        for market in self.perpetuals(index_name):
            centre = self._premiums.get(market.listing.name, self._premium)
            market.premium = drifted(market.premium, centre, market_seconds, self._dice)

    def set_premium(self, instrument_name: str, premium: Decimal) -> Index:
        """Set where a perpetual's premium stands and wanders about; returns what to move next."""
        market = self.markets[instrument_name]
        self._premiums[instrument_name] = market.premium = premium
        return market.index

    def redraw(self) -> None:
        """Let other people's orders in the perpetuals come and go."""
        for market in self.perpetuals():
            market.redraw(self._dice)

    def perpetuals(self, index_name: str | None = None) -> Iterator[Market]:
        """The markets that are followed at every move."""
        names = self._perpetuals if index_name is None else (index_name,)
        for name in names:
            yield from self._perpetuals.get(name, ())

    def dated(self, index_name: str) -> list[Market]:
        """Open dated futures and options on an index."""
        return [m for m in self._dated.get(index_name, ()) if m.state is BookState.OPEN]

    def list_new(self, now_ms: int) -> None:
        """After an expiry, list what comes in its place, and archive what expired a day ago."""
        if expiry_before(now_ms) <= self._listed_until_ms:
            return
        self._listed_until_ms = expiry_before(now_ms)
        for markets in self._dated.values():
            for market in markets:
                is_old = market.listing.expires_ms <= self._listed_until_ms - DAY_MS
                if is_old and market.state is BookState.DELIVERED:
                    market.state = BookState.ARCHIVIZED
            markets[:] = [m for m in markets if m.state is not BookState.ARCHIVIZED]
        if not self._lists_expiries:
            return
        ids = (listing.instrument_id for listing in self.catalogue.listings)
        for listing in board(now_ms, self.prices, max(FIRST_ID, *ids) + 1):
            if listing.name not in self.catalogue.by_name:
                self._list(listing)

    def drain_news(self) -> list[News]:
        """What the public has to hear since the last call."""
        news, self.news = self.news, []
        return news

    def drain_traded(self) -> list[str]:
        """Instruments with something new on their tape since the last call."""
        traded = self._traded.copy()
        self._traded.clear()
        return traded

    def drain_listings(self) -> tuple[Listing, ...]:
        """What was listed since the last call, for persistence."""
        fresh, self._new_listings = self._new_listings, []
        return tuple(fresh)

    def drain_deliveries(self) -> tuple[Delivery, ...]:
        """Delivery prices since the last call, for persistence."""
        fresh, self._new_deliveries = self._new_deliveries, []
        return tuple(fresh)

    def drain_minutes(self) -> tuple[ClosedMinute, ...]:
        """Chart minutes that ended since the last call, for persistence."""
        return tuple(minute for chart in self.charts.values() for minute in chart.drain_closed())

    def windows(self) -> dict[str, DeliveryWindow]:
        """Half hours before an expiry that are being averaged."""
        return {n: index.window for n, index in self.indexes.items() if index.window is not None}

    def walk_snapshots(self) -> dict[str, dict[str, object]]:
        """Snapshots by index name, one per distinct walk."""
        walks: dict[int, tuple[str, Walk]] = {}
        for name, walk in self._walks.items():
            walks.setdefault(id(walk), (name, walk))
        return {name: walk.snapshot() for name, walk in walks.values()}

    def market_states(self, names: Iterable[str]) -> tuple[MarketState, ...]:
        """What has to be kept of perpetuals and of the named markets."""
        wanted = dict.fromkeys(m.listing.name for m in self.perpetuals())
        wanted |= dict.fromkeys(name for name in names if name in self.markets)
        return tuple(
            MarketState(
                instrument_name=name,
                last_price=market.last_price,
                settlement_price=market.settlement_price,
                weights=market.weights,
                state=market.state,
                delivery_price=market.delivery_price,
                premium=market.premium,
            )
            for name in wanted
            for market in (self.markets[name],)
        )

    def restore(
        self,
        *,
        now_ms: int,
        born_ms: int,
        born_prices: Mapping[str, Decimal],
        prices: Mapping[str, Decimal],
        walks: Mapping[str, Mapping[str, object]],
        listings: Iterable[Listing],
        deliveries: Iterable[Delivery],
        windows: Mapping[str, DeliveryWindow],
        minutes: Iterable[ClosedMinute],
        states: Iterable[MarketState],
    ) -> None:
        """Take back a kept floor, in place of the fresh one; nobody is told.

        Args:
            now_ms: When it was kept.
        """
        self.born_ms = born_ms
        for name, snapshot in walks.items():
            if name in self._walks:
                self._walks[name].restore(snapshot)
        kept_listings = list(listings)
        if kept_listings:
            names = {listing.name for listing in self._base}
            self.catalogue = Catalogue(
                (*self._base, *(item for item in kept_listings if item.name not in names))
            )
            kept_names = {listing.name for listing in kept_listings}
            self._new_listings = [i for i in self._new_listings if i.name in names - kept_names]
        fresh = {name: index.price for name, index in self.indexes.items()}
        walked = {name: walk.price for name, walk in self._walks.items()}
        present = fresh | walked | dict(prices)
        self.born_prices = present | dict(born_prices)
        by_index: dict[str, dict[int, Decimal]] = {}
        for delivery in deliveries:
            by_index.setdefault(delivery.index_name, {})[delivery.expires_ms] = delivery.price
        self.indexes.clear()
        for name in self.catalogue.index_names:
            index = self.indexes[name] = self._index(name, present[name], now_ms)
            index.restore(
                now_ms=now_ms, window=windows.get(name), deliveries=by_index.get(name, {})
            )
            if name in prices and walks:
                self.shift(name, prices[name])
        self.charts = self._charts()
        recorded = list(minutes)
        for name, chart in self.charts.items():
            chart.restore(row.candle for row in recorded if row.index_name == name)
        self._listed_until_ms = expiry_before(now_ms)
        self._restore_markets({state.instrument_name: state for state in states})

    def _restore_markets(self, states: Mapping[str, MarketState]) -> None:
        for known in (self.markets, self._dated, self._perpetuals):
            known.clear()
        for listing in self.catalogue.listings:
            market = self._open(listing)
            kept = states.get(listing.name)
            delivered = market.index.deliveries.get(listing.expires_ms)
            if kept is not None:
                market.restore(
                    weights=kept.weights,
                    settlement_price=kept.settlement_price,
                    last_price=kept.last_price,
                    state=kept.state,
                    delivery_price=kept.delivery_price,
                    premium=kept.premium,
                )
            elif delivered is not None:
                market.restore(
                    weights=(),
                    settlement_price=None,
                    last_price=None,
                    state=BookState.DELIVERED,
                    delivery_price=delivered,
                )

    def _list(self, listing: Listing) -> None:
        self.catalogue.add(listing)
        self._open(listing)
        self._new_listings.append(listing)
        self.news.append(InstrumentListed(listing=listing))

    def _open(self, listing: Listing) -> Market:
        market = self.markets[listing.name] = Market(
            listing,
            self.indexes[listing.instrument.price_index],
            premium=self._premium,
            own_orders=self._own_orders,
            underlying_index=self._underlying_index(listing),
            on_state=self._state_changed,
            on_trade=self._traded.append,
        )
        if listing.expires_ms <= self.born_ms:
            market.restore(
                weights=(), settlement_price=None, last_price=None, state=BookState.ARCHIVIZED
            )
        followed = self._perpetuals if listing.is_perpetual else self._dated
        followed.setdefault(listing.instrument.price_index, []).append(market)
        return market

    def _underlying_index(self, listing: Listing) -> str:
        """The future of an option's expiry, or a synthetic one where none is listed."""
        if listing.strike is None:
            return ""
        future = listing.name.rsplit("-", 2)[0]
        return future if future in self.catalogue.by_name else f"SYN.{future}"

    def _state_changed(self, instrument_name: str) -> None:
        state = self.markets[instrument_name].state
        self.news.append(StateChanged(instrument_name=instrument_name, state=state))

    def _index(self, name: str, price: Decimal, now_ms: int) -> Index:
        ticks = [
            price_quantum(item.instrument)
            for item in self.catalogue.listings
            if item.instrument.price_index == name and item.instrument.is_linear
        ]
        return Index(name, price, now_ms, quantum=min((_CENT, *ticks)))

    def _charts(self) -> dict[str, Chart]:
        return {
            name: Chart(
                name,
                history=self._walks[name].history if name in self._walks else flat_history(price),
                start_price=price,
                start_ms=self.born_ms,
            )
            for name, price in self.born_prices.items()
        }
