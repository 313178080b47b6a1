"""The paper exchange on a port: WebSocket and HTTP around the venue, which decides everything.

One event loop, one venue: a request is carried out, its changes are stored, and only then do its
reply and the notifications leave, in that order on every connection.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterable
from decimal import Decimal

import structlog
from aiohttp import WSMsgType, web

from vigil.clock import Clock
from vigil.paper.faults import Fate, Faults
from vigil.paper.notify.publishing import Push
from vigil.paper.persistence import StateFile
from vigil.paper.refusals import Refusal
from vigil.paper.session.http_login import read_login
from vigil.paper.venue import HangUp, Outgoing, Reaction, Venue
from vigil.paper.wire import framing
from vigil.paper.wire.framing import Request, parse_frame

log = structlog.get_logger()

TICK_INTERVAL_S = 0.1
# Frames above the protocol's 32 kB still have to be read to be refused by name.
_FRAME_BYTES_MAX = 1024 * 1024
# A reader this far behind is dropped, as the exchange does (`connection_too_slow`).
_OUTBOX_MAX = 20_000
_CLOSE_TIMEOUT_S = 1.0


class _Connection:
    """One WebSocket: what is to be sent, in order."""

    def __init__(
        self, number: int, socket: web.WebSocketResponse, transport: asyncio.Transport | None
    ) -> None:
        self.number = number
        self.socket = socket
        self.is_hanging_up = False
        self._transport = transport
        self._outbox: asyncio.Queue[bytes | HangUp] = asyncio.Queue(_OUTBOX_MAX)

    def send(self, item: bytes | HangUp) -> None:
        """Queue a frame, or the end."""
        try:
            self._outbox.put_nowait(item)
        except asyncio.QueueFull:
            self.abort()

    def abort(self) -> None:
        """Cut the line without a close frame."""
        if self._transport is not None:
            self._transport.abort()

    async def send_all(self) -> None:
        """Send what is queued until the connection ends."""
        with contextlib.suppress(ConnectionError):
            while True:
                item = await self._outbox.get()
                if isinstance(item, HangUp):
                    self.is_hanging_up = True
                    await self.socket.close(code=item.code, message=item.reason.encode())
                    return
                await self.socket.send_frame(item, WSMsgType.TEXT)


class PaperServer:
    """A venue on a port.

    Args:
        port: 0 takes a free one; read `port` after `start`.
        tick_interval_s: Wall seconds between two moves of the market.
        speed: Market seconds that one wall second covers.
        persistence: Where the books are kept; None keeps them in memory.
        faults: What a test wants to go wrong.
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
    ) -> None:
        self.venue = venue
        self.faults = faults or Faults()
        self.host = host
        self.port = port
        self._clock = clock
        self._tick_interval_s = tick_interval_s
        self._speed = speed
        self._persistence = persistence
        self._connections: dict[int, _Connection] = {}
        self._last_number = 0
        self._is_listening = asyncio.Event()
        self._is_stopping = asyncio.Event()
        self._failure: sqlite3.Error | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def websocket_url(self) -> str:
        """Where clients connect."""
        return f"ws://{self.host}:{self.port}/ws/api/v2"

    @property
    def http_url(self) -> str:
        """Where methods are appended."""
        return f"http://{self.host}:{self.port}/api/v2"

    async def serve(self) -> None:
        """Listen and tick until `request_stop`.

        Raises: OSError, when the port cannot be had; sqlite3.Error, when the books could not be
            stored, because nothing may be acknowledged then.
        """
        runner = web.AppRunner(self._application(), shutdown_timeout=_CLOSE_TIMEOUT_S)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self.host, self.port)
            await site.start()
            self.port = int(runner.addresses[0][1])
            self._commit()
            self._is_listening.set()
            async with asyncio.TaskGroup() as tasks:
                ticking = tasks.create_task(self._tick_forever())
                await self._is_stopping.wait()
                ticking.cancel()
        finally:
            for connection in tuple(self._connections.values()):
                connection.send(HangUp(connection_id=connection.number, code=1001, reason=""))
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
        for connection in self._connections.values():
            connection.abort()

    def set_price(self, index_name: str, price: Decimal) -> None:
        """Move an index by hand and tell everybody."""
        self._release(self.venue.set_price(index_name, price, self._clock.now_ms()))

    # -- WebSocket -----------------------------------------------------------------------------

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            timeout=_CLOSE_TIMEOUT_S, max_msg_size=_FRAME_BYTES_MAX, compress=False
        )
        await socket.prepare(request)
        self._last_number += 1
        connection = _Connection(self._last_number, socket, request.transport)
        self._connections[connection.number] = connection
        self.venue.connect(connection.number)
        try:
            async with asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(connection.send_all())
                late: set[asyncio.Task[None]] = set()
                async for message in socket:
                    if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                        delayed = self._receive(connection, message.data)
                        if delayed is not None:
                            late.add(tasks.create_task(self._send_later(connection, *delayed)))
                for task in late:
                    task.cancel()
                if not connection.is_hanging_up:
                    sending.cancel()
        finally:
            del self._connections[connection.number]
            self._release(self.venue.disconnect(connection.number, self._clock.now_ms()))
        return socket

    def _receive(self, connection: _Connection, frame: str | bytes) -> tuple[bytes, float] | None:
        """Carry out one frame. Returns a reply that has to wait, and for how many seconds."""
        now_ms, began_s = self._clock.now_ms(), self._clock.elapsed_s()
        fate, delay_s, request_id = Fate.ORDINARY, 0.0, None
        try:
            request = parse_frame(frame)
            request_id = request.request_id
            fate, delay_s = self.faults.next_fate(request.method)
            if fate is Fate.REQUEST_LOST:
                return None
            reaction = self.venue.receive(connection.number, request, now_ms)
        except Refusal as refusal:
            reaction = Reaction(answer=refusal)
        self._release(reaction.before)
        reply = self._encode_reply(request_id, reaction.answer, now_ms, began_s)
        is_said = reaction.has_reply and fate is Fate.ORDINARY
        if is_said and not delay_s:
            connection.send(reply)
        self._release(reaction.after)
        return (reply, delay_s) if is_said and delay_s else None

    async def _send_later(self, connection: _Connection, reply: bytes, delay_s: float) -> None:
        await self._clock.sleep(delay_s)
        connection.send(reply)

    # -- HTTP ----------------------------------------------------------------------------------

    async def _http(self, request: web.Request) -> web.StreamResponse:
        now_ms, began_s = self._clock.now_ms(), self._clock.elapsed_s()
        call: Request | None = None
        try:
            body = await request.content.read(framing.REQUEST_BYTES_MAX + 1)
            call = _read_call(request, body)
            login = read_login(
                request.headers.get("Authorization"),
                verb=request.method,
                uri=request.raw_path,
                body=body,
                sessions=self.venue.sessions,
                now_ms=now_ms,
            )
            fate, delay_s = self.faults.next_fate(call.method)
            if fate is Fate.REQUEST_LOST:
                return _hang_up(request)
            reaction = self.venue.receive_alone(
                call, now_ms, access_token=login.access_token, is_logged_in=login.is_logged_in
            )
        except Refusal as refusal:
            reaction, fate, delay_s = Reaction(answer=refusal), Fate.ORDINARY, 0.0
        self._release((*reaction.before, *reaction.after))
        if fate is Fate.REPLY_WITHHELD:
            return _hang_up(request)
        if delay_s:
            await self._clock.sleep(delay_s)
        request_id = call.request_id if call is not None else None
        return web.Response(
            body=self._encode_reply(request_id, reaction.answer, now_ms, began_s),
            status=400 if isinstance(reaction.answer, Refusal) else 200,
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    # -- plumbing ------------------------------------------------------------------------------

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=_FRAME_BYTES_MAX)
        application.router.add_get("/ws/api/v2", self._websocket)
        application.router.add_get("/api/v2/{method:.+}", self._http)
        application.router.add_post("/api/v2/{method:.+}", self._http)
        application.router.add_post("/api/v2", self._http)
        return application

    async def _tick_forever(self) -> None:
        last_s = self._clock.elapsed_s()
        while True:
            await self._clock.sleep(self._tick_interval_s)
            now_s = self._clock.elapsed_s()
            passed_s, last_s = max(now_s - last_s, 0.0), now_s
            if passed_s:
                market_seconds = passed_s * self._speed
                self._release(self.venue.tick(self._clock.now_ms(), market_seconds))

    def _release(self, outgoing: Iterable[Outgoing]) -> None:
        """Store what happened, then let the messages about it go."""
        outgoing = tuple(outgoing)
        self._commit()
        for item in outgoing:
            match item:
                case Push(connection_ids=numbers, message=message):
                    frame = framing.encode(message)
                    for number in numbers:
                        if number in self._connections:
                            self._connections[number].send(frame)
                case HangUp(connection_id=number):
                    if number in self._connections:
                        self._connections[number].send(item)

    def _commit(self) -> None:
        """Put the venue's changes on disk; without a disk there is nothing to say any more."""
        changes = self.venue.drain_changes(self._clock.now_ms())
        if changes is None or self._persistence is None:
            return
        try:
            if self._failure is None:
                self._persistence.save(changes)
        except sqlite3.Error as error:
            log.exception("paper.save_failed")
            self._failure = error
            self.request_stop()
        if self._failure is not None:
            self.drop_connections()
            raise self._failure

    def _encode_reply(
        self, request_id: int | str | None, answer: object, now_ms: int, began_s: float
    ) -> bytes:
        spent_us = int((self._clock.elapsed_s() - began_s) * 1_000_000)
        return framing.reply(request_id, answer, received_us=now_ms * 1000, spent_us=spent_us)


def _read_call(request: web.Request, body: bytes) -> Request:
    """The call in a path and query, or in a body. A reply to GET has no id."""
    method = request.match_info.get("method")
    if request.method == "GET":
        assert method is not None
        return Request(method=method, params=dict(request.query), is_text=True)
    return parse_frame(body, default_method=method)


def _hang_up(request: web.Request) -> web.StreamResponse:
    """End the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
