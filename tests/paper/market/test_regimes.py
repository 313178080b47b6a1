"""Markets of one temper."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.paper.market.regimes import Regime, regime_walk

D = Decimal
START = D(100_000)


def walk(regime, seed=1, **options):
    return regime_walk(seed=seed, index_name="btc", start_price=START, regime=regime, **options)


def prices(regime, hours=2.0, step_s=5.0, seed=1):
    found = walk(regime, seed)
    return [found.price, *(found.advance(step_s) for _ in range(int(hours * 3600 / step_s)))]


@pytest.mark.parametrize("regime", list(Regime))
def test_one_seed_is_one_market_and_another_is_another(regime):
    assert prices(regime, 0.1) == prices(regime, 0.1)
    assert prices(regime, 0.1) != prices(regime, 0.1, seed=2)


@pytest.mark.parametrize("regime", list(Regime))
def test_prices_stay_sane_for_a_month(regime):
    found = walk(regime)
    for _ in range(30 * 24):
        assert D(70_000) < found.advance(3600) < D(140_000)


def test_a_quiet_market_hardly_moves():
    found = prices(Regime.QUIET)
    assert max(found) / min(found) < D("1.005")


def test_a_trend_rises_for_hours_and_falls_again():
    found = prices(Regime.TREND, hours=9, step_s=60)
    top = found.index(max(found))
    assert 3 < top / 60 < 5, "hours, at a price a minute"
    assert max(found) > START * D("1.05")
    assert found[0] < found[top // 2] < found[top]
    assert min(found[top:]) < max(found) * D("0.97")


def test_a_crash_falls_by_several_percent_in_two_minutes():
    found = prices(Regime.CRASH, hours=1)
    falls = [after / before - 1 for before, after in zip(found, found[24:], strict=False)]
    assert min(falls) < D("-0.06")


def test_gaps_are_between_two_moves():
    found = prices(Regime.GAP)
    steps = sorted(abs(after / before - 1) for before, after in zip(found, found[1:], strict=False))
    assert steps[-1] > D("0.025")
    assert steps[-30] < D("0.003")


@pytest.mark.parametrize("regime", list(Regime))
@given(st.lists(st.floats(0.1, 500), min_size=1, max_size=8))
def test_a_snapshot_goes_on_exactly_where_it_was_taken(regime, steps):
    first = walk(regime)
    for step in steps:
        first.advance(step)
    again = walk(regime)
    again.restore(json.loads(json.dumps(first.snapshot())))
    assert [first.advance(step) for step in steps] == [again.advance(step) for step in steps]


def test_a_snapshot_of_another_regime_or_a_damaged_one_is_refused():
    taken = walk(Regime.GAP).snapshot()
    with pytest.raises(ValueError, match="is not of"):
        walk(Regime.CRASH).restore(taken)
    for damage in ({"noise": "x"}, {"stretch": [1]}, {"cycle": [1, float("nan"), 1]}):
        with pytest.raises(ValueError, match="damaged"):
            walk(Regime.GAP).restore(taken | damage)


def test_history_leads_to_the_start_and_cheap_coins_have_more_decimals():
    candles = walk(Regime.TREND).history(30)
    assert len(candles) == 30
    assert candles[-1][3] == START
    cheap = regime_walk(
        seed=1, index_name="xrp", start_price=D("2.3"), regime=Regime.QUIET, decimals=5
    )
    assert cheap.advance(1).as_tuple().exponent == -5
