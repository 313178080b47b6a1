"""Deeds of the exchange, each done over the control endpoint and met by a client's real socket."""

import asyncio
import contextlib
from decimal import Decimal

import pytest
from fault_control import FaultControl

from vigil.clock import SystemClock
from vigil.paper.market.market import BookState
from vigil.paper.persistence import StateFile
from vigil.paper.server import PaperServer
from vigil.paper.session.keys import CLIENT_ID, CLIENT_SECRET
from vigil.paper.venue import Venue

LINEAR, INVERSE, ETHER = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL", "ETH_USDC-PERPETUAL"


async def bought(client, instrument_name=LINEAR, amount=0.01, label="mine", **params):
    return await client.call(
        "private/buy",
        instrument_name=instrument_name,
        amount=amount,
        type="market",
        label=label,
        **params,
    )


async def resting(client, label="resting", price=94_000, amount=0.02, **params):
    reply = await client.call(
        "private/buy", instrument_name=LINEAR, amount=amount, price=price, label=label, **params
    )
    return reply["order"]


async def stop(client, label="stop", price=90_000, amount=0.01, **params):
    reply = await client.call(
        "private/sell", instrument_name=LINEAR, amount=amount, type="stop_market", label=label,
        trigger="mark_price", trigger_price=price, reduce_only=True, **params,
    )  # fmt: skip
    return reply["order"]


async def labelled(client, label, currency="USDC"):
    return await client.call("private/get_order_state_by_label", currency=currency, label=label)


async def position(client, instrument_name=LINEAR):
    return await client.call("private/get_position", instrument_name=instrument_name)


async def log(client, currency="USDC"):
    page = await client.call(
        "private/get_transaction_log", currency=currency, start_timestamp=0,
        end_timestamp=4_000_000_000_000, count=100,
    )  # fmt: skip
    return page["logs"]


async def refusal(client, method="private/buy", **params):
    order = {"instrument_name": LINEAR, "amount": 0.01, "price": 94_000}
    reply = await client.request(method, **(params or order))
    return reply["error"]["code"]


def balance_of(truth, currency="USDC"):
    return truth["cash"][currency]["balance"]


