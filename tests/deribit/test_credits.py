from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.deribit.credits import (
    LOWEST_TIER,
    Credits,
    Lane,
    Pool,
    Rate,
    lane_of,
    limits_of,
    pool_of,
)
from vigil.domain.order import Direction, OrderRequest, OrderType
from vigil.domain.portfolio import RateLimit

FULL_S = 100.0  # long enough for every pool of these tests to fill


def full(limits: Any = LOWEST_TIER) -> Credits:
    made = Credits(limits, now_s=0.0)
    assert made.left(Pool.DEFAULT, FULL_S) > 0
    return made


def burst(credits_: Credits, pool: Pool, lane: Lane, now_s: float = FULL_S) -> int:
    """How many calls of a lane go out at one moment."""
    count = 0
    while credits_.spend(pool, lane, now_s):
        count += 1
    return count


@pytest.mark.parametrize(
    ("method", "pool"),
    [
        ("private/buy", Pool.TRADING),
        ("private/edit", Pool.TRADING),
        ("private/cancel", Pool.TRADING),
        ("private/cancel_all_by_instrument", Pool.TRADING),
        ("private/cancel_all", Pool.CANCEL_ALL),
        ("private/subscribe", Pool.SUBSCRIBE),
        ("public/subscribe", Pool.SUBSCRIBE),
        ("public/unsubscribe", Pool.DEFAULT),
        ("public/get_instruments", Pool.INSTRUMENTS),
        ("public/get_instrument", Pool.DEFAULT),
        ("private/get_transaction_log", Pool.TRANSACTION_LOG),
        ("private/get_positions", Pool.DEFAULT),
        ("public/auth", Pool.DEFAULT),
    ],
)
def test_every_method_is_counted_against_its_pool(method: str, pool: Pool) -> None:
    assert pool_of(method) is pool


@pytest.mark.parametrize(
    ("order_type", "reduce_only", "lane"),
    [
        pytest.param(OrderType.MARKET, False, Lane.ENTRY, id="entry"),
        pytest.param(OrderType.STOP_MARKET, False, Lane.ENTRY, id="a stop that may open"),
        pytest.param(OrderType.MARKET, True, Lane.REDUCE, id="close"),
        pytest.param(OrderType.LIMIT, True, Lane.REDUCE, id="reducing limit"),
        pytest.param(OrderType.STOP_MARKET, True, Lane.PROTECT, id="stop"),
        pytest.param(OrderType.TAKE_LIMIT, True, Lane.PROTECT, id="target"),
    ],
)
def test_an_order_s_lane_is_what_it_does(
    order_type: OrderType, *, reduce_only: bool, lane: Lane
) -> None:
    request = OrderRequest(
        instrument_name="X",
        direction=Direction.BUY,
        order_type=order_type,
        amount=Decimal(1),
        label="l",
        reduce_only=reduce_only,
    )
    assert lane_of(request) is lane


def test_entries_leave_what_cancels_and_stops_will_need() -> None:
    """5/s and 20 at once: 16 are ours, 4 of them not for entries, 2 not for stops."""
    credits_ = full()
    assert burst(credits_, Pool.TRADING, Lane.ENTRY) == 12
    assert burst(credits_, Pool.TRADING, Lane.PROTECT) == 2
    assert burst(credits_, Pool.TRADING, Lane.REDUCE) == 2


def test_questions_leave_what_the_session_itself_will_need() -> None:
    credits_ = full()
    assert burst(credits_, Pool.DEFAULT, Lane.QUERY) == 76
    assert burst(credits_, Pool.DEFAULT, Lane.PROTECT) == 4


@pytest.mark.parametrize("rate", [Rate(per_s=1, burst=1), Rate(per_s=0.1, burst=0.5)])
def test_however_small_a_pool_every_lane_but_queries_fits(rate: Rate) -> None:
    credits_ = full(dict(LOWEST_TIER) | {Pool.TRADING: rate})
    for lane in (Lane.REDUCE, Lane.PROTECT, Lane.ENTRY):
        assert credits_.spend(Pool.TRADING, lane, 200.0 + 100 * lane)


