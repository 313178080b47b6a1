"""What an order's outcome tells beyond the order itself."""

import pytest

from vigil.deribit.classify import outcome_of
from vigil.deribit.jsonrpc import ErrorReply
from vigil.deribit.outcome import NOT_SENT, Refused, Unknown
from vigil.deribit.tidings import Tidings, tidings_of, words_of


def error(code, message, detail=""):
    return outcome_of(ErrorReply(request_id=1, code=code, message=message, detail=detail))


@pytest.mark.parametrize(
    ("code", "message", "told"),
    [
        pytest.param(10019, "locked_by_admin", Tidings.ACCOUNT_LOCKED, id="locked by admin"),
        pytest.param(10072, "disabled_while_position_lock", Tidings.ACCOUNT_LOCKED, id="positions"),
        pytest.param(11098, "account_locked", Tidings.ACCOUNT_LOCKED, id="account"),
        pytest.param(11051, "system_maintenance", Tidings.MAINTENANCE, id="maintenance"),
        pytest.param(10043, "price_wrong_tick", Tidings.FACTS, id="tick"),
        pytest.param(10044, "trigger_price_wrong_tick", Tidings.FACTS, id="tick of a trigger"),
        pytest.param(10002, "qty_too_low", Tidings.FACTS, id="amount"),
        pytest.param(-32602, "Invalid params", Tidings.FACTS, id="any of them"),
        pytest.param(13019, "orderbook_closed", Tidings.FACTS, id="closed book"),
        pytest.param(10009, "not_enough_funds", None, id="no funds"),
        pytest.param(13028, "temporarily_unavailable", None, id="not now"),
        pytest.param(11098, "something else", None, id="a code that its words deny"),
        pytest.param(11051, "maintained", None, id="maintenance that its words deny"),
    ],
)
def test_an_error_tells_of_locks_and_of_facts(code, message, told):
    assert tidings_of(error(code, message)) is told


@pytest.mark.parametrize(
    "outcome",
    [
        Unknown(reason="no answer within 1 s"),
        Refused(code=NOT_SENT, message="not sent"),
    ],
)
def test_what_never_came_back_tells_nothing(outcome):
    assert tidings_of(outcome) is None


def test_the_words_are_the_exchanges():
    assert words_of(error(11098, "account_locked")) == "11098 account_locked"
    assert words_of(error(11051, "system_maintenance", "soon")) == "11051 system_maintenance (soon)"
