"""Lives of orders: market, limit, triggers, edits, cancels."""

from decimal import Decimal

import pytest

from vigil.domain.instrument import contract_of
from vigil.domain.money import round_settlement
from vigil.domain.order import Direction
from vigil.domain.pnl import average_price, gross_pnl

D = Decimal
LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"
STOP = {"type": "stop_market", "trigger": "mark_price"}


@pytest.mark.parametrize(("name", "amount"), [(LINEAR, 0.01), (INVERSE, 1000)])
def test_a_market_order_fills_at_the_best_price_and_names_the_band_as_its_own(desk, name, amount):
    market = desk.market(name)
    best_ask = market.best_ask[0]
    result = desk.buy(name, amount=amount, type="market", label="entry")
    assert result["order"]["order_state"] == "filled"
    assert result["order"]["price"] == market.max_price
    (trade,) = result["trades"]
    assert (trade["price"], trade["liquidity"], trade["label"]) == (best_ask, "T", "entry")
    notional = (
        trade["amount"] * trade["price"] if name == LINEAR else trade["amount"] / trade["price"]
    )
    assert trade["fee"] == round_settlement(D("0.00035") * notional)
    assert trade["profit_loss"] == 0


def test_a_large_market_order_slips_through_the_levels(desk):
    result = desk.buy(amount=3, type="market")
    prices = [trade["price"] for trade in result["trades"]]
    assert len(prices) > 3
    assert prices == sorted(prices)
    assert sum(trade["amount"] for trade in result["trades"]) == 3
    assert {trade["state"] for trade in result["trades"][:-1]} == {"open"}
    assert result["trades"][-1]["state"] == "filled"


def test_a_market_order_beyond_the_book_keeps_what_it_got(make_desk):
    desk = make_desk(balances={"USDC": D(10**7), "BTC": D(1), "ETH": D(1)})
    order = desk.buy(amount=100, type="market")["order"]
    assert order["order_state"] == "cancelled"
    assert 0 < order["filled_amount"] < 100
    assert desk.position()["size"] == order["filled_amount"]


@pytest.mark.parametrize(("name", "amount"), [(LINEAR, 0.01), (INVERSE, 1000)])
def test_a_round_trip_books_what_the_domain_reckons_to_the_last_digit(desk, name, amount):
    before = {c: desk.summary(c)["balance"] for c in ("USDC", "BTC")}
    desk.buy(name, amount=amount, type="market")
    desk.move("95731.37")
    desk.buy(name, amount=amount, type="market")
    desk.move("94877.11")
    desk.sell(name, amount=amount * 2, type="market")
    trades = desk.trades(name)
    contract = contract_of(name)
    entries = [(t["amount"], t["price"]) for t in trades if t["direction"] == "buy"]
    entry = average_price(contract, entries)
    profit = sum(
        round_settlement(gross_pnl(contract, Direction.BUY, t["amount"], entry, t["price"]))
        for t in trades
        if t["direction"] == "sell"
    )
    fees = sum(t["fee"] for t in trades)
    assert sum(t["profit_loss"] for t in trades) == profit
    currency = contract.settlement_currency
    summary = desk.summary(currency)
    assert summary["balance"] == before[currency] - fees
    assert summary["session_rpl"] == profit
    assert summary["equity"] == before[currency] - fees + profit


def test_a_resting_limit_fills_as_maker_at_its_own_price_when_the_market_crosses_it(desk):
    order = desk.buy(amount=0.01, price=94900)["order"]
    assert (order["order_state"], order["filled_amount"], order["average_price"]) == ("open", 0, 0)
    desk.move(94950)
    assert desk.order(order["order_id"])["order_state"] == "open"
    desk.move(94880)
    assert desk.order(order["order_id"])["order_state"] == "filled"
    (trade,) = desk.trades()
    assert (trade["price"], trade["liquidity"]) == (94900, "M")
    assert trade["fee"] == D("0.00015") * D("0.01") * 94900


def test_a_large_resting_limit_fills_by_what_comes_across(desk):
    order = desk.buy(amount=3, price=94990)["order"]
    desk.move("94983.5")
    partly = desk.order(order["order_id"])
    assert partly["order_state"] == "open"
    assert 0 < partly["filled_amount"] < 3
    desk.move(94900)
    assert desk.order(order["order_id"])["order_state"] == "filled"


def test_a_limit_that_crosses_takes_first_and_rests_with_the_rest(desk):
    best_ask, amount = desk.market().best_ask
    result = desk.buy(amount=float(amount + 1), price=float(best_ask))
    assert result["order"]["order_state"] == "open"
    assert result["order"]["filled_amount"] == amount
    assert [trade["liquidity"] for trade in result["trades"]] == ["T"]


