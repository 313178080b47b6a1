"""Plain values for people: where nothing is known, nothing is claimed."""

from decimal import Decimal

import pytest

from vigil.domain.portfolio import Position
from vigil.telemetry.status import PositionStatus, StateFileProblem, UnknownStrategy


def position(size):
    return Position(
        instrument_name="BTC-PERPETUAL",
        size=Decimal(size),
        average_price=None,
        mark_price=Decimal(95_000),
        realized_profit_loss=Decimal(0),
        floating_profit_loss=Decimal(0),
    )


@pytest.mark.parametrize(
    ("exchange", "is_equal"),
    [
        pytest.param(None, None, id="not read"),
        pytest.param(position("100.0"), True, id="equal"),
        pytest.param(position(-100), False, id="other side"),
        pytest.param(position(0), False, id="flat"),
    ],
)
def test_ledger_and_exchange_agree_only_when_both_are_known(exchange, is_equal):
    status = PositionStatus(
        instrument_name="BTC-PERPETUAL", ledger_size=Decimal(100), exchange=exchange
    )
    assert status.is_equal is is_equal


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        pytest.param({}, "state.json: is missing", id="no place"),
        pytest.param({"line": 3, "column": 7}, "state.json:3:7: is missing", id="a place"),
        pytest.param(
            {"line": 3, "column": 7, "field": "activeStrategies[0].id"},
            "state.json:3:7: activeStrategies[0].id: is missing",
            id="a field",
        ),
    ],
)
def test_a_problem_reads_as_a_compilers_does(changes, text):
    assert str(StateFileProblem(path="state.json", reason="is missing", **changes)) == text


@pytest.mark.parametrize(("known", "words"), [((), "known are: none"), (("a", "b"), "a, b")])
def test_an_unknown_strategy_names_those_that_are_known(known, words):
    error = UnknownStrategy("c", known)
    assert words in str(error)
    assert (error.strategy_id, error.known) == ("c", known)
