"""Each indicator against its batch formula over the whole series, and resumed at any point."""

import json
import math
import statistics
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.strategies.indicators import Atr, Ema, RealisedVolatility, Rsi, WilderMean

PRICES = st.lists(
    st.integers(min_value=100, max_value=20_000_000).map(lambda cents: cents / 100),
    min_size=1,
    max_size=80,
)
CLOSE_ENOUGH = {"rel_tol": 1e-9, "abs_tol": 1e-7}


def ema_by_weights(numbers: Sequence[float], period: int) -> float | None:
    """The explicit sum: the first mean fades by (1 - w) with every later number."""
    if len(numbers) < period:
        return None
    weight = 2 / (period + 1)
    later = numbers[period:]
    fades = [(1 - weight) ** (len(later) - 1 - i) for i in range(len(later))]
    begun = statistics.fmean(numbers[:period]) * (1 - weight) ** len(later)
    return begun + sum(weight * fade * number for fade, number in zip(fades, later))


def wilder_means(numbers: Sequence[float], period: int) -> list[float]:
    means = [sum(numbers[:period]) / period]
    for number in numbers[period:]:
        means.append((means[-1] * (period - 1) + number) / period)
    return means


def rsi_by_book(closes: Sequence[float], period: int) -> float | None:
    changes = [after - before for before, after in zip(closes, closes[1:])]
    if len(changes) < period:
        return None
    gain = wilder_means([max(change, 0) for change in changes], period)[-1]
    loss = wilder_means([max(-change, 0) for change in changes], period)[-1]
    if gain == loss == 0:
        return 50.0
    if loss == 0:
        return 100.0
    return 100 - 100 / (1 + gain / loss)


def atr_by_book(candles: Sequence[tuple[float, float, float]], period: int) -> float | None:
    ranges = [
        max(high - low, abs(high - before[2]), abs(low - before[2]))
        for before, (high, low, _) in zip(candles, candles[1:])
    ]
    return wilder_means(ranges, period)[-1] if len(ranges) >= period else None


def assert_same(streamed: float | None, batch: float | None) -> None:
    if batch is None or streamed is None:
        assert streamed is batch
    else:
        assert math.isclose(streamed, batch, **CLOSE_ENOUGH), (streamed, batch)


@given(PRICES, st.integers(min_value=1, max_value=30))
def test_ema_equals_the_weighted_sum_over_the_whole_series(prices, period):
    ema = Ema(period)
    for count, price in enumerate(prices, start=1):
        ema.update(price)
        assert_same(ema.value, ema_by_weights(prices[:count], period))


@given(PRICES, st.integers(min_value=1, max_value=20))
def test_rsi_equals_wilders_formula_over_the_whole_series(prices, period):
    rsi = Rsi(period)
    for price in prices:
        rsi.update(price)
    if rsi.value is not None and rsi_by_book(prices, period) is not None:
        assert math.isclose(rsi.value, rsi_by_book(prices, period), rel_tol=1e-6, abs_tol=1e-6)
    else:
        assert rsi.value is rsi_by_book(prices, period) is None


@given(PRICES, st.integers(min_value=1, max_value=20))
def test_rsi_stays_between_0_and_100(prices, period):
    rsi = Rsi(period)
    for price in prices:
        rsi.update(price)
        assert rsi.value is None or 0 <= rsi.value <= 100


@given(st.lists(st.tuples(*[st.integers(1, 10_000)] * 3), min_size=1, max_size=60))
def test_atr_equals_wilders_formula_over_the_whole_series(triples):
    candles = [(float(max(t)), float(min(t)), float(sorted(t)[1])) for t in triples]
    atr = Atr(14)
    for high, low, close in candles:
        atr.update(high, low, close)
    assert_same(atr.value, atr_by_book(candles, 14))


@given(PRICES)
def test_volatility_equals_the_sample_deviation_of_returns_in_percent(prices):
    volatility = RealisedVolatility(20)
    for price in prices:
        volatility.update(price)
    window = prices[-20:]
    if len(window) < 20:
        assert volatility.value is None
    else:
        returns = [100 * (after - before) / before for before, after in zip(window, window[1:])]
        assert_same(volatility.value, statistics.stdev(returns))


