"""The exchange as coroutines, over whatever session is current.

Orders, edits and cancels never raise for what the exchange or the network did: they return an
`Outcome`, and `Unknown` is one of them. Questions raise, as `Reader` tells.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import structlog

from vigil.clock import Clock
from vigil.deribit import answers, wire
from vigil.deribit.calling import Caller
from vigil.deribit.channels import (
    DEFAULT_TICKER_INTERVAL,
    book_channels,
    subscribe_calls,
    ticker_channels,
)
from vigil.deribit.classify import classify
from vigil.deribit.credits import Lane, lane_of
from vigil.deribit.jsonrpc import ErrorReply, Reply
from vigil.deribit.order_form import encode_edit, encode_order
from vigil.deribit.outcome import (
    NOT_SENT,
    Confirmed,
    LateReply,
    MassOutcome,
    Outcome,
    Refused,
    Unknown,
    Verdict,
)
from vigil.deribit.reading import Reader
from vigil.deribit.throttle import Throttle
from vigil.domain.order import Direction, OrderRequest
from vigil.errors import OutcomeUnknown, Rejected, Transient

_log = structlog.get_logger(__name__)

_CALL_TIMEOUT_S = 10.0


class DeribitClient(Caller, Reader):
    """Typed calls on the current session.

    Args:
        call_timeout_s: How long an answer may take before its outcome counts as unknown.
        ticker_interval: `100ms`, `raw` or `agg2`.
        throttle: The account's credits, shared with whoever else asks for the same account.
        on_late: Told what became of an order, edit or cancel whose caller had given up.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        call_timeout_s: float = _CALL_TIMEOUT_S,
        ticker_interval: str = DEFAULT_TICKER_INTERVAL,
        throttle: Throttle | None = None,
        on_late: Callable[[LateReply], None] | None = None,
    ) -> None:
        super().__init__(clock, call_timeout_s=call_timeout_s, throttle=throttle)
        self._ticker_interval = ticker_interval
        self._on_late = on_late
        self._watched: tuple[str, ...] = ()
        self._watched_books: tuple[str, ...] = ()

    @property
    def watched_channels(self) -> tuple[str, ...]:
        """Ticker channels that every session subscribes."""
        return ticker_channels(self._watched, self._ticker_interval)

    @property
    def watched_books(self) -> tuple[str, ...]:
        """Book channels that every session subscribes."""
        return book_channels(self._watched_books)

    @property
    def carried_books(self) -> tuple[str, ...]:
        """Watched book channels that the current session carries."""
        return tuple(name for name in self.watched_books if name in self._subscribed)

    @property
    def missing_channels(self) -> tuple[str, ...]:
        """Watched channels, of tickers and of books, that the current session does not carry."""
        wanted = (*self.watched_channels, *self.watched_books)
        return tuple(name for name in wanted if name not in self._subscribed)

    @property
    def carried_channels(self) -> tuple[str, ...]:
        """Watched channels that the current session carries."""
        return tuple(name for name in self.watched_channels if name in self._subscribed)

    async def place(self, request: OrderRequest) -> Outcome:
        """Send an order. Cancelling the caller leaves the outcome unknown, like a timeout.

        What reduces or protects goes before entries when credit is short. An entry that cannot be
        sent soon is not sent at all.
        """
        method = "private/buy" if request.direction is Direction.BUY else "private/sell"
        return await self._act(method, encode_order(request), lane_of(request))

    async def edit(
        self,
        order_id: str,
        *,
        amount: Decimal,
        price: Decimal | None = None,
        trigger_price: Decimal | None = None,
        valid_until_ms: int | None = None,
        lane: Lane = Lane.PROTECT,
    ) -> Outcome:
        """Change an order. `amount` is its new total, filled part included."""
        params = encode_edit(
            order_id,
            amount=amount,
            price=price,
            trigger_price=trigger_price,
            valid_until_ms=valid_until_ms,
        )
        return await self._act("private/edit", params, lane)

    async def cancel(self, order_id: str) -> Outcome:
        """Cancel an order.

        Refused with 11044, 10010, 11008 or 10004 means that it is gone already: filled,
        cancelled, triggered or forgotten. Which one must be read.
        """
        return await self._act("private/cancel", {"order_id": order_id}, Lane.REDUCE)

    async def cancel_all(self) -> MassOutcome:
        """Cancel every order of the account, trigger orders and those of others included.

        Requests that still wait in the exchange's queue are purged by it: they answer 13666.
        """
        try:
            # In detail: a count alone does not say whose orders they were.
            reply = await self._exchange("private/cancel_all", {"detailed": True}, Lane.REDUCE)
            return answers.mass_outcome(reply)
        except (Transient, Rejected, OutcomeUnknown) as error:
            return _not_done(error)

    async def set_cancel_on_disconnect(
        self, *, is_enabled: bool, scope: str = "connection"
    ) -> None:
        """Let orders die with their connection, protective ones too, or outlive it.

        `connection` concerns orders of this one, `account` those of connections opened from now on.

        Raises: as `Reader`.
        """
        verb = "enable" if is_enabled else "disable"
        raw = await self._ask(f"private/{verb}_cancel_on_disconnect", {"scope": scope})
        if not wire.is_ok(raw):
            raise wire.Unreadable(f"cancel on disconnect was not {verb}d in so many words")

    async def subscribe(self, channels: Sequence[str]) -> tuple[str, ...]:
        """Subscribe for the current session only; returns what the exchange accepted.

        Channels that it does not know vanish from its answer without an error.
        """
        accepted: list[str] = []
        for method, names in subscribe_calls(channels):
            accepted += wire.to_channels(await self._ask(method, {"channels": names}))
        self._subscribed.update(accepted)
        return tuple(accepted)

    async def watch(self, instrument_names: Sequence[str]) -> tuple[str, ...]:
        """Set the instruments whose tickers every session carries, this one from now on.

        Without a session it is only remembered. What a session lacks it asks for again by itself.

        Returns: Channels that the exchange did not accept, or cannot yet; empty when all is well.
        Raises: as `Reader`, when asking failed; what is wanted is remembered all the same.
        """
        before = self.watched_channels
        self._watched = tuple(dict.fromkeys(instrument_names))
        return await self._carry(before, self.watched_channels)

    async def watch_books(self, instrument_names: Sequence[str]) -> tuple[str, ...]:
        """Set the instruments whose whole order books every session follows; as `watch`."""
        before = self.watched_books
        self._watched_books = tuple(dict.fromkeys(instrument_names))
        return await self._carry(before, self.watched_books)

    async def _carry(self, before: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
        if self.is_live:
            dropped = [name for name in before if name not in wanted and name in self._subscribed]
            if dropped:
                self._subscribed.difference_update(dropped)
                await self._ask("public/unsubscribe", {"channels": dropped})
            if missing := [name for name in wanted if name not in self._subscribed]:
                await self.subscribe(missing)
        return tuple(name for name in wanted if name not in self._subscribed)

    def take_late(self, method: str, params: Mapping[str, Any], reply: Reply | ErrorReply) -> None:
        """An answer came that nobody waits for any more: tell what it says of an order.

        `method` is empty when it is not known what was asked.
        """
        if isinstance(reply, ErrorReply):
            verdict = classify(reply.code, reply.message)
            if verdict is Verdict.SESSION_LOST:
                self._end_for_want_of_credit(self._line, reply)
        if method not in answers.READERS or self._on_late is None:
            return
        outcome = answers.outcome(method, params, reply)
        self._on_late(
            LateReply(
                method=method,
                label=params.get("label"),
                order_id=params.get("order_id"),
                outcome=outcome,
            )
        )
        if isinstance(outcome, Confirmed):
            self._proof.expect(outcome.order, self._clock.elapsed_s())

    async def _act(self, method: str, params: Mapping[str, Any], lane: Lane) -> Outcome:
        try:
            reply = await self._exchange(method, params, lane)
            outcome = answers.outcome(method, params, reply)
        except (Transient, Rejected, OutcomeUnknown) as error:
            return _not_done(error)
        if isinstance(outcome, Confirmed):
            self._proof.expect(outcome.order, self._clock.elapsed_s())
            self.novelties.note((outcome.order,))
        return outcome


def _not_done(error: Transient | Rejected | OutcomeUnknown) -> Refused | Unknown:
    """What a call without an answer proves: nothing if it was sent, else that nothing happened."""
    match error:
        case Transient():
            return Refused(code=NOT_SENT, message=f"not sent: {error}", verdict=Verdict.RETRY_LATER)
        case Rejected():
            return Refused(code=NOT_SENT, message=f"not sent: {error}")
        case OutcomeUnknown():
            return Unknown(reason=str(error))