@pytest.mark.parametrize(
    ("time_in_force", "filled"),
    [("immediate_or_cancel", True), ("fill_or_kill", False)],
)
def test_ioc_keeps_a_part_and_fok_takes_all_or_nothing(desk, time_in_force, filled):
    best_ask, amount = desk.market().best_ask
    order = desk.buy(amount=float(amount + 1), price=float(best_ask), time_in_force=time_in_force)[
        "order"
    ]
    assert order["order_state"] == "cancelled"
    assert order["filled_amount"] == (amount if filled else 0)


class TestTriggers:
    def test_a_waiting_stop_has_the_recorded_shape(self, desk):
        desk.buy(amount=0.01, type="market")
        order = desk.sell(amount=0.01, trigger_price=94500, reduce_only=True, label="sl", **STOP)[
            "order"
        ]
        assert order["order_state"] == "untriggered"
        assert order["order_id"].startswith("USDC-SLMB-")
        assert order["price"] == "market_price"
        assert "filled_amount" not in order
        assert "average_price" not in order

    @pytest.mark.parametrize("name", [LINEAR, INVERSE])
    def test_a_stop_fires_into_a_new_order_with_its_label(self, desk, name):
        amount = 100 if name == INVERSE else 0.01
        desk.buy(name, amount=amount, type="market")
        stop = desk.sell(
            name, amount=amount, trigger_price=94500, reduce_only=True, label="sl", **STOP
        )["order"]
        desk.move(94501)
        assert desk.order(stop["order_id"])["order_state"] == "untriggered"
        desk.move(94400)
        old, new = desk.by_label("sl")
        assert (old["order_id"], old["order_state"]) == (stop["order_id"], "triggered")
        assert (new["order_state"], new["order_type"]) == ("filled", "market")
        assert new["order_id"] != stop["order_id"]
        assert new["trigger_order_id"] == stop["order_id"]
        assert desk.position(name)["size"] == 0
        assert desk.trades(name)[-1]["order_id"] == new["order_id"]

    @pytest.mark.parametrize(
        ("side", "order_type", "trigger_price", "price", "fires_at"),
        [
            ("sell", "stop_limit", 94500, 94450, 94400),
            ("buy", "stop_market", 95500, None, 95600),
            ("buy", "take_market", 94500, None, 94400),
            ("sell", "take_limit", 95500, 95550, 95600),
        ],
    )
    def test_every_kind_fires_on_its_own_side(
        self, desk, side, order_type, trigger_price, price, fires_at
    ):
        params = {"price": price} if price else {}
        order = desk.call(
            f"private/{side}", instrument_name=LINEAR, amount=0.01, type=order_type,
            trigger="index_price", trigger_price=trigger_price, **params,
        )["order"]  # fmt: skip
        desk.move(95000)
        assert desk.order(order["order_id"])["order_state"] == "untriggered"
        desk.move(fires_at)
        assert desk.order(order["order_id"])["order_state"] == "triggered"

    def test_a_stop_without_funds_at_firing_time_is_rejected(self, desk):
        stop = desk.buy(amount=60, trigger_price=95500, **STOP)["order"]
        desk.move(95600)
        assert desk.order(stop["order_id"])["order_state"] == "rejected"
        assert desk.position()["size"] == 0


