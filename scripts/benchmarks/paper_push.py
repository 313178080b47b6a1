"""Tickers out: how many the paper exchange pushes in a second, against a plain websockets server.

Both servers are processes of their own on one processor and push as fast as they can; this process
reads on the other. The plain one has no market: it encodes a ticker and broadcasts it.
"""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator

from benchmarks import wire
from benchmarks.figures import Figure, compare
from benchmarks.processes import free_port
from benchmarks.processors import OTHER, QUIET, pinned_to
from benchmarks.settings import Settings
from vigil.deribit.websocket import WebSocket, open_websocket
from vigil.paper.session.keys import CLIENT_ID, CLIENT_SECRET

VARIANTS = ("plain", "paper")

# As many as the exchange allows from one address: the most that it ever has to serve.
CONNECTIONS = 32

_FRAME_BYTES_MAX = 1024 * 1024
_CONNECTS_WITHIN_S = 30.0


def measure(settings: Settings) -> list[Figure]:
    """The figure of the way out."""
    window_s = 0.2 if settings.is_quick else 1.0
    with pinned_to(OTHER):
        took_us = asyncio.run(_run(settings, window_s))
    return [
        compare(
            "paper.push",
            took_us["paper"],
            took_us["plain"],
            unit="us",
            hold=1 / 0.8,
            note=f"a ticker to each of {CONNECTIONS} connections; against a plain websockets "
            "server that broadcasts (0.8 of its pushes are 1.25 of its time)",
        )
    ]


async def _run(settings: Settings, window_s: float) -> dict[str, list[float]]:
    """Microseconds per push, by server and round."""
    took_us: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for round_ in range(settings.rounds):
        for name in VARIANTS if round_ % 2 else reversed(VARIANTS):
            took_us[name].append(await _pushes(settings, name, window_s))
    return took_us


async def _pushes(settings: Settings, name: str, window_s: float) -> float:
    count = 0

    def take(_: bytes) -> None:
        nonlocal count
        count += 1

    port = free_port()
    with _server(settings, name, port):
        sockets = [await _connect(port, take) for _ in range(CONNECTIONS)]
        channels = [f"ticker.{instrument}.raw" for instrument in wire.INSTRUMENT_NAMES]
        login = {
            "grant_type": "client_credentials",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
        }
        for socket in sockets:
            socket.send(wire.request_frame(1, "public/auth", login))
            socket.send(wire.request_frame(2, "public/subscribe", {"channels": channels}))
        await asyncio.sleep(window_s / 2)  # in full swing
        began_s, began_count = asyncio.get_running_loop().time(), count
        await asyncio.sleep(window_s)
        passed_s = asyncio.get_running_loop().time() - began_s
        pushed = count - began_count
        for socket in sockets:
            if not socket.is_open:
                raise RuntimeError(f"the {name} server ended a connection")
            socket.abort("measured")
    if not pushed:
        raise RuntimeError(f"the {name} server pushed nothing")
    return passed_s * 1_000_000 / pushed


async def _connect(port: int, take: wire.Take) -> WebSocket:
    async with asyncio.timeout(_CONNECTS_WITHIN_S):
        while True:
            with contextlib.suppress(OSError):
                return await open_websocket(
                    f"ws://127.0.0.1:{port}/ws/api/v2", take, message_bytes_max=_FRAME_BYTES_MAX
                )
            await asyncio.sleep(0.05)


@contextlib.contextmanager
def _server(settings: Settings, name: str, port: int) -> Iterator[None]:
    with pinned_to(QUIET):
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.push_servers", name, str(port)],
            cwd=settings.directory,
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()
