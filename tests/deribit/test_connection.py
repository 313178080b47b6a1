import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, Self

import msgspec
import pytest
import trustme
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from vigil.clock import SystemClock
from vigil.deribit.connection import (
    CertificateRefused,
    Connection,
    dial_websocket,
    open_connection,
)
from vigil.deribit.jsonrpc import ErrorReply, Malformed, Notification, Reply
from vigil.errors import Misconfigured, OutcomeUnknown, Rejected, Transient


class Line:
    """A connection with its reader running."""

    def __init__(self, connection: Connection, pump: asyncio.Task[Any]) -> None:
        self.connection = connection
        self.pump = pump
        self.notifications: list[Notification] = []
        self.malformed: list[Malformed] = []
        self.late: list[tuple[str, Any, Any]] = []


@pytest.fixture
async def line(exchange: Any) -> AsyncIterator[Line]:
    notifications: list[Notification] = []
    malformed: list[Malformed] = []
    late: list[tuple[str, Any, Any]] = []
    connection = await open_connection(
        dial_websocket,
        exchange.url,
        clock=SystemClock(),
        timeout_s=5,
        on_notification=notifications.append,
        on_malformed=malformed.append,
        on_late=lambda *answer: late.append(answer),
    )
    made = Line(connection, asyncio.ensure_future(connection.pump()))
    made.notifications, made.malformed, made.late = notifications, malformed, late
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
        line.connection.request("public/first", {}, timeout_s=5),
        line.connection.request("public/second", {}, timeout_s=5),
    )
    assert [bytes(reply.result) for reply in replies] == [b'"first"', b'"second"']
    assert line.connection.pending == 0


async def test_an_error_answer_is_a_value_to_those_who_can_judge_it(
    exchange: Any, line: Line, refusal: Any
) -> None:
    exchange.answers["private/buy"] = refusal(10009, "not_enough_funds")
    reply = await line.connection.request("private/buy", {}, timeout_s=5)
    assert isinstance(reply, ErrorReply)
    assert reply.code == 10009


async def test_no_answer_in_time_is_an_unknown_outcome(
    exchange: Any, line: Line, no_answer: Any
) -> None:
    exchange.answers["private/buy"] = no_answer
    with pytest.raises(OutcomeUnknown, match=r"private/buy: no answer within 0\.05 s"):
        await line.connection.request("private/buy", {}, timeout_s=0.05)
    assert line.connection.pending == 0


async def test_an_answer_that_comes_too_late_is_handed_on_with_its_call(
    exchange: Any, line: Line, until: Any
) -> None:
    gate = asyncio.Event()

    async def late(_: Any) -> str:
        await gate.wait()
        return "late"

    exchange.answers["public/late"] = late
    with pytest.raises(OutcomeUnknown):
        await line.connection.request("public/late", {"a": 1}, timeout_s=0.05)
    gate.set()
    await until(lambda: line.late)
    ((method, params, reply),) = line.late
    assert (method, params) == ("public/late", {"a": 1})
    assert isinstance(reply, Reply)
    assert bytes(reply.result) == b'"late"'


async def test_an_answer_to_a_call_whose_caller_was_cancelled_is_handed_on(
    exchange: Any, line: Line, until: Any
) -> None:
    gate = asyncio.Event()

    async def late(_: Any) -> str:
        await gate.wait()
        return "late"

    exchange.answers["private/buy"] = late
    call = asyncio.ensure_future(line.connection.request("private/buy", {}, timeout_s=5))
    await until(lambda: exchange.asked_for("private/buy"))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    gate.set()
    await until(lambda: line.late)
    assert line.late[0][0] == "private/buy"


async def test_an_answer_that_meets_its_own_timeout_is_not_lost(
    exchange: Any, line: Line, until: Any, no_answer: Any
) -> None:
    """Both come due in one turn of the loop: the caller gets the answer, or it is handed on."""
    exchange.answers["private/buy"] = no_answer
    connection: Any = line.connection
    call = asyncio.ensure_future(connection.request("private/buy", {}, timeout_s=5))
    await until(lambda: exchange.asked_for("private/buy"))
    call.cancel()
    connection._resolve(Reply(request_id=1, result=msgspec.Raw(b'"just now"')))
    with pytest.raises(asyncio.CancelledError):
        await call
    assert [method for method, *_ in line.late] == ["private/buy"]


