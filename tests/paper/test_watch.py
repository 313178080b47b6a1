"""Silence ends a connection, and the end of a login its private channels."""

import pytest

from vigil.paper.reactions import CUT
from vigil.paper.switches import Switches

LINEAR = "BTC_USDC-PERPETUAL"


def cut(desk):
    return [item.connection_id for item in desk.hang_ups if item.code == CUT]


class TestIdle:
    def test_a_silent_connection_is_cut_without_a_close_frame_after_sixty_seconds(self, desk):
        desk.wait(59_999)
        assert desk.hang_ups == []
        desk.wait(1)
        assert cut(desk) == [desk.connection_id]

    def test_one_that_never_said_a_word_is_cut_as_well(self, desk):
        stranger = desk.connect()
        desk.wait(100)
        desk.wait(60_000)
        assert stranger in cut(desk)

    def test_any_request_starts_the_time_anew(self, desk):
        for _ in range(5):
            desk.wait(59_000)
            desk.call("public/get_time")
        assert desk.hang_ups == []

    def test_a_quiet_subscription_keeps_it_open(self, desk):
        desk.subscribe("user.trades.any.any.raw")
        desk.wait(61_000)
        desk.wait(61_000)
        assert desk.hang_ups == []

    def test_a_heartbeat_keeps_it_open_as_long_as_it_is_answered(self, desk):
        desk.call("public/set_heartbeat", interval=100)
        desk.wait(90_000)
        assert desk.hang_ups == []

    def test_with_the_other_reading_it_takes_ten_minutes(self, make_desk):
        desk = make_desk(switches=Switches(idle_close_s=600))
        desk.wait(599_000)
        assert desk.hang_ups == []
        desk.wait(1_000)
        assert cut(desk) == [desk.connection_id]


class TestEndedLogin:
    @pytest.mark.parametrize("how", ["expired", "expired by hand", "revoked", "key revoked"])
    def test_private_channels_stop_and_public_ones_go_on(self, desk, how):
        private, public = f"user.trades.{LINEAR}.raw", f"ticker.{LINEAR}.100ms"
        desk.subscribe(private, public)
        match how:
            case "expired":
                desk.now_ms += 900_000
            case "expired by hand":
                desk.venue.operator.expire_tokens(desk.now_ms)
            case "revoked":
                desk.venue.operator.drop_all_sessions()
            case _:
                desk.venue.operator.revoke_key("vigil-paper")
        desk.wait(100)
        assert desk.venue.publisher.channels_of(desk.connection_id) == [public]
        assert desk.on(public)

    def test_a_refresh_in_time_keeps_them(self, desk):
        channel = f"user.trades.{LINEAR}.raw"
        grant = desk.log_in()
        desk.subscribe(channel)
        desk.wait(800_000)
        desk.call("public/auth", grant_type="refresh_token", refresh_token=grant["refresh_token"])
        desk.wait(200_000)
        desk.buy(amount=0.01, type="market")
        assert desk.on(channel)

    def test_with_the_other_reading_they_go_on(self, make_desk):
        desk = make_desk(switches=Switches(expired_login_stops_channels=False))
        channel = f"user.trades.{LINEAR}.raw"
        desk.subscribe(channel)
        desk.wait(901_000)
        assert desk.venue.publisher.channels_of(desk.connection_id) == [channel]


class TestClockSetBack:
    """By an hour, as a machine's or the fault menu's may be."""

    @pytest.fixture
    def early(self, desk):
        desk.call("public/set_heartbeat", interval=10)
        desk.subscribe("deribit_price_index.btc_usd", "user.portfolio.btc", f"book.{LINEAR}.agg2")
        for _ in range(3):
            desk.wait(1000)
        desk.now_ms -= 3_600_000
        desk.heard.clear()
        return desk

    def test_channels_that_speak_seldom_go_on(self, early):
        early.move(95_000)
        early.wait(1000)
        heard = {message["params"].get("channel") for _, message in early.heard}
        assert {"deribit_price_index.btc_usd", f"book.{LINEAR}.agg2"} <= heard

    def test_heartbeats_come_and_those_who_do_not_answer_are_cut(self, early):
        for _ in range(24):
            early.wait(1000)
        assert [item.code for item in early.hang_ups] == [4000]

    def test_silence_is_counted_from_then(self, early):
        stranger = early.connect()
        early.now_ms += 3_600_000
        early.wait(1000)
        early.now_ms -= 3_600_000
        early.wait(1000)
        early.wait(60_000)
        assert stranger in cut(early)
