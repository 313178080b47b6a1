"""The servers of `paper_push`: both push tickers as fast as their processor allows."""

import asyncio
import sys
from decimal import Decimal

import orjson
from websockets.asyncio.server import ServerConnection, broadcast, serve

from benchmarks import wire
from vigil.clock import SystemClock
from vigil.paper.market.feed import PriceWalk
from vigil.paper.server import PaperServer
from vigil.paper.session.credits import Limits, Pool, PoolName
from vigil.paper.venue import Venue

_UNSENT_BYTES_MAX = 1024 * 1024


def main() -> None:
    """Run the server `argv[1]` on port `argv[2]` until killed."""
    name, port = sys.argv[1:]
    asyncio.run(_push_plainly(int(port)) if name == "plain" else _push_paper(int(port)))


async def _push_plainly(port: int) -> None:
    listeners: dict[ServerConnection, None] = {}

    async def serve_client(websocket: ServerConnection) -> None:
        async for frame in websocket:
            request = orjson.loads(frame)
            if request["method"] == "public/subscribe":
                listeners[websocket] = None
            else:
                await websocket.send(wire.reply_frame(request), text=True)

    async with serve(serve_client, "127.0.0.1", port, compression=None, ping_interval=None):
        while True:
            for name in wire.INSTRUMENT_NAMES:
                broadcast(listeners, wire.ticker_frame(name).decode())
            await asyncio.sleep(0)
            while any(  # noqa: ASYNC110 - the transports are the library's
                listener.transport.get_write_buffer_size() > _UNSENT_BYTES_MAX
                for listener in listeners
            ):
                await asyncio.sleep(0.001)


async def _push_paper(port: int) -> None:
    clock = SystemClock()
    walk = PriceWalk(seed=1, index_name="btc", start_price=Decimal(95_000))
    # All of them log in and subscribe within a moment, which no account may.
    limits = Limits().with_pools(dict.fromkeys(PoolName, Pool.of_rate(10_000, 10_000)))
    walks = {"btc_usd": walk, "btc_usdc": walk}
    venue = Venue(now_ms=clock.now_ms(), walks=walks, limits=limits)
    server = PaperServer(venue, clock, port=port, tick_interval_s=0)
    await server.start()
    await server.wait()


if __name__ == "__main__":
    main()
