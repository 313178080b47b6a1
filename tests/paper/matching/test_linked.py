"""Linked orders: OTO, OCO, OTOCO, for both contract kinds and both sides."""

from decimal import Decimal

import pytest

from vigil.paper.switches import Switches

D = Decimal
LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"


def bracket(side, amount, stop, target, **extra):
    """Parameters of an entry with a stop and a target."""
    other = "sell" if side == "buy" else "buy"
    secondary = {"direction": other, "amount": D(str(amount)), "reduce_only": True}
    return {
        "amount": amount,
        "type": "market",
        "label": "entry",
        "linked_order_type": "one_triggers_one_cancels_other",
        "trigger_fill_condition": "first_hit",
        "otoco_config": [
            secondary | {"type": "stop_market", "trigger": "mark_price", "trigger_price": stop,
                         "label": "stop"},
            secondary | {"type": "limit", "price": target, "label": "target"},
        ],
    } | extra  # fmt: skip


def place(desk, name, side, **params):
    return desk.call(f"private/{side}", instrument_name=name, **params)["order"]


KINDS = pytest.mark.parametrize(("name", "amount"), [(LINEAR, 0.01), (INVERSE, 100)])
SIDES = pytest.mark.parametrize(
    ("side", "stop", "target"), [("buy", 94000, 96000), ("sell", 96000, 94000)]
)


@KINDS
@SIDES
class TestBracket:
    def test_a_filled_entry_brings_its_stop_and_target_to_life(
        self, desk, name, amount, side, stop, target
    ):
        desk.subscribe("user.orders.any.any.raw")
        entry = place(desk, name, side, **bracket(side, amount, stop, target))
        assert entry["is_primary_otoco"] is True
        assert len(entry["oto_order_ids"]) == 2
        resting_stop, resting_target = desk.open_orders()
        assert resting_stop["label"] == "stop"
        assert resting_stop["order_state"] == "untriggered"
        assert "SLM" in resting_stop["order_id"]
        assert resting_target["label"] == "target"
        assert resting_target["order_state"] == "open"
        for order in (resting_stop, resting_target):
            assert order["reduce_only"] is True
            assert order["is_secondary_oto"] is True
            assert order["primary_order_id"] == entry["order_id"]
        assert resting_stop["oco_ref"] == resting_target["oco_ref"]
        labels = [data["label"] for data in desk.on("user.orders.any.any.raw")]
        assert labels == ["entry", "stop", "target"]

    def test_the_stop_closes_the_position_and_the_target(
        self, desk, name, amount, side, stop, target
    ):
        place(desk, name, side, **bracket(side, amount, stop, target))
        desk.move(stop - 100 if side == "buy" else stop + 100)
        assert desk.position(name)["direction"] == "zero"
        assert [order["order_state"] for order in desk.by_label("stop")] == ["triggered", "filled"]
        (target_order,) = desk.by_label("target")
        assert target_order["cancel_reason"] == "oco_other_closed"
        assert desk.open_orders() == []

    def test_the_target_closes_the_position_and_the_stop(
        self, desk, name, amount, side, stop, target
    ):
        place(desk, name, side, **bracket(side, amount, stop, target))
        desk.move(target + 100 if side == "buy" else target - 100)
        assert desk.position(name)["direction"] == "zero"
        (stop_order,) = desk.by_label("stop")
        assert stop_order["order_state"] == "cancelled"
        assert stop_order["cancel_reason"] == "oco_other_closed"
        exit_trade = desk.trades(name)[-1]
        assert (exit_trade["price"], exit_trade["liquidity"]) == (target, "M")
        assert exit_trade["label"] == "target"

    def test_the_pair_outlives_a_close_by_hand(self, desk, name, amount, side, stop, target):
        place(desk, name, side, **bracket(side, amount, stop, target))
        desk.call("private/close_position", instrument_name=name, type="market")
        assert desk.position(name)["direction"] == "zero"
        assert {order["label"] for order in desk.open_orders()} == {"stop", "target"}

    def test_a_stop_crossed_at_activation_vanishes_and_the_target_stays(
        self, desk, name, amount, side, stop, target
    ):
        crossed = 95500 if side == "buy" else 94500
        place(desk, name, side, **bracket(side, amount, crossed, target))
        assert desk.by_label("stop") == []
        assert [order["label"] for order in desk.open_orders()] == ["target"]

    def test_a_stop_crossed_at_activation_fires_under_the_mild_reading(
        self, make_desk, name, amount, side, stop, target
    ):
        desk = make_desk(switches=Switches(crossed_secondary_vanishes=False))
        crossed = 95500 if side == "buy" else 94500
        place(desk, name, side, **bracket(side, amount, crossed, target))
        assert desk.position(name)["direction"] == "zero"
        assert desk.by_label("target") == []

    def test_a_second_free_standing_stop_is_refused_but_the_pair_counts_once(
        self, desk, name, amount, side, stop, target
    ):
        place(desk, name, side, **bracket(side, amount, stop, target))
        other = "sell" if side == "buy" else "buy"
        again = {
            "amount": amount, "type": "stop_market", "trigger": "mark_price",
            "trigger_price": stop, "reduce_only": True,
        }  # fmt: skip
        assert desk.refusal(f"private/{other}", instrument_name=name, **again).code == 11030
        # More position than the pair covers: another order is welcome.
        desk.call(f"private/{side}", instrument_name=name, amount=amount, type="market")
        desk.call(f"private/{other}", instrument_name=name, **again)


