"""A paper exchange with its fault menu open."""

import asyncio

import pytest
from fault_control import FaultControl

from vigil.clock import SystemClock
from vigil.paper.faults.interference import Faults
from vigil.paper.server import PaperServer
from vigil.paper.venue import Venue


@pytest.fixture
async def server():
    clock = SystemClock()
    server = PaperServer(
        Venue(now_ms=clock.now_ms()),
        clock,
        tick_interval_s=0.01,
        faults=Faults(7),
        has_control=True,
    )
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def control(server):
    async with FaultControl(server.control_url) as control:
        yield control


@pytest.fixture
def until():
    """Waits until a question is answered with yes."""

    async def wait(question, timeout_s=45.0):
        async with asyncio.timeout(timeout_s):
            while not (answer := question()):
                await asyncio.sleep(0.005)
            return answer

    return wait