class TestPlatform:
    async def test_e5_drained_credits_earn_10028_and_end_the_session(self, dial, control):
        client = await dial()
        await stop_of_a_position(client)
        await control.do("drain-credits", pool="matching")
        assert await refusal(client) == 10028
        message = await asyncio.wait_for(client.socket.receive(), 5)
        assert message.type.name in ("CLOSE", "CLOSED", "CLOSING")
        truth = await control.truth()
        assert [o["label"] for o in truth["orders"] if o["order_state"] == "untriggered"] == [
            "stop"
        ]

    async def test_e6_a_lock_is_told_and_refuses_entries_until_it_is_released(self, dial, control):
        client = await dial()
        await client.call("public/subscribe", channels=["platform_state"])
        order = await resting(client)
        await control.do("lock-platform")
        assert (await client.call("public/status"))["locked"] == "true"
        assert await refusal(client)
        await client.call("private/cancel", order_id=order["order_id"])
        told = [await client.wait_for("platform_state")]
        while not told[-1].get("locked"):
            told.append(await client.wait_for("platform_state"))
        await control.do("lock-platform", locked=False)
        assert (await client.call("public/status"))["locked"] == "false"

    async def test_e6_a_partial_lock_spares_the_other_indexes_and_ends_by_itself(
        self, dial, control, server, until
    ):
        client = await dial()
        done = await control.do("lock-platform", price_index="btc_usdc", lasts_s=0.1)
        assert done == {"locked": "partial", "locked_indices": ["btc_usdc"]}
        assert await refusal(client)
        assert await bought(client, ETHER, 0.01)
        await until(lambda: not server.venue.platform.locked_indices)

    async def test_e6_e7_maintenance_answers_11051(self, dial, control):
        client = await dial()
        await client.call("public/subscribe", channels=["platform_state"])
        await control.do("maintenance")
        assert await refusal(client) == 11051
        told = {}
        while "maintenance" not in told:
            told = await client.wait_for("platform_state")
        assert told == {"maintenance": True}
        await control.do("maintenance", on=False)
        assert (await (await dial()).request("private/get_positions"))["result"] == []

    async def test_e7_a_slow_engine_lets_wait_refuses_and_purges(self, dial, control, until):
        client = await dial()
        await control.do("slow-matching", processing_ms=200, lasts_s=1)
        order = {"instrument_name": LINEAR, "amount": 0.01, "price": 94_000}
        ids = [await client.send("private/buy", **order) for _ in range(10)]
        cancelled = await client.send("private/cancel_all")
        codes = {}
        while cancelled not in codes or not codes.keys() >= set(ids):
            reply = await client.receive()
            codes[reply["id"]] = reply.get("error", {}).get("code")
        assert [codes[number] for number in ids] == [None, *[13666] * 8, 10047]

    async def test_e6_calls_without_a_login_are_refused_until_they_are_let_in(self, dial, control):
        client, stranger = await dial(), await dial(log_in=False)
        channel = "platform_state.public_methods_state"
        await client.call("public/subscribe", channels=[channel])
        await control.do("refuse-public")
        assert (await stranger.request("public/get_time"))["error"]["code"] == 11056
        assert await client.call("public/get_time")
        states = [
            (await client.wait_for(channel))["allow_unauthenticated_public_requests"]
            for _ in range(2)
        ]
        assert states == [True, False]
        await control.do("refuse-public", refused=False)
        assert await stranger.call("public/get_time")

    async def test_e7_e16_a_settlement_break_answers_10041_and_passes(
        self, dial, control, server, until
    ):
        client = await dial()
        await control.do("settlement-break", instruments="BTC*", lasts_s=0.1)
        assert await refusal(client) == 10041
        market = server.venue.exchange.markets[LINEAR]
        await until(lambda: market.state == "open")
        assert await bought(client)

    async def test_e33_the_clock_is_off_everywhere(self, dial, control, server):
        client = await dial()
        await control.do("skew-clock", offset_ms=30_000)
        off_ms = await client.call("public/get_time") - server.clock._clock.now_ms()
        assert abs(off_ms - 30_000) < 1000
        order = await resting(client)
        assert abs(order["creation_timestamp"] - server.clock._clock.now_ms() - 30_000) < 1000
        await control.do("skew-clock", offset_ms=-30_000)
        assert await client.call("public/get_time") < server.clock._clock.now_ms()
        assert await bought(client)

    async def test_e37_a_wiped_exchange_remembers_nothing_and_cuts_every_line(self, dial, control):
        client = await dial()
        await bought(client)
        await resting(client)
        await control.do("reset-exchange")
        message = await asyncio.wait_for(client.socket.receive(), 5)
        assert message.type.name in ("CLOSED", "ERROR")
        truth = await control.truth()
        assert (truth["positions"], truth["orders"], truth["trades"]) == ({}, [], [])
        assert balance_of(truth) == 100_000
        again = await dial()
        assert await again.call("private/get_open_orders") == []
        assert await labelled(again, "mine") == []
        assert await bought(again)

    async def test_e37_a_rolled_back_exchange_forgets_what_was_since(self, dial, control):
        client = await dial()
        await bought(client, label="before")
        await resting(client, "kept")
        await control.do("remember-exchange")
        remembered = await control.truth()
        await bought(client, label="after")
        await client.call("private/cancel_all")
        await control.do("reset-exchange", to="remembered")
        truth = await control.truth()
        for name in ("positions", "orders", "trades", "transaction_log"):
            assert truth[name] == remembered[name]
        again = await dial()
        assert await labelled(again, "after") == []
        assert [order["label"] for order in await again.call("private/get_open_orders")] == ["kept"]

    async def test_e37_what_was_not_remembered_cannot_be_gone_back_to(self, control):
        with pytest.raises(Exception, match="remember-exchange first"):
            await control.do("reset-exchange", to="remembered")


