"""The real thing over real sockets: two transports, two connections, faults."""

import asyncio
import base64
import contextlib
import json
import sqlite3

import aiohttp
import pytest
import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from vigil.clock import SystemClock
from vigil.paper import line
from vigil.paper.notify.publishing import Push
from vigil.paper.server import PaperServer
from vigil.paper.session.credits import PoolName
from vigil.paper.session.keys import CLIENT_ID, CLIENT_SECRET, READER_ID, READER_SECRET
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


async def test_times_of_replies_are_to_the_microsecond(dial):
    client = await dial()
    replies = [await client.request("public/test") for _ in range(5)]
    assert any(reply["usIn"] % 1000 for reply in replies)
    assert all(reply["usDiff"] == reply["usOut"] - reply["usIn"] >= 0 for reply in replies)


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


class TestLimits:
    async def test_running_out_of_credits_is_answered_and_then_hung_up(self, dial, server):
        client, other = await dial(), await dial()
        for _ in range(130):
            await client.send("private/get_positions")
        codes = []
        async for message in client.socket:
            codes.append(message.json().get("error", {}).get("code"))
        assert codes[-1] == 10028
        assert codes.count(10028) == 1
        assert codes.count(None) >= 90
        assert client.socket.close_code == 1008
        await asyncio.sleep(0.2)  # four requests' worth of credits come back
        assert await other.call("private/get_positions") == []

    async def test_over_http_it_costs_that_call_alone(self, dial, server, http):
        client = await dial()
        key = server.venue.purse.account
        key.drain(PoolName.TRADING, server.clock.now_ms())
        url = f"{server.http_url}/private/cancel"
        async with http.get(
            url, params={"order_id": "x"}, headers={"Authorization": BASIC}
        ) as response:
            assert response.status == 400
            assert (await response.json())["error"] == {
                "code": 10028, "message": "too_many_requests",
            }  # fmt: skip
        assert await client.call("private/get_positions") == []

    async def test_the_33rd_connection_of_an_address_is_refused_at_its_upgrade(self, dial):
        clients = [await dial(log_in=False) for _ in range(32)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await dial(log_in=False)
        assert caught.value.status == 429
        await clients[0].socket.close()
        async with asyncio.timeout(5):
            while True:
                with contextlib.suppress(aiohttp.WSServerHandshakeError):
                    client = await dial(log_in=False)
                    break
                await asyncio.sleep(0.01)
        assert await client.call("public/test")

    async def test_a_reader_too_far_behind_is_dropped_and_the_others_are_not(
        self, dial, server, monkeypatch
    ):
        monkeypatch.setattr(line, "_UNREAD_BYTES_MAX", 256 * 1024)
        well = await dial()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(
            b"GET /ws/api/v2 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert b" 101 " in await reader.readline()
        numbers = tuple(server.lines)
        assert len(numbers) == 2
        push = Push(connection_ids=numbers, message={"x": "y" * 60_000})
        async with asyncio.timeout(10):
            while len(server.lines) == 2:
                server.release((push,))
                await well.receive()
        assert await well.call("public/test")
        writer.transport.abort()


async def test_a_silent_socket_is_cut_without_a_close_frame():
    clock = FastClock()
    server = PaperServer(Venue(now_ms=clock.now_ms()), clock, tick_interval_s=0.005)
    await server.start()
    try:
        async with aiohttp.ClientSession() as session:
            socket = await session.ws_connect(server.websocket_url)
            began_ms = clock.now_ms()
            message = await asyncio.wait_for(socket.receive(), 10)
            assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            assert socket.close_code == 1006
            assert clock.now_ms() - began_ms >= 60_000
    finally:
        await server.stop()


async def test_a_dropped_connection_takes_its_orders_with_it_when_it_asked_for_that(dial, server):
    ours, watching = await dial(), await dial()
    await watching.call("private/subscribe", channels=["user.orders.any.any.raw"])
    await ours.call("private/enable_cancel_on_disconnect")
    order = await ours.call(
        "private/buy", instrument_name=LINEAR, amount=0.01, type="limit",
        price=await a_price_below(ours),
    )  # fmt: skip
    await watching.wait_for("user.orders.any.any.raw")
    server.lines[min(server.lines)].abort()
    cancelled = await watching.wait_for("user.orders.any.any.raw")
    assert cancelled["order_id"] == order["order"]["order_id"]
    assert cancelled["cancel_reason"] == "cancel_on_disconnect"


async def a_price_below(client):
    ticker = await client.call("public/ticker", instrument_name=LINEAR)
    return float(int(ticker["mark_price"] * 0.995))


class TestQueue:
    @pytest.fixture
    def slow(self, server):
        server.venue.queue.processing_ms = 50
        return server

    async def test_requests_are_answered_in_turn_and_the_tenth_is_refused(self, slow, dial):
        client = await dial()
        ids = [
            await client.send(
                "private/buy", instrument_name=LINEAR, amount=0.01, type="market", label=f"n{i}"
            )
            for i in range(10)
        ]
        replies = [await client.receive() for _ in ids]
        assert replies[0]["id"] == ids[9]
        assert replies[0]["error"]["code"] == 10047
        assert [reply["id"] for reply in replies[1:]] == ids[:9]
        assert all("result" in reply for reply in replies[1:])

    async def test_http_waits_in_the_same_queue(self, slow, dial, http):
        client = await dial()
        first = await client.send("private/cancel", order_id="none")
        began_s = asyncio.get_running_loop().time()
        url, headers = f"{slow.http_url}/private/buy", {"Authorization": BASIC}
        query = {"instrument_name": LINEAR, "amount": "0.01", "type": "market"}
        async with http.get(url, params=query, headers=headers) as response:
            assert (await response.json())["result"]["order"]["order_state"] == "filled"
        assert asyncio.get_running_loop().time() - began_s >= 0.045
        assert (await client.reply_to(first))["error"]["code"] == 10004


class TestCompression:
    async def test_it_is_agreed_on_only_when_offered(self, server):
        async with websockets.connect(server.websocket_url, compression=None) as socket:
            assert socket.response.headers.get("Sec-WebSocket-Extensions") is None
        async with websockets.connect(server.websocket_url) as socket:
            assert "permessage-deflate" in socket.response.headers["Sec-WebSocket-Extensions"]

    async def test_every_message_is_read_whatever_was_agreed_on(self, server, dial):
        plain = await dial(log_in=False)
        offers = (
            "permessage-deflate",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=10",
        )
        for offer in offers:
            factory = ClientPerMessageDeflateFactory(
                server_no_context_takeover="takeover" in offer,
                server_max_window_bits=10 if "=10" in offer else None,
            )
            async with websockets.connect(
                server.websocket_url, compression=None, extensions=[factory]
            ) as socket:
                for i in range(5):
                    request = {"id": i, "method": "public/get_instruments", "params": {}}
                    if i:
                        request["method"] = "public/get_order_book"
                        request["params"] = {"instrument_name": LINEAR, "depth": 20}
                    await socket.send(json.dumps(request))
                    reply = json.loads(await socket.recv())
                    assert reply["id"] == i
                    assert "result" in reply
        assert await plain.call("public/test")

    async def test_it_can_be_switched_off(self):
        clock = SystemClock()
        server = PaperServer(Venue(now_ms=clock.now_ms()), clock, compresses=False)
        await server.start()
        try:
            async with websockets.connect(server.websocket_url) as socket:
                assert socket.response.headers.get("Sec-WebSocket-Extensions") is None
        finally:
            await server.stop()


async def test_a_body_that_comes_in_pieces_is_read_whole(server):
    body = b'{"jsonrpc": "2.0", "id": 3, "method": "public/test", "params": {}}'
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"POST /api/v2 HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body[:20])
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.write(body[20:])
    assert b" 200 " in await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    await writer.wait_closed()


async def test_an_upgrade_that_is_no_text_is_refused(server):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"GET /ws/api/v2 HTTP/1.1\r\nHost: h\r\nUpgrade: web\x99\r\nConnection: close\r\n\r\n"
    )
    assert (await reader.readline()) == b"HTTP/1.1 400 Bad Request\r\n"
    writer.close()
    await writer.wait_closed()


async def test_a_reading_key_is_held_to_it_over_http(server, http):
    reader = base64.b64encode(f"{READER_ID}:{READER_SECRET}".encode()).decode()
    headers = {"Authorization": f"Basic {reader}"}
    async with http.get(f"{server.http_url}/private/get_positions", headers=headers) as response:
        assert response.status == 200
    async with http.get(f"{server.http_url}/private/cancel_all", headers=headers) as response:
        assert response.status == 400
        assert (await response.json())["error"]["code"] == 13403


async def test_a_disk_that_fails_between_requests_is_told_as_itself():
    class Failing:
        def __init__(self):
            self.is_full = False

        def save(self, changes):
            if self.is_full:
                raise sqlite3.OperationalError("database or disk is full")

    clock, disk = SystemClock(), Failing()
    server = PaperServer(
        Venue(now_ms=clock.now_ms()), clock, tick_interval_s=0.01, persistence=disk
    )
    await server.start()
    disk.is_full = True
    server.venue._last_state_ms = 0  # prices alone are worth a write again
    async with asyncio.timeout(5):
        with pytest.raises(sqlite3.OperationalError, match="full"):
            await server.wait()
