"""What stands before a method: credits, rights, the queue."""

import pytest

from vigil.paper.session.credits import Limits, Pool, PoolName
from vigil.paper.session.keys import CLIENT_ID, CLIENT_SECRET, READER_ID, READER_SECRET
from vigil.paper.switches import Switches
from vigil.paper.wire.framing import Request

LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"
OVER_THE_TOP = 200


def spend_all(desk, method, connection_id=None, **params):
    """How many calls went through before the refusal, and the refusal's code."""
    for count in range(OVER_THE_TOP):
        reaction = desk.venue.receive(
            connection_id or desk.connection_id,
            Request(method=method, params=params, request_id=1),
            desk.now_ms,
        )
        desk._hear(reaction.after)
        if getattr(reaction.answer, "code", None) == 10028:
            return count
    raise AssertionError("never refused")


@pytest.fixture
def metered(make_desk):
    return make_desk(limits=Limits())


class TestCredits:
    def test_an_empty_pool_is_10028_and_ends_the_connection(self, metered):
        count = spend_all(metered, "private/get_positions")
        assert count == 100
        (hang_up,) = metered.hang_ups
        assert (hang_up.connection_id, hang_up.reason) == (
            metered.connection_id, "too_many_requests",
        )  # fmt: skip

    def test_a_connection_that_was_told_to_go_is_not_served_any_more(self, metered):
        spend_all(metered, "private/get_positions")
        metered.now_ms += 60_000
        request = Request(method="private/buy", params={"instrument_name": LINEAR, "amount": 1})
        reaction = metered.venue.receive(metered.connection_id, request, metered.now_ms)
        assert not reaction.has_reply
        assert metered.venue.exchange.books.orders == {}

    def test_all_connections_and_keys_of_the_account_share_its_pools(self, metered):
        other, reader = metered.connect(), metered.connect()
        metered.log_in(other)
        metered.call(
            "public/auth", reader, grant_type="client_credentials", client_id=READER_ID,
            client_secret=READER_SECRET,
        )  # fmt: skip
        spend_all(metered, "private/get_positions", other)
        assert metered.refusal("private/get_positions", reader).code == 10028

    def test_http_draws_on_the_same_pools_and_costs_no_socket(self, metered):
        key = metered.venue.sessions.keys.find(CLIENT_ID)
        spend_all(metered, "private/get_positions", metered.connect_and_log_in())
        reaction = metered.venue.receive_alone(
            Request(method="private/get_positions"), metered.now_ms, key=key
        )
        assert reaction.answer.code == 10028
        assert reaction.after == ()

    def test_with_the_other_reading_http_costs_every_socket(self, make_desk):
        desk = make_desk(limits=Limits(), switches=Switches(overrun_over_http_ends_sessions=True))
        key = desk.venue.sessions.keys.find(CLIENT_ID)
        request = Request(method="private/get_positions")
        for _ in range(OVER_THE_TOP):
            reaction = desk.venue.receive_alone(request, desk.now_ms, key=key)
        assert [item.connection_id for item in reaction.after] == [desk.connection_id]

    def test_strangers_pay_for_their_address_and_not_for_the_account(self, metered):
        stranger = metered.connect()
        assert spend_all(metered, "public/get_time", stranger) == 99  # and one log-in
        metered.call("private/get_positions")
        assert metered.refusal("public/get_time", metered.connect()).code == 10028
        elsewhere = 77
        metered.venue.connect(elsewhere, address="10.9.8.7")
        metered.call("public/get_time", elsewhere)

    @pytest.mark.parametrize("method", ["public/auth", "public/test"])
    def test_logging_in_and_heartbeats_cost_credits_too(self, metered, method):
        assert spend_all(metered, method, metered.connect()) == 99

    def test_with_the_other_readings_they_are_free(self, make_desk):
        desk = make_desk(
            limits=Limits(), switches=Switches(auth_costs_credits=False, test_costs_credits=False)
        )
        for _ in range(OVER_THE_TOP):
            desk.call("public/test")
            desk.log_in()

    def test_even_a_method_that_does_not_exist_costs(self, metered):
        assert spend_all(metered, "private/get_rich") == 100

    def test_trading_runs_dry_while_cancel_all_and_reading_go_on(self, metered):
        other = metered.connect_and_log_in()
        count = spend_all(
            metered, "private/buy", other, instrument_name=LINEAR, amount=1, price=90_000
        )
        assert count == 20
        assert metered.refusal("private/cancel", order_id="x").code == 10028
        metered.log_in(later := metered.connect())
        assert metered.call("private/cancel_all", later) == len(metered.venue.exchange.books.orders)
        metered.call("private/get_open_orders", later)

    def test_get_instruments_over_a_socket_has_the_narrow_pool(self, make_desk):
        desk = make_desk(limits=Limits())
        assert spend_all(desk, "public/get_instruments", currency="BTC") == 5
        wide = make_desk(limits=Limits(), switches=Switches(narrow_instruments_pool=False))
        assert spend_all(wide, "public/get_instruments", currency="BTC") == 50

    def test_credits_come_back_with_time(self, metered):
        spend_all(metered, "private/get_positions", metered.connect_and_log_in())
        metered.now_ms += 50
        metered.call("private/get_positions")
        assert metered.refusal("private/get_positions").code == 10028

    def test_running_dry_cancels_the_orders_of_a_connection_that_asked_for_it(self, metered):
        other = metered.connect_and_log_in()
        metered.call("private/enable_cancel_on_disconnect", other)
        order = metered.call(
            "private/buy", other, instrument_name=LINEAR, amount=1, price=90_000
        )["order"]  # fmt: skip
        spend_all(metered, "private/get_positions", other)
        metered.venue.disconnect(other, metered.now_ms)
        metered.now_ms += 1_000
        state = metered.order(order["order_id"])
        assert (state["order_state"], state["cancel_reason"]) == (
            "cancelled", "cancel_on_disconnect",
        )  # fmt: skip

    def test_the_summary_tells_the_limits_in_force(self, make_desk):
        for limits in (Limits(), Limits.of_tier(1)):
            desk = make_desk(limits=limits)
            assert desk.summary()["limits"] == limits.as_object()


