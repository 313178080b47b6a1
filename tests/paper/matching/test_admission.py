"""What may not enter, by code; nothing of it leaves a trace in the books."""

from decimal import Decimal

import pytest

from vigil.paper.switches import Switches

D = Decimal
LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"
STOP = {"type": "stop_market", "trigger": "mark_price"}


@pytest.mark.parametrize(
    ("side", "params", "code", "detail"),
    [
        pytest.param("buy", {"type": "market"}, -32602, "amount", id="no amount"),
        pytest.param("buy", {"amount": 0.00005, "type": "market"}, -32602, "amount", id="too small"),
        pytest.param("buy", {"amount": 0.00015, "type": "market"}, -32602, "amount", id="off step"),
        pytest.param("buy", {"amount": -1, "type": "market"}, -32602, "amount", id="negative"),
        pytest.param(
            "buy", {"amount": 1, "contracts": 7, "type": "market"}, -32602, "amount", id="disagree"
        ),
        pytest.param("buy", {"amount": 1}, -32602, "price", id="limit without price"),
        pytest.param("buy", {"amount": 1, "price": 95000.05}, -32602, "price", id="off tick"),
        pytest.param("buy", {"amount": 0.01, "price": 97000}, 10007, "price_too_high", id="band up"),
        pytest.param("sell", {"amount": 0.01, "price": 93000}, 10005, "price_too_low", id="band down"),
        pytest.param("buy", {"amount": 1, "type": "mystery"}, -32602, "type", id="unknown type"),
        pytest.param("buy", {"amount": 1, "type": "liquidation"}, -32602, "type", id="not for us"),
        pytest.param(
            "sell", {"amount": 1, "type": "stop_market", "trigger": "mark_price"}, -32602,
            "trigger_price", id="stop without trigger price",
        ),
        pytest.param(
            "sell", {"amount": 1, "type": "stop_market", "trigger_price": 90000}, -32602,
            "trigger", id="stop without trigger",
        ),
        pytest.param(
            "sell", {"amount": 1, "trigger_price": 96000, **STOP}, 11036, "", id="crossed sell stop"
        ),
        pytest.param(
            "buy", {"amount": 1, "trigger_price": 94000, **STOP}, 11036, "", id="crossed buy stop"
        ),
        pytest.param(
            "sell", {"amount": 1, "type": "take_market", "trigger": "index_price",
                     "trigger_price": 94000}, 11036, "", id="crossed take",
        ),
        pytest.param("buy", {"amount": 60, "price": 95000}, 10009, "not_enough_funds", id="funds"),
        pytest.param(
            "buy", {"amount": 1, "type": "market", "valid_until": 1}, 13888, "timed_out", id="late"
        ),
        pytest.param(
            "buy", {"amount": 1, "type": "market", "label": "x" * 65}, -32602, "label", id="label"
        ),
        pytest.param(
            "buy", {"amount": 1, "price": 95100, "post_only": True, "reject_post_only": True},
            11054, "post_only_reject", id="post only reject",
        ),
        pytest.param(
            "buy", {"amount": 1, "type": "market", "post_only": True}, 11055, "", id="post only market"
        ),
        pytest.param(
            "sell", {"amount": 1, "type": "market", "reduce_only": True}, 11030,
            "invalid_reduce_only_order", id="nothing to reduce",
        ),
        pytest.param(
            "buy", {"amount": 1, "type": "market", "advanced": "usd"}, 11038, "", id="advanced"
        ),
        pytest.param(
            "buy", {"amount": 1, "price": 94000, "advanced": "gold"}, -32602, "advanced",
            id="unknown unit",
        ),
        pytest.param(
            "buy", {"amount": 1, "type": "market", "time_in_force": "immediate_or_cancel"},
            -32602, "time_in_force", id="market with a time in force",
        ),
        pytest.param(
            "sell", {"amount": 1, "trigger_price": 94000, "time_in_force": "good_til_day", **STOP},
            -32602, "time_in_force", id="stop market with a time in force",
        ),
        pytest.param(
            "buy", {"amount": 1, "price": 94900, "reject_post_only": True}, -32602,
            "reject_post_only", id="reject without post only",
        ),
        pytest.param(
            "buy", {"amount": 1, "price": 94900, "post_only": True,
                    "time_in_force": "good_til_day"}, 11055, "", id="post only for a day",
        ),
        pytest.param(
            "buy", {"amount": 1, "type": "market", "mmp": True}, -32602, "mmp", id="mmp market"
        ),
        pytest.param(
            "buy", {"amount": 1, "type": "market", "display_amount": 0.1}, 11047, "",
            id="iceberg at market",
        ),
        pytest.param(
            "buy", {"amount": 1, "price": 94900, "display_amount": 0.0099}, 10036, "",
            id="too little shown",
        ),
        pytest.param(
            "buy", {"amount": 1.01, "price": 94900, "display_amount": 0.01}, 10036, "",
            id="too much hidden",
        ),
        pytest.param(
            "buy", {"amount": 0.01, "price": 94900, "display_amount": 0.02}, 10036, "",
            id="more shown than there is",
        ),
    ],
)  # fmt: skip
def test_a_bad_order_is_refused_by_its_code_and_leaves_no_trace(desk, side, params, code, detail):
    refusal = desk.refusal(f"private/{side}", instrument_name=LINEAR, **params)
    assert refusal.code == code
    assert detail in (refusal.data["param"] if refusal.data else refusal.message)
    assert desk.open_orders() == []
    assert desk.changes() is None


