"""Whole processes, as they are run: a paper exchange, and Vigil on it until it says `READY=1`.

Readiness is heard on a private `NOTIFY_SOCKET`, the way systemd hears it: no polling, and nothing
of the measured process is touched.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processors import OTHER, QUIET, pinned_to
from vigil.paper.session.keys import CLIENT_ID, CLIENT_SECRET

VIGIL = Path(sys.executable).with_name("vigil")
INSTRUMENTS = ("BTC_USDC-PERPETUAL", "ETH_USDC-PERPETUAL", "BTC-PERPETUAL")

_ANSWERS_WITHIN_S = 30.0
_READY_WITHIN_S = 60.0
_STOPS_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A Vigil that is up, and how long that took from the start of its process."""

    process: subprocess.Popen[bytes]
    took_ms: float


@contextlib.contextmanager
def paper_exchange(directory: Path) -> Iterator[Mapping[str, str]]:
    """A paper exchange; yields the environment of a Vigil that trades there."""
    port = free_port()
    command = [str(VIGIL), "paper", "--port", str(port), "--seed", "7"]
    with (directory / "paper.log").open("wb") as log, pinned_to(OTHER):
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _await_answer(port, process)
        # An installed Vigil has its bytecode; the first start of a measurement writes it here.
        inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        yield inherited | {
            "PYTHONPYCACHEPREFIX": str(directory / "bytecode"),
            "VIGIL_DERIBIT_WS_URL": f"ws://127.0.0.1:{port}/ws/api/v2",
            "VIGIL_DERIBIT_HTTP_URL": f"http://127.0.0.1:{port}/api/v2",
            "VIGIL_CLIENT_ID": CLIENT_ID,
            "VIGIL_CLIENT_SECRET": CLIENT_SECRET,
        }
    finally:
        process.kill()
        process.wait()


def prepare_state(state_dir: Path, strategies: int) -> None:
    """An operator's file with that many active strategies, in a new state directory."""
    state_dir.mkdir()
    active = [
        {
            "id": f"razor-{number}",
            "name": "Razor",
            "status": "active",
            # The sharpest thresholds: what is measured is waiting for a market, not trading it.
            "config": {
                "instrument": INSTRUMENTS[number % len(INSTRUMENTS)],
                "tradeSize": 100,
                "rsiOversold": 1,
                "rsiOverbought": 99,
            },
        }
        for number in range(strategies)
    ]
    state: dict[str, Any] = {"version": 1, "environment": "paper", "activeStrategies": active}
    (state_dir / "backend-state.json").write_text(json.dumps(state), encoding="utf-8")


@contextlib.contextmanager
def ready_vigil(state_dir: Path, environment: Mapping[str, str]) -> Iterator[Ready]:
    """Vigil on that state directory, from its readiness to its stop in good order."""
    # A Unix socket's path is short; that of a state directory need not be.
    with tempfile.TemporaryDirectory() as notify_dir, _socket(notify_dir) as notifications:
        variables = {
            **environment,
            "VIGIL_STATE_DIR": str(state_dir),
            "VIGIL_HTTP_PORT": str(free_port()),
            "NOTIFY_SOCKET": notifications.getsockname(),
        }
        with (state_dir / "vigil.log").open("ab") as log, pinned_to(QUIET):
            started = time.perf_counter()
            process = subprocess.Popen([str(VIGIL), "run"], env=variables, stdout=log, stderr=log)
        try:
            _await_ready(notifications, process, state_dir)
            yield Ready(process=process, took_ms=(time.perf_counter() - started) * 1000)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOPS_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    """A port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def _socket(directory: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        notifications.bind(f"{directory}/notify")
        notifications.settimeout(_READY_WITHIN_S)
        yield notifications


def _await_ready(
    notifications: socket.socket, process: subprocess.Popen[bytes], state_dir: Path
) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    notifications.settimeout(1.0)
    while time.monotonic() < deadline:
        try:
            words = notifications.recv(4096).split(b"\n")
        except TimeoutError:
            if process.poll() is not None:
                break
            continue
        if b"READY=1" in words:
            return
    tail = (state_dir / "vigil.log").read_text("utf-8", "replace")[-2000:]
    raise RuntimeError(f"Vigil was not ready within {_READY_WITHIN_S:g} s:\n{tail}")


def _await_answer(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _ANSWERS_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.05)
    raise RuntimeError("the paper exchange did not start; try `vigil paper` by hand")
