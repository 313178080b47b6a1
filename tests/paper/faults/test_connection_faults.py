"""Faults of connections, each met by a client over a real socket."""

import asyncio

import aiohttp
import pytest
import websockets

LINEAR = "BTC_USDC-PERPETUAL"
TRADES = "user.trades.any.any.raw"


async def end_of(client):
    """How the connection ended, past whatever still came."""
    async with asyncio.timeout(5):
        while True:
            message = await client.socket.receive()
            if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PONG):
                return client.socket.close_code


async def is_silent(client, for_s=0.15):
    """Whether nothing at all comes for a while; nothing is cancelled that was begun."""
    reading = asyncio.ensure_future(client.receive())
    done, _ = await asyncio.wait({reading}, timeout=for_s)
    client.reading = None if done else reading
    return not done


async def rest_of(client):
    """What the reading that was begun brings at last."""
    async with asyncio.timeout(5):
        return await client.reading


async def stop_reading(client):
    client.reading.cancel()
    await asyncio.wait({client.reading})


class TestEnds:
    async def test_n2_a_reset_comes_in_mid_frame(self, dial, control):
        client = await dial()
        await control.do("reset-connection")
        assert await end_of(client) == 1006
        assert (await control.truth())["connections"] == []

    async def test_n2_the_first_half_of_a_frame_comes_before_the_reset(self, server, control):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(
            b"GET /ws/api/v2 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        await control.do("reset-connection")
        got = b""
        with pytest.raises(ConnectionResetError):
            while chunk := await reader.read(100):
                got += chunk
        assert 0 < len(got) < got[1] + 2  # less than the frame's header promised
        writer.close()

    async def test_n12_e8_the_line_ends_without_a_close_frame(self, dial, control):
        client = await dial()
        await control.do("abort-connection")
        assert await end_of(client) == 1006

    @pytest.mark.parametrize("code", [1000, 1001, 1011, 4000])
    async def test_n12_the_server_closes_with_a_code(self, server, control, code):
        async with websockets.connect(server.websocket_url) as socket:
            await control.do("close-connection", code=code, reason="because")
            with pytest.raises(websockets.ConnectionClosed) as caught:
                await socket.recv()
            assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (code, "because")

    async def test_only_the_connection_that_is_named_ends(self, dial, control):
        ours, theirs = await dial(), await dial()
        numbers = [each["connection"] for each in (await control.truth())["connections"]]
        done = await control.do("abort-connection", connection=numbers[0])
        assert done == {"connections": numbers[:1]}
        assert await end_of(ours) == 1006
        assert await theirs.call("public/test")

    @pytest.mark.parametrize(("moment", "orders"), [("before", 1), ("after", 1)])
    async def test_e1_n12_it_ends_at_a_request_that_was_carried_out_or_is_about_to_be(
        self, dial, control, moment, orders
    ):
        client = await dial()
        await control.arm("abort-connection", method="private/buy", moment=moment)
        await client.send(
            "private/buy", instrument_name=LINEAR, amount=0.01, type="market", label="cut"
        )
        assert await end_of(client) == 1006
        again = await dial()
        found = await again.call("private/get_order_state_by_label", currency="USDC", label="cut")
        assert len(found) == orders

    async def test_n12_it_ends_at_a_notification(self, dial, control):
        client = await dial()
        await client.call("private/subscribe", channels=[TRADES])
        await control.arm("close-connection", channel="user.trades.*", code=1001)
        await client.send("private/buy", instrument_name=LINEAR, amount=0.01, type="market")
        assert await end_of(client) == 1001

    async def test_e10_after_a_logout_entries_rest_whatever_was_asked_for(self, dial, control):
        client = await dial()
        await client.call("private/enable_cancel_on_disconnect")
        await client.call("private/buy", instrument_name=LINEAR, amount=0.01, price=94_000)
        await control.do("logout-connection")
        assert await end_of(client) == 1000
        again = await dial()
        assert len(await again.call("private/get_open_orders")) == 1

    async def test_e8_cancel_on_disconnect_takes_the_rest_of_a_partial_fill(self, dial, control):
        client = await dial()
        await client.call("private/enable_cancel_on_disconnect")
        await client.call(
            "private/buy", instrument_name=LINEAR, amount=0.03, price=94_000, label="part"
        )
        await control.do("fill-order", of_label="part", amount="0.01")
        await control.do("abort-connection")
        await end_of(client)
        again = await dial()
        (order,) = await again.call(
            "private/get_order_state_by_label", currency="USDC", label="part"
        )
        assert (order["order_state"], order["cancel_reason"]) == (
            "cancelled",
            "cancel_on_disconnect",
        )
        assert order["filled_amount"] == 0.01

    async def test_over_http_the_request_is_hung_up_on(self, server, dial, control):
        client = await dial()
        await control.arm("abort-connection", method="public/get_time")
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):  # a GET would be sent again by aiohttp
                await session.post(f"{server.http_url}/public/get_time", json={})
        assert await client.call("public/test")  # no line of anybody's is cut for it


