"""Option values against a recorded ticker, and the laws that no pricing may break."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.paper.market.options import (
    YEAR_MS,
    implied_volatility,
    option_greeks,
    option_value,
    smile_volatility,
)

forwards = st.floats(1_000, 200_000)
ratios = st.floats(0.5, 2.0)
years = st.floats(1 / 365, 2.0)
volatilities = st.floats(0.2, 2.0)


def test_value_and_greeks_equal_those_of_a_recorded_ticker(recorded):
    data = recorded("crypto-msg-parser/ticker_option_100ms.json")["params"]["data"]
    expires_ms = 1_664_524_800_000  # 30 September 2022, 08:00 UTC
    option = {
        "forward": data["underlying_price"],
        "strike": 60_000.0,
        "years": (expires_ms - data["timestamp"]) / YEAR_MS,
        "volatility": data["mark_iv"] / 100,
        "is_call": True,
    }
    assert round(option_value(**option) / option["forward"], 4) == data["mark_price"]
    greeks, theirs = option_greeks(**option), data["greeks"]
    assert greeks.delta == pytest.approx(theirs["delta"], abs=2e-5)
    assert greeks.gamma == pytest.approx(theirs["gamma"], abs=1e-5)
    assert greeks.vega == pytest.approx(theirs["vega"], rel=1e-3)
    assert greeks.theta == pytest.approx(theirs["theta"], rel=1e-3)
    assert greeks.rho == pytest.approx(theirs["rho"], rel=1e-2)


def test_a_bid_s_volatility_is_near_the_recorded_one(recorded):
    data = recorded("crypto-msg-parser/ticker_option_100ms.json")["params"]["data"]
    forward = data["underlying_price"]
    for side in ("bid", "ask"):
        volatility = implied_volatility(
            value=data[f"best_{side}_price"] * forward,
            forward=forward,
            strike=60_000.0,
            years=(1_664_524_800_000 - data["timestamp"]) / YEAR_MS,
            is_call=True,
        )
        assert 100 * volatility == pytest.approx(data[f"{side}_iv"], abs=0.05)


@given(forwards, ratios, years, volatilities)
def test_call_and_put_differ_by_forward_and_strike(forward, ratio, time, volatility):
    option = {"forward": forward, "strike": forward * ratio, "years": time}
    call = option_value(**option, volatility=volatility, is_call=True)
    put = option_value(**option, volatility=volatility, is_call=False)
    assert call - put == pytest.approx(forward - option["strike"], abs=1e-6 * forward)
    assert call >= max(forward - option["strike"], 0) - 1e-6 * forward


@given(forwards, ratios, years, volatilities, st.booleans())
def test_the_volatility_of_a_value_is_the_one_it_was_made_of(
    forward, ratio, time, volatility, is_call
):
    option = {"forward": forward, "strike": forward * ratio, "years": time, "is_call": is_call}
    value = option_value(**option, volatility=volatility)
    intrinsic = max((forward - option["strike"]) * (1 if is_call else -1), 0)
    found = implied_volatility(value=value, **option)
    if value - intrinsic < 1e-4 * forward:
        return  # too little time value to tell one volatility from another
    assert option_value(**option, volatility=found) == pytest.approx(value, abs=2e-7 * forward)


@pytest.mark.parametrize("value", [0.0, -1.0, 150.0])
def test_a_value_that_no_volatility_gives_has_none(value):
    option = {"forward": 100.0, "strike": 90.0, "years": 0.5, "is_call": True}
    assert implied_volatility(value=value, **option) == 0.0


@pytest.mark.parametrize(
    ("is_call", "forward", "value", "delta"),
    [(True, 110.0, 10.0, 1.0), (True, 90.0, 0.0, 0.0), (False, 90.0, 10.0, -1.0)],
)
def test_at_expiry_an_option_is_what_it_pays(is_call, forward, value, delta):
    option = {"forward": forward, "strike": 100.0, "years": 0.0, "is_call": is_call}
    assert option_value(**option, volatility=0.5) == value
    assert option_greeks(**option, volatility=0.5).delta == delta
    assert implied_volatility(value=value, **option) == 0.0


@given(forwards, ratios, st.floats(0, 3))
def test_the_smile_is_finite_and_bounded(forward, ratio, time):
    volatility = smile_volatility(forward=forward, strike=forward * ratio, years=time)
    assert math.isfinite(volatility)
    assert 0.2 <= volatility <= 2.0


def test_the_smile_smiles():
    def at(strike):
        return smile_volatility(forward=100.0, strike=strike, years=0.1)

    assert at(70.0) > at(100.0) < at(140.0)
    assert at(80.0) > at(125.0)  # puts are dearer
