"""The venue: a request, a tick or a lost connection in; replies, notifications and hang-ups out.

Pure: it knows the time because it is told, connections by number, and neither sockets nor disks.
What has to survive a restart comes out of `drain_changes`, which its owner stores before any reply
leaves.
"""

import contextlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from vigil.paper.account.books import Entry
from vigil.paper.exchange import AccountState, Exchange, SavedState
from vigil.paper.market.charts import ClosedMinute
from vigil.paper.market.index import Delivery
from vigil.paper.market.instruments import PERPETUALS, Listing
from vigil.paper.market.walk import Walk
from vigil.paper.methods.account import ACCOUNT_METHODS
from vigil.paper.methods.calls import Call, Methods
from vigil.paper.methods.cancelling import CANCEL_METHODS
from vigil.paper.methods.gate import Gate, OutOfCredits, market_of
from vigil.paper.methods.login import LOGIN_METHODS
from vigil.paper.methods.market import MARKET_METHODS
from vigil.paper.methods.market_history import MARKET_HISTORY_METHODS
from vigil.paper.methods.money import MONEY_METHODS
from vigil.paper.methods.order_reads import ORDER_METHODS
from vigil.paper.methods.session import SESSION_METHODS
from vigil.paper.methods.trade_reads import TRADE_METHODS
from vigil.paper.methods.trading import TRADING_METHODS
from vigil.paper.notify.publishing import Publisher, Push
from vigil.paper.operator import Operator
from vigil.paper.reactions import HangUp, Outgoing, Reaction, Waiting
from vigil.paper.refusals import Refusal
from vigil.paper.session.credits import Limits, Purse, is_matching
from vigil.paper.session.keys import ApiKey
from vigil.paper.session.queue import MatchingQueue, Ticket
from vigil.paper.session.sessions import NOWHERE, Session, Sessions
from vigil.paper.session.tokens import LIFETIME_S
from vigil.paper.switches import Switches
from vigil.paper.watch import Watch
from vigil.paper.wire.framing import Request
from vigil.paper.wire.params import Params
from vigil.paper.wire.wording import Wording

METHODS: Methods = {
    **LOGIN_METHODS,
    **SESSION_METHODS,
    **MARKET_METHODS,
    **MARKET_HISTORY_METHODS,
    **TRADING_METHODS,
    **CANCEL_METHODS,
    **ORDER_METHODS,
    **TRADE_METHODS,
    **ACCOUNT_METHODS,
    **MONEY_METHODS,
}