@pytest.mark.parametrize(
    ("params", "code"),
    [
        pytest.param({"amount": -1, "price": 94900}, 10021, id="negative"),
        pytest.param({"amount": 0.00005, "price": 94900}, 10002, id="too small"),
        pytest.param({"amount": 0.00015, "price": 94900}, 10027, id="off step"),
        pytest.param({"amount": 0.01, "price": 0}, 10023, id="no price"),
        pytest.param({"amount": 0.01, "price": 94900.05}, 10043, id="off tick"),
        pytest.param({"amount": 0.01, "trigger_price": 96000.05, **STOP}, 10044, id="trigger tick"),
    ],
)
def test_wrong_forms_have_codes_of_their_own_under_the_other_reading(make_desk, params, code):
    desk = make_desk(switches=Switches(form_errors_have_own_codes=True))
    assert desk.refusal("private/buy", instrument_name=LINEAR, **params).code == code


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({"amount": 0.0001, "price": 94900}, id="smallest amount"),
        pytest.param({"amount": 0.01, "price": 94900, "label": "x" * 64}, id="label"),
        pytest.param({"amount": 0.01, "price": 94900, "label": "é" * 64}, id="by characters"),
        pytest.param({"amount": 0.01, "contracts": 100, "price": 94900}, id="both agree"),
        pytest.param({"contracts": 100, "price": 94900}, id="contracts alone"),
        pytest.param({"amount": 1.0, "price": 94900, "display_amount": 0.01}, id="iceberg"),
        pytest.param({"amount": 0.01, "price": 94900, "mmp": True}, id="mmp"),
        pytest.param(
            {"amount": 0.01, "type": "market", "time_in_force": "good_til_cancelled"},
            id="market with the default",
        ),
    ],
)  # fmt: skip
def test_what_lies_at_the_limit_is_taken(desk, params):
    order = desk.buy(**params)["order"]
    assert order["amount"] == D(str(params.get("amount", 0.01)))


def test_a_time_in_force_of_a_market_order_is_ignored_under_the_mild_reading(make_desk):
    desk = make_desk(switches=Switches(market_refuses_time_in_force=False))
    order = desk.buy(amount=0.01, type="market", time_in_force="fill_or_kill")["order"]
    assert order["time_in_force"] == "good_til_cancelled"


class TestBand:
    @pytest.mark.parametrize("side", ["buy", "sell"])
    def test_a_price_on_the_edge_is_taken_and_one_tick_beyond_is_not(self, desk, side):
        market = desk.market()
        edge = market.max_price if side == "buy" else market.min_price
        beyond = edge + (D("0.1") if side == "buy" else -D("0.1"))
        order = {"instrument_name": LINEAR, "amount": 0.01}
        desk.call(f"private/{side}", price=edge, **order)
        assert desk.refusal(f"private/{side}", price=beyond, **order).code in (10005, 10007)


class TestRoom:
    def test_so_many_orders_and_no_more(self, make_desk):
        desk = make_desk(switches=Switches(open_orders_max=2))
        for _ in range(2):
            desk.buy(amount=0.01, price=94900)
        refusal = desk.refusal("private/buy", instrument_name=LINEAR, amount=0.01, price=94900)
        assert (refusal.code, refusal.message) == (10013, "pme_max_total_open_orders 2")
        desk.call("private/cancel", order_id=desk.open_orders()[0]["order_id"])
        desk.buy(amount=0.01, price=94900)

    def test_so_many_triggers_and_no_more(self, make_desk):
        desk = make_desk(switches=Switches(trigger_orders_max=2))
        for _ in range(2):
            desk.sell(amount=0.01, trigger_price=94000, **STOP)
        order = {"instrument_name": LINEAR, "amount": 0.01, "trigger_price": 94000, **STOP}
        refusal = desk.refusal("private/sell", **order)
        assert (refusal.code, refusal.message) == (11035, "no_more_triggers 2")
        desk.buy(amount=0.01, price=94900)

    def test_so_many_waiting_secondaries_and_no_more(self, make_desk):
        desk = make_desk(switches=Switches(pending_orders_max=1))
        linked = {
            "instrument_name": LINEAR, "amount": 0.01, "price": 94900,
            "linked_order_type": "one_triggers_other",
            "otoco_config": [{"direction": "sell", "type": "limit", "price": 95900}],
        }  # fmt: skip
        desk.call("private/buy", **linked)
        assert desk.refusal("private/buy", **linked).code == 13901


