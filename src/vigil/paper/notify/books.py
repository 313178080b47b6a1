"""Order books as they are told: states with change ids, changes between them, grouped windows.

Change ids come from one counter of all instruments, so they jump. A book has one id however many
look at it, over whichever channel or method.
Source: Deribit API v2, book channels; recorded snapshots and changes.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from vigil.domain.money import ZERO, round_down, round_up
from vigil.domain.order import Direction
from vigil.paper.exchange import Exchange
from vigil.paper.market.depth import Level
from vigil.paper.market.instruments import Listing
from vigil.paper.market.market import Market
from vigil.paper.notify.groups import group_step

_NOTHING = Decimal("0.0")

Side = dict[Decimal, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class BookView:
    """A book at one moment.

    Args:
        levels: What it was made of, to know it again.
    """

    change_id: int
    bids: Side
    asks: Side
    levels: tuple[list[Level], list[Level]]

    def window(self, depth: int) -> dict[str, list[Level]]:
        """The best levels of both sides."""
        bids, asks = self.levels
        return {"bids": bids[:depth], "asks": asks[:depth]}


class Books:
    """The present state of every book that anybody looks at."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._views: dict[str, BookView] = {}

    def forget(self, instrument_name: str) -> None:
        """Nobody has anything to look at there any more."""
        self._views.pop(instrument_name, None)

    def look(self, instrument_name: str) -> BookView:
        """The book now; the same id as before if nothing changed in it."""
        market = self._exchange.markets[instrument_name]
        levels = (market.bids, market.asks)
        known = self._views.get(instrument_name)
        if known is not None and known.levels == levels:
            return known
        view = self._views[instrument_name] = BookView(
            change_id=self._exchange.next_change_id(),
            bids=dict(levels[0]),
            asks=dict(levels[1]),
            levels=levels,
        )
        return view


def snapshot(market: Market, view: BookView, now_ms: int) -> dict[str, Any]:
    """The first message of a book channel."""
    return {
        "timestamp": now_ms,
        "type": "snapshot",
        "change_id": view.change_id,
        "instrument_name": market.listing.name,
        "bids": [["new", price, amount] for price, amount in view.bids.items()],
        "asks": [["new", price, amount] for price, amount in view.asks.items()],
    }


def change(market: Market, before: BookView, now: BookView, now_ms: int) -> dict[str, Any]:
    """What leads from one state of a book to another."""
    return {
        "timestamp": now_ms,
        "type": "change",
        "change_id": now.change_id,
        "prev_change_id": before.change_id,
        "instrument_name": market.listing.name,
        "bids": _side_changes(before.bids, now.bids),
        "asks": _side_changes(before.asks, now.asks),
    }


def stale_change(market: Market, view: BookView, now_ms: int) -> dict[str, Any]:
    """A change from before a snapshot that comes after it; a client has to drop it.

    It takes the best levels away, so that who applies it has another book.
    """
    best = [next(iter(side), None) for side in (view.bids, view.asks)]
    bids, asks = ([["delete", price, _NOTHING]] if price is not None else [] for price in best)
    return {
        "timestamp": now_ms,
        "type": "change",
        "change_id": view.change_id,
        "prev_change_id": view.change_id - 1,
        "instrument_name": market.listing.name,
        "bids": bids,
        "asks": asks,
    }


def grouped_window(
    view: BookView, listing: Listing, group: str, depth: int
) -> dict[str, list[Level]]:
    """The best levels, gathered into steps of a group; bids downwards, asks upwards."""
    if group == "none":
        return view.window(depth)
    step = group_step(listing, group)
    return {
        "bids": _gathered(view.bids, Direction.BUY, step)[:depth],
        "asks": _gathered(view.asks, Direction.SELL, step)[:depth],
    }


def _gathered(side: Side, direction: Direction, step: Decimal) -> list[Level]:
    rounded = round_down if direction is Direction.BUY else round_up
    gathered: Side = {}
    for price, amount in side.items():
        at = rounded(price, step)
        gathered[at] = gathered.get(at, ZERO) + amount
    return list(gathered.items())


def _side_changes(before: Side, now: Side) -> list[tuple[str, Decimal, Decimal]]:
    gone = [("delete", price, _NOTHING) for price in before if price not in now]
    return gone + [
        ("change" if price in before else "new", price, amount)
        for price, amount in now.items()
        if before.get(price) != amount
    ]
