"""The closed union of all that may happen to Vigil from outside.

The exchange session turns frames into these; everything above it reacts to nothing else.
"""

from msgspec import Struct

from vigil.domain.book import Book
from vigil.domain.market import InstrumentState, Ticker
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


class PlatformStateReceived(Struct, frozen=True, kw_only=True):
    """The platform, or trading on one index, was locked, unlocked, or is about to stop.

    Args:
        price_index: Such as `btc_usd`; None when it concerns the whole platform.
        is_locked: No new orders on the index.
        is_maintenance: The platform is about to stop.
    """

    price_index: str | None
    is_locked: bool
    is_maintenance: bool = False


class AccountLockReceived(Struct, frozen=True, kw_only=True):
    """The account was locked or unlocked in a currency; `ALL` stands for every currency."""

    currency: str
    is_locked: bool


class InstrumentStateReceived(Struct, frozen=True, kw_only=True):
    """An instrument went on in its life: created, opened, suspended, delivered."""

    state: InstrumentState


class BookReceived(Struct, frozen=True, kw_only=True):
    """An order book as it is now. Only the newest of each instrument matters."""

    book: Book


class BookGapped(Struct, frozen=True, kw_only=True):
    """Changes to a book were missed: it is unknown until the next `BookReceived`."""

    instrument_name: str
    reason: str


ExchangeEvent = (
    TickerReceived
    | OrderReceived
    | FillsReceived
    | PortfolioReceived
    | SessionOpened
    | SessionLost
    | PlatformStateReceived
    | AccountLockReceived
    | InstrumentStateReceived
    | BookReceived
    | BookGapped
)
