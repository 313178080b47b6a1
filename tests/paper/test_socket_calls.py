"""Connections let in, and their requests answered in order and in time."""

import asyncio
import contextlib

import aiohttp
import pytest

LINEAR = "BTC_USDC-PERPETUAL"


async def test_a_request_that_waited_was_received_when_it_came(server, dial):
    server.venue.queue.processing_ms = 300
    client = await dial()
    before_us = server.clock.now_ms() * 1000
    order = {"instrument_name": LINEAR, "amount": 0.01, "type": "market"}
    reply = await client.request("private/buy", **order)
    after_us = server.clock.now_ms() * 1000
    assert reply["usDiff"] >= 300_000
    assert before_us <= reply["usIn"] < before_us + 200_000
    # Both clocks read here are cut to the millisecond, and what is below it is another clock's.
    assert reply["usOut"] <= after_us + 2000


async def test_those_kept_waiting_at_the_door_count_when_they_come_in(server, dial):
    server.faults.arm("stall-handshake", stall_s=0.2, count=3)
    late = [asyncio.ensure_future(dial(log_in=False)) for _ in range(3)]
    while server.faults.arms.hits["stall-handshake"] < 3:
        await asyncio.sleep(0.01)
    for _ in range(31):
        await dial(log_in=False)
    ends = await asyncio.gather(*late, return_exceptions=True)
    refused = [end for end in ends if isinstance(end, aiohttp.WSServerHandshakeError)]
    assert [end.status for end in refused] == [429, 429]
    assert len(server.lines) == 32


async def test_first_messages_of_a_channel_come_before_the_reply_or_after_it(dial):
    client = await dial(log_in=False)
    channel = f"book.{LINEAR}.100ms"
    orders = set()
    async with asyncio.timeout(20):
        while len(orders) < 2:
            request_id = await client.send("public/subscribe", channels=[channel])
            first = await client.receive()
            orders.add(
                "reply" if first.get("id") == request_id else first["params"]["data"]["type"]
            )
            await client.call("public/unsubscribe", channels=[channel])
            client.notifications.clear()
    assert orders == {"reply", "snapshot"}


@pytest.mark.parametrize("frames", [3000])
async def test_a_burst_of_thousands_is_answered_in_order_until_the_credits_are_gone(
    server, dial, frames
):
    client, other = await dial(log_in=False), await dial()
    with contextlib.suppress(ConnectionError):
        for _ in range(frames):
            await client.send("public/test")
    told = []
    async with asyncio.timeout(20):
        async for message in client.socket:
            reply = message.json()
            told.append((reply["id"], reply.get("error", {}).get("code")))
    assert [number for number, _ in told] == list(range(1, len(told) + 1))
    assert told[-1][1] == 10028
    assert client.socket.close_code in (1006, 1008)
    assert await other.call("public/test")
