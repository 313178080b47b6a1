"""Trades, candles, funding and deliveries of the past."""

from decimal import Decimal

import pytest

from vigil.paper.market.delivery_price import next_expiry_ms

D = Decimal
LINEAR, INVERSE, FUTURE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL", "BTC-25DEC26"
OPTION = "BTC-25DEC26-100000-C"
HOUR_MS = 3_600_000


def trade_on(desk, name, count=5, amount=10):
    for _ in range(count):
        desk.now_ms += 1000
        desk.buy(name, amount=amount, type="market")


def page(desk, method, /, **params):
    answer = desk.call(f"public/get_last_trades_by_{method}", **params)
    return [trade["trade_seq"] for trade in answer["trades"]], answer["has_more"]


class TestTradesOfAnInstrument:
    def test_the_newest_come_first_and_count_cuts_them(self, desk):
        trade_on(desk, INVERSE)
        seqs, has_more = page(desk, "instrument", instrument_name=INVERSE, count=3)
        assert seqs == sorted(seqs, reverse=True)
        assert (len(seqs), has_more) == (3, True)
        everything, has_more = page(desk, "instrument", instrument_name=INVERSE, count=1000)
        assert everything[:3] == seqs
        assert not has_more

    def test_a_range_of_numbers_includes_both_ends(self, desk):
        trade_on(desk, INVERSE)
        seqs, _ = page(desk, "instrument", instrument_name=INVERSE, count=100)
        first, last = seqs[3], seqs[1]
        found, has_more = page(
            desk, "instrument", instrument_name=INVERSE, start_seq=first, end_seq=last
        )
        assert found == [seqs[1], seqs[2], seqs[3]]
        assert not has_more

    def test_ascending_from_a_start_pages_forward(self, desk):
        trade_on(desk, INVERSE, 6)
        seqs, _ = page(desk, "instrument", instrument_name=INVERSE, count=100, sorting="asc")
        assert seqs == sorted(seqs)
        read, start = [], seqs[0]
        while True:
            found, has_more = page(
                desk, "instrument", instrument_name=INVERSE, start_seq=start, count=2, sorting="asc"
            )
            read += found
            if not has_more:
                break
            start = found[-1] + 1
        assert read == seqs

    def test_ascending_without_a_start_gives_the_newest_in_order(self, desk):
        trade_on(desk, INVERSE, 6)
        newest, _ = page(desk, "instrument", instrument_name=INVERSE, count=2)
        found, has_more = page(desk, "instrument", instrument_name=INVERSE, count=2, sorting="asc")
        assert found == newest[::-1]
        assert has_more

    def test_a_window_of_time_includes_both_ends(self, desk):
        trade_on(desk, INVERSE, 4)
        answer = desk.call(
            "public/get_last_trades_by_instrument_and_time", instrument_name=INVERSE,
            start_timestamp=desk.now_ms - 2000, end_timestamp=desk.now_ms - 1000,
        )  # fmt: skip
        times = [trade["timestamp"] for trade in answer["trades"]]
        assert times == [desk.now_ms - 1000, desk.now_ms - 2000]

    @pytest.mark.parametrize(
        ("method", "params", "param"),
        [
            ("instrument", {"instrument_name": INVERSE, "count": 1001}, "count"),
            ("instrument", {"instrument_name": INVERSE, "sorting": "up"}, "sorting"),
            ("instrument_and_time", {"instrument_name": INVERSE}, "start_timestamp"),
            ("currency", {}, "currency"),
            ("currency", {"currency": "BTC", "start_id": "x"}, "start_id"),
        ],
    )
    def test_bad_parameters_are_named(self, desk, method, params, param):
        refusal = desk.refusal(f"public/get_last_trades_by_{method}", **params)
        assert (refusal.code, refusal.data["param"]) == (-32602, param)


class TestTradesOfACurrency:
    def test_instruments_are_merged_in_time(self, desk):
        for _ in range(3):
            trade_on(desk, INVERSE, 1)
            trade_on(desk, OPTION, 1, amount=D("0.1"))
            trade_on(desk, LINEAR, 1, amount=D("0.01"))
        answer = desk.call("public/get_last_trades_by_currency", currency="BTC", count=1000)
        names = {trade["instrument_name"] for trade in answer["trades"]}
        assert names == {INVERSE, OPTION}
        times = [trade["timestamp"] for trade in answer["trades"]]
        assert times == sorted(times, reverse=True)
        options = desk.call("public/get_last_trades_by_currency", currency="BTC", kind="option")
        assert {trade["instrument_name"] for trade in options["trades"]} == {OPTION}
        assert all("iv" in trade for trade in options["trades"])

    def test_a_range_of_ids_includes_both_ends(self, desk):
        trade_on(desk, LINEAR, 4, amount=D("0.01"))
        trades = desk.call("public/get_last_trades_by_currency", currency="USDC", count=1000)[
            "trades"
        ]
        ids = [trade["trade_id"] for trade in trades]
        found = desk.call(
            "public/get_last_trades_by_currency", currency="USDC", start_id=ids[2], end_id=ids[1],
        )  # fmt: skip
        assert [trade["trade_id"] for trade in found["trades"]] == ids[1:3]

    def test_any_currency_is_all_of_them(self, desk):
        trade_on(desk, LINEAR, 1, amount=D("0.01"))
        trade_on(desk, INVERSE, 1)
        trades = desk.call("public/get_last_trades_by_currency", currency="any", count=1000)[
            "trades"
        ]
        assert {trade["instrument_name"] for trade in trades} >= {LINEAR, INVERSE}

    def test_times_are_required_where_the_name_says_so(self, desk):
        trade_on(desk, INVERSE, 2)
        answer = desk.call(
            "public/get_last_trades_by_currency_and_time", currency="BTC",
            start_timestamp=desk.now_ms, end_timestamp=desk.now_ms,
        )  # fmt: skip
        assert len(answer["trades"]) == 1
        refusal = desk.refusal("public/get_last_trades_by_currency_and_time", currency="BTC")
        assert refusal.data["param"] == "start_timestamp"