async def stop_of_a_position(client):
    await bought(client)
    return await stop(client)


class TestSessions:
    async def test_e29_logins_expire_in_mid_flight_and_can_be_refreshed(self, dial, control):
        client = await dial(log_in=False)
        token = await client.log_in()
        await control.do("expire-tokens")
        assert await refusal(client) == 13009
        refresh = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
        token = await client.call("public/auth", **refresh)
        assert await bought(client)
        await control.do("expire-tokens", refresh_too=True)
        refresh = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
        assert await refusal(client, "public/auth", **refresh) == 13009

    async def test_e30_a_revoked_key_is_out_and_stays_out(self, dial, control):
        client = await dial()
        await control.do("revoke-key")
        assert await refusal(client) == 13009
        key = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        again = await dial(log_in=False)
        code = await refusal(again, "public/auth", grant_type="client_credentials", **key)
        assert code == 13004
        await control.do("revoke-key", revoked=False)
        assert await bought(await dial())

    async def test_e30_rights_shrink(self, dial, control):
        client = await dial()
        await control.do("narrow-scope", scope="account:read trade:read")
        assert await refusal(client) in (13021, 13403, 11042)
        assert await client.call("private/get_positions") == []

    async def test_e30_the_address_is_blocked(self, dial, control):
        await control.do("block-address")
        client = await dial(log_in=False)
        key = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        code = await refusal(client, "public/auth", grant_type="client_credentials", **key)
        assert code in (13004, 13021)
        await control.do("block-address", blocked=False)
        assert await dial()

    async def test_e31_a_locked_account_is_told_and_refused(self, dial, control):
        client = await dial()
        await client.call("private/subscribe", channels=["user.lock"])
        await control.do("lock-account", currency="USDC")
        assert await client.wait_for("user.lock") == {"currency": "USDC", "locked": True}
        assert await refusal(client) in (10019, 10072, 11098)
        await control.do("lock-account", currency="USDC", locked=False)
        assert await client.wait_for("user.lock") == {"currency": "USDC", "locked": False}
        assert await bought(client)

    async def test_e31_locked_positions_answer_10072_and_let_cancel(self, dial, control):
        client = await dial()
        order = await resting(client)
        await control.do("lock-positions")
        assert await refusal(client) == 10072
        assert await client.call("private/cancel", order_id=order["order_id"])
        await control.do("lock-positions", locked=False)
        assert await bought(client)


