"""The real thing over real sockets: two transports, two connections, faults."""

import asyncio
import base64
import json

import aiohttp
import pytest
import websockets

from vigil.clock import SystemClock
from vigil.paper.server import PaperServer
from vigil.paper.session.sessions import CLIENT_ID, CLIENT_SECRET
from vigil.paper.venue import Venue

LINEAR = "BTC_USDC-PERPETUAL"
BASIC = "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()


@pytest.fixture
async def http(server):
    async with aiohttp.ClientSession() as session:
        yield session


async def test_two_connections_act_on_one_account(dial):
    ours, theirs = await dial(), await dial()
    await ours.call("private/subscribe", channels=["user.changes.any.any.raw"])
    bought = await theirs.call("private/buy", instrument_name=LINEAR, amount=0.01, type="market")
    heard = await ours.wait_for("user.changes.any.any.raw")
    assert heard["trades"] == bought["trades"]
    position = await ours.call("private/get_position", instrument_name=LINEAR)
    assert position["size"] == 0.01


async def test_tickers_keep_coming(dial):
    client = await dial(log_in=False)
    channel = f"ticker.{LINEAR}.100ms"
    await client.call("public/subscribe", channels=[channel])
    times = [(await client.wait_for(channel))["timestamp"] for _ in range(3)]
    assert times == sorted(times)


async def test_an_independent_websocket_library_is_served(server):
    async with websockets.connect(server.websocket_url) as socket:
        await socket.send('{"jsonrpc": "2.0", "id": "a", "method": "public/test", "params": {}}')
        reply = json.loads(await socket.recv())
        assert reply["id"] == "a"
        assert reply["result"] == {"version": "1.2.26"}
        assert reply["usOut"] == reply["usIn"] + reply["usDiff"]


async def test_bad_frames_are_answered_and_the_socket_stays_open(dial):
    client = await dial(log_in=False)
    await client.socket.send_str("not json")
    assert (await client.receive())["error"]["code"] == 11050
    await client.socket.send_str(json.dumps({"method": "public/test", "x": "y" * 40_000}))
    refused = await client.receive()
    assert refused["error"]["code"] == -32600
    assert "id" not in refused
    await client.socket.send_bytes(b"\xff")
    assert (await client.receive())["error"]["code"] == 11050
    assert await client.call("public/test")


class TestHttp:
    async def test_get_answers_without_id_and_errors_are_status_400(self, server, http):
        async with http.get(f"{server.http_url}/public/get_time") as response:
            reply = await response.json()
            assert response.status == 200
            assert isinstance(reply["result"], int)
            assert "id" not in reply
        async with http.get(f"{server.http_url}/private/get_positions") as response:
            assert response.status == 400
            assert (await response.json())["error"]["code"] == 13009

    async def test_basic_login_trades_by_query_string(self, server, http):
        query = {
            "instrument_name": LINEAR,
            "amount": "0.01",
            "type": "market",
            "reduce_only": "false",
        }
        headers = {"Authorization": BASIC}
        url = f"{server.http_url}/private/buy"
        async with http.get(url, params=query, headers=headers) as response:
            assert (await response.json())["result"]["order"]["order_state"] == "filled"

    async def test_a_bearer_token_trades_by_body_and_a_socket_hears_of_it(self, server, http, dial):
        client = await dial()
        await client.call("private/subscribe", channels=["user.trades.any.any.raw"])
        query = {
            "grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET,
        }  # fmt: skip
        async with http.get(f"{server.http_url}/public/auth", params=query) as response:
            access = (await response.json())["result"]["access_token"]
        body = {
            "jsonrpc": "2.0", "id": 5, "method": "private/sell",
            "params": {"instrument_name": LINEAR, "amount": 0.01, "type": "market"},
        }  # fmt: skip
        headers = {"Authorization": f"Bearer {access}"}
        for url in (server.http_url, f"{server.http_url}/private/sell"):
            async with http.post(url, json=body, headers=headers) as response:
                reply = await response.json()
                assert reply["id"] == 5
                assert await client.wait_for("user.trades.any.any.raw") == reply["result"]["trades"]

    async def test_a_token_bound_to_a_socket_is_refused(self, server, http, dial):
        access = (await (await dial(log_in=False)).log_in())["access_token"]
        headers = {"Authorization": f"Bearer {access}"}
        async with http.get(
            f"{server.http_url}/private/get_positions", headers=headers
        ) as response:
            assert (await response.json())["error"]["code"] == 13009

    async def test_a_body_above_32_kB_is_refused_by_name(self, server, http):
        async with http.post(server.http_url, data=b"x" * 40_000) as response:
            assert (await response.json())["error"]["code"] == -32600


