"""Calls on whatever session is current: when one may be made, and what its answer says of the rest.

`link` attaches a session when it is live and detaches it when it ends; between sessions every call
says so at once. A call waits for credit and for a login in doubt, each for as long as its lane may;
an error that concerns the session itself ends it, whoever's call it was.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
import structlog

from vigil.clock import Clock
from vigil.deribit import answers
from vigil.deribit.asking import Asker
from vigil.deribit.classify import classify, query_error
from vigil.deribit.credits import Lane, Pool, pool_of
from vigil.deribit.exchange_clock import ClockReading
from vigil.deribit.jsonrpc import ErrorReply, Reply
from vigil.deribit.login import LoginGate
from vigil.deribit.matching_places import MatchingPlaces
from vigil.deribit.outcome import Verdict
from vigil.deribit.session import Trouble, TroubleKind
from vigil.deribit.stream_proof import StreamProof
from vigil.deribit.throttle import Throttle
from vigil.domain.order import Order
from vigil.errors import Transient

_log = structlog.get_logger(__name__)

# How long a call may wait for rate-limit credit, or for a login that is being renewed. An entry is
# soon worth nothing; what closes or protects must still arrive within its order's validity.
_PATIENCE_S = {Lane.REDUCE: 2.0, Lane.PROTECT: 2.0, Lane.ENTRY: 0.5, Lane.QUERY: 10.0}

# A right may be missing because the key was cut down, which the next login tells; or for the one
# instrument, which it does not. So a session is given up for it once a minute at most.
_FORBIDDEN_S_MIN = 60.0


class Line(Protocol):
    """What is needed of a session: calls out, answers back."""

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


class Caller(Asker):
    """Makes calls on the current session.

    Args:
        call_timeout_s: How long an answer may take before its outcome counts as unknown.
        throttle: The account's credits, shared with whoever else asks for the same account.
    """

    def __init__(self, clock: Clock, *, call_timeout_s: float, throttle: Throttle | None) -> None:
        self._clock = clock
        self._call_timeout_s = call_timeout_s
        self.throttle = Throttle(clock) if throttle is None else throttle
        self._line: Line | None = None
        self._gate = LoginGate()
        self._proof = StreamProof()
        self._matching = MatchingPlaces()
        self._epoch = 0
        self._attached_s = 0.0
        self._lost_reason = "no session yet"
        self._subscribed: set[str] = set()
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

    async def _ask(self, method: str, params: Mapping[str, Any]) -> msgspec.Raw:
        reply = await self._exchange(method, params, Lane.QUERY)
        if isinstance(reply, ErrorReply):
            raise query_error(method, reply)
        return reply.result

    async def _exchange(
        self, method: str, params: Mapping[str, Any], lane: Lane, *, is_again: bool = False
    ) -> Reply | ErrorReply:
        """Make one call, when login and credit allow it.

        Raises: Transient and Rejected, when nothing was sent; OutcomeUnknown.
        """
        line, gate = self._current(method), self._gate
        if not gate.is_open and method.startswith("private/"):
            await self._pass(gate, method, lane, may_try=not is_again)
            self._check_validity(method, params)
        if not self.throttle.try_spend(method, lane):
            await self.throttle.spend(method, lane, within_s=_PATIENCE_S[lane])
            self._check_validity(method, params)
        generation = gate.generation
        if pool_of(method) is not Pool.TRADING:
            reply = await line.request(method, params, timeout_s=self._call_timeout_s)
        else:
            has_waited = not self._matching.try_enter(lane)
            if has_waited:
                await self._matching.enter(lane, within_s=_PATIENCE_S[lane])
            try:
                if has_waited:
                    self._check_validity(method, params)
                reply = await line.request(method, params, timeout_s=self._call_timeout_s)
            finally:
                self._matching.leave()
        if isinstance(reply, ErrorReply):
            is_race = gate.is_in_doubt or gate.generation != generation
            if self._note(line, gate, method, reply, is_race=is_race and not is_again):
                # The call met the session between two logins. It was not carried out, so sending
                # it once more is still the same attempt.
                _log.warning("call.repeated", method=method, reason="it met a login's renewal")
                await self._pass(gate, method, lane, may_try=False)
                self._check_validity(method, params)
                return await self._exchange(method, params, lane, is_again=True)
        return reply

    async def _pass(self, gate: LoginGate, method: str, lane: Lane, *, may_try: bool) -> None:
        """Wait for the login. What closes or protects then tries its luck, where it may.

        The old login may stand although no new one can be had, and a call without one is refused
        and not carried out.
        """
        if await gate.passed(_PATIENCE_S[lane]) or (may_try and lane <= Lane.PROTECT):
            return
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
        self.novelties.note_error(method, error)
        verdict = classify(error.code, error.message)
        if verdict is Verdict.SESSION_LOST:
            self._end_for_want_of_credit(line, error)
        elif verdict is Verdict.AUTH_FAILURE:
            if is_race:
                if gate.is_in_doubt:
                    gate.shut()
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

    def _end_for_want_of_credit(self, line: Line | None, error: ErrorReply) -> None:
        self.throttle.drain(str(error))
        if line is not None:
            line.abandon(f"out of rate-limit credit: {error}")

    def _lose_login(self, line: Line, gate: LoginGate, reason: str) -> None:
        gate.loss = Trouble(kind=TroubleKind.LOGIN, reason=reason)
        line.abandon(reason)
