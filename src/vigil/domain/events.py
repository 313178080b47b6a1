"""The closed union of all that may happen to Vigil from outside.

The exchange session turns frames into these; everything above it reacts to nothing else.
"""

from dataclasses import dataclass

from vigil.domain.market import Ticker
from vigil.domain.order import Fill, Order
from vigil.domain.portfolio import AccountSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class TickerReceived:
    """A quote. Only the newest of each instrument matters."""

    ticker: Ticker


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReceived:
    """An order of the account changed, whoever placed it."""

    order: Order


@dataclass(frozen=True, slots=True, kw_only=True)
class FillsReceived:
    """Orders of the account were executed, whoever placed them."""

    fills: tuple[Fill, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioReceived:
    """Cash or margin in one currency changed."""

    summary: AccountSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened:
    """A session is authenticated and subscribed.

    Args:
        epoch: Counts sessions of this process; what an older epoch says is a hint at most.
    """

    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLost:
    """The session ended; what was sent on it and not answered is in doubt."""

    epoch: int
    reason: str


ExchangeEvent = (
    TickerReceived | OrderReceived | FillsReceived | PortfolioReceived | SessionOpened | SessionLost
)
