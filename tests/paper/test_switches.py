"""Readings of the protocol, chosen by text."""

from dataclasses import fields
from pathlib import Path

import pytest

from vigil.paper.switches import Switches, read_switches

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "paper-exchange.md"


def test_what_is_not_said_keeps_its_default() -> None:
    assert read_switches([]) == Switches()


def test_each_kind_is_read() -> None:
    chosen = read_switches(
        ["events_before_reply=off", "idle_close_s=600", "self_trading_reject_mode=reject_taker"]
    )
    assert (chosen.events_before_reply, chosen.idle_close_s) == (False, 600)
    assert chosen.self_trading_reject_mode == "reject_taker"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("nonsense=on", "no such switch"),
        ("events_before_reply", "wants on or off"),
        ("events_before_reply=1", "wants on or off"),
        ("idle_close_s=soon", "wants a whole number"),
        ("idle_close_s=-1", "wants a whole number"),
        ("self_trading_reject_mode=", "wants a word"),
        ("self_trading_reject_mode=cancel", "one of cancel_maker, reject_taker"),
        ("closed_book_code=13020", "one of 13019, 10012"),
        ("scope_refusal_code=1", "one of 13403, 13021, 11042"),
        ("wrong_address_code=1", "one of 13004, 13021"),
        ("locked_code=1", "one of 10019, 11051, 10072"),
        ("account_locked_code=1", "one of 11098, 10019"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(setting: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        read_switches([setting])
    assert setting in str(refused.value)


@pytest.mark.parametrize("field", fields(Switches), ids=lambda field: field.name)
def test_every_switch_is_documented(field) -> None:
    assert f"`{field.name}`" in DOCUMENT.read_text()
