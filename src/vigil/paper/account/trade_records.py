"""Every execution the exchange still knows: by instrument and time, sequence, id, and by order."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import merge

from vigil.paper.account.orders import PaperTrade
from vigil.paper.account.shelf import Shelf, Window

TRADES_MAX = 50_000
_LAST = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeRange:
    """Executions between bounds, all inclusive.

    Args:
        first_number, last_number: Of the numbers inside trade ids, one count per currency.
        first_seq, last_seq: Of the sequence of one instrument.
    """

    window: Window
    first_number: int = 0
    last_number: int = _LAST
    first_seq: int = 0
    last_seq: int = _LAST


class TradeRecords:
    """Executions, indexed so that no question costs more than its answer.

    Args:
        length_max: Executions kept, on all instruments together.
    """

    def __init__(self, length_max: int = TRADES_MAX) -> None:
        self._everything: Shelf[PaperTrade] = Shelf(length_max)
        self.shelves: dict[str, Shelf[PaperTrade]] = {}
        self._by_order: dict[str, list[PaperTrade]] = {}

    def add(self, trade: PaperTrade) -> list[PaperTrade]:
        """Keep an execution. Returns those that had to go for it."""
        self._by_order.setdefault(trade.order_id, []).append(trade)
        shelf = self.shelves.setdefault(trade.instrument_name, Shelf(TRADES_MAX))
        shelf.add(trade.timestamp_ms, trade)
        dropped = self._everything.add(trade.timestamp_ms, trade)
        for name, count in Counter(old.instrument_name for old in dropped).items():
            self.shelves[name].drop(count)
        for old in dropped:
            of_order = self._by_order[old.order_id]
            of_order.remove(old)
            if not of_order:
                del self._by_order[old.order_id]
        return dropped

    def of_order(self, order_id: str) -> list[PaperTrade]:
        """An order's executions, oldest first."""
        return self._by_order.get(order_id, [])

    def everything(self) -> list[PaperTrade]:
        """All executions, as they came."""
        return self._everything.items

    def select(
        self, names: Iterable[str], wanted: TradeRange, *, is_ascending: bool
    ) -> Iterator[PaperTrade]:
        """Executions on some instruments, in time; reads no more than is asked for."""
        shelves = [self.shelves[name] for name in names if name in self.shelves]
        return merge(
            *(_walk(shelf, wanted, is_ascending=is_ascending) for shelf in shelves),
            key=_position_in_time,
            reverse=not is_ascending,
        )


def _walk(
    shelf: Shelf[PaperTrade], wanted: TradeRange, *, is_ascending: bool
) -> Iterator[PaperTrade]:
    items = shelf.items
    first = max(
        bisect_left(items, wanted.first_seq, key=lambda trade: trade.trade_seq),
        bisect_left(items, wanted.first_number, key=lambda trade: trade.number),
    )
    end = min(
        bisect_right(items, wanted.last_seq, key=lambda trade: trade.trade_seq),
        bisect_right(items, wanted.last_number, key=lambda trade: trade.number),
    )
    read = shelf.oldest_first if is_ascending else shelf.newest_first
    return read(wanted.window, first, end)


def _position_in_time(trade: PaperTrade) -> tuple[int, int]:
    return trade.timestamp_ms, trade.number