_LOGOUT_CLOSE_CODE = 1000
_OVERRUN_CLOSE_CODE = 1008
_STATE_PERIOD_MS = 1000  # prices alone are worth a write this often


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What happened since the last call, for persistence."""

    account: AccountState
    entries: tuple[Entry, ...]
    minutes: tuple[ClosedMinute, ...]
    listings: tuple[Listing, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    forgotten: tuple[str, ...] = ()
    folded_minutes: tuple[tuple[str, int], ...] = ()


class Venue:
    """The exchange with its sessions.

    Args:
        seed: Of tokens and of the amounts in the book; prices come from `walks`.
        walks, listings, lists_expiries: See `Exchange`.
        token_lifetime_s: What `expires_in` says.
        limits: Credits, and how many connections and sessions there may be.
        saved: Books of an earlier run to go on with.
    """

    def __init__(
        self,
        *,
        now_ms: int,
        seed: int = 1,
        walks: Mapping[str, Walk] | None = None,
        start_prices: Mapping[str, Decimal] | None = None,
        balances: Mapping[str, Decimal] | None = None,
        switches: Switches | None = None,
        listings: Sequence[Listing] = PERPETUALS,
        lists_expiries: bool = True,
        token_lifetime_s: int = LIFETIME_S,
        limits: Limits | None = None,
        saved: SavedState | None = None,
    ) -> None:
        self._switches = switches or Switches()
        dice = random.Random(f"venue:{seed}")  # noqa: S311 - a market, not a secret
        self.exchange = Exchange(
            now_ms=now_ms,
            dice=dice,
            walks=walks,
            start_prices=start_prices,
            balances=balances,
            switches=self._switches,
            listings=listings,
            lists_expiries=lists_expiries,
        )
        if saved is not None:
            self.exchange.restore(saved)
        self.sessions = Sessions(
            random.Random(f"tokens:{seed}"),  # noqa: S311
            limits=limits,
            switches=self._switches,
            token_lifetime_s=token_lifetime_s,
        )
        self.platform = self.exchange.platform
        self.purse = Purse(self.sessions.limits)
        self.queue = MatchingQueue(self.sessions.limits.queue_length)
        self._gate = Gate(purse=self.purse, platform=self.platform, switches=self._switches)
        self.wording = Wording(
            random.Random(f"wording:{seed}"),  # noqa: S311
            is_mixed=self._switches.mixes_formats,
        )
        self._order_dice = random.Random(f"order:{seed}")  # noqa: S311
        self.publisher = Publisher(self.exchange)
        self._watch = Watch(self.sessions, self.publisher, self._switches)
        self.operator = Operator(self.platform, self.sessions, self.publisher, self._switches)
        if saved is not None:
            self.sessions.account_cancels_on_disconnect = saved.account.cancels_on_disconnect
        self._entries: list[Entry] = self.exchange.drain()
        self._last_state_ms = now_ms
        self._stored_wishes = self._wishes

    def has_room_for(self, address: str) -> bool:
        """Whether one more connection from there is let in."""
        return self.sessions.has_room_for(address)

    def connect(self, connection_id: int, *, address: str = NOWHERE) -> None:
        """A new connection; numbers are never used twice."""
        self.sessions.open(connection_id, address=address)

    def disconnect(self, connection_id: int, now_ms: int) -> tuple[Outgoing, ...]:
        """A connection is gone, however it ended. Returns what the others hear of it."""
        session = self.sessions.close(connection_id)
        self.publisher.forget(connection_id)
        if session is None or not session.cancels_on_disconnect:
            return ()
        engine, books = self.exchange.engine, self.exchange.books
        for order in tuple(books.live_orders()):
            if order.connection_id == connection_id and books.orders[order.order_id].is_live:
                with contextlib.suppress(Refusal):  # an order of a liquidation stays
                    engine.cancel(order.order_id, "cancel_on_disconnect", now_ms=now_ms)
        return self._told(now_ms)

    def receive(self, connection_id: int, request: Request, now_ms: int) -> Reaction:
        """A request over a connection."""
        session = self.sessions.by_connection[connection_id]
        session.heard_ms = now_ms
        if session.is_ending:
            return Reaction(has_reply=False)
        if request.request_id is None and self._switches.refuses_missing_id:
            return Reaction(answer=Refusal(11050, "bad_request", "id required"))
        return self._call(session, request, now_ms)

    def receive_late(self, session: Session, request: Request, now_ms: int) -> Reaction:
        """A request that was held up on its way, of a session that is gone by now."""
        reaction = self._call(session, request, now_ms)
        if session.connection_id is not None:  # nobody is there to hear or to be logged in
            self.sessions.close(session.connection_id)
            self.publisher.forget(session.connection_id)
        return reaction

    def receive_alone(
        self,
        request: Request,
        now_ms: int,
        *,
        access_token: str | None = None,
        key: ApiKey | None = None,
        address: str = NOWHERE,
    ) -> Reaction:
        """A request over HTTP, where every request stands for itself.

        Args:
            access_token: From a bearer header.
            key: Whose secret or signature was in its headers.
            address: Where it comes from.
        """
        session = Session(connection_id=None, address=address, key=key)
        try:
            if access_token is not None:
                self.sessions.present(session, access_token, now_ms)
        except Refusal as refusal:
            return Reaction(answer=refusal)
        return self._call(session, request, now_ms)

    def resume(self, waiting: Waiting, now_ms: int) -> Reaction:
        """Carry out a request whose time has come, whether its connection is still there or not."""
        call = waiting.call
        call.now_ms = now_ms
        if waiting.ticket.is_purged:
            return Reaction(answer=Refusal(13666, "request_cancelled_by_user"))
        return self._carry_out(call, waiting.method)

    def tick(self, now_ms: int, market_seconds: float) -> tuple[Outgoing, ...]:
        """Let the market move, and everybody hear of it."""
        self.exchange.advance(market_seconds, now_ms)
        self._watch.silence_ended_logins(now_ms)
        pushes = (*self._told(now_ms), *self.publisher.tick(now_ms))
        self._watch.mark_busy(pushes)
        return (*pushes, *self._watch.look(now_ms))

    def set_price(self, index_name: str, price: Decimal, now_ms: int) -> tuple[Outgoing, ...]:
        """Move one index by hand."""
        self.exchange.set_price(index_name, price, now_ms)
        return (*self._told(now_ms), *self.publisher.tick(now_ms))

    def notice(self, now_ms: int) -> tuple[Outgoing, ...]:
        """Tell everybody what was changed from outside."""
        return (*self._told(now_ms), *self.publisher.tick(now_ms))

    def drain_changes(self, now_ms: int) -> Changes | None:
        """What has to be stored before anybody is told; None when there is nothing new."""
        is_due = abs(now_ms - self._last_state_ms) >= _STATE_PERIOD_MS
        wishes = self._wishes
        if not self._entries and not is_due and wishes == self._stored_wishes:
            return None
        self._last_state_ms, self._stored_wishes = now_ms, wishes
        entries, self._entries = self._entries, []
        for_new_ones, cancelling = wishes
        return Changes(
            account=replace(
                self.exchange.account_state(),
                cancels_on_disconnect=for_new_ones,
                cancelling_connections=cancelling,
            ),
            entries=tuple(entries),
            minutes=self.exchange.floor.indexes.drain_minutes(),
            listings=self.exchange.floor.drain_listings(),
            deliveries=self.exchange.floor.indexes.drain_deliveries(),
            forgotten=self.exchange.floor.drain_forgotten(),
            folded_minutes=self.exchange.floor.indexes.drain_folded_minutes(),
        )

    @property
    def _wishes(self) -> tuple[bool, tuple[int, ...]]:
        """What was asked for when connections end: of those to come, and of which of those open."""
        return self.sessions.account_cancels_on_disconnect, self.sessions.cancelling

    def _call(self, session: Session, request: Request, now_ms: int) -> Reaction:
        call = Call(
            exchange=self.exchange,
            sessions=self.sessions,
            publisher=self.publisher,
            session=session,
            params=Params(request.params, is_text=request.is_text),
            now_ms=now_ms,
        )
        try:
            self._gate.admit(call, request.method, is_known=request.method in METHODS)
            ticket = self._place_in_queue(call, request.method)
        except OutOfCredits as refusal:
            return Reaction(answer=refusal, after=self._overrun_ends(session))
        except Refusal as refusal:
            return self._reaction(call, refusal)
        if ticket is not None:
            waiting = Waiting(call=call, method=request.method, ticket=ticket)
            return Reaction(has_reply=False, waiting=waiting)
        return self._carry_out(call, request.method)

    def _carry_out(self, call: Call, method: str) -> Reaction:
        self.exchange.clearing.pass_time(call.now_ms)
        try:
            answer = METHODS[method](call)
        except Refusal as refusal:
            answer = refusal
        return self._reaction(call, answer)

    def _place_in_queue(self, call: Call, method: str) -> Ticket | None:
        """Where a matching request waits; None when it need not. Raises: Refusal 10047."""
        if method == "private/cancel_all":
            self.queue.purge(call.now_ms)
        if not is_matching(method):
            return None
        market = market_of(call)
        currency = market.listing.currency if market is not None else "any"
        return self.queue.enter(currency, call.now_ms)

    def _overrun_ends(self, session: Session) -> tuple[HangUp, ...]:
        """Whoever runs out of credits loses the session."""
        ending = [session]
        if session.connection_id is None:
            everybody = self._switches.overrun_over_http_ends_sessions
            ending = list(self.sessions.by_connection.values()) if everybody else []
        for each in ending:
            each.is_ending = True
        return tuple(
            HangUp(
                connection_id=each.connection_id,
                code=_OVERRUN_CLOSE_CODE,
                reason="too_many_requests",
            )
            for each in ending
            if each.connection_id is not None
        )

    def _reaction(self, call: Call, answer: Any) -> Reaction:
        told = self._told(call.now_ms)
        ending: tuple[Outgoing, ...] = ()
        connection_id = call.session.connection_id
        if connection_id is not None:
            told += tuple(
                push
                for name in call.new_channels
                for push in self.publisher.greet(connection_id, name, call.now_ms)
            )
            if call.hangs_up:
                call.session.is_ending = True
                code = _LOGOUT_CLOSE_CODE
                ending = (HangUp(connection_id=connection_id, code=code, reason=""),)
        first = self._switches.events_before_reply
        if self._switches.mixes_event_order:
            first = self._order_dice.random() < 1 / 2
        return Reaction(
            answer=answer,
            has_reply=not call.hangs_up,
            before=told if first else (),
            after=ending if first else (*told, *ending),
        )

    def _told(self, now_ms: int) -> tuple[Push, ...]:
        """Take the journal: keep it for persistence, and make notifications of it."""
        entries = self.exchange.drain()
        self._entries.extend(entries)
        return tuple(self.publisher.tell(entries, now_ms))