class TestRights:
    @pytest.fixture
    def reader(self, desk):
        number = desk.connect()
        desk.call(
            "public/auth", number, grant_type="client_credentials", client_id=READER_ID,
            client_secret=READER_SECRET,
        )  # fmt: skip
        return number

    def test_a_reader_reads(self, desk, reader):
        desk.call("private/get_positions", reader)
        desk.call("private/get_account_summary", reader, currency="BTC")
        desk.call("private/get_cancel_on_disconnect", reader)

    @pytest.mark.parametrize(
        ("method", "params"),
        [
            ("private/buy", {"instrument_name": LINEAR, "amount": 1, "price": 90_000}),
            ("private/cancel_all", {}),
            ("private/enable_cancel_on_disconnect", {}),
        ],
    )
    def test_and_changes_nothing(self, desk, reader, method, params):
        refusal = desk.refusal(method, reader, **params)
        assert (refusal.code, refusal.message) == (13403, "scope_exceeded")

    @pytest.mark.parametrize(("code", "word"), [(13021, "forbidden"), (11042, "permission_denied")])
    def test_the_other_readings_are_other_codes(self, make_desk, code, word):
        desk = make_desk(switches=Switches(scope_refusal_code=code))
        desk.call(
            "public/auth", grant_type="client_credentials", client_id=READER_ID,
            client_secret=READER_SECRET,
        )  # fmt: skip
        refusal = desk.refusal("private/cancel_all")
        assert (refusal.code, refusal.message) == (code, word)

    def test_channels_beyond_the_scope_vanish_from_the_answer(self, desk):
        desk.call(
            "public/auth", grant_type="client_credentials", client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET, scope="account:none trade:read",
        )  # fmt: skip
        channels = ["user.portfolio.btc", "user.trades.any.any.raw", f"quote.{LINEAR}"]
        accepted = desk.call("private/subscribe", channels=channels)
        assert sorted(accepted) == [f"quote.{LINEAR}", "user.trades.any.any.raw"]