def test_a_fresh_process_assumes_that_the_last_one_spent() -> None:
    credits_ = Credits(now_s=0.0)
    assert credits_.left(Pool.TRADING, 0.0) == 6
    assert credits_.left(Pool.DEFAULT, 0.0) == 30
    assert credits_.left(Pool.TRANSACTION_LOG, 0.0) == 4
    # … and is a whole session's opening all the same: time, login, heartbeat, two subscriptions.
    assert all(credits_.spend(Pool.DEFAULT, Lane.PROTECT, 0.0) for _ in range(3))
    assert all(credits_.spend(Pool.SUBSCRIBE, Lane.PROTECT, 0.0) for _ in range(2))


def test_credit_comes_back_with_time_and_stops_at_what_is_ours() -> None:
    credits_ = full()
    burst(credits_, Pool.TRADING, Lane.REDUCE)
    assert credits_.left(Pool.TRADING, FULL_S + 1) == pytest.approx(4.5)
    assert credits_.left(Pool.TRADING, FULL_S + 60) == 16


def test_the_wait_is_told_and_is_true() -> None:
    credits_ = full()
    burst(credits_, Pool.TRADING, Lane.REDUCE)
    for lane in (Lane.REDUCE, Lane.PROTECT, Lane.ENTRY):
        delay_s = credits_.wait_s(Pool.TRADING, lane, FULL_S)
        assert not credits_.spend(Pool.TRADING, lane, FULL_S + delay_s - 0.001)
        assert Credits.wait_s(credits_, Pool.TRADING, lane, FULL_S + delay_s) == pytest.approx(0)
    assert credits_.wait_s(Pool.TRADING, Lane.REDUCE, FULL_S + 60) == 0


def test_with_two_cancels_in_reserve_a_cancel_never_waits_and_after_them_not_long() -> None:
    credits_ = full()
    burst(credits_, Pool.TRADING, Lane.ENTRY)
    burst(credits_, Pool.TRADING, Lane.PROTECT)
    assert credits_.wait_s(Pool.TRADING, Lane.REDUCE, FULL_S) == 0
    burst(credits_, Pool.TRADING, Lane.REDUCE)
    assert credits_.wait_s(Pool.TRADING, Lane.REDUCE, FULL_S) <= 0.25


def test_the_account_s_own_limits_replace_the_lowest_and_what_was_spent_stays_spent() -> None:
    credits_ = full()
    burst(credits_, Pool.TRADING, Lane.REDUCE)
    credits_.adopt({Pool.TRADING: Rate(per_s=10, burst=20)}, FULL_S)
    assert credits_.left(Pool.TRADING, FULL_S) == 0
    credits_.adopt({Pool.TRADING: Rate(per_s=30, burst=100)}, FULL_S)
    assert credits_.left(Pool.TRADING, FULL_S) == 0
    assert credits_.left(Pool.TRADING, FULL_S + 1) == pytest.approx(27)
    assert credits_.left(Pool.TRADING, FULL_S + 60) == 80


def test_what_a_fresh_process_may_assume_grows_with_the_burst_that_it_learns_of() -> None:
    credits_ = Credits(now_s=0.0)
    burst(credits_, Pool.TRADING, Lane.REDUCE, 0.0)
    credits_.adopt({Pool.TRADING: Rate(per_s=30, burst=100)}, 0.0)
    assert credits_.left(Pool.TRADING, 0.0) == 0.3 * 100 - 6


def test_lower_limits_take_effect_at_once() -> None:
    credits_ = full(dict.fromkeys(Pool, Rate(per_s=100, burst=1000)))
    credits_.adopt({Pool.TRADING: Rate(per_s=5, burst=20)}, FULL_S)
    assert credits_.left(Pool.TRADING, FULL_S) == 16


def test_out_of_credit_all_the_same_everything_starts_from_nothing() -> None:
    credits_ = full()
    credits_.drain(FULL_S)
    assert all(credits_.left(pool, FULL_S) == 0 for pool in Pool)
    delay_s = credits_.recovery_s(FULL_S)
    assert 2 < delay_s < 3  # half of 80 at 18 a second
    assert credits_.recovery_s(FULL_S + delay_s) == pytest.approx(0)
    assert credits_.recovery_s(FULL_S + delay_s + 0.01) == 0
    assert credits_.recovery_s(FULL_S + delay_s + 0.02) == 0


