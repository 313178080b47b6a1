"""Reading orders: filters, order, paging, labels, and the two stores."""

import pytest

from vigil.paper.switches import Switches

LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"
HALF_HOUR_MS, DELAY_MS = 30 * 60_000, 60_000


def pass_time(desk, ms):
    """Later, and logged in afresh; the market stands still."""
    desk.now_ms += ms
    desk.log_in()


@pytest.fixture
def busy(desk):
    """Six trades on the linear instrument a second apart, one on the inverse one."""
    for i in range(6):
        desk.buy(amount=0.01, type="market", label=f"l{i}")
        desk.now_ms += 1000
    desk.buy(INVERSE, amount=10, type="market", label="inverse")
    return desk


def test_history_lists_closed_orders_newest_first_and_unfilled_ones_on_request(busy):
    order = busy.buy(amount=0.01, price=94900, label="unfilled")["order"]
    history = "private/get_order_history_by_currency"
    assert "unfilled" not in [o["label"] for o in busy.call(history, currency="USDC")]
    busy.call("private/cancel", order_id=order["order_id"])
    filled = [o["label"] for o in busy.call(history, currency="USDC")]
    assert filled == ["l5", "l4", "l3", "l2", "l1", "l0"]
    everything = busy.call(history, currency="USDC", include_unfilled=True, count=2)
    assert [o["label"] for o in everything] == ["unfilled", "l5"]
    page = busy.call(history, currency="USDC", with_continuation=True, count=4)
    rest = busy.call(
        history, currency="USDC", with_continuation=True, count=4, continuation=page["continuation"]
    )
    assert [o["label"] for o in rest["orders"]] == ["l1", "l0"]
    assert rest["continuation"] is None


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("all", {"limit", "stop"}), ("limit", {"limit"}), ("trigger_all", {"stop"}),
     ("stop_market", {"stop"}), ("take_all", set())],
)  # fmt: skip
def test_open_orders_are_filtered_by_type(desk, wanted, expected):
    desk.buy(amount=0.01, price=94900, label="limit")
    desk.buy(
        amount=0.01, type="stop_market", trigger="mark_price", trigger_price=96000, label="stop"
    )
    for method, params in (
        ("get_open_orders", {}),
        ("get_open_orders_by_currency", {"currency": "USDC"}),
        ("get_open_orders_by_instrument", {"instrument_name": LINEAR}),
    ):
        orders = desk.call(f"private/{method}", type=wanted, **params)
        assert {order["label"] for order in orders} == expected
    found = desk.call("private/get_open_orders_by_label", currency="USDC", label="stop")
    assert [order["label"] for order in found] == ["stop"]


TRIGGERS = {
    "stop_market": {"trigger_price": 96000},
    "stop_limit": {"trigger_price": 96000, "price": 96100},
    "take_market": {"trigger_price": 94000},
    "take_limit": {"trigger_price": 94000, "price": 94100},
    "trailing_stop": {"trigger_offset": 500},
}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("trigger_all", set(TRIGGERS)),
        ("stop_all", {"stop_market", "stop_limit"}),
        ("take_all", {"take_market", "take_limit"}),
        ("trailing_all", {"trailing_stop"}),
        *((name, {name}) for name in TRIGGERS),
    ],
)
def test_every_type_of_trigger_is_found_by_its_name(desk, wanted, expected):
    for name, params in TRIGGERS.items():
        desk.buy(amount=0.01, type=name, trigger="mark_price", label=name, **params)
    found = desk.call("private/get_open_orders", type=wanted)
    assert {order["label"] for order in found} == expected


def test_open_orders_are_filtered_by_kind(desk):
    desk.buy(amount=0.01, price=94900)
    for method, params in (
        ("get_open_orders", {}),
        ("get_open_orders_by_currency", {"currency": "USDC"}),
    ):
        for kind, count in (("future", 1), ("any", 1), ("option", 0)):
            assert len(desk.call(f"private/{method}", kind=kind, **params)) == count


def test_a_label_that_nobody_has_is_an_empty_array_and_an_unknown_id_an_error(desk):
    assert desk.by_label("nobody") == []
    refusal = desk.refusal("private/get_order_state", order_id="USDC-1")
    assert (refusal.code, refusal.message) == (10004, "order_not_found")


