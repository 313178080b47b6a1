"""The menu is whole: every row has an entry, and every entry is somewhere."""

import re

import pytest

from vigil.paper.faults.entry import Point
from vigil.paper.faults.menu import ARMING_PARAMS, MENU, described
from vigil.paper.faults.venue_deeds import DEEDS
from vigil.paper.faults.venue_faults import VENUE_FAULTS
from vigil.paper.faults.wire_faults import WIRE_FAULTS

# What the exchange itself has to be able to do wrong.
EXCHANGE_ROWS = [f"E{number}" for number in range(1, 39)]
NETWORK_ROWS = [
    "N1",
    "N2",
    "N3",
    "N4",
    "N5",
    "N6",
    "N7",
    "N10",
    "N11",
    "N12",
    "N13",
    "N14",
    "N15",
    "N16",
]


@pytest.mark.parametrize("row", EXCHANGE_ROWS + NETWORK_ROWS)
def test_every_row_can_be_injected(row):
    assert [fault.name for fault in MENU.values() if row in fault.rows]


def test_no_entry_is_without_a_row_or_twice_on_the_menu():
    assert len(MENU) == len(WIRE_FAULTS + VENUE_FAULTS)
    known = {*EXCHANGE_ROWS, *NETWORK_ROWS}
    assert {fault.name: fault.rows for fault in MENU.values() if not set(fault.rows) & known} == {}


@pytest.mark.parametrize("fault", MENU.values(), ids=lambda fault: fault.name)
def test_an_entry_is_named_in_kebab_case_and_told_in_one_line(fault):
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", fault.name)
    assert len(fault.summary) <= 100
    assert "\n" not in fault.summary


@pytest.mark.parametrize("fault", MENU.values(), ids=lambda fault: fault.name)
def test_an_entrys_own_fields_are_told_from_those_of_arming(fault):
    own = [param.name for param in fault.params]
    assert len(own) == len(set(own))
    assert not set(own) & {param.name for param in ARMING_PARAMS}


def test_every_deed_of_the_venue_is_on_the_menu_and_done_somewhere():
    listed = {fault.name for fault in MENU.values() if fault.point is Point.VENUE}
    done_by_the_shell = {"skew-clock"}
    assert listed == DEEDS.keys() | done_by_the_shell


def test_the_text_for_people_has_every_entry_with_its_rows_and_fields():
    text = described()
    words = text.split()
    for fault in MENU.values():
        assert fault.name in words
        for param in fault.params:
            assert param.name in text
    for param in ARMING_PARAMS:
        assert param.name in words
    assert max(map(len, text.splitlines())) <= 130
