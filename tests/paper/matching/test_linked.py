"""Linked orders: OTO, OCO, OTOCO, for both contract kinds and both sides."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigil.paper.persistence import StateFile
from vigil.paper.refusals import Refusal
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


@pytest.mark.parametrize("time_in_force", ["immediate_or_cancel", "fill_or_kill"])
def test_an_entry_that_ends_by_itself_without_a_fill_closes_its_secondaries(desk, time_in_force):
    terms = bracket("buy", 0.01, 94000, 96000, type="limit", price=94900)
    entry = place(desk, LINEAR, "buy", **terms, time_in_force=time_in_force)
    assert (entry["order_state"], entry["filled_amount"]) == ("cancelled", 0)
    for order_id in entry["oto_order_ids"]:
        secondary = desk.order(order_id)
        assert secondary["order_state"] == "cancelled"
        assert secondary["cancel_reason"] == "oto_primary_closed"


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


SECONDARIES = [
    pytest.param({"type": "limit", "price": 96000}, "open", id="limit"),
    pytest.param({"type": "market"}, "filled", id="market"),
    pytest.param({"type": "market_limit"}, "filled", id="market_limit"),
    pytest.param(
        {"type": "stop_market", "trigger": "mark_price", "trigger_price": 94000}, "untriggered",
        id="stop_market",
    ),
    pytest.param(
        {"type": "stop_limit", "trigger": "mark_price", "trigger_price": 94000, "price": 93900},
        "untriggered", id="stop_limit",
    ),
    pytest.param(
        {"type": "take_market", "trigger": "last_price", "trigger_price": 96000}, "untriggered",
        id="take_market",
    ),
    pytest.param(
        {"type": "take_limit", "trigger": "index_price", "trigger_price": 96000, "price": 96100},
        "untriggered", id="take_limit",
    ),
    pytest.param(
        {"type": "trailing_stop", "trigger": "mark_price", "trigger_offset": 300}, "untriggered",
        id="trailing_stop",
    ),
    pytest.param(
        {"type": "limit", "price": 96000, "time_in_force": "good_til_day"}, "open", id="for a day"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("secondary", "state"), SECONDARIES)
def test_a_secondary_may_be_of_any_type(desk, secondary, state):
    desk.buy(
        amount=0.01, price=94900, linked_order_type="one_triggers_other",
        otoco_config=[{"direction": "sell", "label": "s", "reduce_only": True, **secondary}],
    )  # fmt: skip
    desk.move(94850)
    (order,) = desk.by_label("s")
    assert order["order_state"] == state
    if secondary["type"] == "trailing_stop":
        mark = desk.market().mark_price
        assert (order["trigger_price"], order["trigger_reference_price"]) == (mark - 300, mark)


def test_one_order_may_trigger_many(desk):
    entry = desk.buy(
        amount=0.03, type="market", linked_order_type="one_triggers_other",
        otoco_config=[{"direction": "sell", "type": "limit", "price": 96000 + step, "amount": D("0.01")}
                      for step in range(3)],
    )["order"]  # fmt: skip
    assert len(entry["oto_order_ids"]) == 3
    assert "is_primary_otoco" not in entry
    assert entry["trigger_fill_condition"] == "first_hit"
    assert [order["price"] for order in desk.open_orders()] == [96000, 96001, 96002]


def test_a_waiting_secondary_is_marked_as_one(desk):
    entry = place(
        desk, LINEAR, "buy", **bracket("buy", 0.01, 94000, 96000, type="limit", price=94900)
    )
    for order_id in entry["oto_order_ids"]:
        assert order_id.startswith("OTO-")
        pending = desk.order(order_id)
        assert pending["is_secondary_oto"] is True
        assert pending["primary_order_id"] == entry["order_id"]


def test_cancelling_a_secondary_leaves_its_primary_and_its_pair(desk):
    entry = place(
        desk, LINEAR, "buy", **bracket("buy", 0.01, 94000, 96000, type="limit", price=94900)
    )
    assert desk.call("private/cancel_by_label", label="stop") == 1
    desk.move(94850)
    assert desk.order(entry["order_id"])["order_state"] == "filled"
    assert [order["label"] for order in desk.open_orders()] == ["target"]


def test_secondaries_of_a_trigger_order_wait_for_what_it_spawns(desk):
    entry = place(
        desk, LINEAR, "buy",
        **bracket("buy", 0.01, 94500, 97000, type="stop_market", trigger="index_price",
                  trigger_price=95500),
    )  # fmt: skip
    desk.move(95600)
    assert desk.order(entry["order_id"])["order_state"] == "triggered"
    stop, target = desk.open_orders()
    spawned = desk.by_label("entry")[1]
    assert {stop["primary_order_id"], target["primary_order_id"]} == {spawned["order_id"]}


def test_secondaries_of_a_trigger_order_that_is_rejected_end_with_it(desk):
    entry = place(
        desk, LINEAR, "buy",
        **bracket("buy", 60, 94500, 97000, type="stop_market", trigger="index_price",
                  trigger_price=95500),
    )  # fmt: skip
    desk.move(95600)
    assert desk.order(entry["order_id"])["order_state"] == "rejected"
    for order_id in entry["oto_order_ids"]:
        assert desk.order(order_id)["cancel_reason"] == "oto_primary_closed"


def test_a_rejecting_post_only_target_that_would_take_vanishes(desk):
    secondary = {"direction": "sell", "type": "limit", "price": 94500, "label": "t",
                 "post_only": True, "reject_post_only": True}  # fmt: skip
    linked = {"linked_order_type": "one_triggers_other", "otoco_config": [secondary]}
    desk.buy(amount=0.01, type="market", **linked)
    assert desk.by_label("t") == []


def test_a_secondary_beyond_the_margin_is_rejected_when_its_turn_comes(desk):
    secondary = {"direction": "buy", "type": "limit", "price": 94000, "label": "s", "amount": D(60)}
    linked = {"linked_order_type": "one_triggers_other", "otoco_config": [secondary]}
    desk.buy(amount=0.01, type="market", **linked)
    (order,) = desk.by_label("s")
    assert (order["order_state"], order["filled_amount"]) == ("rejected", 0)


def pair(desk, condition, amount, **extra):
    """A target and a stop over a long position, under a fill condition."""
    return desk.sell(
        amount=amount, price=96000, label="target", reduce_only=True,
        linked_order_type="one_cancels_other", trigger_fill_condition=condition,
        otoco_config=[{"direction": "sell", "type": "stop_market", "trigger": "mark_price",
                       "trigger_price": 94000, "label": "stop", "reduce_only": True}],
        **extra,
    )["order"]  # fmt: skip


class TestPairConditions:
    """A target of which only a part fills, by the amount at the best price."""

    @pytest.mark.parametrize(
        ("condition", "left"),
        [("first_hit", None), ("complete_fill", 2), ("incremental", "rest")],
    )
    def test_a_part_of_one_takes_what_its_condition_says_of_the_other(self, desk, condition, left):
        desk.buy(amount=2.0, type="market")
        pair(desk, condition, 2.0)
        desk.move("95997")
        (target,) = desk.by_label("target")
        assert 0 < target["filled_amount"] < 2
        (stop,) = desk.by_label("stop")
        if left is None:
            assert stop["cancel_reason"] == "oco_other_closed"
        else:
            assert stop["order_state"] == "untriggered"
            rest = 2 - target["filled_amount"]
            assert stop["amount"] == (rest if left == "rest" else 2)
        desk.move(96500)
        assert desk.by_label("stop")[0]["order_state"] == "cancelled"
        assert desk.position()["size"] == 0

    def test_fill_after_fill_leaves_of_the_other_what_is_left_of_the_one(self, desk):
        desk.buy(amount=1.0, type="market")
        target = pair(desk, "incremental", 1.0)
        exchange = desk.venue.exchange
        for part, left in (("0.5", "0.5"), ("0.25", "0.25"), ("0.15", "0.1")):
            order = exchange.books.orders[target["order_id"]]
            exchange.engine.fill(order, price=D(96000), amount=D(part), now_ms=desk.now_ms)
            assert desk.by_label("stop")[0]["amount"] == D(left)

    @pytest.mark.parametrize("condition", ["complete_fill", "incremental"])
    def test_a_stop_of_such_a_pair_takes_the_pair_along_when_it_fires(self, desk, condition):
        desk.buy(amount=0.01, type="market")
        pair(desk, condition, 0.01)
        desk.move(93900)
        _, fired = desk.by_label("stop")
        assert (fired["order_state"], fired["oco_ref"]) == (
            "filled",
            desk.by_label("target")[0]["oco_ref"],
        )
        assert desk.by_label("target")[0]["cancel_reason"] == "oco_other_closed"


@pytest.mark.parametrize(
    ("other", "code"),
    [
        pytest.param({"price": 93000}, 10005, id="band"),
        pytest.param(
            {"type": "stop_market", "trigger": "mark_price", "trigger_price": 96000}, 11036,
            id="crossed",
        ),
        pytest.param(
            {"price": 94000, "post_only": True, "reject_post_only": True}, 11054, id="post only"
        ),
    ],
)  # fmt: skip
def test_the_other_of_a_pair_has_to_fit_the_market_as_well(desk, other, code):
    params = {
        "instrument_name": LINEAR, "amount": 0.01, "price": 96000,
        "linked_order_type": "one_cancels_other",
        "otoco_config": [{"direction": "sell", "type": "limit", **other}],
    }  # fmt: skip
    assert desk.refusal("private/sell", **params).code == code
    assert desk.open_orders() == []


def test_links_survive_a_restart(make_desk, tmp_path):
    state_file = StateFile(tmp_path / "paper.db")
    desk = make_desk()
    place(desk, LINEAR, "buy", **bracket("buy", 0.01, 94000, 96000, type="limit", price=94900))
    desk.buy(amount=0.01, type="market")
    state_file.save(desk.changes())
    again = make_desk(saved=state_file.load())
    again.move(94850)
    assert {order["label"] for order in again.open_orders()} == {"stop", "target"}
    again.move(96100)
    assert again.open_orders() == []
    assert again.by_label("stop")[0]["cancel_reason"] == "oco_other_closed"
    state_file.close()


prices = st.lists(st.integers(93_600, 96_600), min_size=1, max_size=15)


@settings(max_examples=100, deadline=None)
@given(
    prices,
    st.sampled_from(["buy", "sell"]),
    st.sampled_from(["first_hit", "complete_fill", "incremental"]),
    st.integers(1, 3000),
)
def test_a_bracket_never_turns_its_position_and_only_one_of_its_pair_closes_it(
    make_desk_once, walk, side, condition, milli
):
    desk, sign = make_desk_once(), 1 if side == "buy" else -1
    amount = D(milli) / 1000
    try:
        place(
            desk, LINEAR, side,
            **bracket(side, amount, 95000 - sign * 800, 95000 + sign * 800,
                      trigger_fill_condition=condition),
        )  # fmt: skip
    except Refusal:
        return
    entered = desk.position()["size"]
    for price in walk:
        desk.move(price)
        size = desk.position()["size"]
        assert 0 <= size * sign <= entered * sign
        filled = {
            label: sum(o.get("filled_amount", D(0)) for o in desk.by_label(label))
            for label in ("stop", "target")
        }
        assert entered * sign - sum(filled.values()) == size * sign
        if condition == "first_hit":
            assert not (filled["stop"] and filled["target"])
        if not size:
            assert desk.open_orders() == []


def test_a_pair_whose_first_order_filled_in_part_at_once_has_no_second(desk):
    """A market-limit order takes what there is, and rests with what is left."""
    placed = desk.call(
        "private/buy",
        instrument_name="BTC_USDC-PERPETUAL",
        type="market_limit",
        amount=Decimal("0.25"),
        linked_order_type="one_cancels_other",
        trigger_fill_condition="first_hit",
        otoco_config=[
            {"amount": Decimal("0.01"), "direction": "buy", "type": "limit", "price": 94_000}
        ],
    )
    assert placed["order"]["order_state"] == "open"
    assert placed["order"]["filled_amount"] > 0
    assert [order["order_id"] for order in desk.open_orders()] == [placed["order"]["order_id"]]


@pytest.mark.parametrize(
    ("condition", "second"),
    [("first_hit", None), ("complete_fill", "0.25"), ("incremental", "rest")],
)
def test_a_secondary_that_fills_in_part_at_once_leaves_of_its_other_what_its_condition_says(
    desk, condition, second
):
    """Market-limit orders take what there is at the best price, and rest with what is left."""
    reduce = {"direction": "sell", "type": "market_limit", "amount": D("0.25")}
    desk.buy(
        amount=D("0.25"), type="market", trigger_fill_condition=condition,
        linked_order_type="one_triggers_one_cancels_other",
        otoco_config=[reduce | {"label": "one"}, reduce | {"label": "other"}],
    )  # fmt: skip
    (one,) = desk.by_label("one")
    assert 0 < one["filled_amount"] < D("0.25")
    other = [order["amount"] for order in desk.by_label("other")]
    rest = D("0.25") - one["filled_amount"]
    assert other == {None: [], "rest": [rest]}.get(second, [D("0.25")])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 400)), min_size=1, max_size=12))
def test_an_incremental_pair_never_fills_more_than_one_of_its_orders_would(make_desk_once, fills):
    desk = make_desk_once()
    exchange = desk.venue.exchange
    desk.sell(
        amount=D("0.1"), price=95_900, label="one", trigger_fill_condition="incremental",
        linked_order_type="one_cancels_other",
        otoco_config=[{"direction": "sell", "type": "limit", "price": 96_000, "label": "other"}],
    )  # fmt: skip
    ids = [desk.by_label(label)[0]["order_id"] for label in ("one", "other")]
    for is_first, lots in fills:
        order = exchange.books.orders[ids[not is_first]]
        if not order.is_live:
            break
        amount = min(D(lots) / 10_000, order.remaining)
        exchange.engine.fill(order, price=order.price, amount=amount, now_ms=desk.now_ms)
        one, other = (exchange.books.orders[order_id] for order_id in ids)
        filled = one.filled_amount + other.filled_amount
        assert filled <= D("0.1")
        assert one.is_live == other.is_live == (filled < D("0.1"))
        if one.is_live:
            assert one.remaining == other.remaining == D("0.1") - filled
