"""Roads between a session and the exchange that a test can spoil.

`Mishandler` is a TCP proxy, with TLS towards the client when it is given certificates.
`alone_on_loopback` gives a test a kernel network of its own, whose packets can be dropped for real.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import os
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import pytest

_RESET = struct.pack("ii", 1, 0)
_BYTES_KEPT_MAX = 64 * 1024 * 1024

# To the exchange; from it.
OUT, IN = "out", "in"


class _Way:
    """One direction of one line: what came in, until it may go on."""

    def __init__(self, target: Callable[[], asyncio.Transport | None]) -> None:
        self._target = target
        self._waiting: deque[tuple[float, bytes | None]] = deque()
        self._arrived = asyncio.Event()
        self._kept = 0
        self.passable = asyncio.Event()
        self.passable.set()
        self.delay_s = 0.0
        self.slice_bytes, self.every_s = 0, 0.0
        self.reset_after: int | None = None
        self.passed = 0

    @property
    def waiting(self) -> int:
        """Number of pieces that are kept."""
        return len(self._waiting)

    def put(self, data: bytes | None) -> None:
        """Bytes, or the end."""
        self._kept += len(data or b"")
        assert self._kept < _BYTES_KEPT_MAX
        self._waiting.append((asyncio.get_running_loop().time() + self.delay_s, data))
        self._arrived.set()

    async def run(self) -> None:
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            due_s, data = self._waiting.popleft()
            # What is due leaves without a turn of the loop in between, so that it can come as one.
            if (early_s := due_s - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(early_s)
            await self.passable.wait()
            if data is None:
                if (target := self._target()) is not None:
                    target.close()
                return
            self._kept -= len(data)
            for part in self._parts(data):
                if self.every_s:
                    await asyncio.sleep(self.every_s)
                await self.passable.wait()
                if not self._pass_on(part):
                    return

    def _parts(self, data: bytes) -> list[bytes]:
        if not self.slice_bytes:
            return [data]
        return [data[at : at + self.slice_bytes] for at in range(0, len(data), self.slice_bytes)]

    def _pass_on(self, part: bytes) -> bool:
        target = self._target()
        if target is None or target.is_closing():
            return True  # whoever listened is gone; what still comes is read and lost
        if self.reset_after is not None and self.passed + len(part) >= self.reset_after:
            target.write(part[: max(0, self.reset_after - self.passed)])
            reset(target)
            return False
        self.passed += len(part)
        target.write(part)
        return True


class _End(asyncio.Protocol):
    """One socket of a line."""

    def __init__(self, way: _Way) -> None:
        self._way = way
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._way.put(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None  # a TLS transport cannot even be asked for its socket any more
        self._way.put(None)


class ProxyLine:
    """One connection of a client, and ours to the exchange in its name."""

    def __init__(self) -> None:
        self.ways = {OUT: _Way(lambda: self.exchange.transport), IN: _Way(self._client)}
        self.client = _End(self.ways[OUT])
        self.exchange = _End(self.ways[IN])

    @property
    def is_open(self) -> bool:
        """Whether the client still holds its end."""
        transport = self.client.transport
        return transport is not None and not transport.is_closing()

    def _client(self) -> asyncio.Transport | None:
        return self.client.transport


class Mishandler:
    """A proxy whose lines a test holds up, slices, delays and cuts.

    What is done to lines is done to those that are open; new ones are well.

    Attributes:
        dials: Connections that were taken so far.
        open_max: The most that were open at one time.
        is_stalling: New connections are taken, and nothing is passed on.
        drips: New connections are sent so many bytes at a time, so often.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.lines: list[ProxyLine] = []
        self.dials = 0
        self.open_max = 0
        self.is_stalling = False
        self.drips: tuple[int, float] | None = None
        self.port = port
        self._host = host
        self._tls: ssl.SSLContext | None = None
        self._target = ("", 0)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.admit()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for line in self.lines:
            for end in (line.client, line.exchange):
                if end.transport is not None:
                    end.transport.abort()
        await asyncio.sleep(0)

    def lead_to(self, port: int, *, host: str = "127.0.0.1") -> str:
        """Where to find the exchange on `port` from now on; the URL of this road."""
        self._target = (host, port)
        scheme = "ws" if self._tls is None else "wss"
        return f"{scheme}://localhost:{self.port}/ws/api/v2"

    async def admit(self, tls: ssl.SSLContext | None = None) -> None:
        """Take connections, at the same port as before; with TLS when given the means."""
        self.refuse()
        self._tls = tls
        self._server = await asyncio.get_running_loop().create_server(
            self._take, self._host, self.port, ssl=tls, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Nobody listens any more; open lines are left alone."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def hold(self, *directions: str) -> None:
        """Let nothing through in these directions, not even an end; all of it is kept."""
        for way in self._ways(directions):
            way.passable.clear()

    def heal(self) -> None:
        """Deliver what was kept, also to or from who is long gone, and be well."""
        for way in self._ways(()):
            way.delay_s = way.every_s = 0.0
            way.slice_bytes = 0
            way.passable.set()

    def slice(self, slice_bytes: int, *directions: str, every_s: float = 0.0) -> None:
        """Pass on only so many bytes at a time."""
        for way in self._ways(directions):
            way.slice_bytes, way.every_s = slice_bytes, every_s

    def delay(self, delay_s: float, *directions: str) -> None:
        """Pass on everything that much later."""
        for way in self._ways(directions):
            way.delay_s = delay_s

    def cut(self, *, after_bytes: int | None = None) -> None:
        """RST to the client: now, or in the midst of what it is sent next."""
        for line in self.lines:
            if after_bytes is not None:
                way = line.ways[IN]
                way.reset_after = way.passed + after_bytes
            elif line.client.transport is not None:
                reset(line.client.transport)

    def _ways(self, directions: tuple[str, ...]) -> list[_Way]:
        wanted = directions or (OUT, IN)
        return [line.ways[direction] for line in self.lines for direction in wanted]

    def _take(self) -> _End:
        line = ProxyLine()
        if self.drips is not None:
            line.ways[IN].slice_bytes, line.ways[IN].every_s = self.drips
        self.dials += 1
        self.lines.append(line)
        self.open_max = max(self.open_max, 1 + sum(one.is_open for one in self.lines))
        if not self.is_stalling:
            task = asyncio.ensure_future(self._carry(line))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return line.client

    async def _carry(self, line: ProxyLine) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: line.exchange, *self._target)
        except OSError:
            if line.client.transport is not None:
                reset(line.client.transport)
            return
        async with asyncio.TaskGroup() as ways:
            for way in line.ways.values():
                ways.create_task(way.run())


