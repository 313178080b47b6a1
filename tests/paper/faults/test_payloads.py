"""What faults make of messages, by tables and for whatever there is."""

import copy
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.paper.faults import payloads

ROWS = [{"id": number, "state": "open"} for number in range(5)]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(ROWS, [], id="list"),
        pytest.param(
            {"trades": ROWS, "has_more": True}, {"trades": [], "has_more": False}, id="page"
        ),
        pytest.param(
            {"logs": ROWS, "continuation": 7}, {"logs": [], "continuation": None}, id="log"
        ),
        pytest.param({"order_id": "1"}, {"order_id": "1"}, id="no list"),
        pytest.param("ok", "ok", id="word"),
    ],
)
def test_a_list_is_emptied_and_nothing_else(answer, expected):
    assert payloads.emptied(answer) == expected


@pytest.mark.parametrize(
    ("how", "answer", "expected"),
    [
        ("truncated", ROWS, ROWS[:2]),
        ("truncated", {"trades": ROWS, "has_more": True}, {"trades": ROWS[:2], "has_more": False}),
        ("no-continuation", {"logs": ROWS, "continuation": 7}, {"logs": ROWS}),
        (
            "no-continuation",
            {"trades": ROWS, "has_more": False},
            {"trades": ROWS, "has_more": True},
        ),
        ("repeated", {"logs": ROWS}, {"logs": ["before"]}),
    ],
)
def test_a_page_lies_about_its_rows(how, answer, expected):
    assert payloads.cut(answer, how=how, before={"logs": ["before"]}) == expected


@given(
    value=JSON,
    change=st.sampled_from(["unknown-enum", "missing-field", "null-field"]),
    seed=st.integers(),
)
def test_a_change_is_told_truly_and_leaves_the_original_alone(value, change, seed):
    before = copy.deepcopy(value)
    told, is_changed = payloads.changed(
        value, change=change, field=None, word="w", dice=random.Random(seed)
    )
    assert value == before
    if not is_changed:
        assert told is value
    json.dumps(told)


@given(value=JSON)
def test_what_is_hidden_is_gone_and_the_rest_is_the_same_object(value):
    assert payloads.without(value, lambda _: False) is value


def test_hidden_rows_leave_pages_and_single_answers():
    def is_hidden(row):
        return row.get("id") == 3

    assert [row["id"] for row in payloads.without(ROWS, is_hidden)] == [0, 1, 2, 4]
    page = payloads.without({"trades": ROWS, "has_more": False}, is_hidden)
    assert [row["id"] for row in page["trades"]] == [0, 1, 2, 4]
    assert payloads.without(ROWS[3], is_hidden) is None


@pytest.mark.parametrize("shape", ["truncated", "not-json", "invalid-utf8", "deep-nesting"])
@given(
    members=st.dictionaries(st.text(min_size=1, max_size=5), st.integers(), min_size=1, max_size=5)
)
def test_what_is_garbled_no_ordinary_reader_takes(shape, members):
    frame = payloads.garbled(json.dumps(members).encode(), shape=shape, size=100_000)
    with pytest.raises((ValueError, RecursionError)):
        json.loads(frame.decode())


def test_an_oversize_frame_is_as_large_as_told_and_still_json():
    frame = payloads.garbled(b'{"id":1}', shape="oversize", size=5000)
    assert len(frame) == 5000 + len(b',"padding":') + 2 - 11
    assert json.loads(frame)["id"] == 1


def test_a_burst_goes_on_in_time():
    message = {
        "method": "subscription",
        "params": {"channel": "c", "data": {"timestamp": 5, "x": 1}},
    }
    times = [each["params"]["data"]["timestamp"] for each in payloads.burst(message, 3)]
    assert times == [5, 6, 7]
    assert message["params"]["data"]["timestamp"] == 5
