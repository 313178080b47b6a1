"""Vigil itself under a real systemd, trading on a paper exchange: ready, watched, killed, stopped."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from processes import CLIENT_ID, PaperAccount, free_port

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CANNOT_RUN_HERE = 77
BTC = "BTC_USDC-PERPETUAL"

SCRIPT = """
set -eu
tell() { echo "never: $1"; journalctl -u vigil --no-pager | tail -n 40; exit 1; }
wait_for() { for _ in $(seq 300); do if eval "$1"; then return; fi; sleep 0.1; done; tell "$1"; }
state() { curl -s "localhost:$PORT/api/strategy/status" | jq -r '.strategies[0].analysisState'; }

# The unit sees neither /tmp nor a home directory, where a checkout may well be.
in-systemd mkdir -p /opt/code
in-systemd cp -r "$SOURCE" /opt/code/src
in-systemd cp -r "$PACKAGES" /opt/code/packages

systemctl start vigil || tell start
echo "status: $(systemctl show vigil -P StatusText)"
wait_for '[ "$(state)" = position_open ]'

systemctl kill --kill-whom=main --signal=STOP vigil
wait_for '[ "$(systemctl show vigil -P NRestarts)" = 1 ] && systemctl is-active -q vigil'
echo "watchdog: $(journalctl -u vigil -o json | grep -c '"UNIT_RESULT":"watchdog"')"
wait_for '[ "$(state)" = position_open ]'

systemctl kill --signal=KILL vigil
wait_for '[ "$(systemctl show vigil -P NRestarts)" = 2 ] && systemctl is-active -q vigil'
wait_for '[ "$(state)" = position_open ]'
echo "trades: $(curl -s "localhost:$PORT/api/trades/history" | jq -c '[.trades[].id]')"

systemctl stop vigil
echo "stop: $(systemctl show vigil -P Result)"
echo "checkpoint: $(jq -r '.strategies.eager.analysisState' "$WITH_SYSTEMD_ROOT/var/lib/private/vigil/checkpoint.json")"
echo "grep: $(journalctl -u vigil | grep -c 'Reconciliation. Running database-Deribit sync check' | sed 's/[1-9][0-9]*/some/')"
"""


@pytest.mark.skipif(
    not Path("/usr/bin/python3").exists() or sys.version_info[:2] != (3, 11),
    reason="the service's Python has to be the one whose packages are installed",
)
@pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("jq")), reason="curl or jq is missing"
)
async def test_the_service_trades_through_watchdog_kill_crash_and_stop(
    tmp_path: Path, paper: Any, account: PaperAccount, plugin: Path
) -> None:
    port = free_port()
    packages = "/opt/code/src:/opt/code/packages:/opt/plugin"
    files = {
        "vigil": f'#!/bin/sh\nexport PYTHONPATH={packages}\nexec /usr/bin/python3 -m vigil "$@"\n',
        "id": CLIENT_ID,
        "secret": account.secret,  # type: ignore[attr-defined]
        "toml": f'http_port = {port}\nderibit_ws_url = "ws://127.0.0.1:{paper.port}/ws/api/v2"\n',
        "quick.conf": "[Service]\nWatchdogSec=5\nRestartSec=0.2\n",
        "state.json": json.dumps(
            {
                "version": 1,
                "activeStrategies": [
                    {
                        "id": "eager",
                        "name": "Eager",
                        "status": "active",
                        "config": {"instrument": BTC},
                    }
                ],
            }
        ),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "vigil").chmod(0o755)
    installed = [
        option
        for file in plugin.rglob("*")
        if file.is_file()
        for option in ("--put", f"{file}:/opt/plugin/{file.relative_to(plugin)}")
    ]
    command = [
        *(HERE / "with-systemd", "--unit", ROOT / "systemd" / "vigil.service"),
        *("--drop-in", f"vigil.service:{tmp_path / 'quick.conf'}"),
        *("--credential", f"vigil.client_id:{tmp_path / 'id'}"),
        *("--credential", f"vigil.client_secret:{tmp_path / 'secret'}"),
        *("--put", f"{tmp_path / 'vigil'}:/opt/vigil/bin/vigil"),
        *("--put", f"{tmp_path / 'toml'}:/etc/vigil/vigil.toml"),
        *("--put", f"{tmp_path / 'state.json'}:/var/lib/private/vigil/backend-state.json"),
        *installed,
        *("bash", "-c", SCRIPT),
    ]
    ran = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        env=os.environ
        | {
            "TMPDIR": "/tmp",
            "PORT": str(port),
            "SOURCE": str(ROOT / "src"),
            "PACKAGES": sysconfig.get_paths()["purelib"],
        },
    )
    if ran.returncode == CANNOT_RUN_HERE:
        pytest.skip(ran.stderr.strip())
    assert ran.returncode == 0, ran.stdout + ran.stderr
    said = dict(line.split(": ", 1) for line in ran.stdout.splitlines() if ": " in line)
    assert said == {
        "status": "1 strategies",
        "watchdog": "1",
        "trades": '["t1"]',
        "stop": "success",
        "checkpoint": "position_open",
        "grep": "some",
    }
    orders = await account.open_orders()
    assert sorted(order["order_type"] for order in orders) == ["limit", "stop_market"]
    buys = [fill for fill in await account.fills(BTC) if fill["direction"] == "buy"]
    assert len({fill["order_id"] for fill in buys}) == 1