class TestOrders:
    async def test_e8_a_resting_order_is_filled_in_part(self, dial, control):
        client = await dial()
        await client.call("private/subscribe", channels=["user.changes.any.any.raw"])
        await resting(client)
        await control.do("fill-order", of_label="resting", amount="0.01")
        changes = await client.wait_for("user.changes.any.any.raw")
        while not changes["trades"]:
            changes = await client.wait_for("user.changes.any.any.raw")
        assert changes["trades"][0]["price"] == 94_000
        (order,) = await labelled(client, "resting")
        assert (order["order_state"], order["filled_amount"]) == ("open", 0.01)

    async def test_e27_a_fill_wins_the_race_with_a_cancel(self, dial, control):
        client = await dial()
        order = await resting(client)
        await control.arm("fill-order", of_label="resting", method="private/cancel")
        assert await refusal(client, "private/cancel", order_id=order["order_id"]) in (11044, 11008)
        assert (await position(client))["size"] == 0.02
        assert (await control.hits())["fill-order"] == 1

    async def test_e27_e28_the_reply_to_a_cancel_or_an_edit_is_lost_and_it_was_done(
        self, dial, control
    ):
        client = await dial()
        order = await resting(client)
        await control.arm("withhold-reply", method="private/edit,private/cancel", count=2)
        await client.send("private/edit", order_id=order["order_id"], amount=0.03, price=93_000)
        (edited,) = await labelled(client, "resting")
        assert (edited["amount"], edited["price"]) == (0.03, 93_000)
        await client.send("private/cancel", order_id=order["order_id"])
        (cancelled,) = await labelled(client, "resting")
        assert cancelled["order_state"] == "cancelled"

    async def test_e28_an_edit_is_lost_on_its_way(self, dial, control):
        client = await dial()
        order = await resting(client)
        await control.arm("lose-request", method="private/edit")
        await client.send("private/edit", order_id=order["order_id"], amount=0.03, price=93_000)
        (same,) = await labelled(client, "resting")
        assert (same["amount"], same["price"]) == (0.02, 94_000)

    async def test_e9_the_exchange_cancels_a_protective_stop(self, dial, control):
        client = await dial()
        await stop_of_a_position(client)
        await control.do("cancel-orders", of_label="stop")
        (order,) = await labelled(client, "stop")
        assert (order["order_state"], order["cancel_reason"]) == (
            "cancelled",
            "cancel_on_disconnect",
        )

    async def test_e26_a_stop_fires_while_the_position_is_closed(self, dial, control):
        client = await dial()
        await stop_of_a_position(client)
        await control.arm("fire-trigger", of_label="stop", method="private/sell")
        code = await refusal(
            client,
            "private/sell",
            instrument_name=LINEAR,
            amount=0.01,
            type="market",
            reduce_only=True,
        )
        assert code == 11030
        assert (await position(client))["size"] == 0
        states = {order["order_state"] for order in await labelled(client, "stop")}
        assert states == {"triggered", "filled"}

    async def test_e25_a_stop_triggers_over_an_empty_book_and_does_not_fill(self, dial, control):
        client = await dial()
        await bought(client)
        await control.do("disturb-book", instrument_name=LINEAR, how="empty")
        await client.call(
            "private/sell", instrument_name=LINEAR, amount=0.01, type="stop_limit", label="stop",
            price=94_500, trigger="mark_price", trigger_price=94_600, reduce_only=True,
        )  # fmt: skip
        await control.do("fire-trigger", of_label="stop")
        states = {order["order_state"] for order in await labelled(client, "stop")}
        assert states == {"triggered", "open"}
        assert (await position(client))["size"] == 0.01

    async def test_e25_a_gap_leaves_the_limit_behind(self, dial, control):
        client = await dial()
        await bought(client)
        await client.call(
            "private/sell", instrument_name=LINEAR, amount=0.01, type="stop_limit", label="stop",
            price=94_500, trigger="mark_price", trigger_price=94_600, reduce_only=True,
        )  # fmt: skip
        await control.do("move-price", price_index="btc_usdc", price=93_500)
        states = {order["order_state"] for order in await labelled(client, "stop")}
        assert states == {"triggered", "open"}

    async def test_e22_a_second_order_has_the_same_label(self, dial, control):
        client = await dial()
        await resting(client, "same")
        await control.do("same-label-order", of_label="same")
        orders = await labelled(client, "same")
        assert len({order["order_id"] for order in orders}) == 2

    async def test_e11_a_person_trades_on_the_web(self, dial, control):
        client = await dial()
        await client.call("private/subscribe", channels=["user.orders.any.any.raw"])
        await control.do("trade-by-hand", instrument_name=LINEAR, direction="buy", amount="0.02")
        order = await client.wait_for("user.orders.any.any.raw")
        assert (order["web"], order["api"], order["label"]) == (True, False, "")
        assert (await position(client))["size"] == 0.02

    async def test_e11_e24_a_person_closes_and_a_reduction_finds_nothing(self, dial, control):
        client = await dial()
        await bought(client, amount=0.02)
        await control.do("close-by-hand", instrument_name=LINEAR, amount="0.01")
        assert (await position(client))["size"] == 0.01
        await control.arm("close-by-hand", instrument_name=LINEAR, method="private/sell")
        code = await refusal(
            client,
            "private/sell",
            instrument_name=LINEAR,
            amount=0.01,
            type="market",
            reduce_only=True,
        )
        assert code == 11030

    async def test_e23_a_position_is_closed_and_reversed_at_once(self, dial, control):
        client = await dial()
        await bought(client)
        await control.do("close-and-reverse", instrument_name=LINEAR)
        assert (await position(client))["size"] == -0.01
        trades = (await control.truth())["trades"]
        assert trades[-1]["timestamp"] == trades[-2]["timestamp"]
        assert trades[-1]["order_id"] != trades[-2]["order_id"]

    async def test_e12_a_second_bot_trades_on_the_account(self, dial, control):
        client = await dial()
        await control.do(
            "foreign-order", instrument_name=LINEAR, direction="sell", amount="0.03", price=96_000
        )
        (order,) = await client.call("private/get_open_orders")
        assert (order["label"], order["api"]) == ("bot-b-1", True)

    async def test_a_deed_at_a_request_with_nothing_to_do_is_no_hit(self, dial, control):
        client = await dial()
        await control.arm("fill-order", of_label="nobody", method="private/get_positions")
        assert await client.call("private/get_positions") == []
        assert (await control.hits())["fill-order"] == 0


