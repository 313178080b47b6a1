"""The control endpoint: what it takes, what it refuses and how, and who may ask."""

import asyncio

import aiohttp
import pytest
from fault_control import FaultControl, Mistake

from vigil.clock import SystemClock
from vigil.paper.faults.menu import MENU
from vigil.paper.server import PaperServer
from vigil.paper.venue import Venue

LINEAR = "BTC_USDC-PERPETUAL"


class TestMenu:
    async def test_it_lists_every_fault_with_fields(self, control):
        menu = await control.menu()
        assert menu.keys() == MENU.keys()
        assert menu["delay-reply"]["params"][0] == {
            "name": "delay_s", "kind": "seconds", "summary": "how much later", "required": True,
            "least": 0, "most": 86_400,
        }  # fmt: skip

    async def test_counters_name_every_fault_from_the_start(self, control):
        hits = await control.hits()
        assert hits.keys() == MENU.keys()
        assert set(hits.values()) == {0}


class TestArming:
    async def test_what_is_armed_is_listed_with_its_hits_until_it_is_disarmed(self, control, dial):
        client = await dial()
        number = await control.arm("delay-reply", method="public/test", delay_s="0.001", count=3)
        await client.call("public/test")
        (armed,) = await control.armed()
        assert (armed["id"], armed["hits"], armed["count"]) == (number, 1, 3)
        assert (await control.disarm(number))["hits"] == 1
        assert await control.armed() == []
        assert (await control.hits())["delay-reply"] == 1

    async def test_all_are_disarmed_at_once(self, control):
        for name in ("mute-channel", "withhold-reply"):
            await control.arm(name)
        assert await control.disarm() == {"disarmed": 2}
        assert await control.armed() == []

    async def test_a_deed_can_wait_for_its_time(self, control, server, until):
        await control.arm("lock-platform", in_s="0.1")
        assert not server.venue.platform.locked_indices
        await until(lambda: server.venue.platform.locked_indices)
        assert (await control.hits())["lock-platform"] == 1

    async def test_in_process_it_is_the_same_menu(self, server, dial, control):
        client = await dial()
        server.faults.arm("error-reply", method="private/get_positions", code=10040)
        assert (await client.request("private/get_positions"))["error"]["message"] == "retry"
        assert server.deeds.do("abort-connection") == {"connections": [1]}
        assert (await control.hits())["abort-connection"] == 1


