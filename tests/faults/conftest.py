"""A running rig for each test, and the checker that watches it: see `rig` and `agreement`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("agreement")

from agreement import Agreement  # noqa: E402

from rig import Rig, running_rig  # noqa: E402
from vigil.desk import patience  # noqa: E402


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    monkeypatch.setattr(patience, "RETRY_DELAYS_S", (0.01, 0.02, 0.03))
    async with running_rig(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def agreement(rig: Rig) -> Agreement:
    return Agreement(rig)
