"""Subscriptions and what is heard on them."""

from decimal import Decimal

import pytest

from vigil.paper.exchange import START_BALANCES

D = Decimal
LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"


class TestSubscribing:
    def test_channels_that_do_not_exist_are_left_out_without_an_error(self, desk):
        asked = ["ticker.NOPE.100ms", f"ticker.{LINEAR}.5s", f"ticker.{LINEAR}.100ms", "nonsense"]
        assert desk.call("public/subscribe", channels=asked) == [f"ticker.{LINEAR}.100ms"]

    def test_private_channels_are_no_matter_for_public_subscribe(self, desk):
        assert desk.call("public/subscribe", channels=["user.orders.any.any.raw"]) == []

    def test_raw_public_channels_need_a_login(self, desk):
        stranger = desk.connect()
        channels = [f"ticker.{LINEAR}.raw"]
        assert desk.refusal("public/subscribe", stranger, channels=channels).code == 13778
        assert desk.call("public/subscribe", channels=channels) == channels

    def test_private_subscribe_needs_a_login(self, desk):
        stranger = desk.connect()
        assert desk.refusal("private/subscribe", stranger, channels=[]).code == 13009

    def test_a_second_subscribe_is_acknowledged_without_a_second_snapshot(self, desk):
        channel = f"book.{LINEAR}.100ms"
        desk.subscribe(channel)
        assert len(desk.on(channel)) == 1
        assert desk.subscribe(channel) == [channel]
        assert desk.on(channel) == []

    def test_unsubscribed_channels_fall_silent(self, desk):
        channel = f"ticker.{LINEAR}.100ms"
        desk.subscribe(channel, "platform_state")
        assert desk.call("public/unsubscribe", channels=[channel, "x"]) == [channel]
        desk.on(channel)
        desk.wait(100)
        assert desk.on(channel) == []
        assert desk.call("public/unsubscribe_all") == "ok"

    def test_a_label_is_added_to_this_connections_notifications(self, desk):
        desk.call("private/subscribe", channels=["user.portfolio.usdc"], label="mine")
        (_, message), *_ = desk.heard
        assert message["params"]["label"] == "mine"


class TestMarketData:
    def test_a_ticker_comes_at_once_and_with_every_tick(self, desk):
        channel = f"ticker.{LINEAR}.100ms"
        desk.subscribe(channel)
        desk.wait(100)
        desk.wait(100)
        assert [data["timestamp"] - desk.now_ms for data in desk.on(channel)] == [-200, -100, 0]

    def test_agg2_comes_once_a_second(self, desk):
        channel = f"ticker.{LINEAR}.agg2"
        desk.subscribe(channel)
        for _ in range(30):
            desk.wait(100)
        assert 3 <= len(desk.on(channel)) <= 4

    def test_a_book_is_a_snapshot_and_a_chain_of_changes_that_lead_to_the_real_book(self, desk):
        channel = f"book.{INVERSE}.100ms"
        desk.subscribe(channel)
        for price in ("95010.5", "95003", "94800", "94801"):
            desk.move(price)
        snapshot, *changes = desk.on(channel)
        assert snapshot["type"] == "snapshot"
        assert "prev_change_id" not in snapshot
        sides = {side: {p: a for _, p, a in snapshot[side]} for side in ("bids", "asks")}
        last = snapshot["change_id"]
        assert changes
        for change in changes:
            assert change["prev_change_id"] == last
            last = change["change_id"]
            for side, held in sides.items():
                for action, price, amount in change[side]:
                    assert (price in held) is (action != "new")
                    if action == "delete":
                        assert held.pop(price) is not None
                        assert amount == 0
                    else:
                        held[price] = amount
        market = desk.market(INVERSE)
        assert sides == {"bids": dict(market.bids), "asks": dict(market.asks)}

    def test_a_later_listener_gets_a_snapshot_that_fits_the_running_chain(self, desk):
        channel = f"book.{INVERSE}.100ms"
        desk.subscribe(channel)
        desk.move(95100)
        later = desk.connect()
        desk.log_in(later)
        desk.heard.clear()
        desk.subscribe(channel, connection_id=later)
        desk.move(95200)
        heard = [m["params"]["data"] for number, m in desk.heard if number == later]
        assert heard[1]["prev_change_id"] == heard[0]["change_id"]

    @pytest.mark.parametrize(
        "channel",
        [
            f"quote.{LINEAR}",
            "deribit_price_index.btc_usdc",
            "platform_state",
            f"trades.{LINEAR}.100ms",
            "trades.future.USDC.100ms",
            f"chart.trades.{LINEAR}.1",
            f"book.{LINEAR}.none.10.100ms",
            f"perpetual.{LINEAR}.100ms",
        ],
    )
    def test_every_public_channel_says_something_when_the_market_moves(self, desk, channel):
        assert desk.subscribe(channel) == [channel]
        desk.move(95500)
        assert desk.on(channel)


