"""The same values, however they are written."""

import json
import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.paper.wire.wording import Wording

numbers = st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**12),
                      max_value=10**12)  # fmt: skip
values = st.recursive(
    numbers | st.integers(-(2**53), 2**53) | st.text() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=30,
)


def read(frame):
    """As an exact reader would."""
    return json.loads(frame, parse_float=Decimal)


def plainly(value):
    """What is left of a value when ways of writing do not count."""
    match value:
        case Decimal():
            return value.normalize()
        case dict():
            return {name: plainly(item) for name, item in value.items()}
        case list() | tuple():
            return [plainly(item) for item in value]
        case int() if not isinstance(value, bool):
            return Decimal(value)
    return value


@given(values, st.integers(0, 1000), st.booleans())
def test_every_value_is_read_back_exactly(value, seed, is_mixed):
    message = {"result": value}
    frame = Wording(random.Random(seed), is_mixed=is_mixed).reply(message)
    assert plainly(read(frame)) == plainly(message)


def test_all_three_ways_are_used_and_members_change_places():
    wording = Wording(random.Random(1), is_mixed=True)
    message = {"a": Decimal(10), "b": Decimal("64123.5"), "c": Decimal("4E-7"), "d": Decimal(0)}
    frames = {wording.reply(message) for _ in range(100)}
    text = b"".join(frames)
    for written in (
        b'"a":10,', b'"a":10.0', b'"a":1.0e1', b'"b":64123.5', b'"b":6.41235e4',
        b'"c":0.0000004', b'"c":4.0e-7', b'"d":0.0',
    ):  # fmt: skip
        assert written in text
    assert {frame[:4] for frame in frames} == {b'{"a"', b'{"b"', b'{"c"', b'{"d"'}


def test_whole_numbers_such_as_times_stay_whole():
    wording = Wording(random.Random(1), is_mixed=True)
    for _ in range(50):
        assert b"1795000000000" in wording.reply({"timestamp": 1_795_000_000_000})


def test_one_seed_writes_the_same_every_time():
    message = {"params": {"data": [Decimal(10), Decimal("0.5")]}, "method": "subscription"}
    once, again = (Wording(random.Random(7), is_mixed=True) for _ in range(2))
    assert [once.push(message) for _ in range(64)] == [again.push(message) for _ in range(64)]


def test_some_notifications_are_rewritten_and_most_are_not():
    wording = Wording(random.Random(1), is_mixed=True)
    message = {"jsonrpc": "2.0", "params": {"data": {"a": Decimal(10), "b": Decimal("0.5")}}}
    plain = Wording(random.Random(1), is_mixed=False).push(message)
    changed = sum(wording.push(message) != plain for _ in range(800))
    assert 20 <= changed <= 100


@pytest.mark.parametrize("is_mixed", [True, False])
def test_a_very_long_list_is_written_whole(is_mixed):
    message = {"result": [Decimal(i) for i in range(10_000)]}
    frame = Wording(random.Random(1), is_mixed=is_mixed).reply(message)
    assert read(frame)["result"] == list(range(10_000))
