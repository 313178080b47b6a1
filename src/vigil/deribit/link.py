"""One session's whole life: dial, log in, subscribe, be live, end.

`run` is one child of the supervisor. It never reconnects: it raises, and is started again with
backoff. Events reach `sink` in the order in which the exchange said them, `SessionOpened` first and
`SessionLost` last; nothing of a session is delivered after its end. What could not be read on a
private channel is reported to `on_unreadable`, because what it would have said must be asked for.
"""

import asyncio
import random
from collections.abc import Callable
from typing import NoReturn

import structlog
from msgspec import Struct

from vigil.clock import Clock
from vigil.deribit import session, wire
from vigil.deribit.book_feed import BookFeed
from vigil.deribit.channel_watch import ChannelWatch
from vigil.deribit.channels import (
    PRIVATE_CHANNELS,
    SESSION_CHANNELS,
    is_private,
    subscribe_calls,
)
from vigil.deribit.client import DeribitClient
from vigil.deribit.connection import (
    CertificateRefused,
    Connection,
    Dial,
    dial_websocket,
    open_connection,
)
from vigil.deribit.jsonrpc import Malformed, Notification
from vigil.deribit.listening import Listener
from vigil.deribit.login import Login, LoginGate
from vigil.deribit.session import (
    ApiKey,
    Deadlines,
    Liveness,
    Phase,
    Trouble,
    TroubleKind,
)
from vigil.deribit.timekeeping import Timekeeper
from vigil.deribit.upkeep import Upkeep
from vigil.domain.events import ExchangeEvent, OrderReceived, SessionLost, SessionOpened
from vigil.errors import Misconfigured, OutcomeUnknown, Rejected, Transient, VigilError

_log = structlog.get_logger(__name__)

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


def _ignore(_: object) -> None:
    return None


