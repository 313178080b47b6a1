"""The closed union of all that may happen to Vigil from outside.

The exchange session turns frames into these; everything above it reacts to nothing else.
"""

from msgspec import Struct

from vigil.domain.market import Ticker
from vigil.domain.order import Fill, Order
from vigil.domain.portfolio import AccountSummary


class TickerReceived(Struct, frozen=True, kw_only=True):
    """A quote. Only the newest of each instrument matters."""

    ticker: Ticker


class OrderReceived(Struct, frozen=True, kw_only=True):
    """An order of the account changed, whoever placed it."""

    order: Order


class FillsReceived(Struct, frozen=True, kw_only=True):
    """Orders of the account were executed, whoever placed them."""

    fills: tuple[Fill, ...]


class PortfolioReceived(Struct, frozen=True, kw_only=True):
    """Cash or margin in one currency changed."""

    summary: AccountSummary


class SessionOpened(Struct, frozen=True, kw_only=True):
    """A session is authenticated and subscribed.

    Args:
        epoch: Counts sessions of this process; what an older epoch says is a hint at most.
    """

    epoch: int


class SessionLost(Struct, frozen=True, kw_only=True):
    """The session ended; what was sent on it and not answered is in doubt."""

    epoch: int
    reason: str


ExchangeEvent = (
    TickerReceived | OrderReceived | FillsReceived | PortfolioReceived | SessionOpened | SessionLost
)
