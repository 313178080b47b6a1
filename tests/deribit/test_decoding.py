from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.deribit.decoding import (
    Unreadable,
    count,
    decode,
    decoder,
    next_page,
    number,
    time_ms,
    unless_empty,
)

NUMBER = decoder(Decimal)
COUNT = decoder(int)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20))
def test_a_number_keeps_every_digit_however_it_is_written(value: Decimal) -> None:
    for text in (str(value), f"{value:e}", f"{value:f}", f'"{value}"'):
        assert decode(NUMBER, msgspec.Raw(text.encode())) == value


@pytest.mark.parametrize("text", ["10", "10.0", "1.0e1", "1E+1", "1e1"])
def test_an_integer_may_be_written_as_a_float(text: str) -> None:
    assert decode(COUNT, msgspec.Raw(text.encode())) == 10


@pytest.mark.parametrize("text", ["10.5", "true", "null", "[]", '"ten"', "1e400", "9" * 400])
def test_what_is_no_integer_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        count(decode(COUNT, msgspec.Raw(text.encode())))


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity", "1e33", "1e-33", "0e-40"])
def test_numbers_beyond_measure_are_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        number(Decimal(text))


def test_bounds_of_counts_and_times() -> None:
    assert count(2**63 - 1) == 2**63 - 1
    assert time_ms(0) == 0
    for refused in (-1, 2**63):
        with pytest.raises(Unreadable):
            count(refused)
    for refused in (-1, 2**53 + 1):
        with pytest.raises(Unreadable):
            time_ms(refused)


def test_zero_and_nothing_both_mean_that_there_is_none() -> None:
    assert unless_empty(None) is None
    assert unless_empty(Decimal("0.0")) is None
    assert unless_empty(Decimal("0.1")) == Decimal("0.1")


@pytest.mark.parametrize(("told", "next_"), [(None, None), ("", None), ("none", None), (7, 7)])
def test_where_the_next_page_begins(told: str | int | None, next_: int | None) -> None:
    assert next_page(told) == next_


def test_what_is_said_of_an_unreadable_answer_stays_short() -> None:
    deep = decoder(dict[str, int])
    with pytest.raises(Unreadable) as caught:
        decode(deep, msgspec.Raw(b'{"' + b"k" * 9_999 + b'": "x"}'))
    assert len(str(caught.value)) <= 200
