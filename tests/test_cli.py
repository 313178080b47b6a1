"""The command line as a real process against a real server."""

import asyncio
import importlib.util
import json
import os
import socket
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from vigil.telemetry.status import HealthStatus, StateFileProblem, StateFileRefused

_SPEC = importlib.util.spec_from_file_location(
    "vigil_in_memory", Path(__file__).parent / "web" / "conftest.py"
)
in_memory = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = in_memory
_SPEC.loader.exec_module(in_memory)


@pytest.fixture
def operations():
    return in_memory.InMemoryOperations()


@pytest.fixture
async def server(operations):
    async with in_memory.serving(operations) as server:
        yield server


@pytest.fixture
def state_dir(tmp_path):
    token = tmp_path / "api-token"
    token.write_text(in_memory.TOKEN + "\n")
    token.chmod(0o600)
    return tmp_path


@pytest.fixture
def vigil(server, state_dir):
    return lambda *arguments, **environment: run_cli(
        *arguments,
        VIGIL_HTTP_PORT=str(server.port),
        VIGIL_STATE_DIR=str(state_dir),
        **environment,
    )


async def run_cli(*arguments, **environment):
    """Exit status, standard output, standard error."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VIGIL_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "vigil",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**kept, **environment},
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_version_is_the_packages(state_dir):
    status, out, _ = await run_cli("--version")
    assert (status, out.split()[0]) == (0, "vigil")


async def test_no_command_is_wrong_usage():
    status, _, err = await run_cli()
    assert status == 2
    assert "COMMAND" in err


async def test_status_shows_every_part(vigil):
    status, out, err = await vigil("status")
    assert (status, err) == (0, "")
    assert "Vigil 0.1.0 on paper is healthy, up 1 d 2 h" in out
    assert "1 active of 2" in out
    assert "connected, session 2, last message 0.2 s ago" in out
    assert "\x1b" not in out


async def test_status_of_an_unhealthy_vigil_is_shown_and_exits_1(vigil, operations):
    operations.report = replace(
        operations.report,
        status=HealthStatus.UNHEALTHY,
        reasons=("ledger: disk full",),
        state_file_problem=StateFileProblem(
            path="state/backend-state.json", line=4, column=9, field="version", reason="must be 1"
        ),
    )
    status, out, _ = await vigil("status")
    assert status == 1
    assert "unhealthy" in out
    assert "! ledger: disk full" in out
    assert "backend-state.json:4:9: version: must be 1" in out


async def test_strategies_show_what_each_waits_for(vigil, operations):
    operations.statuses["razor-btc"] = replace(
        operations.statuses["razor-btc"],
        trade=None,
        refusal=None,
        checkpoints=(replace(in_memory.RAZOR.checkpoints[0], value="41", is_passed=False),),
        last_error="ZeroDivisionError: division by zero",
        restarts=3,
    )
    status, out, _ = await vigil("strategies")
    assert status == 0
    assert "rsi 41, wanted < 35" in out
    assert "razor-btc: last error: ZeroDivisionError" in out
    assert "razor-eth" in out


async def test_what_refuses_entries_is_said_before_what_a_strategy_waits_for(vigil, operations):
    operations.statuses["razor-btc"] = replace(
        operations.statuses["razor-btc"], trade=None, refusal="platform_locked: all of it"
    )
    _, out, _ = await vigil("strategies")
    assert "platform_locked: all of it" in out
    assert "wanted" not in out.splitlines()[1]


async def test_trades_pass_their_filters_on(vigil):
    _, out, _ = await vigil("trades")
    assert len(out.splitlines()) == 3
    _, out, _ = await vigil("trades", "--status", "open", "--limit", "5")
    assert "BTC-PERPETUAL" in out
    assert "4.1234" not in out
    status, _, err = await vigil("trades", "--limit", "0")
    assert status == 1
    assert "whole number from 1 to 1000" in err


async def test_json_is_the_reply_as_it_came(vigil):
    status, out, _ = await vigil("trades", "--json")
    assert status == 0
    assert "4.123456789012345678" in out
    assert [trade["id"] for trade in json.loads(out)["trades"]] == ["t2", "t1"]


async def test_start_and_stop_read_the_token_from_the_state_directory(vigil, operations):
    status, out, _ = await vigil("start", "razor-eth")
    assert (status, "active" in out) == (0, True)
    assert operations.statuses["razor-eth"].is_running
    status, out, _ = await vigil("stop", "razor-eth")
    assert (status, "stopped" in out) == (0, True)


async def test_reconcile_tells_drift_and_remedy(vigil):
    status, out, _ = await vigil("reconcile")
    assert status == 0
    assert "remedied" in out
    assert "orphan trade t1" in out
    assert "closed at 95500" in out


async def test_a_refused_command_exits_1_with_the_reason(vigil, operations):
    status, _, err = await vigil("start", "rzor")
    assert status == 1
    assert "known are: razor-btc, razor-eth" in err
    operations.failure = StateFileRefused(
        StateFileProblem(path="s.json", line=3, column=1, reason="a comma too many", fix="edit it")
    )
    status, _, err = await vigil("start", "razor-btc")
    assert status == 1
    assert "s.json:3:1: a comma too many" in err
    assert "Fix: edit it" in err


async def test_a_wrong_token_exits_1_and_a_missing_one_2(vigil, state_dir, operations):
    status, _, err = await vigil("reconcile", VIGIL_API_TOKEN="wrong")
    assert (status, "bearer token" in err) == (1, True)
    (state_dir / "api-token").unlink()
    status, _, err = await vigil("reconcile")
    assert status == 2
    assert str(state_dir / "api-token") in err
    assert operations.runs == []


async def test_reading_needs_no_token(vigil, state_dir):
    (state_dir / "api-token").unlink()
    assert (await vigil("status"))[0] == 0


async def test_an_unreachable_vigil_exits_3_and_names_url_and_fix():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        status, out, err = await run_cli("status", VIGIL_HTTP_PORT=str(port))
    assert (status, out) == (3, "")
    assert f"cannot reach http://127.0.0.1:{port}" in err
    assert "VIGIL_HTTP_PORT" in err
    assert "Traceback" not in err


async def test_something_else_listening_there_exits_3():
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n<html>hi</html>")
        await writer.drain()
        writer.close()

    other = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with other:
        url = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}"
        status, _, err = await run_cli("status", "--url", url)
    assert status == 3
    assert "not as Vigil does" in err


@pytest.mark.parametrize("url", ["localhost:3000", "ftp://x", "http://", "http://h:99999"])
async def test_a_url_that_is_none_exits_2(url):
    status, _, err = await run_cli("status", "--url", url)
    assert status == 2
    assert url in err


async def test_help_of_the_whole_needs_no_server():
    status, out, _ = await run_cli("--help")
    assert status == 0
    for command in ("run", "paper", "status", "strategies", "trades", "reconcile", "start", "stop"):
        assert f"\n    {command}" in out


async def test_a_plain_parse_imports_neither_http_nor_the_application():
    code = (
        "import sys, vigil.cli; vigil.cli._parser(['run']).parse_args(['run']); "
        "print([name for name in ('http.client', 'aiohttp', 'vigil.app') if name in sys.modules])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert out.strip() == b"[]"
