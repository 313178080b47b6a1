"""The average of the last half hour."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.paper.market.delivery_price import (
    WINDOW_MS,
    DeliveryWindow,
    expiry_before,
    next_expiry_ms,
)

D = Decimal
EXPIRY = 1_766_736_000_000  # 26 December 2025, 08:00 UTC
OPENS = EXPIRY - WINDOW_MS


def window(price, at_ms=OPENS):
    return DeliveryWindow(expiry_ms=EXPIRY, last_ms=at_ms, last_price=D(price))


def test_a_price_that_stands_still_is_the_delivery_price():
    built = window(100).with_price(D(100), OPENS + 1000)
    assert built.estimate() == built.final() == 100


def test_each_price_counts_for_as_long_as_it_held():
    built = window(100).with_price(D(200), OPENS + WINDOW_MS // 4)
    assert built.estimate() == 175  # a quarter at 100, and the rest as things stand at 200
    built = built.with_price(D(80), OPENS + WINDOW_MS // 2)
    assert built.final() == 25 + 50 + 40


def test_what_was_before_the_window_and_comes_after_the_expiry_does_not_count():
    early = window(50, OPENS - 10_000).with_price(D(100), OPENS - 5000).with_price(D(100), EXPIRY)
    assert early.with_price(D(9999), EXPIRY + 60_000).final() == 100
    assert early.covered_ms == WINDOW_MS


@given(
    st.lists(st.tuples(st.integers(0, WINDOW_MS), st.integers(1, 10_000)), min_size=1, max_size=20)
)
def test_the_average_lies_between_the_extremes(moves):
    built = window(500)
    for offset, price in sorted(moves):
        built = built.with_price(D(price), OPENS + offset)
    prices = [500, *(price for _, price in moves)]
    assert min(prices) <= built.final() <= max(prices)
    assert built.final() == built.estimate()  # nothing moves any more


def test_a_clock_that_steps_back_counts_nothing_twice():
    built = window(100).with_price(D(200), OPENS + 1000).with_price(D(300), OPENS + 500)
    assert built.last_ms == OPENS + 1000
    assert built.covered_ms == 1000


@pytest.mark.parametrize("offset", [0, 1, 86_399_999])
def test_expiries_are_at_eight_in_the_morning(offset):
    now_ms = EXPIRY + offset
    assert expiry_before(now_ms) == EXPIRY
    assert next_expiry_ms(now_ms) == EXPIRY + 86_400_000
