"""JSON-RPC as the server side sees it: bytes to a request, results and errors to bytes.

Numbers are exact both ways: fractions arrive as Decimal and Decimals leave as JSON numbers.
Whatever bytes arrive, `parse_frame` yields a request or raises a Refusal.
Source: Deribit API v2, JSON-RPC; recorded replies for members and error shapes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from vigil.paper.refusals import Refusal

REQUEST_BYTES_MAX = 32 * 1024
_ID_MAX = 2**63 - 1

_encoder = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call.

    Args:
        request_id: Echoed in the reply; None when the caller sent none.
        is_text: All parameters are text, as in a query string.
    """

    method: str
    params: Mapping[str, Any] = field(default_factory=dict)
    request_id: int | str | None = None
    is_text: bool = False


def parse_frame(frame: str | bytes, *, default_method: str | None = None) -> Request:
    """Read one frame or body; over HTTP the path may name the method in the body's place.

    Raises: Refusal, -32600 when it is above 32 kB, 11050 when it is not a JSON-RPC request.
    """
    size = len(frame) if isinstance(frame, bytes) else len(frame.encode("utf-8", "replace"))
    if size > REQUEST_BYTES_MAX:
        raise Refusal(-32600, "request entity too large")
    try:
        message = json.loads(frame, parse_float=Decimal, parse_constant=_refuse_constant)
        require_encodable(message)
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise Refusal(11050, "bad_request", "invalid json") from error
    if not isinstance(message, dict):
        raise Refusal(11050, "bad_request", "invalid request")
    method, params = message.get("method", default_method), message.get("params")
    if params is None:
        params = {}
    if not isinstance(method, str) or not isinstance(params, dict):
        raise Refusal(11050, "bad_request", "invalid request")
    # Published clients name methods by their path: "/private/buy".
    method = method.removeprefix("/")
    return Request(method=method, params=params, request_id=_request_id(message))


def reply(
    request_id: int | str | None,
    answer: Any,
    *,
    received_us: int,
    spent_us: int,
) -> dict[str, Any]:
    """A reply; `answer` is a result, or the Refusal that stands in its place."""
    message: dict[str, Any] = {"jsonrpc": "2.0"}
    if request_id is not None:
        message["id"] = request_id
    if isinstance(answer, Refusal):
        error: dict[str, Any] = {"code": answer.code, "message": answer.message}
        if answer.data is not None:
            error["data"] = answer.data
        message["error"] = error
    else:
        message["result"] = answer
    message |= {
        "usIn": received_us,
        "usOut": received_us + spent_us,
        "usDiff": spent_us,
        "testnet": True,
    }
    return message


def subscription(channel: str, data: Any, label: str | None = None) -> dict[str, Any]:
    """The notification of one event on one channel."""
    params = {"channel": channel, "data": data}
    if label is not None:
        params["label"] = label
    return {"jsonrpc": "2.0", "method": "subscription", "params": params}


def heartbeat(kind: str) -> dict[str, Any]:
    """A `heartbeat` or `test_request` notification; `params` leads, as recorded."""
    return {"params": {"type": kind}, "method": "heartbeat", "jsonrpc": "2.0"}


def encode(message: Any) -> bytes:
    """Encode a notification."""
    return _encoder.encode(message)


def _request_id(message: Mapping[str, Any]) -> int | str | None:
    request_id = message.get("id")
    if isinstance(request_id, str):
        return request_id
    if isinstance(request_id, int) and not isinstance(request_id, bool):
        return request_id if abs(request_id) <= _ID_MAX else None
    return None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def require_encodable(value: Any) -> None:
    """Refuse lone surrogates: legal in JSON as an escape, but they can never be echoed as UTF-8."""
    match value:
        case str():
            value.encode()
        case dict():
            for key, item in value.items():
                require_encodable(key)
                require_encodable(item)
        case list():
            for item in value:
                require_encodable(item)
