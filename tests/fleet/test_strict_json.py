"""JSON as a person wrote it, or a refusal with its place."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.fleet.strict_json import JsonRefused, encode_json, line_and_column, read_json

NUMBERS = st.integers(-(10**30), 10**30) | st.decimals(
    allow_nan=False, allow_infinity=False, places=8, min_value=-(10**20), max_value=10**20
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_encoded_reads_back_exactly(value):
    assert read_json(encode_json(value)).value == value


@given(VALUES)
def test_every_span_holds_its_own_value(value):
    text = encode_json(value)
    document = read_json(text)
    for path, span in document.spans.items():
        inner = value
        for step in path:
            inner = inner[step]
        assert read_json(text[span.start : span.end]).value == inner
        if path and isinstance(path[-1], str):
            assert text.startswith(json.dumps(path[-1], ensure_ascii=False), span.key)


@given(st.text())
def test_any_text_is_read_or_refused_within_itself(text):
    try:
        read_json(text)
    except JsonRefused as error:
        refused = error
    else:
        return
    assert 0 <= refused.offset <= len(text)
    assert refused.reason
    assert refused.fix


JSONISH = st.text('{}[]":,\\/ \n0123456789.eE+-truefalsnINaU"ab', max_size=60)


@given(JSONISH)
def test_agrees_with_the_standard_parser_on_what_both_accept(text):
    try:
        ours = read_json(text).value
    except JsonRefused:
        return
    assert json.loads(text, parse_float=Decimal) == ours


@given(VALUES, st.data())
def test_a_text_cut_short_is_refused(value, data):
    text = encode_json([value])
    cut = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(JsonRefused):
        read_json(text[:cut])


@pytest.mark.parametrize(
    ("text", "offset", "reason"),
    [
        pytest.param("", 0, "the text ends", id="empty"),
        pytest.param("{}x", 2, "x after the end", id="something after the end"),
        pytest.param('{"a": 1, "a": 2}', 9, 'duplicate key "a"', id="duplicate key"),
        pytest.param('{"a": 1, "\\u0061": 2}', 9, 'duplicate key "a"', id="duplicate in disguise"),
        pytest.param('{"a": 1,}', 8, "} where a key should be", id="comma after the last key"),
        pytest.param("[1,]", 3, "] where a value should be", id="comma after the last element"),
        pytest.param("{'a': 1}", 1, "' where a key should be", id="single quotes"),
        pytest.param("{a: 1}", 1, "a where a key should be", id="no quotes"),
        pytest.param('{"a" 1}', 5, "1 where a colon should be", id="no colon"),
        pytest.param('{"a": 1 "b": 2}', 8, '" where a comma or }', id="no comma"),
        pytest.param("[1 2]", 3, "2 where a comma or ]", id="no comma in an array"),
        pytest.param("NaN", 0, '"NaN" is no JSON value', id="NaN"),
        pytest.param("-Infinity", 0, '"-Infinity" is no number', id="infinity"),
        pytest.param("True", 0, '"True" is no JSON value', id="Python's true"),
        pytest.param("01", 0, '"01" is no number', id="leading zero"),
        pytest.param(".5", 0, '".5" is no JSON value', id="no leading zero"),
        pytest.param("1.", 0, '"1." is no number', id="nothing after the point"),
        pytest.param("+1", 0, '"+1" is no JSON value', id="plus"),
        pytest.param("0x10", 0, '"0x10" is no number', id="hexadecimal"),
        pytest.param("1_000", 0, '"1_000" is no number', id="underscore"),
        pytest.param("1e31", 0, "beyond 1e30", id="huge"),
        pytest.param("1e-99999999999999999999", 0, "beyond", id="tinier than Decimal can"),
        pytest.param("0e99", 0, "beyond", id="a zero of many"),
        pytest.param("9" * 41, 0, "41 characters", id="long"),
        pytest.param('"a\nb"', 2, "U+000A inside text", id="line break in text"),
        pytest.param('"a', 2, "the text ends inside text", id="text not closed"),
        pytest.param('"\\x"', 1, "no such escape", id="unknown escape"),
        pytest.param('"\\ud800"', 0, "half a surrogate pair", id="half a pair"),
        pytest.param("// hi\n{}", 0, "/ where a value should be", id="comment"),
        pytest.param("\ufeff{}", 0, "U+FEFF where a value", id="byte order mark"),
        pytest.param("[" * 1000, 33, "more than 32 levels", id="deep"),
    ],
)
def test_what_a_person_cannot_have_meant_is_refused_at_its_place(text, offset, reason):
    with pytest.raises(JsonRefused) as refused:
        read_json(text)
    assert reason in refused.value.reason
    assert refused.value.offset == offset


def test_numbers_are_exact():
    value = read_json("[0.1, 1E-7, -0.00, 9007199254740993, 2.50]").value
    assert [str(number) for number in value] == ["0.1", "1E-7", "-0.00", "9007199254740993", "2.50"]


@given(st.text("ab\n", max_size=30), st.data())
def test_line_and_column_lead_back_to_the_character(text, data):
    offset = data.draw(st.integers(0, len(text)))
    line, column = line_and_column(text, offset)
    lines = text.split("\n")
    assert sum(len(before) + 1 for before in lines[: line - 1]) + column - 1 == offset
