import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from vigil.clock import SystemClock
from vigil.deribit.connection import Connection, dial_websocket, open_connection
from vigil.deribit.jsonrpc import ErrorReply, Malformed, Notification, Reply
from vigil.errors import Misconfigured, OutcomeUnknown, Rejected, Transient


class Line:
    """A connection with its reader running."""

    def __init__(self, connection: Connection, pump: asyncio.Task[Any]) -> None:
        self.connection = connection
        self.pump = pump
        self.notifications: list[Notification] = []
        self.malformed: list[Malformed] = []


@pytest.fixture
async def line(exchange: Any) -> AsyncIterator[Line]:
    notifications: list[Notification] = []
    malformed: list[Malformed] = []
    connection = await open_connection(
        dial_websocket,
        exchange.url,
        clock=SystemClock(),
        timeout_s=5,
        on_notification=notifications.append,
        on_malformed=malformed.append,
    )
    made = Line(connection, asyncio.ensure_future(connection.pump()))
    made.notifications, made.malformed = notifications, malformed
    yield made
    made.pump.cancel()
    with contextlib.suppress(Transient, asyncio.CancelledError):
        await made.pump


async def test_answers_find_their_calls_in_any_order(exchange: Any, line: Line) -> None:
    second_asked = asyncio.Event()

    async def first(_: Any) -> str:
        await second_asked.wait()
        return "first"

    def second(_: Any) -> str:
        second_asked.set()
        return "second"

    exchange.answers |= {"public/first": first, "public/second": second}
    replies = await asyncio.gather(
        line.connection.call("public/first", {}, timeout_s=5),
        line.connection.call("public/second", {}, timeout_s=5),
    )
    assert [bytes(reply) for reply in replies] == [b'"first"', b'"second"']
    assert line.connection.pending == 0


async def test_an_error_answer_is_a_value_to_those_who_can_judge_it(
    exchange: Any, line: Line, refusal: Any
) -> None:
    exchange.answers["private/buy"] = refusal(10009, "not_enough_funds")
    reply = await line.connection.request("private/buy", {}, timeout_s=5)
    assert isinstance(reply, ErrorReply)
    assert reply.code == 10009
    with pytest.raises(Rejected) as raised:
        await line.connection.call("private/buy", {}, timeout_s=5)
    assert raised.value.code == 10009


async def test_no_answer_in_time_is_an_unknown_outcome(
    exchange: Any, line: Line, no_answer: Any
) -> None:
    exchange.answers["private/buy"] = no_answer
    with pytest.raises(OutcomeUnknown, match=r"private/buy: no answer within 0\.05 s"):
        await line.connection.request("private/buy", {}, timeout_s=0.05)
    assert line.connection.pending == 0


async def test_an_answer_that_comes_too_late_harms_nobody(
    exchange: Any, line: Line, until: Any
) -> None:
    gate = asyncio.Event()

    async def late(_: Any) -> str:
        await gate.wait()
        return "late"

    exchange.answers["public/late"] = late
    with pytest.raises(OutcomeUnknown):
        await line.connection.request("public/late", {}, timeout_s=0.05)
    gate.set()
    reply = await line.connection.request("public/test", {}, timeout_s=5)
    assert isinstance(reply, Reply)


async def test_what_is_unanswered_when_the_session_ends_is_unknown(
    exchange: Any, line: Line, no_answer: Any, until: Any
) -> None:
    exchange.answers["private/buy"] = no_answer
    call = asyncio.ensure_future(line.connection.request("private/buy", {}, timeout_s=5))
    await until(lambda: exchange.asked_for("private/buy"))
    exchange.sockets[0].transport.abort()
    with pytest.raises(OutcomeUnknown):
        await call
    with pytest.raises(Transient):
        await line.pump


async def test_nothing_is_sent_once_the_session_has_ended(exchange: Any, line: Line) -> None:
    await exchange.sockets[0].close(4000, "heartbeat close")
    with pytest.raises(Transient, match="code 4000 heartbeat close"):
        await line.pump
    with pytest.raises(Transient, match="not connected"):
        await line.connection.request("private/buy", {}, timeout_s=5)
    assert exchange.asked_for("private/buy") == []


async def test_a_caller_that_gives_up_leaves_nothing_waiting(
    exchange: Any, line: Line, no_answer: Any, until: Any
) -> None:
    exchange.answers["private/buy"] = no_answer
    call = asyncio.ensure_future(line.connection.request("private/buy", {}, timeout_s=5))
    await until(lambda: exchange.asked_for("private/buy"))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert line.connection.pending == 0


