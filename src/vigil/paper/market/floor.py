"""The trading floor: every market, and the indexes that they follow.

Perpetuals are followed at every move. Dated instruments are only told that time went by: they
reckon their prices when somebody looks. After every 08:00 UTC new expiries are listed.
"""

import random
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from vigil.paper.market.board import FIRST_ID, board
from vigil.paper.market.charts import ClosedMinute
from vigil.paper.market.delivery_price import DAY_MS, DeliveryWindow, expiry_before
from vigil.paper.market.index import Delivery, Index
from vigil.paper.market.indexes import Indexes
from vigil.paper.market.instruments import PERPETUALS, Catalogue, Listing
from vigil.paper.market.market import BookState, Market, OwnOrders
from vigil.paper.market.premium import drifted
from vigil.paper.market.walk import Walk


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
        self.indexes = Indexes(
            self.catalogue, now_ms=now_ms, walks=walks, start_prices=start_prices
        )
        self.markets: dict[str, Market] = {}
        self.news: list[News] = []
        self._traded: list[str] = []
        self._premium = premium
        self._premiums: dict[str, Decimal] = {}
        self._dice = dice
        self._own_orders = own_orders
        self._lists_expiries = lists_expiries
        self._base = self.catalogue.listings
        self._forgotten: list[str] = []
        self._dated: dict[str, list[Market]] = {}
        self._perpetuals: dict[str, list[Market]] = {}
        self._listed_until_ms = expiry_before(now_ms)
        self._new_listings = [item for item in self.catalogue.listings if item not in PERPETUALS]
        if lists_expiries:
            for listing in board(now_ms, self.indexes.born_prices):
                self.catalogue.add(listing)
                self._new_listings.append(listing)
        for listing in self.catalogue.listings:
            self._open(listing)

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

    def is_listing_due(self, now_ms: int) -> bool:
        """Whether an expiry has passed since instruments were last listed."""
        return expiry_before(now_ms) > self._listed_until_ms

    def list_new(self, now_ms: int) -> None:
        """After an expiry, list what comes in its place, and archive what expired a day ago."""
        self._listed_until_ms = expiry_before(now_ms)
        for markets in self._dated.values():
            for market in markets:
                if market.state is BookState.DELIVERED and self._is_old(market.listing):
                    market.archive()
            markets[:] = [m for m in markets if m.state is not BookState.ARCHIVIZED]
        if self._lists_expiries:
            self._list_board(now_ms)

    def forget(self, expired_by_ms: int, kept: Collection[str]) -> tuple[str, ...]:
        """Forget the archived instruments that expired by then, but none that `kept` names.

        Returns: Their names.
        """
        for_good = {listing.name for listing in self._base}
        names = tuple(
            name
            for name, market in self.markets.items()
            if market.state is BookState.ARCHIVIZED
            and market.listing.expires_ms <= expired_by_ms
            and name not in kept
            and name not in for_good
        )
        for name in names:
            del self.markets[name]
            self.catalogue.remove(name)
        self._forgotten.extend(names)
        return names

    def _is_old(self, listing: Listing) -> bool:
        return listing.expires_ms <= self._listed_until_ms - DAY_MS

    def _list_board(self, now_ms: int) -> None:
        ids = (listing.instrument_id for listing in self.catalogue.listings)
        for listing in board(now_ms, self.indexes.prices, max(FIRST_ID, *ids) + 1):
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

    def drain_forgotten(self) -> tuple[str, ...]:
        """Instruments forgotten since the last call, for persistence."""
        forgotten, self._forgotten = self._forgotten, []
        return tuple(forgotten)

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
        kept_listings = list(listings)
        if kept_listings:
            names = {listing.name for listing in self._base}
            self.catalogue = Catalogue(
                (*self._base, *(item for item in kept_listings if item.name not in names))
            )
            kept_names = {listing.name for listing in kept_listings}
            self._new_listings = [i for i in self._new_listings if i.name in names - kept_names]
        self.indexes.restore(
            self.catalogue,
            now_ms=now_ms,
            born_ms=born_ms,
            born_prices=born_prices,
            prices=prices,
            walks=walks,
            deliveries=deliveries,
            windows=windows,
            minutes=minutes,
        )
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
                    state=BookState.ARCHIVIZED if self._is_old(listing) else BookState.DELIVERED,
                    delivery_price=delivered,
                )
        for markets in self._dated.values():
            markets[:] = [m for m in markets if m.state is not BookState.ARCHIVIZED]

    def _list(self, listing: Listing) -> None:
        self.catalogue.add(listing)
        self._open(listing)
        self._new_listings.append(listing)
        self.news.append(InstrumentListed(listing=listing))

    def _open(self, listing: Listing) -> Market:
        market = self.markets[listing.name] = Market(
            listing,
            self.indexes.by_name[listing.instrument.price_index],
            premium=self._premium,
            own_orders=self._own_orders,
            underlying_index=self._underlying_index(listing),
            on_state=self._state_changed,
            on_trade=self._traded.append,
        )
        if listing.expires_ms <= self.indexes.born_ms:
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
