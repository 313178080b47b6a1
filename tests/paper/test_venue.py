"""Login, tokens, heartbeats, disconnects, and how errors answer."""

import base64
import hashlib
import hmac
from decimal import Decimal

import pytest

from vigil.paper.refusals import Refusal
from vigil.paper.session.http_login import read_login
from vigil.paper.session.keys import CLIENT_ID, CLIENT_SECRET
from vigil.paper.switches import Switches
from vigil.paper.venue import METHODS, Venue
from vigil.paper.wire.framing import Request

LINEAR = "BTC_USDC-PERPETUAL"


def sign(text):
    return hmac.new(CLIENT_SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()


class TestLogin:
    def test_a_private_call_before_login_is_13009(self, desk):
        stranger = desk.connect()
        refusal = desk.refusal("private/get_positions", stranger)
        assert (refusal.code, refusal.data) == (13009, {"reason": "invalid_token"})

    def test_wrong_credentials_are_13004_without_data(self, desk):
        refusal = desk.refusal(
            "public/auth", grant_type="client_credentials", client_id="me", client_secret="no"
        )
        assert (refusal.code, refusal.message, refusal.data) == (13004, "invalid_credentials", None)

    def test_a_signature_logs_in_once(self, desk):
        stranger = desk.connect()
        params = {
            "grant_type": "client_signature",
            "client_id": CLIENT_ID,
            "timestamp": desk.now_ms,
            "nonce": "1iqt2wls",
            "signature": sign(f"{desk.now_ms}\n1iqt2wls\n"),
        }
        desk.call("public/auth", stranger, **params)
        desk.call("private/get_positions", stranger)
        assert desk.refusal("public/auth", stranger, **params).code == 13004

    def test_an_old_signature_is_refused(self, desk):
        old_ms = desk.now_ms - 61_000
        params = {
            "grant_type": "client_signature", "client_id": CLIENT_ID, "timestamp": old_ms,
            "nonce": "n", "signature": sign(f"{old_ms}\nn\n"),
        }  # fmt: skip
        assert desk.refusal("public/auth", **params).code == 13004

    def test_a_token_expires_as_it_said(self, desk):
        assert desk.log_in()["expires_in"] == 900
        desk.wait(899_000)
        desk.call("private/get_positions")
        desk.wait(1_001)
        assert desk.refusal("private/get_positions").code == 13009

    def test_a_refresh_token_works_once_and_prolongs_the_login(self, desk):
        refresh = desk.log_in()["refresh_token"]
        desk.wait(800_000)
        grant = {"grant_type": "refresh_token", "refresh_token": refresh}
        desk.call("public/auth", **grant)
        desk.wait(800_000)
        desk.call("private/get_positions")
        assert desk.refusal("public/auth", **grant).code == 13009

    def test_a_refreshed_access_token_is_dead_at_once(self, desk):
        old = desk.log_in()
        desk.call("public/auth", grant_type="refresh_token", refresh_token=old["refresh_token"])
        refusal = desk.refusal("private/get_positions", access_token=old["access_token"])
        assert refusal.code == 13009

    def test_a_connection_token_is_refused_on_another_connection(self, desk):
        access = desk.log_in()["access_token"]
        other = desk.connect()
        assert desk.refusal("private/get_positions", other, access_token=access).code == 13009

    def test_a_session_token_is_good_on_another_connection(self, desk):
        grant = desk.call(
            "public/auth", grant_type="client_credentials", client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET, scope="session:vigil", state="s",
        )  # fmt: skip
        assert "session:vigil" in grant["scope"]
        assert grant["state"] == "s"
        desk.call("private/get_positions", desk.connect(), access_token=grant["access_token"])

    def test_tokens_of_two_runs_with_one_seed_differ(self, make_desk):
        first, second = make_desk(seed=1), make_desk(seed=1)
        second.now_ms += 1
        assert first.log_in()["access_token"] != second.log_in()["access_token"]


class TestHttpLogin:
    def read(self, desk, header, body=b""):
        return read_login(
            header, verb="GET", uri="/api/v2/private/get_positions?currency=BTC", body=body,
            keys=desk.venue.sessions.keys, now_ms=desk.now_ms,
        )  # fmt: skip

    def test_key_and_secret_log_in(self, desk):
        text = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        assert self.read(desk, f"Basic {text}").key.client_id == CLIENT_ID

    def test_a_signed_request_logs_in(self, desk):
        uri = "/api/v2/private/get_positions?currency=BTC"
        signature = sign(f"{desk.now_ms}\nabc\nGET\n{uri}\n\n")
        header = f"deri-hmac-sha256 id={CLIENT_ID},ts={desk.now_ms},sig={signature},nonce=abc"
        assert self.read(desk, header).key.client_id == CLIENT_ID

    def test_requests_signed_within_a_millisecond_may_share_a_nonce(self, desk, make_desk):
        """Clients take the time for one; whoever wants it refused has a switch."""
        uri = "/api/v2/private/get_positions?currency=BTC"
        signature = sign(f"{desk.now_ms}\n{desk.now_ms}\nGET\n{uri}\n\n")
        header = (
            f"deri-hmac-sha256 id={CLIENT_ID},ts={desk.now_ms},sig={signature},nonce={desk.now_ms}"
        )
        for _ in range(2):
            assert self.read(desk, header).key.client_id == CLIENT_ID
        strict = make_desk(switches=Switches(http_nonce_is_good_once=True))
        self.read(strict, header)
        with pytest.raises(Refusal):
            self.read(strict, header)

    @pytest.mark.parametrize(
        "header",
        ["Basic %%%", "Basic bm9ib2R5Om5v", "deri-hmac-sha256 id=x,ts=now", "Digest x", "Basic"],
    )
    def test_anything_else_is_refused(self, desk, header):
        with pytest.raises(Refusal) as caught:
            self.read(desk, header)
        assert caught.value.code == 13004


class TestHeartbeat:
    def beats(self, desk):
        kinds = [m["params"]["type"] for _, m in desk.heard if m["method"] == "heartbeat"]
        desk.heard.clear()
        return kinds

    def test_an_interval_below_ten_seconds_is_refused(self, desk):
        refusal = desk.refusal("public/set_heartbeat", interval=5)
        assert refusal.data == {"reason": "value must be >= 10", "param": "interval"}

    def test_an_answered_test_request_keeps_the_connection(self, desk):
        desk.call("public/set_heartbeat", interval=10)
        desk.wait(11_900)
        assert self.beats(desk) == []
        for _ in range(5):
            desk.wait(700)
            assert self.beats(desk) == ["heartbeat", "test_request"]
            desk.call("public/test")
            desk.wait(10_000)
        assert desk.hang_ups == []

    def test_a_connection_that_gets_something_is_only_asked(self, desk):
        desk.call("public/set_heartbeat", interval=10)
        desk.subscribe(f"ticker.{LINEAR}.raw")
        desk.wait(12_600)
        assert [m["params"]["type"] for _, m in desk.heard if m["method"] == "heartbeat"] == [
            "test_request"
        ]

    def test_an_unanswered_test_request_ends_it_after_ten_seconds_with_4000(self, desk):
        desk.call("public/set_heartbeat", interval=10)
        desk.wait(12_600)
        desk.call("public/get_time")
        desk.wait(9_900)
        assert desk.hang_ups == []
        desk.wait(100)
        (hang_up,) = desk.hang_ups
        assert (hang_up.code, hang_up.reason) == (4000, "heartbeat close")

    def test_a_disabled_heartbeat_is_silent(self, desk):
        desk.call("public/set_heartbeat", interval=10)
        desk.call("public/disable_heartbeat")
        desk.wait(60_000)
        assert self.beats(desk) == []


class TestCancelOnDisconnect:
    def place(self, desk, connection_id):
        return desk.call(
            "private/buy", connection_id, instrument_name=LINEAR, amount=0.01, price=94900
        )["order"]["order_id"]

    def state(self, desk, order_id):
        return desk.order(order_id)["order_state"]

    def test_it_is_off_by_default(self, desk):
        other = desk.connect()
        desk.log_in(other)
        order_id = self.place(desk, other)
        desk.venue.disconnect(other, desk.now_ms)
        assert self.state(desk, order_id) == "open"

    def test_connection_scope_cancels_its_own_orders_stops_included(self, desk):
        other = desk.connect()
        desk.log_in(other)
        desk.call("private/enable_cancel_on_disconnect", other)
        assert desk.call("private/get_cancel_on_disconnect", other)["enabled"] is True
        mine, theirs = self.place(desk, desk.connection_id), self.place(desk, other)
        stop = desk.call(
            "private/buy", other, instrument_name=LINEAR, amount=0.01, type="stop_market",
            trigger="mark_price", trigger_price=96000,
        )["order"]["order_id"]  # fmt: skip
        desk.subscribe("user.orders.any.any.raw")
        desk._hear(desk.venue.disconnect(other, desk.now_ms))
        assert self.state(desk, mine) == "open"
        assert self.state(desk, theirs) == self.state(desk, stop) == "cancelled"
        reasons = {o["cancel_reason"] for o in desk.on("user.orders.any.any.raw")}
        assert reasons == {"cancel_on_disconnect"}

    def test_account_scope_counts_for_connections_opened_later(self, desk):
        desk.call("private/enable_cancel_on_disconnect", scope="account")
        later = desk.connect()
        desk.log_in(later)
        order_id = self.place(desk, later)
        desk.venue.disconnect(later, desk.now_ms)
        assert self.state(desk, order_id) == "cancelled"

    def test_a_connection_that_was_open_before_keeps_its_own_setting(self, desk):
        other = desk.connect_and_log_in()
        desk.call("private/enable_cancel_on_disconnect", scope="account")
        assert desk.call("private/get_cancel_on_disconnect", other)["enabled"] is False
        assert desk.call("private/get_cancel_on_disconnect", other, scope="account")["enabled"]
        order_id = self.place(desk, other)
        desk.venue.disconnect(other, desk.now_ms)
        assert self.state(desk, order_id) == "open"

    def test_disabling_what_is_not_on_is_13042(self, desk, make_desk):
        refusal = desk.refusal("private/disable_cancel_on_disconnect")
        assert (refusal.code, refusal.message) == (13042, "cod_not_enabled")
        desk.call("private/enable_cancel_on_disconnect")
        assert desk.call("private/disable_cancel_on_disconnect") == "ok"
        lenient = make_desk(switches=Switches(unset_cod_is_refused=False))
        assert lenient.call("private/disable_cancel_on_disconnect") == "ok"

    def test_over_http_only_the_account_can_have_it(self, desk):
        key = desk.venue.sessions.keys.find(CLIENT_ID)
        for scope, code in (("connection", 10030), ("account", None)):
            request = Request(method="private/enable_cancel_on_disconnect", params={"scope": scope})
            answer = desk.venue.receive_alone(request, desk.now_ms, key=key).answer
            assert getattr(answer, "code", None) == code

    @pytest.mark.parametrize("how", ["missed heartbeat", "silence"])
    def test_a_connection_that_is_cut_for_its_silence_loses_its_orders(self, desk, how):
        other = desk.connect_and_log_in()
        desk.call("private/enable_cancel_on_disconnect", other)
        order_id = self.place(desk, other)
        if how == "missed heartbeat":
            desk.call("public/set_heartbeat", other, interval=10)
        while not desk.hang_ups:
            desk.wait(10_000)
            desk.call("public/test")
        (hang_up,) = desk.hang_ups
        assert hang_up.connection_id == other
        desk.venue.disconnect(other, desk.now_ms)
        assert self.state(desk, order_id) == "cancelled"

    @pytest.mark.parametrize(("invalidates", "code"), [(True, 13009), (False, None)])
    def test_a_named_session_outlives_a_logout_only_if_told_to(self, desk, invalidates, code):
        other = desk.connect()
        grant = desk.call(
            "public/auth", other, grant_type="client_credentials", client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET, scope="session:x",
        )  # fmt: skip
        request = Request(method="private/logout", params={"invalidate_token": invalidates})
        desk.venue.receive(other, request, desk.now_ms)
        later, access = desk.connect(), grant["access_token"]
        if code is None:
            desk.call("private/get_positions", later, access_token=access)
        else:
            refusal = desk.refusal("private/get_positions", later, access_token=access)
            assert refusal.code == code

    def test_a_logout_ends_the_named_session_on_every_connection(self, desk):
        ours, theirs, others = desk.connect(), desk.connect(), desk.connect()
        for number, name in ((ours, "x"), (theirs, "x"), (others, "y")):
            desk.call(
                "public/auth", number, grant_type="client_credentials", client_id=CLIENT_ID,
                client_secret=CLIENT_SECRET, scope=f"session:{name}",
            )  # fmt: skip
        desk.venue.receive(ours, Request(method="private/logout"), desk.now_ms)
        assert desk.refusal("private/get_positions", theirs).code == 13009
        assert desk.call("private/get_positions", others) == []

    def test_logout_cancels_nothing_and_has_no_reply(self, desk):
        other = desk.connect()
        desk.log_in(other)
        desk.call("private/enable_cancel_on_disconnect", other)
        order_id = self.place(desk, other)
        request = Request(method="private/logout")
        reaction = desk.venue.receive(other, request, desk.now_ms)
        assert reaction.has_reply is False
        assert [item.connection_id for item in reaction.after] == [other]
        desk.venue.disconnect(other, desk.now_ms)
        assert self.state(desk, order_id) == "open"


class TestErrors:
    def test_an_unknown_method_is_32601(self, desk):
        refusal = desk.refusal("private/get_rich")
        assert (refusal.code, refusal.message) == (-32601, "Method not found")

    def test_a_missing_parameter_is_named(self, desk):
        refusal = desk.refusal("private/get_account_summary")
        assert refusal.data == {"reason": "value required", "param": "currency"}

    def test_a_request_without_an_id_is_answered_or_refused_as_the_switch_says(self, desk):
        request = Request(method="public/test")
        reaction = desk.venue.receive(desk.connection_id, request, desk.now_ms)
        assert reaction.answer == {"version": "1.2.26"}
        strict = Venue(now_ms=desk.now_ms, switches=Switches(refuses_missing_id=True))
        strict.connect(1)
        assert strict.receive(1, request, desk.now_ms).answer.code == 11050
        named = Request(method="public/test", request_id="a")
        assert strict.receive(1, named, desk.now_ms).answer == {"version": "1.2.26"}

    def test_an_exception_can_be_asked_for(self, desk):
        assert desk.refusal("public/test", expected_result="exception").code == -32000

    @pytest.mark.parametrize("method", sorted(METHODS))
    @pytest.mark.parametrize(
        "value", [None, True, -1, 1.5, "x", [], {}, [{}], 10**30, ""], ids=lambda v: repr(v)[:12]
    )
    def test_no_nonsense_parameter_gets_anything_but_a_refusal(self, desk, method, value):
        names = (
            "instrument_name", "amount", "price", "type", "label", "order_id", "currency", "count",
            "start_timestamp", "end_timestamp", "channels", "interval", "scope", "grant_type",
            "resolution", "otoco_config", "linked_order_type", "depth", "index_name", "sorting",
        )  # fmt: skip
        for usual in (
            {},
            {"instrument_name": LINEAR, "currency": "USDC", "amount": 1, "price": 95000},
        ):
            params = usual | {name: value for name in names if name not in usual}
            desk.venue.receive(
                desk.connection_id, Request(method=method, params=params), desk.now_ms
            )

    @pytest.mark.parametrize(
        "method",
        ["public/subscribe", "public/set_heartbeat", "private/enable_cancel_on_disconnect"],
    )
    def test_what_needs_a_connection_is_10030_over_http(self, desk, method):
        request = Request(method=method, params={"channels": [], "interval": 10})
        reaction = desk.venue.receive_alone(
            request, desk.now_ms, key=desk.venue.sessions.keys.find(CLIENT_ID)
        )
        assert reaction.answer.code == 10030


class TestEventOrder:
    def orders_of(self, desk):
        """Whether the events of each of some requests came before their replies."""
        desk.subscribe("user.orders.any.any.raw")
        firsts = set()
        for _ in range(20):
            request = Request(
                method="private/buy",
                params={"instrument_name": LINEAR, "amount": Decimal("0.01"), "type": "market"},
            )
            reaction = desk.venue.receive(desk.connection_id, request, desk.now_ms)
            assert bool(reaction.before) != bool(reaction.after)
            firsts.add(bool(reaction.before))
        return firsts

    def test_events_come_before_and_after_their_replies_as_the_dice_fall(self, desk):
        assert self.orders_of(desk) == {True, False}

    @pytest.mark.parametrize("first", [True, False])
    def test_they_can_be_told_to_keep_to_one_order(self, make_desk, first):
        switches = Switches(mixes_event_order=False, events_before_reply=first)
        assert self.orders_of(make_desk(switches=switches)) == {first}
