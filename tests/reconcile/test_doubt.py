"""Absence is proven slowly, and disproven at once. FAULTS §4."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.domain.order import Direction, OrderStatus, OrderType, OwnOrder, Role
from vigil.reconcile.doubt import (
    ARCHIVE_DELAY_MS,
    INDEXING_DELAY_MS,
    RECENT_FILLS_MS,
    RECENT_ORDERS_MS,
    VALIDITY_MARGIN_MS,
    Absences,
    Verdict,
    is_expired,
    needs_log,
    spacing_ms,
)

WAIT, ABSENT = Verdict.WAIT, Verdict.ABSENT
VALID_UNTIL_MS = 10_000
SAFE_MS = VALID_UNTIL_MS + VALIDITY_MARGIN_MS


def order(label="vg-s-1-1"):
    return OwnOrder(
        label=label,
        intent_id=1,
        attempt=1,
        strategy_id="s",
        strategy_name="Razor",
        role=Role.ENTRY,
        trade_id="t1",
        instrument_name="BTC-PERPETUAL",
        direction=Direction.BUY,
        order_type=OrderType.MARKET,
        amount=D(10),
        created_ms=VALID_UNTIL_MS - 4_000,
        valid_until_ms=VALID_UNTIL_MS,
        status=OrderStatus.IN_DOUBT,
    )


def judged(*searches):
    absences = Absences({})
    return [absences.judge(order(), searched_ms=at_ms) for at_ms in searches]


@pytest.mark.parametrize(
    ("searches", "verdicts"),
    [
        pytest.param([0], [WAIT], id="still valid"),
        pytest.param([SAFE_MS], [WAIT], id="at the margin it may just have started"),
        pytest.param([SAFE_MS + 1], [WAIT], id="one good search is not enough"),
        pytest.param(
            [SAFE_MS + 1, SAFE_MS + 1 + INDEXING_DELAY_MS],
            [WAIT, WAIT],
            id="the second as far apart as the index lags, no further",
        ),
        pytest.param(
            [SAFE_MS + 1, SAFE_MS + 2 + INDEXING_DELAY_MS], [WAIT, ABSENT], id="far enough apart"
        ),
        pytest.param(
            [SAFE_MS, SAFE_MS + 2 + INDEXING_DELAY_MS],
            [WAIT, WAIT],
            id="a search made too early never counts",
        ),
        pytest.param(
            [SAFE_MS + 1, SAFE_MS + 2, SAFE_MS + 3, SAFE_MS + 2 + INDEXING_DELAY_MS],
            [WAIT, WAIT, WAIT, ABSENT],
            id="searches in between neither help nor harm",
        ),
        pytest.param(
            [SAFE_MS + 5_000, SAFE_MS + 1, SAFE_MS + 5_001],
            [WAIT, WAIT, WAIT],
            id="a clock set back proves nothing",
        ),
        pytest.param(
            [SAFE_MS + 1, SAFE_MS + 9_000, SAFE_MS + 9_001],
            [WAIT, ABSENT, WAIT],
            id="after the verdict the count starts over",
        ),
    ],
)
def test_absence_takes_two_complete_searches_apart_after_the_order_died(searches, verdicts):
    assert judged(*searches) == verdicts


def test_a_found_order_or_a_failed_search_starts_the_count_over():
    absences = Absences({})
    absences.judge(order(), searched_ms=SAFE_MS + 1)
    absences.forget("vg-s-1-1")
    assert absences.judge(order(), searched_ms=SAFE_MS + 9_000) is WAIT
    assert absences.judge(order(), searched_ms=SAFE_MS + 18_000) is ABSENT


def test_forgetting_what_was_never_searched_is_no_error():
    Absences({}).forget("vg-s-1-1")


def test_orders_are_judged_each_by_its_own_searches():
    absences = Absences({})
    absences.judge(order("vg-s-1-1"), searched_ms=SAFE_MS + 1)
    assert absences.judge(order("vg-s-2-1"), searched_ms=SAFE_MS + 9_000) is WAIT
    assert absences.judge(order("vg-s-1-1"), searched_ms=SAFE_MS + 9_000) is ABSENT


AGES = {
    "at once": (SAFE_MS + 1, False, INDEXING_DELAY_MS),
    "while the recent store must know it": (VALID_UNTIL_MS + RECENT_ORDERS_MS, False, 2_000),
    "after the recent store may have forgotten it": (
        VALID_UNTIL_MS + RECENT_ORDERS_MS + 1,
        True,
        INDEXING_DELAY_MS,
    ),
    "while its executions are recent": (VALID_UNTIL_MS + RECENT_FILLS_MS, True, 2_000),
    "when its executions may be on their way": (
        VALID_UNTIL_MS + RECENT_FILLS_MS + 1,
        True,
        ARCHIVE_DELAY_MS,
    ),
}


@pytest.mark.parametrize("age", AGES)
def test_what_a_proof_takes_grows_with_the_age_of_the_order(age):
    """FAULTS E19: what a store has forgotten, or does not show yet, is not absent."""
    at_ms, takes_log, spacing = AGES[age]
    assert is_expired(order(), at_ms)
    assert (needs_log(order(), at_ms), spacing_ms(order(), at_ms)) == (takes_log, spacing)
    absences = Absences({})
    assert absences.judge(order(), searched_ms=at_ms - spacing) is WAIT
    assert not absences.is_last(order(), searched_ms=at_ms)
    absences.forget(order().label)
    absences.judge(order(), searched_ms=at_ms)
    second_ms = at_ms + spacing_ms(order(), at_ms + spacing) + 1
    assert absences.is_last(order(), searched_ms=second_ms)
    assert absences.judge(order(), searched_ms=second_ms) is ABSENT


def test_the_proof_in_the_recent_store_ends_before_the_store_forgets():
    """Closed orders are kept for 30 minutes and trades for 24 hours; the rest is for the road."""
    assert 4_000 + RECENT_ORDERS_MS + INDEXING_DELAY_MS < 30 * 60_000
    assert 4_000 + RECENT_FILLS_MS + INDEXING_DELAY_MS < 24 * 3_600_000


@given(searches=st.lists(st.integers(0, 60_000), max_size=8))
def test_no_verdict_without_two_safe_searches_further_apart_than_the_index_lags(searches):
    absences, safe = Absences({}), []
    for at_ms in searches:
        verdict = absences.judge(order(), searched_ms=at_ms)
        if at_ms > SAFE_MS:
            safe.append(at_ms)
        if verdict is ABSENT:
            assert max(safe) - min(safe) > INDEXING_DELAY_MS
            safe = []
