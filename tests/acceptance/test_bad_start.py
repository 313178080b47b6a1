"""Starts that cannot succeed: each names the field or path and the fix, and exits non-zero."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from processes import strategy

pytestmark = pytest.mark.slow


def refuses(vigil: Any, *words: str) -> None:
    vigil.start()
    assert vigil.wait() != 0
    text = vigil.text()
    for word in words:
        assert word in text, text
    assert "Traceback" not in text


async def test_a_missing_state_file(vigil: Any) -> None:
    refuses(vigil, "backend-state.json", "backend-state.example.json")


async def test_broken_json(vigil: Any) -> None:
    (vigil.state_dir / "backend-state.json").write_text('{"version": 1,\n "activeStrategies": [}')
    refuses(vigil, "backend-state.json:2:")


async def test_an_unknown_strategy(vigil: Any) -> None:
    vigil.write_state(strategy("eager", name="Eagre"))
    refuses(vigil, "activeStrategies[0].name", "Eager")


async def test_an_unknown_instrument(vigil: Any) -> None:
    vigil.write_state(strategy("eager", instrument="BTC_EUR-PERPETUAL"))
    refuses(vigil, "activeStrategies[0].config.instrument", "BTC_EUR-PERPETUAL")


async def test_an_amount_below_the_minimum(vigil: Any) -> None:
    vigil.write_state(strategy("eager", tradeSize=0.5))
    refuses(vigil, "activeStrategies[0].config.tradeSize", "minimum")


@pytest.mark.fault("E30")
async def test_a_wrong_key(vigil: Any) -> None:
    vigil.write_state(strategy("eager"))
    vigil.env["VIGIL_CLIENT_SECRET"] = "not-the-secret"
    refuses(vigil, "VIGIL_CLIENT_SECRET")
    assert vigil.wait() == 2
    assert "not-the-secret" not in vigil.text()


async def test_a_wrong_environment(vigil: Any) -> None:
    vigil.write_state(strategy("eager"), environment="testnet")
    refuses(vigil, "testnet", "paper", "VIGIL_DERIBIT_WS_URL")


async def test_a_port_in_use(vigil: Any) -> None:
    vigil.write_state(strategy("eager"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", vigil.port))
        taken.listen()
        refuses(vigil, str(vigil.port), "VIGIL_HTTP_PORT")


async def test_a_second_instance_on_one_state_directory(vigil: Any) -> None:
    vigil.write_state(strategy("eager", status="paused"))
    vigil.start()
    await vigil.ready()
    second = type(vigil)(
        state_dir=vigil.state_dir, port=0, env={**vigil.env, "VIGIL_HTTP_PORT": "0"}
    )
    second.log = vigil.state_dir / "second.log"
    refuses(second, str(vigil.state_dir), str(vigil.pid), "VIGIL_STATE_DIR")
    await second.api.aclose()
    assert vigil.is_running


async def test_a_corrupt_ledger(vigil: Any) -> None:
    vigil.write_state(strategy("eager"))
    (vigil.state_dir / "trades.db").write_bytes(b"this is no database at all" * 100)
    refuses(vigil, "trades.db", "backup")
    assert (vigil.state_dir / "trades.db").read_bytes().startswith(b"this is no database")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
async def test_a_read_only_directory(vigil: Any) -> None:
    vigil.write_state(strategy("eager"))
    vigil.state_dir.chmod(0o500)
    try:
        vigil.log = Path(f"{vigil.state_dir}.log")
        refuses(vigil, str(vigil.state_dir))
    finally:
        vigil.state_dir.chmod(0o700)


async def test_a_ledger_of_another_environment(vigil: Any) -> None:
    vigil.write_state(strategy("eager", status="paused"))
    vigil.start()
    await vigil.ready()
    assert vigil.stop() == 0
    vigil.sql("UPDATE header SET environment = 'live'")
    vigil.log.unlink()
    refuses(vigil, "trades.db", "live", "paper")


async def test_a_ledger_of_another_account(vigil: Any) -> None:
    vigil.write_state(strategy("eager", status="paused"))
    vigil.start()
    await vigil.ready()
    assert vigil.stop() == 0
    vigil.sql("UPDATE header SET account = '1'")
    vigil.log.unlink()
    refuses(vigil, "trades.db", "account '1'", "10580")
