"""Orders of options: amounts in tenths, prices named in dollars or as a volatility."""

from decimal import Decimal

import pytest

from vigil.paper.persistence import StateFile

D = Decimal
LINEAR = "BTC_USDC-PERPETUAL"


@pytest.fixture
def call_name(desk):
    """A listed inverse call near the money, some days away."""
    catalogue = desk.venue.exchange.catalogue
    return next(
        name
        for name, listing in catalogue.by_name.items()
        if name.startswith("BTC-") and name.endswith("-96000-C") and "19NOV" not in name
    )


@pytest.fixture
def linear_call_name(desk):
    catalogue = desk.venue.exchange.catalogue
    return next(n for n in catalogue.by_name if n.startswith("BTC_USDC-") and n.endswith("-C"))


@pytest.mark.parametrize(
    ("amount", "code"), [(0.1, None), (0.3, None), (1, None), (0.05, -32602), (0.15, -32602)]
)
def test_an_option_trades_in_tenths_of_a_contract(desk, call_name, amount, code):
    order = {"instrument_name": call_name, "amount": amount, "price": 0.0001}
    if code is None:
        placed = desk.call("private/buy", **order)["order"]
        assert placed["contracts"] == placed["amount"] == D(str(amount))
    else:
        assert desk.refusal("private/buy", **order).code == code


@pytest.mark.parametrize(
    ("price", "code"), [(0.0049, None), (0.005, None), (0.0055, None), (0.0051, -32602)]
)
def test_an_options_ticks_are_wider_at_higher_prices(desk, call_name, price, code):
    order = {"instrument_name": call_name, "amount": 0.1, "price": price}
    if code is None:
        assert desk.call("private/buy", **order)["order"]["price"] == D(str(price))
    else:
        refusal = desk.refusal("private/buy", **order)
        assert (refusal.code, refusal.data["param"]) == (code, "price")


def test_an_option_trade_tells_its_volatility_and_its_underlying(desk, call_name):
    (trade,) = desk.buy(call_name, amount=0.1, type="market")["trades"]
    assert 1 < trade["iv"] < 500
    assert trade["underlying_price"] > 90_000
    (future,) = desk.buy(amount=0.01, type="market")["trades"]
    assert "iv" not in future


class TestAdvanced:
    def test_a_price_in_dollars_is_reckoned_in_coin_and_follows_the_index(self, desk, call_name):
        order = desk.buy(call_name, amount=0.1, price=190, advanced="usd", label="adv")["order"]
        assert (order["advanced"], order["usd"], order["price"]) == ("usd", 190, D("0.0020"))
        assert order["auto_replaced"] is False
        desk.move(90000)
        moved = desk.order(order["order_id"])
        assert (moved["usd"], moved["price"]) == (190, D("0.0021"))
        assert moved["auto_replaced"] is moved["replaced"] is True

    def test_an_edit_names_dollars_again(self, desk, call_name):
        order = desk.buy(call_name, amount=0.1, price=190, advanced="usd")["order"]
        edit = {"order_id": order["order_id"], "amount": 0.1, "price": 285}
        edited = desk.call("private/edit", **edit)["order"]
        assert (edited["usd"], edited["price"]) == (285, D("0.0030"))
        assert desk.refusal("private/edit", advanced="implv", **edit).data["param"] == "advanced"

    def test_a_price_as_a_volatility_is_worth_what_the_model_says(self, desk, call_name):
        market = desk.market(call_name)
        low = desk.buy(call_name, amount=0.1, price=10, advanced="implv")["order"]
        assert (low["advanced"], low["implv"]) == ("implv", 10)
        assert low["price"] == market.listing.instrument.round_price(
            market.option_quote.price_at(0.1)
        )
        assert low["price"] < market.mark_price

    @pytest.mark.parametrize(
        ("params", "code"),
        [
            pytest.param({"post_only": True}, 11039, id="post only"),
            pytest.param({"type": "market_limit"}, 11047, id="no limit order"),
            pytest.param({"price": 0}, -32602, id="no price"),
            pytest.param({"price": -5}, -32602, id="negative"),
            pytest.param({"display_amount": 0.05}, 11048, id="iceberg"),
        ],
    )
    def test_what_it_does_not_go_with_is_refused(self, desk, call_name, params, code):
        order = {"instrument_name": call_name, "amount": 0.1, "price": 190, "advanced": "usd"}
        assert desk.refusal("private/buy", **(order | params)).code == code

    def test_dollars_are_not_for_linear_options_and_nothing_for_futures(
        self, desk, linear_call_name
    ):
        order = {"amount": 1, "price": 190, "advanced": "usd"}
        linear = desk.refusal("private/buy", instrument_name=linear_call_name, **order)
        assert linear.data["param"] == "advanced"
        future = desk.refusal("private/buy", instrument_name=LINEAR, **order)
        assert (future.code, future.message) == (11038, "no_adv_for_futures")

    def test_it_survives_a_restart_and_goes_on_following(self, make_desk, call_name, tmp_path):
        state_file = StateFile(tmp_path / "paper.db")
        desk = make_desk()
        desk.buy(call_name, amount=0.1, price=190, advanced="usd", label="adv")
        state_file.save(desk.changes())
        again = make_desk(saved=state_file.load())
        again.move(90000)
        assert again.by_label("adv")[0]["price"] == D("0.0021")
        state_file.close()
