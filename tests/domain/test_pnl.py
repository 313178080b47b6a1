"""Profit for every contract family, against the exchange's own figures. PROTOCOL §16."""

from decimal import Decimal as D
from decimal import DecimalException

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.domain.instrument import contract_of
from vigil.domain.money import round_settlement
from vigil.domain.order import Direction
from vigil.domain.pnl import average_price, gross_pnl, option_payoff

BUY, SELL = Direction.BUY, Direction.SELL
INVERSE = contract_of("BTC-PERPETUAL")
LINEAR = contract_of("BTC_USDC-PERPETUAL")
INVERSE_OPTION = contract_of("BTC-25DEC26-76000-C")
LINEAR_OPTION = contract_of("XRP_USDC-30JUN23-0d625-C")

contracts = st.sampled_from([INVERSE, LINEAR, INVERSE_OPTION, LINEAR_OPTION])
sides = st.sampled_from(Direction)
prices = st.decimals(min_value=1, max_value=200_000, places=2)
amounts = st.integers(1, 100_000).map(lambda tens: D(tens) * 10)
fills = st.lists(st.tuples(amounts, prices), min_size=1, max_size=5)

TINY = D("1e-15")


@pytest.mark.parametrize(
    ("contract", "side", "amount", "entry", "exit_", "reported", "tolerance"),
    [
        pytest.param(
            INVERSE, SELL, "10", "91701.5", "92037", "-3.97E-7", "1E-9", id="1: short bought back"
        ),
        pytest.param(
            INVERSE, BUY, "40", "112585.87", "109266.97", "-1.0792E-5", "1E-9", id="2: long at mark"
        ),
        pytest.param(
            INVERSE,
            BUY,
            "40",
            "109351.31",
            "109266.97",
            "-2.82E-7",
            "1E-9",
            id="3: long since settlement",
        ),
        pytest.param(
            INVERSE, SELL, "10", "8932", "8932.46", "-5.8E-8", "1E-9", id="5: short at mark"
        ),
        pytest.param(
            LINEAR, BUY, "0.001", "20563", "20694", "0.131", "0", id="6: linear long closed"
        ),
        pytest.param(
            INVERSE_OPTION, BUY, "1", "0.0165", "0.016574", "7.4E-5", "0", id="7: call at mark"
        ),
        pytest.param(
            INVERSE_OPTION, BUY, "1", "0", "0.2", "0.2", "0", id="8: call at expiry, (S-K)/S"
        ),
        pytest.param(
            LINEAR_OPTION, SELL, "100", "0.05", "0.02", "3.00", "0", id="linear call sold"
        ),
    ],
)
def test_profit_equals_what_the_exchange_reported(
    contract, side, amount, entry, exit_, reported, tolerance
):
    """Rows 4 and 9 of the sheet are margin and a settlement sum, which nothing here reckons.

    The exchange builds inverse positions from coin sizes of nine decimals, hence the tolerance.
    """
    profit = gross_pnl(contract, side, D(amount), D(entry), D(exit_))
    assert abs(profit - D(reported)) <= D(tolerance)


def test_profit_of_the_recorded_inverse_trade_is_booked_to_its_last_digit():
    profit = gross_pnl(INVERSE, SELL, D(10), D("91701.5"), D(92037))
    assert round_settlement(profit) == D("-4.0E-7")


@given(contract=contracts, side=sides, amount=amounts, entry=prices, exit_=prices)
def test_what_one_side_wins_the_other_loses(contract, side, amount, entry, exit_):
    won = gross_pnl(contract, side, amount, entry, exit_)
    assert won == -gross_pnl(contract, side.opposite, amount, entry, exit_)


@given(contract=contracts, amount=amounts, entry=prices, exit_=prices)
def test_a_long_wins_exactly_when_the_price_rises(contract, amount, entry, exit_):
    won = gross_pnl(contract, BUY, amount, entry, exit_)
    assert (won > 0, won == 0) == (exit_ > entry, exit_ == entry)


def test_an_inverse_price_of_zero_is_an_error_and_not_a_profit():
    with pytest.raises(DecimalException):
        gross_pnl(INVERSE, BUY, D(10), D(0), D(100))


@given(contract=contracts, side=sides, parts=fills, exit_=prices)
def test_one_fill_at_the_average_earns_what_all_the_fills_earn(contract, side, parts, exit_):
    average = average_price(contract, parts)
    total = sum(amount for amount, _ in parts)
    at_once = gross_pnl(contract, side, total, average, exit_)
    in_parts = sum(gross_pnl(contract, side, amount, price, exit_) for amount, price in parts)
    assert abs(at_once - in_parts) <= TINY * max(1, abs(in_parts))


@given(contract=contracts, parts=fills)
def test_the_average_lies_between_the_cheapest_and_the_dearest(contract, parts):
    average = average_price(contract, parts)
    cheapest, dearest = min(p for _, p in parts), max(p for _, p in parts)
    assert cheapest * (1 - TINY) <= average <= dearest * (1 + TINY)


@given(contract=contracts, price=prices, parts=st.lists(amounts, min_size=1, max_size=5))
def test_fills_at_one_price_average_to_exactly_that_price(contract, price, parts):
    assert average_price(contract, [(amount, price) for amount in parts]) == price


@pytest.mark.parametrize(
    ("contract", "expected"),
    [
        pytest.param(LINEAR, "150", id="linear: arithmetic"),
        pytest.param(INVERSE_OPTION, "150", id="option: arithmetic"),
        pytest.param(INVERSE, "133.3333333333333333333333333", id="inverse: harmonic"),
    ],
)
def test_equal_amounts_average_by_cost(contract, expected):
    average = average_price(contract, [(D(10), D(100)), (D(10), D(200))])
    assert abs(average - D(expected)) < TINY


def test_nothing_has_no_average():
    assert average_price(LINEAR, []) is None


@pytest.mark.parametrize(
    ("contract", "is_call", "strike", "at", "worth"),
    [
        (INVERSE_OPTION, True, "10000", "12500", "0.2"),  # example 8
        (INVERSE_OPTION, True, "10000", "10000", "0"),
        (INVERSE_OPTION, True, "10000", "9000", "0"),
        (INVERSE_OPTION, False, "10000", "8000", "0.25"),
        (INVERSE_OPTION, False, "10000", "12500", "0"),
        (LINEAR_OPTION, True, "0.625", "0.7", "0.075"),
        (LINEAR_OPTION, False, "0.625", "0.5", "0.125"),
        (LINEAR_OPTION, False, "0.625", "0.7", "0"),
    ],
)
def test_an_option_is_worth_what_it_is_in_the_money_at_expiry(contract, is_call, strike, at, worth):
    payoff = option_payoff(contract, strike=D(strike), is_call=is_call, delivery_price=D(at))
    assert payoff == D(worth)
