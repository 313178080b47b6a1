"""A rig whose session comes through a proxy that mistreats it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mishandling import Mishandler
from scenes import HASTY

from rig import Rig, running_rig
from vigil.clock import SystemClock
from vigil.paper.server import PaperServer
from vigil.paper.venue import Venue


@pytest.fixture
async def proxy() -> AsyncIterator[Mishandler]:
    async with Mishandler() as made:
        yield made


@pytest.fixture
async def rig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: Mishandler
) -> AsyncIterator[Rig]:
    async with running_rig(
        tmp_path,
        monkeypatch,
        road=lambda server: proxy.lead_to(server.port),
        deadlines=HASTY,
    ) as made:
        yield made


@pytest.fixture
async def server() -> AsyncIterator[PaperServer]:
    """An exchange with nobody on it yet."""
    clock = SystemClock()
    made = PaperServer(Venue(now_ms=clock.now_ms()), clock, tick_interval_s=0.05)
    await made.start()
    yield made
    made.faults.clear()
    await made.stop()
