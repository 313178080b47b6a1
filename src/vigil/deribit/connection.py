"""One WebSocket to the exchange: frames out, frames in, answers matched to calls.

`open_connection` dials; `pump` reads until the connection dies and then raises; it is never
reconnected. A call that was sent and not answered, whatever the reason, ends as `OutcomeUnknown`;
`Transient` says that nothing left this machine. What a frame means is somebody else's matter.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

import msgspec
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.protocol import State

from vigil.clock import Clock
from vigil.deribit.classify import query_error
from vigil.deribit.jsonrpc import (
    FRAME_BYTES_MAX,
    REQUEST_BYTES_MAX,
    ErrorReply,
    Malformed,
    Notification,
    Reply,
    RequestId,
    ServerRequest,
    decode_frame,
    encode_request,
)
from vigil.errors import Misconfigured, OutcomeUnknown, Rejected, Transient

# Opens one WebSocket to a URL. A simulation hands in one of its own.
Dial = Callable[[str], Awaitable[ClientConnection]]

_log = structlog.get_logger(__name__)

# The library logs every frame it sends at DEBUG, credentials included; this logger never does.
_library_log = logging.getLogger("vigil.deribit.websocket")
_library_log.setLevel(logging.WARNING)

# A frozen peer is found by pings after at most ping + timeout + close = 11 s.
_PING_S = 5.0
_CLOSE_S = 1.0

_PENDING_MAX = 256
_PROBE_ID = "probe"
_LINGER_ZERO = struct.pack("ii", 1, 0)


async def dial_websocket(url: str) -> ClientConnection:
    """Open a plain WebSocket: no compression, no proxy, pings both ways."""
    return await connect(
        url,
        compression=None,
        proxy=None,
        open_timeout=None,  # the caller's deadline covers name lookup, TLS and handshake
        ping_interval=_PING_S,
        ping_timeout=_PING_S,
        close_timeout=_CLOSE_S,
        max_size=FRAME_BYTES_MAX,
        logger=_library_log,
    )


class Connection:
    """An open WebSocket and the calls that wait on it.

    Args:
        on_notification: Called for every notification, from within `pump`; must not block.
        on_malformed: Called for every frame that was no message, likewise.
    """

    def __init__(
        self,
        websocket: ClientConnection,
        *,
        clock: Clock,
        on_notification: Callable[[Notification], None],
        on_malformed: Callable[[Malformed], None],
    ) -> None:
        self._websocket = websocket
        self._clock = clock
        self._on_notification = on_notification
        self._on_malformed = on_malformed
        self._pending: dict[RequestId, asyncio.Future[Reply | ErrorReply]] = {}
        self._last_id = 0
        self._heard_s = clock.elapsed_s()
        self._end: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether a call could be sent now."""
        return self._end is None and self._websocket.state is State.OPEN

    @property
    def silent_s(self) -> float:
        """Seconds since the last whole frame arrived."""
        return self._clock.elapsed_s() - self._heard_s

    @property
    def pending(self) -> int:
        """Number of calls sent and not answered."""
        return len(self._pending)

    async def pump(self) -> NoReturn:
        """Read and hand out frames until the connection dies; cancelled, it leaves it open.

        Raises: Transient, with the reason; every call still waiting becomes OutcomeUnknown.
        """
        receive = self._websocket.recv
        elapsed_s = self._clock.elapsed_s
        notify = self._on_notification
        try:
            while True:
                frame = await receive(decode=False)
                if self._end is not None:  # abandoned; what was still buffered is old news
                    raise Transient(self._end)
                self._heard_s = elapsed_s()
                message = decode_frame(frame)
                if isinstance(message, Notification):
                    notify(message)
                elif isinstance(message, (Reply, ErrorReply)):
                    self._resolve(message)
                elif isinstance(message, ServerRequest):
                    await self._answer(message)
                else:
                    self._on_malformed(message)
        except ConnectionClosed as closed:
            reason = self._end or _words(closed)
            self.abandon(reason)
            raise Transient(reason) from closed

    async def request(
        self, method: str, params: Mapping[str, Any], *, timeout_s: float
    ) -> Reply | ErrorReply:
        """Send one call and wait for its answer, of either kind.

        Raises: Transient, when nothing was sent; Rejected, when the frame is too large to be;
        OutcomeUnknown, when it was sent and no answer came within `timeout_s` or before the
        connection ended.
        """
        if not self.is_open:
            raise Transient(f"{method}: not connected ({self._end or 'closing'})")
        if len(self._pending) >= _PENDING_MAX:
            raise Transient(f"{method}: {_PENDING_MAX} calls are waiting already")
        self._last_id += 1
        request_id = self._last_id
        frame = encode_request(request_id, method, params)
        if len(frame) > REQUEST_BYTES_MAX:
            raise Rejected(f"{method}: {len(frame)} bytes are more than {REQUEST_BYTES_MAX}")
        answer: asyncio.Future[Reply | ErrorReply] = asyncio.get_running_loop().create_future()
        self._pending[request_id] = answer
        try:
            # The socket was open a moment ago and nothing was awaited since, so from here on the
            # bytes are in the kernel's hands or ours, and nobody can say which. Sending comes
            # before the timer, which costs as much as encoding; it waits only while 32 KiB lie
            # unsent, and a link in that state is ended by its silence.
            await self._websocket.send(frame, text=True)
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError as error:
            raise OutcomeUnknown(f"{method}: no answer within {timeout_s} s") from error
        except ConnectionClosed as closed:
            raise OutcomeUnknown(f"{method}: {_words(closed)}") from closed
        finally:
            del self._pending[request_id]
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # mark as seen, or the loop reports it as lost

    async def call(
        self, method: str, params: Mapping[str, Any], *, timeout_s: float
    ) -> msgspec.Raw:
        """Send one reading call and return its result, not yet decoded.

        Raises: as `request`; and for an error answer Rejected, Transient or OutcomeUnknown, as
        `classify` reads it.
        """
        reply = await self.request(method, params, timeout_s=timeout_s)
        if isinstance(reply, ErrorReply):
            raise query_error(method, reply)
        return reply.result

    async def probe(self) -> None:
        """Ask for a sign of life. The answer counts as a frame and is otherwise ignored."""
        with contextlib.suppress(ConnectionClosed):  # pump tells it better
            await self._websocket.send(encode_request(_PROBE_ID, "public/test", {}), text=True)

    def abandon(self, reason: str) -> None:
        """End at once, and let no byte that is still unsent be sent later.

        Bytes in the kernel's buffer would otherwise reach the exchange when a broken path heals,
        long after their caller gave up; with linger zero the kernel drops them.
        """
        if self._end is not None:
            return
        self._end = reason
        transport = self._websocket.transport
        raw_socket = transport.get_extra_info("socket")
        if raw_socket is not None:
            with contextlib.suppress(OSError):  # closed already
                raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        transport.abort()
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(OutcomeUnknown(f"sent, then the session ended: {reason}"))

    async def close(self) -> None:
        """End in good order, within about a second; nothing may be waiting any more."""
        if self._end is None and not self._pending:
            await self._websocket.close()
        self.abandon("closed")

    def _resolve(self, reply: Reply | ErrorReply) -> None:
        if reply.request_id == _PROBE_ID:
            return
        answer = None if reply.request_id is None else self._pending.get(reply.request_id)
        if answer is None:
            # Too late, or the exchange could not read us. The caller holds its doubt already.
            text = str(reply) if isinstance(reply, ErrorReply) else "late"
            _log.warning("reply.unclaimed", request_id=reply.request_id, reply=text)
        elif not answer.done():
            answer.set_result(reply)

    async def _answer(self, request: ServerRequest) -> None:
        if request.kind == "test_request":
            await self.probe()


