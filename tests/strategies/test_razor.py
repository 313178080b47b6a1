"""Razor on quotes made for it: when it enters, what it says, and that it resumes to the byte."""

import json
import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigil.domain.market import Candle, Ticker
from vigil.domain.order import Direction
from vigil.paper.market.feed import PriceWalk
from vigil.strategies.candles import GAP_CANDLES_MAX
from vigil.strategies.razor import Razor, RazorParameters
from vigil.strategies.series import CANDLES_WANTED
from vigil.trading.signal import (
    NO_DECISION,
    Checkpoint,
    Enter,
    Exit,
    Limits,
    MoveStop,
    OpenPosition,
    WarmStart,
)

NAME = "BTC_USDC-PERPETUAL"
T0 = 1_800_000_000_000 - 1_800_000_000_000 % 15_000


def razor(**config):
    return Razor(RazorParameters.model_validate({"instrument": NAME, "timeframeS": 1, **config}))


def ticker(price, at, **changes):
    price = Decimal(str(price))
    plain = {
        "instrument_name": NAME,
        "timestamp_ms": at,
        "mark_price": price,
        "index_price": price,
        "best_bid_price": price - Decimal("0.5"),
        "best_ask_price": price + Decimal("0.5"),
    }
    return Ticker(**{**plain, **changes})


def dip_in_an_uptrend(sign=1):
    """One price a candle: 60 candles along a trend with a slight wave, then a fall in two steps."""
    prices = [10_000 + sign * (3 * i + (4 if i % 2 else 0)) for i in range(60)]
    prices += [prices[-1] - sign * 45, prices[-1] - sign * 80]
    return [*prices, prices[-1]]


def decisions(strategy, prices, start=T0, position=None):
    return [
        strategy.on_ticker(ticker(price, start + i * 1000), position)
        for i, price in enumerate(prices)
    ]


def entries(all_decisions):
    return [one for each in all_decisions for one in each.intents if isinstance(one, Enter)]


def position(side=Direction.BUY, entry=10_000, stop=9_950, target=10_100):
    return OpenPosition(
        side=side,
        entry_price=Decimal(entry),
        amount=Decimal("0.01"),
        entry_time_ms=T0,
        stop_loss=None if stop is None else Decimal(stop),
        take_profit=None if target is None else Decimal(target),
    )


@pytest.mark.parametrize(("sign", "side"), [(1, Direction.BUY), (-1, Direction.SELL)])
def test_enters_on_a_dip_inside_an_uptrend_and_on_its_mirror_image(sign, side):
    found = entries(decisions(razor(tradeSize=250), dip_in_an_uptrend(sign)))
    assert found
    assert {entry.direction for entry in found} == {side}
    assert found[0].notional_usd == 250
    assert found[0].stop_loss_percent == Decimal("0.5")
    assert found[0].take_profit_percent == Decimal("1.0")
    assert "rsi" in found[0].reason


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"rsiOversold": 1}, id="rsi not low enough"),
        pytest.param({"minVolatility": 1}, id="too calm"),
        pytest.param({"maxVolatility": Decimal("0.03")}, id="too wild"),
    ],
)
def test_every_condition_can_prevent_the_entry(config):
    assert entries(decisions(razor(**config), dip_in_an_uptrend())) == []


def test_higher_timeframe_against_the_trade_prevents_it_unless_the_filter_is_off():
    # Two hundred falling candles first: the joined candles still fall when the short ones rise.
    fall = [16_000 - 30 * i for i in range(200)]
    prices = [*fall, *dip_in_an_uptrend()]
    assert entries(decisions(razor(), prices)[200:]) == []
    assert entries(decisions(razor(useTrendFilter=False), prices)[200:])


def test_does_not_enter_while_a_position_is_open():
    assert entries(decisions(razor(), dip_in_an_uptrend(), position=position())) == []


def test_decides_at_candle_close_only():
    strategy = razor()
    decisions(strategy, dip_in_an_uptrend()[:40])
    last = T0 + 39 * 1000
    for within in range(1, 1000, 37):
        assert strategy.on_ticker(ticker(9_000, last + within), None) is NO_DECISION
    assert strategy.on_ticker(ticker(9_000, last + 1000), None).checkpoints


def test_first_quote_decides_nothing():
    assert razor().on_ticker(ticker(10_000, T0), None) is NO_DECISION