async def test_calls_waiting_are_bounded(exchange: Any, line: Line, no_answer: Any) -> None:
    exchange.answers["public/slow"] = no_answer
    calls = [
        asyncio.ensure_future(line.connection.request("public/slow", {}, timeout_s=5))
        for _ in range(256)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Transient, match="256 calls are waiting"):
        await line.connection.request("public/slow", {}, timeout_s=5)
    line.connection.abandon("enough")
    for result in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(result, OutcomeUnknown)


async def test_a_request_above_the_exchange_s_limit_is_never_sent(
    exchange: Any, line: Line
) -> None:
    with pytest.raises(Rejected, match="bytes"):
        await line.connection.request("public/test", {"x": "y" * 33_000}, timeout_s=5)
    assert exchange.asked == []


async def test_a_test_request_is_answered(exchange: Any, line: Line, until: Any) -> None:
    await exchange.say(
        {"params": {"type": "test_request"}, "method": "heartbeat", "jsonrpc": "2.0"}
    )
    await until(lambda: exchange.asked_for("public/test"))
    await exchange.say({"params": {"type": "heartbeat"}, "method": "heartbeat", "jsonrpc": "2.0"})
    await line.connection.request("public/get_time", {}, timeout_s=5)
    assert len(exchange.asked_for("public/test")) == 1


@pytest.mark.parametrize(
    "frame",
    ["not json", '{"id": 1', "[" * 5000, '{"id":{}}', b'{"method":"\xff"}'],
    ids=["no JSON", "cut", "deep", "wrong type", "not UTF-8"],
)
async def test_a_malformed_frame_is_told_and_the_session_goes_on(
    exchange: Any, line: Line, until: Any, frame: str | bytes
) -> None:
    await exchange.say(frame)
    await exchange.push("ticker.X.raw", {"a": 1})
    await until(lambda: line.notifications)
    assert len(line.malformed) == 1


async def test_what_was_buffered_when_the_session_was_abandoned_is_not_delivered(
    exchange: Any, line: Line, until: Any
) -> None:
    # Frames wait in the library's buffer while nothing reads.
    line.pump.cancel()
    for number in range(5):
        await exchange.push("ticker.X.raw", number)
    await asyncio.sleep(0.05)
    with contextlib.suppress(Transient, asyncio.CancelledError):
        await line.pump
    line.connection.abandon("suspect")
    with pytest.raises(Transient):
        await line.connection.pump()
    assert line.notifications == []


async def test_abandoning_sends_a_reset_so_that_unsent_bytes_are_dropped() -> None:
    """With linger zero the peer sees a reset rather than the end of the stream."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    loop = asyncio.get_running_loop()
    port = listener.getsockname()[1]

    async def handshake() -> socket.socket:
        peer, _ = await loop.sock_accept(listener)
        request = await loop.sock_recv(peer, 65_536)
        key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0].decode()
        from websockets.utils import accept_key  # noqa: PLC0415

        await loop.sock_sendall(
            peer,
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_key(key).encode() + b"\r\n\r\n",
        )
        return peer

    peer_task = asyncio.ensure_future(handshake())
    connection = await open_connection(
        dial_websocket,
        f"ws://127.0.0.1:{port}/",
        clock=SystemClock(),
        timeout_s=5,
        on_notification=lambda _: None,
        on_malformed=lambda _: None,
    )
    peer = await peer_task
    connection.abandon("suspect")
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(loop.sock_recv(peer, 1), 5)
    peer.close()
    listener.close()


async def test_silence_is_measured_from_the_last_whole_frame(
    exchange: Any, line: Line, until: Any
) -> None:
    await until(lambda: line.connection.silent_s > 0.1)
    await line.connection.request("public/test", {}, timeout_s=5)
    assert line.connection.silent_s < 0.1


async def test_a_url_that_is_none_is_for_a_person_to_mend() -> None:
    with pytest.raises(Misconfigured, match="VIGIL_DERIBIT_WS_URL"):
        await _open("http://127.0.0.1:1/")


async def test_a_refused_connection_may_work_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Transient, match=f"127.0.0.1:{port}"):
        await _open(f"ws://127.0.0.1:{port}/")


async def test_a_handshake_that_stalls_ends_at_its_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(Transient, match="within 0.1 s"):
            await _open(f"ws://127.0.0.1:{port}/", timeout_s=0.1)


async def _open(url: str, timeout_s: float = 5) -> Connection:
    ignore: Callable[[Any], None] = lambda _: None  # noqa: E731
    return await open_connection(
        dial_websocket,
        url,
        clock=SystemClock(),
        timeout_s=timeout_s,
        on_notification=ignore,
        on_malformed=ignore,
    )
