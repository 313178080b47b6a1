"""What happens to an account whose margin does not suffice any more."""

from decimal import Decimal

import pytest

from vigil.paper.account.liquidation import ROUND_MS
from vigil.paper.switches import Switches

D = Decimal
LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"
POOR = {"USDC": D(2_500), "BTC": D("0.03"), "ETH": D(1)}


@pytest.fixture
def stretched(make_desk):
    """Long one coin with 2 500 USDC: maintenance margin is 955, so 1 600 of loss are too much."""
    desk = make_desk(balances=POOR)
    desk.buy(amount=1, type="market")
    desk.subscribe("user.liquidation", "user.orders.any.any.raw", "user.trades.any.any.raw")
    return desk


def rounds(desk, count):
    for _ in range(count):
        desk.wait(ROUND_MS)


def log(desk, currency="USDC", **params):
    return desk.call(
        "private/get_transaction_log", currency=currency,
        start_timestamp=0, end_timestamp=2**46, **params,
    )["logs"]  # fmt: skip


def test_nothing_happens_while_margin_suffices(stretched):
    stretched.move(93_700)
    rounds(stretched, 3)
    assert stretched.position()["size"] == 1


@pytest.mark.parametrize(
    ("name", "side", "amount", "price"),
    [(LINEAR, "buy", "1", 93_300), (LINEAR, "sell", "1", 96_700),
     (INVERSE, "buy", "120000", 93_500), (INVERSE, "sell", "120000", 96_500)],
)  # fmt: skip
def test_positions_are_closed_in_rounds_until_margin_suffices(make_desk, name, side, amount, price):
    desk = make_desk(balances=POOR)
    currency = desk.market(name).listing.currency
    desk.call(f"private/{side}", instrument_name=name, amount=D(amount), type="market")
    size = abs(desk.position(name)["size"])
    desk.move(price)
    first = abs(desk.position(name)["size"])
    assert 0 < first < size
    desk.wait(ROUND_MS - 1)
    assert abs(desk.position(name)["size"]) == first  # not before the next round
    rounds(desk, 30)
    summary = desk.summary(currency)
    assert summary["maintenance_margin"] <= summary["margin_balance"]
    assert abs(desk.position(name)["size"]) < first
    assert not desk.venue.exchange.books.is_liquidating(currency)


def test_that_a_trade_was_a_liquidation_is_public_an_hour_later(stretched):
    stretched.move(93_300)
    order = {"instrument_name": LINEAR, "count": 1000}
    told = stretched.call("public/get_last_trades_by_instrument", **order)["trades"]
    assert not any("liquidation" in trade for trade in told)
    stretched.now_ms += 3_600_000
    stretched.log_in()
    told = stretched.call("public/get_last_trades_by_instrument", **order)["trades"]
    own = {trade["trade_id"] for trade in stretched.trades() if "liquidation" in trade}
    assert {trade["trade_id"] for trade in told if "liquidation" in trade} == own != set()


def test_own_orders_are_cancelled_and_no_new_ones_taken_meanwhile(stretched):
    order = stretched.buy(amount=0.01, price=92_000)["order"]
    other = stretched.buy(INVERSE, amount=10, price=92_000)["order"]
    stretched.move(93_100)
    told = stretched.order(order["order_id"])
    assert (told["order_state"], told["cancel_reason"]) == ("cancelled", "autoliquidation")
    assert stretched.order(other["order_id"])["order_state"] == "open"
    refusal = stretched.refusal(
        "private/sell", instrument_name=LINEAR, amount=D("0.01"), type="market", reduce_only=True
    )
    assert refusal.code == 10072
    assert stretched.buy(INVERSE, amount=10, type="market")["trades"]


def test_orders_and_trades_of_it_are_marked(stretched):
    stretched.move(93_300)
    (order,) = (o for o in stretched.on("user.orders.any.any.raw") if o["is_liquidation"])
    assert (order["order_type"], order["direction"], order["reduce_only"]) == (
        "liquidation", "sell", True,
    )  # fmt: skip
    trades = [t for batch in stretched.on("user.trades.any.any.raw") for t in batch]
    assert {t["order_id"] for t in trades} == {order["order_id"]}
    for trade in trades:
        assert (trade["order_type"], trade["liquidation"]) == ("liquidation", "T")
        assert trade["fee"] == round(trade["amount"] * trade["price"] * D("0.01"), 8)
    rows = log(stretched, query="liquidation")
    assert {row["trade_id"] for row in rows} == {trade["trade_id"] for trade in trades}


