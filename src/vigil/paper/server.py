"""The paper exchange on a port: WebSocket and HTTP around the venue, which decides everything.

One event loop, one venue: a request is carried out, its changes are stored, and only then do its
reply and the notifications leave, in that order on every connection.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Iterator
from decimal import Decimal

import structlog
from aiohttp import web

from vigil.clock import Clock
from vigil.paper.faults.accepting import hang_up
from vigil.paper.faults.arming import Armed
from vigil.paper.faults.control import Control
from vigil.paper.faults.deeds import Deeds
from vigil.paper.faults.interference import Faults, Sending
from vigil.paper.faults.skew import SkewedClock
from vigil.paper.http_calls import HttpCalls
from vigil.paper.line import Line
from vigil.paper.notify.publishing import Push
from vigil.paper.persistence import StateFile
from vigil.paper.reactions import CUT, HangUp, Outgoing
from vigil.paper.serving import FRAME_BYTES_MAX, Received
from vigil.paper.socket_calls import CLOSE_TIMEOUT_S, SocketCalls
from vigil.paper.venue import Venue
from vigil.paper.wire import framing
from vigil.paper.wire.frames import text_frame

log = structlog.get_logger()

TICK_INTERVAL_S = 0.1
_KEEP_ALIVE_S = 15 * 60.0


@web.middleware
async def _answer_nothing_unstored(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Let a connection end without a word when its books could not be stored: the server stops."""
    response: web.StreamResponse | None = None
    try:
        response = await handler(request)
    except* sqlite3.Error:
        response = hang_up(request)
    return response