async def test_an_answer_just_before_its_caller_is_cancelled_is_handed_on(
    exchange: Any, line: Line, until: Any, no_answer: Any
) -> None:
    """Both come due in one turn of the loop, the answer first."""
    exchange.answers["private/buy"] = no_answer
    connection: Any = line.connection
    call = asyncio.ensure_future(connection.request("private/buy", {}, timeout_s=5))
    await until(lambda: exchange.asked_for("private/buy"))
    connection._resolve(Reply(request_id=1, result=msgspec.Raw(b'"just now"')))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert [method for method, *_ in line.late] == ["private/buy"]


async def test_an_answer_just_before_its_timeout_is_the_answer(
    exchange: Any, line: Line, until: Any, no_answer: Any
) -> None:
    """The answer is read and the timer rings in one turn of the loop, in this order."""
    exchange.answers["private/buy"] = no_answer
    connection: Any = line.connection
    loop = asyncio.get_running_loop()
    due: list[Any] = []
    call_at = loop.call_at

    def remember(when: float, callback: Any, *args: Any, **more: Any) -> Any:
        due.append((callback, args))
        return call_at(when, callback, *args, **more)

    loop.call_at = remember  # type: ignore[method-assign]
    try:
        call = asyncio.ensure_future(connection.request("private/buy", {}, timeout_s=4.5))
        await asyncio.sleep(0)
    finally:
        loop.call_at = call_at  # type: ignore[method-assign]
    ring, args = due[0]
    connection._resolve(Reply(request_id=1, result=msgspec.Raw(b'"just now"')))
    ring(*args)
    reply = await call
    assert bytes(reply.result) == b'"just now"'
    assert line.late == []


@pytest.mark.parametrize(
    "asked", ["probe", None], ids=["to a sign of life", "to nobody knows what"]
)
async def test_an_error_that_no_caller_waits_for_is_handed_on(
    exchange: Any, line: Line, until: Any, asked: str | None
) -> None:
    refusal = {"code": 10028, "message": "too_many_requests"}
    await exchange.say({"jsonrpc": "2.0", "id": asked, "error": refusal})
    await until(lambda: line.late)
    ((_, _, reply),) = line.late
    assert (reply.code, reply.message) == (10028, "too_many_requests")


async def test_one_answer_given_twice_counts_once(exchange: Any, line: Line, until: Any) -> None:
    async def twice(_: Any) -> str:
        await exchange.say({"id": 1, "result": "first"})
        return "second"

    exchange.answers["public/twice"] = twice
    reply = await line.connection.request("public/twice", {}, timeout_s=5)
    assert isinstance(reply, Reply)
    assert bytes(reply.result) == b'"first"'
    await line.connection.request("public/test", {}, timeout_s=5)
    assert line.late == []


async def test_only_so_many_answers_are_still_waited_for(
    exchange: Any, line: Line, no_answer: Any
) -> None:
    exchange.answers["public/slow"] = no_answer
    for _ in range(300):
        with pytest.raises(OutcomeUnknown):
            await line.connection.request("public/slow", {}, timeout_s=0)
    connection: Any = line.connection
    assert len(connection._given_up) <= 256


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
        on_late=lambda *_: None,
    )
    peer = await peer_task
    connection.abandon("suspect")
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(loop.sock_recv(peer, 1), 5)
    peer.close()
    listener.close()


