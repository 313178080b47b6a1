"""Fixtures: a paper exchange, a person's own access to its account, and Vigil on it."""

import os
import textwrap
from pathlib import Path
from typing import Any

import pytest
from processes import (
    CLIENT_ID,
    PLUGIN,
    PaperAccount,
    Process,
    Vigil,
    eventually,
    free_port,
    vigil_env,
)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A folder that holds an installed strategy package."""
    folder = tmp_path / "plugin"
    metadata = folder / "eager-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "eager.py").write_text(textwrap.dedent(PLUGIN))
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: eager\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[vigil.strategies]\nEager = eager:Eager\nFaulty = eager:Faulty\n"
    )
    return folder


@pytest.fixture
def paper(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """A paper exchange that keeps its books on disk; a test may give it more options."""
    port = free_port()
    state = ["--seed", "7", "--state", str(tmp_path / "paper.json")]
    process = Process(
        ["paper", "--port", str(port), *state, *getattr(request, "param", ())],
        env=dict(os.environ),
        log=tmp_path / "paper.log",
    )
    process.port = port  # type: ignore[attr-defined]
    process.start()
    yield process
    process.close()


@pytest.fixture
async def account(paper: Any) -> Any:
    """A person's own access to the account that Vigil trades on."""

    async def look() -> str | None:
        assert paper.is_running, paper.text()
        lines = [line for line in paper.text().splitlines() if "client_secret" in line]
        return lines[0] if lines else None

    line = await eventually(look, what="paper prints its key")
    secret = line.replace("=", " ").replace(":", " ").split("client_secret", 1)[1].split()[0]
    client = PaperAccount(paper.port, secret.strip("'\","))
    client.secret = secret.strip("'\",")  # type: ignore[attr-defined]
    yield client
    await client.close()


@pytest.fixture
async def vigil(tmp_path: Path, paper: Any, account: Any, plugin: Path) -> Any:
    """Vigil, not started yet; write its state file first."""
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    port = free_port()
    env = vigil_env(
        state_dir=state_dir,
        port=port,
        paper_port=paper.port,
        client_id=CLIENT_ID,
        secret=account.secret,
        plugin=plugin,
    )
    process = Vigil(state_dir=state_dir, port=port, env=env)
    yield process
    process.close()
    await process.api.aclose()