class TestAccount:
    def test_raw_orders_are_objects_and_aggregated_ones_arrays(self, desk):
        raw, slow = f"user.orders.{LINEAR}.raw", f"user.orders.{LINEAR}.100ms"
        desk.subscribe(raw, slow)
        desk.buy(amount=0.01, price=94900)
        desk.buy(amount=0.01, price=94800)
        assert [data["order_state"] for data in desk.on(raw)] == ["open", "open"]
        assert desk.on(slow) == []
        desk.wait(100)
        (gathered,) = desk.on(slow)
        assert [order["price"] for order in gathered] == [94900, 94800]

    @pytest.mark.parametrize(
        ("channel", "is_heard"),
        [
            (f"user.trades.{LINEAR}.raw", True),
            (f"user.trades.{INVERSE}.raw", False),
            ("user.trades.any.any.raw", True),
            ("user.trades.future.USDC.raw", True),
            ("user.trades.future.any.raw", True),
            ("user.trades.any.USDC.raw", True),
            ("user.trades.future.BTC.raw", False),
            ("user.trades.option.USDC.raw", False),
        ],
    )
    def test_trades_reach_the_channels_that_cover_them_as_arrays(self, desk, channel, is_heard):
        desk.subscribe(channel)
        desk.buy(amount=0.01, type="market", label="x")
        heard = desk.on(channel)
        assert bool(heard) is is_heard
        if is_heard:
            assert [trade["label"] for trade in heard[0]] == ["x"]

    def test_changes_carry_order_trade_and_the_flat_position_in_one_message(self, desk):
        desk.buy(amount=0.01, type="market")
        desk.subscribe("user.changes.any.any.raw")
        desk.sell(amount=0.01, type="market")
        (data,) = desk.on("user.changes.any.any.raw")
        assert data["instrument_name"] == LINEAR
        assert [order["order_state"] for order in data["orders"]] == ["filled"]
        assert len(data["trades"]) == 1
        (position,) = data["positions"]
        assert (position["size"], position["direction"], position["average_price"]) == (
            0,
            "zero",
            0,
        )

    def test_a_portfolio_is_sent_at_first_on_fills_and_while_profit_floats(self, desk):
        desk.subscribe("user.portfolio.usdc")
        assert len(desk.on("user.portfolio.usdc")) == 1
        desk.buy(amount=0.01, type="market")
        (after,) = desk.on("user.portfolio.usdc")
        assert after["balance"] < 100_000
        desk.move(95500)
        desk.wait(1000)
        assert desk.on("user.portfolio.usdc")[-1]["session_upl"] > 0
        desk.wait(1000)
        assert desk.on("user.portfolio.usdc") == []

    def test_portfolios_tell_at_once_of_an_order_that_rests_and_of_a_deposit(self, desk):
        desk.subscribe("user.portfolio.any")
        assert {data["currency"] for data in desk.on("user.portfolio.any")} == set(START_BALANCES)
        desk.buy(amount=0.01, type="limit", price=94_000)
        after = {data["currency"]: data for data in desk.on("user.portfolio.any")}
        assert after["USDC"]["initial_margin"] > 0
        desk.venue.exchange.clearing.transfers.deposit("BTC", D(1), now_ms=desk.now_ms)
        desk.wait(1)
        (told,) = desk.on("user.portfolio.any")
        assert (told["currency"], told["balance"]) == ("BTC", START_BALANCES["BTC"] + 1)

    def test_a_clock_that_was_set_back_silences_no_portfolio(self, desk):
        desk.subscribe("user.portfolio.usdc")
        desk.buy(amount=0.01, type="market")
        desk.wait(1000)
        desk.on("user.portfolio.usdc")
        desk.now_ms -= 3_600_000
        desk.move(95_500)
        desk.wait(1000)
        assert desk.on("user.portfolio.usdc")[-1]["session_upl"] > 0

    def test_every_connection_of_the_account_hears_what_any_of_them_did(self, desk):
        other = desk.connect()
        desk.log_in(other)
        for connection_id in (desk.connection_id, other):
            desk.subscribe("user.trades.any.any.raw", connection_id=connection_id)
        desk.heard.clear()
        desk.call("private/buy", other, instrument_name=LINEAR, amount=0.01, type="market")
        assert {number for number, _ in desk.heard} == {desk.connection_id, other}
