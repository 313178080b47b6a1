"""Frames against the library's own server, in any pieces, and in every way to end."""

import asyncio
import ssl
import struct
from collections.abc import Callable
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidHandshake
from websockets.frames import Frame, Opcode
from websockets.utils import accept_key

from vigil.deribit.websocket import Congested, Ended, WebSocket, open_websocket

MESSAGE_BYTES_MAX = 4096


class Peer:
    """A server, and what the client under test heard from it."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue(100)
        self.connections: asyncio.Queue[ServerConnection] = asyncio.Queue(10)
        self.url = ""

    async def handle(self, connection: ServerConnection) -> None:
        self.connections.put_nowait(connection)
        await connection.wait_closed()

    async def next_message(self) -> bytes:
        async with asyncio.timeout(5):
            return await self.heard.get()

    async def connect(self, **options: Any) -> tuple[WebSocket, ServerConnection]:
        async with asyncio.timeout(5):
            websocket = await open_websocket(
                self.url, self.heard.put_nowait, message_bytes_max=MESSAGE_BYTES_MAX, **options
            )
            return websocket, await self.connections.get()


@pytest.fixture
async def peer() -> Any:
    peer = Peer()
    async with serve(peer.handle, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        peer.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws/api/v2"
        yield peer


async def end_of(websocket: WebSocket) -> str:
    with pytest.raises(Ended) as ended:
        async with asyncio.timeout(5):
            await websocket.ended()
    return str(ended.value)


class TestConversation:
    @pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 4096])
    async def test_messages_of_every_length_class_come_whole(self, peer: Peer, size: int) -> None:
        websocket, connection = await peer.connect()
        await connection.send("x" * size)
        assert await peer.next_message() == b"x" * size
        websocket.abort("done")

    @pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
    async def test_messages_of_every_length_class_leave_whole(self, peer: Peer, size: int) -> None:
        websocket, connection = await peer.connect()
        websocket.send(b"y" * size)
        async with asyncio.timeout(5):
            assert await connection.recv() == "y" * size
        websocket.abort("done")

    async def test_a_message_in_parts_is_put_together(self, peer: Peer) -> None:
        websocket, connection = await peer.connect()

        async def parts() -> Any:
            for part in ('{"a"', "", ":1}"):
                yield part

        await connection.send(parts())
        assert await peer.next_message() == b'{"a":1}'
        websocket.abort("done")

    async def test_a_ping_is_answered_between_the_parts_of_a_message(self, peer: Peer) -> None:
        websocket, connection = await peer.connect()
        pong = await connection.ping(b"there?")
        async with asyncio.timeout(5):
            await pong
        websocket.abort("done")

    async def test_what_follows_the_handshake_in_the_same_packet_is_not_lost(self) -> None:
        heard: list[bytes] = []
        websocket = WebSocket("ws://peer/", heard.append, message_bytes_max=100)
        transport = _Transport()
        websocket.connection_made(transport)
        websocket.data_received(_answer_to(transport.written[0]) + _frame(b"early"))
        assert heard == [b"early"]


class TestEnds:
    @pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "going away"), (4000, "hb")])
    async def test_a_close_by_the_peer_names_its_code(
        self, peer: Peer, code: int, reason: str
    ) -> None:
        websocket, connection = await peer.connect()
        await connection.close(code, reason)
        assert await end_of(websocket) == f"connection closed with code {code} {reason}".rstrip()
        assert not websocket.is_open

    async def test_a_cut_line_ends_without_a_close_frame(self, peer: Peer) -> None:
        websocket, connection = await peer.connect()
        connection.transport.abort()
        assert (await end_of(websocket)).startswith("connection lost")

    async def test_closing_in_good_order_is_answered(self, peer: Peer) -> None:
        websocket, connection = await peer.connect()
        websocket.close()
        assert "code 1000" in await end_of(websocket)
        async with asyncio.timeout(5):
            await connection.wait_closed()
        assert connection.close_code == 1000

    async def test_abandoning_names_the_reason_and_sends_nothing_more(self, peer: Peer) -> None:
        websocket, _ = await peer.connect()
        websocket.abort("too slow")
        assert await end_of(websocket) == "too slow"
        with pytest.raises(Ended, match="too slow"):
            websocket.send(b"order")

    async def test_what_the_taker_raises_ends_it_and_is_passed_on(self, peer: Peer) -> None:
        def refuse(_: bytes) -> None:
            raise ZeroDivisionError("a bug")

        websocket = await open_websocket(peer.url, refuse, message_bytes_max=100)
        connection = await peer.connections.get()
        await connection.send("1")
        with pytest.raises(ZeroDivisionError):
            async with asyncio.timeout(5):
                await websocket.ended()
        assert not websocket.is_open

    async def test_nothing_is_delivered_after_the_end(self, peer: Peer) -> None:
        heard: list[bytes] = []

        def take(message: bytes) -> None:
            heard.append(message)
            websocket.abort("enough")

        websocket = await open_websocket(peer.url, take, message_bytes_max=100)
        connection = await peer.connections.get()
        connection.transport.write(_frame(b"one") + _frame(b"two"))
        await end_of(websocket)
        assert heard == [b"one"]

    async def test_nothing_is_delivered_after_a_close_either(self) -> None:
        """Over TLS bytes may still be read while ours are flushed."""
        heard: list[bytes] = []
        websocket = WebSocket("ws://peer/", heard.append, message_bytes_max=100)
        transport = _Transport()
        websocket.connection_made(transport)
        websocket.data_received(_answer_to(transport.written[0]))
        websocket.data_received(bytes((0x88, 2)) + struct.pack("!H", 1000))
        websocket.data_received(_frame(b"late"))
        assert heard == []
        assert "code 1000" in await end_of(websocket)

    @pytest.mark.parametrize(
        ("frames", "words"),
        [
            (bytes((0x81, 0x85)) + b"abcd" + b"12345", "masked"),
            (bytes((0xC1, 1)) + b"x", "reserved bit"),
            (bytes((0x83, 1)) + b"x", "opcode 3"),
            (bytes((0x80, 1)) + b"x", "fragment out of order"),
            (bytes((0x01, 1)) + b"x" + bytes((0x81, 1)) + b"y", "fragment out of order"),
            (bytes((0x09, 1)) + b"x", "control frame"),
            (bytes((0x89, 126)) + struct.pack("!H", 126) + b"x" * 126, "control frame"),
            (bytes((0x81, 126)) + struct.pack("!H", 4097), "4097 bytes"),
            (bytes((0x81, 127)) + struct.pack("!Q", 2**63), "bytes"),
            (b"".join(bytes((0x01 if i == 0 else 0, 0)) for i in range(5000)), "many parts"),
        ],
    )
    async def test_a_peer_that_breaks_the_protocol_is_left(
        self, peer: Peer, frames: bytes, words: str
    ) -> None:
        websocket, connection = await peer.connect()
        connection.transport.write(frames)
        assert words in await end_of(websocket)

    async def test_a_stuck_link_takes_no_more(self) -> None:
        websocket = WebSocket("ws://peer/", lambda _: None, message_bytes_max=100)
        transport = _Transport()
        websocket.connection_made(transport)
        websocket.data_received(_answer_to(transport.written[0]))
        transport.unsent = 64 * 1024 + 1
        with pytest.raises(Congested):
            websocket.send(b"order")


class TestOpening:
    async def test_a_refused_handshake_says_why(self) -> None:
        async with serve(_unused, "127.0.0.1", 0, process_request=_too_many) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(InvalidHandshake, match="429"):
                await open_websocket(f"ws://127.0.0.1:{port}/", print, message_bytes_max=100)

    async def test_a_line_cut_in_the_handshake_is_a_lost_connection(self) -> None:
        def cut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        server = await asyncio.start_server(cut, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(OSError, match="connection lost"):
            await open_websocket(f"ws://127.0.0.1:{port}/", print, message_bytes_max=100)
        server.close()

    async def test_endless_headers_are_refused(self) -> None:
        async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"x" * 70_000)
            await writer.drain()

        server = await asyncio.start_server(babble, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises((InvalidHandshake, OSError)):
            async with asyncio.timeout(5):
                await open_websocket(f"ws://127.0.0.1:{port}/", print, message_bytes_max=100)
        server.close()

    async def test_a_cancelled_opening_leaves_no_connection(self) -> None:
        ended = asyncio.Event()

        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(-1)
            ended.set()
            writer.close()

        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await open_websocket(f"ws://127.0.0.1:{port}/", print, message_bytes_max=100)
        async with asyncio.timeout(5):
            await ended.wait()
        server.close()


class TestTls:
    async def test_a_good_certificate_is_accepted_and_a_stranger_is_not(self) -> None:
        authority, stranger = trustme.CA(), trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        async with serve(_echo, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            heard: asyncio.Queue[bytes] = asyncio.Queue()
            websocket = await open_websocket(
                f"wss://localhost:{port}/",
                heard.put_nowait,
                message_bytes_max=100,
                tls=_trusting(authority),
            )
            websocket.send(b"over TLS")
            async with asyncio.timeout(5):
                assert await heard.get() == b"over TLS"
            websocket.abort("done")
            with pytest.raises(ssl.SSLCertVerificationError):
                await open_websocket(
                    f"wss://localhost:{port}/",
                    print,
                    message_bytes_max=100,
                    tls=_trusting(stranger),
                )
            with pytest.raises(ssl.SSLCertVerificationError):
                await open_websocket(
                    f"wss://127.0.0.1:{port}/",
                    print,
                    message_bytes_max=100,
                    tls=_trusting(authority),
                )


@given(
    messages=st.lists(st.binary(max_size=300), max_size=6),
    cuts=st.lists(st.integers(min_value=1, max_value=40), min_size=1),
)
def test_pieces_do_not_matter(messages: list[bytes], cuts: list[int]) -> None:
    async def run() -> list[bytes]:
        heard: list[bytes] = []
        websocket = WebSocket("ws://peer/", heard.append, message_bytes_max=1000)
        transport = _Transport()
        websocket.connection_made(transport)
        stream = _answer_to(transport.written[0]) + b"".join(map(_frame, messages))
        at, turn = 0, 0
        while at < len(stream):
            size = cuts[turn % len(cuts)]
            websocket.data_received(stream[at : at + size])
            at, turn = at + size, turn + 1
        return heard

    assert asyncio.run(run()) == messages


@given(noise=st.binary(max_size=400))
def test_whatever_comes_ends_or_is_a_message(noise: bytes) -> None:
    async def run() -> None:
        heard: list[bytes] = []
        websocket = WebSocket("ws://peer/", heard.append, message_bytes_max=200)
        transport = _Transport()
        websocket.connection_made(transport)
        websocket.data_received(_answer_to(transport.written[0]))
        websocket.data_received(noise)
        assert all(len(message) <= 200 for message in heard)

    asyncio.run(run())


class _Transport(asyncio.Transport):
    """Takes what is written and sends it nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.unsent = 0

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        pass

    def close(self) -> None:
        pass


def _frame(message: bytes) -> bytes:
    return Frame(Opcode.TEXT, message).serialize(mask=False)


def _answer_to(request: bytes) -> bytes:
    """The server's half of the handshake."""
    key = next(
        line.split(b":", 1)[1].strip().decode()
        for line in request.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key")
    )
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n"
    ).encode()


def _trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def _echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message if isinstance(message, str) else message.decode())


async def _unused(connection: ServerConnection) -> None:
    await connection.wait_closed()


_too_many: Callable[..., Any] = lambda connection, _: connection.respond(429, "too many")  # noqa: E731
