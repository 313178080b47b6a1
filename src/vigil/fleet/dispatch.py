"""Where exchange events go, and what they make of the right to trade.

The session hands every event here, in order and synchronously. Quotes go to the strategies, news
of orders and fills to the books, and the session's own coming and going to the authority: nobody
opens anything between a lost session and the next good reconcile.
"""

import asyncio
from typing import assert_never

import structlog

from vigil.deribit.link import Unheard
from vigil.domain.events import (
    ExchangeEvent,
    FillsReceived,
    OrderReceived,
    PortfolioReceived,
    SessionLost,
    SessionOpened,
    TickerReceived,
)
from vigil.fleet.account import AccountStream
from vigil.fleet.authority import Authority
from vigil.fleet.fleet import Fleet
from vigil.ledger.runs import ReconciliationRun
from vigil.reconcile.reconciler import Reconciler

log = structlog.get_logger(__name__)

FAILED_PASSES_MAX = 3


class Dispatch:
    """Routes what the session says. `connect` must have been called before the first event."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._fleet: Fleet | None = None
        self._account: AccountStream | None = None
        self._reconciler: Reconciler | None = None
        self._failed_in_row = 0
        self.first_session = asyncio.Event()
        self.first_pass = asyncio.Event()

    def connect(self, *, fleet: Fleet, account: AccountStream, reconciler: Reconciler) -> None:
        """Name the receivers; they exist only after the session that they use."""
        self._fleet, self._account, self._reconciler = fleet, account, reconciler

    def take(self, event: ExchangeEvent) -> None:
        """Route one event."""
        assert self._fleet is not None
        assert self._account is not None
        assert self._reconciler is not None
        match event:
            case TickerReceived(ticker=ticker):
                self._fleet.quote(ticker)
            case OrderReceived() | FillsReceived():
                self._account.put(event)
            case PortfolioReceived():
                pass  # equity becomes a risk input with the limits that need it
            case SessionOpened(epoch=epoch):
                self.first_session.set()
                self._authority.refuse("reconcile", "not reconciled since the session opened")
                self._authority.allow("session")
                self._reconciler.request("start" if epoch == 1 else "reconnect")
            case SessionLost(epoch=epoch, reason=reason):
                self._authority.refuse("session", f"no session: {reason}")
            case _:
                assert_never(event)

    def take_unreadable(self, unheard: Unheard) -> None:
        """Something about the account could not be read: ask for it instead."""
        log.error("connection.unreadable", channel=unheard.channel, reason=unheard.reason)
        self.request_pass("unreadable")

    def request_pass(self, cause: str) -> None:
        """Ask for a reconciliation as soon as possible."""
        assert self._reconciler is not None
        self._reconciler.request(cause)

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
            self._authority.allow("reconcile")
            self._authority.allow("start")
            self.first_pass.set()
