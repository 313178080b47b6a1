"""Candles against a grouping of the same quotes by period, with gaps, late quotes and resumption."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.domain.market import Candle, Ticker
from vigil.strategies.candles import (
    GAP_CANDLES_MAX,
    CandleAggregator,
    CandleBuilder,
    quoted_price,
)

T0 = 1_800_000_000_000
TF = 1000

PRICES = st.integers(min_value=1, max_value=10_000).map(Decimal)
# Quotes with steps of up to three periods, in order.
QUOTES = st.lists(st.tuples(st.integers(0, 3 * TF), PRICES), min_size=1, max_size=80)


def timed(steps):
    at, quotes = T0, []
    for step, price in steps:
        at += step
        quotes.append((price, at))
    return quotes


def candle(start_ms, *prices):
    opened, high, low, close = (Decimal(price) for price in prices)
    return Candle(start_ms=start_ms, open=opened, high=high, low=low, close=close)


def flat(start_ms, price):
    return candle(start_ms, price, price, price, price)


def grouped(quotes):
    """All candles before the period of the last quote, by the definition."""
    last = quotes[-1][1] // TF
    candles, close = [], None
    for period in range(quotes[0][1] // TF, last):
        inside = [price for price, at in quotes if at // TF == period]
        if inside:
            close = inside[-1]
            candles.append(candle(period * TF, inside[0], max(inside), min(inside), close))
        else:
            candles.append(flat(period * TF, close))
    return candles


@given(QUOTES)
def test_candles_equal_the_quotes_grouped_by_period(steps):
    quotes = timed(steps)
    builder = CandleBuilder(timeframe_ms=TF)
    closed = [one for price, at in quotes for one in builder.add(price, at)]
    assert closed == grouped(quotes)


@given(QUOTES, st.data())
def test_resumed_builder_closes_the_same_candles(steps, data):
    quotes = timed(steps)
    cut = data.draw(st.integers(0, len(quotes)))
    steady, resumed = CandleBuilder(timeframe_ms=TF), CandleBuilder(timeframe_ms=TF)
    for price, at in quotes[:cut]:
        steady.add(price, at)
    resumed.restore(json.loads(json.dumps(steady.snapshot())))
    for price, at in quotes[cut:]:
        assert resumed.add(price, at) == steady.add(price, at)
    assert resumed.snapshot() == steady.snapshot()


def test_late_quote_changes_nothing():
    builder = CandleBuilder(timeframe_ms=TF)
    builder.add(Decimal(100), T0 + 500)
    before = builder.snapshot()
    assert builder.add(Decimal(1), T0 + 499) == ()
    assert builder.add(Decimal(1), T0 - 1) == ()
    assert builder.snapshot() == before


def test_silent_periods_become_flat_candles_at_the_last_close():
    builder = CandleBuilder(timeframe_ms=TF)
    builder.add(Decimal(100), T0)
    builder.add(Decimal(99), T0 + 10)
    assert builder.add(Decimal(120), T0 + 3 * TF) == (
        candle(T0, 100, 100, 99, 99),
        flat(T0 + TF, 99),
        flat(T0 + 2 * TF, 99),
    )


@pytest.mark.parametrize(
    ("at", "is_broken"),
    [
        pytest.param(T0 + (GAP_CANDLES_MAX + 1) * TF, False, id="as many flat candles as allowed"),
        pytest.param(T0 + (GAP_CANDLES_MAX + 1) * TF + 1, True, id="a millisecond more"),
        pytest.param(T0 - TF, False, id="a little late"),
        pytest.param(T0 - 3_600_000, True, id="an hour back, after one quote from the future"),
    ],
)
def test_series_breaks_only_beyond_the_longest_gap(at, is_broken):
    builder = CandleBuilder(timeframe_ms=TF)
    assert not builder.is_broken_by(at)
    builder.add(Decimal(100), T0)
    assert builder.is_broken_by(at) is is_broken


def test_no_quote_within_the_gap_closes_more_candles_than_the_gap_allows():
    builder = CandleBuilder(timeframe_ms=TF)
    builder.add(Decimal(100), T0 + TF - 1)
    assert len(builder.add(Decimal(100), T0 + (GAP_CANDLES_MAX + 1) * TF)) == GAP_CANDLES_MAX + 1


def test_history_replaces_the_candle_under_way():
    builder = CandleBuilder(timeframe_ms=TF)
    builder.add(Decimal(100), T0)
    assert builder.follow(candle(T0, 1, 5, 1, 4)) == (candle(T0, 1, 5, 1, 4),)
    assert builder.add(Decimal(7), T0 + TF) == ()
    assert builder.add(Decimal(8), T0 + 2 * TF) == (flat(T0 + TF, 7),)


def test_history_older_than_the_candle_under_way_is_ignored():
    builder = CandleBuilder(timeframe_ms=TF)
    builder.add(Decimal(100), T0)
    before = builder.snapshot()
    assert builder.follow(flat(T0 - TF, 1)) == ()
    assert builder.snapshot() == before


def test_silence_after_history_is_flat_at_its_last_close():
    builder = CandleBuilder(timeframe_ms=TF)
    builder.follow(flat(T0, 5))
    assert builder.add(Decimal(9), T0 + 2 * TF) == (flat(T0 + TF, 5),)


@pytest.mark.parametrize(
    "damage",
    [
        {"startMs": "1"},
        {"startMs": T0 + 1},
        {"newestMs": None},
        {"prices": ["1", "2"]},
        {"prices": ["x", "1", "1", "1"]},
        {"prices": ["NaN", "1", "1", "1"]},
        {"prices": None},
    ],
    ids=repr,
)
def test_damaged_builder_snapshot_is_refused(damage):
    builder = CandleBuilder(timeframe_ms=TF)
    builder.add(Decimal(100), T0)
    with pytest.raises((ArithmeticError, LookupError, TypeError, ValueError)):
        builder.restore({**builder.snapshot(), **damage})


def ticker(**prices):
    return Ticker(
        instrument_name="BTC_USDC-PERPETUAL",
        timestamp_ms=T0,
        mark_price=Decimal(100),
        index_price=Decimal(101),
        **{name: Decimal(price) for name, price in prices.items()},
    )


@pytest.mark.parametrize(
    ("quote", "price"),
    [
        pytest.param(ticker(best_bid_price=98, best_ask_price=99), "98.5", id="middle"),
        pytest.param(ticker(best_bid_price=98), "100", id="nobody asks"),
        pytest.param(ticker(best_ask_price=99), "100", id="nobody bids"),
    ],
)
def test_quoted_price_is_the_middle_or_the_mark(quote, price):
    assert quoted_price(quote) == Decimal(price)


@given(
    first=st.integers(0, 40),
    triples=st.lists(st.tuples(PRICES, PRICES, PRICES, PRICES), min_size=1, max_size=70),
    length=st.sampled_from([5, 15]),
)
def test_aggregates_equal_the_candles_grouped_by_the_longer_period(first, triples, length):
    candles = [
        candle(T0 - T0 % (TF * 15) + (first + i) * TF, p[0], max(p), min(p), p[3])
        for i, p in enumerate(triples)
    ]
    aggregator = CandleAggregator(timeframe_ms=TF, candles_per_aggregate=length)
    joined = [one for one in map(aggregator.add, candles) if one is not None]
    long_ms = TF * length
    wanted = []
    for start in sorted({one.start_ms // long_ms * long_ms for one in candles}):
        group = [one for one in candles if one.start_ms // long_ms * long_ms == start]
        if group[-1].start_ms + TF == start + long_ms:
            highs, lows = [one.high for one in group], [one.low for one in group]
            wanted.append(candle(start, group[0].open, max(highs), min(lows), group[-1].close))
    assert joined == wanted


def test_resumed_aggregator_joins_the_same():
    steady = CandleAggregator(timeframe_ms=TF, candles_per_aggregate=5)
    resumed = CandleAggregator(timeframe_ms=TF, candles_per_aggregate=5)
    start = T0 - T0 % (TF * 5)
    for i in range(13):
        resumed.restore(json.loads(json.dumps(steady.snapshot())))
        one = candle(start + i * TF, 100 + i, 200 - i, 50 + i, 120 - i)
        assert resumed.add(one) == steady.add(one)
