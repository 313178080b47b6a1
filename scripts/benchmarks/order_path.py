"""Ticker frame in → order frame out, hot and paced, with and without the durable intent.

This process is the exchange: it sends a ticker and stops the watch when the order that it led to
has arrived. Each client is a process of its own on the same processor. All stay connected; only
one is spoken to at a time.

Hot: the next ticker goes out as soon as the client says that it is idle again. Paced: 220 ms later,
when processor and caches have turned to other things. The two are never compared.
"""

import asyncio
import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import orjson
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from benchmarks import wire
from benchmarks.figures import Figure, compare, percentile
from benchmarks.order_clients import VARIANTS
from benchmarks.processors import QUIET, pinned_to
from benchmarks.settings import Settings

PACE_S = 0.22
WARM_UP = 300
_CONNECT_WITHIN_S = 30.0
_ANSWER_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    """Exchanges per round, and before the first round."""

    hot: int
    paced: int
    warm_up: int


@dataclass(slots=True)
class _Client:
    """One connected client, and what it took, in µs, round by round."""

    websocket: ServerConnection | None = None
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    ordered: asyncio.Future[int] | None = None
    hot: list[list[float]] = field(default_factory=list)
    paced: list[list[float]] = field(default_factory=list)


def measure(settings: Settings) -> list[Figure]:
    """All figures of the order path."""
    sizes = (
        _Sizes(hot=50, paced=2, warm_up=20)
        if settings.is_quick
        else _Sizes(hot=400, paced=12, warm_up=WARM_UP)
    )
    with pinned_to(QUIET):
        clients = asyncio.run(_run(settings, sizes))
    return list(_figures(clients))


async def _run(settings: Settings, sizes: _Sizes) -> dict[str, _Client]:
    clients = {name: _Client() for name in VARIANTS}

    async def serve_client(websocket: ServerConnection) -> None:
        assert websocket.request is not None
        client = clients[websocket.request.path.removeprefix("/")]
        client.websocket = websocket
        await _listen(client, websocket)

    async with serve(serve_client, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        port = server.sockets[0].getsockname()[1]
        with _client_processes(settings, f"ws://127.0.0.1:{port}") as processes:
            for name, client in clients.items():
                await _await_idle(client, name, processes[name])
            for client in clients.values():
                await _exchanges(client, sizes.warm_up, pause_s=0)
            for round_ in range(settings.rounds):
                for client in _rotated(list(clients.values()), round_):
                    client.hot.append(await _exchanges(client, sizes.hot, pause_s=0))
                for client in _rotated(list(clients.values()), round_):
                    client.paced.append(await _exchanges(client, sizes.paced, pause_s=PACE_S))
    return clients


@contextlib.contextmanager
def _client_processes(
    settings: Settings, url: str
) -> Iterator[Mapping[str, subprocess.Popen[bytes]]]:
    processes = {
        name: subprocess.Popen(
            [sys.executable, "-m", "benchmarks.order_clients", name, f"{url}/{name}"],
            cwd=settings.directory,
        )
        for name in VARIANTS
    }
    try:
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


async def _await_idle(client: _Client, name: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until a client has connected and wants its first ticker."""
    async with asyncio.timeout(_CONNECT_WITHIN_S):
        while not client.idle.is_set():
            if process.poll() is not None:
                raise RuntimeError(f"client {name} ended with code {process.returncode}")
            await asyncio.sleep(0.05)


async def _listen(client: _Client, websocket: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):  # the client was killed: everything is measured
        while True:
            frame = await websocket.recv(decode=False)
            arrived_ns = time.perf_counter_ns()
            request = orjson.loads(frame)
            if request["method"] == "bench/next":
                client.idle.set()
                continue
            if request["method"] in ("private/buy", "private/sell"):
                assert client.ordered is not None, "an order that no ticker led to"
                client.ordered.set_result(arrived_ns)
            await websocket.send(wire.reply_frame(request), text=True)


async def _exchanges(client: _Client, count: int, *, pause_s: float) -> list[float]:
    """Microseconds from each ticker's send to its order's arrival."""
    assert client.websocket is not None
    loop = asyncio.get_running_loop()
    took_us = []
    for _ in range(count):
        if pause_s:
            await asyncio.sleep(pause_s)
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            await client.idle.wait()
            client.idle.clear()
            client.ordered = loop.create_future()
            frame = wire.ticker_frame()
            sent_ns = time.perf_counter_ns()
            await client.websocket.send(frame, text=True)
            took_us.append((await client.ordered - sent_ns) / 1000)
    async with asyncio.timeout(_ANSWER_WITHIN_S):
        await client.idle.wait()
    return took_us


def _rotated(clients: list[_Client], by: int) -> list[_Client]:
    """Another one goes first in each round, so that none always follows the same."""
    by %= len(clients)
    return clients[by:] + clients[:by]


def _figures(clients: dict[str, _Client]) -> Iterator[Figure]:
    hot: Callable[[str], list[float]] = lambda name: _medians(clients[name].hot)  # noqa: E731
    paced: Callable[[str], list[float]] = lambda name: _medians(clients[name].paced)  # noqa: E731
    bare, durable = "a bare websockets + orjson loop", "the bare loop + one in-loop FULL commit"
    yield compare("order.hot", hot("vigil"), hot("bare"), unit="us", hold=1.5, note=bare)
    yield compare("order.paced", paced("vigil"), paced("bare"), unit="us", hold=1.3, note=bare)
    yield compare(
        "order.hot_p99_over_p50",
        [percentile(round_, 0.99) for round_ in clients["vigil"].hot],
        hot("vigil"),
        unit="us",
        hold=2.0,
        note="99th percentile against the median of the same rounds",
    )
    yield compare(
        "order.durable_hot",
        hot("vigil-durable"),
        hot("bare-durable"),
        unit="us",
        hold=2.0,
        note=durable,
    )
    yield compare(
        "order.durable_paced",
        paced("vigil-durable"),
        paced("bare-durable"),
        unit="us",
        hold=2.0,
        note=durable,
    )
    yield compare(
        "order.bare_hot_p99_over_p50",
        [percentile(round_, 0.99) for round_ in clients["bare"].hot],
        hot("bare"),
        unit="us",
        note="the baseline's own, which no client on this machine can be steadier than",
    )


def _medians(rounds: list[list[float]]) -> list[float]:
    return [statistics.median(round_) for round_ in rounds]
