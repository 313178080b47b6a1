"""A key that worked and then does not: a person is told, nothing is hammered, stops stay."""

import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from processes import CLIENT_ID, Process, eventually, free_port, strategy

pytestmark = pytest.mark.slow


@pytest.fixture
def paper(tmp_path: Path) -> Any:
    """A paper exchange whose fault menu is served."""
    port = free_port()
    process = Process(
        ["paper", "--port", str(port), "--seed", "7", "--control"],
        env=dict(os.environ),
        log=tmp_path / "paper.log",
    )
    process.port = port  # type: ignore[attr-defined]
    process.start()
    yield process
    process.close()


async def do(paper: Any, fault: str, **values: Any) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=5) as http:
        reply = await http.post(
            f"http://127.0.0.1:{paper.port}/control/do", json={"fault": fault, **values}
        )
        assert reply.status_code == 200, reply.text


@pytest.mark.fault("E30")
@pytest.mark.parametrize(
    ("fault", "options", "words"),
    [
        pytest.param("revoke-key", {"revoked": True}, "does not accept the key", id="revoked"),
        pytest.param(
            "narrow-scope",
            {"scope": "account:read trade:read"},
            "lacks trade:read_write",
            id="cut down",
        ),
    ],
)
async def test_a_key_taken_away_in_mid_life_halts_entries_and_not_the_process(
    vigil: Any, paper: Any, fault: str, options: dict[str, Any], words: str
) -> None:
    vigil.write_state(strategy("eager"))
    vigil.start()
    await vigil.ready()
    await vigil.reaches("eager", "position_open")
    await do(paper, fault, client_id=CLIENT_ID, **options)
    if fault == "narrow-scope":
        await do(paper, "expire-tokens")

    async def halted() -> Any:
        health = await vigil.get("/health")
        return health if any(words in reason for reason in health["reasons"]) else None

    health = await eventually(halted, what=f"/health says {words!r}\n{vigil.text()[-2000:]}")
    assert health["status"] == "degraded"
    assert any(reason.startswith("trading: ") and words in reason for reason in health["reasons"])
    assert (await vigil.api.get("/ready")).status_code == 503
    assert vigil.is_running
    kinds = vigil.sql("SELECT kind FROM incidents WHERE resolved_ms IS NULL")
    assert ("login_lost",) in kinds
    logins = vigil.text().count("child.misconfigured")
    assert logins == 1, "the next try is half a minute away"
    assert vigil.stop() == 0
