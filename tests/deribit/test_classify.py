import re
from pathlib import Path

import pytest

from vigil.deribit.classify import classify, is_listed, outcome_of, query_error
from vigil.deribit.jsonrpc import ErrorReply
from vigil.deribit.outcome import Refused, Unknown, Verdict
from vigil.errors import OutcomeUnknown, Rejected, Transient

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "deribit" / "recorded"


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
        pytest.param(11030, "invalid_reduce_only_order", Verdict.REFUSED, id="11030, bare"),
        pytest.param(13403, "scope_exceeded", Verdict.FORBIDDEN, id="a right is missing"),
        pytest.param(13021, "forbidden", Verdict.FORBIDDEN, id="not allowed"),
        pytest.param(99999, "brand_new", Verdict.AMBIGUOUS, id="never seen"),
        pytest.param(10005, "price_too_low4idx 9", Verdict.AMBIGUOUS, id="a code's neighbour"),
        pytest.param(10040, "retry_or_not", Verdict.AMBIGUOUS, id="begins like it"),
        pytest.param(10009, "", Verdict.AMBIGUOUS, id="no message"),
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


@pytest.mark.parametrize(
    ("code", "message", "verdict"),
    [
        (10041, "settlement_in_progress", Verdict.RETRY_LATER),
        (10028, "too_many_requests", Verdict.SESSION_LOST),
        (13888, "timed_out", Verdict.AMBIGUOUS),
        (11044, "not_open_order", Verdict.STALE),
        (13009, "unauthorized", Verdict.AUTH_FAILURE),
    ],
)
def test_an_outcome_says_what_may_be_done_next(code: int, message: str, verdict: Verdict) -> None:
    """What is harmless to repeat may be repeated after RETRY_LATER."""
    assert outcome_of(reply(code, message)).verdict is verdict


# What the protocol's own classes allow. A: authentication. R: later. F: the request is wrong. S: the
# state has changed. L: locked. M: money or size.
_MAY_BE = {
    "R": {Verdict.RETRY_LATER, Verdict.SESSION_LOST, Verdict.AMBIGUOUS},
    "F": {Verdict.REFUSED},
    "S": {Verdict.STALE, Verdict.AMBIGUOUS},
    "A": {Verdict.AUTH_FAILURE, Verdict.FORBIDDEN},
    "L": {Verdict.REFUSED},
    "M": {Verdict.REFUSED},
    "F/S": {Verdict.REFUSED},
}


def _documented() -> list[tuple[int, str, str]]:
    """Code, message and class of every row of the error table."""
    text = (RECORDED.parent / "PROTOCOL.md").read_text(encoding="utf-8")
    table = text.partition("### 3.2")[2].partition("Sources:")[0]
    found = []
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) != 4 or cells[2] not in _MAY_BE:
            continue
        codes = _codes(cells[0].replace("\N{MINUS SIGN}", "-"))
        words = re.sub(r"`<?\w+>?`", "", cells[1])
        # In brackets stands what is not the exchange's own word.
        messages = [""] if words[0] == "(" else [one.strip() for one in re.split(r"[,/]", words)]
        assert len(codes) == len(messages), line
        found += [(code, message, cells[2]) for code, message in zip(codes, messages, strict=True)]
    return found


def _codes(text: str) -> list[int]:
    first, dash, last = text.partition("\N{EN DASH}")
    if dash:
        return list(range(int(first), int(last) + 1))
    return [int(part) for part in text.split("/")]


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the protocol's table is not here")
def test_every_documented_error_is_classified_by_what_may_be_done_next() -> None:
    documented = _documented()
    assert len(documented) > 110
    for code, message, word in documented:
        assert is_listed(code, message), (code, message)
        assert classify(code, message) in _MAY_BE[word], (code, message, word)


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the protocol's table is not here")
def test_every_documented_error_under_another_s_message_proves_nothing() -> None:
    documented = [row for row in _documented() if row[1]]
    for (code, message, _), (_, other, _) in zip(documented, documented[1:], strict=False):
        if other != message:
            assert classify(code, other) is Verdict.AMBIGUOUS, (code, other)
            assert isinstance(outcome_of(reply(code, other)), Unknown)


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