class TestRetention:
    """A filled, a cancelled and a resting order; then time passes."""

    @pytest.fixture
    def orders(self, desk):
        filled = desk.buy(amount=0.01, type="market", label="filled")["order"]
        unfilled = desk.buy(amount=0.01, price=94900, label="unfilled")["order"]
        desk.call("private/cancel", order_id=unfilled["order_id"])
        resting = desk.buy(amount=0.01, price=94900, label="resting")["order"]
        return {"filled": filled, "unfilled": unfilled, "resting": resting}

    def history(self, desk, *, historical, **params):
        roads = [
            desk.call(
                f"private/get_order_history_by_{by}", historical=historical, **named, **params
            )
            for by, named in (
                ("currency", {"currency": "USDC"}),
                ("instrument", {"instrument_name": LINEAR}),
            )
        ]
        assert roads[0] == roads[1]
        return {order["label"] for order in roads[0]}

    @pytest.mark.parametrize(
        ("age_ms", "recent", "archive"),
        [
            pytest.param(HALF_HOUR_MS - 1, True, False, id="last recent moment"),
            pytest.param(HALF_HOUR_MS, False, False, id="left, not indexed yet"),
            pytest.param(HALF_HOUR_MS + DELAY_MS - 1, False, False, id="last moment of the gap"),
            pytest.param(HALF_HOUR_MS + DELAY_MS, False, True, id="indexed"),
        ],
    )
    def test_a_closed_order_is_recent_then_nowhere_then_archived(
        self, desk, orders, age_ms, recent, archive
    ):
        pass_time(desk, age_ms)
        for is_shown, historical in ((recent, False), (archive, True)):
            both = {"filled", "unfilled"} if is_shown else set()
            assert self.history(desk, historical=historical) == both - {"unfilled"}
            assert self.history(desk, historical=historical, include_unfilled=True) == both
            old = self.history(desk, historical=historical, include_old=True)
            assert old == both - {"unfilled"}
        for label in ("filled", "unfilled"):
            assert len(desk.by_label(label)) == recent
            if not recent:
                order_id = orders[label]["order_id"]
                assert desk.refusal("private/get_order_state", order_id=order_id).code == 10004

    def test_a_resting_order_does_not_age(self, desk, orders):
        pass_time(desk, 100 * HALF_HOUR_MS)
        assert desk.order(orders["resting"]["order_id"])["order_state"] == "open"
        assert [order["label"] for order in desk.by_label("resting")] == ["resting"]

    @pytest.mark.parametrize("label", ["filled", "unfilled"])
    def test_cancelling_and_editing_a_closed_order_ages_from_not_open_to_not_found(
        self, desk, orders, label
    ):
        order_id = orders[label]["order_id"]
        edit = {"order_id": order_id, "amount": 0.01, "price": 94800}
        for passed_ms, code in ((HALF_HOUR_MS - 1, 11044), (1, 10004)):
            pass_time(desk, passed_ms)
            assert desk.refusal("private/cancel", order_id=order_id).code == code
            assert desk.refusal("private/edit", **edit).code == code

    def test_the_other_word_for_filled_ages_as_well(self, make_desk):
        desk = make_desk(switches=Switches(filled_is_already_filled=True))
        order_id = desk.buy(amount=0.01, type="market")["order"]["order_id"]
        assert desk.refusal("private/cancel", order_id=order_id).code == 11008
        pass_time(desk, HALF_HOUR_MS)
        assert desk.refusal("private/cancel", order_id=order_id).code == 10004

    def test_it_ages_by_itself_as_the_market_moves(self, desk, orders):
        pass_time(desk, HALF_HOUR_MS)
        desk.move(95001)
        known = desk.venue.exchange.books.orders
        assert set(known) == {orders["resting"]["order_id"]}

    def test_without_a_delay_there_is_no_gap(self, make_desk):
        desk = make_desk(switches=Switches(archive_delay_ms=0))
        desk.buy(amount=0.01, type="market", label="filled")
        pass_time(desk, HALF_HOUR_MS)
        assert self.history(desk, historical=True) == {"filled"}
        assert self.history(desk, historical=False) == set()


def test_a_continuation_that_nobody_gave_out_is_refused(desk):
    params = {"currency": "USDC", "with_continuation": True, "continuation": "²"}
    refusal = desk.refusal("private/get_order_history_by_currency", **params)
    assert refusal.data["param"] == "continuation"


def test_an_offset_skips_the_latest(busy):
    page = busy.call("private/get_order_history_by_currency", currency="USDC", offset=4)
    assert [order["label"] for order in page] == ["l1", "l0"]