class TlsExchange:
    """Shakes hands with whoever trusts its certificate, and keeps what it receives."""

    def __init__(self, issuer: trustme.CA, name: str = "localhost", **validity: Any) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issuer.issue_cert(name, **validity).configure_cert(self._context)
        self.received: list[str | bytes] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await serve(self._handle, "127.0.0.1", 0, ssl=self._context)
        port = next(iter(self._server.sockets)).getsockname()[1]
        self.url = f"wss://localhost:{port}/ws/api/v2"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _handle(self, websocket: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for frame in websocket:
                self.received.append(frame)


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """An authority that this machine trusts."""
    issuer = trustme.CA()

    def context(*_: object, **__: object) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        issuer.configure_trust(made)
        return made

    monkeypatch.setattr(ssl, "create_default_context", context)
    return issuer


@pytest.mark.fault("N9")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(
            lambda trusted: TlsExchange(trustme.CA()), "certificate", id="unknown authority"
        ),
        pytest.param(
            lambda trusted: TlsExchange(trusted, "deribit.example"), "localhost", id="wrong name"
        ),
        pytest.param(
            lambda trusted: TlsExchange(
                trusted,
                not_before=datetime(2020, 1, 1, tzinfo=UTC),
                not_after=datetime(2021, 1, 1, tzinfo=UTC),
            ),
            "expired",
            id="expired",
        ),
        pytest.param(
            lambda trusted: TlsExchange(
                trusted,
                not_before=datetime(2090, 1, 1, tzinfo=UTC),
                not_after=datetime(2091, 1, 1, tzinfo=UTC),
            ),
            "not yet valid",
            id="by our clock, not yet valid",
        ),
    ],
)
async def test_who_cannot_prove_to_be_the_exchange_hears_nothing_from_us(
    trusted: trustme.CA, make: Any, words: str
) -> None:
    async with make(trusted) as exchange:
        with pytest.raises(CertificateRefused, match=words):
            await _open(exchange.url)
        assert exchange.received == []


async def test_a_good_certificate_opens_and_abandoning_sends_a_reset_over_tls_as_well(
    trusted: trustme.CA,
) -> None:
    """No farewell of TLS either: what is unsent stays unsent."""
    ended: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    async with TlsExchange(trusted) as exchange:
        host, port = "localhost", int(exchange.url.rpartition(":")[2].partition("/")[0])
        relay = _Relay(host, port, ended)
        async with relay as url:
            connection = await _open(url)
            connection.abandon("suspect")
            assert isinstance(await asyncio.wait_for(ended, 5), ConnectionResetError)


class _Relay:
    """Passes bytes on to a server, and tells how its client's end came."""

    def __init__(self, host: str, port: int, ended: "asyncio.Future[BaseException]") -> None:
        self._host, self._port, self._ended = host, port, ended

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return f"wss://localhost:{port}/ws/api/v2"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(self._host, self._port)

        async def back() -> None:
            with contextlib.suppress(ConnectionError):
                while data := await upstream_reader.read(65_536):
                    writer.write(data)

        returning = asyncio.ensure_future(back())
        try:
            while data := await reader.read(65_536):
                upstream_writer.write(data)
            self._ended.set_result(EOFError())
        except ConnectionError as error:
            self._ended.set_result(error)
        returning.cancel()
        for one in (writer, upstream_writer):
            one.close()
        await asyncio.wait([returning])


@pytest.mark.fault("N8")
async def test_a_name_that_nobody_knows_is_said_to_be_the_trouble() -> None:
    with pytest.raises(Transient, match="the name in ws://nowhere.invalid/ cannot be resolved"):
        await _open("ws://nowhere.invalid/")


@pytest.mark.fault("N8")
async def test_a_slow_resolver_ends_at_the_deadline_and_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def resolve(*_: object, **__: object) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    with pytest.raises(Transient, match="within 0.1 s"):
        await _open("ws://slow.example/", timeout_s=0.1)


@pytest.mark.fault("N10")
async def test_a_tls_handshake_that_stalls_ends_at_its_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(Transient, match="within 0.1 s"):
            await _open(f"wss://localhost:{port}/", timeout_s=0.1)


async def test_who_speaks_no_tls_is_said_to() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Transient, match="no TLS with wss://localhost"):
            await _open(f"wss://localhost:{port}/")


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
        on_late=lambda *_: None,
    )
