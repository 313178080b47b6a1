from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.domain.market import Candle
from vigil.paper.market.charts import HOUR_MS, MINUTE_MS, MINUTES_KEPT_MS, Chart

D = Decimal
BORN_MS = 1_795_000_020_000  # 20 s into a minute
MINUTE = BORN_MS - BORN_MS % MINUTE_MS


def past(minutes):
    """Closes 1, 2, 3 … up to 100 at the start."""
    closes = range(100 - minutes + 1, 101)
    return [(D(c - 1), D(c), D(c - 1), D(c)) for c in closes]


@pytest.fixture
def chart():
    return Chart("btc_usd", history=past, start_price=D(100), start_ms=BORN_MS)


def test_history_leads_without_a_gap_to_the_recorded_minutes(chart):
    chart.record(D(105), BORN_MS + 10_000)
    candles = chart.candles(MINUTE - 3 * MINUTE_MS, BORN_MS + 10_000, 1)
    assert [c.start_ms for c in candles] == [MINUTE + i * MINUTE_MS for i in (-3, -2, -1, 0)]
    assert [c.close for c in candles] == [98, 99, 100, 105]
    assert candles[-1] == Candle(
        start_ms=MINUTE, open=D(100), high=D(105), low=D(100), close=D(105)
    )


def test_longer_resolutions_are_gathered_from_minutes(chart):
    candles = chart.candles(MINUTE - 20 * MINUTE_MS, MINUTE, 5)
    assert all(c.start_ms % (5 * MINUTE_MS) == 0 for c in candles)
    first = candles[1]
    assert (first.open, first.high, first.low, first.close) == (
        first.low, first.close, first.open, first.open + 5,
    )  # fmt: skip


def test_minutes_without_a_price_are_flat(chart):
    chart.record(D(110), BORN_MS + 5 * MINUTE_MS)
    candles = chart.candles(MINUTE, BORN_MS + 5 * MINUTE_MS, 1)
    assert [c.close for c in candles] == [100, 100, 100, 100, 100, 110]


def test_only_closed_minutes_are_given_out_for_keeping_and_restore_the_chart(chart):
    for minute, price in enumerate((101, 102, 103)):
        chart.record(D(price), BORN_MS + minute * MINUTE_MS)
    closed = chart.drain_closed()
    assert [row.candle.close for row in closed] == [101, 102]
    again = Chart("btc_usd", history=past, start_price=D(100), start_ms=BORN_MS)
    again.restore([row.candle for row in closed])
    until = BORN_MS + MINUTE_MS
    assert again.candles(MINUTE, until, 1) == chart.candles(MINUTE, until, 1)


def test_a_clock_that_steps_back_stays_in_the_later_minute(chart):
    chart.record(D(101), BORN_MS + 2 * MINUTE_MS)
    chart.record(D(90), BORN_MS)
    assert chart.candles(MINUTE, BORN_MS + 2 * MINUTE_MS, 1)[-1].low == 90


def test_a_range_before_all_history_is_empty(chart):
    assert chart.candles(0, 1000, 1) == []


@pytest.fixture
def long_chart(chart):
    """Nine days of minutes, each with a price of its own, an hour in between without any."""
    minutes = [m for m in range(9 * 24 * 60) if not 1000 <= m < 1060]
    for minute in minutes:
        chart.record(D(100 + minute % 61), MINUTE + minute * MINUTE_MS)
    return chart, MINUTE + minutes[-1] * MINUTE_MS


class TestOldMinutes:
    @pytest.mark.parametrize("resolution", [60, 180, 1440])
    def test_hours_of_them_give_the_same_longer_candles(self, long_chart, resolution):
        chart, end_ms = long_chart
        whole = Chart("btc_usd", history=past, start_price=D(100), start_ms=BORN_MS)
        whole.restore(
            Candle(start_ms=t, open=D(p), high=D(p), low=D(p), close=D(p))
            for m in range(9 * 24 * 60)
            if not 1000 <= m < 1060
            for t, p in ((MINUTE + m * MINUTE_MS, 100 + m % 61),)
        )
        # Two prices met in the first minute: that of the start, and the first recorded.
        assert chart.candles(MINUTE, end_ms, resolution) == whole.candles(
            MINUTE, end_ms, resolution
        )

    def test_what_is_kept_is_a_week_and_hours(self, long_chart):
        chart, end_ms = long_chart
        kept = {row.candle.start_ms for row in chart.drain_closed()} - set(chart.drain_folded())
        recent = {start for start in kept if start >= end_ms - MINUTES_KEPT_MS}
        assert len(recent) == MINUTES_KEPT_MS // MINUTE_MS
        assert len(kept) - len(recent) <= 2 * 24 + 60 + 1

    def test_a_restart_from_what_was_kept_shows_the_same(self, long_chart):
        chart, end_ms = long_chart
        rows = {row.candle.start_ms: row.candle for row in chart.drain_closed()}
        for start_ms in chart.drain_folded():
            del rows[start_ms]
        again = Chart("btc_usd", history=past, start_price=D(100), start_ms=BORN_MS)
        again.restore(rows.values())
        until = end_ms - MINUTE_MS
        for resolution in (1, 60):
            assert again.candles(MINUTE, until, resolution) == chart.candles(
                MINUTE, until, resolution
            )
        again.record(D(1), end_ms + HOUR_MS)
        assert again.drain_folded() != []


@given(
    steps=st.lists(
        st.tuples(st.sampled_from((20_000, 60_000, 400_000, 5_000_000)), st.integers(90, 110)),
        max_size=60,
    ),
    back_minutes=st.integers(0, 400),
    resolution=st.sampled_from((3, 15, 60, 1440)),
)
def test_every_resolution_tells_what_the_minutes_tell(steps, back_minutes, resolution):
    chart = Chart("btc_usd", history=past, start_price=D(100), start_ms=BORN_MS)
    now_ms = BORN_MS
    for passed_ms, price in steps:
        now_ms += passed_ms
        chart.record(D(price), now_ms)
    step_ms = resolution * MINUTE_MS
    start_ms = now_ms - back_minutes * MINUTE_MS
    start_ms -= start_ms % step_ms
    buckets = {}
    for minute in chart.candles(start_ms, now_ms, 1):
        buckets.setdefault(minute.start_ms - minute.start_ms % step_ms, []).append(minute)
    assert chart.candles(start_ms, now_ms, resolution) == [
        Candle(
            start_ms=begins_ms,
            open=minutes[0].open,
            high=max(minute.high for minute in minutes),
            low=min(minute.low for minute in minutes),
            close=minutes[-1].close,
        )
        for begins_ms, minutes in buckets.items()
    ]