class TestHalfOpen:
    async def test_n1_a_frozen_connection_neither_reads_nor_writes_nor_pongs(
        self, dial, control, server
    ):
        client = await dial()
        await control.do("freeze-connection")
        await client.send(
            "private/buy", instrument_name=LINEAR, amount=0.01, type="market", label="ice"
        )
        await client.socket.ping()
        assert await is_silent(client)
        assert not server.venue.exchange.books.labelled("ice")
        other = await dial()
        assert await other.call("public/test")
        await stop_reading(client)

    async def test_n1_n5_when_it_thaws_what_was_held_passes_at_last(self, dial, control, server):
        client = await dial()
        await control.do("freeze-connection", lasts_s=0.3)
        await client.send(
            "private/buy", instrument_name=LINEAR, amount=0.01, type="market", label="ice"
        )
        assert await is_silent(client)
        assert (await rest_of(client))["result"]["order"]["label"] == "ice"

    async def test_n1_or_the_line_is_cut(self, dial, control):
        client = await dial()
        await control.do("freeze-connection", lasts_s=0.1, then="abort")
        assert await end_of(client) == 1006

    async def test_n1_and_what_was_held_by_a_line_that_is_cut_is_lost(self, dial, control, server):
        client = await dial()
        (number,) = server.lines
        order = {"instrument_name": LINEAR, "amount": 0.01, "type": "market", "label": "ice"}
        # One is read and held before the freeze stops the reading, as it may be.
        server.lines[number]._is_readable.clear()
        for _ in range(3):
            await client.send("private/buy", **order)
        await control.do("freeze-connection", lasts_s=0.1, then="abort")
        assert await end_of(client) == 1006
        again = await dial()
        assert not await again.call(
            "private/get_order_state_by_label", currency="USDC", label="ice"
        )

    async def test_n7_what_the_client_sends_is_lost_and_it_still_hears(self, dial, control, server):
        client = await dial()
        channel = f"ticker.{LINEAR}.100ms"
        await client.call("public/subscribe", channels=[channel])
        await control.do("lose-one-way", direction="in")
        await client.send(
            "private/buy", instrument_name=LINEAR, amount=0.01, type="market", label="oneway"
        )
        for _ in range(3):
            assert await client.wait_for(channel)
        assert not server.venue.exchange.books.labelled("oneway")

    async def test_n7_what_it_asks_is_done_and_it_hears_nothing(self, dial, control, server, until):
        client = await dial()
        await control.do("lose-one-way", direction="out")
        await client.send(
            "private/buy", instrument_name=LINEAR, amount=0.01, type="market", label="oneway"
        )
        await until(lambda: server.venue.exchange.books.labelled("oneway"))
        assert await is_silent(client)
        await stop_reading(client)

    async def test_n5_an_old_connection_speaks_when_the_new_one_is_up(self, dial, control):
        old = await dial()
        await old.call("private/subscribe", channels=[TRADES])
        await control.do("lag-connection", delay_s=0.3)
        new = await dial()
        await new.call("private/subscribe", channels=[TRADES])
        await new.call("private/buy", instrument_name=LINEAR, amount=0.01, type="market")
        heard = await new.wait_for(TRADES)
        assert await is_silent(old, 0.05)
        assert (await rest_of(old))["params"]["data"] == heard

    async def test_n3_frames_come_in_drips(self, dial, control):
        client = await dial(log_in=False)
        await control.do("drip-connection", drip_bytes=50, every_s=0.02)
        began_s = asyncio.get_running_loop().time()
        await client.call("public/get_instruments", currency="USDC", kind="future")
        assert asyncio.get_running_loop().time() - began_s > 0.2

    async def test_n3_what_drips_is_whole_again_when_healed(self, dial, control):
        client = await dial(log_in=False)
        await control.do("drip-connection", drip_bytes=1, every_s=0.05, lasts_s=0.2)
        assert await client.call("public/get_instruments", currency="USDC", kind="future")
        assert await client.call("public/test")


class TestAccepting:
    @pytest.mark.parametrize(("how", "status"), [("503", 503), ("429", 429)])
    async def test_n11_the_next_connections_are_refused_by_status(self, dial, control, how, status):
        await control.arm("refuse-connections", how=how, count=3)
        for _ in range(3):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await dial()
            assert caught.value.status == status
        assert await dial()
        assert (await control.hits())["refuse-connections"] == 3

    async def test_n11_or_by_a_reset(self, server, dial, control):
        await control.arm("refuse-connections", how="reset")
        with pytest.raises((websockets.InvalidHandshake, ConnectionError)):
            await websockets.connect(server.websocket_url)
        assert await dial()

    async def test_n11_or_closed_at_once(self, dial, control):
        await control.arm("refuse-connections", how="close")
        client = await dial(log_in=False)
        assert await end_of(client) == 1013

    async def test_n10_a_handshake_stalls(self, server, dial, control):
        await control.arm("stall-handshake", stall_s=0.3)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await dial()
        assert await dial()

    async def test_n10_and_goes_on_when_the_client_has_patience(self, dial, control):
        await control.arm("stall-handshake", stall_s=0.1)
        assert await (await dial()).call("public/test")


async def test_a_line_that_is_ill_does_not_keep_the_server_from_stopping(server, dial, control):
    clients = [await dial(log_in=False) for _ in range(2)]
    numbers = sorted(server.lines)
    await control.do("freeze-connection", connection=numbers[0])
    await control.do("drip-connection", connection=numbers[1])
    await clients[1].send("public/get_instruments", currency="any")
    async with asyncio.timeout(3):
        await server.stop()
    for client in clients:
        assert await end_of(client) in (1001, 1006)