class TestFunding:
    def window(self, desk, hours):
        return {"start_timestamp": desk.now_ms - hours * HOUR_MS, "end_timestamp": desk.now_ms}

    def live(self, desk, hours=9):
        """A perpetual well above its index, so that longs pay."""
        desk.venue.exchange.set_premium(LINEAR, D("0.00125"), desk.now_ms)
        for _ in range(hours):
            desk.now_ms += HOUR_MS
            desk.move(95_000)

    def test_the_value_of_a_window_is_the_rate_for_its_time(self, desk):
        self.live(desk)
        value = desk.call(
            "public/get_funding_rate_value", instrument_name=LINEAR, **self.window(desk, 8)
        )
        assert value == pytest.approx(D("0.001"), rel=D("0.01"))

    def test_history_has_an_hour_a_row_oldest_first(self, desk):
        self.live(desk)
        rows = desk.call(
            "public/get_funding_rate_history", instrument_name=LINEAR, **self.window(desk, 4)
        )
        times = [row["timestamp"] for row in rows]
        assert times == sorted(times)
        assert all(time % HOUR_MS == 0 for time in times)
        assert 4 <= len(rows) <= 5
        fields = {"timestamp", "index_price", "prev_index_price", "interest_1h", "interest_8h"}
        assert all(set(row) == fields for row in rows)
        assert rows[-1]["interest_1h"] == pytest.approx(D("0.000125"), rel=D("0.01"))

    def test_the_chart_covers_its_length(self, desk):
        self.live(desk)
        chart = desk.call("public/get_funding_chart_data", instrument_name=LINEAR, length="8h")
        assert chart["current_interest"] == desk.market(LINEAR).current_funding > 0
        assert chart["interest_8h"] > 0
        assert 7 <= len(chart["data"]) <= 9
        refusal = desk.refusal("public/get_funding_chart_data", instrument_name=LINEAR, length="2h")
        assert refusal.data["param"] == "length"

    def test_only_perpetuals_have_any(self, desk):
        refusal = desk.refusal(
            "public/get_funding_rate_value", instrument_name=FUTURE, **self.window(desk, 1)
        )
        assert refusal.data["param"] == "instrument_name"


class TestDeliveries:
    def test_each_expiry_adds_one_and_the_newest_comes_first(self, desk):
        for price in (96_000, 97_000):
            expires_ms = next_expiry_ms(desk.now_ms)
            desk.now_ms = expires_ms - HOUR_MS
            desk.move(price)
            desk.now_ms = expires_ms + 1000
            desk.move(price + 5000)
        answer = desk.call("public/get_delivery_prices", index_name="btc_usd")
        assert answer == {
            "data": [
                {"date": "2026-11-20", "delivery_price": 97_000},
                {"date": "2026-11-19", "delivery_price": 96_000},
            ],
            "records_total": 2,
        }
        second = desk.call("public/get_delivery_prices", index_name="btc_usd", offset=1, count=1)
        assert second["data"] == answer["data"][1:]


class TestMarks:
    def test_options_have_a_history_of_marks_and_futures_have_none(self, desk):
        for price in (95_000, 96_000, 97_000):
            desk.now_ms += 300_000
            desk.move(price)
        window = {"start_timestamp": desk.now_ms - HOUR_MS, "end_timestamp": desk.now_ms}
        rows = desk.call("public/get_mark_price_history", instrument_name=OPTION, **window)
        assert [b[0] - a[0] for a, b in zip(rows, rows[1:], strict=False)] == [300_000] * (
            len(rows) - 1
        )
        assert rows[-1][1] > rows[-3][1]
        assert desk.call("public/get_mark_price_history", instrument_name=FUTURE, **window) == []

    def test_volatility_is_told_in_candles(self, desk):
        answer = desk.call(
            "public/get_volatility_index_data", currency="BTC", resolution="3600",
            start_timestamp=desk.now_ms - 3 * HOUR_MS, end_timestamp=desk.now_ms,
        )  # fmt: skip
        assert 3 <= len(answer["data"]) <= 4
        time_ms, *prices = answer["data"][0]
        assert time_ms % HOUR_MS == 0
        assert len(prices) == 4
        rows = desk.call("public/get_historical_volatility", currency="BTC")
        assert all(20 < percent < 200 for _, percent in rows)

    def test_a_window_that_ends_before_it_starts_is_refused(self, desk):
        refusal = desk.refusal(
            "public/get_tradingview_chart_data", instrument_name=OPTION, resolution="1",
            start_timestamp=2, end_timestamp=1,
        )  # fmt: skip
        assert refusal.data["param"] == "start_timestamp"

    @pytest.mark.parametrize("name", [FUTURE, OPTION, "XRP_USDC-27NOV26-2d3-P"])
    def test_dated_instruments_have_candles(self, desk, name):
        desk.now_ms += 120_000
        desk.move(95_100)
        answer = desk.call(
            "public/get_tradingview_chart_data", instrument_name=name, resolution="1",
            start_timestamp=desk.now_ms - 120_000, end_timestamp=desk.now_ms,
        )  # fmt: skip
        assert answer["status"] == "ok"
        assert all(price >= 0 for price in answer["close"])