def reset(transport: asyncio.Transport) -> None:
    """End with RST, and drop what is unsent."""
    raw_socket = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


# --- a network of one's own

_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def pass_packets(is_up: bool) -> None:
    """Let the loopback carry packets, or drop them all. Only inside `alone_on_loopback`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        asked = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
        flags = struct.unpack("16sh14x", asked)[1]
        flags = flags | _IFF_UP if is_up else flags & ~_IFF_UP
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags))


def unsent_bytes(port: int) -> int:
    """What the kernel still holds for `port` and goes on trying to deliver, in this network."""
    # Source: Linux, proc(5), net/tcp: addresses as hex with the port last, then tx_queue:rx_queue.
    rows = [line.split() for line in Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]]
    held = [row[4] for row in rows if int(row[2].rpartition(":")[2], 16) == port]
    return sum(int(queues.partition(":")[0], 16) for queues in held)


def alone_on_loopback(scene: Callable[[], Awaitable[None]]) -> None:
    """Play a scene on a thread whose network is nobody else's; skips where that is not allowed."""
    ended: list[BaseException | None] = []

    def play() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNET) != 0:
            ended.append(PermissionError(ctypes.get_errno(), os.strerror(ctypes.get_errno())))
            return
        try:
            pass_packets(is_up=True)
            asyncio.run(scene())  # type: ignore[arg-type]
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=play)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    for error in ended:
        if isinstance(error, PermissionError):
            pytest.skip(f"no network of one's own: {error}")
        if error is not None:
            raise error
