import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import respx

from vigil.clock import SystemClock
from vigil.deribit.rest import RestWitness
from vigil.errors import Misconfigured, OutcomeUnknown, Rejected, Transient

BASE_URL = "http://exchange.invalid/api/v2"

Make = Callable[..., dict[str, Any]]


@pytest.fixture
async def witness(secret: Any) -> AsyncIterator[RestWitness]:
    made = RestWitness(BASE_URL + "/", "the-id", secret("the-secret"), SystemClock())
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
    body = json.dumps({"jsonrpc": "2.0", "result": {"trades": [fill_json(fee=0)], "has_more": 0}})
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
