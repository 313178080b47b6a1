"""The venue: a request, a tick or a lost connection in; replies, notifications and hang-ups out.

Pure: it knows the time because it is told, connections by number, and neither sockets nor disks.
What has to survive a restart comes out of `drain_changes`, which its owner stores before any reply
leaves.
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from vigil.paper.account.books import Entry
from vigil.paper.exchange import AccountState, Exchange, SavedState, Walk
from vigil.paper.market.charts import ClosedMinute
from vigil.paper.methods.account import ACCOUNT_METHODS
from vigil.paper.methods.calls import Call, Methods
from vigil.paper.methods.market import MARKET_METHODS
from vigil.paper.methods.session import SESSION_METHODS, require_login
from vigil.paper.methods.trading import TRADING_METHODS
from vigil.paper.notify.publishing import Publisher, Push
from vigil.paper.refusals import Refusal
from vigil.paper.session.sessions import TOKEN_LIFETIME_S, Session, Sessions
from vigil.paper.switches import Switches
from vigil.paper.wire import framing
from vigil.paper.wire.framing import Request
from vigil.paper.wire.params import Params

METHODS: Methods = {**SESSION_METHODS, **MARKET_METHODS, **TRADING_METHODS, **ACCOUNT_METHODS}

_HEARTBEAT_CLOSE_CODE = 4000
_LOGOUT_CLOSE_CODE = 1000
_STATE_PERIOD_MS = 1000  # prices alone are worth a write this often


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp:
    """End a connection with a close frame."""

    connection_id: int
    code: int
    reason: str


Outgoing = Push | HangUp


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """What a request leads to.

    Args:
        answer: The result, or the Refusal in its place.
        has_reply: False for the one method that has none.
        before, after: Messages to send before and after the reply.
    """

    answer: Any
    has_reply: bool = True
    before: tuple[Outgoing, ...] = ()
    after: tuple[Outgoing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What happened since the last call, for persistence."""

    account: AccountState
    entries: tuple[Entry, ...]
    minutes: tuple[ClosedMinute, ...]


class Venue:
    """The exchange with its sessions.

    Args:
        seed: Of tokens and of the amounts in the book; prices come from `walks`.
        walks: See `Exchange`.
        token_lifetime_s: What `expires_in` says.
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
        token_lifetime_s: int = TOKEN_LIFETIME_S,
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
        )
        if saved is not None:
            self.exchange.restore(saved)
        self.sessions = Sessions(
            random.Random(f"tokens:{seed}"),  # noqa: S311
            token_lifetime_s=token_lifetime_s,
        )
        self.publisher = Publisher(self.exchange)
        self._entries: list[Entry] = []
        self._last_state_ms = now_ms

    def connect(self, connection_id: int) -> None:
        """A new connection; numbers are never used twice."""
        self.sessions.open(connection_id)

    def disconnect(self, connection_id: int, now_ms: int) -> tuple[Outgoing, ...]:
        """A connection is gone, however it ended. Returns what the others hear of it."""
        session = self.sessions.close(connection_id)
        self.publisher.forget(connection_id)
        if session is None or not session.cancels_on_disconnect:
            return ()
        engine, books = self.exchange.engine, self.exchange.books
        for order in tuple(books.live_orders()):
            if order.connection_id == connection_id and books.orders[order.order_id].is_live:
                engine.cancel(order.order_id, "cancel_on_disconnect", now_ms=now_ms)
        return self._told(now_ms)

    def receive(self, connection_id: int, request: Request, now_ms: int) -> Reaction:
        """A request over a connection."""
        return self._call(self.sessions.by_connection[connection_id], request, now_ms)

    def receive_alone(
        self,
        request: Request,
        now_ms: int,
        *,
        access_token: str | None = None,
        is_logged_in: bool = False,
    ) -> Reaction:
        """A request over HTTP, where every request stands for itself.

        Args:
            access_token: From a bearer header.
            is_logged_in: The key or a signature in its headers was right.
        """
        session = Session(connection_id=None)
        try:
            if access_token is not None:
                self.sessions.present(session, access_token, now_ms)
        except Refusal as refusal:
            return Reaction(answer=refusal)
        return self._call(session, request, now_ms, is_logged_in=is_logged_in)

    def tick(self, now_ms: int, market_seconds: float) -> tuple[Outgoing, ...]:
        """Let the market move, and everybody hear of it."""
        self.exchange.advance(market_seconds, now_ms)
        return (
            *self._told(now_ms),
            *self.publisher.tick(now_ms),
            *self._heartbeats(now_ms),
        )

    def set_price(self, index_name: str, price: Decimal, now_ms: int) -> tuple[Outgoing, ...]:
        """Move one index by hand."""
        self.exchange.set_price(index_name, price, now_ms)
        return (*self._told(now_ms), *self.publisher.tick(now_ms))

    def drain_changes(self, now_ms: int) -> Changes | None:
        """What has to be stored before anybody is told; None when there is nothing new."""
        is_due = now_ms - self._last_state_ms >= _STATE_PERIOD_MS
        if not self._entries and not is_due:
            return None
        self._last_state_ms = now_ms
        entries, self._entries = self._entries, []
        return Changes(
            account=self.exchange.account_state(),
            entries=tuple(entries),
            minutes=tuple(self.exchange.drain_minutes()),
        )

    def _call(
        self, session: Session, request: Request, now_ms: int, *, is_logged_in: bool = False
    ) -> Reaction:
        call = Call(
            exchange=self.exchange,
            sessions=self.sessions,
            publisher=self.publisher,
            session=session,
            params=Params(request.params, is_text=request.is_text),
            now_ms=now_ms,
        )
        try:
            method = METHODS.get(request.method)
            if method is None:
                raise Refusal(-32601, "Method not found")
            if request.method.startswith("private/") and not is_logged_in:
                require_login(call)
            answer = method(call)
        except Refusal as refusal:
            answer = refusal
        return self._reaction(call, answer)

    def _reaction(self, call: Call, answer: Any) -> Reaction:
        told = self._told(call.now_ms)
        greetings: tuple[Outgoing, ...] = ()
        connection_id = call.session.connection_id
        if connection_id is not None:
            greetings = tuple(
                push
                for name in call.new_channels
                for push in self.publisher.greet(connection_id, name, call.now_ms)
            )
            if call.hangs_up:
                greetings += (
                    HangUp(connection_id=connection_id, code=_LOGOUT_CLOSE_CODE, reason=""),
                )
        first = self._switches.events_before_reply
        return Reaction(
            answer=answer,
            has_reply=not call.hangs_up,
            before=told if first else (),
            after=greetings if first else (*told, *greetings),
        )

    def _told(self, now_ms: int) -> tuple[Push, ...]:
        """Take the journal: keep it for persistence, and make notifications of it."""
        entries = self.exchange.drain()
        self._entries.extend(entries)
        return tuple(self.publisher.tell(entries, now_ms))

    def _heartbeats(self, now_ms: int) -> Iterable[Outgoing]:
        for connection_id, session in self.sessions.by_connection.items():
            if session.is_mute(now_ms):
                session.stop_heartbeat()
                yield HangUp(
                    connection_id=connection_id,
                    code=_HEARTBEAT_CLOSE_CODE,
                    reason="heartbeat close",
                )
            elif session.is_beat_due(now_ms):
                for kind in ("heartbeat", "test_request"):
                    yield Push(connection_ids=(connection_id,), message=framing.heartbeat(kind))