class TestMoney:
    async def test_e12_e32_money_leaves_until_too_little_is_left(self, dial, control):
        client = await dial()
        done = await control.do("transfer", currency="USDC", amount="-99990")
        assert done["balance"] == 10
        assert (await log(client))[0]["type"] == "transfer"
        assert await refusal(client) in (10009, 10039)

    async def test_e12_a_block_trade_moves_the_position_without_an_order(self, dial, control):
        client = await dial()
        await client.call("private/subscribe", channels=[f"user.changes.{LINEAR}.raw"])
        block = {"instrument_name": LINEAR, "direction": "sell", "amount": "0.5", "price": 97_000}
        done = await control.do("block-trade", **block)
        told = await client.wait_for(f"user.changes.{LINEAR}.raw")
        assert told["orders"] == []
        (trade,) = told["trades"]
        assert trade["block_trade_id"] == done["block_trade_id"]
        assert (trade["price"], trade["amount"]) == (97_000, 0.5)
        assert trade["fee"] == pytest.approx(0.5 * 97_000 * 0.00025)
        assert (await position(client))["size"] == -0.5
        row = (await log(client))[0]
        assert (row["type"], row["side"], row["trade_id"]) == (
            "trade", "open sell", done["trade_id"],
        )  # fmt: skip
        assert await refusal(client, "private/get_order_state", order_id=trade["order_id"]) == 10004
        page = await client.call("public/get_last_trades_by_instrument", instrument_name=LINEAR)
        ids = {t["trade_id"]: t.get("block_trade_id") for t in page["trades"]}
        assert ids[done["trade_id"]] == done["block_trade_id"]
        ticker = await client.call("public/ticker", instrument_name=LINEAR)
        assert ticker["last_price"] < 96_500

    @pytest.mark.parametrize(("amount", "left"), [("0.01", 0.02), (None, 0)])
    async def test_e13_a_liquidation_is_tagged(self, dial, control, amount, left):
        client = await dial()
        await bought(client, amount=0.03)
        fields = {} if amount is None else {"amount": amount}
        await control.do("liquidate", instrument_name=LINEAR, **fields)
        assert (await position(client))["size"] == left
        page = await client.call("private/get_user_trades_by_instrument", instrument_name=LINEAR)
        last = max(page["trades"], key=lambda trade: trade["trade_seq"])
        assert last["liquidation"] in ("M", "T", "MT")
        assert last["order_type"] == "liquidation"

    async def test_e14_deleveraging_takes_a_position_without_a_trade(self, dial, control):
        client = await dial()
        await bought(client)
        before = await control.truth()
        await control.do("deleverage", instrument_name=LINEAR)
        truth = await control.truth()
        assert truth["positions"] == {}
        assert truth["trades"] == before["trades"]
        assert len(truth["transaction_log"]) == len(before["transaction_log"]) + 1

    async def test_e14_a_shared_loss_is_a_row_that_says_so(self, dial, control):
        client = await dial()
        before = balance_of(await control.truth())
        await control.do("socialise-loss", currency="USDC", amount="12.5")
        assert (await log(client))[0]["change"] == -12.5
        assert balance_of(await control.truth()) == before - Decimal("12.5")

    async def test_e16_the_settlement_moves_session_profit_to_cash(self, dial, control):
        client = await dial()
        await bought(client)
        await control.do("move-price", price_index="btc_usdc", percent=1)
        equity = (await control.truth())["cash"]["USDC"]["equity"]
        await control.do("settle")
        assert [row["type"] for row in await log(client)][0] == "settlement"
        truth = await control.truth()
        assert abs(truth["cash"]["USDC"]["equity"] - equity) < Decimal("0.01")
        assert truth["positions"] == {LINEAR: Decimal("0.01")}

    async def test_e15_an_expiry_delivers_without_a_trade(self, dial, control):
        client = await dial()
        listed = await client.call("public/get_instruments", currency="BTC", kind="future")
        name = next(
            each["instrument_name"] for each in listed if each["settlement_period"] != "perpetual"
        )
        await bought(client, name, 100)
        before = await control.truth()
        await control.do("deliver", instrument_name=name)
        truth = await control.truth()
        assert truth["positions"] == {}
        assert truth["trades"] == before["trades"]
        assert (await log(client, "BTC"))[0]["type"] == "delivery"

    async def test_e15_a_perpetual_never_expires(self, control):
        with pytest.raises(Exception, match="perpetual and never expires"):
            await control.do("deliver", instrument_name=LINEAR)

    async def test_e17_the_funding_rate_is_set_and_flips(self, dial, control):
        client = await dial()

        async def rate():
            ticker = await client.call("public/ticker", instrument_name=LINEAR)
            return ticker["current_funding"]

        await control.do("set-funding", instrument_name=LINEAR, rate="0.0004")
        high = await rate()
        assert abs(high - 0.0004) < 0.00002
        await control.do("set-funding", instrument_name=LINEAR)
        assert abs(await rate() + high) < 0.00004
        await control.do("set-funding", instrument_name=LINEAR, rate=0)
        assert await rate() == 0

    async def test_e36_a_busted_trade_is_corrected_by_a_row(self, dial, control):
        client = await dial()
        before = balance_of(await control.truth())
        trade_id = (await bought(client))["trades"][0]["trade_id"]
        await control.do("bust-trade", trade_id=trade_id)
        truth = await control.truth()
        assert truth["positions"] == {}
        assert balance_of(truth) == before
        row = (await log(client))[0]
        assert (row["type"], row["trade_id"]) == ("correction", trade_id)
        assert [trade["trade_id"] for trade in truth["trades"]] == [trade_id]

    async def test_e36_cash_is_corrected(self, dial, control):
        client = await dial()
        await control.do("correct-cash", currency="USDC", amount="-3.25")
        row = (await log(client))[0]
        assert (row["type"], row["change"]) == ("correction", -3.25)


