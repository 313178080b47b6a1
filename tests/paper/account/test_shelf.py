"""Records by time: what a reader sees when, and what is dropped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.paper.account.shelf import Shelf, Window, visible

RECENT_MS, DELAY_MS = 1000, 100


def is_visible(age_ms, *, is_historical, delay_ms=DELAY_MS):
    window = visible(10_000, RECENT_MS, is_historical=is_historical, archive_delay_ms=delay_ms)
    return window.start_ms <= 10_000 - age_ms <= window.end_ms


@pytest.mark.parametrize(
    ("age_ms", "recent", "archive"),
    [
        pytest.param(0, True, False, id="new"),
        pytest.param(999, True, False, id="at the limit of recent"),
        pytest.param(1000, False, False, id="one past it"),
        pytest.param(1099, False, False, id="not indexed yet"),
        pytest.param(1100, False, True, id="indexed"),
        pytest.param(9999, False, True, id="old"),
    ],
)
def test_a_record_is_recent_then_in_neither_view_then_in_the_archive(age_ms, recent, archive):
    assert is_visible(age_ms, is_historical=False) is recent
    assert is_visible(age_ms, is_historical=True) is archive


@given(st.integers(0, 5000))
def test_without_a_delay_every_record_is_in_exactly_one_view(age_ms):
    views = [is_visible(age_ms, is_historical=flag, delay_ms=0) for flag in (False, True)]
    assert sorted(views) == [False, True]


def test_a_full_shelf_drops_its_oldest_and_says_which():
    shelf = Shelf(length_max=20)
    dropped = []
    for number in range(100):
        dropped += shelf.add(number, number)
        assert len(shelf.items) <= 22
        assert shelf.items == shelf.times
        assert dropped + shelf.items == list(range(number + 1))


@given(st.lists(st.integers(0, 50)), st.integers(-1, 51), st.integers(-1, 51))
def test_a_window_finds_its_records_though_the_clock_went_back(times, start_ms, end_ms):
    shelf = Shelf()
    for time_ms in times:
        shelf.add(time_ms, time_ms)
    window = Window(start_ms=start_ms, end_ms=end_ms)
    wanted = [time for time in times if start_ms <= time <= end_ms]
    assert list(shelf.oldest_first(window)) == wanted
    assert list(shelf.newest_first(window)) == wanted[::-1]


def test_a_window_within_bounds_is_their_overlap():
    window = Window(start_ms=10, end_ms=90)
    assert window.within(0, 50) == Window(start_ms=10, end_ms=50)
    assert window.within(20, 500) == Window(start_ms=20, end_ms=90)
