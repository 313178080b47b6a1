"""What an operator may write under `config`, through the catalog, with the field named on refusal."""

from decimal import Decimal

import pytest

from vigil.errors import Misconfigured
from vigil.strategies.catalog import InvalidParameters, parse_parameters
from vigil.strategies.razor import RazorParameters

INSTRUMENT = {"instrument": "BTC_USDC-PERPETUAL"}


def parse(**config):
    return parse_parameters(RazorParameters, {**INSTRUMENT, **config})


def test_defaults_are_those_of_the_design():
    parameters = parse()
    assert parameters.model_dump(by_alias=True) == {
        "instrument": "BTC_USDC-PERPETUAL",
        "onStop": "keep",
        "timeframeS": 60,
        "tradeSize": Decimal(100),
        "stopLossPercent": Decimal("0.5"),
        "takeProfitPercent": Decimal("1.0"),
        "cooldownMinutes": Decimal(5),
        "maxDailyTrades": 150,
        "rsiOversold": Decimal(35),
        "rsiOverbought": Decimal(65),
        "minVolatility": Decimal("0.02"),
        "maxVolatility": Decimal("1.5"),
        "useTrendFilter": True,
        "breakEven": True,
        "trailing": True,
    }


@pytest.mark.parametrize("number", [Decimal("0.05"), 0.05], ids=["as Decimal", "as float"])
def test_numbers_arrive_exactly(number):
    assert parse(cooldownMinutes=number).cooldown_minutes == Decimal("0.05")


@pytest.mark.parametrize(
    ("config", "field", "words"),
    [
        pytest.param({"instrument": None}, "instrument", "valid string", id="null instrument"),
        pytest.param({"instrument": ""}, "instrument", "pattern", id="empty instrument"),
        pytest.param({"instrument": "BTC\n"}, "instrument", "pattern", id="newline in instrument"),
        pytest.param(
            {"timeframeS": 0}, "timeframeS", "greater than or equal to 1, not 0", id="low"
        ),
        pytest.param({"timeframeS": 3601}, "timeframeS", "less than or equal to 3600", id="high"),
        pytest.param({"timeframeS": "60"}, "timeframeS", "not '60'", id="text for whole number"),
        pytest.param({"timeframeS": Decimal("1.5")}, "timeframeS", "integer", id="fraction"),
        pytest.param({"timeframeS": True}, "timeframeS", "integer", id="boolean for whole number"),
        pytest.param({"tradeSize": "100"}, "tradeSize", "must be a number, not '100'", id="text"),
        pytest.param({"tradeSize": True}, "tradeSize", "must be a number, not True", id="boolean"),
        pytest.param({"tradeSize": None}, "tradeSize", "must be a number", id="null"),
        pytest.param({"tradeSize": []}, "tradeSize", "must be a number", id="list"),
        pytest.param({"tradeSize": 0}, "tradeSize", "greater than 0, not 0", id="no size"),
        pytest.param({"tradeSize": float("nan")}, "tradeSize", "number", id="float NaN"),
        pytest.param({"tradeSize": Decimal("NaN")}, "tradeSize", "finite", id="Decimal NaN"),
        pytest.param({"tradeSize": Decimal("Infinity")}, "tradeSize", "finite", id="infinite"),
        pytest.param({"stopLossPercent": 0}, "stopLossPercent", "greater than 0", id="no stop"),
        pytest.param({"stopLossPercent": 50}, "stopLossPercent", "less than 50", id="far stop"),
        pytest.param({"takeProfitPercent": -1}, "takeProfitPercent", "greater than 0", id="target"),
        pytest.param({"cooldownMinutes": -1}, "cooldownMinutes", "or equal to 0", id="cooldown"),
        pytest.param({"maxDailyTrades": 0}, "maxDailyTrades", "or equal to 1", id="no trades"),
        pytest.param(
            {"rsiOversold": 65}, "rsiOverbought", "must be above rsiOversold, 65", id="rsi crossed"
        ),
        pytest.param(
            {"minVolatility": 2}, "maxVolatility", "must be above minVolatility, 2", id="volatility"
        ),
        pytest.param({"useTrendFilter": 1}, "useTrendFilter", "boolean", id="number for flag"),
        pytest.param(
            {"onStop": "close"}, "onStop", "'keep' or 'flatten', not 'close'", id="onStop"
        ),
        pytest.param({"tradesize": 5}, "tradesize", "did you mean 'tradeSize'?", id="misspelt"),
        pytest.param({"trade_size": 5}, "trade_size", "unknown parameter", id="not camelCase"),
    ],
)
def test_refusal_names_the_field_and_what_would_be_right(config, field, words):
    with pytest.raises(InvalidParameters) as caught:
        parse(**config)
    assert caught.value.field == field
    assert words in caught.value.reason
    assert str(caught.value).startswith(f"config.{field}: ")
    assert isinstance(caught.value, Misconfigured)


def test_instrument_is_required():
    with pytest.raises(InvalidParameters, match=r"config\.instrument: is required"):
        parse_parameters(RazorParameters, {})
