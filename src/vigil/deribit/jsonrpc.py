"""JSON-RPC 2.0 as Deribit speaks it, without I/O.

Frames come in as bytes and leave as one of five values; calls come in as values and leave as
bytes. Results and notification data stay undecoded (`msgspec.Raw`), so that the method or channel
that knows their shape decodes them once. Nothing here knows what a method means, and whatever
bytes arrive, `decode_frame` answers with a value.
Source: https://www.jsonrpc.org/specification; Deribit API v2, JSON-RPC.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

RequestId = int | str

# The exchange refuses what is larger, with an answer that carries no id.
# Source: Deribit -32600 "request entity too large".
REQUEST_BYTES_MAX = 32_000

# The longest honest frame is a list of every instrument: 5 930 rows of about 1 kB.
FRAME_BYTES_MAX = 16 * 1024 * 1024

_ABSENT = msgspec.Raw(b"")
_TEXT_LENGTH_MAX = 300


# msgspec structs rather than dataclasses: one of these is made for every frame received, and a
# struct costs a tenth.
class Reply(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A call succeeded. `result` is JSON text, not yet decoded."""

    request_id: RequestId | None
    result: msgspec.Raw


class ErrorReply(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A call was answered with an error.

    Args:
        request_id: None when the exchange could not read the request.
        detail: The reason and parameter that came with it, for people; may be empty.
    """

    request_id: RequestId | None
    code: int
    message: str
    detail: str = ""

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.code} {self.message}{detail}"


class Notification(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something happened on a subscribed channel. `data` is JSON text, not yet decoded."""

    channel: str
    data: msgspec.Raw


class ServerRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The exchange asks for a sign of life, or gives one: `heartbeat` or `test_request`."""

    method: str
    kind: str


class Malformed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Bytes that are no message. What they would have said is unknown, not nothing."""

    reason: str
    size: int


Frame = Reply | ErrorReply | Notification | ServerRequest | Malformed


class _Error(msgspec.Struct, gc=False):
    code: int
    message: str = ""
    data: msgspec.Raw = _ABSENT


class _Params(msgspec.Struct, gc=False):
    channel: str = ""
    data: msgspec.Raw = _ABSENT
    type: str = ""


class _Envelope(msgspec.Struct, gc=False):
    id: int | str | None = None
    method: str = ""
    params: _Params | None = None
    result: msgspec.Raw = _ABSENT
    error: _Error | None = None


class _ErrorData(msgspec.Struct, gc=False):
    reason: str = ""
    param: str = ""


_envelope_decoder = msgspec.json.Decoder(_Envelope)
_error_data_decoder = msgspec.json.Decoder(_ErrorData | str | None)
_encoder = msgspec.json.Encoder(decimal_format="number")

# RecursionError: nesting beyond the interpreter's limit. UnicodeError: a lone surrogate or bytes
# that are not UTF-8. All other faults of the text are DecodeError.
DECODE_ERRORS = (msgspec.DecodeError, UnicodeError, RecursionError)


def encode_request(request_id: RequestId, method: str, params: Mapping[str, Any]) -> bytes:
    """One call as a frame. Decimals become JSON numbers, digit for digit."""
    return _encoder.encode({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})


def decode_frame(frame: bytes | str) -> Frame:
    """One frame as a value; `Malformed` for whatever is not a message of the five kinds."""
    if len(frame) > FRAME_BYTES_MAX:
        return Malformed(reason=f"frame above {FRAME_BYTES_MAX} bytes", size=len(frame))
    try:
        envelope = _envelope_decoder.decode(frame)
    except DECODE_ERRORS as error:
        return Malformed(reason=_short(str(error)), size=len(frame))
    params = envelope.params
    if params is not None:
        if params.channel and params.data:
            return Notification(channel=params.channel, data=params.data)
        if envelope.method:
            return ServerRequest(method=envelope.method, kind=params.type)
    if envelope.error is not None:
        return ErrorReply(
            request_id=envelope.id,
            code=envelope.error.code,
            message=_short(envelope.error.message),
            detail=_detail(envelope.error.data),
        )
    if envelope.result:
        return Reply(request_id=envelope.id, result=envelope.result)
    return Malformed(reason="neither result, error nor notification", size=len(frame))


def _detail(data: msgspec.Raw) -> str:
    if not data:
        return ""
    try:
        detail = _error_data_decoder.decode(data)
    except DECODE_ERRORS:
        return ""
    if isinstance(detail, _ErrorData):
        parts = (("reason", detail.reason), ("param", detail.param))
        return _short(", ".join(f"{name}: {text}" for name, text in parts if text))
    return _short(detail or "")


def _short(text: str) -> str:
    return text if len(text) <= _TEXT_LENGTH_MAX else text[:_TEXT_LENGTH_MAX] + "…"
