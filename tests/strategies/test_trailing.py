"""Where the stop goes as a position gains: nowhere, break-even, trailing; never looser."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.domain.order import Direction
from vigil.strategies.trailing import REPEAT_AFTER_MS, STEP_MIN, StopRules, StopTrail
from vigil.trading.signal import Exit, MoveStop, OpenPosition

T0 = 1_800_000_000_000
ENTRY = Decimal(10_000)


def rules(**changes):
    plain = {
        "stop_loss_percent": Decimal("0.5"),
        "take_profit_percent": Decimal(1),
        "break_even": True,
        "trailing": True,
    }
    return StopRules(**{**plain, **changes})


def held(side=Direction.BUY, stop="default", target="default", entry_time_ms=T0):
    stop = ENTRY - side.sign * 50 if stop == "default" else stop
    target = ENTRY + side.sign * 100 if target == "default" else target
    return OpenPosition(
        side=side,
        entry_price=ENTRY,
        amount=Decimal(1),
        entry_time_ms=entry_time_ms,
        stop_loss=None if stop is None else Decimal(stop),
        take_profit=None if target is None else Decimal(target),
    )


def follow(trail, position, mark, at=T0, atr=None):
    return trail.follow(position, mark_price=Decimal(mark), timestamp_ms=at, atr=atr)


@pytest.mark.parametrize("side", Direction)
@pytest.mark.parametrize(
    ("gain", "atr", "stop_gain"),
    [
        pytest.param("49.9", None, None, id="not yet half way"),
        pytest.param("50", None, "10", id="half way: entry plus fees"),
        pytest.param("59.9", None, "10", id="before trailing"),
        pytest.param("60", None, "20", id="trailing begins 40 % of the way behind"),
        pytest.param("90", None, "50", id="trailing follows"),
        pytest.param("90", 50.0, "40", id="a wide candle keeps the stop away"),
        pytest.param("90", 500.0, "30", id="but by no more than 60 % of the way"),
        pytest.param("90", 1.0, "50", id="and no less than 40 %"),
    ],
)
def test_stop_moves_with_the_gain(side, gain, atr, stop_gain):
    wish = follow(StopTrail(rules()), held(side), ENTRY + side.sign * Decimal(gain), atr=atr)
    if stop_gain is None:
        assert wish is None
    else:
        assert isinstance(wish, MoveStop)
        assert wish.stop_price == ENTRY + side.sign * Decimal(stop_gain)


@pytest.mark.parametrize(
    ("changes", "gain", "stop"),
    [
        pytest.param({"break_even": False}, 55, None, id="no break-even"),
        pytest.param({"trailing": False}, 90, "10010", id="break-even only"),
        pytest.param({"break_even": False, "trailing": False}, 99, None, id="neither"),
    ],
)
def test_rules_can_be_switched_off(changes, gain, stop):
    wish = follow(StopTrail(rules(**changes)), held(), ENTRY + gain)
    assert (wish and wish.stop_price) == (stop and Decimal(stop))


def test_break_even_stays_behind_a_near_target():
    """Fees of 0.1 % are more than the whole way to a target of 0.05 %."""
    wish = follow(StopTrail(rules()), held(target="10005"), "10002.6")
    assert wish.stop_price == Decimal("10001.25")


def test_without_a_target_the_configured_distance_counts():
    wish = follow(StopTrail(rules(take_profit_percent=Decimal(2))), held(target=None), "10100")
    assert wish == MoveStop(stop_price=Decimal(10_010), reason="break-even")


@pytest.mark.parametrize("side", Direction)
def test_position_without_a_stop_gets_the_configured_one(side):
    wish = follow(StopTrail(rules()), held(side, stop=None), ENTRY)
    assert wish.stop_price == ENTRY - side.sign * 50


@pytest.mark.parametrize("side", Direction)
def test_position_without_a_stop_and_beyond_it_is_closed(side):
    trail, position = StopTrail(rules()), held(side, stop=None)
    assert isinstance(follow(trail, position, ENTRY - side.sign * 60), Exit)


def test_peak_outlives_a_fall_but_no_stop_is_asked_beyond_the_market():
    trail = StopTrail(rules())
    assert follow(trail, held(), 10_090) is not None
    assert follow(trail, held(), 10_040, T0 + REPEAT_AFTER_MS) is None
    assert follow(trail, held(), 10_060, T0 + REPEAT_AFTER_MS).stop_price == 10_050


def test_unanswered_wish_is_repeated_only_after_a_while():
    trail = StopTrail(rules())
    assert follow(trail, held(), 10_060) is not None
    assert follow(trail, held(), 10_060, T0 + REPEAT_AFTER_MS - 1) is None
    assert follow(trail, held(), 10_060, T0 + REPEAT_AFTER_MS) is not None


def test_better_wish_does_not_wait():
    trail = StopTrail(rules())
    follow(trail, held(), 10_060)
    assert follow(trail, held(), 10_064, T0 + 1) is None
    assert follow(trail, held(), 10_065, T0 + 1).stop_price == 10_025


def test_new_position_begins_with_a_new_peak():
    trail = StopTrail(rules())
    follow(trail, held(), 10_090)
    assert follow(trail, held(entry_time_ms=T0 + 1), 10_000) is None
    assert trail.progress(held()) == 0


MARKS = st.lists(st.integers(-300, 300), min_size=1, max_size=60)


@given(MARKS, st.sampled_from(Direction), st.sampled_from([None, 5.0, 45.0, 900.0]))
def test_stop_only_ever_comes_closer_and_each_edit_is_worth_it(offsets, side, atr):
    trail, position = StopTrail(rules()), held(side)
    for i, offset in enumerate(offsets):
        mark = ENTRY + offset
        wish = follow(trail, position, mark, T0 + i * 100, atr)
        if wish is not None:
            assert side.sign * (wish.stop_price - position.stop_loss) >= STEP_MIN * ENTRY
            assert side.sign * (mark - wish.stop_price) > 0
            position = held(side, stop=wish.stop_price)


@given(MARKS, st.data())
def test_resumed_trail_wishes_the_same(offsets, data):
    cut = data.draw(st.integers(0, len(offsets)))
    steady, resumed = StopTrail(rules()), StopTrail(rules())
    for i, offset in enumerate(offsets[:cut]):
        follow(steady, held(), ENTRY + offset, T0 + i * 3000)
    resumed.restore(json.loads(json.dumps(steady.snapshot())))
    for i, offset in enumerate(offsets[cut:], start=cut):
        at = T0 + i * 3000
        assert follow(resumed, held(), ENTRY + offset, at) == follow(
            steady, held(), ENTRY + offset, at
        )
    assert resumed.snapshot() == steady.snapshot()
