from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.paper.account.funding import (
    EIGHT_HOURS_MS,
    HOUR_MS,
    FundingMeter,
    funding_rate,
    received,
)

D = Decimal
LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"
START_MS = 1_795_000_000_000 // HOUR_MS * HOUR_MS


@pytest.mark.parametrize(
    ("name", "premium", "rate"),
    [
        (INVERSE, "0", "0"),
        (INVERSE, "0.00025", "0"),
        (INVERSE, "-0.00025", "0"),
        (INVERSE, "0.00026", "0.00001"),
        (INVERSE, "-0.001", "-0.00075"),
        (INVERSE, "0.02", "0.005"),
        ("ETH-PERPETUAL", "-0.02", "-0.01"),
        (LINEAR, "0.02", "0.01975"),
        (LINEAR, "0.2", "0.05"),
    ],
)
def test_the_rate_is_the_premium_less_a_dead_band_within_a_cap(name, premium, rate):
    assert funding_rate(name, D(premium)) == D(rate)


def meter(desk, name=LINEAR, at=D(80_000)):
    return FundingMeter(desk.market(name).listing, now_ms=START_MS, index_price=at)


def test_interest_value_grows_as_in_the_recorded_stream(desk):
    """Two readings of the inverse perpetual, a second apart."""
    item = meter(desk, INVERSE)
    interest, _ = item.pass_time(START_MS + 1007, D("-2.1714e-4"), D(83_251))
    recorded = D("-4.730061472766133e-5") - D("-4.467407940520975e-5")
    # They are a thousandth apart, which is the rate's own last digit.
    assert abs(interest - recorded) < D("2e-9")


def test_a_linear_position_pays_its_value_at_index_times_the_rate(desk):
    item = meter(desk)
    interest, _ = item.pass_time(START_MS + EIGHT_HOURS_MS, D("0.001"), D(80_000))
    assert received(D("0.5"), interest) == D(-40)  # long half a coin: 40 000 USDC x 0.1 %
    assert received(D("-0.5"), interest) == D(40)


def test_an_inverse_position_pays_in_coin(desk):
    item = meter(desk, INVERSE)
    interest, _ = item.pass_time(START_MS + EIGHT_HOURS_MS, D("0.001"), D(80_000))
    assert received(D(40_000), interest) == D("-0.0005")


def test_hours_are_told_as_they_end_and_add_up(desk):
    item = meter(desk)
    _, first = item.pass_time(START_MS + HOUR_MS // 2, D("0.008"), D(80_000))
    assert first == []
    _, ended = item.pass_time(START_MS + 3 * HOUR_MS, D("0.004"), D(81_000))
    assert [hour.timestamp_ms for hour in ended] == [
        START_MS + n * HOUR_MS for n in (1, 2, 3)
    ]  # fmt: skip
    assert [hour.interest_1h for hour in ended] == [D("0.00075"), D("0.0005"), D("0.0005")]
    assert ended[-1].interest_8h == D("0.00175")
    assert (ended[0].prev_index_price, ended[0].index_price) == (80_000, 81_000)


def test_any_window_of_the_history_can_be_measured(desk):
    item = meter(desk)
    item.pass_time(START_MS + 2 * HOUR_MS, D("0.008"), D(80_000))
    item.pass_time(START_MS + 4 * HOUR_MS, D(0), D(80_000))
    assert item.value(START_MS, START_MS + 2 * HOUR_MS) == D("0.002")
    assert item.value(START_MS + HOUR_MS // 2, START_MS + HOUR_MS) == D("0.0005")
    assert item.value(START_MS - HOUR_MS, START_MS + 9 * HOUR_MS) == D("0.002")
    assert item.value(START_MS + 3 * HOUR_MS, START_MS + 9 * HOUR_MS) == 0
    assert item.eight_hours == D("0.002")


def test_a_settlement_begins_the_interest_value_anew_but_not_the_history(desk):
    item = meter(desk)
    item.pass_time(START_MS + HOUR_MS, D("0.008"), D(80_000))
    item.restart()
    assert item.state.interest_value == 0
    assert item.eight_hours == D("0.001")


def test_a_restored_meter_goes_on_where_it_was(desk):
    item = meter(desk)
    _, hours = item.pass_time(START_MS + 9 * HOUR_MS, D("0.008"), D(80_000))
    other = meter(desk, at=D(1))
    other.restore(item.state, hours)
    for one in (item, other):
        one.pass_time(START_MS + 10 * HOUR_MS, D("-0.008"), D(80_000))
    assert other.state == item.state
    assert other.eight_hours == item.eight_hours == D("0.006")


def test_a_month_is_kept_whatever_gap_there_was(desk):
    item = meter(desk)
    _, hours = item.pass_time(START_MS + 40_000 * HOUR_MS, D("0.008"), D(80_000))
    assert len(item.hours) == len(hours) == 31 * 24
    assert item.state.paid == 40
    last_ms = item.state.last_ms
    assert item.value(last_ms - 20 * HOUR_MS, last_ms) == D("0.02")


@given(
    st.lists(
        st.tuples(
            st.integers(min_value=1, max_value=5 * HOUR_MS),
            st.integers(min_value=-50, max_value=50).map(lambda tens: D(tens) / 10_000),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_however_time_is_cut_the_windows_add_up(make_desk_once, steps):
    item = FundingMeter(
        make_desk_once(lists_expiries=False).market().listing,
        now_ms=START_MS,
        index_price=D(80_000),
    )
    now_ms, expected = START_MS, D(0)
    for elapsed_ms, rate in steps:
        now_ms += elapsed_ms
        item.pass_time(now_ms, rate, D(80_000))
        expected += rate * elapsed_ms / EIGHT_HOURS_MS
    assert abs(item.value(START_MS, now_ms) - expected) < D("1e-20")
    assert abs(item.state.interest_value - expected * EIGHT_HOURS_MS * 80_000) < D("1e-10")
    middle_ms = (START_MS + now_ms) // 2
    parts = item.value(START_MS, middle_ms) + item.value(middle_ms, now_ms)
    assert abs(parts - expected) < D("1e-20")
    assert abs(
        sum(h.interest_1h for h in item.hours)
        - item.value(START_MS, item.hours[-1].timestamp_ms if item.hours else START_MS)
    ) < D("1e-20")
