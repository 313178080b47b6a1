"""Rounding that says which way, canonical text, and money that knows its currency."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.domain.money import (
    Money,
    decimal_text,
    is_multiple,
    round_down,
    round_nearest,
    round_settlement,
    round_up,
)

values = st.decimals(min_value=-1_000_000, max_value=1_000_000, places=8)
steps = st.sampled_from([D("0.0001"), D("0.0005"), D("0.05"), D("0.1"), D("0.5"), D("2.5"), D(10)])


@given(value=values, step=steps)
def test_rounding_down_gives_the_last_multiple_not_above_the_value(value, step):
    rounded = round_down(value, step)
    assert is_multiple(rounded, step)
    assert rounded <= value < rounded + step


@given(value=values, step=steps)
def test_rounding_up_gives_the_first_multiple_not_below_the_value(value, step):
    rounded = round_up(value, step)
    assert is_multiple(rounded, step)
    assert rounded - step < value <= rounded


@given(value=values, step=steps)
def test_rounding_to_nearest_never_moves_further_than_half_a_step(value, step):
    rounded = round_nearest(value, step)
    assert is_multiple(rounded, step)
    assert abs(rounded - value) * 2 <= step


@pytest.mark.parametrize("rounding", [round_down, round_nearest, round_up])
@given(count=st.integers(-10_000, 10_000), step=steps)
def test_a_multiple_is_left_as_it_is(rounding, count, step):
    assert rounding(count * step, step) == count * step


@pytest.mark.parametrize(
    ("value", "step", "down", "nearest", "up"),
    [
        pytest.param("100.3", "0.5", "100", "100.5", "100.5", id="above the middle"),
        pytest.param("100.2", "0.5", "100", "100", "100.5", id="below the middle"),
        pytest.param("100.25", "0.5", "100", "100", "100.5", id="half goes to the even multiple"),
        pytest.param("100.75", "0.5", "100.5", "101", "101", id="half goes up when that is even"),
        pytest.param("-0.3", "0.5", "-0.5", "-0.5", "0", id="down is towards minus infinity"),
        pytest.param("19", "10", "10", "20", "20", id="whole contracts"),
    ],
)
def test_rounding_goes_the_way_its_name_says(value, step, down, nearest, up):
    value, step = D(value), D(step)
    assert (round_down(value, step), round_nearest(value, step), round_up(value, step)) == (
        D(down),
        D(nearest),
        D(up),
    )


@pytest.mark.parametrize(
    ("value", "booked"),
    [
        pytest.param("-3.9752E-7", "-4.0E-7", id="profit of the recorded inverse round trip"),
        pytest.param("0.000000005", "0", id="half to even, down"),
        pytest.param("0.000000015", "0.00000002", id="half to even, up"),
        pytest.param("0.131", "0.131", id="nothing to round"),
    ],
)
def test_cash_is_booked_with_eight_decimals(value, booked):
    assert round_settlement(D(value)) == D(booked)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("-0.000", "0"),
        ("10", "10"),
        ("1E+3", "1000"),
        ("1.500", "1.5"),
        ("100.0", "100"),
        ("6.0E-8", "0.00000006"),
        ("-0.010347", "-0.010347"),
    ],
)
def test_text_is_plain_and_has_no_idle_zeros(value, text):
    assert decimal_text(D(value)) == text


@given(value=st.decimals(min_value=-(10**9), max_value=10**9, places=10))
def test_text_reads_back_as_the_same_number_and_equal_numbers_read_alike(value):
    assert D(decimal_text(value)) == value
    assert decimal_text(value) == decimal_text(value.normalize())
    assert "E" not in decimal_text(value)


def test_money_of_one_currency_adds_and_subtracts():
    two, three = Money(amount=D(2), currency="BTC"), Money(amount=D(3), currency="BTC")
    assert two + three == Money(amount=D(5), currency="BTC")
    assert two - three == Money(amount=D(-1), currency="BTC")


@pytest.mark.parametrize("combine", [Money.__add__, Money.__sub__])
def test_two_currencies_never_combine(combine):
    with pytest.raises(ValueError, match="BTC with USDC"):
        combine(Money(amount=D(1), currency="BTC"), Money(amount=D(1), currency="USDC"))
