"""Faults of requests, replies and notifications, each met by a client over a real socket."""

import json

import aiohttp
import pytest

from vigil.paper.session.keys import CLIENT_ID, CLIENT_SECRET

LINEAR = "BTC_USDC-PERPETUAL"
ORDERS, TRADES = "user.orders.any.any.raw", "user.trades.any.any.raw"


async def resting(client, label="resting", **params):
    """A limit order that stays in the book."""
    order = {"instrument_name": LINEAR, "amount": 0.01, "price": 94_000, "label": label}
    return (await client.call("private/buy", **(order | params)))["order"]


async def bought(client, label="bought"):
    return await client.call(
        "private/buy", instrument_name=LINEAR, amount=0.01, type="market", label=label
    )


async def labelled(client, label):
    return await client.call("private/get_order_state_by_label", currency="USDC", label=label)


async def arrived(client, question="public/test"):
    """Everything that came before the answer to a question asked now."""
    await client.call(question)
    came, client.notifications = client.notifications, []
    return came


def on(came, channel):
    return [m["params"]["data"] for m in came if m.get("params", {}).get("channel") == channel]


class TestRequests:
    async def test_e2_a_lost_request_leaves_no_order_but_its_arrival_is_known(self, dial, control):
        client = await dial()
        await control.arm("lose-request", method="private/buy")
        await client.send(
            "private/buy", instrument_name=LINEAR, amount=0.01, type="market", label="gone"
        )
        assert await labelled(client, "gone") == []
        seen = [entry["label"] for entry in (await control.truth())["labels"]]
        assert seen == ["gone"]

    async def test_n4_a_request_is_carried_out_after_its_sender_hung_up(
        self, dial, control, server, until
    ):
        client = await dial()
        await control.arm("delay-request", method="private/buy", delay_s=0.2)
        await client.send(
            "private/buy", instrument_name=LINEAR, amount=0.01, type="market", label="late"
        )
        await client.call("public/test")
        await client.socket.close()
        await until(lambda: not server.lines)
        assert not server.venue.exchange.books.labelled("late")
        (order,) = await until(lambda: server.venue.exchange.books.labelled("late"))
        assert order.state == "filled"

    @pytest.mark.parametrize(
        ("method", "params", "question", "answer"),
        [
            pytest.param(
                "public/auth",
                {"grant_type": "client_credentials", "client_id": CLIENT_ID,
                 "client_secret": CLIENT_SECRET},
                "private/get_positions",
                [],
                id="it is logged in",
            ),
            pytest.param(
                "private/enable_cancel_on_disconnect",
                {},
                "private/get_cancel_on_disconnect",
                {"scope": "connection", "enabled": True},
                id="its orders go with it",
            ),
        ],
    )  # fmt: skip
    async def test_n4_what_it_changes_of_its_connection_counts_while_that_is_there(
        self, dial, control, method, params, question, answer
    ):
        client = await dial(log_in=method != "public/auth")
        await control.arm("delay-request", method=method, delay_s=0.02)
        await client.call(method, **params)
        assert await client.call(question) == answer

    async def test_n4_nobody_is_left_listening_for_a_sender_who_hung_up(
        self, dial, control, server, until
    ):
        client = await dial()
        await control.arm("delay-request", method="public/subscribe", delay_s=0.1)
        await client.send("public/subscribe", channels=[f"ticker.{LINEAR}.100ms"])
        await client.call("public/test")
        await client.socket.close()
        await until(lambda: not server.lines)
        await until(lambda: not server._waiting)
        assert not server.venue.publisher._channels

    async def test_n4_valid_until_is_judged_when_it_is_carried_out(self, dial, control, server):
        client = await dial()
        await control.arm("delay-request", method="private/buy", delay_s=0.2)
        now_ms = server.clock.now_ms()
        reply = await client.request(
            "private/buy",
            instrument_name=LINEAR,
            amount=0.01,
            type="market",
            valid_until=now_ms + 100,
        )
        assert reply["error"]["code"] == 13888

    async def test_e22_e3_a_duplicated_request_makes_two_orders_of_one_label(self, dial, control):
        client = await dial()
        await control.arm("duplicate-request", method="private/buy")
        first = await resting(client, "twice")
        orders = await labelled(client, "twice")
        assert len({order["order_id"] for order in orders}) == 2
        assert first["order_id"] in {order["order_id"] for order in orders}
        assert await arrived(client) == []

    @pytest.mark.parametrize("is_applied", [True, False])
    @pytest.mark.parametrize(
        ("code", "message"),
        [
            (10040, "retry"), (10041, "settlement_in_progress"), (10047, "matching_engine_queue_full"),
            (13028, "temporarily_unavailable"), (13888, "timed_out"), (11094, "internal_server_error"),
        ],
    )  # fmt: skip
    async def test_e1_e7_an_error_is_told_and_the_order_placed_or_not(
        self, dial, control, code, message, is_applied
    ):
        client = await dial()
        await control.arm("error-reply", method="private/buy", code=code, is_applied=is_applied)
        reply = await client.request(
            "private/buy", instrument_name=LINEAR, amount=0.01, price=94_000, label="doubt"
        )
        assert reply["error"] == {"code": code, "message": message}
        assert len(await labelled(client, "doubt")) == is_applied

    async def test_e24_e32_refusals_are_told_in_the_words_that_are_given(self, dial, control):
        client = await dial()
        await control.arm("error-reply", method="private/*", code=10009)
        await control.arm(
            "error-reply",
            method="private/buy",
            code=11030,
            message="other_reject x",
            reason="why",
        )
        replies = [await client.request("private/buy", instrument_name=LINEAR) for _ in range(2)]
        assert [reply["error"] for reply in replies] == [
            {"code": 10009, "message": "not_enough_funds"},
            {"code": 11030, "message": "other_reject x", "data": {"reason": "why"}},
        ]

    async def test_e35_odd_errors_are_new_or_contradict_themselves_the_same_for_a_seed(
        self, dial, control
    ):
        client = await dial()

        async def run():
            number = await control.arm("odd-error", method="private/buy", count=8, seed=2)
            replies = [
                await client.request(
                    "private/buy", instrument_name=LINEAR, amount=0.01, price=94_000, label="odd"
                )
                for _ in range(8)
            ]
            assert number not in {armed["id"] for armed in await control.armed()}
            return [(reply["error"]["code"], reply["error"]["message"]) for reply in replies]

        errors = await run()
        assert errors == await run()
        assert any(19_000 <= code < 20_000 for code, _ in errors)
        assert any(code < 14_000 for code, _ in errors)
        assert 0 < len(await labelled(client, "odd")) < 16

    async def test_e29_e30_logging_in_or_refreshing_is_refused(self, dial, control):
        client = await dial(log_in=False)
        token = await client.log_in()
        await control.arm("refuse-login", grant="refresh_token", code=13009)
        assert (await client.log_in())["access_token"]
        refused = await client.request(
            "public/auth", grant_type="refresh_token", refresh_token=token["refresh_token"]
        )
        assert refused["error"]["code"] == 13009
        await control.arm("refuse-login")
        refused = await client.request(
            "public/auth", grant_type="client_credentials", client_id="x", client_secret="y"
        )
        assert refused["error"] == {"code": 13004, "message": "invalid_credentials"}
        assert (await control.hits())["refuse-login"] == 2


