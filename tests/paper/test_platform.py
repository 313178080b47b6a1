"""Locks and maintenance: what is told of them, and what they refuse."""

import pytest

from vigil.paper.switches import Switches

LINEAR, INVERSE, ETHER = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL", "ETH_USDC-PERPETUAL"


def released(desk, outgoing):
    desk._hear(outgoing)


class TestPlatformLock:
    def test_a_locked_index_takes_no_orders_and_says_so(self, desk):
        desk.subscribe("platform_state")
        desk.on("platform_state")
        released(desk, desk.venue.operator.lock_platform("btc_usdc"))
        assert desk.on("platform_state") == [{"price_index": "btc_usdc", "locked": True}]
        status = desk.call("public/status")
        assert status == {"locked": "partial", "locked_indices": ["btc_usdc"]}
        refusal = desk.refusal("private/buy", instrument_name=LINEAR, amount=0.01, price=90000)
        assert (refusal.code, refusal.message) == (10019, "locked_by_admin")
        desk.buy(INVERSE, amount=10, price=94000)

    def test_a_whole_lock_is_told_as_a_string(self, desk):
        desk.venue.operator.lock_platform()
        status = desk.call("public/status")
        assert status["locked"] == "true"
        assert set(status["locked_indices"]) == set(desk.venue.exchange.catalogue.index_names)

    def test_an_order_can_be_cancelled_under_a_lock(self, desk):
        order = desk.buy(amount=0.01, price=90000)["order"]
        desk.venue.operator.lock_platform()
        cancelled = desk.call("private/cancel", order_id=order["order_id"])
        assert cancelled["order_state"] == "cancelled"

    def test_nothing_fills_under_a_lock(self, desk):
        order = desk.buy(amount=0.01, price=94000)["order"]
        desk.venue.operator.lock_platform("btc_usdc")
        desk.move(90000)
        assert desk.order(order["order_id"])["order_state"] == "open"

    def test_its_release_ends_every_login(self, desk):
        desk.venue.operator.lock_platform()
        desk.venue.operator.unlock_platform()
        assert desk.refusal("private/get_positions").code == 13009
        desk.log_in()
        desk.buy(amount=0.01, price=94000)

    def test_with_the_other_reading_logins_outlive_it(self, make_desk):
        desk = make_desk(switches=Switches(unlock_drops_logins=False))
        desk.venue.operator.lock_platform()
        desk.venue.operator.unlock_platform()
        desk.call("private/get_positions")

    def test_an_index_that_does_not_exist_is_an_error(self, desk):
        with pytest.raises(ValueError, match="no index doge_usd"):
            desk.venue.operator.lock_platform("doge_usd")


class TestMaintenance:
    def test_every_order_method_is_refused_and_reading_goes_on(self, desk):
        order = desk.buy(amount=0.01, price=94000)["order"]
        desk.subscribe("platform_state")
        desk.on("platform_state")
        released(desk, desk.venue.operator.start_maintenance())
        assert desk.on("platform_state") == [{"maintenance": True}]
        for method, params in (
            ("private/buy", {"instrument_name": LINEAR, "amount": 0.01, "price": 94000}),
            ("private/cancel", {"order_id": order["order_id"]}),
            ("private/cancel_all", {}),
        ):
            refusal = desk.refusal(method, **params)
            assert (refusal.code, refusal.message) == (11051, "system_maintenance")
        assert len(desk.open_orders()) == 1

    def test_it_is_announced_before_it_begins(self, desk):
        desk.subscribe("platform_state")
        desk.on("platform_state")
        released(desk, desk.venue.operator.announce_maintenance())
        assert desk.on("platform_state") == [{"maintenance": True}]
        desk.buy(amount=0.01, price=94000)

    def test_after_it_orders_are_taken_again_by_those_who_log_in_afresh(self, desk):
        desk.venue.operator.start_maintenance()
        desk.venue.operator.end_maintenance()
        assert desk.refusal("private/get_positions").code == 13009
        desk.log_in()
        desk.buy(amount=0.01, price=94000)

    def test_a_lock_that_was_there_before_outlives_it(self, desk):
        desk.venue.operator.lock_platform("btc_usdc")
        desk.venue.operator.start_maintenance()
        desk.venue.operator.end_maintenance()
        desk.log_in()
        assert desk.call("public/status")["locked_indices"] == ["btc_usdc"]
        assert desk.refusal(
            "private/buy", instrument_name=LINEAR, amount=0.01, price=94000
        ).code == 10019  # fmt: skip


class TestAccountLock:
    def test_a_locked_currency_takes_no_orders_but_cancels(self, desk):
        order = desk.buy(amount=0.01, price=94000)["order"]
        desk.subscribe("user.lock")
        released(desk, desk.venue.operator.lock_account("USDC"))
        assert desk.on("user.lock") == [{"currency": "USDC", "locked": True}]
        locks = {row["currency"]: row["locked"] for row in desk.call("private/get_user_locks")}
        assert locks["USDC"] is True
        assert locks["BTC"] is False
        for method, params in (
            ("private/buy", {"instrument_name": LINEAR, "amount": 0.01, "price": 94000}),
            ("private/edit", {"order_id": order["order_id"], "amount": 0.02, "price": 94000}),
            ("private/close_position", {"instrument_name": LINEAR, "type": "market"}),
        ):
            refusal = desk.refusal(method, **params)
            assert (refusal.code, refusal.message) == (11098, "account_locked")
        desk.call("private/cancel", order_id=order["order_id"])
        desk.buy(INVERSE, amount=10, price=94000)
        released(desk, desk.venue.operator.unlock_account("USDC"))
        assert desk.on("user.lock") == [{"currency": "USDC", "locked": False}]
        desk.buy(amount=0.01, price=94000)

    def test_all_means_every_currency(self, desk):
        desk.venue.operator.lock_account()
        assert all(row["locked"] for row in desk.call("private/get_user_locks"))

    def test_the_other_reading_is_another_code(self, make_desk):
        desk = make_desk(switches=Switches(account_locked_code=10019))
        desk.venue.operator.lock_account("USDC")
        refusal = desk.refusal("private/buy", instrument_name=LINEAR, amount=0.01, price=94000)
        assert (refusal.code, refusal.message) == (10019, "locked_by_admin")


class TestPublicMethods:
    def test_they_can_be_closed_to_those_who_are_not_logged_in(self, desk):
        channel = "platform_state.public_methods_state"
        desk.subscribe(channel)
        assert desk.on(channel) == [{"allow_unauthenticated_public_requests": True}]
        released(desk, desk.venue.operator.allow_public_requests(is_on=False))
        assert desk.on(channel) == [{"allow_unauthenticated_public_requests": False}]
        stranger = desk.connect()
        assert desk.refusal("public/get_time", stranger).code == 11056
        desk.log_in(stranger)
        desk.call("public/get_time", stranger)
        released(desk, desk.venue.operator.allow_public_requests(is_on=True))
        desk.call("public/get_time", desk.connect())
