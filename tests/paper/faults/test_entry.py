"""Fields of an entry: typed, or refused with the field and the fix."""

from decimal import Decimal

import pytest

from vigil.paper.faults.entry import Unfit
from vigil.paper.faults.menu import MENU, fault_named


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        pytest.param("delay-reply", {"delay_s": 2}, {"delay_s": 2.0}, id="seconds"),
        pytest.param("delay-reply", {"delay_s": Decimal("0.5")}, {"delay_s": 0.5}, id="fraction"),
        pytest.param("duplicate-reply", {}, {"copies": 2}, id="default"),
        pytest.param(
            "transfer",
            {"currency": "BTC", "amount": "-0.1"},
            {"currency": "BTC", "amount": Decimal("-0.1")},
            id="exact number as text",
        ),
        pytest.param(
            "lose-one-way", {"direction": "in"}, {"direction": "in", "lasts_s": None}, id="choice"
        ),
    ],
)
def test_fields_become_typed(name, given, expected):
    assert fault_named(name).read_values(given) == expected


@pytest.mark.parametrize(
    ("name", "given", "field", "fix"),
    [
        ("delay-reply", {}, "delay_s", "how much later"),
        ("delay-reply", {"delay_s": "soon"}, "delay_s", "a number of seconds"),
        ("delay-reply", {"delay_s": -1}, "delay_s", "at least 0"),
        ("delay-reply", {"delay_s": True}, "delay_s", "a number of seconds"),
        ("delay-reply", {"delay_s": "NaN"}, "delay_s", "a number of seconds"),
        ("delay-reply", {"delay_s": None}, "delay_s", "leave it out"),
        ("duplicate-reply", {"copies": 2.5}, "copies", "a whole number"),
        ("duplicate-reply", {"copies": 1}, "copies", "at least 2"),
        ("lose-one-way", {"direction": "up"}, "direction", "one of in, out"),
        ("error-reply", {"code": 10009, "is_applied": "yes"}, "is_applied", "true or false"),
        ("withhold-reply", {"delay": 1}, "delay", "its own are: none"),
        ("mutate-reply", {"kind": "x"}, "kind", "change, field, value"),
        ("transfer", {"currency": "BTC", "amount": "1e999999"}, "amount", "at most 1000000000000"),
        (
            "correct-cash",
            {"currency": "BTC", "amount": "-1e13"},
            "amount",
            "at least -1000000000000",
        ),
        ("set-funding", {"instrument_name": "x", "rate": "1e99"}, "rate", "at most"),
    ],
)
def test_what_is_wrong_is_named_with_the_fix(name, given, field, fix):
    with pytest.raises(Unfit) as caught:
        fault_named(name).read_values(given)
    assert caught.value.field == field
    assert fix in str(caught.value)


def test_an_unknown_fault_is_answered_with_the_nearest_ones():
    with pytest.raises(Unfit, match="withhold-reply"):
        fault_named("withold-reply")


@pytest.mark.parametrize("fault", MENU.values(), ids=lambda fault: fault.name)
def test_defaults_are_what_the_entry_itself_takes(fault):
    for param in fault.params:
        value = param.described().get("default")
        if value is not None:
            assert param.read(value) == value
