"""Reading the account: filters, order and paging."""

import pytest

LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"


@pytest.fixture
def busy(desk):
    """Six trades on the linear instrument a second apart, one on the inverse one."""
    for i in range(6):
        desk.buy(amount=0.01, type="market", label=f"l{i}")
        desk.now_ms += 1000
    desk.buy(INVERSE, amount=10, type="market", label="inverse")
    return desk


def read(desk, by, **params):
    named = {"instrument_name": LINEAR} if "instrument" in by else {"currency": "USDC"}
    return desk.call(f"private/get_user_trades_by_{by}", **named, **params)


def labels(page):
    return [trade["label"] for trade in page["trades"]]


@pytest.mark.parametrize("by", ["currency", "instrument"])
class TestTrades:
    def test_the_newest_come_first_unless_asked_otherwise(self, busy, by):
        assert labels(read(busy, by)) == ["l5", "l4", "l3", "l2", "l1", "l0"]
        assert labels(read(busy, by, sorting="asc"))[0] == "l0"

    def test_count_cuts_and_has_more_says_so(self, busy, by):
        page = read(busy, by, count=4)
        assert (len(page["trades"]), page["has_more"]) == (4, True)
        page = read(busy, by, count=6)
        assert (len(page["trades"]), page["has_more"]) == (6, False)

    def test_time_bounds_are_inclusive(self, busy, by):
        start = busy.now_ms - 6000
        window = {"start_timestamp": start + 1000, "end_timestamp": start + 3000}
        assert labels(read(busy, f"{by}_and_time", sorting="asc", **window)) == ["l1", "l2", "l3"]

    def test_the_archive_flag_is_accepted(self, busy, by):
        assert len(read(busy, by, historical=True)["trades"]) == 6

    def test_times_are_required_where_the_name_says_so(self, busy, by):
        with pytest.raises(Exception, match="-32602"):
            read(busy, f"{by}_and_time")

    @pytest.mark.parametrize("count", [0, 1001])
    def test_a_count_out_of_range_is_refused(self, busy, by, count):
        with pytest.raises(Exception, match="-32602"):
            read(busy, by, count=count)


def test_trades_are_paged_by_id_and_by_sequence_without_loss(busy):
    seen, start = [], {}
    while True:
        page = read(busy, "currency", sorting="asc", count=2, **start)
        seen += [label for label in labels(page) if label not in seen]
        if not page["has_more"]:
            break
        start = {"start_id": page["trades"][-1]["trade_id"]}
    assert seen == [f"l{i}" for i in range(6)]
    third = read(busy, "instrument", sorting="asc")["trades"][2]
    page = read(busy, "instrument", sorting="asc", start_seq=third["trade_seq"])
    assert labels(page) == ["l2", "l3", "l4", "l5"]


def test_trades_of_an_order_are_an_array(busy):
    order = busy.buy(amount=3, type="market")["order"]
    trades = busy.call("private/get_user_trades_by_order", order_id=order["order_id"])
    assert sum(trade["amount"] for trade in trades) == 3
    assert busy.call("private/get_user_trades_by_order", order_id="none") == []


def test_positions_are_of_a_settlement_currency_or_of_all(busy):
    def names(**params):
        return {p["instrument_name"] for p in busy.call("private/get_positions", **params)}

    assert names() == names(currency="any") == {LINEAR, INVERSE}
    assert names(currency="USDC") == {LINEAR}
    assert names(currency="BTC") == {INVERSE}


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


def test_the_log_is_paged_by_its_sequence_without_a_gap(busy):
    window = {"currency": "USDC", "start_timestamp": 0, "end_timestamp": busy.now_ms}
    first = busy.call("private/get_transaction_log", count=4, **window)
    rest = busy.call(
        "private/get_transaction_log", count=4, continuation=first["continuation"], **window
    )
    sequence = [row["user_seq"] for row in first["logs"] + rest["logs"]]
    assert len(sequence) == 6
    assert sequence == sorted(sequence, reverse=True)
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
