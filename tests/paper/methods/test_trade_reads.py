"""Reading own trades: order, paging, and the two stores."""

import pytest

from vigil.paper.switches import Switches

LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"
DAY_MS, DELAY_MS = 24 * 3_600_000, 60_000


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

    def test_new_trades_are_not_in_the_archive(self, busy, by):
        assert read(busy, by, historical=True) == {"trades": [], "has_more": False}

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


def test_a_subaccount_may_be_named_and_changes_nothing(busy):
    assert len(read(busy, "currency", subaccount_id=9)["trades"]) == 6


@pytest.mark.parametrize(
    ("kind", "count"), [("any", 6), ("future", 6), ("option", 0), ("combo", 0)]
)
def test_trades_are_of_a_kind(busy, kind, count):
    assert len(read(busy, "currency", kind=kind)["trades"]) == count


def test_all_currencies_are_in_one_order(busy):
    page = busy.call("private/get_user_trades_by_currency", currency="any")
    assert labels(page) == ["inverse", "l5", "l4", "l3", "l2", "l1", "l0"]


class TestRetention:
    """One trade; time passes without the market, so that nothing else happens."""

    @pytest.fixture
    def trade(self, desk):
        order = desk.buy(amount=0.01, type="market", label="t")
        return order["trades"][0]

    def views(self, desk, trade):
        """Whether the recent view and the archive show it, by every road."""
        seen = set()
        window = {"start_timestamp": 0, "end_timestamp": desk.now_ms}
        for historical in (False, True):
            for by in ("currency", "instrument"):
                seen.add((historical, bool(read(desk, by, historical=historical)["trades"])))
                page = read(desk, f"{by}_and_time", historical=historical, **window)
                seen.add((historical, bool(page["trades"])))
            of_order = desk.call(
                "private/get_user_trades_by_order",
                order_id=trade["order_id"],
                historical=historical,
            )
            seen.add((historical, bool(of_order)))
        assert len(seen) == 2
        return tuple(shown for _, shown in sorted(seen))

    @pytest.mark.parametrize(
        ("age_ms", "recent", "archive"),
        [
            pytest.param(0, True, False, id="new"),
            pytest.param(DAY_MS - 1, True, False, id="last moment of the day"),
            pytest.param(DAY_MS, False, False, id="left, not indexed yet"),
            pytest.param(DAY_MS + DELAY_MS - 1, False, False, id="last moment of the gap"),
            pytest.param(DAY_MS + DELAY_MS, False, True, id="indexed"),
        ],
    )
    def test_a_trade_is_recent_then_nowhere_then_archived(
        self, desk, trade, age_ms, recent, archive
    ):
        pass_time(desk, age_ms)
        assert self.views(desk, trade) == (recent, archive)

    def test_without_a_delay_there_is_no_gap(self, make_desk):
        desk = make_desk(switches=Switches(archive_delay_ms=0))
        trade = desk.buy(amount=0.01, type="market")["trades"][0]
        pass_time(desk, DAY_MS)
        assert self.views(desk, trade) == (False, True)
