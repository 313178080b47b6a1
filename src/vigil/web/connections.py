"""Connections with deadlines and a cap, between the sockets and aiohttp's parser.

aiohttp waits for ever for a request that never ends: half-sent headers, a silent socket, a body of
one byte a minute, a reader that never reads. Here each connection has a deadline for whatever the
peer owes, and there are never more than a fixed number of connections. When that number is
reached, the one that has kept us waiting longest makes room, so that a flood of slow sockets
cannot lock the operator out.
"""

import asyncio
from collections.abc import Callable
from typing import cast


class ConnectionTable:
    """Makes and counts connections; the factory given to `loop.create_server`.

    Args:
        make_protocol: Makes the protocol that parses and answers, one for each connection.
        receipt_s: Seconds from the first byte of a request, or from connecting, to its last.
        idle_s: Seconds from the start of a reply to the first byte of the next request; the
            reply must have been read by then, too.
        connections_max: Connections held at once.
    """

    def __init__(
        self,
        make_protocol: Callable[[], asyncio.Protocol],
        *,
        receipt_s: float,
        idle_s: float,
        connections_max: int,
    ) -> None:
        self._make_protocol = make_protocol
        self.receipt_s = receipt_s
        self.idle_s = idle_s
        self._connections_max = connections_max
        self._open: set[Connection] = set()
        # Those whose peer owes us something, longest wait first.
        self._awaited: dict[Connection, None] = {}

    def __call__(self) -> asyncio.Protocol:
        """A connection that is about to be made."""
        return Connection(self, self._make_protocol())

    def __len__(self) -> int:
        return len(self._open)

    def abort_all(self) -> None:
        """Drop every connection, unsent bytes included."""
        for connection in list(self._open):
            connection.abort()

    def admit(self, connection: "Connection") -> bool:
        """Make room for a new connection; False when everybody else is being served."""
        if len(self._open) >= self._connections_max:
            if not self._awaited:
                return False
            next(iter(self._awaited)).abort()
        self._open.add(connection)
        return True

    def awaits(self, connection: "Connection", *, is_awaited: bool) -> None:
        """Note whether the connection's peer owes us something, from now on."""
        self._awaited.pop(connection, None)
        if is_awaited:
            self._awaited[connection] = None

    def forget(self, connection: "Connection") -> None:
        """Let go of an ended connection."""
        self._open.discard(connection)
        self._awaited.pop(connection, None)


class Connection(asyncio.Protocol):
    """One socket: passes everything on to the inner protocol and keeps the deadline."""

    def __init__(self, table: ConnectionTable, inner: asyncio.Protocol) -> None:
        self._table = table
        self._inner = inner
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._is_idle = False
        self._is_served = False  # the inner protocol has been told of the socket
        self._is_over = False

    def request_received(self) -> None:
        """The whole request is here; until the reply is ready, the delay is ours."""
        self._is_idle = False
        self._set_deadline(None)

    def reply_ready(self) -> None:
        """The reply is about to be written; the peer must read it and may ask again."""
        self._is_idle = True
        self._set_deadline(self._table.idle_s)

    def abort(self) -> None:
        """Drop the connection, unsent bytes included."""
        self._end()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the deadline of the first request, or drop the socket when there is no room."""
        self._transport = cast("asyncio.Transport", transport)
        if not self._table.admit(self):
            self.abort()
            return
        self._is_served = True
        self._set_deadline(self._table.receipt_s)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """The first byte after a reply starts the next request's deadline; later ones do not."""
        if self._is_idle:
            self._is_idle = False
            self._set_deadline(self._table.receipt_s)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Passed on."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """Passed on."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Passed on."""
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the socket."""
        self._end()
        if self._is_served:
            self._inner.connection_lost(exc)

    def _set_deadline(self, delay_s: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._is_over:  # a handler may finish after its peer has gone
            return
        self._table.awaits(self, is_awaited=delay_s is not None)
        if delay_s is not None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(delay_s, self.abort)

    def _end(self) -> None:
        self._is_over = True
        self._set_deadline(None)
        self._table.forget(self)
