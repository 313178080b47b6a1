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
from vigil.deribit import wire
from vigil.deribit.channels import DEFAULT_TICKER_INTERVAL, subscribe_calls, ticker_channels
from vigil.deribit.classify import Verdict, classify, is_listed, outcome_of, query_error
from vigil.deribit.jsonrpc import ErrorReply, Reply
from vigil.deribit.order_form import encode_edit, encode_order
from vigil.deribit.outcome import NOT_SENT, Confirmed, Outcome, Refused, Unknown
from vigil.deribit.reading import Reader
from vigil.domain.order import Direction, Fill, Order, OrderRequest
from vigil.errors import OutcomeUnknown, Rejected, Transient

_log = structlog.get_logger(__name__)

_CALL_TIMEOUT_S = 10.0

_Placed = tuple[Order, tuple[Fill, ...]]


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


class DeribitClient(Reader):
    """Typed calls on the current session.

    Args:
        call_timeout_s: How long an answer may take before its outcome counts as unknown.
        ticker_interval: `100ms`, `raw` or `agg2`.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        call_timeout_s: float = _CALL_TIMEOUT_S,
        ticker_interval: str = DEFAULT_TICKER_INTERVAL,
    ) -> None:
        self._clock = clock
        self._call_timeout_s = call_timeout_s
        self._ticker_interval = ticker_interval
        self._line: Line | None = None
        self._epoch = 0
        self._lost_reason = "no session yet"
        self._watched: tuple[str, ...] = ()
        self._subscribed: set[str] = set()
        self._unseen_errors: set[tuple[int, str]] = set()
        # Exchange time and loop time of one moment: steps of the wall clock do not move it.
        self._anchor: tuple[int, float] | None = None

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
    def clock_offset_ms(self) -> int:
        """Exchange time minus our wall time, milliseconds; zero before the first session."""
        return self.exchange_now_ms() - self._clock.now_ms()

    @property
    def watched_channels(self) -> tuple[str, ...]:
        """Ticker channels that every session subscribes."""
        return ticker_channels(self._watched, self._ticker_interval)

    @property
    def missing_channels(self) -> tuple[str, ...]:
        """Watched channels that the current session does not carry."""
        return tuple(name for name in self.watched_channels if name not in self._subscribed)

    def exchange_now_ms(self) -> int:
        """Exchange time as last measured, carried on by the loop's clock."""
        if self._anchor is None:
            return self._clock.now_ms()
        exchange_ms, at_s = self._anchor
        return exchange_ms + round((self._clock.elapsed_s() - at_s) * 1000)

    def attach(
        self, line: Line, *, exchange_ms: int, at_s: float, subscribed: Sequence[str]
    ) -> int:
        """Make a session current, and return its epoch. For `link` only.

        It was `exchange_ms` at the exchange when it was `at_s` in loop time; `subscribed` are the
        channels that the session carries.
        """
        assert self._line is None, "one session at a time"
        self._line = line
        self.set_time(exchange_ms=exchange_ms, at_s=at_s)
        self._subscribed = set(subscribed)
        self._epoch += 1
        return self._epoch

    def set_time(self, *, exchange_ms: int, at_s: float) -> None:
        """It was `exchange_ms` at the exchange when it was `at_s` in loop time. For `link` only."""
        self._anchor = (exchange_ms, at_s)

    def detach(self, reason: str) -> None:
        """End the current session for all callers. For `link` only."""
        self._line = None
        self._lost_reason = reason
        self._subscribed = set()

    async def place(self, request: OrderRequest) -> Outcome:
        """Send an order. Cancelling the caller leaves the outcome unknown, like a timeout."""
        method = "private/buy" if request.direction is Direction.BUY else "private/sell"
        return await self._act(method, encode_order(request), wire.to_placed, label=request.label)

    async def edit(
        self,
        order_id: str,
        *,
        amount: Decimal,
        price: Decimal | None = None,
        trigger_price: Decimal | None = None,
        valid_until_ms: int | None = None,
    ) -> Outcome:
        """Change an order. `amount` is its new total, filled part included."""
        params = encode_edit(
            order_id,
            amount=amount,
            price=price,
            trigger_price=trigger_price,
            valid_until_ms=valid_until_ms,
        )
        return await self._act("private/edit", params, wire.to_placed)

    async def cancel(self, order_id: str) -> Outcome:
        """Cancel an order.

        Refused with 11044, 10010, 11008 or 10004 means that it is gone already: filled,
        cancelled, triggered or forgotten. Which one must be read.
        """
        return await self._act("private/cancel", {"order_id": order_id}, _to_cancelled)

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
        if self.is_live:
            dropped = [
                name
                for name in before
                if name not in self.watched_channels and name in self._subscribed
            ]
            if dropped:
                self._subscribed.difference_update(dropped)
                await self._ask("public/unsubscribe", {"channels": dropped})
            if missing := self.missing_channels:
                await self.subscribe(missing)
        return self.missing_channels

    async def _ask(self, method: str, params: Mapping[str, Any]) -> msgspec.Raw:
        line = self._current(method)
        reply = await line.request(method, params, timeout_s=self._call_timeout_s)
        if isinstance(reply, ErrorReply):
            self._note(line, method, reply)
            raise query_error(method, reply)
        return reply.result

    async def _act(
        self,
        method: str,
        params: Mapping[str, Any],
        read: Callable[[msgspec.Raw], _Placed],
        *,
        label: str | None = None,
    ) -> Outcome:
        try:
            line = self._current(method)
            reply = await line.request(method, params, timeout_s=self._call_timeout_s)
            if isinstance(reply, ErrorReply):
                self._note(line, method, reply)
                return outcome_of(reply)
            order, fills = read(reply.result)
        except (Transient, Rejected) as error:
            return Refused(code=NOT_SENT, message=f"not sent: {error}")
        except OutcomeUnknown as error:
            return Unknown(reason=str(error))
        if label is not None and order.label != label:
            return Unknown(reason=f"{method}: the answer is about label {order.label!r}")
        return Confirmed(order=order, fills=fills)

    def _current(self, method: str) -> Line:
        if self._line is None:
            raise Transient(f"{method}: not connected ({self._lost_reason})")
        return self._line

    def _note(self, line: Line, method: str, error: ErrorReply) -> None:
        pair = (error.code, error.message)
        if not is_listed(*pair) and pair not in self._unseen_errors:
            self._unseen_errors.add(pair)
            _log.warning("error.unlisted", method=method, code=error.code, message=error.message)
        if classify(*pair) is Verdict.AUTH_FAILURE:
            # Only a new session logs in again; this one would refuse every call from now on.
            line.abandon(f"logged out: {error}")


def _to_cancelled(raw: msgspec.Raw) -> _Placed:
    return wire.to_order(raw), ()