class TestMarkets:
    async def test_e18_ticks_and_amounts_change(self, dial, control):
        client = await dial()
        await control.do(
            "change-instrument", instrument_name=LINEAR, tick_size="10", min_trade_amount="0.05"
        )
        listed = await client.call("public/get_instrument", instrument_name=LINEAR)
        assert (listed["tick_size"], listed["min_trade_amount"]) == (10, 0.05)
        assert await refusal(client, instrument_name=LINEAR, amount=0.05, price=94_005)
        assert await refusal(client, instrument_name=LINEAR, amount=0.01, price=94_000)
        assert await resting(client, amount=0.05)

    async def test_e18_an_instrument_is_suspended_and_comes_back(self, dial, control):
        client = await dial()
        await control.do("suspend-instrument", instrument_name=LINEAR)
        assert await refusal(client) == 10012
        await control.do("suspend-instrument", instrument_name=LINEAR, state="open")
        assert await bought(client)

    async def test_e18_a_suspension_that_outlasts_a_settlement_ends_in_an_open_book(
        self, dial, control, server, until
    ):
        client = await dial()
        market = server.venue.exchange.markets[LINEAR]
        await control.do("settlement-break", lasts_s=0.1)
        await control.do("suspend-instrument", instrument_name=LINEAR, lasts_s=0.3)
        await until(lambda: market.state is BookState.OPEN)
        assert await bought(client)

    async def test_e15_a_suspension_does_not_bring_back_what_was_delivered_meanwhile(
        self, control, server, until
    ):
        name = next(
            market.listing.name
            for market in server.venue.exchange.markets.values()
            if not market.listing.is_perpetual
        )
        market = server.venue.exchange.markets[name]
        await control.do("suspend-instrument", instrument_name=name, lasts_s=0.1)
        await control.do("deliver", instrument_name=name)
        await control.do("move-price", price_index="btc_usdc", percent=8, lasts_s=0.2)
        await until(lambda: server.venue.exchange.prices["btc_usdc"] < 100_000)
        assert market.state is BookState.DELIVERED

    async def test_e38_a_spike_comes_and_goes(self, dial, control, server, until):
        client = await dial()
        done = await control.do("move-price", price_index="btc_usdc", percent=8, lasts_s=0.1)
        assert done["price"] == done["before"] * Decimal("1.08")
        ticker = await client.call("public/ticker", instrument_name=LINEAR)
        assert ticker["index_price"] > 100_000
        await until(lambda: server.venue.exchange.prices["btc_usdc"] < 100_000)

    async def test_e38_a_book_is_crossed_empty_thin_or_far_from_mark(self, dial, control):
        client = await dial()

        async def book(how):
            await control.do("disturb-book", instrument_name=LINEAR, how=how)
            return await client.call("public/get_order_book", instrument_name=LINEAR, depth=20)

        crossed = await book("crossed")
        assert crossed["bids"][0][0] > crossed["asks"][0][0]
        empty = await book("empty")
        assert (empty["bids"], empty["asks"]) == ([], [])
        thin = await book("thin")
        assert [len(thin["bids"]), len(thin["asks"])] == [1, 1]
        away = await book("far-mark")
        assert away["bids"][0][0] > away["mark_price"] * 1.02
        assert away["last_price"] > away["mark_price"] * 1.02
        calm = await book("calm")
        assert calm["bids"][0][0] < calm["asks"][0][0]
        assert abs(calm["bids"][0][0] - calm["mark_price"]) < 50

    async def test_e38_nothing_fills_in_an_empty_book(self, dial, control):
        client = await dial()
        await control.do("disturb-book", instrument_name=LINEAR, how="empty")
        order = (await bought(client))["order"]
        assert (order["order_state"], order["filled_amount"]) == ("cancelled", 0)