class DeribitLink:
    """Keeps one session while `run` runs.

    Args:
        sink: Takes every event; synchronous, must not block.
        dice: For nonces.
        on_unreadable: Told of every `Unheard`; whoever reconciles should do so soon.
        on_trouble: Told of every `Trouble` as it comes and goes.

    Attributes:
        revivals: How often a silent channel was subscribed anew.
    """

    def __init__(
        self,
        client: DeribitClient,
        *,
        url: str,
        key: ApiKey,
        clock: Clock,
        dice: random.Random,
        sink: Callable[[ExchangeEvent], None],
        on_unreadable: Callable[[Unheard], None] = _ignore,
        on_trouble: Callable[[Trouble], None] = _ignore,
        dial: Dial = dial_websocket,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._client = client
        self._url = url
        self._key = key
        self._clock = clock
        self._dice = dice
        self._sink = sink
        self._on_unreadable = on_unreadable
        self._on_trouble = on_trouble
        self._dial = dial
        self._deadlines = Deadlines() if deadlines is None else deadlines
        self._phase = Phase.ENDED
        self._held: list[Notification] = []
        self._latest: dict[str, Notification] = {}
        self._listener: Listener | None = None
        self._timekeeper = Timekeeper(clock, on_trouble=on_trouble)
        self.revivals = 0

    async def run(self) -> NoReturn:
        """Live one session and raise when it ends.

        Raises: Transient, for whatever another session may heal; Misconfigured, when the URL or
        the key is wrong.
        """
        self._phase, self._held, self._latest = Phase.CONNECTING, [], {}
        await self._client.throttle.recover()
        connection = await self._connect()
        self._step(Phase.CONNECTED)
        gate, reason = LoginGate(), _STOPPED
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(connection.pump(), name="deribit.pump")
                await self._open(connection, gate, tasks)
                await self._watch(connection, gate)
        except BaseExceptionGroup as group:
            cause = _most_telling(group)
            reason = str(cause)
            if isinstance(cause, Misconfigured):
                gate.loss = Trouble(kind=TroubleKind.LOGIN, reason=reason)
            raise cause from cause.__cause__
        except asyncio.CancelledError:
            await connection.close()
            raise
        finally:
            self._end(connection, gate, reason)

    async def _connect(self) -> Connection:
        try:
            return await open_connection(
                self._dial,
                self._url,
                clock=self._clock,
                timeout_s=self._deadlines.dial_s,
                on_notification=self._take,
                on_malformed=self._take_malformed,
                on_late=self._client.take_late,
            )
        except CertificateRefused as error:
            self._on_trouble(Trouble(kind=TroubleKind.CERTIFICATE, reason=str(error)))
            raise

    async def _open(
        self, connection: Connection, gate: LoginGate, tasks: asyncio.TaskGroup
    ) -> None:
        """Everything between a fresh socket and a live session."""
        upkeep = Upkeep(
            connection,
            self._client,
            clock=self._clock,
            deadlines=self._deadlines,
            timekeeper=self._timekeeper,
            on_trouble=self._on_trouble,
        )
        call = upkeep.call
        reading = await upkeep.first_reading()

        def exchange_now_ms() -> int:
            if self._phase is Phase.LIVE:  # measured again and again from then on
                return self._client.exchange_now_ms()
            if reading is None:
                return self._clock.now_ms()
            return reading.now_ms(self._clock.elapsed_s())

        login = Login(
            self._key,
            gate,
            url=self._url,
            call=call,
            is_connected=lambda: connection.is_open,
            clock=self._clock,
            exchange_now_ms=exchange_now_ms,
            dice=self._dice,
            on_trouble=self._on_trouble,
        )
        grant = await login.open()
        self._step(Phase.AUTHENTICATED)
        if reading is None:
            reading = await upkeep.measure_clock()
        await call("public/set_heartbeat", {"interval": self._deadlines.heartbeat_s})
        books = BookFeed(
            carried=lambda: self._client.carried_books,
            call=call,
            clock=self._clock,
            look_s=self._deadlines.watch_s,
        )
        self._listener = Listener(books, self._client.novelties)
        subscribed = await self._subscribe(upkeep)
        self._step(Phase.SUBSCRIBED)
        epoch = self._client.attach(connection, reading=reading, subscribed=subscribed, gate=gate)
        self._step(Phase.LIVE)
        _log.info(
            "connection.live",
            epoch=epoch,
            clock_offset_ms=self._client.clock_offset_ms,
            channels=len(subscribed),
        )
        for kind in (TroubleKind.LOGIN, TroubleKind.CERTIFICATE):
            self._on_trouble(Trouble(kind=kind, reason=None))
        self._sink(SessionOpened(epoch=epoch))
        held, self._held = self._held, []
        for notification in held:
            self._take(notification)
        watch = ChannelWatch(
            latest=self._latest,
            watched=lambda: (*self._client.carried_channels, *self._client.carried_books),
            book_of=books.book,
            call=call,
            clock=self._clock,
            deadlines=self._deadlines,
            on_revival=self._count_revival,
        )
        tasks.create_task(login.keep(grant), name="deribit.login")
        tasks.create_task(upkeep.keep_time(), name="deribit.time")
        tasks.create_task(upkeep.learn_limits(), name="deribit.limits")
        tasks.create_task(upkeep.carry_watched(), name="deribit.watched")
        tasks.create_task(upkeep.outlive_connection(), name="deribit.outlive")
        tasks.create_task(watch.run(), name="deribit.channels")
        tasks.create_task(books.run(), name="deribit.books")

    async def _subscribe(self, upkeep: Upkeep) -> tuple[str, ...]:
        """Subscribe to the account and the watched markets, and compare what was accepted."""
        client = self._client
        wanted = (*SESSION_CHANNELS, *client.watched_channels, *client.watched_books)
        accepted: set[str] = set()
        for method, channels in subscribe_calls(wanted):
            raw = await upkeep.call(method, {"channels": channels})
            accepted.update(wire.to_channels(raw))
        # What began to be watched meanwhile is asked for by `carry_watched`.
        missing = [channel for channel in wanted if channel not in accepted]
        if private := [channel for channel in missing if channel in PRIVATE_CHANNELS]:
            # Trading blind is worse than not trading.
            raise Transient(f"the exchange did not accept {', '.join(private)}")
        if missing:
            _log.warning("subscription.refused", channels=missing)
        return tuple(accepted)

    async def _watch(self, connection: Connection, gate: LoginGate) -> NoReturn:
        """Find a link, or a private stream, that is dead though nobody said so."""
        while True:
            await self._clock.sleep(self._deadlines.watch_s)
            silent_s, unanswered_s = connection.silent_s, connection.unanswered_s
            match session.liveness(
                silent_s=silent_s,
                unanswered_s=unanswered_s,
                probed_ago_s=connection.probed_ago_s,
                deadlines=self._deadlines,
            ):
                case Liveness.ALIVE:
                    pass
                case Liveness.PROBE:
                    self._client.throttle.spend_anyway("public/test")
                    connection.probe()
                case Liveness.SILENT:
                    raise Transient(f"nothing heard for {silent_s:.1f} s")
                case Liveness.DEAF:
                    raise Transient(f"nothing answered for {unanswered_s:.1f} s")
            order_id = self._client.overdue_order_id(self._deadlines.proof_s)
            if order_id is not None:
                reason = f"the private stream did not tell of order {order_id}, which we changed"
                gate.loss = Trouble(kind=TroubleKind.STREAM, reason=reason)
                raise Transient(reason)

    def _count_revival(self, channel: str) -> None:
        del channel
        self.revivals += 1

    def _take(self, notification: Notification) -> None:
        """Turn one notification into events for the sink. Called for every frame that matters."""
        if self._phase is not Phase.LIVE:
            self._hold(notification)
            return
        channel = notification.channel
        self._latest[channel] = notification
        try:
            assert self._listener is not None, "a live session has a listener"
            events = self._listener.take(channel, notification.data)
        except wire.Unreadable as error:
            self._report(channel, str(error))
            return
        for event in events:
            if type(event) is OrderReceived:
                self._client.take_order(event.order)
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

    def _end(self, connection: Connection, gate: LoginGate, reason: str) -> None:
        was_live = self._phase is Phase.LIVE
        self._phase, self._held = Phase.ENDED, []
        connection.abandon(reason)
        if gate.loss is not None:
            self._on_trouble(gate.loss)
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
