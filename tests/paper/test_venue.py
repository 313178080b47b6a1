"""Login, tokens, heartbeats, disconnects, and how errors answer."""

import base64
import hashlib
import hmac

import pytest

from vigil.paper.refusals import Refusal
from vigil.paper.session.http_login import read_login
from vigil.paper.session.sessions import CLIENT_ID, CLIENT_SECRET
from vigil.paper.venue import METHODS
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
            sessions=desk.venue.sessions, now_ms=desk.now_ms,
        )  # fmt: skip

    def test_key_and_secret_log_in(self, desk):
        text = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        assert self.read(desk, f"Basic {text}").is_logged_in

    def test_a_signed_request_logs_in(self, desk):
        uri = "/api/v2/private/get_positions?currency=BTC"
        signature = sign(f"{desk.now_ms}\nabc\nGET\n{uri}\n\n")
        header = f"deri-hmac-sha256 id={CLIENT_ID},ts={desk.now_ms},sig={signature},nonce=abc"
        assert self.read(desk, header).is_logged_in

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
        desk.wait(11_000)
        assert self.beats(desk) == []
        for _ in range(5):
            desk.wait(1_000)
            assert self.beats(desk) == ["heartbeat", "test_request"]
            desk.call("public/test")
            desk.wait(9_000)
        assert desk.hang_ups == []

    def test_an_unanswered_test_request_ends_it_after_ten_seconds_with_4000(self, desk):
        desk.call("public/set_heartbeat", interval=10)
        desk.wait(12_000)
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
        reaction = desk.venue.receive_alone(request, desk.now_ms, is_logged_in=True)
        assert reaction.answer.code == 10030
