"""The unit file: checked by systemd's own tools, and run under a real systemd."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
UNIT = ROOT / "systemd" / "vigil.service"
WITH_SYSTEMD = HERE / "with-systemd"
EXPOSURE_MAX = 1.5
CANNOT_RUN_HERE = 77

STUB = """#!/bin/sh
export PYTHONPATH=/opt/code/src:/opt/code/packages
exec /usr/bin/python3 /opt/code/stub_service.py "$@"
"""

SCRIPT = """
set -eu
wait_for() { for _ in $(seq 200); do if eval "$1"; then return; fi; sleep 0.1; done; echo "never: $1"
             journalctl -u vigil --no-pager | tail -n 20; exit 1; }
systemd-analyze verify --man=no --recursive-errors=no /etc/systemd/system/vigil.service

# The unit sees neither /tmp nor a home directory, where a checkout may well be.
in-systemd mkdir -p /opt/code
in-systemd cp -r "$SOURCE" /opt/code/src
in-systemd cp -r "$PACKAGES" /opt/code/packages
in-systemd cp "$STUB" /opt/code/stub_service.py

systemctl start vigil || { journalctl -u vigil --no-pager | tail -n 20; exit 1; }
echo "status: $(systemctl show vigil -P StatusText)"

in-systemd touch /var/lib/private/vigil/hung
wait_for '[ "$(systemctl show vigil -P NRestarts)" = 1 ]'
in-systemd rm /var/lib/private/vigil/hung
echo "watchdog: $(journalctl -u vigil -o json | grep -c '"UNIT_RESULT":"watchdog"')"
wait_for 'systemctl is-active -q vigil'
echo "again: $(systemctl show vigil -P StatusText)"

systemctl kill --signal=KILL vigil
wait_for '[ "$(systemctl show vigil -P NRestarts)" = 2 ] && systemctl is-active -q vigil'
systemctl stop vigil
echo "stop: $(systemctl show vigil -P Result)"
echo "checkpoint: $(stat -c %a "$WITH_SYSTEMD_ROOT/var/lib/private/vigil/checkpoint.json")"
"""


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing")
def test_the_unit_is_hardened_to_the_exposure_promised():
    threshold = round(EXPOSURE_MAX * 10)
    checked = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={threshold}", UNIT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout[-500:] + checked.stderr


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/usr/bin/python3").exists() or sys.version_info[:2] != (3, 11),
    reason="the service's Python has to be the one whose packages are installed",
)
def test_the_unit_runs_is_watched_restarted_and_stopped_under_a_real_systemd(tmp_path):
    files = {"vigil": STUB, "id": "the-key", "secret": "0123456789", "toml": "http_port = 3999\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "vigil").chmod(0o755)
    (tmp_path / "toml").chmod(0o644)
    (tmp_path / "quick.conf").write_text("[Service]\nWatchdogSec=4\nRestartSec=0.2\n")
    command = [
        *(WITH_SYSTEMD, "--unit", UNIT),
        *("--drop-in", f"vigil.service:{tmp_path / 'quick.conf'}"),
        *("--credential", f"vigil.client_id:{tmp_path / 'id'}"),
        *("--credential", f"vigil.client_secret:{tmp_path / 'secret'}"),
        *("--put", f"{tmp_path / 'vigil'}:/opt/vigil/bin/vigil"),
        *("--put", f"{tmp_path / 'toml'}:/etc/vigil/vigil.toml"),
        *("--put", f"{ROOT / 'README.md'}:/opt/vigil/share/README.md"),
        *("bash", "-c", SCRIPT),
    ]
    ran = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env=os.environ
        | {
            "TMPDIR": "/tmp",
            "SOURCE": str(ROOT / "src"),
            "PACKAGES": sysconfig.get_paths()["purelib"],
            "STUB": str(HERE / "stub_service.py"),
        },
    )
    if ran.returncode == CANNOT_RUN_HERE:
        pytest.skip(ran.stderr.strip())
    assert ran.returncode == 0, ran.stdout + ran.stderr
    said = dict(line.split(": ", 1) for line in ran.stdout.splitlines() if ": " in line)
    assert said == {
        "status": "the-key with a secret of 10 characters, epoch 1, watched for 4.0 s",
        "watchdog": "1",
        "again": "the-key with a secret of 10 characters, epoch 2, watched for 4.0 s",
        "stop": "success",
        "checkpoint": "600",
    }


def test_the_installer_can_be_looked_at_first_and_changes_nothing(tmp_path):
    if not Path("/usr/bin/python3").exists():
        pytest.skip("no system Python")
    command = [ROOT / "scripts" / "install-service", "--dry-run", "--python", "/usr/bin/python3"]
    looked = subprocess.run(
        [*command, "--prefix", tmp_path / "prefix"], capture_output=True, text=True, check=False
    )
    if "apt install python3-venv" in looked.stderr:
        pytest.skip(looked.stderr.strip())
    assert looked.returncode == 0, looked.stderr
    assert f"would run: /usr/bin/python3 -m venv {tmp_path / 'prefix'}" in looked.stdout
    assert "systemctl enable --now vigil" in looked.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prefix", "relative"], "--prefix relative: give an absolute path"),
        (["--prefix", "/a b"], "plain characters"),
        (["--prefix"], "needs a value"),
        (["--python", "/nowhere/python"], "no Python 3.11 or newer"),
        (["--frobnicate"], "unknown option"),
    ],
)
def test_the_installer_refuses_wrong_usage_with_the_fix(arguments, message):
    ran = subprocess.run(
        [ROOT / "scripts" / "install-service", "--dry-run", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert message in ran.stderr
