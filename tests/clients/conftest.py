"""The paper exchange on a port, with prices that move, for clients that we did not write."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from vigil.clock import SystemClock
from vigil.paper.market.feed import PriceWalk
from vigil.paper.server import PaperServer
from vigil.paper.venue import Venue


@pytest.fixture
async def paper() -> AsyncIterator[PaperServer]:
    clock = SystemClock()
    bitcoin = PriceWalk(seed=3, index_name="btc", start_price=Decimal(95_000))
    ether = PriceWalk(seed=3, index_name="eth", start_price=Decimal(3_300))
    walks = {"btc_usd": bitcoin, "btc_usdc": bitcoin, "eth_usdc": ether, "eth_usd": ether}
    server = PaperServer(Venue(now_ms=clock.now_ms(), walks=walks), clock)
    await server.start()
    yield server
    await server.stop()
