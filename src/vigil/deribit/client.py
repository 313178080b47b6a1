"""The exchange as coroutines, over whatever session is current.

`link` attaches a session when it is live and detaches it when it ends; between sessions every call
says so at once. Orders, edits and cancels never raise for what the exchange or the network did:
they return an `Outcome`, and `Unknown` is one of them. Questions raise, as `Reader` tells.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

import msgspec
import structlog

from vigil.clock import Clock
from vigil.deribit import answers, wire
from vigil.deribit.channels import (
    DEFAULT_TICKER_INTERVAL,
    book_channels,
    subscribe_calls,
    ticker_channels,
)
from vigil.deribit.classify import classify, is_listed, query_error
from vigil.deribit.credits import Lane, lane_of
from vigil.deribit.exchange_clock import ClockReading
from vigil.deribit.jsonrpc import ErrorReply, Reply
from vigil.deribit.login import LoginGate
from vigil.deribit.mass_actions import MassActions
from vigil.deribit.order_form import encode_edit, encode_order
from vigil.deribit.outcome import (
    NOT_SENT,
    Confirmed,
    LateReply,
    Outcome,
    Refused,
    Unknown,
    Verdict,
)
from vigil.deribit.reading import Reader
from vigil.deribit.session import Trouble, TroubleKind
from vigil.deribit.stream_proof import StreamProof
from vigil.deribit.throttle import Throttle
from vigil.domain.order import Direction, Order, OrderRequest
from vigil.errors import OutcomeUnknown, Rejected, Transient

_log = structlog.get_logger(__name__)

_CALL_TIMEOUT_S = 10.0

# How long a call may wait for rate-limit credit, or for a login that is being renewed. An entry is
# soon worth nothing; what closes or protects must still arrive within its order's validity.
_PATIENCE_S = {Lane.REDUCE: 2.0, Lane.PROTECT: 2.0, Lane.ENTRY: 0.5, Lane.QUERY: 10.0}

# A right may be missing because the key was cut down, which the next login tells; or for the one
# instrument, which it does not. So a session is given up for it once a minute at most.
_FORBIDDEN_S_MIN = 60.0


class Line(Protocol):
    """What the client needs of a session: calls out, answers back."""

    @property
    def is_open(self) -> bool:
        """Whether a call could be sent now."""
        ...

    @property
    def silent_s(self) -> float:
        """Seconds since the last whole frame arrived."""
        ...

    async def request(
        self, method: str, params: Mapping[str, Any], *, timeout_s: float
    ) -> Reply | ErrorReply:
        """Send one call and wait for its answer."""
        ...

    def abandon(self, reason: str) -> None:
        """End the session at once."""
        ...


class DeribitClient(Reader, MassActions):
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
        self._clock = clock
        self._call_timeout_s = call_timeout_s
        self._ticker_interval = ticker_interval
        self.throttle = Throttle(clock) if throttle is None else throttle
        self._on_late = on_late
        self._line: Line | None = None
        self._gate = LoginGate()
        self._proof = StreamProof()
        self._epoch = 0
        self._attached_s = 0.0
        self._lost_reason = "no session yet"
        self._watched: tuple[str, ...] = ()
        self._watched_books: tuple[str, ...] = ()
        self._subscribed: set[str] = set()
        self._unseen_errors: set[tuple[int, str]] = set()
        # Exchange time and loop time of one moment: steps of the wall clock do not move it.
        self._anchor: ClockReading | None = None

    @property
    def is_live(self) -> bool:
        """Whether a session is authenticated, subscribed and open."""
        return self._line is not None and self._line.is_open

    @property
    def silent_s(self) -> float | None:
        """Seconds since the exchange was last heard on the current session; None without one."""
        return None if self._line is None else self._line.silent_s

    @property
    def epoch(self) -> int:
        """Number of sessions that were live so far in this process."""
        return self._epoch

    @property
    def clock_reading(self) -> ClockReading | None:
        """The last measurement of the exchange's clock; None before the first session."""
        return self._anchor

    @property
    def clock_offset_ms(self) -> int:
        """Exchange time minus our wall time, milliseconds; zero before the first session."""
        return self.exchange_now_ms() - self._clock.now_ms()

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
        """Watched channels that the current session does not carry."""
        return tuple(name for name in self.watched_channels if name not in self._subscribed)

    @property
    def carried_channels(self) -> tuple[str, ...]:
        """Watched channels that the current session carries."""
        return tuple(name for name in self.watched_channels if name in self._subscribed)

    def exchange_now_ms(self) -> int:
        """Exchange time as last measured, carried on by the loop's clock."""
        if self._anchor is None:
            return self._clock.now_ms()
        return self._anchor.now_ms(self._clock.elapsed_s())

    def attach(
        self,
        line: Line,
        *,
        reading: ClockReading,
        subscribed: Sequence[str],
        gate: LoginGate | None = None,
    ) -> int:
        """Make a session current, and return its epoch. For `link` only.

        Args:
            reading: The exchange's time as this session measured it.
            subscribed: The channels that the session carries.
            gate: Where private calls wait while the session's login is in doubt.
        """
        assert self._line is None, "one session at a time"
        self._line = line
        self._gate = LoginGate() if gate is None else gate
        self._proof.forget()
        self.set_time(reading)
        self._subscribed = set(subscribed)
        self._attached_s = self._clock.elapsed_s()
        self._epoch += 1
        return self._epoch

    def set_time(self, reading: ClockReading) -> None:
        """Go on from this measurement. For `link` only."""
        self._anchor = reading

    def detach(self, reason: str) -> None:
        """End the current session for all callers. For `link` only."""
        self._line = None
        self._lost_reason = reason
        self._subscribed = set()

    def take_order(self, order: Order) -> None:
        """The private stream told of an order. For `link` only."""
        self._proof.heard(order)

    def overdue_order_id(self, within_s: float) -> str | None:
        """An order of which the private stream owes us news for longer than that; or None."""
        return self._proof.overdue(self._clock.elapsed_s(), within_s)

    def suspect_private_stream(self, reason: str) -> None:
        """End the session: the private stream did not tell what is known to have happened.

        For whoever finds out by asking. The next session subscribes anew and is reconciled.
        """
        if self._line is not None:
            _log.warning("private_stream.suspect", reason=reason)
            self._gate.loss = Trouble(kind=TroubleKind.STREAM, reason=reason)
            self._line.abandon(f"the private stream is not to be trusted: {reason}")

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

        Repeating it asks again only for what the session lacks. Without a session it is only
        remembered.

        Returns: Channels that the exchange did not accept, or cannot yet; empty when all is well.
        Raises: as `Reader`, when asking failed; what is wanted is remembered all the same.
        """
        before = self.watched_channels
        self._watched = tuple(dict.fromkeys(instrument_names))
        await self._carry(before, self.watched_channels)
        return self.missing_channels

    async def watch_books(self, instrument_names: Sequence[str]) -> tuple[str, ...]:
        """Set the instruments whose whole order books every session follows; as `watch`."""
        before = self.watched_books
        self._watched_books = tuple(dict.fromkeys(instrument_names))
        await self._carry(before, self.watched_books)
        return tuple(name for name in self.watched_books if name not in self._subscribed)

    async def _carry(self, before: Sequence[str], wanted: Sequence[str]) -> None:
        if not self.is_live:
            return
        dropped = [name for name in before if name not in wanted and name in self._subscribed]
        if dropped:
            self._subscribed.difference_update(dropped)
            await self._ask("public/unsubscribe", {"channels": dropped})
        if missing := [name for name in wanted if name not in self._subscribed]:
            await self.subscribe(missing)

    def take_late(self, method: str, params: Mapping[str, Any], reply: Reply | ErrorReply) -> None:
        """An answer came after its caller had given up: tell what it says of an order."""
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

    async def _ask(self, method: str, params: Mapping[str, Any]) -> msgspec.Raw:
        reply = await self._exchange(method, params, Lane.QUERY)
        if isinstance(reply, ErrorReply):
            raise query_error(method, reply)
        return reply.result

    async def _act(self, method: str, params: Mapping[str, Any], lane: Lane) -> Outcome:
        try:
            reply = await self._exchange(method, params, lane)
            outcome = answers.outcome(method, params, reply)
        except Transient as error:
            return Refused(code=NOT_SENT, message=f"not sent: {error}", verdict=Verdict.RETRY_LATER)
        except Rejected as error:
            return Refused(code=NOT_SENT, message=f"not sent: {error}")
        except OutcomeUnknown as error:
            return Unknown(reason=str(error))
        if isinstance(outcome, Confirmed):
            self._proof.expect(outcome.order, self._clock.elapsed_s())
            self.novelties.note((outcome.order,))
        return outcome

    async def _exchange(
        self, method: str, params: Mapping[str, Any], lane: Lane, *, is_again: bool = False
    ) -> Reply | ErrorReply:
        """Make one call, when login and credit allow it.

        Raises: Transient and Rejected, when nothing was sent; OutcomeUnknown.
        """
        line, gate = self._current(method), self._gate
        if not gate.is_open and method.startswith("private/"):
            await self._pass(gate, method, lane)
        if not self.throttle.try_spend(method, lane):
            await self.throttle.spend(method, lane, within_s=_PATIENCE_S[lane])
            self._check_validity(method, params)
        generation = gate.generation
        reply = await line.request(method, params, timeout_s=self._call_timeout_s)
        if isinstance(reply, ErrorReply):
            is_race = not gate.is_open or gate.generation != generation
            if self._note(line, gate, method, reply, is_race=is_race and not is_again):
                # The call met the session between two logins. It was not carried out, so sending
                # it once more is still the same attempt.
                _log.warning("call.repeated", method=method, reason="it met a login's renewal")
                await self._pass(gate, method, lane)
                self._check_validity(method, params)
                return await self._exchange(method, params, lane, is_again=True)
        return reply

    async def _pass(self, gate: LoginGate, method: str, lane: Lane) -> None:
        if not await gate.passed(_PATIENCE_S[lane]):
            raise Transient(f"{method}: the session's login is being renewed")

    def _check_validity(self, method: str, params: Mapping[str, Any]) -> None:
        """What has waited may have outlived itself. Raises: Transient; nothing was sent."""
        valid_until_ms = params.get("valid_until")
        if valid_until_ms is not None and valid_until_ms <= self.exchange_now_ms():
            raise Transient(f"{method}: its validity ended while it waited")

    def _current(self, method: str) -> Line:
        if self._line is None:
            raise Transient(f"{method}: not connected ({self._lost_reason})")
        return self._line

    def _note(
        self, line: Line, gate: LoginGate, method: str, error: ErrorReply, *, is_race: bool
    ) -> bool:
        """Draw conclusions for the session; whether the call should be made once more."""
        pair = (error.code, error.message)
        if not is_listed(*pair) and pair not in self._unseen_errors:
            self._unseen_errors.add(pair)
            _log.warning("error.unlisted", method=method, code=error.code, message=error.message)
        verdict = classify(*pair)
        if verdict is Verdict.SESSION_LOST:
            self.throttle.drain(str(error))
            line.abandon(f"out of rate-limit credit: {error}")
        elif verdict is Verdict.AUTH_FAILURE:
            if is_race:
                return True
            # Only a new session logs in again; this one would refuse every call from now on.
            self._lose_login(line, gate, f"logged out: {error}")
        elif (
            verdict is Verdict.FORBIDDEN
            and method in answers.READERS
            and self._clock.elapsed_s() - self._attached_s >= _FORBIDDEN_S_MIN
        ):
            self._lose_login(line, gate, f"the key may no longer trade: {error}")
        return False

    def _lose_login(self, line: Line, gate: LoginGate, reason: str) -> None:
        gate.loss = Trouble(kind=TroubleKind.LOGIN, reason=reason)
        line.abandon(reason)