def test_the_account_hears_of_it(stretched):
    stretched.move(93_300)
    started, completed = stretched.on("user.liquidation")
    assert (started["state"], completed["state"]) == (
        "liquidation_started", "liquidation_completed",
    )  # fmt: skip
    for notice in (started, completed):
        assert (notice["instrument_name"], notice["direction"], notice["currency"]) == (
            LINEAR, "sell", "USDC",
        )  # fmt: skip
    assert completed["amount"] == 1 - stretched.position()["size"]
    assert completed["commission"] == sum(
        row["commission"] for row in log(stretched, query="liquidation")
    )


def test_an_order_of_it_that_rests_can_be_neither_cancelled_nor_edited(stretched):
    market = stretched.market()
    depth = market.takeable
    market.takeable = lambda direction, limit: depth(direction, limit)[:1]
    stretched.move(93_300)
    (order,) = (o for o in stretched.open_orders() if o["is_liquidation"])
    assert stretched.refusal("private/cancel", order_id=order["order_id"]).code == 10045
    refusal = stretched.refusal(
        "private/edit", order_id=order["order_id"], amount=order["amount"] * 2
    )
    assert refusal.code == 10046
    assert stretched.refusal("private/cancel_all").code == 10045
    assert stretched.order(order["order_id"])["order_state"] == "open"
    trade = stretched.venue.exchange.engine.fill(
        stretched.venue.exchange.books.orders[order["order_id"]],
        price=order["price"], amount=D("0.0001"), now_ms=stretched.now_ms,
    ).trades[0]  # fmt: skip
    assert (trade.liquidation, trade.is_maker) == ("M", True)
    stretched.wait(ROUND_MS)
    told = stretched.order(order["order_id"])
    assert (told["order_state"], told["cancel_reason"]) == ("cancelled", "autoliquidation")


@pytest.mark.parametrize("is_correction", [True, False])
def test_what_is_owed_in_the_end_is_paid_by_the_insurance_fund(make_desk, is_correction):
    desk = make_desk(balances=POOR, switches=Switches(insurance_is_correction=is_correction))
    desk.buy(amount=1, type="market")
    desk.move(80_000)
    owed = -desk.summary()["margin_balance"]
    assert owed > 10_000
    rounds(desk, 12)
    assert desk.position()["size"] == 0
    summary = desk.summary()
    assert summary["margin_balance"] == summary["equity"] == 0
    (row,) = (r for r in log(desk) if r["type"] != "trade")
    assert row["type"] == ("correction" if is_correction else "bankruptcy")
    assert row["change"] >= owed
    history = desk.call(
        "private/get_settlement_history_by_currency", currency="USDC", type="bankruptcy"
    )
    (told,) = history["settlements"]
    assert (told["funded"], told["socialized"]) == (row["change"], 0)
    assert not desk.venue.exchange.books.is_liquidating("USDC")


def test_sold_options_are_bought_back(make_desk):
    desk = make_desk(balances=POOR | {"BTC": D("0.3")})
    name, market = next(
        (name, market)
        for name, market in desk.venue.exchange.markets.items()
        if name.startswith("BTC-") and market.listing.settlement_period == "month"
        and market.listing.is_call and market.listing.strike == 100_000
    )  # fmt: skip
    desk.sell(name, amount=D("1.5"), type="market")
    desk.move(125_000)
    rounds(desk, 15)
    summary = desk.summary("BTC")
    assert summary["maintenance_margin"] <= summary["margin_balance"]
    trades = [t for t in desk.venue.exchange.books.trades if t.liquidation]
    assert {(t.instrument_name, t.direction) for t in trades} == {(name, "buy")}
    assert market.listing.contract.is_option


def test_a_restart_does_not_forget_it(stretched):
    stretched.move(93_300)
    exchange = stretched.venue.exchange
    assert exchange.books.is_liquidating("USDC")
    state = exchange.account_state()
    assert next(c for c in state.cash if c.currency == "USDC").liquidation_ms == (
        stretched.now_ms + ROUND_MS
    )


def test_it_can_be_asked_for(desk):
    order = desk.buy(amount=0.01, price=94_000)["order"]
    desk.buy(amount=1, type="market")
    desk.venue.exchange.clearing.liquidate(LINEAR, D("0.4"), desk.now_ms)
    assert desk.position()["size"] == D("0.6")
    assert desk.order(order["order_id"])["cancel_reason"] == "autoliquidation"
    assert not desk.venue.exchange.books.is_liquidating("USDC")
