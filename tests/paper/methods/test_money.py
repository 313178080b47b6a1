"""Reading what happened to money: query words, time bounds, pages."""

from decimal import Decimal

import pytest

from vigil.paper.market.delivery_price import next_expiry_ms

D = Decimal
LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"
LOG = "private/get_transaction_log"
ALWAYS = {"start_timestamp": 0, "end_timestamp": 2**46}


@pytest.fixture
def busy(desk):
    """Six trades a second apart, a deposit, a maker's fill, an option, a settlement."""
    for i in range(3):
        desk.buy(amount=0.01, type="market", label=f"{i}")
        desk.now_ms += 1000
        desk.sell(amount=0.01, type="market", label=f"{i}")
        desk.now_ms += 1000
    desk.venue.exchange.clearing.transfers.deposit("USDC", D(5), now_ms=desk.now_ms)
    desk.buy(amount=0.01, price=94_990)
    desk.move(94_900)
    desk.wait(next_expiry_ms(desk.now_ms) - desk.now_ms)
    desk.wait(5_000)
    desk.log_in()
    return desk


def types(busy, **params):
    return [row["type"] for row in busy.call(LOG, currency="USDC", **ALWAYS, **params)["logs"]]


def test_the_newest_come_first(busy):
    assert types(busy) == ["settlement", "trade", "deposit", *["trade"] * 6]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("trade", 7), ("deposit", 1), ("settlement", 1), ("maker", 1), ("taker", 6),
        ("open", 4), ("close", 3), ("buy", 4), ("sell", 3), ("open buy", 4), ("buy, close", 0),
        ("future", 8), ("option", 0), ("liquidation", 0), ("withdrawal", 0),
        ("PERPETUAL", 8), ("btc_usdc", 8), ("nothing", 0), ("", 9),
    ],
)  # fmt: skip
def test_query_words_filter(busy, query, count):
    assert len(types(busy, query=query)) == count


def test_time_bounds_are_inclusive(busy):
    rows = busy.call(LOG, currency="USDC", **ALWAYS)["logs"]
    stamps = [row["timestamp"] for row in rows]
    window = busy.call(
        LOG, currency="USDC", start_timestamp=stamps[-2], end_timestamp=stamps[-4]
    )["logs"]  # fmt: skip
    assert [row["timestamp"] for row in window] == stamps[-4:-1]


@pytest.mark.parametrize("query", ["", "trade"])
def test_pages_go_on_below_without_a_gap_or_a_repetition(busy, query):
    whole = busy.call(LOG, currency="USDC", query=query, **ALWAYS)
    assert whole["continuation"] is None
    seen, more = [], {}
    while True:
        page = busy.call(LOG, currency="USDC", query=query, count=2, **ALWAYS, **more)
        seen += page["logs"]
        if page["continuation"] is None:
            break
        assert len(page["logs"]) == 2
        more = {"continuation": page["continuation"]}
    assert seen == whole["logs"]


@pytest.mark.parametrize(
    "params", [{"count": 251}, {"count": 0}, {"continuation": "x"}, {"currency": "XYZ"}]
)
def test_bad_parameters_are_refused(busy, params):
    assert busy.refusal(LOG, **({"currency": "USDC"} | ALWAYS | params)).code == -32602


class TestSettlements:
    @pytest.fixture
    def week(self, desk):
        """Three settlements of two instruments, and a delivery."""
        desk.buy(amount=0.01, type="market")
        desk.buy("BTC_USDC-20NOV26", amount=0.01, type="market")
        for _ in range(3):
            desk.move(desk.market().index_price + 100)
            desk.wait(next_expiry_ms(desk.now_ms) - desk.now_ms)
            desk.wait(4_000)
        desk.log_in()
        return desk

    BY_CURRENCY = "private/get_settlement_history_by_currency"
    BY_INSTRUMENT = "private/get_settlement_history_by_instrument"

    def test_they_are_of_a_currency_or_an_instrument(self, week):
        of_all = week.call(self.BY_CURRENCY, currency="USDC")["settlements"]
        assert [row["type"] for row in of_all].count("settlement") == 4
        of_one = week.call(self.BY_INSTRUMENT, instrument_name=LINEAR)["settlements"]
        assert [row["timestamp"] for row in of_one] == sorted(
            (row["timestamp"] for row in of_one), reverse=True
        )
        assert len(of_one) == 3
        assert week.call(self.BY_CURRENCY, currency="BTC") == {
            "settlements": [], "continuation": None,
        }  # fmt: skip

    def test_the_public_ones_need_no_login(self, week):
        stranger = week.connect()
        for scope in ({"currency": "USDC"}, {"instrument_name": LINEAR}):
            word = "instrument" if "instrument_name" in scope else "currency"
            told = week.call(f"public/get_last_settlements_by_{word}", stranger, **scope)
            own = self.BY_INSTRUMENT if word == "instrument" else self.BY_CURRENCY
            assert told == week.call(own, **scope)
            assert told["settlements"]

    def test_a_row_is_like_the_documented_one(self, week, recorded):
        theirs = recorded("docs-examples/get_settlement_history_by_instrument.json")["result"]
        ours = week.call(self.BY_INSTRUMENT, instrument_name="BTC_USDC-20NOV26")
        assert ours["settlements"][-1].keys() == theirs["settlements"][0].keys()
        perpetual = week.call(self.BY_INSTRUMENT, instrument_name=LINEAR)["settlements"][0]
        assert perpetual.keys() == theirs["settlements"][0].keys() | {"funding"}

    def test_they_are_filtered_by_type_and_by_time(self, week):
        (row,) = week.call(self.BY_CURRENCY, currency="USDC", type="delivery")["settlements"]
        assert (row["instrument_name"], row["position"]) == ("BTC_USDC-20NOV26", D("0.01"))
        assert week.call(self.BY_CURRENCY, currency="USDC", type="bankruptcy")["settlements"] == []
        early = week.call(
            self.BY_CURRENCY, currency="USDC", search_start_timestamp=row["timestamp"] - 1
        )
        assert {told["type"] for told in early["settlements"]} == {"settlement"}
        assert week.refusal(self.BY_CURRENCY, currency="USDC", type="x").code == -32602

    def test_pages_are_chained_by_text(self, week):
        whole = week.call(self.BY_CURRENCY, currency="USDC")["settlements"]
        seen, more = [], {}
        while True:
            page = week.call(self.BY_CURRENCY, currency="USDC", count=2, **more)
            seen += page["settlements"]
            if page["continuation"] is None:
                break
            assert isinstance(page["continuation"], str)
            more = {"continuation": page["continuation"]}
        assert seen == whole
        refusal = week.refusal(self.BY_CURRENCY, currency="USDC", continuation="xY7T6c")
        assert refusal.code == -32602


def test_the_only_account_is_the_main_one(desk):
    (main,) = desk.call("private/get_subaccounts", with_portfolio=True)
    assert (main["type"], set(main["portfolio"])) == ("main", {"btc", "eth", "usdc"})
    assert main["portfolio"]["usdc"]["equity"] == desk.summary()["equity"]
    (main,) = desk.call("private/get_subaccounts")
    assert "portfolio" not in main
