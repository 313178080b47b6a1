"""What `vigil run` does before and after the application."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from vigil import daemon


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key at all, which no start survives."""
    for name in (
        "VIGIL_CLIENT_ID",
        "VIGIL_CLIENT_SECRET",
        "NOTIFY_SOCKET",
        "CREDENTIALS_DIRECTORY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VIGIL_STATE_DIR", str(tmp_path))


@pytest.mark.usefixtures("bare")
def test_a_start_without_a_key_names_it_and_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert daemon.main(None) == daemon.EXIT_MISCONFIGURED == 2
    assert "VIGIL_CLIENT_SECRET" in capsys.readouterr().err


@pytest.mark.usefixtures("bare")
def test_under_systemd_a_refusal_takes_its_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    monkeypatch.setattr(daemon, "RETRY_S", 0.2)
    started = time.monotonic()
    assert daemon.main(None) == 2
    assert time.monotonic() - started >= 0.2


def test_a_start_does_not_pay_for_what_few_starts_want() -> None:
    code = (
        "import sys, vigil.daemon\n"
        "late = 'aiohttp httpx tomllib ctypes vigil.web.border vigil.web.route'.split()\n"
        "print([name for name in late if name in sys.modules])"
    )
    assert _printed(code) == "[]"


def test_what_a_start_imports_is_never_looked_through_for_garbage() -> None:
    code = (
        "import gc\n"
        "from vigil import cli, daemon\n"
        "daemon.main = lambda _: print(gc.isenabled(), gc.get_freeze_count() > 10_000)\n"
        "cli.main(['run'])"
    )
    assert _printed(code) == "True True"


def _printed(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()
