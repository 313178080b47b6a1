"""Scopes: asked for, granted, needed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.paper.session.rights import (
    AREAS,
    FULL_RIGHTS,
    LEVELS,
    READER_RIGHTS,
    covers,
    grant,
    needed_of_channel,
    needed_of_method,
    parse_rights,
    scope_text,
)
from vigil.paper.venue import METHODS


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        pytest.param("", {"account": "read_write", "trade": "read_write"}, id="nothing: all"),
        pytest.param("session:me", {"account": "read_write", "trade": "read_write"}, id="no area"),
        pytest.param(
            "trade:read", {"account": "read_write", "trade": "read"}, id="narrower granted"
        ),
        pytest.param("trade:none", {"account": "read_write"}, id="none takes an area away"),
        pytest.param(
            "wallet:read_write account:read",
            {"account": "read", "trade": "read_write"},
            id="never more than the key holds",
        ),
        pytest.param(
            "trade:everything", {"account": "read_write", "trade": "read_write"}, id="no level"
        ),
    ],
)
def test_what_is_granted_of_what_is_asked_for(asked, granted):
    held = {"account": "read_write", "trade": "read_write"}
    assert grant(parse_rights(asked), held, with_unasked=True) == granted


def test_with_the_other_reading_only_named_areas_are_granted():
    asked = parse_rights("trade:read")
    assert grant(asked, FULL_RIGHTS, with_unasked=False) == {"trade": "read"}
    assert grant({}, FULL_RIGHTS, with_unasked=False) == FULL_RIGHTS


@given(
    st.dictionaries(st.sampled_from(AREAS), st.sampled_from(LEVELS)),
    st.dictionaries(st.sampled_from(AREAS), st.sampled_from(LEVELS)),
    st.booleans(),
)
def test_a_grant_never_exceeds_what_the_key_holds_or_what_was_asked(asked, held, with_unasked):
    granted = grant(asked, held, with_unasked=with_unasked)
    for area, level in granted.items():
        assert covers(held, (area, level))
        assert area not in asked or covers(asked, (area, level))


@pytest.mark.parametrize(
    ("method", "needed"),
    [
        ("private/buy", ("trade", "read_write")),
        ("private/cancel_all", ("trade", "read_write")),
        ("private/get_open_orders", ("trade", "read")),
        ("private/get_positions", ("trade", "read")),
        ("private/get_account_summary", ("account", "read")),
        ("private/get_transaction_log", ("account", "read")),
        ("private/enable_cancel_on_disconnect", ("account", "read_write")),
        ("private/get_cancel_on_disconnect", ("account", "read")),
        ("private/subscribe", None),
        ("private/logout", None),
    ],
)
def test_what_a_method_needs(method, needed):
    assert needed_of_method(method) == needed


def test_a_reader_may_call_every_method_that_only_reads():
    needed = {name: needed_of_method(name) for name in METHODS if "private/get_" in name}
    refused = [name for name, right in needed.items() if not covers(READER_RIGHTS, right)]
    assert needed
    assert {needed[name][0] for name in refused} <= {"wallet"}


def test_what_a_channel_needs():
    assert needed_of_channel("ticker") is None
    assert needed_of_channel("user.orders") == ("trade", "read")
    assert needed_of_channel("user.portfolio") == ("account", "read")
    assert needed_of_channel("user.lock") == ("account", "read")


def test_a_scope_reads_as_it_was_recorded():
    rights = {"account": "read", "trade": "read_write"}
    words = scope_text("connection", rights, ["ip:10.0.0.1"]).split()
    assert sorted(words) == [
        "account:read", "connection", "ip:10.0.0.1", "mainaccount", "trade:read_write",
    ]  # fmt: skip
