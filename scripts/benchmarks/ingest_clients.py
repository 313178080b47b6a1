"""The clients of `ingest`, each a process of its own: a bare loop, and Vigil's session.

Each prints, after every so many tickers, the microseconds of CPU that one of them took.
"""

import asyncio
import gc
import random
import sys
import time
from pathlib import Path

import orjson
from pydantic import SecretStr
from websockets.asyncio.client import connect

from benchmarks import wire
from vigil.clock import SystemClock
from vigil.daemon import GC_THRESHOLDS
from vigil.deribit.client import DeribitClient
from vigil.deribit.link import DeribitLink
from vigil.deribit.session import ApiKey, Deadlines
from vigil.domain.events import ExchangeEvent, TickerReceived
from vigil.logs import configure_logging


class _Meter:
    """Counts tickers, and tells the price of each when there were enough."""

    def __init__(self, count: int) -> None:
        self._count = self._left = count
        self._began_ns = 0

    def tick(self) -> None:
        """One more."""
        if self._left == self._count:
            self._began_ns = time.process_time_ns()
        self._left -= 1
        if not self._left:
            self._left = self._count
            took_us = (time.process_time_ns() - self._began_ns) / 1000 / (self._count - 1)
            print(took_us, flush=True)


def main() -> None:
    """Run the client `argv[1]` against `argv[2]`, telling every `argv[3]` tickers, until killed."""
    name, url, count = sys.argv[1:]
    meter = _Meter(int(count))
    asyncio.run(_read_bare(url, meter) if name == "bare" else _read_with_vigil(url, meter))


async def _read_bare(url: str, meter: _Meter) -> None:
    async with connect(url, compression=None) as websocket:
        params = {"channels": [wire.TICKER_CHANNEL]}
        call = {"jsonrpc": "2.0", "id": 1, "method": "public/subscribe", "params": params}
        await websocket.send(orjson.dumps(call), text=True)
        await websocket.recv()
        while True:
            orjson.loads(await websocket.recv(decode=False))
            meter.tick()


async def _read_with_vigil(url: str, meter: _Meter) -> None:
    gc.set_threshold(*GC_THRESHOLDS)  # as `vigil run` does
    log = Path("ingest.log").open("w", encoding="utf-8")  # noqa: ASYNC230, SIM115 - for life
    configure_logging(level="info", log_format="auto", stream=log)
    clock = SystemClock()
    client = DeribitClient(clock)
    await client.watch([wire.INSTRUMENT_NAME])

    def take(event: ExchangeEvent) -> None:
        if isinstance(event, TickerReceived):
            meter.tick()

    link = DeribitLink(
        client,
        url=url,
        key=ApiKey(client_id="bench", secret=SecretStr("bench-secret")),
        clock=clock,
        dice=random.Random(1),  # noqa: S311 - of nonces
        sink=take,
        deadlines=Deadlines(quiet_s=3600.0),  # one client's ticker rests while the other's runs
    )
    await link.run()


if __name__ == "__main__":
    main()
