"""What `vigil run` does before and after the application."""

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
