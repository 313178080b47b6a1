"""What waits to be sent is bounded, and what is done to a line after it is gone does no harm."""

import asyncio

import pytest

from vigil.paper import line
from vigil.paper.line import forget_unsent
from vigil.paper.notify.publishing import Push

OPENING = (
    b"GET /ws/api/v2 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.mark.parametrize("illness", ["held", "dripping", "lagging"])
async def test_what_an_ill_line_holds_back_is_bounded_in_bytes(server, dial, monkeypatch, illness):
    monkeypatch.setattr(line, "_UNREAD_BYTES_MAX", 256 * 1024)
    await dial(log_in=False)
    ((number, ill),) = server.lines.items()
    match illness:
        case "held":
            ill.hold(reading=True, writing=True)
        case "dripping":
            ill.drip(1, 60.0)
        case _:
            ill.lag(60.0)
    push = Push(connection_ids=(number,), message={"x": "y" * 60_000})
    for _ in range(4):
        server.release((push,))
        await asyncio.sleep(0)
    assert not ill.is_cut
    for _ in range(4):
        server.release((push,))
        await asyncio.sleep(0)
    assert ill.is_cut
    async with asyncio.timeout(5):
        while server.lines:
            await asyncio.sleep(0.01)


async def test_what_has_left_counts_no_more(server, dial, monkeypatch):
    monkeypatch.setattr(line, "_UNREAD_BYTES_MAX", 256 * 1024)
    client = await dial(log_in=False)
    ((number, lagging),) = server.lines.items()
    lagging.lag(0.001)
    push = Push(connection_ids=(number,), message={"x": "y" * 60_000})
    for _ in range(10):
        server.release((push,))
        assert (await client.receive())["x"]
    assert not lagging.is_cut


async def test_a_line_that_is_closed_on_somebody_who_does_not_read_is_gone_soon(server):
    _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
    writer.write(OPENING)
    async with asyncio.timeout(10):
        while not server.lines:
            await asyncio.sleep(0.01)
        ((number, deaf),) = server.lines.items()
        transport = deaf._transport
        push = Push(connection_ids=(number,), message={"x": "y" * 60_000})
        while not transport.get_write_buffer_size():
            server.release((push,))
            await asyncio.sleep(0)
        deaf.end(1001)
        while server.lines or transport.get_write_buffer_size():
            await asyncio.sleep(0.01)
    writer.transport.abort()


async def test_a_line_that_is_closed_already_can_be_reset():
    async with await asyncio.start_server(lambda _, peer: peer.close(), "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()
        _, writer = await asyncio.open_connection(*address)
        socket = writer.transport.get_extra_info("socket")
        writer.transport.abort()
        while socket.fileno() != -1:
            await asyncio.sleep(0)
        forget_unsent(writer.transport)
