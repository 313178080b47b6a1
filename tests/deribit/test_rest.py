import asyncio
import base64
import json
import traceback
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import respx
import structlog

from vigil.clock import SystemClock
from vigil.deribit.credits import Credits, Lane, Pool, Rate
from vigil.deribit.rest import RestWitness
from vigil.deribit.throttle import Throttle
from vigil.errors import Misconfigured, OutcomeUnknown, Rejected, Transient

BASE_URL = "http://exchange.invalid/api/v2"

Make = Callable[..., dict[str, Any]]


@pytest.fixture
async def witness(secret: Any) -> AsyncIterator[RestWitness]:
    clock = SystemClock()
    made = RestWitness(
        BASE_URL + "/",
        "the-id",
        secret("the-secret"),
        throttle=Throttle(clock),
        exchange_now_ms=clock.now_ms,
    )
    yield made
    await made.close()


def result(value: Any) -> httpx.Response:
    return httpx.Response(200, json={"jsonrpc": "2.0", "result": value, "testnet": True})


@respx.mock
async def test_a_question_goes_out_as_json_rpc_with_the_key(witness: RestWitness) -> None:
    route = respx.post(f"{BASE_URL}/private/get_positions").mock(return_value=result([]))
    assert await witness.positions() == ()
    request = route.calls.last.request
    assert json.loads(request.content) == {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "private/get_positions",
        "params": {"currency": "any"},
    }
    scheme, _, key = request.headers["Authorization"].partition(" ")
    assert (scheme, base64.b64decode(key)) == ("Basic", b"the-id:the-secret")


@respx.mock
async def test_numbers_come_back_exact(witness: RestWitness, fill_json: Make) -> None:
    now_ms = witness.exchange_now_ms()
    fill = fill_json(fee=0, timestamp=now_ms - 500)
    body = json.dumps({"jsonrpc": "2.0", "result": {"trades": [fill], "has_more": 0}})
    body = body.replace('"fee": 0', '"fee": 0.332500000000000000001')
    respx.post(f"{BASE_URL}/private/get_user_trades_by_currency_and_time").mock(
        return_value=httpx.Response(200, text=body)
    )
    now_ms = witness.exchange_now_ms()
    (fill,) = await witness.fills_since("USDC", now_ms - 1000, now_ms)
    assert str(fill.fee) == "0.332500000000000000001"


@respx.mock
async def test_time_and_orders_are_the_same_questions(
    witness: RestWitness, order_json: Make
) -> None:
    respx.post(f"{BASE_URL}/public/get_time").mock(return_value=result(1_790_133_840_887))
    respx.post(f"{BASE_URL}/private/get_open_orders").mock(return_value=result([order_json()]))
    assert await witness.server_time_ms() == 1_790_133_840_887
    assert [order.order_id for order in await witness.open_orders()] == ["USDC-1"]


@respx.mock
@pytest.mark.parametrize(
    ("response", "family"),
    [
        pytest.param(
            httpx.Response(400, json={"error": {"code": 13009, "message": "unauthorized"}}),
            Rejected,
            id="refused",
        ),
        pytest.param(
            httpx.Response(400, json={"error": {"code": 10028, "message": "too_many_requests"}}),
            Transient,
            id="later",
        ),
        pytest.param(
            httpx.Response(502, text="<html>Bad gateway</html>"), OutcomeUnknown, id="502"
        ),
        pytest.param(httpx.Response(200, text=""), OutcomeUnknown, id="empty body"),
        pytest.param(httpx.Response(200, json={"result": {"a": 1}}), OutcomeUnknown, id="shape"),
        pytest.param(httpx.ConnectError("refused"), Transient, id="no connection"),
        pytest.param(httpx.ReadTimeout("slow"), OutcomeUnknown, id="no answer"),
        pytest.param(httpx.RemoteProtocolError("cut"), OutcomeUnknown, id="cut off"),
        pytest.param(httpx.UnsupportedProtocol("what"), Misconfigured, id="no HTTP URL"),
    ],
)
async def test_a_failure_is_never_an_empty_answer(
    witness: RestWitness, response: Any, family: type[Exception]
) -> None:
    route = respx.post(f"{BASE_URL}/private/get_positions")
    if isinstance(response, httpx.Response):
        route.mock(return_value=response)
    else:
        route.mock(side_effect=response)
    with pytest.raises(family):
        await witness.positions()


# --- the account's credits


