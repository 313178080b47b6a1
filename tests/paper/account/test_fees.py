from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest

from vigil.paper.account.fees import delivery_fee, trade_fee

D = Decimal
LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"


def with_rates(listing, maker, taker):
    instrument = msgspec.structs.replace(
        listing.instrument, maker_commission=D(maker), taker_commission=D(taker)
    )
    return replace(listing, instrument=instrument)


def fee(listing, amount, price, *, index="80000", is_maker=False, **more):
    return trade_fee(listing, D(amount), D(price), D(index), is_maker=is_maker, **more)


@pytest.fixture
def listed(desk):
    """Finds a listing by family, length and kind."""

    def find(family, period, *, is_option=False):
        return next(
            market.listing
            for name, market in desk.venue.exchange.markets.items()
            if name.startswith(family)
            and market.listing.settlement_period == period
            and market.listing.contract.is_option is is_option
        )

    return find


@pytest.mark.parametrize(
    ("family", "amount", "price", "expected"),
    [
        ("BTC_USDC-", "0.001", "20694", "0.010347"),  # a recorded fill at 0.05 %
        ("BTC-", "10", "91701.5", "0.00000005"),  # recorded as 6e-8: within one unit
        ("BTC-", "10", "92037", "0.00000005"),  # recorded as 5e-8
    ],
)
def test_futures_pay_a_share_of_their_value(listed, family, amount, price, expected):
    listing = with_rates(listed(family, "perpetual"), "0", "0.0005")
    assert fee(listing, amount, price) == D(expected)
    assert fee(listing, amount, price, is_maker=True) == 0


def test_a_maker_may_be_paid(listed):
    listing = with_rates(listed("BTC_USDC-", "perpetual"), "-0.0001", "0.0005")
    assert fee(listing, "1", "80000", is_maker=True) == D(-8)


@pytest.mark.parametrize(
    ("family", "price", "expected"),
    [
        ("BTC-", "0.05", "0.0003"),  # of one coin
        ("BTC-", "0.001", "0.000125"),  # capped at an eighth of the premium
        ("BTC_USDC-", "4000", "24"),  # of the index, 80 000
        ("BTC_USDC-", "80", "10"),
    ],
)
def test_options_pay_by_their_underlying_and_never_more_than_an_eighth(
    listed, family, price, expected
):
    listing = with_rates(listed(family, "month", is_option=True), "0.0003", "0.0003")
    assert fee(listing, "1", price) == D(expected)
    assert fee(listing, "2", price) == 2 * D(expected)


def test_a_liquidated_future_pays_one_percent_in_all(listed):
    listing = listed("BTC_USDC-", "perpetual")
    assert fee(listing, "1", "80000", is_liquidation=True) == D(800)


def test_a_liquidated_option_pays_on_top_of_its_capped_fee(listed):
    listing = with_rates(listed("BTC-", "month", is_option=True), "0.0003", "0.0003")
    assert fee(listing, "1", "0.001", is_liquidation=True) == D("0.000125") + D("0.0019")


@pytest.mark.parametrize(
    ("family", "period", "is_option", "size", "value", "expected"),
    [
        ("BTC-", "month", False, "-8000", "80000", "0.000025"),
        ("BTC-", "week", False, "-8000", "80000", "0"),
        ("BTC_USDC-", "month", True, "2", "5000", "24"),  # 0.015 % of 160 000
        ("BTC_USDC-", "month", True, "2", "10", "2.5"),  # an eighth of 20
        ("BTC-", "month", True, "-1", "0.2", "0.00015"),
        ("BTC-", "day", True, "1", "0", "0"),
    ],
)
def test_delivery_costs_by_kind(listed, family, period, is_option, size, value, expected):
    listing = listed(family, period, is_option=is_option)
    assert delivery_fee(listing, D(size), D(80_000), D(value)) == D(expected)
