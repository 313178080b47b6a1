"""What the public channels say, when, and about which instruments."""

from decimal import Decimal

import pytest

from vigil.paper.market.delivery_price import DAY_MS, next_expiry_ms
from vigil.paper.market.market import BookState
from vigil.paper.switches import Switches

D = Decimal
LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"
FUTURE, OPTION = "BTC-25DEC26", "BTC-25DEC26-100000-C"
PUT = "BTC-25DEC26-90000-P"


@pytest.mark.parametrize(
    "channel",
    [
        f"book.{LINEAR}.none.10.agg2",
        f"quote.{LINEAR}",
        f"chart.trades.{LINEAR}.1",
        "deribit_price_statistics.btc_usdc",
    ],
)
def test_what_a_new_listener_is_shown_the_others_hear_as_well(desk, channel):
    desk.subscribe(channel)
    desk.wait(1000)
    desk.on(channel)
    desk.venue.exchange.set_price("btc_usdc", D(96_000), desk.now_ms)  # not told yet
    other = desk.connect_and_log_in()
    desk.subscribe(channel, connection_id=other)
    (new,) = [m["params"]["data"] for n, m in desk.heard if n == other]
    desk.heard.clear()
    desk.now_ms += 1000
    desk._hear(desk.venue.notice(desk.now_ms))
    told = [m["params"]["data"] for n, m in desk.heard if n == desk.connection_id]
    assert [without_time(data) for data in told] == [without_time(new)]


def without_time(data):
    return {name: value for name, value in data.items() if name != "timestamp"}


class TestTickers:
    @pytest.mark.parametrize("name", [LINEAR, FUTURE, OPTION])
    def test_the_channel_says_what_the_method_says(self, desk, name):
        desk.subscribe(f"ticker.{name}.100ms")
        desk.move(95_500)
        assert desk.on(f"ticker.{name}.100ms")[-1] == desk.call(
            "public/ticker", instrument_name=name
        )

    def test_a_raw_ticker_tells_of_own_orders_at_once(self, desk):
        desk.subscribe(f"ticker.{LINEAR}.raw")
        desk.on(f"ticker.{LINEAR}.raw")
        price = desk.market(LINEAR).best_bid[0] + D("0.1")
        desk.buy(amount=D("0.01"), price=price, post_only=True)
        (ticker,) = desk.on(f"ticker.{LINEAR}.raw")
        assert ticker["best_bid_price"] == price

    def test_an_incremental_ticker_is_whole_once_and_then_only_what_changed(self, desk):
        channel = f"incremental_ticker.{LINEAR}"
        desk.subscribe(channel)
        (whole,) = desk.on(channel)
        known = dict(whole)
        assert known.pop("type") == "snapshot"
        assert set(known) == set(desk.call("public/ticker", instrument_name=LINEAR))
        for price in (95_500, 95_600):
            desk.move(price, "btc_usdc")  # less than a second after the last message
        assert desk.on(channel) == []
        desk.now_ms += 1000
        desk.move(95_700, "btc_usdc")
        (change,) = desk.on(channel)
        assert change.pop("type") == "change"
        assert set(change) < set(known)
        assert "settlement_price" not in change
        known |= change
        assert known == desk.call("public/ticker", instrument_name=LINEAR)

    def test_an_incremental_ticker_is_whole_again_after_a_silent_minute(self, desk):
        channel = f"incremental_ticker.{PUT}"
        desk.market(PUT).state = BookState.HALTED
        desk.subscribe(channel)
        desk.market(PUT).state = BookState.OPEN
        desk.subscribe(channel)
        desk.on(channel)
        quiet = desk.venue.publisher
        for _ in range(61):
            desk.now_ms += 1000
            desk._hear(quiet.tick(desk.now_ms))
        heard = desk.on(channel)
        assert [message["type"] for message in heard][-1:] == ["snapshot"]

    def test_a_second_listener_gets_the_state_the_changes_go_on_from(self, desk):
        channel = f"incremental_ticker.{LINEAR}"
        desk.subscribe(channel)
        later = desk.connect()
        desk.log_in(later)
        desk.heard.clear()
        desk.move(95_400, "btc_usdc")  # within the second: not told yet
        desk.subscribe(channel, connection_id=later)
        desk.now_ms += 1000
        desk.move(95_500, "btc_usdc")
        heard = [m["params"]["data"] for number, m in desk.heard if number == later]
        known = heard[0] | heard[1]
        assert known["mark_price"] == desk.market(LINEAR).mark_price
        assert known["max_price"] == desk.market(LINEAR).max_price

    @pytest.mark.parametrize(("is_zero", "price"), [(True, D(0)), (False, None)])
    def test_the_price_of_an_empty_side_is_a_switch(self, make_desk, is_zero, price):
        desk = make_desk(switches=Switches(empty_side_is_zero=is_zero))
        desk.subscribe(f"quote.{PUT}")
        desk.now_ms = desk.market(PUT).listing.expires_ms - DAY_MS
        desk.move(140_000)
        ticker = desk.call("public/ticker", instrument_name=PUT)
        assert (ticker["best_bid_price"], ticker["best_bid_amount"]) == (price, 0)
        assert ticker["bid_iv"] == 0
        assert desk.on(f"quote.{PUT}")[-1]["best_bid_price"] == price
        assert ticker["best_ask_price"] > 0