class TestFaults:
    async def test_an_applied_order_whose_reply_is_withheld_is_found_by_its_label(
        self, server, dial
    ):
        client = await dial()
        server.faults.withhold_replies("private/buy")
        request_id = await client.send(
            "private/buy", instrument_name=LINEAR, amount=0.01, type="market", label="lost"
        )
        (order,) = await client.call(
            "private/get_order_state_by_label", currency="USDC", label="lost"
        )
        assert order["order_state"] == "filled"
        assert request_id not in {message.get("id") for message in client.notifications}

    async def test_a_lost_request_leaves_no_order(self, server, dial):
        client = await dial()
        server.faults.lose_requests("private/buy")
        await client.send(
            "private/buy", instrument_name=LINEAR, amount=0.01, type="market", label="lost"
        )
        found = await client.call("private/get_order_state_by_label", currency="USDC", label="lost")
        assert found == []

    async def test_a_delayed_reply_comes_after_later_ones(self, server, dial):
        client = await dial()
        server.faults.delay_replies("private/get_positions", 0.05)
        slow = await client.send("private/get_positions")
        quick = await client.send("public/test")
        await client.reply_to(slow)
        assert quick in [message.get("id") for message in client.notifications]

    async def test_dropped_connections_end_without_a_close_frame(self, server, dial):
        client, other = await dial(), await dial()
        server.drop_connections()
        for each in (client, other):
            message = await asyncio.wait_for(each.socket.receive(), 5)
            assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            assert each.socket.close_code == 1006
        assert await (await dial()).call("public/test")


class FastClock(SystemClock):
    """Wall time that passes a hundred times as fast."""

    def now_ms(self):
        return int(self.elapsed_s() * 100_000)


async def test_an_unanswered_heartbeat_closes_the_socket_with_4000():
    clock = FastClock()
    server = PaperServer(Venue(now_ms=clock.now_ms()), clock, tick_interval_s=0.005)
    await server.start()
    try:
        async with aiohttp.ClientSession() as session:
            socket = await session.ws_connect(server.websocket_url)
            await socket.send_json({"method": "public/set_heartbeat", "params": {"interval": 10}})
            kinds = []
            async for message in socket:
                kinds.append(message.json().get("params", {}).get("type"))
            assert "test_request" in kinds
            assert socket.close_code == 4000
    finally:
        await server.stop()


async def test_logout_closes_without_a_reply(dial):
    client = await dial()
    await client.send("private/logout")
    message = await asyncio.wait_for(client.socket.receive(), 5)
    assert message.type is aiohttp.WSMsgType.CLOSE
    assert message.data == 1000


async def test_a_port_in_use_is_an_error_of_start(server):
    other = PaperServer(Venue(now_ms=0), SystemClock(), port=server.port)
    with pytest.raises(OSError):
        await other.start()


async def test_stop_closes_open_connections(dial, server):
    client = await dial()
    await server.stop()
    message = await asyncio.wait_for(client.socket.receive(), 5)
    assert message.type is aiohttp.WSMsgType.CLOSE
    assert message.data == 1001
