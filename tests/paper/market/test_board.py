"""What is listed at a time."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.domain.instrument import Kind, contract_of
from vigil.paper.market.board import board, strikes_around
from vigil.paper.market.expiries import Expiry
from vigil.paper.market.instruments import UNDERLYINGS, dated_future, option, strike_text

D = Decimal
NOW_MS = 1_795_000_000_000
PRICES = {
    "btc_usd": D(95_000), "btc_usdc": D(95_000), "eth_usd": D(3_300), "eth_usdc": D(3_300),
    "xrp_usdc": D("2.3"),
}  # fmt: skip


def test_both_contracts_of_both_kinds_are_listed_with_unique_names_and_ids():
    listed = board(NOW_MS, PRICES)
    families = {(item.contract.is_linear, item.instrument.kind) for item in listed}
    assert families == {
        (linear, kind) for linear in (False, True) for kind in (Kind.FUTURE, Kind.OPTION)
    }
    assert len({item.name for item in listed}) == len(listed)
    assert len({item.instrument_id for item in listed}) == len(listed)
    assert len(listed) < 200  # modest: every one costs memory and every list of them time


def test_every_listing_says_what_its_name_says():
    for item in board(NOW_MS, PRICES):
        contract = contract_of(item.name)
        assert contract.is_linear is item.instrument.is_linear
        assert contract.is_option is (item.strike is not None)
        assert contract.settlement_currency == item.currency
        assert item.expires_ms > NOW_MS >= item.creation_timestamp_ms
        assert item.settlement_period in ("day", "week", "month")
        assert item.instrument.amount_step <= item.instrument.min_trade_amount
        if item.strike is not None:
            assert item.name.endswith(f"-{strike_text(item.strike)}-{'C' if item.is_call else 'P'}")


def test_strikes_lie_around_the_price_in_pairs():
    listed = [i for i in board(NOW_MS, PRICES) if i.name.startswith("BTC-25DEC26-")]
    strikes = sorted({item.strike for item in listed})
    assert strikes[0] < PRICES["btc_usd"] < strikes[-1]
    assert len(listed) == 2 * len(strikes)


def test_an_index_that_is_not_there_has_nothing_listed():
    assert {i.instrument.price_index for i in board(NOW_MS, {"eth_usd": D(3_300)})} == {"eth_usd"}
    assert board(NOW_MS, {}) == ()


@pytest.mark.parametrize(
    ("price", "gap", "count", "strikes"),
    [
        ("95000", "0.05", 3, ["94000", "96000", "98000"]),
        ("2.3", "0.05", 3, ["2.2", "2.3", "2.4"]),
        ("0.62", "0.02", 3, ["0.61", "0.62", "0.63"]),
    ],
)
def test_strikes_are_round(price, gap, count, strikes):
    assert strikes_around(D(price), D(gap), count) == tuple(map(D, strikes))


@given(st.decimals("0.0001", 500_000, places=4), st.integers(1, 4).map(lambda n: 2 * n + 1))
def test_strikes_are_positive_ordered_and_include_one_near_the_price(price, count):
    strikes = strikes_around(price, D("0.05"), count)
    assert all(strike > 0 for strike in strikes)
    assert list(strikes) == sorted(strikes)
    assert any(abs(strike - price) <= price * D("0.05") for strike in strikes)


def test_names_of_small_strikes_have_a_d_for_the_point():
    expiry = Expiry(expires_ms=1_688_112_000_000, period="month")  # 30 June 2023
    listing = option(
        UNDERLYINGS["XRP_USDC"], expiry, D("0.625"), is_call=True,
        instrument_id=1, creation_timestamp_ms=0,
    )  # fmt: skip
    assert listing.name == "XRP_USDC-30JUN23-0d625-C"
    assert dated_future(
        UNDERLYINGS["BTC"], expiry, instrument_id=1, creation_timestamp_ms=0
    ).name == "BTC-30JUN23"  # fmt: skip
