import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.paper.refusals import Refusal
from vigil.paper.wire.framing import Request, encode, parse_frame, reply


def test_fractions_are_exact_both_ways():
    request = parse_frame('{"method": "m", "params": {"price": 95000.10, "amount": 1e-4}}')
    assert request.params == {"price": Decimal("95000.10"), "amount": Decimal("0.0001")}
    assert json.loads(encode({"fee": Decimal("6.0E-8")}), parse_float=Decimal) == {
        "fee": Decimal("6.0E-8")
    }


@pytest.mark.parametrize("request_id", [7, "auth", 0, -1, "", None])
def test_ids_are_echoed_as_they_came(request_id):
    frame = json.dumps({"jsonrpc": "2.0", "id": request_id, "method": "public/test"})
    request = parse_frame(frame)
    message = reply(request.request_id, 1, received_us=5, spent_us=2)
    assert message.get("id") == request_id
    assert ("id" in message) is (request_id is not None)
    assert (message["usIn"], message["usOut"], message["usDiff"]) == (5, 7, 2)
    assert message["testnet"] is True


def test_a_method_may_be_named_by_its_path():
    assert parse_frame('{"method": "/private/buy"}').method == "private/buy"


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        pytest.param("{", 11050, id="truncated"),
        pytest.param("", 11050, id="empty"),
        pytest.param("[" * 30_000, 11050, id="deeply nested"),
        pytest.param('{"method": "m", "params": {"a": NaN}}', 11050, id="NaN"),
        pytest.param(b"\xff\xfe{}", 11050, id="not UTF-8"),
        pytest.param('{"method": "m", "id": "\\ud800"}', 11050, id="lone surrogate"),
        pytest.param('{"method": "m", "params": [1]}', 11050, id="positional parameters"),
        pytest.param('[{"method": "m"}]', 11050, id="batch"),
        pytest.param('{"params": {}}', 11050, id="no method"),
        pytest.param('{"method": "m", "x": "' + "a" * 33_000 + '"}', -32600, id="above 32 kB"),
    ],
)
def test_what_is_no_request_is_refused_by_code(frame, code):
    with pytest.raises(Refusal) as caught:
        parse_frame(frame)
    assert caught.value.code == code


def test_an_error_carries_data_only_when_it_has_some():
    bare = reply(1, Refusal(13004, "invalid_credentials"), received_us=0, spent_us=0)
    assert bare["error"] == {"code": 13004, "message": "invalid_credentials"}


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_whatever_arrives_is_a_request_or_a_refusal(frame):
    try:
        outcome = parse_frame(frame)
    except Refusal as refusal:
        outcome = refusal.code
    assert isinstance(outcome, Request) or outcome in (11050, -32600)
