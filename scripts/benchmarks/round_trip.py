"""One order there and its answer back: Vigil's client against a bare one, on the same server.

The server is in this process; each client is a process of its own on the same processor, and times
its own calls. Hot: the next order follows the answer. Paced: it comes a while later.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping

import orjson
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from benchmarks import wire
from benchmarks.figures import Figure, compare
from benchmarks.processors import QUIET, pinned_to
from benchmarks.settings import Settings

VARIANTS = ("bare", "vigil")
WARM_UP = 300

_CLIENTS = "benchmarks.round_trip_clients"
_PACE_S = 0.05
_WITHIN_S = 60.0


def measure(settings: Settings) -> list[Figure]:
    """The figures of a round trip."""
    hot, paced = (50, 2) if settings.is_quick else (500, 15)
    with pinned_to(QUIET):
        took_us = asyncio.run(_run(settings, hot=hot, paced=paced))
    note = "client.place to its outcome; against a bare websockets client with orjson"
    return [
        compare(
            "round_trip.hot",
            took_us["vigil", 0.0],
            took_us["bare", 0.0],
            unit="us",
            hold=1.5,
            note=note,
        ),
        compare(
            "round_trip.paced",
            took_us["vigil", _PACE_S],
            took_us["bare", _PACE_S],
            unit="us",
            hold=1.3,
            note=note,
        ),
    ]


async def _run(settings: Settings, *, hot: int, paced: int) -> dict[tuple[str, float], list[float]]:
    """Median microseconds of each round, by client and pause."""
    took_us: dict[tuple[str, float], list[float]] = {
        (name, pause_s): [] for name in VARIANTS for pause_s in (0.0, _PACE_S)
    }
    async with serve(_answer, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        port = server.sockets[0].getsockname()[1]
        with _client_processes(settings, f"ws://127.0.0.1:{port}") as processes:
            for process in processes.values():
                await _measure(process, WARM_UP, 0.0)
            for round_ in range(settings.rounds):
                for pause_s, count in ((0.0, hot), (_PACE_S, paced)):
                    for name in VARIANTS if round_ % 2 else reversed(VARIANTS):
                        median = await _measure(processes[name], count, pause_s)
                        took_us[name, pause_s].append(median)
    return took_us


async def _answer(websocket: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for frame in websocket:
            await websocket.send(wire.reply_frame(orjson.loads(frame)), text=True)


async def _measure(process: subprocess.Popen[bytes], count: int, pause_s: float) -> float:
    """Tell a client to make so many round trips; returns their median in microseconds."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps([count, pause_s]).encode() + b"\n")
    process.stdin.flush()
    async with asyncio.timeout(_WITHIN_S):
        return float(await asyncio.to_thread(process.stdout.readline))


@contextlib.contextmanager
def _client_processes(
    settings: Settings, url: str
) -> Iterator[Mapping[str, subprocess.Popen[bytes]]]:
    processes = {
        name: subprocess.Popen(
            [sys.executable, "-m", _CLIENTS, name, url],
            cwd=settings.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in VARIANTS
    }
    try:
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()