class TestQueue:
    """Only with a processing time, which the venue has none of by itself."""

    @pytest.fixture
    def slow(self, desk):
        desk.venue.queue.processing_ms = 100
        return desk

    def send(self, desk, method, **params):
        request = Request(method=method, params=params, request_id=1)
        return desk.venue.receive(desk.connection_id, request, desk.now_ms)

    def buy(self, desk, **params):
        return self.send(
            desk, "private/buy", instrument_name=LINEAR, amount=1, price=90_000, **params
        )

    def resume(self, desk, reaction):
        desk.now_ms = max(desk.now_ms, reaction.waiting.ticket.due_ms)
        return desk.venue.resume(reaction.waiting, desk.now_ms).answer

    def test_a_request_is_answered_when_its_turn_has_come(self, slow):
        reaction = self.buy(slow)
        assert not reaction.has_reply
        assert slow.venue.exchange.books.orders == {}
        assert self.resume(slow, reaction)["order"]["order_state"] == "open"

    def test_reading_does_not_wait(self, slow):
        self.buy(slow)
        assert slow.call("private/get_positions") == []

    def test_more_than_eight_waiting_is_10047(self, slow):
        for _ in range(9):
            assert self.buy(slow).waiting is not None
        assert self.buy(slow).answer.code == 10047
        other = self.send(
            slow, "private/buy", instrument_name=INVERSE, amount=10, price=90_000
        )  # fmt: skip
        assert other.waiting is not None

    def test_cancel_all_purges_what_waits(self, slow):
        running, *waiting = [self.buy(slow) for _ in range(3)]
        cancelling = self.send(slow, "private/cancel_all")
        assert self.resume(slow, running)["order"]["order_state"] == "open"
        for each in waiting:
            refusal = self.resume(slow, each)
            assert (refusal.code, refusal.message) == (13666, "request_cancelled_by_user")
        assert self.resume(slow, cancelling) == 1

    def test_valid_until_is_judged_when_the_request_is_carried_out(self, slow):
        in_time = self.buy(slow, valid_until=slow.now_ms + 100)
        too_late = self.buy(slow, valid_until=slow.now_ms + 199)
        assert self.resume(slow, in_time)["order"]["order_state"] == "open"
        refusal = self.resume(slow, too_late)
        assert (refusal.code, refusal.message) == (13888, "timed_out")

    def test_a_request_is_carried_out_though_its_connection_is_gone(self, slow):
        reaction = self.buy(slow, label="late")
        slow.venue.disconnect(slow.connection_id, slow.now_ms)
        self.resume(slow, reaction)
        slow.log_in(again := slow.connect())
        (order,) = slow.call("private/get_open_orders", again)
        assert order["label"] == "late"


@pytest.mark.parametrize(("late_ms", "is_taken"), [(-1, True), (0, True), (1, False)])
def test_valid_until_holds_to_the_millisecond(desk, late_ms, is_taken):
    params = {"instrument_name": LINEAR, "amount": 1, "price": 90_000}
    params["valid_until"] = desk.now_ms - late_ms
    if is_taken:
        desk.call("private/buy", **params)
    else:
        assert desk.refusal("private/buy", **params).code == 13888


def test_a_narrower_pool_can_be_given(make_desk):
    limits = Limits().with_pools({PoolName.TRADING: Pool.of_rate(1, 2)})
    desk = make_desk(limits=limits)
    count = spend_all(desk, "private/buy", instrument_name=LINEAR, amount=1, price=90_000)
    assert count == 2