def test_warming_up_says_how_many_candles_it_has():
    assert decisions(razor(), [10_000] * 8)[-1].checkpoints == (
        Checkpoint(name="candles", value="7", wanted=str(CANDLES_WANTED), is_passed=False),
    )


def test_checkpoints_name_every_condition_of_the_side_that_lacks_less():
    last = decisions(razor(), dip_in_an_uptrend())[-1]
    assert [one.name for one in last.checkpoints] == [
        "long rsi",
        "long emaFast",
        "volatility",
        "long trend5",
        "long trend15",
    ]
    assert all(one.is_passed for one in last.checkpoints)
    assert last.checkpoints[0].wanted == "< 35"
    assert last.checkpoints[4].value == "unknown"


@pytest.mark.parametrize(("sign", "side"), [(1, "long"), (-1, "short")])
def test_checkpoints_without_an_entry_show_what_lacks(sign, side):
    last = decisions(razor(), dip_in_an_uptrend(sign)[:-3])[-1]
    lacking = [one.name for one in last.checkpoints if not one.is_passed]
    assert lacking == [f"{side} rsi"]


def test_closed_instrument_is_not_looked_at():
    strategy, before = razor(), razor().snapshot()
    assert strategy.on_ticker(ticker(10_000, T0, is_open=False), position()) is NO_DECISION
    assert strategy.snapshot() == before


def test_open_position_is_followed_between_candles():
    strategy = razor()
    strategy.on_ticker(ticker(10_000, T0), position())
    decision = strategy.on_ticker(ticker(10_050, T0 + 100), position())
    assert decision.intents == (MoveStop(stop_price=Decimal(10_010), reason="break-even"),)
    assert [one.is_passed for one in decision.checkpoints] == [True, False]


def test_position_without_stop_and_target_is_given_a_stop_and_closed_beyond_it():
    bare = position(stop=None, target=None)
    strategy = razor()
    [wish] = strategy.on_ticker(ticker(10_000, T0), bare).intents
    assert wish == MoveStop(stop_price=Decimal(9_950), reason="no stop in force")
    [wish] = strategy.on_ticker(ticker(9_900, T0 + 60_000), bare).intents
    assert isinstance(wish, Exit)


def test_silence_within_the_gap_keeps_the_indicators_and_beyond_it_discards_them():
    for silence, survives in ((GAP_CANDLES_MAX, True), (GAP_CANDLES_MAX + 2, False)):
        strategy = razor()
        decisions(strategy, [10_000 + i % 3 for i in range(40)])
        at = T0 + (39 + silence) * 1000
        strategy.on_ticker(ticker(10_000, at), None)
        after = strategy.on_ticker(ticker(10_000, at + 1000), None)
        assert (after.checkpoints[0].name != "candles") is survives


@pytest.mark.parametrize(
    ("timeframe_s", "resolution"),
    [(60, "1"), (180, "3"), (300, "5"), (600, "10"), (900, "15"), (1800, "30"), (3600, "60")],
)
def test_asks_for_history_where_a_chart_resolution_fits(timeframe_s, resolution):
    assert razor(timeframeS=timeframe_s).warm_start == WarmStart(
        resolution=resolution, timeframe_ms=timeframe_s * 1000, count=345
    )


@pytest.mark.parametrize("timeframe_s", [1, 5, 61, 3599])
def test_asks_for_no_history_where_none_fits(timeframe_s):
    assert razor(timeframeS=timeframe_s).warm_start is None


def history(count, timeframe_s=60, until=T0):
    walk = PriceWalk(seed=1, index_name="btc_usdc", start_price=Decimal(10_000))
    step_ms = timeframe_s * 1000
    begin = until - until % step_ms - count * step_ms
    return [
        Candle(start_ms=begin + i * step_ms, open=o, high=h, low=low, close=c)
        for i, (o, h, low, c) in enumerate(walk.history(count))
    ]


def test_wanted_history_is_enough_for_every_indicator_at_the_first_close():
    # Wherever in a joined candle the history begins, the slow average of the longest has a value.
    for shift in range(15):
        strategy = razor(timeframeS=60)
        until = T0 + shift * 60_000
        strategy.on_history(history(strategy.warm_start.count, until=until))
        strategy.on_ticker(ticker(10_000, until), None)
        decision = strategy.on_ticker(ticker(10_000, until + 60_000), None)
        assert len(decision.checkpoints) == 5
        assert "unknown" not in {one.value for one in decision.checkpoints}


