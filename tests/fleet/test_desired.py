"""The operator's file: what it says, or the line and column of what is wrong."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.domain.standing import DesiredStatus
from vigil.errors import Misconfigured
from vigil.fleet.desired import DesiredState, StateFileRefused, parse

GOOD = """{
  "version": 1,
  "environment": "paper",
  "disclaimerAccepted": false,
  "activeStrategies": [
    {
      "id": "razor-btc",
      "name": "Razor",
      "status": "active",
      "config": {
        "tradeSize": 100.50,
        "limits": {"daily": 3}
      }
    },
    {"id": "b", "name": "Razor", "status": "paused", "account": "sub", "config": {}}
  ]
}
"""


def refused(text: str | bytes) -> StateFileRefused:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(StateFileRefused) as caught:
        parse(data, path="state/backend-state.json")
    return caught.value


def desired(text: str = GOOD) -> DesiredState:
    return parse(text.encode(), path="state/backend-state.json")


def test_a_good_file_says_what_is_wanted():
    state = desired()
    assert state.environment == "paper"
    assert not state.is_disclaimer_accepted
    first, second = state.strategies
    assert (first.id, first.name, first.status) == ("razor-btc", "Razor", DesiredStatus.ACTIVE)
    assert first.account is None
    assert first.config == {"tradeSize": Decimal("100.50"), "limits": {"daily": 3}}
    assert str(first.config["tradeSize"]) == "100.50"
    assert (second.status, second.account) == (DesiredStatus.PAUSED, "sub")
    assert state.strategy("b") is second
    assert state.strategy("absent") is None


def test_only_active_strategies_is_required():
    state = desired('{"activeStrategies": []}')
    assert state.strategies == ()
    assert state.environment is None
    assert not state.is_disclaimer_accepted


def test_states_that_want_the_same_are_equal_however_they_are_written():
    assert desired() == desired(
        json.dumps(json.loads(GOOD, parse_float=str)).replace('"100.50"', "100.5")
    )
    assert desired() != desired(GOOD.replace("paused", "active"))


@pytest.mark.parametrize(
    ("old", "new", "place", "parts"),
    [
        pytest.param('"version": 1,', '"version": 2,', (2, 3), ["version", "1"], id="version"),
        pytest.param('"version": 1,', '"version": true,', (2, 3), ["version"], id="true is not 1"),
        pytest.param(
            '"paper"', '"demo"', (3, 3), ["environment", "'paper', 'testnet'"], id="choice"
        ),
        pytest.param("false", '"no"', (4, 3), ["disclaimerAccepted", "true or false"], id="bool"),
        pytest.param('"id": "razor-btc"', '"id": 5', (7, 7), ["activeStrategies[0].id"], id="type"),
        pytest.param('"razor-btc"', '"../etc"', (7, 7), ["'../etc' is no id"], id="path as id"),
        pytest.param('"razor-btc"', '"a\\n"', (7, 7), ["'a\\n' is no id"], id="line break in id"),
        pytest.param('"razor-btc"', f'"{"x" * 33}"', (7, 7), ["is no id", "32"], id="long id"),
        pytest.param('"razor-btc"', '"b"', (15, 6), ["activeStrategies[0] already"], id="same id"),
        pytest.param('"name": "Razor",\n', '"name": "",\n', (8, 7), ["name"], id="empty name"),
        pytest.param(
            '"name": "Razor",\n', '"name": "a\\u202eb",\n', (8, 7), ["printed"], id="unprintable"
        ),
        pytest.param('"status": "active"', '"status": "on"', (9, 7), ["'stopped'"], id="status"),
        pytest.param('"status"', '"statsu"', (9, 7), ["statsu", 'mean "status"'], id="misspelt"),
        pytest.param(
            '"version": 1,', '"verison": 1,', (2, 3), ["unknown key", 'mean "version"'], id="typo"
        ),
        pytest.param(
            '"config": {}',
            '"config": {}, "stpo": 1',
            (15, 86),
            ["activeStrategies[1].stpo"],
            id="inner typo",
        ),
        pytest.param(
            '"config": {}', '"config": []', (15, 72), ["config", "{...}"], id="list for config"
        ),
        pytest.param(
            '"tradeSize"', '"tradeSize": 1, "tradeSize"', (11, 25), ["duplicate"], id="twice"
        ),
        pytest.param('"name": "Razor",\n', "", (6, 5), ["name", "missing"], id="missing"),
        pytest.param("100.50", "NaN", (11, 22), ["config.tradeSize", "NaN"], id="NaN"),
        pytest.param("100.50,", "100.50", (12, 9), ["comma or }"], id="no comma"),
    ],
)
def test_what_is_wrong_is_named_with_line_column_field_and_fix(old, new, place, parts):
    assert old in GOOD
    error = refused(GOOD.replace(old, new, 1))
    assert (error.line, error.column) == place
    assert str(error).startswith(f"state/backend-state.json:{place[0]}:{place[1]}: ")
    assert error.fix in str(error)
    for part in parts:
        assert part in str(error)


def test_the_first_of_several_errors_is_the_one_named():
    error = refused(GOOD.replace('"active"', '"on"').replace('"paused"', '"off"'))
    assert error.line == 9


@pytest.mark.parametrize(
    ("data", "place", "part"),
    [
        pytest.param(b"", (1, 1), "the text ends", id="empty"),
        pytest.param(b"[]", (1, 1), "", id="not an object"),
        pytest.param(b"null", (1, 1), "", id="null"),
        pytest.param(b"\xef\xbb\xbf" + GOOD.encode(), (1, 1), "byte order mark", id="BOM"),
        pytest.param(GOOD.encode("utf-16"), (1, 1), "byte order mark", id="UTF-16"),
        pytest.param(b'{\n "\xc3\xa9\xff": 1}', (2, 4), "0xff is not UTF-8", id="not UTF-8"),
        pytest.param(b"\0" * 100, (1, 1), "U+0000", id="NULs, as after a power cut"),
        pytest.param(GOOD.encode()[:200], None, "", id="torn"),
        pytest.param(b" " * (1024 * 1024 + 1), (None, None), "1048577 bytes", id="too large"),
    ],
)
def test_garbage_is_refused_at_its_place(data, place, part):
    error = refused(data)
    assert part in error.reason
    if place is not None:
        assert (error.line, error.column) == place


def test_a_refusal_is_a_misconfiguration_and_says_all_in_one_line():
    error = refused(GOOD.replace('"active"', '"on"'))
    assert isinstance(error, Misconfigured)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("", (6, 5)),
        ("status", (9, 7)),
        ("config", (10, 7)),
        ("tradeSize", (11, 9)),
        ("config.tradeSize", (11, 9)),
        ("limits.daily", (12, 20)),
        ("config.instrument", (10, 7)),
        ("account", (6, 5)),
    ],
)
def test_a_field_is_located_and_a_missing_one_by_what_is_around_it(name, place):
    assert desired().locate("razor-btc", name) == place


def test_later_checks_point_at_the_same_places():
    error = desired().refusal("razor-btc", "tradeSize", "below the minimum", "raise it to 10")
    assert str(error) == (
        "state/backend-state.json:11:9: activeStrategies[0].config.tradeSize:"
        " below the minimum; raise it to 10"
    )


@given(st.binary())
def test_any_bytes_give_a_state_or_a_refusal(data):
    try:
        parse(data, path="f")
    except StateFileRefused as error:
        str(error).encode()


@st.composite
def mutations(draw) -> bytes:
    data = bytearray(GOOD.encode())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        until = min(len(data), at + draw(st.integers(0, 12)))
        data[at:until] = draw(
            st.binary(max_size=3)
            | st.sampled_from([b"{", b"}", b'"', b",", b"NaN", b"1e999", b"null"])
        )
    return bytes(data)


@given(mutations())
def test_a_mutilated_file_gives_a_state_or_a_refusal_with_a_place_in_it(data):
    try:
        state = parse(data, path="f")
    except StateFileRefused as error:
        line, column = error.line, error.column
    else:
        line, column = min(
            (state.locate(each.id, "config") for each in state.strategies), default=(1, 1)
        )
    assert 1 <= line <= data.count(b"\n") + 1
    assert column >= 1