def test_secondaries_wait_quietly_while_the_entry_rests(desk):
    desk.subscribe("user.orders.any.any.raw")
    entry = place(
        desk, LINEAR, "buy", **bracket("buy", 0.01, 94000, 96000, type="limit", price=94900)
    )
    assert [order["order_id"] for order in desk.open_orders()] == [entry["order_id"]]
    pending = desk.order(entry["oto_order_ids"][0])
    assert pending["order_state"] == "untriggered"
    assert pending["primary_order_id"] == entry["order_id"]
    assert len(desk.on("user.orders.any.any.raw")) == 1


def test_a_cancelled_entry_closes_its_secondaries(desk):
    entry = place(
        desk, LINEAR, "buy", **bracket("buy", 0.01, 94000, 96000, type="limit", price=94900)
    )
    desk.subscribe("user.orders.any.any.raw")
    desk.call("private/cancel", order_id=entry["order_id"])
    told = [(o["label"], o.get("cancel_reason")) for o in desk.on("user.orders.any.any.raw")]
    assert told == [
        ("entry", "user_request"),
        ("stop", "oto_primary_closed"),
        ("target", "oto_primary_closed"),
    ]


def test_first_hit_places_whole_secondaries_at_the_first_partial_fill(desk):
    best_ask, amount = desk.market().best_ask
    total = float(amount + 1)
    place(
        desk,
        LINEAR,
        "buy",
        **bracket("buy", total, 94000, 96000, type="limit", price=float(best_ask)),
    )
    labels = {order["label"]: order["amount"] for order in desk.open_orders()}
    assert labels == {"entry": amount + 1, "stop": amount + 1, "target": amount + 1}


def test_complete_fill_waits_for_the_whole_entry(desk):
    best_ask, amount = desk.market().best_ask
    params = bracket(
        "buy", float(amount + 1), 94000, 96000, type="limit", price=float(best_ask),
        trigger_fill_condition="complete_fill",
    )  # fmt: skip
    place(desk, LINEAR, "buy", **params)
    assert [order["label"] for order in desk.open_orders()] == ["entry"]
    desk.move(94900)
    assert {order["label"] for order in desk.open_orders()} == {"stop", "target"}


def test_incremental_places_the_filled_share_each_time(desk):
    best_ask, amount = desk.market().best_ask
    params = bracket(
        "buy", float(amount + 1), 94000, 96000, type="limit", price=float(best_ask),
        trigger_fill_condition="incremental",
    )  # fmt: skip
    place(desk, LINEAR, "buy", **params)
    desk.move(94900)
    stops = [order for order in desk.open_orders() if order["label"] == "stop"]
    assert [stop["amount"] for stop in stops] == [amount, D(1)]
    assert len({stop["oco_ref"] for stop in stops}) == 2


def test_a_target_beyond_the_market_at_activation_fills_and_cancels_the_stop(desk):
    place(desk, LINEAR, "buy", **bracket("buy", 0.01, 94000, 94500))
    assert desk.position()["size"] == 0
    (stop,) = desk.by_label("stop")
    assert stop["cancel_reason"] == "oco_other_closed"


def test_oto_places_its_secondary_without_a_pair(desk):
    desk.buy(
        amount=0.01, type="market", linked_order_type="one_triggers_other",
        otoco_config=[{"direction": "sell", "type": "limit", "price": 96000, "label": "t",
                       "reduce_only": True}],
    )  # fmt: skip
    (target,) = desk.open_orders()
    assert target["amount"] == D("0.01")
    assert "oco_ref" not in target


class TestPair:
    """A stop and a target placed together over a position that is already there."""

    @pytest.fixture
    def pair(self, desk):
        desk.buy(amount=0.01, type="market")
        return desk.sell(
            amount=0.01, type="stop_market", trigger="mark_price", trigger_price=94000,
            reduce_only=True, label="stop", linked_order_type="one_cancels_other",
            otoco_config=[{"direction": "sell", "type": "limit", "price": 96000, "label": "target",
                           "reduce_only": True, "amount": D("0.01")}],
        )["order"]  # fmt: skip

    def test_both_rest_at_once_under_one_reference(self, desk, pair):
        stop, target = desk.open_orders()
        assert (stop["label"], target["label"]) == ("stop", "target")
        assert stop["oco_ref"] == target["oco_ref"]

    def test_a_fill_of_one_cancels_the_other(self, desk, pair):
        desk.move(96100)
        assert desk.order(pair["order_id"])["cancel_reason"] == "oco_other_closed"
        assert desk.position()["size"] == 0

    def test_a_trigger_of_one_cancels_the_other(self, desk, pair):
        desk.move(93900)
        (target,) = desk.by_label("target")
        assert target["cancel_reason"] == "oco_other_closed"
        assert desk.position()["size"] == 0

    def test_cancelling_one_by_hand_leaves_the_other(self, desk, pair):
        desk.call("private/cancel", order_id=pair["order_id"])
        assert [order["label"] for order in desk.open_orders()] == ["target"]


@pytest.mark.parametrize(
    "config",
    [
        pytest.param([], id="none"),
        pytest.param([{"direction": "sell", "type": "limit", "price": 96000}], id="one of two"),
        pytest.param("text", id="not a list"),
        pytest.param([{"type": "limit", "price": 96000}] * 2, id="no direction"),
        pytest.param(
            [{"direction": "sell", "type": "limit", "price": D("96000.05")}] * 2, id="tick"
        ),
    ],
)
def test_a_malformed_bracket_is_refused_before_anything_is_placed(desk, config):
    params = bracket("buy", 0.01, 94000, 96000) | {"otoco_config": config}
    assert desk.refusal("private/buy", instrument_name=LINEAR, **params).code == -32602
    assert desk.position()["size"] == 0
