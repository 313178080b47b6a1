"""Units, ticks and steps of every contract family. Values: PROTOCOL §14."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from vigil.domain.instrument import Contract, Instrument, Kind, TickStep, contract_of
from vigil.domain.money import is_multiple

INVERSE = Instrument(
    instrument_name="BTC-PERPETUAL",
    kind=Kind.FUTURE,
    is_linear=False,
    base_currency="BTC",
    quote_currency="USD",
    settlement_currency="BTC",
    contract_size=D(10),
    min_trade_amount=D(10),
    tick_size=D("0.5"),
)
LINEAR = Instrument(
    instrument_name="BTC_USDC-PERPETUAL",
    kind=Kind.FUTURE,
    is_linear=True,
    base_currency="BTC",
    quote_currency="USDC",
    settlement_currency="USDC",
    contract_size=D("0.0001"),
    min_trade_amount=D("0.0001"),
    tick_size=D("0.1"),
)
OPTION = Instrument(
    instrument_name="BTC-26JUN26-100000-C",
    kind=Kind.OPTION,
    is_linear=False,
    base_currency="BTC",
    quote_currency="BTC",
    settlement_currency="BTC",
    contract_size=D(1),
    min_trade_amount=D("0.1"),
    tick_size=D("0.0001"),
    tick_size_steps=(TickStep(above_price=D("0.005"), tick_size=D("0.0005")),),
)
FUTURES = [pytest.param(INVERSE, id="inverse"), pytest.param(LINEAR, id="linear")]
ALL = [*FUTURES, pytest.param(OPTION, id="option")]

prices = st.decimals(min_value="0.0001", max_value=500_000, places=6)
notionals = st.decimals(min_value="0.01", max_value=10_000_000, places=2)


@pytest.mark.parametrize(
    ("name", "is_linear", "is_option", "settlement_currency"),
    [
        ("BTC-PERPETUAL", False, False, "BTC"),
        ("ETH-PERPETUAL", False, False, "ETH"),
        ("BTC-6SEP26", False, False, "BTC"),
        ("BTC_USDC-PERPETUAL", True, False, "USDC"),
        ("1000PEPE_USDC-PERPETUAL", True, False, "USDC"),
        ("SOL_USDC-25DEC26", True, False, "USDC"),
        ("BTC-25DEC26-76000-C", False, True, "BTC"),
        ("ETH-25DEC26-3000-P", False, True, "ETH"),
        ("XRP_USDC-30JUN23-0d625-C", True, True, "USDC"),
        ("BTC_USDC", True, False, "USDC"),
    ],
)
def test_a_name_tells_the_contract(name, is_linear, is_option, settlement_currency):
    assert contract_of(name) == Contract(
        is_linear=is_linear, is_option=is_option, settlement_currency=settlement_currency
    )


@pytest.mark.parametrize("instrument", ALL)
def test_the_name_agrees_with_what_the_exchange_says_of_the_instrument(instrument):
    contract = contract_of(instrument.instrument_name)
    assert contract.is_linear is instrument.is_linear
    assert contract.is_option is (instrument.kind is Kind.OPTION)
    assert contract.settlement_currency == instrument.settlement_currency


@pytest.mark.parametrize(
    ("instrument", "unit"),
    [(INVERSE, "USD"), (LINEAR, "BTC"), (OPTION, "BTC")],
    ids=["inverse", "linear", "option"],
)
def test_amounts_are_usd_for_inverse_futures_and_coin_for_the_rest(instrument, unit):
    assert instrument.amount_unit == unit


def test_amounts_of_a_combo_are_those_of_its_legs():
    assert replace(OPTION, kind=Kind.OPTION_COMBO).amount_unit == "BTC"
    assert replace(INVERSE, kind=Kind.FUTURE_COMBO).amount_unit == "USD"


@pytest.mark.parametrize(
    ("price", "tick"),
    [
        pytest.param("0.0001", "0.0001", id="cheapest"),
        pytest.param("0.0049", "0.0001", id="below the step"),
        pytest.param("0.005", "0.0001", id="at the step, not above it"),
        pytest.param("0.0051", "0.0005", id="above the step"),
        pytest.param("0.0130", "0.0005", id="far above"),
    ],
)
def test_the_tick_grows_above_its_step(price, tick):
    assert OPTION.tick_at(D(price)) == D(tick)


@pytest.mark.parametrize("price", ["0.1", "50000", "500000"])
def test_the_tick_is_one_where_there_are_no_steps(price):
    assert INVERSE.tick_at(D(price)) == D("0.5")


@pytest.mark.parametrize("instrument", ALL)
@given(price=prices)
def test_a_rounded_price_conforms_to_the_tick_that_applies_where_it_lands(instrument, price):
    for rounded in (
        instrument.round_price_down(price),
        instrument.round_price(price),
        instrument.round_price_up(price),
    ):
        assert is_multiple(rounded, instrument.tick_at(rounded))
        assert abs(rounded - price) < instrument.tick_at(price)


@pytest.mark.parametrize("instrument", ALL)
@given(price=prices)
def test_prices_round_the_way_they_say(instrument, price):
    assert instrument.round_price_down(price) <= price <= instrument.round_price_up(price)


@pytest.mark.parametrize(
    ("instrument", "notional_usd", "price", "amount"),
    [
        pytest.param(INVERSE, "100", "60000", "100", id="inverse counts dollars"),
        pytest.param(INVERSE, "109.99", "60000", "100", id="inverse rounds down to contracts"),
        pytest.param(INVERSE, "9.99", "60000", "0", id="inverse below its minimum"),
        pytest.param(LINEAR, "100", "50000", "0.002", id="linear counts coin"),
        pytest.param(LINEAR, "100", "95000", "0.0010", id="linear rounds down to contracts"),
        pytest.param(LINEAR, "5", "50000", "0.0001", id="linear at its minimum"),
        pytest.param(LINEAR, "4.99", "50000", "0", id="linear below its minimum"),
    ],
)
def test_notional_becomes_an_amount_in_the_instruments_unit(
    instrument, notional_usd, price, amount
):
    assert instrument.amount_for_notional(D(notional_usd), D(price)) == D(amount)


@pytest.mark.parametrize("instrument", FUTURES)
@given(notional_usd=notionals, price=st.decimals(min_value=1, max_value=500_000, places=2))
def test_an_amount_never_exceeds_its_notional_and_is_one_the_exchange_takes(
    instrument, notional_usd, price
):
    amount = instrument.amount_for_notional(notional_usd, price)
    assert instrument.notional_usd(amount, price) <= notional_usd
    assert amount == 0 or instrument.refusal_of_amount(amount) is None


@pytest.mark.parametrize("instrument", FUTURES)
@given(notional_usd=notionals, price=st.decimals(min_value=1, max_value=500_000, places=2))
def test_an_amount_is_the_largest_that_fits_its_notional(instrument, notional_usd, price):
    amount = instrument.amount_for_notional(notional_usd, price)
    next_amount = max(amount + instrument.amount_step, instrument.min_trade_amount)
    assert instrument.notional_usd(next_amount, price) > notional_usd


@pytest.mark.parametrize(
    ("instrument", "amount", "contracts"),
    [(INVERSE, "1520", "152"), (LINEAR, "0.01", "100"), (OPTION, "3", "3")],
    ids=["inverse", "linear", "option"],
)
def test_contracts_are_amounts_over_the_contract_size(instrument, amount, contracts):
    assert instrument.contracts(D(amount)) == D(contracts)


@pytest.mark.parametrize(
    ("instrument", "step"),
    [(INVERSE, "10"), (LINEAR, "0.0001"), (OPTION, "0.1")],
    ids=["inverse", "linear", "option"],
)
def test_amounts_step_by_contracts_but_those_of_options_by_tenths_of_them(instrument, step):
    assert instrument.amount_step == D(step)


def test_an_instrument_that_starts_above_one_contract_steps_by_contracts():
    instrument = replace(INVERSE, min_trade_amount=D(100))
    assert instrument.amount_step == D(10)
    assert instrument.refusal_of_amount(D(110)) is None


@pytest.mark.parametrize(
    ("instrument", "amount", "complaint"),
    [
        pytest.param(INVERSE, "10", None, id="at the minimum"),
        pytest.param(INVERSE, "0", "amount 0 USD is not positive", id="zero"),
        pytest.param(INVERSE, "-10", "amount -10 USD is not positive", id="negative"),
        pytest.param(INVERSE, "NaN", "amount NaN USD is not positive", id="not a number"),
        pytest.param(INVERSE, "sNaN", "amount sNaN USD is not positive", id="signalling"),
        pytest.param(INVERSE, "Infinity", "amount Infinity USD is not positive", id="infinite"),
        pytest.param(
            INVERSE, "9", "amount 9 USD is below the minimum 10 USD", id="below the minimum"
        ),
        pytest.param(
            INVERSE, "10.5", "amount 10.5 USD is not a multiple of 10 USD", id="between contracts"
        ),
        pytest.param(LINEAR, "0.0003", None, id="linear, three contracts"),
        pytest.param(
            LINEAR,
            "0.00015",
            "amount 0.00015 BTC is not a multiple of 0.0001 BTC",
            id="linear, between contracts",
        ),
        pytest.param(OPTION, "0.3", None, id="option, tenths of a contract"),
        pytest.param(
            OPTION,
            "0.25",
            "amount 0.25 BTC is not a multiple of 0.1 BTC",
            id="option, between tenths",
        ),
        pytest.param(
            OPTION, "0.05", "amount 0.05 BTC is below the minimum 0.1 BTC", id="option too small"
        ),
    ],
)
def test_a_refusal_of_an_amount_says_values_and_units(instrument, amount, complaint):
    assert instrument.refusal_of_amount(D(amount)) == complaint
