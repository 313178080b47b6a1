import pytest

from vigil.deribit.classify import Verdict, classify, outcome_of, query_error
from vigil.deribit.jsonrpc import ErrorReply
from vigil.deribit.outcome import Refused, Unknown
from vigil.errors import OutcomeUnknown, Rejected, Transient


def reply(code: int, message: str, detail: str = "") -> ErrorReply:
    return ErrorReply(request_id=1, code=code, message=message, detail=detail)


@pytest.mark.parametrize(
    ("code", "message", "verdict"),
    [
        pytest.param(10009, "not_enough_funds", Verdict.REFUSED, id="no money"),
        pytest.param(10007, "price_too_high 95000.5", Verdict.REFUSED, id="limit appended"),
        pytest.param(11030, "other_reject invalid_reduce_only_order", Verdict.REFUSED, id="11030"),
        pytest.param(-32602, "Invalid params", Verdict.REFUSED, id="case does not matter"),
        pytest.param(11044, "not_open_order", Verdict.STALE, id="gone"),
        pytest.param(13009, "unauthorized", Verdict.AUTH_FAILURE, id="logged out"),
        pytest.param(10041, "settlement_in_progress", Verdict.RETRY_LATER, id="settlement"),
        pytest.param(10028, "too_many_requests", Verdict.SESSION_LOST, id="out of credits"),
        pytest.param(11094, "internal_server_error", Verdict.AMBIGUOUS, id="internal"),
        pytest.param(13888, "timed_out", Verdict.AMBIGUOUS, id="past valid_until"),
        pytest.param(99999, "brand_new", Verdict.AMBIGUOUS, id="never seen"),
        pytest.param(10009, "order_was_placed_anyway", Verdict.AMBIGUOUS, id="contradictory"),
        pytest.param(11006, "post_only_reject", Verdict.AMBIGUOUS, id="from the wrong table"),
    ],
)
def test_code_and_message_together_say_what_may_be_done(
    code: int, message: str, verdict: Verdict
) -> None:
    assert classify(code, message) is verdict


@pytest.mark.parametrize(
    ("code", "message", "is_refused"),
    [
        pytest.param(10009, "not_enough_funds", True, id="definite"),
        pytest.param(10004, "order_not_found", True, id="nothing to cancel"),
        pytest.param(13009, "unauthorized", True, id="not logged in, so not executed"),
        pytest.param(10047, "matching_engine_queue_full", False, id="perhaps executed"),
        pytest.param(10028, "too_many_requests", False, id="no proof"),
        pytest.param(13028, "temporarily_unavailable", False, id="slow"),
        pytest.param(13888, "timed_out", False, id="doubt, by decision"),
        pytest.param(10009, "something else", False, id="contradictory"),
    ],
)
def test_only_a_definite_refusal_ends_an_intent(code: int, message: str, is_refused: bool) -> None:
    assert isinstance(outcome_of(reply(code, message)), Refused if is_refused else Unknown)


def test_a_refusal_passes_on_the_exchange_s_reason() -> None:
    outcome = outcome_of(reply(-32602, "Invalid params", "reason: must conform to tick size"))
    assert outcome == Refused(
        code=-32602, message="Invalid params (reason: must conform to tick size)"
    )


@pytest.mark.parametrize(
    ("code", "message", "family"),
    [
        (10004, "order_not_found", Rejected),
        (10041, "settlement_in_progress", Transient),
        (10028, "too_many_requests", Transient),
        (11094, "internal_server_error", OutcomeUnknown),
        (77777, "never seen", OutcomeUnknown),
    ],
)
def test_a_question_s_error_tells_what_the_caller_may_do(
    code: int, message: str, family: type[Exception]
) -> None:
    error = query_error("private/get_positions", reply(code, message))
    assert type(error) is family
    assert str(code) in str(error)
