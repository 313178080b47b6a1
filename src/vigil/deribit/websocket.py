"""One WebSocket as a client: bytes out at once, whole messages in by a callback.

The opening handshake is the `websockets` library's; the frames are read here, because a queue and
a task between the socket and the session cost more than all that is done with a message. Nothing
is compressed, nothing is buffered on the way in, and what cannot be sent now is not sent.
Source: RFC 6455, sections 5 (framing), 7 (closing); https://www.rfc-editor.org/rfc/rfc6455.
"""

import asyncio
import contextlib
import os
import socket
import ssl
import struct
from collections.abc import Callable
from typing import cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.frames import CloseCode
from websockets.protocol import State
from websockets.uri import parse_uri

try:
    from websockets.speedups import apply_mask
except ImportError:  # built without its C part
    from websockets.utils import apply_mask

# Takes one message, undecoded. Whatever it raises ends the connection and is raised by `ended`.
TakeMessage = Callable[[bytes], None]

_HEADERS_BYTES_MAX = 64 * 1024
_HEADERS_END = b"\r\n\r\n"

# More than this unsent means that the link is stuck: nothing more is put on top of it.
UNSENT_BYTES_MAX = 64 * 1024

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_FIN, _MASKED = 0x80, 0x80
_WHOLE = frozenset({_FIN | _TEXT, _FIN | _BINARY})
_CONTROL_BYTES_MAX = 125

_LINGER_ZERO = struct.pack("ii", 1, 0)


class Congested(Exception):
    """Too much lies unsent already; this was not sent."""


class Ended(Exception):
    """The connection is over. The text says how it ended."""


