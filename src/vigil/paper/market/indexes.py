"""Every price index: what moves it, its candles, and what it was delivered at.

An index follows a walk, or stands still until a hand moves it. A walk goes on from where a hand
moved its index to.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from vigil.domain.money import round_nearest
from vigil.paper.market.charts import Chart, ClosedMinute, flat_history
from vigil.paper.market.delivery_price import DeliveryWindow
from vigil.paper.market.index import Delivery, Index
from vigil.paper.market.instruments import Catalogue, Listing
from vigil.paper.market.pricing import price_quantum
from vigil.paper.market.walk import Walk

_CENT = Decimal("0.01")


class Indexes:
    """The indexes that a catalogue's instruments follow.

    Attributes: `by_name`, and `charts` with their candles.

    Args:
        walks: By index name; one walk may serve several. An index without one stands still.
        start_prices: Of indexes without a walk.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        now_ms: int,
        walks: Mapping[str, Walk],
        start_prices: Mapping[str, Decimal],
    ) -> None:
        self.born_ms = now_ms
        self._walks = dict(walks)
        self._shifts: dict[str, Decimal] = {}  # of indexes that a hand moved off their walk
        self._new_deliveries: list[Delivery] = []
        self.born_prices = {
            name: walks[name].price if name in walks else start_prices[name]
            for name in catalogue.index_names
        }
        self.by_name = {
            name: _index(catalogue.listings, name, price, now_ms)
            for name, price in self.born_prices.items()
        }
        self.charts = self._charts()

    @property
    def prices(self) -> dict[str, Decimal]:
        """Present prices by index name."""
        return {name: index.price for name, index in self.by_name.items()}

    def walk(self, market_seconds: float) -> dict[str, Decimal]:
        """Let the walks cover that many market seconds. Returns: new prices by index name."""
        moved = {id(walk): walk for walk in self._walks.values()}
        prices = {key: walk.advance(market_seconds) for key, walk in moved.items()}
        return {
            name: prices[id(walk)] * self._shifts.get(name, 1)
            for name, walk in self._walks.items()
            if name in self.by_name
        }

    def shift(self, index_name: str, price: Decimal) -> None:
        """Let an index's walk go on from a price that a hand moved it to."""
        walk = self._walks.get(index_name)
        if walk is None:
            return
        walked = walk.price * self._shifts.get(index_name, 1)
        if round_nearest(walked, self.by_name[index_name].quantum) != price:
            self._shifts[index_name] = price / walk.price

    def move(self, index_name: str, price: Decimal, now_ms: int) -> None:
        """Move one index, and note what was delivered meanwhile."""
        index = self.by_name[index_name]
        self._new_deliveries.extend(index.move(price, now_ms))
        self.charts[index_name].record(index.price, now_ms)

    def drain_deliveries(self) -> tuple[Delivery, ...]:
        """Delivery prices since the last call, for persistence."""
        fresh, self._new_deliveries = self._new_deliveries, []
        return tuple(fresh)

    def drain_minutes(self) -> tuple[ClosedMinute, ...]:
        """Chart minutes that ended since the last call, for persistence."""
        return tuple(minute for chart in self.charts.values() for minute in chart.drain_closed())

    def drain_folded_minutes(self) -> tuple[tuple[str, int], ...]:
        """Index and beginning of chart minutes that went into hours, for persistence."""
        return tuple(
            (name, start_ms)
            for name, chart in self.charts.items()
            for start_ms in chart.drain_folded()
        )

    def windows(self) -> dict[str, DeliveryWindow]:
        """Half hours before an expiry that are being averaged."""
        return {n: index.window for n, index in self.by_name.items() if index.window is not None}

    def walk_snapshots(self) -> dict[str, dict[str, object]]:
        """Snapshots by index name, one per distinct walk."""
        walks: dict[int, tuple[str, Walk]] = {}
        for name, walk in self._walks.items():
            walks.setdefault(id(walk), (name, walk))
        return {name: walk.snapshot() for name, walk in walks.values()}

    def restore(
        self,
        catalogue: Catalogue,
        *,
        now_ms: int,
        born_ms: int,
        born_prices: Mapping[str, Decimal],
        prices: Mapping[str, Decimal],
        walks: Mapping[str, Mapping[str, object]],
        deliveries: Iterable[Delivery],
        windows: Mapping[str, DeliveryWindow],
        minutes: Iterable[ClosedMinute],
    ) -> None:
        """Take back what was kept at `now_ms`, in place of the fresh ones."""
        self.born_ms = born_ms
        for name, snapshot in walks.items():
            if name in self._walks:
                self._walks[name].restore(snapshot)
        walked = {name: walk.price for name, walk in self._walks.items()}
        present = self.prices | walked | dict(prices)
        self.born_prices = present | dict(born_prices)
        by_index: dict[str, dict[int, Decimal]] = {}
        for delivery in deliveries:
            by_index.setdefault(delivery.index_name, {})[delivery.expires_ms] = delivery.price
        self.by_name.clear()
        for name in catalogue.index_names:
            index = _index(catalogue.listings, name, present[name], now_ms)
            index.restore(
                now_ms=now_ms, window=windows.get(name), deliveries=by_index.get(name, {})
            )
            self.by_name[name] = index
            if name in prices and walks:
                self.shift(name, prices[name])
        self.charts = self._charts()
        recorded = list(minutes)
        for name, chart in self.charts.items():
            chart.restore(row.candle for row in recorded if row.index_name == name)

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


def _index(listings: Iterable[Listing], name: str, price: Decimal, now_ms: int) -> Index:
    ticks = [
        price_quantum(item.instrument)
        for item in listings
        if item.instrument.price_index == name and item.instrument.is_linear
    ]
    return Index(name, price, now_ms, quantum=min((_CENT, *ticks)))