async def open_connection(
    dial: Dial,
    url: str,
    *,
    clock: Clock,
    timeout_s: float,
    on_notification: Callable[[Notification], None],
    on_malformed: Callable[[Malformed], None],
) -> Connection:
    """Dial within `timeout_s`.

    Raises: Transient; Misconfigured, when the URL is no WebSocket URL.
    """
    try:
        async with asyncio.timeout(timeout_s):
            websocket = await dial(url)
    except (InvalidURI, UnicodeError) as error:
        raise Misconfigured(
            f"{url!r} is no WebSocket URL: set VIGIL_DERIBIT_WS_URL to ws://… or wss://…"
        ) from error
    except TimeoutError as error:
        raise Transient(f"no connection to {url} within {timeout_s} s") from error
    except ssl.SSLCertVerificationError as error:
        raise Transient(f"certificate of {url} refused: {error.verify_message}") from error
    except (OSError, InvalidHandshake) as error:
        raise Transient(f"no connection to {url}: {error}") from error
    return Connection(
        websocket, clock=clock, on_notification=on_notification, on_malformed=on_malformed
    )


def _words(closed: ConnectionClosed) -> str:
    close = closed.rcvd or closed.sent
    if close is None:
        return "connection lost without a close frame"
    return f"connection closed with code {close.code} {close.reason}".rstrip()