@respx.mock
async def test_a_question_that_finds_no_credit_is_not_sent(secret: Any, stepped_clock: Any) -> None:
    limits = dict.fromkeys(Pool, Rate(per_s=1e-6, burst=4))
    throttle = Throttle(stepped_clock, Credits(limits, now_s=stepped_clock.elapsed_s()))
    made = RestWitness(
        BASE_URL,
        "the-id",
        secret("the-secret"),
        throttle=throttle,
        exchange_now_ms=stepped_clock.now_ms,
    )
    route = respx.post(f"{BASE_URL}/private/get_positions").mock(return_value=result([]))
    assert await made.positions() == ()
    with pytest.raises(Transient, match="credit"):
        await made.positions()
    assert route.call_count == 1
    await made.close()


@respx.mock
async def test_out_of_credit_over_http_is_out_of_credit_on_the_socket(
    secret: Any, stepped_clock: Any
) -> None:
    throttle = Throttle(stepped_clock)
    made = RestWitness(
        BASE_URL,
        "the-id",
        secret("the-secret"),
        throttle=throttle,
        exchange_now_ms=stepped_clock.now_ms,
    )
    error = {"error": {"code": 10028, "message": "too_many_requests"}}
    respx.post(f"{BASE_URL}/private/get_positions").mock(
        return_value=httpx.Response(400, json=error)
    )
    with pytest.raises(Transient):
        await made.positions()
    assert not throttle.try_spend("private/cancel", Lane.REDUCE)
    await made.close()


async def test_what_is_recent_is_judged_by_the_exchange_s_time(secret: Any) -> None:
    clock = SystemClock()
    made = RestWitness(
        BASE_URL, "id", secret("s"), throttle=Throttle(clock), exchange_now_ms=lambda: 42
    )
    assert made.exchange_now_ms() == 42


# --- what a sick gateway may do


@pytest.fixture
async def gateway(secret: Any) -> AsyncIterator[Callable[..., Any]]:
    """A witness before a real server that sends these pieces, one each so many seconds."""
    servers: list[asyncio.Server] = []
    made: list[RestWitness] = []

    async def begin(
        pieces: Any, *, pause_s: float = 0.0, timeout_s: float = 5.0, secret_text: str = "s3cr3t"
    ) -> RestWitness:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.readuntil(b"\r\n\r\n")
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(pause_s)
            except OSError:
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        servers.append(server)
        port = server.sockets[0].getsockname()[1]
        clock = SystemClock()
        witness = RestWitness(
            f"http://127.0.0.1:{port}",
            "the-id",
            secret(secret_text),
            throttle=Throttle(clock),
            exchange_now_ms=clock.now_ms,
            timeout_s=timeout_s,
        )
        made.append(witness)
        return witness

    yield begin
    for witness in made:
        await witness.close()
    for server in servers:
        server.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"


async def test_an_answer_that_drips_ends_at_its_deadline(gateway: Any) -> None:
    drip = [HEAD + b"Content-Length: 100000\r\n\r\n", *[b" "] * 1_000]
    witness = await gateway(drip, pause_s=0.05, timeout_s=0.4)
    async with asyncio.timeout(5):
        with pytest.raises(OutcomeUnknown, match=r"no whole answer within 0\.4 s"):
            await witness.positions()


async def test_an_answer_without_end_is_not_kept(gateway: Any) -> None:
    sent: list[int] = []

    def flood() -> Any:
        yield HEAD + b"\r\n"
        for _ in range(64):
            sent.append(1)
            yield b" " * 1_048_576

    witness = await gateway(flood())
    with pytest.raises(OutcomeUnknown, match="without a JSON-RPC answer"):
        await witness.positions()
    assert len(sent) < 64


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([], id="cut off"),
        pytest.param([HEAD + b"Content-Length: 9\r\n\r\n{"], id="cut off in the body"),
        pytest.param([HEAD + b"Content-Length: 2\r\n\r\n{}"], id="no answer"),
        pytest.param([b"what?\r\n\r\n"], id="no HTTP"),
    ],
)
async def test_no_failure_holds_the_key_in_its_frames(gateway: Any, pieces: list[bytes]) -> None:
    witness = await gateway(pieces, secret_text="canary-5f2c")  # noqa: S106
    with pytest.raises(OutcomeUnknown) as raised:
        await witness.positions()
    held = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    shown = "".join(held.format())
    sent = base64.b64encode(b"the-id:canary-5f2c").decode()
    assert "canary-5f2c" not in shown
    assert sent not in shown


@respx.mock
async def test_an_error_outside_the_table_is_told_once_over_http_as_well(
    witness: RestWitness,
) -> None:
    strange = {"error": {"code": 4711, "message": "unheard_of"}}
    respx.post(f"{BASE_URL}/private/get_positions").mock(
        return_value=httpx.Response(400, json=strange)
    )
    with structlog.testing.capture_logs() as lines:
        for _ in range(2):
            with pytest.raises(OutcomeUnknown):
                await witness.positions()
    assert [line["code"] for line in lines if line["event"] == "error.unlisted"] == [4711]