@pytest.mark.parametrize("to", ["empty", "remembered"])
async def test_e37_a_reset_reaches_the_state_file(tmp_path, to):
    """What was forgotten does not come back with a restart."""
    clock = SystemClock()

    def build(state_file):
        venue = Venue(now_ms=clock.now_ms(), saved=state_file.load())
        return PaperServer(venue, clock, persistence=state_file, has_control=True)

    with contextlib.closing(StateFile(tmp_path / "paper.db")) as state_file:
        server = build(state_file)
        await server.start()
        async with FaultControl(server.control_url) as control:
            hand = {"instrument_name": LINEAR, "direction": "buy", "amount": "0.01"}
            await control.do("trade-by-hand", **hand)
            await control.do("remember-exchange")
            await control.do("trade-by-hand", **hand, price=94_000)
            await control.do("trade-by-hand", **hand)
            await control.do("reset-exchange", to=to)
            before = await control.truth()
        await server.stop()
    assert len(before["trades"]) == (to == "remembered")
    with contextlib.closing(StateFile(tmp_path / "paper.db")) as state_file:
        server = build(state_file)
        await server.start()
        async with FaultControl(server.control_url) as control:
            after = await control.truth()
        await server.stop()
    for name in ("positions", "orders", "trades", "transaction_log"):
        assert after[name] == before[name]
    assert balance_of(after) == balance_of(before)
