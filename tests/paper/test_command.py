"""`vigil paper` as a process: start, print, kill, start again."""

import asyncio
import base64
import json
import re
import signal
import socket
import sys
import urllib.request

import pytest
from fault_control import FaultControl
from processes import TIED

from vigil.paper.faults.menu import MENU
from vigil.paper.session.keys import CLIENT_ID, CLIENT_SECRET

pytestmark = pytest.mark.slow

LINEAR = "BTC_USDC-PERPETUAL"
MAIN = """
import argparse, sys
from vigil.paper.command import add_arguments, main
parser = argparse.ArgumentParser()
add_arguments(parser)
sys.exit(main(parser.parse_args()))
"""
# Files as large as that, and no larger, as on a disk without room.
CROWDED = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (2**19, 2**19))\n" + MAIN
BASIC = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()


async def start(*args, main=MAIN):
    """The process and what it announced."""
    process = await asyncio.create_subprocess_exec(
        *TIED, sys.executable, "-c", main, "--port", "0", *map(str, args),
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


async def test_the_fault_menu_is_served_when_it_is_asked_for():
    process, said = await start("--control", "--seed", "5")
    try:
        async with FaultControl(said["control"]) as control:
            await control.arm("withhold-reply", method="public/get_time")
            with pytest.raises(OSError):
                await call(said, "public/get_time")
            assert await call(said, "public/get_time")
            assert (await control.hits())["withhold-reply"] == 1
    finally:
        assert await end(process) == 0


async def test_help_lists_every_fault_with_its_rows():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MAIN, "--help", stdout=asyncio.subprocess.PIPE
    )
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0
    for fault in MENU.values():
        assert f"  {fault.name} " in said
    for row in (f"E{number}" for number in range(1, 39)):
        assert re.search(rf"\b{row}\b", said)


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


@pytest.mark.parametrize(
    ("args", "trading"),
    [((), {"rate": 5, "burst": 20}), (("--tier", 1), {"rate": 30, "burst": 100})],
)
async def test_the_tier_decides_what_the_account_may_send(args, trading):
    process, said = await start(*args)
    summary = await call(said, "private/get_account_summary", "currency=BTC")
    assert summary["limits"]["matching_engine"]["trading"]["total"] == trading
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


@pytest.mark.parametrize(
    "args", [("--port", "70000"), ("--speed", "0"), ("--speed", "nan"), ("--tier", "5")]
)
async def test_a_bad_option_is_refused(args):
    status, error = await refused(*args)
    assert status == 2
    assert args[1] in error


async def test_a_file_of_instruments_is_listed_and_a_bad_one_is_refused(tmp_path):
    path = tmp_path / "instruments.json"
    row = {
        "instrument_name": "ALGO_USDC-PERPETUAL", "kind": "future", "base_currency": "ALGO",
        "quote_currency": "USDC", "price_index": "algo_usdc", "instrument_id": 7,
        "contract_size": 1, "min_trade_amount": 1, "tick_size": 0.00001, "maker_commission": 0,
        "taker_commission": 0.0005, "creation_timestamp": 1663667690000,
        "expiration_timestamp": 32503708800000,
    }  # fmt: skip
    path.write_text(json.dumps([row]))
    state = tmp_path / "paper.db"
    process, said = await start("--instruments", path, "--state", state)
    assert "ALGO_USDC-PERPETUAL" in said["instruments"]
    query = "instrument_name=ALGO_USDC-PERPETUAL"
    bought = await call(said, "private/buy", f"{query}&amount=100&type=market")
    assert bought["order"]["order_state"] == "filled"
    await end(process)

    process, said = await start("--state", state)  # what is held stays listed
    assert (await call(said, "private/get_position", query))["size"] == 100
    assert (await call(said, "public/ticker", query))["mark_price"] > 0
    await end(process)

    path.write_text(json.dumps([row | {"tick_size": -1}]))
    status, error = await refused("--port", 0, "--instruments", path)
    assert status == 2
    assert str(path) in error
    assert "tick_size" in error


async def test_prices_come_from_a_recording_or_a_regime(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("timestamp,price,index_name\n1000,50000,btc_usd\n")
    process, said = await start("--recording", path, "--regime", "quiet")
    for name, price in (("btc_usd", 50_000), ("btc_usdc", 50_000)):
        answer = await call(said, "public/get_index_price", f"index_name={name}")
        assert answer["index_price"] == price
    ether = await call(said, "public/get_index_price", "index_name=eth_usd")
    assert 3_290 < ether["index_price"] < 3_310
    await end(process)

    path.write_text("timestamp,price,index_name\n1000,cheap,btc_usd\n")
    status, error = await refused("--port", 0, "--recording", path)
    assert status == 2
    assert "line 2: price is 'cheap'" in error
    assert (await refused("--regime", "wild"))[0] == 2


async def test_a_full_disk_is_told_in_one_line(tmp_path):
    path = tmp_path / "paper.db"
    process, said = await start("--state", path, main=CROWDED)
    order = f"instrument_name={LINEAR}&amount=0.01&type=market"
    with pytest.raises(OSError):  # the line is cut: nothing is acknowledged that is not on disk
        for _ in range(500):
            await call(said, "private/buy", order)
    _, told = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    (line,) = told.decode().splitlines()
    assert line.startswith(f"vigil paper: cannot store the books in {path}: ")
    assert "rollback" not in line
