"""Pools: what a request costs, what is left, what comes back, and who pays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.paper.session.credits import (
    TIERS,
    Credits,
    Limits,
    Pool,
    PoolName,
    Purse,
    is_matching,
    pool_of,
)

NOW_MS = 1_795_000_000_000


def count_paid(credits_, pool, now_ms=NOW_MS, tries=1_000):
    """How many requests are paid for at once."""
    return next((i for i in range(tries) if not credits_.spend(pool, now_ms)), tries)


@pytest.mark.parametrize(
    ("pool", "burst", "refill_ms"),
    [
        pytest.param(PoolName.DEFAULT, 100, 50, id="default: 20 a second"),
        pytest.param(PoolName.INSTRUMENTS, 50, 1_000, id="instruments: 1 a second"),
        pytest.param(PoolName.INSTRUMENTS_SOCKET, 5, 10_000, id="over a socket: 1 in 10 seconds"),
        pytest.param(PoolName.SUBSCRIBE, 10, 300, id="subscribe: 3.3 a second"),
        pytest.param(PoolName.TRANSACTION_LOG, 8, 1_000, id="log: 1 a second"),
        pytest.param(PoolName.MOVE_POSITIONS, 6, 10_000, id="move positions: 6 a minute"),
        pytest.param(PoolName.TRADING, 20, 200, id="trading, lowest tier: 5 a second"),
        pytest.param(PoolName.SPOT, 20, 200, id="spot: 5 a second"),
        pytest.param(PoolName.CANCEL_ALL, 20, 200, id="cancel_all: 5 a second"),
    ],
)
def test_a_full_pool_pays_for_its_burst_and_then_for_what_comes_back(pool, burst, refill_ms):
    credits_ = Credits(Limits())
    assert count_paid(credits_, pool) == burst
    assert not credits_.spend(pool, NOW_MS + refill_ms - 1)
    assert credits_.spend(pool, NOW_MS + refill_ms)
    assert not credits_.spend(pool, NOW_MS + refill_ms)


@pytest.mark.parametrize(
    ("tier", "rate", "burst"), [(1, 30, 100), (2, 20, 50), (3, 10, 30), (4, 5, 20)]
)
def test_a_tier_decides_how_much_trading_is_paid_for(tier, rate, burst):
    limits = Limits.of_tier(tier)
    assert count_paid(Credits(limits), PoolName.TRADING) == burst
    assert count_paid(Credits(limits), PoolName.DEFAULT) == 100
    assert limits.as_object()["matching_engine"]["trading"]["total"] == {
        "rate": rate, "burst": burst,
    }  # fmt: skip
    assert TIERS[tier].rate == rate


def test_an_empty_pool_leaves_the_others_full():
    credits_ = Credits(Limits())
    count_paid(credits_, PoolName.TRADING)
    assert count_paid(credits_, PoolName.CANCEL_ALL) == 20
    assert count_paid(credits_, PoolName.DEFAULT) == 100


def test_a_refused_request_takes_nothing():
    credits_ = Credits(Limits())
    count_paid(credits_, PoolName.DEFAULT)
    for _ in range(100):
        assert not credits_.spend(PoolName.DEFAULT, NOW_MS + 49)
    assert credits_.spend(PoolName.DEFAULT, NOW_MS + 50)


def test_a_drained_pool_refills_like_any_other():
    credits_ = Credits(Limits())
    credits_.drain(PoolName.TRADING, NOW_MS)
    assert not credits_.spend(PoolName.TRADING, NOW_MS)
    assert credits_.left(PoolName.TRADING, NOW_MS + 1_000) == 5


@pytest.mark.parametrize(
    ("method", "pool"),
    [
        ("public/ticker", PoolName.DEFAULT),
        ("public/auth", PoolName.DEFAULT),
        ("private/get_positions", PoolName.DEFAULT),
        ("no/such_method", PoolName.DEFAULT),
        ("public/get_instruments", PoolName.INSTRUMENTS),
        ("public/subscribe", PoolName.SUBSCRIBE),
        ("private/subscribe", PoolName.SUBSCRIBE),
        ("public/unsubscribe", PoolName.DEFAULT),
        ("private/get_transaction_log", PoolName.TRANSACTION_LOG),
        ("private/move_positions", PoolName.MOVE_POSITIONS),
        ("private/buy", PoolName.TRADING),
        ("private/edit_by_label", PoolName.TRADING),
        ("private/cancel", PoolName.TRADING),
        ("private/cancel_by_label", PoolName.TRADING),
        ("private/close_position", PoolName.TRADING),
        ("private/cancel_all", PoolName.CANCEL_ALL),
        ("private/cancel_all_by_currency", PoolName.TRADING),
        ("private/cancel_all_by_instrument", PoolName.TRADING),
    ],
)
def test_each_method_draws_on_its_pool(method, pool):
    assert pool_of(method) is pool


def test_spot_orders_and_instruments_over_a_socket_have_pools_of_their_own():
    assert pool_of("private/buy", is_spot=True) is PoolName.SPOT
    assert pool_of("private/cancel_all", is_spot=True) is PoolName.CANCEL_ALL
    assert pool_of("public/ticker", is_spot=True) is PoolName.DEFAULT
    assert pool_of("public/get_instruments", over_socket=True) is PoolName.INSTRUMENTS_SOCKET


def test_reading_orders_does_not_reach_the_matching_engine():
    assert is_matching("private/cancel_all_by_kind_or_type")
    assert not is_matching("private/get_open_orders")
    assert not is_matching("public/subscribe")


def test_the_limits_object_is_the_recorded_one_of_the_lowest_tier():
    assert Limits().as_object() == {
        "limits_per_currency": False,
        "non_matching_engine": {"rate": 20, "burst": 100},
        "matching_engine": {
            "trading": {"total": {"rate": 5, "burst": 20}},
            "spot": {"rate": 5, "burst": 20},
            "cancel_all": {"rate": 5, "burst": 20},
            "maximum_quotes": {"rate": 500, "burst": 500},
            "maximum_mass_quotes": {"rate": 10, "burst": 10},
            "guaranteed_mass_quotes": {"rate": 2, "burst": 2},
            "block_rfq_maker": {"rate": 10, "burst": 20},
        },
    }


class TestPurse:
    def test_each_address_pays_for_itself(self):
        purse = Purse(Limits())
        assert count_paid(purse.of_address("10.0.0.1"), PoolName.DEFAULT) == 100
        assert not purse.of_address("10.0.0.1").spend(PoolName.DEFAULT, NOW_MS)
        assert purse.of_address("10.0.0.2").spend(PoolName.DEFAULT, NOW_MS)
        assert purse.account.spend(PoolName.DEFAULT, NOW_MS)

    def test_addresses_beyond_number_are_forgotten_oldest_first(self):
        purse = Purse(Limits())
        count_paid(purse.of_address("first"), PoolName.DEFAULT)
        for i in range(1_023):
            purse.of_address(f"other {i}")
        assert not purse.of_address("first").spend(PoolName.DEFAULT, NOW_MS)
        for i in range(1_024):
            purse.of_address(f"another {i}")
        assert purse.of_address("first").spend(PoolName.DEFAULT, NOW_MS)


@given(
    rate=st.integers(1, 50),
    burst=st.integers(1, 100),
    gaps_ms=st.lists(st.integers(-50, 400), max_size=300),
)
def test_no_more_is_ever_paid_for_than_burst_and_rate_allow(rate, burst, gaps_ms):
    limits = Limits().with_pools({PoolName.TRADING: Pool.of_rate(rate, burst)})
    credits_, now_ms, passed_ms, paid = Credits(limits), NOW_MS, 0, 0
    for gap_ms in gaps_ms:
        now_ms += gap_ms
        passed_ms += max(gap_ms, 0)
        paid += credits_.spend(PoolName.TRADING, now_ms)
        assert paid * 1000 <= burst * 1000 + rate * passed_ms
        assert 0 <= credits_.left(PoolName.TRADING, now_ms) <= burst
