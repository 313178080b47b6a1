"""Slow and silent peers against the real server, over raw sockets."""

import asyncio
from contextlib import AsyncExitStack

import httpx
import pytest


async def _closed_within(reader, limit_s):
    """Whatever the server said before it closed; fails when it keeps the socket open."""
    try:
        async with asyncio.timeout(limit_s):
            return await reader.read()
    except ConnectionResetError:
        return b""


def _head(port, extra=b""):
    return b"POST /api/reconcile HTTP/1.1\r\nHost: localhost:%d\r\n%s" % (port, extra)


@pytest.mark.parametrize(
    "opening",
    [
        pytest.param(lambda port: b"", id="silence"),
        pytest.param(lambda port: b"GET /hea", id="half a request line"),
        pytest.param(lambda port: _head(port), id="headers without end"),
        pytest.param(
            lambda port: _head(
                port,
                b"Authorization: Bearer correct-horse-battery-staple-0123456789\r\n"
                b"Content-Length: 9\r\n\r\n{",
            ),
            id="half a body",
        ),
    ],
)
async def test_an_unfinished_request_is_cut_off(serve, opening):
    async with serve(receipt_s=0.2) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(opening(server.port))
        assert await _closed_within(reader, 5) == b""
        writer.close()


async def test_a_byte_now_and_then_does_not_extend_the_deadline(serve):
    async with serve(receipt_s=0.3) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

        async def drip():
            while not reader.at_eof():
                writer.write(b"X")
                await asyncio.sleep(0.02)

        dripping = asyncio.ensure_future(drip())
        started = asyncio.get_running_loop().time()
        await _closed_within(reader, 5)
        assert asyncio.get_running_loop().time() - started < 2
        dripping.cancel()
        writer.close()


async def test_an_idle_kept_connection_is_closed_but_an_active_one_is_served_on(serve):
    async with serve(receipt_s=5, idle_s=0.3) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        request = b"GET /ready HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % server.port
        for _ in range(5):
            writer.write(request)
            assert (await reader.readuntil(b"}\n")).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.1)
        assert await _closed_within(reader, 5) == b""
        writer.close()


async def test_a_reader_that_never_reads_is_dropped(serve, operations):
    operations.ledger = operations.ledger * 5000
    async with serve(idle_s=0.3) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1)
        request = b"GET /api/trades/history?limit=1000 HTTP/1.1\r\nHost: localhost:%d\r\n\r\n"
        writer.write(request % server.port * 50)
        async with asyncio.timeout(5):
            while len(server._connections):
                await asyncio.sleep(0.01)
        writer.transport.abort()


async def test_a_slow_handler_is_not_a_slow_peer(serve, operations, bearer):
    released = asyncio.Event()
    reconcile = operations.reconcile

    async def slowly():
        await released.wait()
        return await reconcile()

    operations.reconcile = slowly
    async with serve(receipt_s=0.1, idle_s=0.1) as server:
        async with httpx.AsyncClient(base_url=server.url) as client:
            asyncio.get_running_loop().call_later(0.5, released.set)
            assert (await client.post("/api/reconcile", headers=bearer)).status_code == 200


async def test_five_hundred_slow_sockets_do_not_lock_the_operator_out(serve):
    async with serve(connections_max=32) as server, AsyncExitStack() as stack:
        connect = asyncio.get_running_loop().create_connection
        for _ in range(500):
            transport, _ = await connect(asyncio.Protocol, "127.0.0.1", server.port)
            stack.callback(transport.abort)
            transport.write(b"GET /health HTTP/1.1\r\nX: ")
        assert len(server._connections) <= 32
        async with httpx.AsyncClient(base_url=server.url) as client:
            assert (await client.get("/health", timeout=5)).status_code == 200
        assert len(server._connections) <= 33


async def test_when_all_are_being_served_a_newcomer_is_turned_away(serve, operations, bearer):
    operations.is_stuck = True
    async with serve(connections_max=1, stop_s=0.2) as server:
        async with asyncio.TaskGroup() as group, httpx.AsyncClient(base_url=server.url) as client:

            async def stuck():
                with pytest.raises(httpx.HTTPError):
                    await client.post("/api/reconcile", headers=bearer, timeout=30)

            group.create_task(stuck())
            async with asyncio.timeout(5):
                while server._connections._awaited or not len(server._connections):
                    await asyncio.sleep(0.01)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            assert await _closed_within(reader, 5) == b""
            writer.close()
            await server.stop()


async def test_a_peer_that_leaves_in_the_middle_of_a_body_disturbs_nobody(serve, caplog):
    async with serve() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            _head(
                server.port,
                b"Authorization: Bearer correct-horse-battery-staple-0123456789\r\n"
                b"Content-Length: 9\r\n\r\n{",
            )
        )
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()
        async with asyncio.timeout(5):
            while len(server._connections):
                await asyncio.sleep(0.01)
        async with httpx.AsyncClient(base_url=server.url) as client:
            assert (await client.get("/ready")).status_code == 200
    assert caplog.records == []


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00", id="TLS hello"),
        pytest.param(b"GET / HTTP/9.9\r\n\r\n", id="unknown version"),
        pytest.param(b"GET /health HTTP/1.1\r\n\r\n", id="no Host"),
        pytest.param(b"GET /health HTTP/1.0\r\n\r\n", id="no Host in 1.0"),
        pytest.param(b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n", id="NUL in the target"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", id="two Hosts"),
        pytest.param(
            b"POST /api/reconcile HTTP/1.1\r\nHost: localhost\r\n"
            b"Authorization: Bearer correct-horse-battery-staple-0123456789\r\n"
            b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            id="malformed chunk",
        ),
        pytest.param(b"GET http://[::1 HTTP/1.1\r\nHost: localhost\r\n\r\n", id="broken target"),
        pytest.param(b"OPTIONS * HTTP/1.1\r\nHost: evil\r\n\r\n", id="asterisk target"),
        pytest.param(b"CONNECT evil:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", id="a tunnel"),
        pytest.param(b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", id="endless target"),
    ],
)
async def test_garbage_is_refused_without_a_trace(serve, garbage):
    async with serve(receipt_s=0.5, idle_s=0.5) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(garbage)
        reply = await _closed_within(reader, 5)
        writer.close()
    assert reply == b"" or reply.split(b" ", 2)[1] in (b"400", b"404", b"421", b"505")
    assert b"Traceback" not in reply