def test_history_after_restore_closes_the_gap_and_no_more():
    candles = history(200)
    steady, resumed = razor(timeframeS=60), razor(timeframeS=60)
    steady.on_history(candles)
    resumed.on_history(candles[:150])
    resumed.restore(json.loads(json.dumps(resumed.snapshot())))
    resumed.on_history(candles[100:])
    assert resumed.snapshot() == steady.snapshot()
    resumed.on_history(candles)
    assert resumed.snapshot() == steady.snapshot()


def test_history_that_does_not_join_on_replaces_what_was_remembered():
    candles = history(300)
    fresh, resumed = razor(timeframeS=60), razor(timeframeS=60)
    fresh.on_history(candles[200:])
    resumed.on_history(candles[:100])
    resumed.on_history(candles[200:])
    assert resumed.snapshot() == fresh.snapshot()


def test_limits_come_from_the_configuration():
    assert razor(cooldownMinutes=Decimal("0.05"), maxDailyTrades=7).limits == Limits(
        cooldown_ms=3000, daily_trades_max=7
    )


@pytest.mark.parametrize(("on_stop", "is_flattened"), [("keep", False), ("flatten", True)])
def test_on_stop_and_trade_size_come_from_the_configuration(on_stop, is_flattened):
    strategy = razor(onStop=on_stop, tradeSize=250)
    assert strategy.is_flattened_on_stop is is_flattened
    assert strategy.trade_size_usd == 250


def test_nothing_is_flattened_unless_the_configuration_says_so():
    assert not razor().is_flattened_on_stop


def walked(seed, count):
    """Quotes of the paper feed at uneven times, with a position now and then."""
    dice = random.Random(seed)
    walk = PriceWalk(seed=seed, index_name="btc_usdc", start_price=Decimal(10_000))
    at, held, quotes = T0, None, []
    for _ in range(count):
        step_ms = dice.choice((100, 100, 100, 500, 4000))
        at += step_ms
        price = walk.advance(step_ms / 1000)
        if dice.random() < 0.02:
            held = None if held else position(entry=int(price), stop=int(price) - 50, target=None)
        quotes.append((ticker(price, at), held))
    return quotes


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(0, 400))
def test_restored_razor_decides_to_the_byte_as_one_that_went_on(seed, cut):
    quotes = walked(seed, 500)
    steady, resumed = razor(), razor()
    for quote, held in quotes[:cut]:
        steady.on_ticker(quote, held)
    resumed.restore(json.loads(json.dumps(steady.snapshot())))
    for quote, held in quotes[cut:]:
        assert repr(resumed.on_ticker(quote, held)) == repr(steady.on_ticker(quote, held))
    assert json.dumps(resumed.snapshot()) == json.dumps(steady.snapshot())


def test_two_razors_decide_the_same_on_the_same_quotes():
    one, other = razor(), razor()
    for quote, held in walked(3, 1000):
        assert repr(one.on_ticker(quote, held)) == repr(other.on_ticker(quote, held))


@pytest.mark.parametrize(
    "config", [{"instrument": "ETH_USDC-PERPETUAL"}, {"timeframeS": 5}], ids=repr
)
def test_snapshot_of_another_series_is_refused(config):
    with pytest.raises(ValueError, match="snapshot has"):
        razor().restore(razor(**config).snapshot())


def test_snapshot_survives_a_change_of_thresholds():
    strategy = razor()
    decisions(strategy, dip_in_an_uptrend())
    changed = razor(rsiOversold=20, tradeSize=5)
    changed.restore(strategy.snapshot())
    assert changed.snapshot() == strategy.snapshot()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(deadline=None)
@given(damage=JSON_VALUES, data=st.data())
def test_damaged_snapshot_is_refused_or_usable_and_never_half_taken(damage, data):
    good = razor()
    decisions(good, dip_in_an_uptrend()[:50])
    snapshot = json.loads(json.dumps(good.snapshot()))
    part = data.draw(st.sampled_from(["series", "stop", "version"]))
    if part in ("series", "stop") and data.draw(st.booleans()):
        snapshot[part][data.draw(st.sampled_from(sorted(snapshot[part])))] = damage
    else:
        snapshot[part] = damage
    strategy = razor()
    before = strategy.snapshot()
    try:
        strategy.restore(snapshot)
    except ValueError:
        assert strategy.snapshot() == before
    strategy.snapshot()
