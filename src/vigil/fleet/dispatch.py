"""Where exchange events go, and what they make of the right to trade.

The session hands every event here, in order and synchronously. Quotes go to the strategies, news
of orders and fills to the books, and the session's own coming and going to the authority: nobody
opens anything between a lost session and the next good reconcile.
"""

import asyncio
from typing import assert_never

import structlog

from vigil.deribit.link import Unheard
from vigil.deribit.outcome import LateReply, Refused, Unknown
from vigil.deribit.session import Trouble, TroubleKind
from vigil.deribit.tidings import Tidings, tidings_of, words_of
from vigil.domain.events import (
    AccountLockReceived,
    BookGapped,
    BookReceived,
    ExchangeEvent,
    FillsReceived,
    InstrumentStateReceived,
    OrderReceived,
    PlatformStateReceived,
    PortfolioReceived,
    SessionLost,
    SessionOpened,
    TickerReceived,
)
from vigil.fleet.account import AccountStream
from vigil.fleet.authority import Authority
from vigil.fleet.fleet import Fleet
from vigil.fleet.locks import Locks
from vigil.fleet.troubles import TroubleLog
from vigil.ledger.runs import ReconciliationRun
from vigil.reconcile.reconciler import Reconciler
from vigil.trading.closures import ClosureKind

log = structlog.get_logger(__name__)

FAILED_PASSES_MAX = 3


class Dispatch:
    """Routes what the session says. `connect` must have been called before the first event."""

    def __init__(self, authority: Authority, troubles: TroubleLog) -> None:
        self._authority = authority
        self._troubles = troubles
        self._fleet: Fleet | None = None
        self._account: AccountStream | None = None
        self._reconciler: Reconciler | None = None
        self._locks: Locks | None = None
        self._failed_in_row = 0
        self.first_session = asyncio.Event()
        self.first_pass = asyncio.Event()

    def connect(
        self, *, fleet: Fleet, account: AccountStream, reconciler: Reconciler, locks: Locks
    ) -> None:
        """Name the receivers; they exist only after the session that they use."""
        self._fleet, self._account, self._reconciler = fleet, account, reconciler
        self._locks = locks

    def take(self, event: ExchangeEvent) -> None:
        """Route one event."""
        assert self._fleet is not None
        assert self._account is not None
        assert self._reconciler is not None
        assert self._locks is not None
        match event:
            case TickerReceived(ticker=ticker):
                self._fleet.quote(ticker)
            case OrderReceived() | FillsReceived():
                self._account.put(event)
            case PortfolioReceived():
                pass  # equity becomes a risk input with the limits that need it
            case PlatformStateReceived() | AccountLockReceived():
                self._locks.take(event)
            case InstrumentStateReceived(state=state):
                self._fleet.instruments.read_again(state.instrument_name)
            case BookReceived() | BookGapped():
                pass  # no strategy asks for books yet
            case SessionOpened(epoch=epoch):
                self.first_session.set()
                self._authority.refuse("reconcile", "not reconciled since the session opened")
                self._authority.allow("session")
                self._locks.opened()
                self._fleet.instruments.read_all_again()
                self._reconciler.request("start" if epoch == 1 else "reconnect")
            case SessionLost(epoch=epoch, reason=reason):
                self._authority.refuse("session", f"no session: {reason}")
            case _:
                assert_never(event)

    def take_unreadable(self, unheard: Unheard) -> None:
        """Something about the account could not be read: ask for it instead."""
        log.error("connection.unreadable", channel=unheard.channel, reason=unheard.reason)
        self.request_pass("unreadable")

    def take_late(self, reply: LateReply) -> None:
        """The exchange has answered what its caller had given up."""
        assert self._account is not None
        log.info("order.answered_late", method=reply.method, label=reply.label)
        self._account.put(reply)

    def take_tidings(self, instrument_name: str, outcome: Refused | Unknown) -> None:
        """An order was not confirmed: what that tells beyond the order itself."""
        assert self._fleet is not None
        assert self._locks is not None
        match tidings_of(outcome):
            case Tidings.ACCOUNT_LOCKED:
                kind = ClosureKind.ACCOUNT_LOCKED
                self._locks.refused(kind, instrument_name, words_of(outcome))
            case Tidings.MAINTENANCE:
                self._locks.refused(ClosureKind.MAINTENANCE, instrument_name, words_of(outcome))
            case Tidings.FACTS:
                self._fleet.instruments.read_again(instrument_name)
            case None:
                pass
            case tidings:
                assert_never(tidings)

    def take_trouble(self, trouble: Trouble) -> None:
        """Something is wrong with the session that a person should know; or no longer is.

        A login that does not work takes the right to open anything, also while the session's
        socket is still up. The others are told, and guarded against where they arise.
        """
        if trouble.kind is TroubleKind.LOGIN:
            if trouble.reason is None:
                self._authority.allow("login")
            else:
                self._authority.refuse("login", trouble.reason)
        self._troubles.put(trouble)

    def take_drained(self, words: str) -> None:
        """The exchange says that we asked too much."""
        self.take_trouble(Trouble(kind=TroubleKind.CREDITS, reason=words))

    def request_pass(self, cause: str) -> None:
        """Ask for a reconciliation as soon as possible."""
        assert self._reconciler is not None
        self._reconciler.request(cause)

    def take_history(self, problem: str | None) -> None:
        """The exchange's history is not the one that we know, or is again: None."""
        if problem is None:
            self._authority.allow("history")
        else:
            self._authority.refuse("history", problem)

    def take_pass(self, run: ReconciliationRun, *, is_live: bool) -> None:
        """A pass ended.

        A good one over a live session gives the right to trade; several in a row that could not
        read everything take it away, since nobody knows any more what is held.
        """
        if run.outcome != "ok":
            self._failed_in_row += 1
            if self._failed_in_row >= FAILED_PASSES_MAX:
                reason = f"{self._failed_in_row} reconciliations in a row failed: {run.reason}"
                self._authority.refuse("reconcile", reason)
            return
        self._failed_in_row = 0
        if is_live:
            assert self._locks is not None
            self._locks.reconciled(run.started_ms)
            self._authority.allow("reconcile")
            self._authority.allow("start")
            self.first_pass.set()