def test_without_having_run_out_a_session_opens_at_once() -> None:
    assert Credits(now_s=0.0).recovery_s(0.0) == 0


def limit(rate: int, at_once: int) -> RateLimit:
    return RateLimit(rate=rate, burst=at_once)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param(
            {
                "non_matching_engine": limit(20, 100),
                "matching_engine.trading.total": limit(5, 20),
                "matching_engine.spot": limit(3, 9),
                "matching_engine.cancel_all": limit(4, 21),
                "matching_engine.maximum_quotes": limit(500, 500),
            },
            {
                Pool.DEFAULT: Rate(per_s=20, burst=100),
                Pool.TRADING: Rate(per_s=5, burst=20),
                Pool.CANCEL_ALL: Rate(per_s=4, burst=21),
            },
            id="since 2024",
        ),
        pytest.param(
            {"non_matching_engine": limit(200, 300), "matching_engine": limit(2, 20)},
            {Pool.DEFAULT: Rate(per_s=200, burst=300), Pool.TRADING: Rate(per_s=2, burst=20)},
            id="before",
        ),
        pytest.param(
            {
                "matching_engine.btc.trading.total": limit(30, 40),
                "matching_engine.eth.trading.total": limit(5, 90),
            },
            {Pool.TRADING: Rate(per_s=5, burst=40)},
            id="by currency",
        ),
        pytest.param(
            {"matching_engine.trading.total": limit(0, 20), "something_new": limit(1, 1)},
            {},
            id="senseless or unknown",
        ),
        pytest.param({}, {}, id="nothing"),
    ],
)
def test_the_account_s_limits_are_read_in_all_their_shapes(
    told: dict[str, RateLimit], expected: dict[Pool, Rate]
) -> None:
    assert limits_of(told) == expected


class Oracle:
    """The exchange's side of one pool, written for this test alone: whole credits, refilled."""

    def __init__(self, rate: Rate, *, level: float) -> None:
        self.rate = rate
        self.level = level
        self.at_s = 0.0

    def take(self, now_s: float) -> bool:
        """One call arrives; False when it finds nothing."""
        assert now_s >= self.at_s
        self.level = min(self.rate.burst, self.level + (now_s - self.at_s) * self.rate.per_s)
        self.at_s = now_s
        if self.level < 1 - 1e-9:
            return False
        self.level -= 1
        return True


RATES = st.builds(
    Rate,
    per_s=st.floats(0.5, 50),
    burst=st.integers(5, 200).map(float),
)
WISHES = st.lists(
    st.tuples(
        st.one_of(st.just(0.0), st.floats(0, 3), st.floats(0, 0.05)),  # seconds since the last
        st.sampled_from(Lane),
        st.floats(0, 1),  # how much of the road's jitter this call suffers
    ),
    max_size=300,
)


@given(rate=RATES, wishes=WISHES)
def test_whatever_is_wished_the_exchange_s_pool_is_never_found_empty(
    rate: Rate, wishes: list[tuple[float, Lane, float]]
) -> None:
    """Also when calls sent apart arrive together, on a road that never lets one overtake another.

    The jitter that the margin pays for: a fifth of the burst, in seconds of refill.
    """
    jitter_s = 0.2 * rate.burst / rate.per_s
    credits_ = Credits(dict.fromkeys(Pool, rate), now_s=0.0)
    oracle = Oracle(rate, level=rate.burst * 0.3)
    now_s = arrival_s = 0.0
    for pause_s, lane, part in wishes:
        now_s += pause_s
        if credits_.spend(Pool.TRADING, lane, now_s):
            arrival_s = max(arrival_s, now_s + part * jitter_s)
            assert oracle.take(arrival_s), (now_s, arrival_s)


@given(rate=RATES, wishes=WISHES)
def test_a_cancel_never_waits_longer_than_one_credit_takes(
    rate: Rate, wishes: list[tuple[float, Lane, float]]
) -> None:
    credits_ = Credits(dict.fromkeys(Pool, rate), now_s=0.0)
    now_s = 0.0
    for pause_s, lane, _ in wishes:
        now_s += pause_s
        credits_.spend(Pool.TRADING, lane, now_s)
        assert credits_.wait_s(Pool.TRADING, Lane.REDUCE, now_s) <= 1 / (0.9 * rate.per_s) + 1e-9
