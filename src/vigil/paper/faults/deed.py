"""A deed of the venue: what it has to work with, what it came to, and how it is undone. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from vigil.paper.account.books import Books
from vigil.paper.exchange import Exchange
from vigil.paper.faults.entry import Unfit
from vigil.paper.market.market import Market
from vigil.paper.reactions import Outgoing
from vigil.paper.venue import Venue

# Takes a deed back at the exchange time that it is given; returns what there is to tell.
Undo = Callable[[int], tuple[Outgoing, ...]]


@dataclass(slots=True)
class Memory:
    """What deeds remember from one to the next: the books that a rollback goes back to."""

    books: Books | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Where a deed happens.

    Args:
        values: The entry's own fields.
    """

    venue: Venue
    values: Mapping[str, Any]
    now_ms: int
    memory: Memory

    @property
    def exchange(self) -> Exchange:
        """Markets and books."""
        return self.venue.exchange

    def market(self) -> Market:
        """The market that `instrument_name` names. Raises: Unfit."""
        name = self.values["instrument_name"]
        market = self.exchange.markets.get(name)
        if market is None:
            raise Unfit("instrument_name", f"there is no {name}; public/get_instruments lists all")
        return market

    def markets(self) -> list[Market]:
        """The markets that the globs in `instruments` mean. Raises: Unfit."""
        globs = [glob.strip() for glob in self.values["instruments"].split(",")]
        meant = [
            market
            for name, market in self.exchange.markets.items()
            if any(fnmatchcase(name, glob) for glob in globs)
        ]
        if not meant:
            raise Unfit("instruments", f"nothing is like {self.values['instruments']}")
        return meant

    def currency(self) -> str:
        """The currency that `currency` names. Raises: Unfit."""
        name = str(self.values["currency"])
        known = self.exchange.books.cash
        if name not in known:
            raise Unfit("currency", f"{name} is none of {', '.join(known)}")
        return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What was done.

    Args:
        done: For people and tests.
        outgoing: What there is to tell beside what the books' journal says.
        undo: None when nothing takes it back.
        ends_connections: Every connection is cut, because nothing they knew is true any more.
    """

    done: dict[str, Any] = field(default_factory=dict)
    outgoing: tuple[Outgoing, ...] = ()
    undo: Undo | None = None
    ends_connections: bool = False


Doing = Callable[[Scene], Deed]
