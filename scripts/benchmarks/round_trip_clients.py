"""The clients of `round_trip`, each a process of its own: a bare one, and Vigil's.

Each reads `[count, pause in seconds]` from its input, makes so many round trips, and prints their
median in microseconds.
"""

import asyncio
import gc
import json
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import orjson
from pydantic import SecretStr
from websockets.asyncio.client import connect

from benchmarks import wire
from vigil.clock import SystemClock
from vigil.daemon import GC_THRESHOLDS
from vigil.deribit.client import DeribitClient
from vigil.deribit.credits import Credits, Pool, Rate
from vigil.deribit.link import DeribitLink
from vigil.deribit.outcome import Confirmed
from vigil.deribit.session import ApiKey, Deadlines
from vigil.deribit.throttle import Throttle
from vigil.domain.events import ExchangeEvent, SessionOpened
from vigil.domain.order import Direction, OrderRequest, OrderType
from vigil.logs import configure_logging

_UNLIMITED = dict.fromkeys(Pool, Rate(burst=1e9, per_s=1e9))


def main() -> None:
    """Run the client `argv[1]` against `argv[2]` until killed."""
    name, url = sys.argv[1:]
    asyncio.run(_run_bare(url) if name == "bare" else _run_vigil(url))


async def _obey(place: Callable[[int], Awaitable[None]]) -> None:
    number = 0
    while line := await asyncio.to_thread(sys.stdin.readline):
        count, pause_s = json.loads(line)
        took_us = []
        for _ in range(count):
            if pause_s:
                await asyncio.sleep(pause_s)
            number += 1
            began_ns = time.perf_counter_ns()
            await place(number)
            took_us.append((time.perf_counter_ns() - began_ns) / 1000)
        print(statistics.median(took_us), flush=True)


async def _run_bare(url: str) -> None:
    async with connect(url, compression=None) as websocket:

        async def place(number: int) -> None:
            params = {
                "instrument_name": wire.INSTRUMENT_NAME,
                "amount": 0.01,
                "type": "limit",
                "label": f"vg-bench-{number}-1",
                "reduce_only": False,
                "price": 95000.5,
                "post_only": False,
                "valid_until": wire.now_ms() + 5000,
            }
            await websocket.send(wire.request_frame(number, "private/buy", params), text=True)
            reply = orjson.loads(await websocket.recv(decode=False))
            assert reply["result"]["order"]["label"] == params["label"]

        await _obey(place)


async def _run_vigil(url: str) -> None:
    gc.set_threshold(*GC_THRESHOLDS)  # as `vigil run` does
    log = Path("round_trip.log").open("w", encoding="utf-8")  # noqa: ASYNC230, SIM115 - for life
    configure_logging(level="info", log_format="auto", stream=log)
    clock = SystemClock()
    throttle = Throttle(clock, Credits(_UNLIMITED, now_s=clock.elapsed_s()))
    client = DeribitClient(clock, throttle=throttle)
    live = asyncio.Event()

    def take(event: ExchangeEvent) -> None:
        if isinstance(event, SessionOpened):
            live.set()

    async def place(number: int) -> None:
        request = OrderRequest(
            instrument_name=wire.INSTRUMENT_NAME,
            direction=Direction.BUY,
            order_type=OrderType.LIMIT,
            amount=Decimal("0.01"),
            price=Decimal("95000.5"),
            label=f"vg-bench-{number}-1",
            valid_until_ms=client.exchange_now_ms() + 5000,
        )
        outcome = await client.place(request)
        assert isinstance(outcome, Confirmed), outcome

    link = DeribitLink(
        client,
        url=url,
        key=ApiKey(client_id="bench", secret=SecretStr("bench-secret")),
        clock=clock,
        dice=random.Random(1),  # noqa: S311 - of nonces
        sink=take,
        # This exchange has no private stream.
        deadlines=Deadlines(proof_s=3600.0, quiet_s=3600.0),
    )
    async with asyncio.TaskGroup() as tasks:
        session = tasks.create_task(link.run())
        await live.wait()
        await _obey(place)
        session.cancel()


if __name__ == "__main__":
    main()