class WebSocket(asyncio.Protocol):
    """An open connection, or one that is being opened; see `open_websocket`.

    Args:
        take: Called for every text or binary message, from within the loop's reading.
        message_bytes_max: A larger message ends the connection with code 1009.
    """

    def __init__(self, url: str, take: TakeMessage, *, message_bytes_max: int) -> None:
        loop = asyncio.get_running_loop()
        self._take = take
        self._message_bytes_max = message_bytes_max
        self._handshake: ClientProtocol | None = ClientProtocol(parse_uri(url))
        self._transport: asyncio.Transport | None = None
        self._opened: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()
        self._parts: list[bytes] = []  # of a frame that has not come whole
        self._missing = 0  # bytes without which looking at them again is useless
        self._fragments: list[bytes] = []  # of a message that has not come whole
        self._fragments_bytes = 0
        self._close_sent = False
        for future in (self._opened, self._ended):
            future.add_done_callback(_mark_as_seen)

    @property
    def is_open(self) -> bool:
        """Whether a message could be sent now."""
        return self._opened.done() and not self._close_sent and not self._ended.done()

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    async def opened(self) -> None:
        """Wait for the end of the handshake. Raises: InvalidHandshake, OSError."""
        await asyncio.shield(self._opened)

    async def ended(self) -> None:
        """Wait for the end of the connection. Raises: Ended; or what the message taker raised."""
        await asyncio.shield(self._ended)

    def send(self, message: bytes) -> None:
        """Hand one text message to the kernel, or to the loop when the kernel's buffer is full.

        Raises: Ended; Congested, when too much waits already.
        """
        transport = self._transport
        if not self.is_open or transport is None:
            raise Ended(self._end_words())
        if self.unsent_bytes > UNSENT_BYTES_MAX:
            raise Congested(f"{self.unsent_bytes} bytes are unsent")
        transport.write(_frame(_TEXT, message))

    def abort(self, reason: str) -> None:
        """End at once, and let no byte that is still unsent be sent later.

        Bytes in the kernel's buffer would otherwise reach the peer when a broken path heals, long
        after their sender gave up; with linger zero the kernel drops them.
        """
        self._end(Ended(reason))
        if self._transport is not None:
            raw_socket = self._transport.get_extra_info("socket")
            if raw_socket is not None:
                with contextlib.suppress(OSError):  # closed already
                    raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            self._transport.abort()

    def close(self) -> None:
        """Begin to end in good order; `ended` tells when the peer has answered."""
        if self.is_open and self._transport is not None:
            self._close_with(CloseCode.NORMAL_CLOSURE, "")

    # -- asyncio.Protocol ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the opening request."""
        self._transport = cast("asyncio.Transport", transport)
        assert self._handshake is not None
        self._handshake.send_request(self._handshake.connect())
        self._transport.write(b"".join(self._handshake.data_to_send()))

    def data_received(self, data: bytes) -> None:
        """Take the handshake's answer, then every whole frame."""
        if self._ended.done():
            return
        if self._missing > len(data):
            self._parts.append(data)
            self._missing -= len(data)
            return
        if self._parts:
            data = b"".join((*self._parts, data))
            self._parts.clear()
        try:
            rest = self._read(data)
        except BaseException as error:
            # The taker's own failure, a bug of the session above or its orderly refusal: whoever
            # waits on `ended` is to see it, and not the loop's exception handler.
            self._end(error)
            self.abort(str(error))
            if not isinstance(error, Exception):
                raise
            return
        if rest:
            self._parts.append(rest)

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone, for whatever reason."""
        words = f"connection lost: {exc}" if exc else "connection lost without a close frame"
        self._end(Ended(words))

    # -- reading -------------------------------------------------------------------------------

    def _read(self, data: bytes) -> bytes:
        """Read what is whole and return the rest, with `_missing` set to what it lacks."""
        if self._handshake is not None:
            stop = data.find(_HEADERS_END)
            if stop < 0 and len(data) < _HEADERS_BYTES_MAX:
                self._missing = 0
                return data
            stop = len(data) if stop < 0 else stop + len(_HEADERS_END)
            self._finish_handshake(data[:stop])
            data = data[stop:]
        at, end = 0, len(data)
        while True:
            if end - at < 2:
                self._missing = 0
                return data[at:]
            first, second = data[at], data[at + 1]
            start, size = at + 2, second
            if size > _CONTROL_BYTES_MAX:
                if size & _MASKED:
                    return self._fail(CloseCode.PROTOCOL_ERROR, "a masked frame")
                start = at + (4 if size == 126 else 10)
                if end < start:
                    self._missing = start - end
                    return data[at:]
                size = int.from_bytes(data[at + 2 : start], "big")
            if size > self._message_bytes_max:
                return self._fail(CloseCode.MESSAGE_TOO_BIG, f"a message of {size} bytes")
            stop = start + size
            if stop > end:
                self._missing = stop - end
                return data[at:]
            at = stop
            if first in _WHOLE and not self._fragments:
                self._take(data[start:stop])
                if self._ended.done():  # the taker had enough; what follows is old news
                    return b""
            elif not self._take_other(first, data[start:stop]):
                return b""

    def _finish_handshake(self, headers: bytes) -> None:
        assert self._handshake is not None
        handshake, self._handshake = self._handshake, None
        status = headers.split(b"\r\n", 1)[0].decode(errors="replace")[:100]
        if b" 101 " in headers[:16]:
            handshake.receive_data(headers)
        if handshake.state is not State.OPEN:
            error = handshake.handshake_exc or InvalidHandshake(f"answered by {status}")
            if not self._opened.done():
                self._opened.set_exception(error)
            raise error
        if not self._opened.done():
            self._opened.set_result(None)

    def _take_other(self, first: int, payload: bytes) -> bool:
        """A fragment or a control frame; False when it was the last to be read."""
        opcode, is_final = first & 0x0F, bool(first & _FIN)
        if first & 0x70:
            self._fail(CloseCode.PROTOCOL_ERROR, "a reserved bit")
        elif opcode >= _CLOSE and (not is_final or len(payload) > _CONTROL_BYTES_MAX):
            self._fail(CloseCode.PROTOCOL_ERROR, "a control frame that is too long or in parts")
        elif opcode == _PING:
            assert self._transport is not None
            self._transport.write(_frame(_PONG, payload))
        elif opcode == _CLOSE:
            self._take_close(payload)
        elif opcode in (_TEXT, _BINARY, _CONTINUATION):
            self._take_fragment(opcode, payload, is_final=is_final)
        elif opcode != _PONG:
            self._fail(CloseCode.PROTOCOL_ERROR, f"opcode {opcode}")
        return not self._ended.done()

    def _take_fragment(self, opcode: int, payload: bytes, *, is_final: bool) -> None:
        if (opcode == _CONTINUATION) is not bool(self._fragments):
            self._fail(CloseCode.PROTOCOL_ERROR, "a fragment out of order")
            return
        # One byte more each, so that empty fragments without end are bounded as well.
        self._fragments_bytes += len(payload) + 1
        if self._fragments_bytes > self._message_bytes_max:
            self._fail(CloseCode.MESSAGE_TOO_BIG, "a message in too many parts")
            return
        self._fragments.append(payload)
        if is_final:
            message = b"".join(self._fragments)
            self._fragments, self._fragments_bytes = [], 0
            self._take(message)

    def _take_close(self, payload: bytes) -> None:
        code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
        reason = payload[2:].decode(errors="replace")
        if not self._close_sent and self._transport is not None:
            self._transport.write(_frame(_CLOSE, payload[:2]))
        self._end(Ended(f"connection closed with code {code} {reason}".rstrip()))
        if self._transport is not None:
            self._transport.close()

    # -- ending --------------------------------------------------------------------------------

    def _fail(self, code: CloseCode, what: str) -> bytes:
        """The peer broke the protocol: say so and be done."""
        self._close_with(code, what)
        self.abort(f"the exchange sent {what}")
        return b""

    def _close_with(self, code: CloseCode, reason: str) -> None:
        assert self._transport is not None
        self._close_sent = True
        self._transport.write(_frame(_CLOSE, struct.pack("!H", code) + reason.encode()[:120]))

    def _end(self, error: BaseException) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)
        if not self._opened.done():
            self._opened.set_exception(
                error if isinstance(error, OSError) else ConnectionError(str(error))
            )
        self._parts.clear()
        self._fragments.clear()

    def _end_words(self) -> str:
        if self._ended.done() and (error := self._ended.exception()) is not None:
            return str(error)
        return "closing" if self._close_sent else "not open yet"


async def open_websocket(
    url: str,
    take: TakeMessage,
    *,
    message_bytes_max: int,
    tls: ssl.SSLContext | None = None,
) -> WebSocket:
    """Connect and shake hands. The caller bounds the time; cancelled, it leaves nothing open.

    Args:
        url: `ws://…`, or `wss://…`, of which the certificate is always verified.
        tls: In place of the system's certificate authorities.

    Raises: websockets.exceptions.InvalidURI, InvalidHandshake; ssl.SSLError; OSError.
    """
    uri = parse_uri(url)
    loop = asyncio.get_running_loop()
    context = (tls or ssl.create_default_context()) if uri.secure else None
    transport, websocket = await loop.create_connection(
        lambda: WebSocket(url, take, message_bytes_max=message_bytes_max),
        uri.host,
        uri.port,
        ssl=context,
        server_hostname=uri.host if uri.secure else None,
        # The caller's deadline is shorter; the library's own would be a minute.
        ssl_handshake_timeout=None,
    )
    try:
        await websocket.opened()
    except BaseException:
        transport.abort()
        raise
    return websocket


def _frame(opcode: int, payload: bytes) -> bytes:
    """One whole frame, masked as a client's must be."""
    size = len(payload)
    if size <= _CONTROL_BYTES_MAX:
        head = bytes((_FIN | opcode, _MASKED | size))
    elif size < 0x10000:
        head = struct.pack("!BBH", _FIN | opcode, _MASKED | 126, size)
    else:
        head = struct.pack("!BBQ", _FIN | opcode, _MASKED | 127, size)
    key = os.urandom(4)
    return head + key + apply_mask(payload, key)


def _mark_as_seen(future: asyncio.Future[None]) -> None:
    if not future.cancelled():
        future.exception()