class PaperServer:
    """A venue on a port.

    Args:
        port: 0 takes a free one; read `port` after `start`.
        tick_interval_s: Wall seconds between two moves of the market.
        speed: Market seconds that one wall second covers.
        persistence: Where the books are kept; None keeps them in memory.
        faults: What is armed of the fault menu.
        has_control: Serve the fault menu at `/control`, to this machine alone.
        compresses: Deflate messages for clients that offer it.
    """

    def __init__(
        self,
        venue: Venue,
        clock: Clock,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tick_interval_s: float = TICK_INTERVAL_S,
        speed: float = 1.0,
        persistence: StateFile | None = None,
        faults: Faults | None = None,
        has_control: bool = False,
        compresses: bool = True,
    ) -> None:
        self.venue = venue
        self.faults = faults or Faults()
        self.host = host
        self.port = port
        self.clock = SkewedClock(clock)
        self.lines: dict[int, Line] = {}
        self.deeds = Deeds(self)
        self._http = HttpCalls(self)
        self._sockets = SocketCalls(self, compresses=compresses)
        self._control = Control(self) if has_control else None
        self.faults.now_ms = self.clock.now_ms()
        self._tick_interval_s = tick_interval_s
        self._speed = speed
        self._persistence = persistence
        self._is_listening = asyncio.Event()
        self._is_stopping = asyncio.Event()
        self._failure: sqlite3.Error | None = None
        self._task: asyncio.Task[None] | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._waiting: set[asyncio.Task[None]] = set()

    @property
    def websocket_url(self) -> str:
        """Where clients connect."""
        return f"ws://{self.host}:{self.port}/ws/api/v2"

    @property
    def http_url(self) -> str:
        """Where methods are appended."""
        return f"http://{self.host}:{self.port}/api/v2"

    @property
    def control_url(self) -> str:
        """Where the fault menu is, if it is served."""
        return f"http://{self.host}:{self.port}/control"

    async def serve(self) -> None:
        """Listen and tick until `request_stop`.

        Raises: OSError, when the port cannot be had; sqlite3.Error, when the books could not be
            stored, because nothing may be acknowledged then.
        """
        runner = web.AppRunner(
            self._application(),
            shutdown_timeout=CLOSE_TIMEOUT_S,
            keepalive_timeout=_KEEP_ALIVE_S,
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, self.host, self.port)
            await site.start()
            self.port = int(runner.addresses[0][1])
            self._commit()
            self._is_listening.set()
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                ticking = tasks.create_task(self._tick_forever())
                await self._is_stopping.wait()
                self._tasks = None
                for task in (ticking, *self._waiting):
                    task.cancel()
        except* sqlite3.Error:
            assert self._failure is not None  # raised below, as itself
        finally:
            for connection in tuple(self.lines.values()):
                connection.end(1001)
            await runner.cleanup()
            if self._failure is None:
                self._commit()
        if self._failure is not None:
            raise self._failure

    def request_stop(self) -> None:
        """Let `serve` end."""
        self._is_stopping.set()

    async def start(self) -> None:
        """Serve in a task of this server's own until `stop`; returns when the port is open."""
        # The one task outside a group: `stop` is its owner's promise to wait for it.
        self._task = asyncio.get_running_loop().create_task(self.serve())
        listening = asyncio.ensure_future(self._is_listening.wait())
        await asyncio.wait((self._task, listening), return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if self._task.done():
            await self._task

    async def wait(self) -> None:
        """Wait until the task of `start` ends, and pass on what it died of."""
        if self._task is not None:
            task, self._task = self._task, None
            await task

    async def stop(self) -> None:
        """End the task of `start`."""
        self.request_stop()
        await self.wait()

    def drop_connections(self) -> None:
        """Cut every WebSocket without a close frame, as a failing network does."""
        for connection in self.lines.values():
            connection.abort()

    def set_price(self, index_name: str, price: Decimal) -> None:
        """Move an index by hand and tell everybody."""
        self.release(self.venue.set_price(index_name, price, self.clock.now_ms()))

    # -- plumbing ------------------------------------------------------------------------------

    def _application(self) -> web.Application:
        application = web.Application(
            client_max_size=FRAME_BYTES_MAX, middlewares=[_answer_nothing_unstored]
        )
        application.router.add_get("/ws/api/v2", self._sockets.handle)
        application.router.add_get("/api/v2/{method:.+}", self._http.handle)
        application.router.add_post("/api/v2/{method:.+}", self._http.handle)
        application.router.add_post("/api/v2", self._http.handle)
        if self._control is not None:
            self._control.add_routes(application.router)
        return application

    async def _tick_forever(self) -> None:
        last_s = self.clock.elapsed_s()
        while True:
            await self.clock.sleep(self._tick_interval_s)
            now_s = self.clock.elapsed_s()
            passed_s, last_s = max(now_s - last_s, 0.0), now_s
            if passed_s:
                market_seconds = passed_s * self._speed
                self.release(self.venue.tick(self.clock.now_ms(), market_seconds))
                self.deeds.follow_time(self.clock.now_ms())

    def send(self, line: Line, sending: Sending) -> None:
        """Send a frame over a line when it is due."""
        if sending.delay_s:
            self.later(sending.delay_s, lambda: line.send(sending.frame))
        else:
            line.send(sending.frame)

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Do something after that many seconds, unless the server stops before."""
        if self._tasks is None:
            return
        task = self._tasks.create_task(self._act_later(delay_s, act))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _act_later(self, delay_s: float, act: Callable[[], None]) -> None:
        await self.clock.sleep(delay_s)
        act()

    def release(self, outgoing: Iterable[Outgoing]) -> None:
        """Store what happened, then let the messages about it go."""
        outgoing = tuple(outgoing)
        self._commit()
        is_watched = self.faults.watches_notifications
        deeds: list[tuple[int, list[Armed]]] = []
        batches: dict[Line, list[bytes]] = {}
        for item in outgoing:
            match item:
                case Push() if is_watched:
                    deeds += self._disturb(item)
                case Push():
                    self._batch(item, batches)
                case HangUp(connection_id=number, code=code):
                    line = self.lines.get(number)
                    if line is None:
                        continue
                    line.send_frames(b"".join(batches.pop(line, ())))
                    if code == CUT:
                        line.abort()
                    else:
                        line.send(item)
        for line, frames in batches.items():
            line.send_frames(b"".join(frames))
        for number, struck in deeds:
            self.deeds.run(struck, number)

    def _batch(self, push: Push, batches: dict[Line, list[bytes]]) -> None:
        """Write a notification once, for all who get it, and put it with what they get besides."""
        lines = [self.lines[number] for number in push.connection_ids if number in self.lines]
        payload = self.venue.wording.push(push.message) if lines else b""
        frames: dict[int, bytes] = {}
        for line in lines:
            bits = line.window_bits
            if bits not in frames:
                frames[bits] = text_frame(payload, bits)
            batches.setdefault(line, []).append(frames[bits])

    def _disturb(self, push: Push) -> Iterator[tuple[int, list[Armed]]]:
        """Let a notification go as the fault menu wants it, for each connection apart.

        Yields: Connections, and what the notification sets off there.
        """
        for number in push.connection_ids:
            line = self.lines.get(number)
            if line is None:
                continue
            sendings, deeds = self.faults.on_notification(push.message, number, self.clock.now_ms())
            for sending in sendings:
                self.send(line, sending)
            if deeds:
                yield number, deeds

    def _commit(self) -> None:
        """Put the venue's changes on disk; without a disk there is nothing to say any more."""
        changes = self.venue.drain_changes(self.clock.now_ms())
        if changes is None or self._persistence is None:
            return
        try:
            if self._failure is None:
                self._persistence.save(changes)
        except sqlite3.Error as error:
            log.error("paper.save_failed", reason=str(error))  # noqa: TRY400 - told once, by main
            self._failure = error
            self.request_stop()
        if self._failure is not None:
            self.drop_connections()
            raise self._failure

    def encode_reply(
        self, request_id: int | str | None, answer: object, received: Received
    ) -> bytes:
        """A reply with its times, to the microsecond."""
        began_us = int(received.elapsed_s * 1_000_000)
        message = framing.reply(
            request_id,
            answer,
            received_us=received.now_ms * 1000 + began_us % 1000,
            spent_us=int(self.clock.elapsed_s() * 1_000_000) - began_us,
        )
        return self.venue.wording.reply(message)
