"""Trigger orders: trailing stops, what firing leaves behind, references, history."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigil.domain.order import Direction, OrderType, Trigger
from vigil.paper.account.orders import OrderState, PaperOrder
from vigil.paper.matching.triggers import followed, is_crossed, started, with_offset
from vigil.paper.persistence import StateFile
from vigil.paper.switches import Switches

D = Decimal
LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"
TRAILING = {"type": "trailing_stop", "trigger": "index_price"}


class Quoted:
    """A market of which only the reference matters."""

    def __init__(self, reference):
        self.price = D(reference)

    def reference(self, _trigger):
        return self.price


def trailing(side, offset=100):
    return PaperOrder(
        order_id="t",
        instrument_name=LINEAR,
        direction=side,
        order_type=OrderType.TRAILING_STOP,
        amount=D(1),
        state=OrderState.UNTRIGGERED,
        creation_timestamp_ms=0,
        last_update_timestamp_ms=0,
        trigger=Trigger.INDEX,
        trigger_offset=D(offset),
    )


@given(
    st.sampled_from(list(Direction)),
    st.lists(st.integers(500, 5000), min_size=1, max_size=30),
    st.integers(1, 400),
)
def test_a_trailing_stop_is_always_its_offset_behind_the_best_and_fires_when_that_is_lost(
    side, references, offset
):
    order = started(trailing(side, offset), Quoted(references[0]))
    for seen in range(len(references)):
        market = Quoted(references[seen])
        order = followed(order, market)
        past = references[: seen + 1]
        best = max(past) if side is Direction.SELL else min(past)
        assert order.trigger_price == best + side.sign * offset
        assert is_crossed(order, market) is (abs(references[seen] - best) >= offset)


@given(st.sampled_from(list(Direction)), st.integers(1, 400), st.integers(1, 400))
def test_another_offset_counts_from_the_best_price_already_seen(side, first, second):
    order = started(trailing(side, first), Quoted(1000))
    order = followed(order, Quoted(1000 - side.sign * 50))
    moved = with_offset(order, D(second))
    assert moved.trigger_price == 1000 - side.sign * 50 + side.sign * second


class TestTrailingStop:
    @pytest.fixture
    def stop(self, desk):
        desk.buy(amount=0.01, type="market")
        return desk.sell(amount=0.01, trigger_offset=500, reduce_only=True, label="ts", **TRAILING)[
            "order"
        ]

    def test_it_waits_with_its_reference_and_its_price(self, desk, stop):
        assert stop["order_id"].startswith("USDC-TS")
        assert stop["order_state"] == "untriggered"
        assert stop["price"] == "market_price"
        assert "filled_amount" not in stop
        assert stop["trigger_offset"] == 500
        assert stop["trigger_reference_price"] == 95000
        assert stop["trigger_price"] == 94500

    def test_it_follows_up_and_not_down_and_fires_on_the_way_back(self, desk, stop):
        desk.move(95600)
        assert desk.order(stop["order_id"])["trigger_price"] == 95100
        desk.move(95101)
        assert desk.order(stop["order_id"])["order_state"] == "untriggered"
        assert desk.order(stop["order_id"])["trigger_reference_price"] == 95000
        desk.move(95100)
        old, new = desk.by_label("ts")
        assert (old["order_state"], new["order_state"]) == ("triggered", "filled")
        assert new["trigger_order_id"] == stop["order_id"]
        assert desk.position()["size"] == 0

    def test_nobody_is_told_when_it_only_follows(self, desk, stop):
        desk.subscribe("user.orders.any.any.raw")
        desk.move(95600)
        assert desk.on("user.orders.any.any.raw") == []

    def test_its_offset_can_be_edited(self, desk, stop):
        desk.move(95600)
        edited = desk.call(
            "private/edit", order_id=stop["order_id"], amount=0.01, trigger_offset=300
        )["order"]
        assert (edited["trigger_price"], edited["order_id"]) == (95300, stop["order_id"])

    def test_an_offset_that_is_reached_already_is_refused(self, desk, stop):
        desk.move(95600)
        desk.move(95300)
        params = {"order_id": stop["order_id"], "amount": 0.01, "trigger_offset": 200}
        assert desk.refusal("private/edit", **params).code == 11036
        assert desk.order(stop["order_id"])["trigger_price"] == 95100

    def test_an_offset_beyond_all_price_is_refused_wherever_it_is_named(self, desk, stop):
        far = {"trigger_offset": 95_000}
        edit = {"order_id": stop["order_id"], "amount": 0.01} | far
        assert desk.refusal("private/edit", **edit).data["param"] == "trigger_offset"
        entry = {
            "instrument_name": LINEAR, "amount": 0.01, "price": 94_000,
            "linked_order_type": "one_triggers_other",
            "otoco_config": [{"direction": "sell"} | TRAILING | far],
        }  # fmt: skip
        assert desk.refusal("private/buy", **entry).data["param"] == "trigger_offset"
        assert desk.order(stop["order_id"])["trigger_price"] == 94_500

    def test_it_follows_on_after_a_restart(self, make_desk, tmp_path):
        state_file = StateFile(tmp_path / "paper.db")
        desk = make_desk()
        desk.sell(amount=0.01, trigger_offset=500, label="ts", **TRAILING)
        state_file.save(desk.changes())
        desk.move(95600)
        state_file.save(desk.changes())
        again = make_desk(saved=state_file.load())
        (stop,) = again.by_label("ts")
        assert (stop["trigger_price"], stop["trigger_reference_price"]) == (95100, 95000)
        again.move(95099)
        assert [order["order_state"] for order in again.by_label("ts")] == ["triggered", "filled"]
        state_file.close()


@pytest.mark.parametrize(
    ("params", "param"),
    [
        pytest.param({"trigger": "index_price"}, "trigger_offset", id="no offset"),
        pytest.param({"trigger_offset": 100}, "trigger", id="no trigger"),
        pytest.param({"trigger": "index_price", "trigger_offset": 0}, "trigger_offset", id="zero"),
        pytest.param(
            {"trigger": "index_price", "trigger_offset": 0.05}, "trigger_offset", id="off tick"
        ),
        pytest.param(
            {"trigger": "index_price", "trigger_offset": 95000}, "trigger_offset", id="below zero"
        ),
    ],
)
def test_a_malformed_trailing_stop_is_refused(desk, params, param):
    order = {"instrument_name": LINEAR, "amount": 0.01, "type": "trailing_stop"} | params
    assert desk.refusal("private/sell", **order).data["param"] == param


@pytest.mark.parametrize("reference", ["mark_price", "index_price", "last_price"])
def test_each_reference_fires_by_itself(desk, reference):
    market = desk.market()
    now = {"mark_price": market.mark_price, "index_price": market.index_price,
           "last_price": market.last_price}[reference]  # fmt: skip
    price = float((now - 20).quantize(D("0.1")))
    order = desk.sell(amount=0.01, type="stop_market", trigger=reference, trigger_price=price)[
        "order"
    ]
    assert desk.order(order["order_id"])["order_state"] == "untriggered"
    desk.move(94900)
    assert desk.order(order["order_id"])["order_state"] == "triggered"


class TestHistory:
    def history(self, desk, **params):
        return desk.call("private/get_trigger_order_history", **({"currency": "USDC"} | params))

    def stop(self, desk, price=94500, name=LINEAR, **params):
        return desk.sell(
            name, amount=10 if name == INVERSE else 0.01, type="stop_market",
            trigger="index_price", trigger_price=price, **params,
        )["order"]  # fmt: skip

    def test_a_fired_order_names_what_it_became(self, desk):
        stop = self.stop(desk, label="sl")
        desk.move(94400)
        (entry,) = self.history(desk)["entries"]
        _, spawned = desk.by_label("sl")
        assert entry["order_state"] == "triggered"
        assert entry["request"] == "trigger:order"
        assert entry["trigger_order_id"] == stop["order_id"]
        assert entry["order_id"] == spawned["order_id"]
        assert entry["price"] == spawned["price"]
        assert (entry["label"], entry["order_type"]) == ("sl", "market")

    def test_a_cancelled_order_is_listed_as_such(self, desk):
        stop = self.stop(desk)
        desk.call("private/cancel", order_id=stop["order_id"])
        (entry,) = self.history(desk)["entries"]
        assert (entry["order_state"], entry["request"]) == ("cancelled", "cancel")

    @pytest.mark.parametrize(
        ("params", "reason"),
        [
            pytest.param({"reduce_only": True}, "reduce_direction", id="flat by then"),
            pytest.param({"amount": 60}, "not_enough_funds", id="margin"),
            pytest.param({"type": "stop_limit", "price": 93000}, "price_too_low", id="band"),
            pytest.param(
                {"type": "stop_limit", "price": 94000, "post_only": True,
                 "reject_post_only": True}, "post_only_reject", id="post only",
            ),
        ],
    )  # fmt: skip
    def test_what_cannot_be_placed_at_firing_is_rejected_and_no_order_exists(
        self, desk, params, reason
    ):
        desk.buy(amount=0.01, type="market")
        order = {"amount": 0.01, "type": "stop_market", "trigger": "index_price",
                 "trigger_price": 94500, "label": "sl"}  # fmt: skip
        stop = desk.sell(**(order | params))["order"]
        if reason == "reduce_direction":
            desk.call("private/close_position", instrument_name=LINEAR, type="market")
        desk.move(94499)
        (entry,) = self.history(desk)["entries"]
        assert entry["order_state"] == f"rejected:{reason}"
        assert [order["order_state"] for order in desk.by_label("sl")] == ["rejected"]
        assert desk.refusal("private/cancel", order_id=stop["order_id"]).code == 11044

    def test_a_limit_outside_the_band_rests_under_the_mild_reading(self, make_desk):
        desk = make_desk(switches=Switches(fired_outside_band_is_rejected=False))
        desk.buy(
            amount=0.01, type="stop_limit", trigger="index_price", trigger_price=95500,
            price=99000, label="sl",
        )  # fmt: skip
        desk.move(95501)
        assert [order["order_state"] for order in desk.by_label("sl")] == ["triggered", "filled"]

    def test_it_is_of_one_currency_or_one_instrument_and_paged(self, desk):
        stops = [self.stop(desk, price)["order_id"] for price in (94100, 94200, 94300)]
        other = self.stop(desk, name=INVERSE)
        for order_id in (*stops, other["order_id"]):
            desk.call("private/cancel", order_id=order_id)
        page = self.history(desk, count=2)
        assert [entry["trigger_order_id"] for entry in page["entries"]] == stops[:0:-1]
        rest = self.history(desk, count=2, continuation=page["continuation"])
        assert [entry["trigger_order_id"] for entry in rest["entries"]] == stops[:1]
        assert rest["continuation"] is None
        (entry,) = self.history(desk, currency="BTC")["entries"]
        assert entry["instrument_name"] == INVERSE
        assert self.history(desk, instrument_name=LINEAR, count=3)["entries"][0] != entry
        refusal = desk.refusal(
            "private/get_trigger_order_history", currency="USDC", continuation="x.1"
        )
        assert refusal.data["param"] == "continuation"

    def test_it_survives_a_restart(self, make_desk, tmp_path):
        state_file = StateFile(tmp_path / "paper.db")
        desk = make_desk()
        self.stop(desk)
        desk.move(94400)
        state_file.save(desk.changes())
        again = make_desk(saved=state_file.load())
        assert self.history(again) == self.history(desk)
        state_file.close()


def test_a_post_only_limit_that_fires_beyond_the_market_slides_inside(desk):
    desk.sell(
        amount=0.01, type="take_limit", trigger="index_price", trigger_price=95500,
        price=95000, post_only=True, label="tp",
    )  # fmt: skip
    desk.move(95500)
    _, spawned = desk.by_label("tp")
    assert spawned["order_state"] == "open"
    assert spawned["price"] == desk.market().best_opposite(Direction.SELL) + D("0.1")


moves = st.lists(st.integers(94_000, 96_000), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(moves, st.sampled_from(["buy", "sell"]), st.integers(1, 900))
def test_a_trigger_order_becomes_at_most_one_order(make_desk_once, prices, side, offset):
    desk = make_desk_once()
    order = desk.call(
        f"private/{side}", instrument_name=LINEAR, amount=D("0.01"), label="t",
        trigger_offset=D(offset), **TRAILING,
    )["order"]  # fmt: skip
    for price in prices:
        desk.move(price)
        found = desk.by_label("t")
        states = [item["order_state"] for item in found]
        assert states in (["untriggered"], ["triggered", "filled"])
        assert found[0]["order_id"] == order["order_id"]
    fired = desk.call("private/get_trigger_order_history", currency="USDC")["entries"]
    assert len(fired) == len(states) - 1
