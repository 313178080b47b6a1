from decimal import Decimal

import pytest

from vigil.paper.account.margin import initial_margin, maintenance_margin
from vigil.paper.market.instruments import LISTING_BY_NAME

D = Decimal
LINEAR = "BTC_USDC-PERPETUAL"


def test_margins_of_an_inverse_position_equal_the_recorded_ones():
    listing = LISTING_BY_NAME["BTC-PERPETUAL"]
    initial = initial_margin(listing, D(40), D("109266.97"))
    maintenance = maintenance_margin(listing, D(40), D("109266.97"))
    assert (round(initial, 9), round(maintenance, 9)) == (D("0.000007322"), D("0.000003661"))


def test_margin_rate_grows_with_the_position():
    listing = LISTING_BY_NAME[LINEAR]
    small, large = (initial_margin(listing, D(a), D(100_000)) / a for a in (1, 20))
    assert small == D("2005")
    assert large == D("2100")


def test_working_orders_use_funds_and_reducing_ones_do_not(desk):
    before = desk.summary()["available_funds"]
    desk.buy(amount=1, price=94900)
    after = desk.summary()["available_funds"]
    assert after < before
    desk.sell(amount=1, price=95100)  # the worse of both sides counts
    assert desk.summary()["available_funds"] == after


def test_an_account_without_funds_may_still_reduce(make_desk):
    desk = make_desk(balances={"USDC": D(1910), "BTC": D(1), "ETH": D(1)})
    desk.buy(amount=0.9, type="market")
    desk.move(94000)
    refusal = desk.refusal("private/buy", instrument_name=LINEAR, amount=0.1, type="market")
    assert refusal.code == 10009
    desk.sell(amount=0.5, type="market")
    assert desk.position()["size"] == D("0.4")


@pytest.mark.parametrize("currency", ["BTC", "ETH", "USDC"])
def test_equity_is_cash_and_the_sessions_profit(desk, currency):
    desk.buy(amount=0.5, type="market")
    desk.buy("BTC-PERPETUAL", amount=5000, type="market")
    desk.move(95400)
    desk.sell(amount=0.2, type="market")
    summary = desk.summary(currency)
    expected = summary["balance"] + summary["session_rpl"] + summary["session_upl"]
    assert summary["equity"] == round(expected, 8)
