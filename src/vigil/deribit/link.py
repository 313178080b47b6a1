"""One session's whole life: dial, log in, subscribe, be live, end.

`run` is one child of the supervisor. It never reconnects: it raises, and is started again with
backoff. Events reach `sink` in the order in which the exchange said them, `SessionOpened` first and
`SessionLost` last; nothing of a session is delivered after its end. What could not be read on a
private channel is reported to `on_unreadable`, because what it would have said must be asked for.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import msgspec
import structlog
from msgspec import Struct

from vigil.clock import Clock
from vigil.deribit import session, wire
from vigil.deribit.channels import (
    PRIVATE_CHANNELS,
    is_private,
    subscribe_calls,
    to_events,
)
from vigil.deribit.client import DeribitClient
from vigil.deribit.connection import Connection, Dial, dial_websocket, open_connection
from vigil.deribit.jsonrpc import Malformed, Notification
from vigil.deribit.session import Deadlines, Grant, Liveness, Phase, Secret
from vigil.domain.events import ExchangeEvent, SessionLost, SessionOpened
from vigil.errors import Misconfigured, OutcomeUnknown, Rejected, Transient, VigilError

_log = structlog.get_logger(__name__)

# Clocks that part by more than this between two looks were set, or the machine was asleep.
CLOCK_STEP_MS_WARNED = 500

# Why a session ended that we ended ourselves, in order.
_STOPPED = "stopped"

# Notifications may come before the subscription is acknowledged. They wait for SessionOpened;
# more than these means that it never comes.
_HELD_MAX = 50_000


class Unheard(Struct, frozen=True, kw_only=True):
    """A frame about the account, or one that may have been, that could not be read.

    Args:
        channel: Empty when the frame was no message at all.
    """

    epoch: int
    channel: str
    reason: str


def _ignore(_: Unheard) -> None:
    return None


class DeribitLink:
    """Keeps one session while `run` runs.

    Args:
        sink: Takes every event; synchronous, must not block.
        on_unreadable: Told of every `Unheard`; whoever reconciles should do so soon.
        session_name: With a name, tokens outlive the socket; without, they die with it.
    """

    def __init__(
        self,
        client: DeribitClient,
        *,
        url: str,
        client_id: str,
        client_secret: Secret,
        clock: Clock,
        sink: Callable[[ExchangeEvent], None],
        on_unreadable: Callable[[Unheard], None] = _ignore,
        dial: Dial = dial_websocket,
        session_name: str | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._client = client
        self._url = url
        self._client_id = client_id
        self._client_secret = client_secret
        self._clock = clock
        self._sink = sink
        self._on_unreadable = on_unreadable
        self._dial = dial
        self._session_name = session_name
        self._deadlines = Deadlines() if deadlines is None else deadlines
        self._phase = Phase.ENDED
        self._held: list[Notification] = []

    @property
    def phase(self) -> Phase:
        """Where the current session stands; `ended` between sessions."""
        return self._phase

    async def run(self) -> NoReturn:
        """Live one session and raise when it ends.

        Raises: Transient, for whatever another session may heal; Misconfigured, when the URL or
        the key is wrong.
        """
        self._phase, self._held = Phase.CONNECTING, []
        connection = await open_connection(
            self._dial,
            self._url,
            clock=self._clock,
            timeout_s=self._deadlines.dial_s,
            on_notification=self._take,
            on_malformed=self._take_malformed,
        )
        self._step(Phase.CONNECTED)
        reason = _STOPPED
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(connection.pump(), name="deribit.pump")
                grant = await self._open(connection)
                tasks.create_task(self._renew(connection, grant), name="deribit.renew")
                tasks.create_task(self._keep_time(connection), name="deribit.time")
                await self._watch(connection)
        except BaseExceptionGroup as group:
            cause = _most_telling(group)
            reason = str(cause)
            raise cause from cause.__cause__
        except asyncio.CancelledError:
            await connection.close()
            raise
        finally:
            self._end(connection, reason)

    async def _open(self, connection: Connection) -> Grant:
        """Everything between a fresh socket and a live session."""
        grant = await self._log_in(connection)
        self._step(Phase.AUTHENTICATED)
        await self._call(
            connection, "public/set_heartbeat", {"interval": self._deadlines.heartbeat_s}
        )
        exchange_ms, at_s = await self._measure_clock(connection)
        subscribed = await self._subscribe(connection)
        self._step(Phase.SUBSCRIBED)
        epoch = self._client.attach(
            connection, exchange_ms=exchange_ms, at_s=at_s, subscribed=subscribed
        )
        self._step(Phase.LIVE)
        _log.info(
            "connection.live",
            epoch=epoch,
            clock_offset_ms=self._client.clock_offset_ms,
            channels=len(subscribed),
        )
        self._sink(SessionOpened(epoch=epoch))
        held, self._held = self._held, []
        for notification in held:
            self._take(notification)
        return grant

    async def _log_in(self, connection: Connection) -> Grant:
        """Log the socket in with the key.

        Raises: Misconfigured, when the exchange will never accept the key.
        """
        # The frames below this one hold the secret, so none of them stays on an exception that
        # leaves here: some renderers of tracebacks show local variables.
        try:
            raw = await self._call(
                connection,
                "public/auth",
                session.log_in(
                    self._client_id, self._client_secret.get_secret_value(), self._session_name
                ),
            )
        except Rejected as error:
            error.with_traceback(None)
            raise Misconfigured(
                f"{self._url} does not accept the key ({error.code}): check VIGIL_CLIENT_ID and "
                "VIGIL_CLIENT_SECRET, and that they belong to this environment"
            ) from None
        except (Transient, OutcomeUnknown) as error:
            error.with_traceback(None)
            raise Transient(f"not logged in: {error}") from None
        grant = session.to_grant(raw)
        if grant.missing_rights:
            _log.warning("session.rights_missing", missing=grant.missing_rights)
        return grant

    async def _renew(self, connection: Connection, grant: Grant) -> NoReturn:
        """Renew the login at half of each token's life, for as long as the session lasts."""
        while True:
            await self._clock.sleep(grant.refresh_after_s)
            try:
                raw = await self._call(connection, "public/auth", session.renew(grant))
                grant = session.to_grant(raw)
            except Rejected as error:
                # A refresh token works once; if its answer was lost, the key itself still works.
                _log.warning("session.renewal_refused", code=error.code)
                grant = await self._log_in(connection)
            _log.info("session.renewed", expires_in_s=grant.expires_in_s)

    async def _keep_time(self, connection: Connection) -> NoReturn:
        """Measure the exchange's clock again and again, for as long as the session lasts."""
        while True:
            await self._clock.sleep(self._deadlines.clock_check_s)
            exchange_ms, at_s = await self._measure_clock(connection)
            believed_ms = self._client.exchange_now_ms()
            self._client.set_time(exchange_ms=exchange_ms, at_s=at_s)
            step_ms = self._client.exchange_now_ms() - believed_ms
            if abs(step_ms) > CLOCK_STEP_MS_WARNED:
                _log.warning("clock.stepped", by_ms=step_ms)

    async def _measure_clock(self, connection: Connection) -> tuple[int, float]:
        """Exchange time, and the loop time at which it was that; good to half a round trip."""
        asked_s = self._clock.elapsed_s()
        raw = await self._call(connection, "public/get_time", {})
        return wire.to_server_time_ms(raw), (asked_s + self._clock.elapsed_s()) / 2

    async def _subscribe(self, connection: Connection) -> tuple[str, ...]:
        """Subscribe to the account and the watched tickers, and compare what was accepted."""
        wanted = (*PRIVATE_CHANNELS, *self._client.watched_channels)
        accepted: set[str] = set()
        for method, channels in subscribe_calls(wanted):
            raw = await self._call(connection, method, {"channels": channels})
            accepted.update(wire.to_channels(raw))
        missing = [channel for channel in wanted if channel not in accepted]
        if private := [channel for channel in missing if is_private(channel)]:
            # Trading blind is worse than not trading.
            raise Transient(f"the exchange did not accept {', '.join(private)}")
        if missing:
            _log.warning("subscription.refused", channels=missing)
        return tuple(accepted)

    async def _watch(self, connection: Connection) -> NoReturn:
        """Find a link that is dead though nobody said so."""
        is_probed = False
        while True:
            await self._clock.sleep(self._deadlines.watch_s)
            silent_s = connection.silent_s
            match session.liveness(silent_s, self._deadlines):
                case Liveness.ALIVE:
                    is_probed = False
                case Liveness.PROBE if not is_probed:
                    is_probed = True
                    await connection.probe()
                case Liveness.DEAD:
                    raise Transient(f"nothing heard for {silent_s:.1f} s")

    async def _call(
        self, connection: Connection, method: str, params: Mapping[str, Any]
    ) -> msgspec.Raw:
        return await connection.call(method, params, timeout_s=self._deadlines.call_s)

    def _take(self, notification: Notification) -> None:
        """Turn one notification into events for the sink. Called for every frame that matters."""
        if self._phase is not Phase.LIVE:
            self._hold(notification)
            return
        try:
            events = to_events(notification.channel, notification.data)
        except wire.Unreadable as error:
            self._report(notification.channel, str(error))
            return
        for event in events:
            self._sink(event)

    def _hold(self, notification: Notification) -> None:
        if len(self._held) >= _HELD_MAX:
            raise Transient(f"{_HELD_MAX} notifications before the session was live")
        self._held.append(notification)

    def _take_malformed(self, frame: Malformed) -> None:
        self._report("", f"{frame.reason} ({frame.size} bytes)")

    def _report(self, channel: str, reason: str) -> None:
        _log.warning("frame.unreadable", channel=channel, reason=reason)
        if not channel or is_private(channel):
            self._on_unreadable(Unheard(epoch=self._client.epoch, channel=channel, reason=reason))

    def _step(self, phase: Phase) -> None:
        self._phase = session.advance(self._phase, phase)

    def _end(self, connection: Connection, reason: str) -> None:
        was_live = self._phase is Phase.LIVE
        self._phase, self._held = Phase.ENDED, []
        connection.abandon(reason)
        if was_live:
            self._client.detach(reason)
            tell = _log.info if reason == _STOPPED else _log.warning
            tell("connection.lost", epoch=self._client.epoch, reason=reason)
            self._sink(SessionLost(epoch=self._client.epoch, reason=reason))


def _most_telling(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one exception that says why the session ended.

    One task's failure makes the others fail in turn. A bug outranks everything; then what only a
    person can help; then what the exchange said; last what follows from a closed socket.
    """
    leaves: list[BaseException] = []
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            leaves.append(_most_telling(error))
        else:
            leaves.append(error)
    for error in leaves:
        if not isinstance(error, VigilError):
            return error
    for error in leaves:
        if isinstance(error, Misconfigured):
            return error
    transient = [error for error in leaves if isinstance(error, Transient)]
    if transient:
        return transient[0]
    # Whoever restarts the session needs one word: it may work next time.
    first = leaves[0]
    assert isinstance(first, (OutcomeUnknown, Rejected)), first
    return Transient(str(first))
