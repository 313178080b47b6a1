"""Labels are our client order ids: they must be unique, short, and readable back."""

import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from vigil.domain.labels import (
    LABEL_LENGTH_MAX,
    STRATEGY_ID_PATTERN,
    Label,
    make_label,
    parse_label,
)

strategy_ids = st.from_regex(STRATEGY_ID_PATTERN, fullmatch=True).map(str.strip)
intent_ids = st.integers(1, 10**15)
attempts = st.integers(1, 999)
parts = st.tuples(strategy_ids, intent_ids, attempts)


@given(parts=parts)
def test_a_label_reads_back_as_its_parts(parts):
    strategy_id, intent_id, attempt = parts
    assert parse_label(make_label(strategy_id, intent_id, attempt)) == Label(
        strategy_id=strategy_id, intent_id=intent_id, attempt=attempt
    )


@given(parts=parts)
def test_a_label_fits_what_the_exchange_keeps(parts):
    assert len(make_label(*parts)) <= LABEL_LENGTH_MAX


@example(one=("a", 1, 2), other=("a-1", 2, 3))
@example(one=("a-1", 2, 1), other=("a", 12, 1))
@given(one=parts, other=parts)
def test_different_attempts_never_share_a_label(one, other):
    assume(one != other)
    assert make_label(*one) != make_label(*other)


def test_a_label_is_spelled_as_people_grep_it():
    assert make_label("razor-btc", 17) == "vg-razor-btc-17-1"


def test_a_label_too_long_for_the_exchange_is_a_bug_and_not_cut():
    with pytest.raises(AssertionError):
        make_label("s" * 60, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "vg-",
        "vg-a-1",
        "a-1-1",
        "xvg-a-1-1",
        "vg-a-x-1",
        "vg-a-1-",
        "VG-a-1-1",
        "vg-a-1-1 ",
        "web",
    ],
)
def test_labels_of_others_are_not_taken_for_ours(text):
    assert parse_label(text) is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("vg-a-1-1\n", id="a line end after it"),
        pytest.param("vg-a-01-1", id="leading zero"),
        pytest.param("vg-a-١-1", id="digits of another script"),
        pytest.param("vg-not an id-1-1", id="no strategy id of ours"),
    ],
)
def test_a_label_that_we_cannot_have_made_is_not_ours(text):
    assert parse_label(text) is None


@given(text=st.text(max_size=70))
def test_any_text_is_a_label_or_is_not_and_never_raises(text):
    label = parse_label(text)
    assert label is None or isinstance(label, Label)


@pytest.mark.parametrize("strategy_id", ["a", "Razor-1", "r.2_x", "9", "x" * 32])
def test_strategy_ids_may_be_words_with_dots_dashes_and_underscores(strategy_id):
    assert re.fullmatch(STRATEGY_ID_PATTERN, strategy_id)


@pytest.mark.parametrize(
    "strategy_id", ["", "-a", ".a", "a b", "a/b", "é", "x" * 33, "<b>", "a\x00"]
)
def test_strategy_ids_that_could_hurt_elsewhere_are_refused(strategy_id):
    assert re.fullmatch(STRATEGY_ID_PATTERN, strategy_id) is None