class TestReplies:
    async def test_e1_n6_a_withheld_reply_leaves_the_notification(self, dial, control):
        client = await dial()
        await client.call("private/subscribe", channels=[ORDERS])
        await control.arm("withhold-reply", method="private/buy")
        request_id = await client.send(
            "private/buy", instrument_name=LINEAR, amount=0.01, type="market", label="mute"
        )
        came = await arrived(client)
        assert [order["label"] for order in on(came, ORDERS)] == ["mute"]
        assert request_id not in {message.get("id") for message in came}

    async def test_n6_e4_a_delayed_reply_comes_after_its_fill(self, dial, control):
        client = await dial()
        await client.call("private/subscribe", channels=[TRADES])
        await control.arm("delay-reply", method="private/buy", delay_s=0.1)
        request_id = await client.send(
            "private/buy", instrument_name=LINEAR, amount=0.01, type="market"
        )
        assert await client.wait_for(TRADES)
        assert not any(message.get("id") == request_id for message in client.notifications)
        assert (await client.reply_to(request_id))["result"]["trades"]

    async def test_e3_a_duplicated_reply_comes_twice(self, dial, control):
        client = await dial()
        await control.arm("duplicate-reply", method="private/get_positions", copies=3)
        request_id = await client.send("private/get_positions")
        replies = [m for m in await arrived(client) if m.get("id") == request_id]
        assert len(replies) == 3
        assert replies[0] == replies[2]

    @pytest.mark.parametrize(
        "shape", ["truncated", "not-json", "invalid-utf8", "deep-nesting", "oversize"]
    )
    async def test_n13_a_garbled_reply_cannot_be_read(self, server, control, shape):
        await control.arm("garble-reply", shape=shape, size=200_000)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{server.http_url}/public/get_time") as response:
                body = await response.read()
            async with session.get(f"{server.http_url}/public/get_time") as response:
                assert isinstance((await response.json())["result"], int)
        if shape == "oversize":
            assert 199_000 < len(body) < 201_000
            assert json.loads(body)["padding"]
        elif shape == "invalid-utf8":
            with pytest.raises(UnicodeDecodeError):
                body.decode()
        else:
            with pytest.raises((ValueError, RecursionError)):
                json.loads(body)

    async def test_n13_a_garbled_frame_leaves_the_socket_open(self, dial, control):
        client = await dial()
        await control.arm("garble-reply", method="private/get_positions", shape="truncated")
        await client.send("private/get_positions")
        with pytest.raises(ValueError):
            json.loads(await client.socket.receive_str())
        assert await client.call("public/test")

    async def test_e20_a_list_is_answered_as_empty_and_so_is_an_error(self, dial, control):
        client = await dial()
        await bought(client)
        await control.arm(
            "empty-reply", method="private/get_positions,private/get_user_trades*", count=3
        )
        assert await client.call("private/get_positions") == []
        page = await client.call("private/get_user_trades_by_instrument", instrument_name=LINEAR)
        assert page["trades"] == []
        assert page["has_more"] is False
        wrong = await client.call("private/get_user_trades_by_instrument", instrument_name="NONE")
        assert wrong == []
        assert await client.call("private/get_positions") != []

    async def test_e20_what_is_empty_already_is_no_hit(self, dial, control):
        client = await dial()
        await control.arm("empty-reply", method="private/get_open_orders*")
        assert await client.call("private/get_open_orders") == []
        assert (await control.hits())["empty-reply"] == 0
        await resting(client)
        assert await client.call("private/get_open_orders") == []
        assert (await control.hits())["empty-reply"] == 1

    async def test_e21_pages_are_cut_come_again_or_lose_their_continuation(self, dial, control):
        client = await dial()
        for _ in range(6):
            await bought(client)

        async def log(**params):
            return await client.call(
                "private/get_transaction_log", currency="USDC", start_timestamp=0,
                end_timestamp=4_000_000_000_000, count=2, **params,
            )  # fmt: skip

        first = await log()
        second = await log(continuation=first["continuation"])
        await control.arm("cut-page", method="private/get_transaction_log")
        cut = await log()
        assert cut["logs"] == first["logs"][:1]
        assert cut["continuation"] is None
        await control.arm("cut-page", method="private/get_transaction_log", how="repeated", count=2)
        pages = [await log(), await log(continuation=first["continuation"])]
        assert [page["logs"] for page in pages] == [first["logs"], first["logs"]]
        await control.disarm()
        await control.arm("cut-page", method="private/get_transaction_log", how="no-continuation")
        assert "continuation" not in await log()
        assert (await log(continuation=first["continuation"]))["logs"] == second["logs"]

    async def test_e4_e20_a_stale_reply_is_the_answer_of_before(self, dial, control):
        client = await dial()
        await control.arm("stale-reply", method="private/get_position*")
        flat = await client.call("private/get_positions")
        assert (await control.hits())["stale-reply"] == 0
        await bought(client)
        assert await client.call("private/get_positions") == flat
        await control.disarm()
        assert await client.call("private/get_positions") != flat

    @pytest.mark.parametrize(
        ("fields", "check"),
        [
            pytest.param(
                {"change": "unknown-enum", "field": "order_state", "value": "pondering"},
                lambda order: order["order_state"] == "pondering", id="unknown enum",
            ),
            pytest.param({"change": "new-field"}, lambda order: order["field_of_tomorrow"], id="new field"),
            pytest.param(
                {"change": "missing-field", "field": "amount"},
                lambda order: "amount" not in order, id="missing field",
            ),
            pytest.param(
                {"change": "null-field", "field": "price"}, lambda order: order["price"] is None, id="null",
            ),
        ],
    )  # fmt: skip
    async def test_e34_a_field_of_an_answer_is_different(self, dial, control, fields, check):
        client = await dial()
        await resting(client)
        await control.arm("mutate-reply", method="private/get_open_orders", **fields)
        (order,) = await client.call("private/get_open_orders")
        assert check(order)
        (order,) = await client.call("private/get_open_orders")
        assert not check(order | {"field_of_tomorrow": None})

    async def test_e34_without_a_field_the_dice_choose_the_same_for_a_seed(self, dial, control):
        client = await dial()
        order = await resting(client)

        async def run():
            await control.arm(
                "mutate-reply",
                method="private/get_open_orders",
                change="missing-field",
                count=8,
                seed=3,
            )
            answers = [(await client.call("private/get_open_orders"))[0] for _ in range(8)]
            return [sorted(order.keys() - answer.keys()) for answer in answers]

        missing = await run()
        assert missing == await run()
        assert len({tuple(names) for names in missing}) > 1

    async def test_e19_hidden_records_are_in_no_view_for_a_while(self, dial, control):
        client = await dial()
        order_id = (await bought(client, "hidden"))["order"]["order_id"]
        await bought(client, "seen")
        number = await control.arm("hide-records", of_label="hidden")
        assert await labelled(client, "hidden") == []
        assert (await client.request("private/get_order_state", order_id=order_id))["error"][
            "code"
        ] == 10004
        for historical in (False, True):
            page = await client.call(
                "private/get_user_trades_by_instrument",
                instrument_name=LINEAR,
                historical=historical,
            )
            assert {trade["label"] for trade in page["trades"]} <= {"seen"}
            history = await client.call(
                "private/get_order_history_by_instrument",
                instrument_name=LINEAR,
                historical=historical,
            )
            assert "hidden" not in {order["label"] for order in history}
        await control.disarm(number)
        assert len(await labelled(client, "hidden")) == 1


