"""Every fault has a test that injects it, and the page about it says so."""

import pytest
from fault_rows import ROWS
from fault_table import PAGE, page, proofs


@pytest.mark.parametrize("row", ROWS)
def test_every_fault_is_injected_by_some_test(row: str) -> None:
    assert [proof for proof in proofs() if proof.row == row]


def test_every_mark_names_a_fault_of_the_table() -> None:
    assert {proof.row for proof in proofs()} <= ROWS.keys()


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run scripts/fault-table"
