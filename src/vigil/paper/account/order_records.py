"""Every order the exchange still knows: by id, label and instrument, the closed ones by time.

A closed order can be asked for by id or label for as long as it is recent. After that only the
order history has it, and in the end nobody.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import merge

from vigil.paper.account.orders import PaperOrder
from vigil.paper.account.shelf import LENGTH_MAX, RECENT_ORDERS_MS, Shelf, Window


class OrderRecords:
    """Orders, indexed so that no question costs more than its answer.

    Args:
        closed_max: Closed orders kept per instrument.
    """

    def __init__(self, closed_max: int = LENGTH_MAX) -> None:
        self.by_id: dict[str, PaperOrder] = {}
        self._closed_max = closed_max
        self._live: dict[str, dict[str, None]] = {}
        self._pending: dict[str, None] = {}
        self._by_label: dict[str, dict[str, None]] = {}
        self._closed: dict[str, Shelf[PaperOrder]] = {}
        self._recent: deque[tuple[int, str]] = deque()

    def put(self, order: PaperOrder) -> list[PaperOrder]:
        """Keep an order's new state. Returns closed orders that had to go for it."""
        known = self.by_id.get(order.order_id)
        self.by_id[order.order_id] = order
        self._by_label.setdefault(order.label, {})[order.order_id] = None
        self._unlist(order)
        if order.is_live:
            if order.is_pending:
                self._pending[order.order_id] = None
            else:
                self._live.setdefault(order.instrument_name, {})[order.order_id] = None
            return []
        shelf = self._closed.setdefault(order.instrument_name, Shelf(self._closed_max))
        if known is not None and not known.is_live:
            _replace(shelf, order)
            return []
        self._recent.append((order.last_update_timestamp_ms, order.order_id))
        return shelf.add(order.last_update_timestamp_ms, order)

    def forget(self, order_id: str) -> None:
        """Drop a live order's record as if it had never been."""
        order = self.by_id[order_id]
        self._pending.pop(order_id, None)
        self._live.get(order.instrument_name, {}).pop(order_id, None)
        self._drop(order)

    def age(self, now_ms: int) -> None:
        """Let go, by id and label, of orders that closed longer ago than recent ones may."""
        while self._recent and self._recent[0][0] <= now_ms - RECENT_ORDERS_MS:
            _, order_id = self._recent.popleft()
            self._drop(self.by_id[order_id])

    def live(self, instrument_name: str | None = None) -> Iterator[PaperOrder]:
        """Orders that rest or wait for a trigger, oldest first; pending secondaries excluded."""
        names = self._live if instrument_name is None else (instrument_name,)
        for name in tuple(names):
            for order_id in tuple(self._live.get(name, ())):
                order = self.by_id.get(order_id)
                if order is not None and order.is_live:
                    yield order

    def live_count(self) -> int:
        """How many orders rest or wait for a trigger."""
        return sum(len(live) for live in self._live.values())

    def live_names(self) -> list[str]:
        """Instruments with a live order."""
        return [name for name, live in self._live.items() if live]

    def pending(self) -> list[PaperOrder]:
        """Secondaries that wait for their primaries, oldest first."""
        return [self.by_id[order_id] for order_id in self._pending]

    def labelled(self, label: str) -> list[PaperOrder]:
        """Every order with that label, oldest first."""
        return [self.by_id[order_id] for order_id in self._by_label.get(label, ())]

    def closed_names(self) -> list[str]:
        """Instruments with closed orders."""
        return [name for name, shelf in self._closed.items() if shelf.items]

    def everything(self) -> list[PaperOrder]:
        """Every order that is still kept: closed ones as they closed, then those that live."""
        closed = (order for shelf in self._closed.values() for order in shelf.items)
        return [*closed, *(order for order in self.by_id.values() if order.is_live)]

    def closed(self, names: Iterable[str], window: Window) -> Iterator[PaperOrder]:
        """Closed orders of some instruments, the latest closed first."""
        shelves = (self._closed[name] for name in names if name in self._closed)
        return merge(
            *(shelf.newest_first(window) for shelf in shelves),
            key=lambda order: order.last_update_timestamp_ms,
            reverse=True,
        )

    def restore(self, orders: Iterable[PaperOrder]) -> None:
        """Take back kept orders: live ones as first placed, closed ones as they closed."""
        orders = tuple(orders)
        for order in orders:
            self._by_label.setdefault(order.label, {})[order.order_id] = None
        closed = (order for order in orders if not order.is_live)
        for order in sorted(closed, key=lambda order: order.last_update_timestamp_ms):
            self.put(order)
        for order in orders:
            if order.is_live:
                self.put(order)

    def _unlist(self, order: PaperOrder) -> None:
        self._pending.pop(order.order_id, None)
        live = self._live.get(order.instrument_name)
        if live is not None and not (order.is_live and not order.is_pending):
            live.pop(order.order_id, None)

    def _drop(self, order: PaperOrder) -> None:
        del self.by_id[order.order_id]
        same = self._by_label[order.label]
        del same[order.order_id]
        if not same:
            del self._by_label[order.label]


def _replace(shelf: Shelf[PaperOrder], order: PaperOrder) -> None:
    """Correct a closed order's record; it is near the end, for it has only just closed."""
    for index in range(len(shelf.items) - 1, -1, -1):
        if shelf.items[index].order_id == order.order_id:
            shelf.items[index] = order
            return
