"""Lives of orders: market, limit, triggers, edits, cancels."""

from dataclasses import replace
from decimal import Decimal

import pytest

from vigil.domain.instrument import contract_of
from vigil.domain.money import round_settlement
from vigil.domain.order import Direction, OrderType
from vigil.domain.pnl import average_price, gross_pnl
from vigil.paper.account.orders import OrderForm, Origin
from vigil.paper.persistence import StateFile
from vigil.paper.switches import Switches

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


class TestMarketLimit:
    def test_it_takes_the_best_price_and_rests_there(self, desk):
        best, amount = desk.market().best_ask
        result = desk.buy(amount=float(amount + 1), type="market_limit")
        order = result["order"]
        assert (order["order_type"], order["original_order_type"]) == ("limit", "market_limit")
        assert (order["order_state"], order["price"]) == ("open", best)
        assert order["filled_amount"] == amount
        assert [trade["price"] for trade in result["trades"]] == [best]

    def test_it_is_done_when_the_best_price_suffices(self, desk):
        order = desk.buy(amount=0.01, type="market_limit")["order"]
        assert order["order_state"] == "filled"

    def test_its_rest_is_edited_and_cancelled_as_a_limit(self, desk):
        _, amount = desk.market().best_ask
        order = desk.buy(amount=float(amount + 1), type="market_limit")["order"]
        desk.call("private/edit", order_id=order["order_id"], amount=amount + 2, price=94900)
        assert desk.call("private/cancel_all", detailed=True)[0]["type"] == "limit"


class TestGoodTilDay:
    @pytest.fixture
    def orders(self, desk):
        def place(**params):
            return desk.buy(amount=0.01, time_in_force="good_til_day", **params)["order"]

        return {
            "limit": place(price=94900),
            "stop": place(
                type="stop_limit", trigger="mark_price", trigger_price=96000, price=96100
            ),
            "lasting": desk.buy(amount=0.01, price=94900)["order"],
        }

    def test_the_end_of_the_day_ends_them_and_no_others(self, desk, orders):
        desk.subscribe("user.orders.any.any.raw")
        desk.venue.exchange.engine.expire_day_orders(desk.now_ms)
        desk.wait(1000)
        told = desk.on("user.orders.any.any.raw")
        assert {order["order_id"] for order in told} == {
            orders["limit"]["order_id"],
            orders["stop"]["order_id"],
        }
        assert {order["cancel_reason"] for order in told} == {"settlement"}
        assert [order["order_id"] for order in desk.open_orders()] == [
            orders["lasting"]["order_id"]
        ]

    def test_a_pending_secondary_of_the_day_ends_too_and_its_primary_stays(self, desk):
        entry = desk.buy(
            amount=0.01, price=94900, linked_order_type="one_triggers_other",
            otoco_config=[{"direction": "sell", "type": "limit", "price": 96000,
                           "time_in_force": "good_til_day"}],
        )["order"]  # fmt: skip
        desk.venue.exchange.engine.expire_day_orders(desk.now_ms)
        (pending,) = entry["oto_order_ids"]
        assert desk.order(pending)["cancel_reason"] == "settlement"
        desk.move(94800)
        assert desk.order(entry["order_id"])["order_state"] == "filled"
        assert desk.open_orders() == []

    def test_what_a_day_order_spawns_is_a_day_order(self, desk, orders):
        desk.move(96050)
        (spawned,) = (
            o for o in desk.by_label("") if o["order_type"] == "limit" and "trigger_order_id" in o
        )
        assert spawned["trigger_order_id"] == orders["stop"]["order_id"]
        assert spawned["time_in_force"] == "good_til_day"