class TestTrades:
    def test_own_trades_are_told_by_instrument_kind_and_currency(self, desk):
        channels = [
            f"trades.{INVERSE}.raw", "trades.future.BTC.100ms", "trades.any.any.100ms",
            "trades.option.BTC.100ms", "trades.future.USDC.100ms",
        ]  # fmt: skip
        desk.subscribe(*channels)
        desk.buy(INVERSE, amount=100, type="market")
        raw = desk.on(channels[0])
        assert raw[0][0]["amount"] == 100
        desk.wait(100)
        assert [bool(desk.on(channel)) for channel in channels[1:]] == [True, True, False, False]

    def test_a_raw_channel_tells_a_trade_once(self, desk):
        desk.subscribe(f"trades.{INVERSE}.raw")
        desk.buy(INVERSE, amount=100, type="market")
        desk.wait(100)
        trades = [trade for batch in desk.on(f"trades.{INVERSE}.raw") for trade in batch]
        assert [trade["amount"] for trade in trades] == [100]

    def test_trades_of_options_carry_their_volatility(self, desk):
        desk.subscribe(f"trades.{OPTION}.raw")
        desk.buy(OPTION, amount=D("0.1"), type="market")
        ((trade,),) = desk.on(f"trades.{OPTION}.raw")
        assert 10 < trade["iv"] < 200
        assert trade["contracts"] == D("0.1")

    def test_other_people_trade_dated_instruments_now_and_then(self, desk):
        desk.subscribe("trades.any.any.100ms")
        for _ in range(600):
            desk.wait(100)
        names = {t["instrument_name"] for batch in desk.on("trades.any.any.100ms") for t in batch}
        assert any(desk.market(name).listing.strike is not None for name in names)


class TestIndexes:
    def test_statistics_span_a_day(self, desk):
        channel = "deribit_price_statistics.btc_usd"
        desk.subscribe(channel)
        desk.now_ms += 1000
        desk.move(120_000)
        first, second = desk.on(channel)
        assert set(second) == {"index_name", "low24h", "high24h", "change24h", "high_volatility"}
        assert (first["high_volatility"], second["high_volatility"]) == (False, True)
        assert second["high24h"] - second["low24h"] == second["change24h"] == 25_000

    def test_statistics_are_the_present_where_the_clock_was_set_back_beyond_all_candles(self, desk):
        desk.now_ms -= 2 * 86_400_000
        channel = "deribit_price_statistics.btc_usd"
        desk.subscribe(channel)
        (statistics,) = desk.on(channel)
        assert statistics["low24h"] == statistics["high24h"] == 95_000
        assert statistics["change24h"] == 0

    def test_the_expiration_price_is_an_estimate_only_in_the_last_half_hour(self, desk):
        channel = "estimated_expiration_price.btc_usd"
        desk.subscribe(channel)
        expires_ms = next_expiry_ms(desk.now_ms)
        desk.now_ms = expires_ms - 1_800_000
        desk.move(95_000)
        desk.now_ms = expires_ms - 900_000
        desk.move(97_000)
        messages = desk.on(channel)
        assert [m["is_estimated"] for m in messages] == [False, True, True]
        assert messages[-1] == {"is_estimated": True, "price": D(96_000), "seconds": 900}
        answer = desk.call("public/get_index_price", index_name="btc_usd")
        assert answer == {"index_price": 97_000, "estimated_delivery_price": 96_000}

    def test_option_marks_come_in_one_array_with_volatility_as_a_fraction(self, desk):
        desk.subscribe("markprice.options.btc_usdc")
        (marks,) = desk.on("markprice.options.btc_usdc")
        assert marks
        assert all(m["instrument_name"].startswith("BTC_USDC-") for m in marks)
        assert all(D("0.2") <= m["iv"] <= 2 for m in marks)

    @pytest.mark.parametrize(
        "channel",
        ["deribit_volatility_index.btc_usd", "deribit_price_index.eth_usd",
         "markprice.options.btc_usd", "estimated_expiration_price.eth_usdc"],
    )  # fmt: skip
    def test_they_speak_once_a_second(self, desk, channel):
        desk.subscribe(channel)
        desk.on(channel)
        for _ in range(20):
            desk.wait(100)
        assert len(desk.on(channel)) == 2

    def test_the_platform_repeats_itself(self, desk):
        desk.subscribe("platform_state")
        first = desk.on("platform_state")
        assert {m["price_index"] for m in first} == set(desk.venue.exchange.prices)
        for _ in range(11):
            desk.wait(1000)
        assert len(desk.on("platform_state")) >= len(first)