@pytest.mark.parametrize(
    ("closes", "wanted"),
    [
        pytest.param([5.0] * 20, 50.0, id="nothing moved"),
        pytest.param([float(n) for n in range(1, 21)], 100.0, id="only gains"),
        pytest.param([float(n) for n in range(20, 0, -1)], 0.0, id="only losses"),
    ],
)
def test_rsi_at_its_ends(closes, wanted):
    rsi = Rsi(14)
    for close in closes:
        rsi.update(close)
    assert rsi.value == wanted


# Closes and RSI of Wilder's example as spreadsheets reproduce it, fourteen changes and on.
WILDER_CLOSES = "44.34 44.09 44.15 43.61 44.33 44.83 45.10 45.42 45.84 46.08 45.89 46.03 45.61 46.28 46.28 46.00"


def test_rsi_of_the_published_example():
    rsi = Rsi(14)
    values = []
    for close in WILDER_CLOSES.split():
        rsi.update(float(close))
        values.append(rsi.value)
    assert values[:14] == [None] * 14
    assert [round(value, 1) for value in values[14:]] == [70.5, 66.2]


def streams():
    return [
        pytest.param(lambda: Ema(8), lambda one, price: one.update(price), id="ema"),
        pytest.param(lambda: WilderMean(14), lambda one, price: one.update(price), id="wilder"),
        pytest.param(lambda: Rsi(14), lambda one, price: one.update(price), id="rsi"),
        pytest.param(
            lambda: Atr(14),
            lambda one, price: one.update(price * 1.01, price * 0.99, price),
            id="atr",
        ),
        pytest.param(
            lambda: RealisedVolatility(20), lambda one, price: one.update(price), id="volatility"
        ),
    ]


@pytest.mark.parametrize(("make", "update"), streams())
@given(before=PRICES, after=PRICES)
def test_resumed_indicator_gives_the_same_bits_as_one_that_went_on(make, update, before, after):
    steady, resumed = make(), make()
    for price in before:
        update(steady, price)
    resumed.restore(json.loads(json.dumps(steady.snapshot())))
    for price in after:
        update(steady, price)
        update(resumed, price)
        assert resumed.value == steady.value
    assert resumed.snapshot() == steady.snapshot()


DAMAGED_BY_INDICATOR = [
    pytest.param(Ema(8), ["8", 1.0], id="count as text"),
    pytest.param(Ema(8), [1.5, 1.0], id="fractional count"),
    pytest.param(Ema(8), [9, 1.0], id="count beyond the period"),
    pytest.param(Ema(8), [-1, 1.0], id="negative count"),
    pytest.param(Ema(8), [True, 1.0], id="count is a boolean"),
    pytest.param(Ema(8), [1, float("nan")], id="not a number"),
    pytest.param(Ema(8), [1, None], id="null, as orjson writes NaN"),
    pytest.param(Ema(8), [1, True], id="mean is a boolean"),
    pytest.param(Rsi(14), [1.0, [1, 2.0], [15, 1.0]], id="inner count beyond the period"),
    pytest.param(Atr(14), ["1.0", [1, 2.0]], id="close as text"),
    pytest.param(RealisedVolatility(20), [-3.0], id="negative close"),
    pytest.param(RealisedVolatility(20), [1.0] * 21, id="window too long"),
]


@pytest.mark.parametrize(("indicator", "damaged"), DAMAGED_BY_INDICATOR)
def test_damaged_snapshot_is_refused(indicator, damaged):
    with pytest.raises((TypeError, ValueError)):
        indicator.restore(damaged)


@pytest.mark.parametrize(("make", "update"), streams())
@pytest.mark.parametrize("damaged", [None, 5, {"a": 1}, [None], [[]], "ab"], ids=repr)
def test_snapshot_of_another_shape_is_refused(make, update, damaged):
    with pytest.raises((TypeError, ValueError)):
        make().restore(damaged)
