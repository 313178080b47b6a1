"""Fixtures: a paper exchange, a person's own access to its account, and Vigil on it."""

import os
import textwrap
from pathlib import Path
from typing import Any

import pytest
from processes import CLIENT_ID, PLUGIN, PaperAccount, Process, Vigil, eventually, free_port


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
def paper(tmp_path: Path) -> Any:
    """A paper exchange that keeps its books on disk."""
    port = free_port()
    process = Process(
        ["paper", "--port", str(port), "--seed", "7", "--state", str(tmp_path / "paper.json")],
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
    env = {key: value for key, value in os.environ.items() if not key.startswith("VIGIL_")}
    env |= {
        "PYTHONPATH": str(plugin),
        "VIGIL_STATE_DIR": str(state_dir),
        "VIGIL_HTTP_PORT": str(port),
        "VIGIL_DERIBIT_WS_URL": f"ws://127.0.0.1:{paper.port}/ws/api/v2",
        "VIGIL_CLIENT_ID": CLIENT_ID,
        "VIGIL_CLIENT_SECRET": account.secret,
        "VIGIL_RECONCILE_INTERVAL_S": "2",
    }
    process = Vigil(state_dir=state_dir, port=port, env=env)
    yield process
    process.close()
    await process.api.aclose()
