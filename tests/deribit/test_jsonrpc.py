from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.deribit.jsonrpc import (
    FRAME_BYTES_MAX,
    ErrorReply,
    Malformed,
    Notification,
    Reply,
    ServerRequest,
    decode_frame,
    encode_request,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
MEMBERS = st.sampled_from(["id", "method", "params", "result", "error", "jsonrpc", "x"])


def test_numbers_leave_digit_for_digit() -> None:
    frame = encode_request(
        7, "private/buy", {"amount": Decimal("0.10000000000000000001"), "price": Decimal("1E+2")}
    )
    assert frame == (
        b'{"jsonrpc":"2.0","id":7,"method":"private/buy",'
        b'"params":{"amount":0.10000000000000000001,"price":1E+2}}'
    )


def test_a_result_stays_text_until_its_method_decodes_it() -> None:
    reply = decode_frame(b'{"jsonrpc":"2.0","id":3,"result":[1.50,{"a":2}],"usIn":1}')
    assert isinstance(reply, Reply)
    assert reply.request_id == 3
    assert bytes(reply.result) == b'[1.50,{"a":2}]'


def test_a_null_result_is_an_answer() -> None:
    reply = decode_frame(b'{"id":3,"result":null}')
    assert isinstance(reply, Reply)
    assert bytes(reply.result) == b"null"


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        pytest.param(
            b'{"id":"auth","error":{"code":13004,"message":"invalid_credentials"}}',
            ErrorReply(request_id="auth", code=13004, message="invalid_credentials"),
            id="without data",
        ),
        pytest.param(
            b'{"error":{"message":"Invalid params","data":{"reason":"value required",'
            b'"param":"currency"},"code":-32602},"id":1}',
            ErrorReply(
                request_id=1,
                code=-32602,
                message="Invalid params",
                detail="reason: value required, param: currency",
            ),
            id="members in any order, reason told",
        ),
        pytest.param(
            b'{"error":{"code":11050,"data":"invalid json","message":"bad_request"}}',
            ErrorReply(request_id=None, code=11050, message="bad_request", detail="invalid json"),
            id="data is a string, no id",
        ),
        pytest.param(
            b'{"id":1,"error":{"code":1,"message":"m","data":[1,2]}}',
            ErrorReply(request_id=1, code=1, message="m"),
            id="data of another kind is left out",
        ),
        pytest.param(
            b'{"params":{"type":"test_request"},"method":"heartbeat","jsonrpc":"2.0"}',
            ServerRequest(method="heartbeat", kind="test_request"),
            id="test request",
        ),
    ],
)
def test_frames_become_values(frame: bytes, expected: object) -> None:
    assert decode_frame(frame) == expected


def test_a_notification_keeps_its_data_undecoded() -> None:
    frame = b'{"method":"subscription","params":{"channel":"ticker.X.raw","data":{"a":1.0e1}}}'
    notification = decode_frame(frame)
    assert isinstance(notification, Notification)
    assert notification.channel == "ticker.X.raw"
    assert bytes(notification.data) == b'{"a":1.0e1}'


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b"{}",
        b'{"id":1}',
        b'{"id":[1],"result":1}',
        b'{"id":1,"result":1',
        b'{"id":1,"result":1}{"id":2,"result":2}',
        b"\xff\xfe{}",
        b'{"method":"\xff"}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"result":' + b"[" * 100_000,
        b'{"params":[1],"method":"x"}',
        b'{"method":"subscription","params":{"channel":7,"data":1}}',
        '{"result":"\ud800"}',
        b'{"error":{"message":"no code"}}',
    ],
    ids=range(18),
)
def test_what_is_no_message_is_malformed_and_nothing_worse(frame: bytes | str) -> None:
    assert isinstance(decode_frame(frame), Malformed)


def test_an_oversized_frame_is_not_even_parsed() -> None:
    frame = b'{"id":1,"result":"' + b"x" * FRAME_BYTES_MAX + b'"}'
    assert decode_frame(frame) == Malformed(
        reason=f"frame above {FRAME_BYTES_MAX} bytes", size=len(frame)
    )


def test_a_long_error_message_is_cut_before_it_reaches_a_log() -> None:
    error = decode_frame(b'{"id":1,"error":{"code":1,"message":"' + b"m" * 10_000 + b'"}}')
    assert isinstance(error, ErrorReply)
    assert len(str(error)) < 400


@given(st.binary())
def test_any_bytes_become_a_value(frame: bytes) -> None:
    assert decode_frame(frame) is not None


@given(st.text())
def test_any_text_becomes_a_value(frame: str) -> None:
    assert decode_frame(frame) is not None


@given(st.dictionaries(MEMBERS, JSON))
def test_any_object_becomes_a_value(message: dict[str, object]) -> None:
    assert decode_frame(msgspec.json.encode(message)) is not None