class TestIceberg:
    def test_it_shows_its_tip(self, desk):
        order = desk.buy(amount=1.0, price=94900, display_amount=0.1)["order"]
        assert (order["display_amount"], order["refresh_amount"]) == (D("0.1"), D("0.1"))
        plain = desk.buy(amount=1.0, price=94900)["order"]
        assert "display_amount" not in plain
        assert "refresh_amount" not in plain

    def test_its_tip_makes_and_its_hidden_part_takes(self, desk):
        order = desk.buy(amount=2.0, price=94990, display_amount=0.1)["order"]
        desk.move("94980")
        trades = [t for t in desk.trades() if t["order_id"] == order["order_id"]]
        assert [trade["liquidity"] for trade in trades] == ["M", "T"]
        assert trades[0]["amount"] == D("0.1")
        assert (
            sum(trade["amount"] for trade in trades)
            == desk.order(order["order_id"])["filled_amount"]
        )

    def test_an_edit_may_show_more(self, desk):
        order = desk.buy(amount=1.0, price=94900, display_amount=0.1)["order"]
        edit = {"order_id": order["order_id"], "amount": 1.0, "price": 94900}
        edited = desk.call("private/edit", display_amount=0.2, **edit)["order"]
        assert edited["display_amount"] == D("0.2")
        assert desk.refusal("private/edit", display_amount=0.009, **edit).code == 10036


class TestEditMore:
    @pytest.fixture
    def order(self, desk):
        return desk.buy(amount=0.02, price=94900, label="a")["order"]

    @pytest.mark.parametrize(
        ("params", "code"),
        [
            pytest.param({"price": 94900.05}, -32602, id="off tick"),
            pytest.param({"amount": 0.00015}, -32602, id="off step"),
            pytest.param({"price": 97000}, 10007, id="band"),
            pytest.param({"amount": 60}, 10009, id="margin"),
            pytest.param({"mmp": True}, -32602, id="mmp"),
            pytest.param({"advanced": "usd", "price": 94800}, 11041, id="not advanced"),
            pytest.param({"reduce_only": True}, 11030, id="nothing to reduce"),
            pytest.param({"valid_until": 1}, 13888, id="late"),
        ],
    )
    def test_a_refused_edit_leaves_the_order_as_it_was(self, desk, order, params, code):
        edit = {"order_id": order["order_id"], "amount": 0.03, "price": 94800} | params
        assert desk.refusal("private/edit", **edit).code == code
        assert desk.order(order["order_id"]) == order

    def test_valid_until_counts_up_to_its_own_millisecond(self, desk, order):
        edit = {"order_id": order["order_id"], "amount": 0.03, "price": 94800}
        desk.call("private/edit", valid_until=desk.now_ms, **edit)
        late = desk.refusal("private/edit", valid_until=desk.now_ms - 1, **edit)
        assert late.code == 13888

    def test_the_filled_part_counts_in_the_new_total(self, desk):
        best, amount = desk.market().best_ask
        order = desk.buy(amount=float(amount + 1), price=best)["order"]
        edit = {"order_id": order["order_id"], "price": 94000}
        edited = desk.call("private/edit", amount=amount + 3, **edit)["order"]
        assert (edited["amount"], edited["filled_amount"]) == (amount + 3, amount)
        for too_little in (amount, amount - D("0.01")):
            assert desk.refusal("private/edit", amount=too_little, **edit).code == 10021
        desk.call("private/edit", amount=amount + D("0.0001"), **edit)

    def test_a_closed_or_unknown_order_cannot_be_edited(self, desk, order):
        desk.call("private/cancel", order_id=order["order_id"])
        edit = {"amount": 0.03, "price": 94800}
        assert desk.refusal("private/edit", order_id=order["order_id"], **edit).code == 11044
        assert desk.refusal("private/edit", order_id="X-1", **edit).code == 10004
        by_label = {"instrument_name": LINEAR, **edit}
        assert desk.refusal("private/edit_by_label", label="a", **by_label).code == 10004
        assert desk.refusal("private/edit_by_label", label="b", **by_label).code == 10004

    def test_a_post_only_order_slides_when_an_edit_would_take(self, desk):
        order = desk.buy(amount=0.01, price=94900, post_only=True)["order"]
        edited = desk.call("private/edit", order_id=order["order_id"], amount=0.01, price=95100)
        best = desk.market().best_opposite(Direction.BUY)
        assert edited["order"]["price"] == best - D("0.1")
        assert edited["order"]["order_state"] == "open"

    def test_a_pending_secondary_can_be_moved_before_it_lives(self, desk):
        entry = desk.buy(
            amount=0.01, price=94900, linked_order_type="one_triggers_other",
            otoco_config=[{"direction": "sell", "type": "limit", "price": 96000, "label": "t"}],
        )["order"]  # fmt: skip
        (pending,) = entry["oto_order_ids"]
        desk.call("private/edit", order_id=pending, amount=0.01, price=95800)
        desk.move(94800)
        (target,) = desk.open_orders()
        assert (target["label"], target["price"]) == ("t", 95800)

    def test_an_order_of_a_liquidation_is_left_alone(self, desk, order):
        books = desk.venue.exchange.books
        books.put(replace(books.orders[order["order_id"]], is_liquidation=True))
        edit = {"order_id": order["order_id"], "amount": 0.03, "price": 94800}
        assert desk.refusal("private/edit", **edit).code == 10046
        assert desk.refusal("private/cancel", order_id=order["order_id"]).code == 10045


