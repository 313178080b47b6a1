from decimal import Decimal

import pytest

from vigil.paper.account.margin import initial_margin, maintenance_margin

D = Decimal
LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"


@pytest.mark.parametrize("size", [40, -40])
def test_margins_of_an_inverse_position_equal_the_recorded_ones(desk, size):
    market = desk.market(INVERSE)
    initial = initial_margin(market, D(size), D("109266.97"))
    maintenance = maintenance_margin(market, D(size), D("109266.97"))
    assert (round(initial, 9), round(maintenance, 9)) == (D("0.000007322"), D("0.000003661"))


def test_margin_rate_grows_with_the_position(desk):
    market = desk.market(LINEAR)
    small, large = (initial_margin(market, D(a), D(100_000)) / a for a in (1, 20))
    assert small == D("2005")
    assert large == D("2100")


@pytest.mark.parametrize(
    ("name", "rates"), [("ETH_USDC-PERPETUAL", ("0.020002", "0.010002")),
                        ("SOL_USDC-PERPETUAL", ("0.04", "0.02"))],
)  # fmt: skip
def test_other_coins_have_rates_of_their_own(desk, name, rates):
    market = desk.market(name)
    shares = (margin(market, D(1), D(100)) / 100 for margin in (initial_margin, maintenance_margin))
    assert tuple(shares) == tuple(D(rate) for rate in rates)


class TestOptions:
    """Standard margin of options, per coin: the published formula, worked by hand."""

    @pytest.mark.parametrize("is_call", [True, False])
    @pytest.mark.parametrize("family", ["BTC-", "BTC_USDC-"])
    def test_what_was_bought_needs_none(self, desk, family, is_call):
        market = an_option(desk, family, is_call=is_call)
        assert initial_margin(market, D(1), market.mark_price) == 0
        assert maintenance_margin(market, D(1), market.mark_price) == 0

    @pytest.mark.parametrize("is_call", [True, False])
    @pytest.mark.parametrize("family", ["BTC-", "BTC_USDC-"])
    def test_what_was_sold_needs_a_share_of_the_underlying_and_its_price(
        self, desk, family, is_call
    ):
        for market in options(desk, family, is_call=is_call):
            underlying, mark = market.option_quote.underlying_price, market.mark_price
            beyond = (market.listing.strike - underlying) * (1 if is_call else -1)
            share = max(D("0.15") - max(beyond, D(0)) / underlying, D("0.1"))
            unit = D(1) if family == "BTC-" else underlying
            least = D("0.075") * unit
            if not is_call:
                least = max(least, D("0.075") * mark)
            expected = max(share * unit + mark, least + mark)
            assert initial_margin(market, D(-2), mark) == 2 * expected
            assert maintenance_margin(market, D(-2), mark) == 2 * (least + mark)

    def test_buying_takes_the_premium_from_the_funds_at_once(self, desk):
        market = an_option(desk, "BTC-", is_call=True)
        before = desk.summary("BTC")
        price = market.listing.instrument.round_price_down(market.mark_price * D("0.9"))
        desk.buy(market.listing.name, amount=1, price=price)
        assert desk.summary("BTC")["available_funds"] == before["available_funds"] - price

    def test_a_writer_without_funds_is_refused_and_may_buy_back(self, make_desk):
        desk = make_desk(balances={"USDC": D(10), "BTC": D("0.5"), "ETH": D(1)})
        name = an_option(desk, "BTC-", is_call=True).listing.name
        desk.sell(name, amount=2, type="market")
        assert desk.refusal("private/sell", instrument_name=name, amount=2, type="market").code == (
            10009
        )
        desk.buy(name, amount=1, type="market")
        assert desk.venue.exchange.books.position(name).size == -1


def options(desk, family, *, is_call):
    return [
        market
        for name, market in desk.venue.exchange.markets.items()
        if name.startswith(family)
        and market.listing.strike is not None
        and market.listing.is_call is is_call
    ]


def an_option(desk, family, *, is_call):
    """One near the money, a month away."""
    candidates = options(desk, family, is_call=is_call)
    return min(
        (m for m in candidates if m.listing.settlement_period == "month"),
        key=lambda market: abs(market.listing.strike - market.index_price),
    )


@pytest.mark.parametrize("name", [LINEAR, INVERSE])
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_at_the_estimated_liquidation_price_margin_is_just_used_up(make_desk, name, side):
    desk = make_desk(balances={"USDC": D(6000), "BTC": D("0.05"), "ETH": D(1)})
    desk.call(
        f"private/{side}", instrument_name=name, type="market",
        amount=D("1.5") if name == LINEAR else 100_000,
    )  # fmt: skip
    estimated = desk.position(name)["estimated_liquidation_price"]
    currency = desk.market(name).listing.currency
    desk.move(estimated / D("1.00005"))
    summary = desk.summary(currency)
    used = summary["maintenance_margin"] / summary["margin_balance"]
    assert D("0.95") < used < D("1.05")


def test_an_account_that_no_price_can_hurt_has_no_liquidation_price(desk):
    desk.buy(amount=0.01, type="market")
    assert desk.position()["estimated_liquidation_price"] is None
    assert desk.position(INVERSE)["estimated_liquidation_price"] is None


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