class TestMistakes:
    @pytest.mark.parametrize(
        ("verb", "body", "field", "said"),
        [
            ("arm", b"", "body", "no JSON object"),
            ("arm", b"[1]", "body", "give one like"),
            ("arm", b'{"fault": "flood", "messages": NaN}', "body", "NaN"),
            ("arm", b'{"fault": "flood", "fault": "flood"}', "body", "twice"),
            ("arm", b"[" * 60_000, "body", "no JSON object"),
            ("arm", b" " * 70_000, "body", "more than"),
            ("do", b'{"fault": "lock-platform", "price_index": "\xed\xa0\x80"}', "body", "no JSON"),
            ("do", b'{"fault": "lock-platform", "price_index": "\\ud800"}', "body", "no JSON"),
            ("arm", b"{}", "fault", "name one of"),
            ("arm", b'{"fault": "floods"}', "fault", "did you mean flood"),
            ("arm", b'{"fault": "flood", "mesages": 5}', "mesages", "its own are: messages"),
            ("arm", b'{"fault": "flood", "messages": 1}', "messages", "at least 2"),
            ("arm", b'{"fault": "flood", "self": 1}', "self", "no such field"),
            ("do", b'{"fault": "settle", "self": 1}', "self", "no such field"),
            ("do", b'{"fault": "flood"}', "fault", "arm it instead"),
            ("do", b'{"fault": "abort-connection", "connection": 99}', "connection", "not open"),
            ("do", b'{"fault": "liquidate", "instrument_name": "X"}', "instrument_name", "no X"),
            ("do", b'{"fault": "transfer", "currency": "USDC"}', "amount", "needs it"),
            ("do", b'{"fault": "move-price", "price_index": "btc_usd"}', "price", "one of them"),
            ("disarm", b'{"id": "1"}', "id", "as arming answered"),
            ("disarm", b'{"id": 7}', "id", "not armed"),
        ],
    )
    async def test_the_field_is_named_and_the_fix(self, server, verb, body, field, said):
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{server.control_url}/{verb}", data=body) as response:
                answer = await response.json()
                assert response.status == 400
                assert answer["field"] == field
                assert said in answer["error"]

    async def test_a_body_that_comes_in_pieces_is_read_whole(self, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        body = b'{"all": true}'
        head = (
            f"POST /control/disarm HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        )
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + body[:5])
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(body[5:])
        assert (await asyncio.wait_for(reader.read(), 5)).endswith(b'{"disarmed":0}')
        writer.close()
        await writer.wait_closed()

    async def test_the_driver_raises_them(self, control):
        with pytest.raises(Mistake) as caught:
            await control.arm("flood", messages=1)
        assert caught.value.field == "messages"


class TestTruth:
    async def test_it_knows_what_was_never_told(self, control, dial):
        client = await dial()
        await control.arm("withhold-reply", method="private/buy")
        await client.send(
            "private/buy", instrument_name=LINEAR, amount=0.01, type="market", label="secret"
        )
        await client.call("public/test")
        truth = await control.truth()
        assert [order["label"] for order in truth["orders"]] == ["secret"]
        assert str(truth["positions"][LINEAR]) == "0.01"
        (arrival,) = truth["labels"]
        assert (arrival["label"], arrival["method"], arrival["connection"]) == (
            "secret",
            "private/buy",
            1,
        )
        assert abs(arrival["arrived_ms"] - truth["now_ms"]) < 5000
        assert truth["connections"] == [
            {"connection": 1, "is_logged_in": True, "cancels_on_disconnect": False}
        ]

    async def test_labels_of_linked_orders_arrive_too(self, control, dial):
        client = await dial()
        await client.request(
            "private/buy", instrument_name=LINEAR, amount=0.01, price=94_000, label="entry",
            linked_order_type="one_triggers_other",
            otoco_config=[{"direction": "sell", "amount": 0.01, "price": 96_000, "type": "limit", "label": "exit"}],
        )  # fmt: skip
        assert [each["label"] for each in (await control.truth())["labels"]] == ["entry", "exit"]


class TestWhoMayAsk:
    async def test_nobody_unless_it_was_asked_for(self, dial):
        clock = SystemClock()
        server = PaperServer(Venue(now_ms=clock.now_ms()), clock)
        await server.start()
        try:
            async with aiohttp.ClientSession() as session:
                for path in ("menu", "truth"):
                    async with session.get(f"{server.control_url}/{path}") as response:
                        assert response.status == 404
        finally:
            await server.stop()

    @pytest.mark.parametrize(
        "headers",
        [
            {"Host": "paper.example"},
            {"Origin": "http://localhost"},
            {"Host": "127.0.0.1.evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ],
        ids=[
            "another name",
            "a web page",
            "a name that looks right",
            "a picture on a web page",
            "a page on another port",
        ],
    )
    async def test_no_web_page_and_no_other_name(self, server, headers):
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.get(f"{server.control_url}/truth") as response:
                assert response.status == 403
            async with session.post(
                f"{server.control_url}/do", json={"fault": "settle"}
            ) as response:
                assert response.status == 403

    async def test_an_address_that_a_person_typed_into_a_browser(self, server):
        headers = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"{server.control_url}/menu") as response,
        ):
            assert response.status == 200

    async def test_the_machine_by_its_own_name(self, server):
        async with FaultControl(f"http://localhost:{server.port}/control") as control:
            assert await control.menu()