class TestLifeCycle:
    def test_states_are_told_to_those_whom_they_concern(self, desk):
        channels = [
            "instrument.state.any.any",
            "instrument.state.option.BTC",
            "instrument.state.future.USDC",
        ]
        desk.subscribe(*channels)
        desk.market(OPTION).state = BookState.LOCKED
        desk.wait(100)
        heard = [desk.on(channel) for channel in channels]
        assert heard[0] == heard[1] == [
            {"instrument_name": OPTION, "state": "locked", "timestamp": desk.now_ms}
        ]  # fmt: skip
        assert heard[2] == []

    def test_an_expiry_is_told_and_what_comes_in_its_place_announced(self, desk):
        desk.subscribe("instrument.state.option.BTC", "instrument.creation.option.BTC")
        for _ in range(3):  # the first day's place is taken by a weekly expiry
            desk.now_ms = next_expiry_ms(desk.now_ms)
            desk.wait(100)
        states = {
            (m["instrument_name"], m["state"]) for m in desk.on("instrument.state.option.BTC")
        }
        created = desk.on("instrument.creation.option.BTC")
        assert created
        for instrument in created:
            name = instrument["instrument_name"]
            assert {(name, "created"), (name, "started")} <= states
            now = desk.call("public/get_instrument", instrument_name=name)
            changes = {"state": now["state"], "is_active": now["is_active"]}
            assert now == instrument | changes
        assert any(state == "delivered" for _, state in states)

    def test_a_delivered_instrument_falls_silent(self, desk):
        channels = [f"{family}.{FUTURE}.100ms" for family in ("ticker", "book")]
        channels += [f"quote.{FUTURE}", f"chart.trades.{FUTURE}.1", f"incremental_ticker.{FUTURE}"]
        assert set(desk.subscribe(*channels)) == set(channels)
        desk.market(FUTURE).state = BookState.DELIVERED
        for channel in channels:
            desk.on(channel)
        for _ in range(3):
            desk.now_ms += 60_000
            desk.move(95_000 + desk.now_ms % 1000)
        assert [desk.on(channel) for channel in channels] == [[]] * len(channels)

    @pytest.mark.parametrize(("vanish", "count"), [(True, 0), (False, 1)])
    def test_channels_of_closed_instruments_vanish_or_are_silent(self, make_desk, vanish, count):
        desk = make_desk(switches=Switches(closed_instruments_vanish=vanish))
        desk.market(FUTURE).state = BookState.DELIVERED
        assert len(desk.subscribe(f"ticker.{FUTURE}.100ms")) == count
        assert desk.on(f"ticker.{FUTURE}.100ms") == []
        assert desk.subscribe(f"user.orders.{FUTURE}.raw")  # the account's own are never closed


def test_nothing_is_rendered_for_nobody(desk, monkeypatch):
    from vigil.paper.notify import market_data

    def refuse(*_args, **_kwargs):
        raise AssertionError("rendered for nobody")

    for name in ("ticker", "quote", "public_trade", "option_mark", "book_summary"):
        monkeypatch.setattr(market_data.render_market, name, refuse)
    for _ in range(20):
        desk.wait(100)


def test_a_ticker_is_made_once_a_tick_however_many_channels_carry_it(desk, monkeypatch):
    from vigil.paper.notify import market_data

    made = []
    real = market_data.render_market.ticker
    monkeypatch.setattr(
        market_data.render_market, "ticker", lambda *a, **k: made.append(1) or real(*a, **k)
    )
    desk.subscribe(f"ticker.{LINEAR}.raw", f"ticker.{LINEAR}.100ms")
    made.clear()
    desk.move(95_100, "btc_usdc")
    assert len(made) == 1
