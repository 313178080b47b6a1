"""The scripts run in the checkout's own environment, which scripts/test makes."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import free_port

from .terminal import ROOT, Terminal


@pytest.fixture(scope="session")
def installed() -> None:
    """Scripts would install what is missing, over the network: only where there is nothing to."""
    if not (ROOT / ".venv" / ".installed-core").exists():
        pytest.skip("no .venv made by scripts/test, which these scripts would have to install")


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """An environment for scripts/run: free ports, and a state directory with a space in it."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("VIGIL_")}
    return inherited | {
        "VIGIL_STATE_DIR": str(tmp_path / "state of vigil"),
        "VIGIL_HTTP_PORT": str(free_port()),
        "VIGIL_PAPER_PORT": str(free_port()),
    }


@pytest.fixture
def running(installed: None, settings: dict[str, str], tmp_path: Path) -> Iterator[Terminal]:
    """scripts/run in a terminal, called from another directory than its own."""
    terminal = Terminal([str(ROOT / "scripts" / "run")], env=settings, cwd=tmp_path)
    try:
        yield terminal
    finally:
        terminal.close()
        for pid in processes_of(settings):
            os.kill(pid, signal.SIGKILL)


def processes_of(settings: dict[str, str]) -> list[int]:
    """What still runs on that state directory or paper port."""
    marks = (settings["VIGIL_STATE_DIR"].encode(), settings["VIGIL_PAPER_PORT"].encode())
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                said = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:  # ended meanwhile, or another user's
                continue
            if b"vigil" in said and any(mark in said for mark in marks):
                found.append(int(entry.name))
    return found
