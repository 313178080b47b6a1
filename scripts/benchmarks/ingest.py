"""A flood of notifications in: what each costs the client in CPU, parsed to domain events.

This process is the exchange and writes tickers, several to a packet as they come in a busy minute.
Each client is a process of its own on the other processor and tells what CPU time it took for so
many of them: steadier than wall time, and independent of how fast the flood is.
"""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import orjson
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from benchmarks import wire
from benchmarks.figures import Figure, compare
from benchmarks.processors import OTHER, QUIET, pinned_to
from benchmarks.settings import Settings

VARIANTS = ("bare", "vigil")

# Tickers in one packet: what a reader finds when it looks up after a millisecond of work.
_PER_PACKET = 20
_UNSENT_BYTES_MAX = 256 * 1024
_WITHIN_S = 60.0
_CLIENTS = "benchmarks.ingest_clients"


@dataclass(slots=True)
class _Client:
    """One connected client, and its µs of CPU per notification, round by round."""

    process: subprocess.Popen[bytes]
    websocket: asyncio.Future[ServerConnection]
    took_us: list[float] = field(default_factory=list)


def measure(settings: Settings) -> list[Figure]:
    """The figure of the way in."""
    count = 1_000 if settings.is_quick else 20_000
    with pinned_to(OTHER):
        took_us = asyncio.run(_run(settings, count))
    return [
        compare(
            "ingest.cpu_per_notification",
            took_us["vigil"],
            took_us["bare"],
            unit="us",
            hold=1.3,
            note="to domain events; against a bare websockets client with orjson",
        )
    ]


async def _run(settings: Settings, count: int) -> dict[str, list[float]]:
    loop = asyncio.get_running_loop()
    connected = {name: loop.create_future() for name in VARIANTS}

    async def serve_client(websocket: ServerConnection) -> None:
        assert websocket.request is not None
        with contextlib.suppress(ConnectionClosed):
            await _log_in(websocket, connected[websocket.request.path.removeprefix("/")])

    async with serve(serve_client, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        port = server.sockets[0].getsockname()[1]
        with _client_processes(settings, f"ws://127.0.0.1:{port}", count) as processes:
            clients = {
                name: _Client(process=processes[name], websocket=connected[name])
                for name in VARIANTS
            }
            for client in clients.values():
                await _flood(client, count)  # not counted: everything is met for the first time
            for round_ in range(settings.rounds):
                for name in VARIANTS if round_ % 2 else reversed(VARIANTS):
                    clients[name].took_us.append(await _flood(clients[name], count))
    return {name: client.took_us for name, client in clients.items()}


async def _log_in(
    websocket: ServerConnection, connected: "asyncio.Future[ServerConnection]"
) -> None:
    """Answer what a client asks; once it has subscribed to tickers, it can take the flood."""
    while True:
        request = orjson.loads(await websocket.recv(decode=False))
        await websocket.send(wire.reply_frame(request), text=True)
        channels = request.get("params", {}).get("channels", ())
        if wire.TICKER_CHANNEL in channels and not connected.done():
            connected.set_result(websocket)


async def _flood(client: _Client, count: int) -> float:
    """Send `count` tickers, and return what the client says each of them cost, µs of CPU."""
    async with asyncio.timeout(_WITHIN_S):
        transport = (await client.websocket).transport
        frame = Frame(Opcode.TEXT, wire.ticker_frame()).serialize(mask=False)
        for sent in range(0, count, _PER_PACKET):
            transport.write(frame * min(_PER_PACKET, count - sent))
            while transport.get_write_buffer_size() > _UNSENT_BYTES_MAX:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        assert client.process.stdout is not None
        line = await asyncio.to_thread(client.process.stdout.readline)
    return float(line)


@contextlib.contextmanager
def _client_processes(
    settings: Settings, url: str, count: int
) -> Iterator[Mapping[str, subprocess.Popen[bytes]]]:
    with pinned_to(QUIET):
        processes = {
            name: subprocess.Popen(
                [sys.executable, "-m", _CLIENTS, name, f"{url}/{name}", str(count)],
                cwd=settings.directory,
                stdout=subprocess.PIPE,
            )
            for name in VARIANTS
        }
    try:
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
