from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from vigil.deribit.answers import READERS, mass_outcome, outcome
from vigil.deribit.jsonrpc import ErrorReply, Reply
from vigil.deribit.outcome import CancelledMany, Confirmed, Refused, Unknown

Make = Callable[..., dict[str, Any]]

ASKED = {"label": "vg-a-1-1", "instrument_name": "BTC_USDC-PERPETUAL"}


def reply(result: Any) -> Reply:
    return Reply(request_id=1, result=msgspec.Raw(msgspec.json.encode(result)))


@pytest.mark.parametrize("method", sorted(READERS))
def test_an_answer_about_what_was_asked_proves_it(order_json: Make, method: str) -> None:
    order = order_json()
    result = order if method == "private/cancel" else {"order": order, "trades": []}
    found = outcome(method, ASKED | {"order_id": "USDC-1"}, reply(result))
    assert isinstance(found, Confirmed)
    assert found.order.order_id == "USDC-1"


@pytest.mark.parametrize("name", ["label", "order_id", "instrument_name"])
def test_an_answer_about_something_else_proves_nothing(order_json: Make, name: str) -> None:
    asked = {name: "another"}
    found = outcome("private/buy", asked, reply({"order": order_json(), "trades": []}))
    assert isinstance(found, Unknown)
    assert name in found.reason


@pytest.mark.parametrize("result", [None, {}, {"order": {}}, [], "ok", {"trades": []}])
def test_an_answer_that_cannot_be_read_proves_nothing(result: Any) -> None:
    assert isinstance(outcome("private/buy", ASKED, reply(result)), Unknown)
    if result != []:
        assert isinstance(mass_outcome(reply(result)), Unknown)


def test_errors_prove_what_their_code_says() -> None:
    refused = ErrorReply(request_id=1, code=10009, message="not_enough_funds")
    perhaps = ErrorReply(request_id=1, code=13028, message="temporarily_unavailable")
    assert isinstance(outcome("private/buy", ASKED, refused), Refused)
    assert isinstance(mass_outcome(refused), Refused)
    assert isinstance(outcome("private/buy", ASKED, perhaps), Unknown)
    assert isinstance(mass_outcome(perhaps), Unknown)


def test_a_count_and_an_empty_list_are_both_answers() -> None:
    assert mass_outcome(reply(7)) == CancelledMany(count=7)
    assert mass_outcome(reply([])) == CancelledMany(count=0)