def test_an_unknown_instrument_is_named(desk):
    refusal = desk.refusal("private/buy", instrument_name="DOGE-PERPETUAL", amount=1)
    assert refusal.data == {"reason": "instrument not found", "param": "instrument_name"}


def test_a_post_only_price_that_would_take_is_moved_one_tick_inside(desk):
    best_ask = desk.market().best_ask[0]
    order = desk.buy(amount=0.01, price=float(best_ask + 5), post_only=True)["order"]
    assert order["price"] == best_ask - Decimal("0.1")
    assert order["order_state"] == "open"


class TestReduceOnly:
    def test_a_second_resting_order_over_a_covered_position_is_refused(self, desk):
        desk.buy(amount=0.01, type="market")
        desk.sell(amount=0.01, trigger_price=94000, reduce_only=True, **STOP)
        refusal = desk.refusal(
            "private/sell", instrument_name=LINEAR, amount=0.01, price=96000, reduce_only=True
        )
        assert (refusal.code, refusal.message) == (11030, "other_reject invalid_reduce_only_order")

    def test_a_second_order_over_the_uncovered_rest_is_taken(self, desk):
        desk.buy(amount=0.02, type="market")
        desk.sell(amount=0.01, trigger_price=94000, reduce_only=True, **STOP)
        desk.sell(amount=0.01, price=96000, reduce_only=True)
        assert len(desk.open_orders()) == 2

    def test_a_person_may_close_at_market_while_a_stop_rests(self, desk):
        desk.buy(amount=0.01, type="market")
        desk.sell(amount=0.01, trigger_price=94000, reduce_only=True, **STOP)
        desk.sell(amount=0.01, type="market", reduce_only=True)
        assert desk.position()["size"] == 0

    def test_closing_at_market_over_a_covered_position_is_refused_under_the_strict_reading(
        self, make_desk
    ):
        desk = make_desk(switches=Switches(covered_refuses_immediate=True))
        desk.buy(amount=0.01, type="market")
        desk.sell(amount=0.01, trigger_price=94000, reduce_only=True, **STOP)
        close = {"amount": 0.01, "type": "market", "reduce_only": True}
        assert desk.refusal("private/sell", instrument_name=LINEAR, **close).code == 11030
        desk.call("private/close_position", instrument_name=LINEAR, type="market")
        assert desk.position()["size"] == 0

    @pytest.mark.parametrize("instrument_name", [LINEAR, INVERSE])
    def test_a_larger_order_never_turns_the_position(self, desk, instrument_name):
        amount = 100 if instrument_name == INVERSE else 0.01
        desk.buy(instrument_name, amount=amount, type="market")
        result = desk.sell(instrument_name, amount=amount * 5, type="market", reduce_only=True)
        assert result["order"]["order_state"] == "filled"
        assert result["order"]["amount"] == Decimal(str(amount))
        assert desk.position(instrument_name)["direction"] == "zero"

    def test_a_leftover_limit_ends_cancelled_when_the_market_reaches_it(self, desk):
        desk.buy(amount=0.01, type="market")
        target = desk.sell(amount=0.01, price=95500, reduce_only=True)["order"]
        desk.call("private/close_position", instrument_name=LINEAR, type="market")
        assert desk.order(target["order_id"])["order_state"] == "open"
        desk.move(95600)
        assert desk.order(target["order_id"])["order_state"] == "cancelled"
        assert desk.position()["size"] == 0

    def test_a_leftover_stop_is_rejected_when_it_fires(self, desk):
        desk.buy(amount=0.01, type="market")
        stop = desk.sell(amount=0.01, trigger_price=94500, reduce_only=True, **STOP)["order"]
        desk.call("private/close_position", instrument_name=LINEAR, type="market")
        desk.move(94000)
        assert desk.order(stop["order_id"])["order_state"] == "rejected"
        assert desk.position()["size"] == 0