def test_a_filled_order_may_be_told_apart_under_the_older_reading(make_desk):
    desk = make_desk(switches=Switches(filled_is_already_filled=True))
    filled = desk.buy(amount=0.01, type="market")["order"]["order_id"]
    cancelled = desk.buy(amount=0.01, price=94900)["order"]["order_id"]
    desk.call("private/cancel", order_id=cancelled)
    codes = [desk.refusal("private/cancel", order_id=i).code for i in (filled, cancelled)]
    assert codes == [11008, 11044]


class TestOrigin:
    @pytest.mark.parametrize(
        ("origin", "flags"),
        [
            (Origin.API, {"api": True, "web": False}),
            (Origin.WEB, {"api": False, "web": True}),
            (Origin.MOBILE, {"api": False, "web": False, "mobile": True}),
        ],
    )
    def test_an_order_and_its_trades_say_where_they_came_from(self, desk, origin, flags):
        form = OrderForm(
            instrument_name=LINEAR,
            direction=Direction.BUY,
            order_type=OrderType.MARKET,
            amount=D("0.01"),
        )
        desk.subscribe("user.changes.any.any.raw")
        engine = desk.venue.exchange.engine
        placed = engine.place(form, now_ms=desk.now_ms, origin=origin)
        desk.wait(1000)
        order = desk.order(placed.order.order_id)
        assert {name: order.get(name) for name in flags} == flags
        assert ("mobile" in order) is ("mobile" in flags)
        (trade,) = desk.trades()
        assert trade["api"] is flags["api"]
        assert (order["label"], trade["user_id"]) == ("", order["user_id"])
        assert desk.on("user.changes.any.any.raw")[0]["orders"] == [order]


def test_everything_about_an_order_survives_a_restart(make_desk, tmp_path):
    state_file = StateFile(tmp_path / "paper.db")
    desk = make_desk()
    desk.buy(amount=1.0, price=94900, display_amount=0.1, mmp=True, label="ice")
    _, amount = desk.market().best_ask
    desk.buy(amount=float(amount + 1), type="market_limit", label="ml")
    desk.sell(amount=0.01, type="trailing_stop", trigger="last_price", trigger_offset=300)
    state_file.save(desk.changes())
    again = make_desk(saved=state_file.load())
    assert again.open_orders() == desk.open_orders()
    state_file.close()


def test_a_resting_order_that_fills_a_thousand_times_stays_as_small_as_it_was(desk):
    placed = desk.buy(amount=1.0, price=94_900)["order"]
    exchange = desk.venue.exchange
    for _ in range(1000):
        order = exchange.books.orders[placed["order_id"]]
        exchange.engine.fill(order, price=D(94_900), amount=D("0.001"), now_ms=desk.now_ms)
    order = exchange.books.orders[placed["order_id"]]
    assert order.parts == ((D(1), D(94_900)),)
    assert desk.order(placed["order_id"])["average_price"] == 94_900
