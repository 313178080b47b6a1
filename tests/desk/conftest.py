"""A running rig for each test: see `rig`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rig import Rig, running_rig


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    async with running_rig(tmp_path, monkeypatch) as made:
        yield made