class TestEdit:
    def test_an_edit_keeps_the_id_and_changes_price_and_total_amount(self, desk):
        order = desk.buy(amount=0.02, price=94900)["order"]
        edited = desk.call("private/edit", order_id=order["order_id"], amount=0.05, price=94800)
        assert edited["order"]["order_id"] == order["order_id"]
        assert edited["order"]["replaced"] is True
        assert (edited["order"]["amount"], edited["order"]["price"]) == (D("0.05"), 94800)

    def test_an_edit_that_crosses_fills(self, desk):
        order = desk.buy(amount=0.02, price=94900, label="a")["order"]
        result = desk.call(
            "private/edit_by_label", instrument_name=LINEAR, label="a", amount=0.02, price=95100
        )
        assert result["order"]["order_id"] == order["order_id"]
        assert result["order"]["order_state"] == "filled"
        assert len(result["trades"]) == 1

    def test_a_stop_is_moved_by_its_trigger_price_and_keeps_its_id(self, desk):
        desk.buy(amount=0.01, type="market")
        stop = desk.sell(amount=0.01, trigger_price=94000, reduce_only=True, **STOP)["order"]
        desk.call("private/edit", order_id=stop["order_id"], amount=0.01, trigger_price=94700)
        desk.move(94600)
        assert desk.order(stop["order_id"])["order_state"] == "triggered"

    def test_a_stop_moved_beyond_the_market_is_refused_and_stays(self, desk):
        desk.buy(amount=0.01, type="market")
        stop = desk.sell(amount=0.01, trigger_price=94000, reduce_only=True, **STOP)["order"]
        params = {"order_id": stop["order_id"], "amount": 0.01, "trigger_price": 96000}
        assert desk.refusal("private/edit", **params).code == 11036
        assert desk.order(stop["order_id"])["trigger_price"] == 94000

    def test_a_rejecting_post_only_order_dies_of_an_edit_that_would_take(self, desk):
        order = desk.buy(amount=0.01, price=94900, post_only=True, reject_post_only=True)["order"]
        edited = desk.call("private/edit", order_id=order["order_id"], amount=0.01, price=95100)
        assert edited["order"]["order_state"] == "cancelled"
        assert edited["order"]["cancel_reason"] == "edit_post_only_reject"

    def test_an_ambiguous_label_is_refused(self, desk):
        for price in (94900, 94800):
            desk.buy(amount=0.01, price=price, label="twice")
        params = {"instrument_name": LINEAR, "label": "twice", "amount": 0.02, "price": 94700}
        assert desk.refusal("private/edit_by_label", **params).code == 13032

    def test_less_than_what_filled_is_refused(self, desk):
        best_ask, amount = desk.market().best_ask
        order = desk.buy(amount=float(amount + 1), price=float(best_ask))["order"]
        params = {"order_id": order["order_id"], "amount": float(amount), "price": float(best_ask)}
        assert desk.refusal("private/edit", **params).code == 10021


class TestCancel:
    def test_the_answer_is_the_order_itself(self, desk):
        order = desk.buy(amount=0.01, price=94900)["order"]
        cancelled = desk.call("private/cancel", order_id=order["order_id"])
        assert cancelled["order_state"] == "cancelled"
        assert cancelled["cancel_reason"] == "user_request"

    def test_a_filled_a_cancelled_and_an_unknown_order_are_told_apart(self, desk):
        filled = desk.buy(amount=0.01, type="market")["order"]["order_id"]
        cancelled = desk.buy(amount=0.01, price=94900)["order"]["order_id"]
        desk.call("private/cancel", order_id=cancelled)
        codes = [
            desk.refusal("private/cancel", order_id=i).code for i in (filled, cancelled, "X-1")
        ]
        assert codes == [11044, 11044, 10004]

    @pytest.mark.parametrize(
        ("method", "params", "count"),
        [
            ("cancel_all", {}, 4),
            ("cancel_all_by_currency", {"currency": "USDC"}, 3),
            ("cancel_all_by_currency", {"currency": "USDC", "type": "limit"}, 2),
            ("cancel_all_by_instrument", {"instrument_name": INVERSE}, 1),
            ("cancel_all_by_instrument", {"instrument_name": LINEAR, "type": "stop"}, 1),
            ("cancel_all_by_kind_or_type", {"currency": "any", "type": "trigger_all"}, 1),
            ("cancel_by_label", {"label": "a"}, 2),
            ("cancel_by_label", {"label": "a", "currency": "BTC"}, 1),
        ],
    )
    def test_each_way_to_cancel_many_answers_with_its_count(self, desk, method, params, count):
        desk.buy(amount=0.01, price=94900, label="a")
        desk.buy(amount=0.01, price=94800, label="b")
        desk.buy(amount=0.01, trigger_price=96000, label="c", **STOP)
        desk.buy(INVERSE, amount=10, price=94000, label="a")
        assert desk.call(f"private/{method}", **params) == count
        assert len(desk.open_orders()) == 4 - count

    def test_detailed_lists_the_orders_by_instrument(self, desk):
        desk.buy(amount=0.01, price=94900)
        (group,) = desk.call("private/cancel_all", detailed=True)
        assert (group["instrument_name"], group["type"]) == (LINEAR, "limit")
        assert group["result"][0]["order_state"] == "cancelled"


def test_closing_a_flat_position_is_refused(desk):
    params = {"instrument_name": LINEAR, "type": "market"}
    assert desk.refusal("private/close_position", **params).code == 11030


def test_labels_need_not_be_unique(desk):
    desk.buy(amount=0.01, type="market", label="same")
    desk.buy(amount=0.01, price=94900, label="same")
    assert [order["order_state"] for order in desk.by_label("same")] == ["filled", "open"]
    assert desk.by_label("same", "BTC") == []
