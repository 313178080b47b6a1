import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from .conftest import processes_of
from .terminal import CTRL_C, ROOT, Terminal

pytestmark = pytest.mark.slow

READY = r"vigil\.ready"


def paper_pid(settings: dict[str, str]) -> int:
    for pid in processes_of(settings):
        if b"\0paper\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    raise AssertionError("no paper exchange runs")


def test_says_where_to_look_before_vigil_starts_and_that_is_where_it_answers(running, settings):
    running.await_text(READY)

    health_url = re.search(r"curl -s (localhost:\d+/health)", running.text).group(1)
    reply = httpx.get(f"http://{health_url}")

    assert reply.status_code == 200
    assert reply.json()["services"]["strategies"] == {"total": 3, "active": 1}
    for wanted in ("client_id", "client_secret", "backend-state.json", "paper.log", "ws://127.0.0"):
        assert wanted in running.text.partition("vigil.starting")[0]


def test_copies_the_example_strategies_at_the_first_start_only(running, settings, tmp_path):
    running.await_text(READY)
    copied = Path(settings["VIGIL_STATE_DIR"]) / "backend-state.json"
    example = ROOT / "state" / "backend-state.example.json"
    assert copied.read_text() == example.read_text()
    running.type(CTRL_C)
    assert running.await_end() == 0

    edited = copied.read_text().replace('"active"', '"stopped"')
    copied.write_text(edited)
    again = Terminal([str(ROOT / "scripts" / "run")], env=settings, cwd=tmp_path)
    try:
        again.await_text(READY)
    finally:
        again.close()
    assert copied.read_text() == edited


def test_logs_are_coloured_on_a_terminal(running):
    running.await_text(READY)
    assert "\x1b[32minfo" in running.coloured


def test_ctrl_c_stops_vigil_in_order_before_the_exchange_and_exits_with_zero(running, settings):
    running.await_text(READY)

    running.type(CTRL_C)
    code = running.await_end()

    assert code == 0
    assert "shutdown.step" in running.text
    # A Vigil that outlived the exchange would have lost its session by the exchange's close.
    assert "code 1001" not in running.text
    assert running.text.rstrip().endswith("vigil.stopped")
    assert processes_of(settings) == []


def test_a_killed_exchange_is_started_again_and_vigil_reconnects_by_itself(running, settings):
    running.await_text(READY)

    os.kill(paper_pid(settings), signal.SIGKILL)

    running.await_text("paper exchange ended with code 137; starting it again")
    running.await_text(r"connection\.live \w+=2")
    assert "line 1" not in running.text, "bash said it too, in its own words"


def test_ends_with_vigils_exit_code_and_takes_the_exchange_along(running, settings):
    running.await_text(READY)
    vigil = int(re.search(r"vigil\.starting.* pid=(\d+)", running.text).group(1))

    os.kill(vigil, signal.SIGKILL)

    assert running.await_end() == 128 + signal.SIGKILL
    assert processes_of(settings) == []


@pytest.mark.parametrize("variable", ["VIGIL_HTTP_PORT", "VIGIL_PAPER_PORT"])
def test_a_port_in_use_is_told_by_the_variable_to_set(variable, installed, settings):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        ended = run_to_its_end(settings | {variable: str(port)})

    assert ended.returncode == 1
    assert f"{variable}: port {port}" in ended.stderr
    assert f"set {variable} to a free one" in ended.stderr
    assert processes_of(settings) == []


def test_a_bad_setting_of_the_exchange_is_shown_in_its_own_words(installed, settings):
    ended = run_to_its_end(settings | {"VIGIL_PAPER_SPEED": "backwards"})

    assert ended.returncode == 1
    assert "--speed" in ended.stderr
    assert "backwards" in ended.stderr


def test_a_state_directory_that_cannot_be_made_is_told_by_its_variable(installed, settings):
    ended = run_to_its_end(settings | {"VIGIL_STATE_DIR": "/proc/vigil"})

    assert ended.returncode == 1
    assert "VIGIL_STATE_DIR: /proc/vigil cannot be written" in ended.stderr


def test_a_second_call_installs_nothing(running):
    # The first call made the environment; this one only finds that nothing is to be done.
    running.await_text(r"vigil\.starting")
    assert "Installing" not in running.text


def run_to_its_end(env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(ROOT / "scripts" / "run")],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
