"""Which expiries there are, and their names."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.paper.market.expiries import Expiry, Schedule, expiry_name, listed_expiries


def ms(*date):
    return int(datetime(*date, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("date", "name"),
    [((2026, 9, 6, 8), "6SEP26"), ((2026, 12, 25, 8), "25DEC26"), ((2030, 1, 1, 8), "1JAN30")],
)
def test_names_have_no_leading_zero(date, name):
    assert expiry_name(ms(*date)) == name


def test_the_recorded_expirations_are_those_of_their_day(recorded):
    theirs = recorded("nautilus/http_get_expirations_any.json")["result"]["option"]
    now_ms = ms(2026, 5, 20, 7, 50)
    ours = listed_expiries(now_ms, Schedule(days=4, weeks=3, months=3, quarters=4))
    assert [expiry.name for expiry in ours] == theirs


def test_a_day_is_listed_once_by_its_longest_period():
    now_ms = ms(2026, 12, 21, 9)
    found = listed_expiries(now_ms, Schedule(days=4, weeks=1, months=1, quarters=1))
    assert [(expiry.name, expiry.period) for expiry in found] == [
        ("22DEC26", "day"), ("23DEC26", "day"), ("24DEC26", "day"), ("25DEC26", "month"),
    ]  # fmt: skip


def test_an_expiry_leaves_the_list_at_its_hour():
    expires_ms = ms(2026, 12, 25, 8)
    weekly = Schedule(weeks=1)
    assert listed_expiries(expires_ms - 1, weekly)[0].expires_ms == expires_ms
    assert listed_expiries(expires_ms, weekly)[0].expires_ms == ms(2027, 1, 1, 8)


@given(st.integers(ms(2020, 1, 1), ms(2050, 1, 1)))
def test_all_are_ahead_at_eight_and_in_order(now_ms):
    found = listed_expiries(now_ms, Schedule(days=2, weeks=2, months=2, quarters=2))
    assert all(isinstance(expiry, Expiry) for expiry in found)
    times = [expiry.expires_ms for expiry in found]
    assert times == sorted(set(times))
    assert all(time > now_ms and time % 86_400_000 == 8 * 3_600_000 for time in times)
    quarters = [t for t in times if datetime.fromtimestamp(t / 1000, UTC).month % 3 == 0]
    assert quarters
