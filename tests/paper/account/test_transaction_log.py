"""Rows of trades: what they tell, and that they follow from each other."""

from decimal import Decimal
from itertools import pairwise

import pytest

from vigil.paper.switches import Switches

D = Decimal
LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"


def rows(desk, currency="USDC"):
    """Oldest first."""
    return desk.call(
        "private/get_transaction_log", currency=currency, start_timestamp=0, end_timestamp=2**46
    )["logs"][::-1]


def an_option(desk, family):
    return next(
        name
        for name, market in desk.venue.exchange.markets.items()
        if name.startswith(family)
        and market.listing.is_call
        and market.listing.settlement_period == "month"
    )


def test_a_future_costs_its_fee_and_tells_the_sessions_profit(desk):
    desk.buy(amount=0.5, type="market")
    desk.move(95_500)
    desk.sell(amount=0.5, type="market")
    for row in rows(desk):
        assert row["change"] == -row["commission"] < 0
    told = {"open": D(0), "close": D(0)}
    for row in rows(desk):
        told[row["side"].split()[0]] += row["cashflow"]
    assert told["open"] == 0
    assert told["close"] == desk.summary()["session_rpl"] > 0


@pytest.mark.parametrize("family", ["BTC-", "BTC_USDC-"])
def test_an_option_costs_its_premium_and_its_fee(desk, family):
    name = an_option(desk, family)
    currency = desk.market(name).listing.currency
    bought = desk.buy(name, amount=D(2), type="market")["trades"]
    sold = desk.sell(name, amount=D(3), type="market")["trades"]
    signed = [(t, -1) for t in bought] + [(t, 1) for t in sold]
    paid = sum(sign * t["amount"] * t["price"] - t["fee"] for t, sign in signed)
    log = rows(desk, currency)
    assert sum(row["change"] for row in log) == paid
    for row in log:
        assert row["change"] == row["cashflow"] - row["commission"]
        sign = -1 if row["side"].endswith("buy") else 1
        assert row["cashflow"] == sign * row["amount"] * row["price"]
    assert desk.summary(currency)["balance"] == log[-1]["balance"]


def test_an_option_row_is_like_the_documented_one(desk, recorded):
    theirs = recorded("docs-examples/get_transaction_log.json")["result"]["logs"]
    close, opened = sorted((row for row in theirs if row["type"] == "trade"), key=_seq)
    name = an_option(desk, "BTC-")
    desk.sell(name, amount=D("0.3"), type="market")
    desk.buy(name, amount=D(1), type="market")
    ours = rows(desk, "BTC")[-2:]
    assert [row["side"] for row in ours] == [close["side"], opened["side"]]
    assert [row["amount"] for row in ours] == [D("0.3"), D("0.7")]
    assert ours[0]["price_currency"] == close["price_currency"]
    assert ours[0]["trade_id"] == ours[1]["trade_id"]
    for row in ours:
        assert close.keys() - {"ip"} <= row.keys()


def _seq(row):
    return row["user_seq"]


def test_a_trade_that_crosses_zero_closes_and_then_opens(desk):
    desk.buy(INVERSE, amount=1000, type="market")
    trade = desk.sell(INVERSE, amount=3000, type="market")["trades"][-1]
    close, opened = rows(desk, "BTC")[-2:]
    assert (close["side"], close["amount"], close["position"]) == ("close sell", 1000, 0)
    assert (opened["side"], opened["amount"], opened["position"]) == ("open sell", 2000, -2000)
    assert close["commission"] + opened["commission"] == trade["fee"]
    assert (close["cashflow"], opened["cashflow"]) == (trade["profit_loss"], 0)


@pytest.mark.parametrize("per_currency", [True, False])
def test_rows_are_numbered_over_the_account_or_each_currency(make_desk, per_currency):
    desk = make_desk(switches=Switches(user_seq_per_currency=per_currency))
    for name, amount in ((LINEAR, D("0.01")), (INVERSE, 10), (LINEAR, D("0.01"))):
        desk.buy(name, amount=amount, type="market")
    linear, inverse = rows(desk), rows(desk, "BTC")
    numbers = [row["user_seq"] for row in (*linear, *inverse)]
    assert numbers == ([6001, 6002, 6001] if per_currency else [6001, 6003, 6002])
    assert len({row["id"] for row in (*linear, *inverse)}) == 3


def test_each_balance_follows_from_the_one_before(desk):
    for amount in (0.5, 0.01, 0.3):
        desk.buy(amount=amount, type="market")
        desk.sell(amount=2 * amount, type="market")
    log = rows(desk)
    assert len(log) > 6
    assert log[0]["balance"] == 100_000 + log[0]["change"]
    for before, after in pairwise(log):
        assert after["balance"] == before["balance"] + after["change"]
