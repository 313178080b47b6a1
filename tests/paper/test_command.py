"""`vigil paper` as a process: start, print, kill, start again."""

import asyncio
import base64
import json
import signal
import socket
import sys
import urllib.request

import pytest

from vigil.paper.session.sessions import CLIENT_ID, CLIENT_SECRET

pytestmark = pytest.mark.slow

LINEAR = "BTC_USDC-PERPETUAL"
MAIN = """
import argparse, sys
from vigil.paper.command import add_arguments, main
parser = argparse.ArgumentParser()
add_arguments(parser)
sys.exit(main(parser.parse_args()))
"""
BASIC = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()


async def start(*args):
    """The process and what it announced."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MAIN, "--port", "0", *map(str, args),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said = {}
    async with asyncio.timeout(30):
        while "instruments" not in said:
            line = (await process.stdout.readline()).decode()
            assert line, (await process.stderr.read()).decode()
            name, _, value = line.strip().partition(" ")
            said[name] = value.strip()
    return process, said


async def call(said, method, query=""):
    def ask():
        request = urllib.request.Request(f"{said['http']}/{method}?{query}")
        request.add_header("Authorization", f"Basic {BASIC}")
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)["result"]

    return await asyncio.to_thread(ask)


async def end(process, number=signal.SIGTERM):
    process.send_signal(number)
    await asyncio.wait_for(process.communicate(), 10)
    return process.returncode


async def test_it_announces_how_to_get_in_and_ends_cleanly_on_a_signal():
    for number in (signal.SIGTERM, signal.SIGINT):
        process, said = await start("--seed", 4, "--speed", 2)
        assert said["client_id"] == CLIENT_ID
        assert said["client_secret"] == CLIENT_SECRET
        assert (said["seed"], said["speed"]) == ("4", "2")
        assert LINEAR in said["instruments"]
        assert said["websocket"].endswith("/ws/api/v2")
        assert await end(process, number) == 0


async def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path):
    state = tmp_path / "paper.db"
    process, said = await start("--state", state)
    acknowledged = []
    for i in range(5):
        query = f"instrument_name={LINEAR}&amount=0.01&type=market&label=k{i}"
        acknowledged += (await call(said, "private/buy", query))["trades"]
    query = f"instrument_name={LINEAR}&amount=0.05&type=stop_market&trigger=mark_price"
    stop = await call(said, "private/sell", f"{query}&trigger_price=90000&reduce_only=true")
    process.kill()
    await process.communicate()

    process, said = await start("--state", state)
    query = f"instrument_name={LINEAR}&count=100&sorting=asc"
    page = await call(said, "private/get_user_trades_by_instrument", query)
    assert page["trades"] == acknowledged
    position = await call(said, "private/get_position", f"instrument_name={LINEAR}")
    assert position["size"] == 0.05
    assert await call(said, "private/get_open_orders") == [stop["order"]]
    assert await end(process) == 0


async def refused(*args):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MAIN, *map(str, args),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, error = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, error.decode()


async def test_a_port_in_use_is_named_with_the_fix():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, error = await refused("--port", port)
    assert status == 2
    assert f"port {port} on 127.0.0.1 is in use" in error
    assert "--port" in error


async def test_a_state_file_of_another_seed_is_refused(tmp_path):
    process, said = await start("--state", tmp_path / "paper.db", "--seed", 1)
    await call(said, "private/buy", f"instrument_name={LINEAR}&amount=0.01&type=market")
    await end(process)
    status, error = await refused("--port", 0, "--state", tmp_path / "paper.db", "--seed", 2)
    assert status == 2
    assert "does not belong to --seed 2" in error


@pytest.mark.parametrize("args", [("--port", "70000"), ("--speed", "0"), ("--speed", "nan")])
async def test_a_bad_option_is_refused(args):
    status, error = await refused(*args)
    assert status == 2
    assert args[1] in error