class TestNotifications:
    async def test_n6_a_dropped_notification_leaves_the_reply(self, dial, control):
        client = await dial()
        await client.call("private/subscribe", channels=[ORDERS])
        await control.arm("drop-notification", channel=ORDERS, label="silent")
        await resting(client, "silent")
        await resting(client, "loud")
        assert [order["label"] for order in on(await arrived(client), ORDERS)] == ["loud"]

    async def test_n15_a_muted_channel_is_silent_and_the_others_go_on(self, dial, control):
        client = await dial()
        muted, other = f"ticker.{LINEAR}.100ms", "ticker.BTC-PERPETUAL.100ms"
        await client.call("public/subscribe", channels=[muted, other])
        await control.arm("mute-channel", channel=f"ticker.{LINEAR}.*")
        await arrived(client)
        for _ in range(5):
            await client.wait_for(other)
        assert on(client.notifications, muted) == []
        await control.disarm()
        assert await client.wait_for(muted)

    async def test_n6_e4_a_delayed_notification_is_overtaken(self, dial, control):
        client = await dial()
        await client.call("private/subscribe", channels=[ORDERS])
        await control.arm("delay-notification", channel=ORDERS, delay_s=0.1)
        for label in ("first", "second"):
            await resting(client, label)
        heard = [(await client.wait_for(ORDERS))["label"] for _ in range(2)]
        assert heard == ["second", "first"]

    async def test_e3_a_duplicated_notification_comes_twice(self, dial, control):
        client = await dial()
        await client.call("private/subscribe", channels=[TRADES])
        await control.arm("duplicate-notification", channel="user.trades.*")
        await bought(client)
        first, second = on(await arrived(client), TRADES)
        assert first == second

    async def test_e4_a_trade_comes_before_its_order(self, dial, control):
        client = await dial()
        await client.call("private/subscribe", channels=[ORDERS, TRADES])
        await control.arm("reorder-notifications", behind="user.trades.*")
        await bought(client)
        channels = [m["params"]["channel"] for m in await arrived(client)]
        assert channels == [TRADES, ORDERS]

    async def test_e4_an_older_state_comes_after_a_newer_one(self, dial, control):
        client = await dial()
        await client.call("private/subscribe", channels=[ORDERS])
        await control.arm("reorder-notifications")
        order = await resting(client)
        await client.call("private/cancel", order_id=order["order_id"])
        states = [order["order_state"] for order in on(await arrived(client), ORDERS)]
        assert states == ["cancelled", "open"]

    async def test_e4_what_is_held_comes_when_patience_ends(self, dial, control):
        client = await dial()
        await client.call("private/subscribe", channels=[ORDERS])
        await control.arm("reorder-notifications", patience_s=0.1)
        await resting(client)
        assert on(await arrived(client), ORDERS) == []
        assert (await client.wait_for(ORDERS))["order_state"] == "open"

    async def test_n14_a_lost_change_breaks_the_chain_of_a_book(self, dial, control):
        client = await dial()
        channel = f"book.{LINEAR}.100ms"
        await client.call("public/subscribe", channels=[channel])
        last, breaks = (await client.wait_for(channel))["change_id"], 0
        await control.arm("gap-book", skip=3)
        for _ in range(20):
            change = await client.wait_for(channel)
            breaks += change["prev_change_id"] != last
            last = change["change_id"]
        assert breaks == (await control.hits())["gap-book"] == 1

    async def test_n14_a_snapshot_is_no_change(self, dial, control):
        client = await dial()
        await control.arm("gap-book")
        await client.call("public/subscribe", channels=[f"book.{LINEAR}.100ms"])
        assert (await client.wait_for(f"book.{LINEAR}.100ms"))["type"] == "snapshot"

    async def test_n13_a_garbled_notification_is_one_frame_of_many(self, dial, control):
        client = await dial(log_in=False)
        await client.call("public/subscribe", channels=[f"ticker.{LINEAR}.100ms"])
        await control.arm("garble-notification", channel="ticker.*", shape="truncated")
        with pytest.raises(ValueError):
            while True:
                json.loads(await client.socket.receive_str())
        assert json.loads(await client.socket.receive_str())

    async def test_e34_a_field_of_a_notification_is_different(self, dial, control):
        client = await dial()
        await client.call("private/subscribe", channels=[ORDERS])
        await control.arm(
            "mutate-notification",
            channel=ORDERS,
            change="unknown-enum",
            field="order_state",
            value="pondering",
        )
        order = await resting(client)
        assert order["order_state"] == "open"
        assert [heard["order_state"] for heard in on(await arrived(client), ORDERS)] == [
            "pondering"
        ]

    async def test_n16_one_ticker_becomes_a_flood(self, dial, control):
        client = await dial(log_in=False)
        channel = f"ticker.{LINEAR}.100ms"
        await control.arm("flood", channel="ticker.*", messages=5000)
        await client.call("public/subscribe", channels=[channel])
        times = [(await client.wait_for(channel))["timestamp"] for _ in range(5000)]
        assert times == list(range(times[0], times[0] + 5000))

    async def test_a_fault_for_one_connection_spares_the_others(self, dial, control):
        ours, theirs = await dial(), await dial()
        for client in (ours, theirs):
            await client.call("private/subscribe", channels=[ORDERS])
        numbers = [each["connection"] for each in (await control.truth())["connections"]]
        await control.arm("mute-channel", connection=numbers[0])
        await resting(ours)
        assert on(await arrived(ours), ORDERS) == []
        assert len(on(await arrived(theirs), ORDERS)) == 1
