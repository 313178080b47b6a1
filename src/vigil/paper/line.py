"""One WebSocket of the paper exchange: what is to be sent, in order, and how badly it gets through.

A healthy line writes whole frames straight to its transport, which keeps what the other side has
not read yet; a reader too far behind is dropped. What the fault menu does to connections (held
directions, drips, lag, resets) is done here, below everything that knows a message: then frames
queue up, and `send_all` writes them.
"""

import asyncio
import contextlib
import socket as sockets
import struct
from dataclasses import dataclass

import structlog
from aiohttp import web

from vigil.clock import Clock
from vigil.paper.reactions import HangUp
from vigil.paper.wire.frames import PONG, text_frame, whole_frame

log = structlog.get_logger()

# A reader this far behind is dropped, as the exchange does (`connection_too_slow`).
_UNREAD_BYTES_MAX = 8 * 1024 * 1024
_OUTBOX_MAX = 20_000
_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Something that may not leave before `due_s` of the loop's time; at once when that is 0."""

    item: bytes | HangUp
    due_s: float

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.item) if isinstance(self.item, bytes) else 0


class Line:
    """One connection.

    Args:
        number: Never used twice.
        window_bits: Of the compression that the other side offered; 0 for none.
    """

    def __init__(
        self,
        number: int,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        clock: Clock,
    ) -> None:
        self.number = number
        self.socket = socket
        self.is_hanging_up = False
        self.is_cut = False
        self.window_bits = int(socket.compress)
        self._transport = transport
        self._clock = clock
        self._outbox: asyncio.Queue[_Waiting] = asyncio.Queue(_OUTBOX_MAX)
        self._waiting_bytes = 0
        self._is_sending = False
        self._is_readable, self._is_writable = asyncio.Event(), asyncio.Event()
        self._is_readable.set()
        self._is_writable.set()
        self._is_ill = False  # held or dripping
        self._lag_s = 0.0
        self._drip_bytes = 0
        self._drip_every_s = 0.0

    def send(self, item: bytes | HangUp) -> None:
        """Send a message, or the end."""
        self._put(item if isinstance(item, HangUp) else text_frame(item, self.window_bits))

    def send_frames(self, frames: bytes) -> None:
        """Send whole frames, made for the `window_bits` of this line."""
        self._put(frames)

    def answer_ping(self, payload: bytes) -> None:
        """Answer a ping, behind what waits already."""
        self._put(whole_frame(PONG, payload))

    def abort(self) -> None:
        """Cut the line without a close frame."""
        self.is_cut = True
        self._is_readable.set()
        self._is_writable.set()
        if self._transport is not None:
            self._transport.abort()

    def end(self, code: int) -> None:
        """Close with a frame, or cut a line on which that could take long."""
        if not self._is_ill and not self._lag_s:
            self.send(HangUp(connection_id=self.number, code=code, reason=""))
        else:
            self.abort()

    async def send_all(self) -> None:
        """Send what is queued until the connection ends."""
        with contextlib.suppress(ConnectionError):
            while True:
                self._is_sending = False
                waiting = await self._outbox.get()
                self._is_sending = True
                self._waiting_bytes -= waiting.size
                if waiting.due_s:
                    await self._clock.sleep(max(waiting.due_s - self._clock.elapsed_s(), 0.0))
                if not self._is_writable.is_set():
                    await self._is_writable.wait()
                if isinstance(waiting.item, HangUp):
                    self.is_hanging_up = True
                    await self._close(waiting.item)
                    return
                await self._send(waiting.item)

    # -- what can be wrong with it -------------------------------------------------------------

    def hold(self, *, reading: bool, writing: bool) -> None:
        """Let nothing through in these directions, as a network that lost its way."""
        self._is_ill = True
        if reading:
            self._is_readable.clear()
            if self._transport is not None:
                self._transport.pause_reading()
        if writing:
            self._is_writable.clear()

    def lag(self, delay_s: float) -> None:
        """Send everything that much later, in order."""
        self._lag_s = delay_s

    def drip(self, drip_bytes: int, every_s: float) -> None:
        """Send a few bytes at a time."""
        self._is_ill = True
        self._drip_bytes, self._drip_every_s = drip_bytes, every_s

    def heal(self) -> None:
        """Let everything through that waits, and be well."""
        self._is_ill, self._lag_s, self._drip_bytes = False, 0.0, 0
        if not self._is_readable.is_set():
            self._is_readable.set()
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()
        self._is_writable.set()

    def reset(self, started: bytes = b"") -> None:
        """Answer with RST; the first half of the frame `started` leaves before that."""
        if self._transport is not None:
            if started:
                raw = text_frame(started, self.window_bits)
                self._transport.write(raw[: len(raw) // 2])
            forget_unsent(self._transport)
        self.abort()

    async def wait_until_readable(self) -> None:
        """Frames that were read before the direction was held wait here."""
        if not self._is_readable.is_set():
            await self._is_readable.wait()

    def _put(self, item: bytes | HangUp) -> None:
        if isinstance(item, bytes) and self._is_clear():
            self._write(item)
            return
        due_s = self._clock.elapsed_s() + self._lag_s if self._lag_s else 0.0
        waiting = _Waiting(item, due_s)
        if self._outbox.full() or self._waiting_bytes + waiting.size > _UNREAD_BYTES_MAX:
            self._drop_slow(self._waiting_bytes)
            return
        self._waiting_bytes += waiting.size
        self._outbox.put_nowait(waiting)

    def _is_clear(self) -> bool:
        """Whether a frame may leave at once, past nothing that waits."""
        is_well = self._is_writable.is_set() and not self._lag_s and not self._drip_bytes
        return is_well and not self._is_sending and self._outbox.empty()

    def _write(self, frames: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(frames)
        unread_bytes = transport.get_write_buffer_size()
        if unread_bytes > _UNREAD_BYTES_MAX:
            self._drop_slow(unread_bytes)

    def _drop_slow(self, unread_bytes: int) -> None:
        if not self.is_cut:
            log.warning("paper.connection_too_slow", unread_bytes=unread_bytes)
            self.abort()

    async def _close(self, end: HangUp) -> None:
        """Say that it ends; whoever has not read all of it by then is cut."""
        await self.socket.close(code=end.code, message=end.reason.encode())
        if self._transport is not None and self._transport.get_write_buffer_size():
            self.abort()

    async def _send(self, frames: bytes) -> None:
        while self._drip_bytes and frames:
            self._write(frames[: self._drip_bytes])
            frames = frames[self._drip_bytes :]
            if frames:
                await self._clock.sleep(self._drip_every_s)
        if frames:  # whole, or what is left of them when healed half way through
            self._write(frames)


def forget_unsent(transport: asyncio.BaseTransport) -> None:
    """Make the coming abort an RST that drops what the kernel still holds."""
    socket = transport.get_extra_info("socket")
    if socket is not None:
        with contextlib.suppress(OSError):  # closed already
            socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, _NO_LINGER)
