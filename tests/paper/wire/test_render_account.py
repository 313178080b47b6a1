"""Positions and notices on the wire, against recorded ones."""

import json
from decimal import Decimal

import pytest

from vigil.paper.switches import Switches

D = Decimal
LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"


def an_option(desk, family="BTC-", *, is_call=True):
    return next(
        name
        for name, market in desk.venue.exchange.markets.items()
        if name.startswith(family)
        and market.listing.strike is not None
        and market.listing.is_call is is_call
        and market.listing.settlement_period == "month"
    )


def test_an_option_position_has_the_fields_of_the_recorded_one(desk, recorded):
    theirs = recorded("issues/option_position_2022.json")
    name = an_option(desk)
    desk.buy(name, amount=1, type="market")
    # `open_orders_margin` has gone since.
    assert desk.position(name).keys() == theirs.keys() - {"open_orders_margin"}


def test_figures_of_an_option_position(desk):
    name = an_option(desk)
    trade = desk.buy(name, amount=2, type="market")["trades"][0]
    desk.move(95_500)
    market, position = desk.market(name), desk.position(name)
    profit = 2 * (market.mark_price - trade["price"])
    assert position["floating_profit_loss"] == position["total_profit_loss"] == profit
    assert position["average_price"] == trade["price"]
    delta = D(repr(market.option_quote.greeks.delta))
    assert abs(position["delta"] - 2 * delta) < D("0.0001")
    assert (position["initial_margin"], position["maintenance_margin"]) == (0, 0)
    assert position["kind"] == "option"
    summary = desk.summary("BTC")
    assert summary["options_value"] == 2 * market.mark_price
    assert summary["options_session_upl"] == profit
    assert summary["equity"] == summary["margin_balance"] + summary["options_value"]
    assert summary["margin_balance"] == summary["balance"]
    index_name = market.listing.instrument.price_index
    assert summary["options_delta_map"] == {index_name: summary["options_delta"]}
    assert summary["delta_total"] == summary["options_delta"] == round(position["delta"], 8)


@pytest.mark.parametrize("is_signed", [True, False])
def test_the_sign_of_a_sold_option_is_a_switch(make_desk, is_signed):
    desk = make_desk(switches=Switches(signs_option_sizes=is_signed))
    name = an_option(desk)
    desk.sell(name, amount=2, type="market")
    position = desk.position(name)
    assert (position["size"], position["direction"]) == (-2 if is_signed else 2, "sell")
    assert position["delta"] < 0 < position["maintenance_margin"]
    desk.sell(INVERSE, amount=10, type="market")
    assert desk.position(INVERSE)["size"] == -10


def test_a_dated_future_has_no_funding(desk):
    desk.buy("BTC-25DEC26", amount=10, type="market")
    position = desk.position("BTC-25DEC26")
    assert not {"realized_funding", "interest_value"} & position.keys()
    assert position["size_currency"] == position["delta"] > 0


def test_a_short_inverse_position_is_like_the_recorded_one(desk, recorded):
    body = json.loads(recorded("ex_deribit/get_positions_ok.json")[0]["response"]["body"])
    (theirs,) = body["result"]
    desk.sell(INVERSE, amount=10, type="market")
    (ours,) = desk.call("private/get_positions", currency="BTC")
    gone = {"open_orders_margin"}
    assert theirs.keys() - gone <= ours.keys()
    assert (
        (ours["size"], ours["direction"]) == (theirs["size"], theirs["direction"]) == (-10, "sell")
    )
    assert ours["size_currency"] == ours["delta"] < 0


def test_only_asked_for_positions_tell_where_they_would_be_liquidated(desk):
    desk.subscribe("user.changes.any.any.raw")
    desk.buy(amount=0.1, type="market")
    (pushed,) = desk.on("user.changes.any.any.raw")[-1]["positions"]
    asked = desk.position()
    assert asked.keys() - pushed.keys() == {"estimated_liquidation_price"}


def test_a_portfolio_is_told_when_cash_moves_without_a_trade(desk):
    desk.subscribe("user.portfolio.usdc")
    desk.on("user.portfolio.usdc")
    desk.venue.exchange.clearing.transfers.deposit("USDC", D(5), now_ms=desk.now_ms)
    desk.call("public/test")
    told = desk.on("user.portfolio.usdc")
    assert [data["balance"] for data in told] == [100_005]


def test_liquidation_notices_reach_their_channel(desk):
    assert desk.subscribe("user.liquidation") == ["user.liquidation"]
    desk.buy(amount=0.5, type="market")
    desk.venue.exchange.clearing.liquidate(LINEAR, D("0.2"), desk.now_ms)
    desk.call("public/test")
    started, completed = desk.on("user.liquidation")
    assert started.keys() == completed.keys() == {
        "user_id", "state", "instrument_name", "direction", "amount", "price", "currency",
        "commission", "timestamp",
    }  # fmt: skip
    assert completed["amount"] == D("0.2")


def test_extended_summaries_tell_fees_as_a_list(desk):
    summary = desk.call("private/get_account_summary", currency="BTC", extended=True)
    fees = {(fee["index_name"], fee["kind"]): fee["value"]["default"] for fee in summary["fees"]}
    assert fees["btc_usdc", "perpetual"] == {
        "type": "relative", "maker": D("0.00015"), "taker": D("0.00035"),
    }  # fmt: skip
    assert ("btc_usd", "option") in fees
    plain = desk.summary("BTC")
    assert "fees" not in plain
    assert plain.keys() <= summary.keys()


def test_margins_are_those_of_an_order_by_direction(desk):
    margins = desk.call("private/get_margins", instrument_name=LINEAR, amount=1, price=95_000)
    assert margins["buy"] == margins["sell"] == D("0.02005") * 95_000
    name = an_option(desk)
    margins = desk.call("private/get_margins", instrument_name=name, amount=2, price=D("0.03"))
    assert margins["buy"] == D("0.06")
    assert margins["sell"] > D("0.2")
    for bad in ({"amount": 0, "price": 1}, {"amount": 1, "price": 0}):
        assert desk.refusal("private/get_margins", instrument_name=LINEAR, **bad).code == -32602
