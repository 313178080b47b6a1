"""Settlement, delivery and funding, seen by the account and across restarts."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from vigil.paper.account.clearing import SETTLEMENT_MS
from vigil.paper.account.positions import PaperPosition
from vigil.paper.market.delivery_price import DAY_MS, next_expiry_ms
from vigil.paper.market.market import BookState
from vigil.paper.persistence import StateFile
from vigil.paper.switches import Switches
from vigil.paper.venue import Venue

D = Decimal
LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"


def sleep(desk, ms):
    """Let time pass, and log in again: tokens do not live as long."""
    desk.wait(ms)
    desk.log_in()


def to_settlement(desk, *, beyond_ms=0):
    sleep(desk, next_expiry_ms(desk.now_ms) - desk.now_ms + beyond_ms)


def log(desk, currency="USDC", **params):
    return desk.call(
        "private/get_transaction_log", currency=currency,
        start_timestamp=0, end_timestamp=2**46, **params,
    )["logs"]  # fmt: skip


def dated(desk, family, *, period="month", is_option=False, is_call=True):
    """The nearest dated instrument of a family."""
    return next(
        name
        for name, market in desk.venue.exchange.markets.items()
        if name.startswith(family)
        and market.listing.settlement_period == period
        and market.listing.contract.is_option is is_option
        and (not is_option or market.listing.is_call is is_call)
        and market.state is BookState.OPEN
    )


class TestSettlement:
    @pytest.mark.parametrize(
        ("name", "currency", "amount"), [(LINEAR, "USDC", 1), (INVERSE, "BTC", 50_000)]
    )
    def test_the_sessions_profit_of_futures_becomes_cash(self, desk, name, currency, amount):
        desk.buy(name, amount=amount, type="market")
        desk.move(95_800)
        desk.sell(name, amount=amount // 2 or D("0.4"), type="market")
        before = desk.summary(currency)
        assert before["session_rpl"] > 0 < before["session_upl"]
        to_settlement(desk)
        after = desk.summary(currency)
        gained = before["session_rpl"] + before["session_upl"]
        assert abs(after["balance"] - before["balance"] - gained) <= D("2e-8")
        assert after["session_rpl"] == after["session_upl"] == 0
        assert abs(after["equity"] - before["equity"]) <= D("2e-8")

    def test_size_and_average_stay_and_the_sessions_figures_begin_anew(self, desk):
        desk.buy(amount=1, type="market")
        desk.move(95_800)
        desk.sell(amount=0.4, type="market")
        before = desk.position()
        to_settlement(desk)
        after = desk.position()
        assert (after["size"], after["average_price"]) == (before["size"], before["average_price"])
        assert after["settlement_price"] == before["mark_price"]
        assert after["realized_profit_loss"] == after["floating_profit_loss"] == 0
        assert after["total_profit_loss"] == before["total_profit_loss"] > 0

    def test_the_log_and_the_history_tell_of_it(self, desk):
        desk.sell(amount=1, type="market")
        desk.move(95_800)
        floating = desk.position()["floating_profit_loss"]
        to_settlement(desk)
        row = log(desk)[0]
        assert (row["type"], row["side"], row["position"]) == ("settlement", "short", -1)
        assert row["change"] == row["cashflow"] == floating
        assert row["commission"] is None
        assert row["info"]["floating_pl"] == row["session_upl"] == floating
        assert row["price"] == row["info"]["settlement_price"] == desk.market().settlement_price
        page = desk.call("private/get_settlement_history_by_instrument", instrument_name=LINEAR)
        (told,) = page["settlements"]
        assert (told["type"], told["position"]) == ("settlement", -1)
        assert told["session_profit_loss"] == row["change"]
        assert told["timestamp"] == row["timestamp"] == desk.now_ms

    def test_what_was_closed_in_the_session_is_settled_and_forgotten(self, desk):
        desk.buy(amount=1, type="market")
        desk.move(95_800)
        desk.sell(amount=1, type="market")
        rpl = desk.summary()["session_rpl"]
        to_settlement(desk)
        row = log(desk)[0]
        assert (row["type"], row["side"], row["position"], row["change"]) == (
            "settlement", "-", 0, rpl,
        )  # fmt: skip
        assert desk.call("private/get_positions", currency="any") == []

    def test_books_are_closed_for_seconds_and_nobody_trades(self, desk):
        order = desk.buy(amount=0.1, price=94_500)["order"]
        to_settlement(desk)
        assert desk.call("public/ticker", instrument_name=LINEAR)["state"] == "settlement"
        for method, params in (
            ("private/buy", {"instrument_name": LINEAR, "amount": D("0.1"), "type": "market"}),
            ("private/edit", {"order_id": order["order_id"], "amount": D("0.2")}),
            ("private/cancel", {"order_id": order["order_id"]}),
        ):
            assert desk.refusal(method, **params).code == 10041
        desk.move(94_000)
        assert desk.order(order["order_id"])["order_state"] == "open"
        sleep(desk, SETTLEMENT_MS)
        desk.move(94_001)
        assert desk.call("public/ticker", instrument_name=LINEAR)["state"] == "open"
        assert desk.order(order["order_id"])["order_state"] == "filled"

    def test_the_moment_comes_with_the_first_request_too(self, desk):
        desk.now_ms = next_expiry_ms(desk.now_ms)
        desk.log_in()
        assert desk.refusal("private/buy", instrument_name=LINEAR, amount=1).code == 10041

    def test_orders_of_the_day_end_and_others_stay(self, desk):
        day = desk.buy(amount=0.1, price=94_500, time_in_force="good_til_day")["order"]
        good = desk.buy(amount=0.1, price=94_500)["order"]
        stop = desk.sell(
            amount=0.1, type="stop_limit", trigger="mark_price", trigger_price=90_000,
            price=89_990, time_in_force="good_til_day",
        )["order"]  # fmt: skip
        to_settlement(desk)
        for order in (day, stop):
            ended = desk.order(order["order_id"])
            assert (ended["order_state"], ended["cancel_reason"]) == ("cancelled", "settlement")
        assert desk.order(good["order_id"])["order_state"] == "open"

    def test_a_locked_book_stays_locked(self, desk):
        desk.market().state = BookState.LOCKED
        to_settlement(desk)
        sleep(desk, SETTLEMENT_MS)
        assert desk.market().state is BookState.LOCKED

    def test_missed_settlements_are_made_up_for_one_by_one(self, desk):
        desk.buy(amount=1, type="market")
        desk.market().premium = D(0)
        desk.venue.exchange.set_premium(LINEAR, D("0.00125"), desk.now_ms)
        desk.wait(3 * DAY_MS)
        desk.log_in()
        rows = [row for row in log(desk) if row["type"] == "settlement"]
        assert [datetime.fromtimestamp(r["timestamp"] / 1000, UTC).hour for r in rows] == [8, 8, 8]
        day = 3 * D("0.001") * D(95_000)
        assert [row["interest_pl"] for row in rows[:2]] == [-day, -day]
        assert sum(row["change"] for row in log(desk)) == desk.summary()["balance"] - 100_000

    def test_a_clock_set_back_before_it_opens_the_books_and_settles_no_second_time(self, desk):
        desk.buy(amount=1, type="market")
        began_ms = desk.now_ms
        to_settlement(desk)
        assert desk.refusal("private/buy", instrument_name=LINEAR, amount=1).code == 10041
        desk.now_ms = began_ms
        desk.wait(100)
        assert desk.market().state is BookState.OPEN
        assert desk.buy(amount=1, type="market")["order"]["order_state"] == "filled"
        desk.now_ms = next_expiry_ms(began_ms) - 100
        desk.wait(100)
        assert [row["type"] for row in log(desk)].count("settlement") == 1

    def test_books_closed_by_hand_after_the_clock_was_set_back_open_again(self, desk):
        began_ms = desk.now_ms
        desk.wait(2 * DAY_MS)
        desk.now_ms = began_ms
        desk.log_in()
        desk.venue.exchange.clearing.settle(desk.now_ms)
        desk.wait(SETTLEMENT_MS - 1)
        assert desk.market().state is BookState.SETTLEMENT
        desk.wait(1)
        assert desk.market().state is BookState.OPEN

    def test_options_are_summarised_without_moving_cash(self, desk):
        name = dated(desk, "BTC-", is_option=True)
        desk.buy(name, amount=1, type="market")
        desk.move(96_000)
        before, option = desk.summary("BTC"), desk.position(name)
        assert before["options_session_upl"] == option["floating_profit_loss"] != 0
        # One move later in time its mark has decayed a little already.
        to_settlement(desk)
        (row,) = (r for r in log(desk, "BTC") if r["type"] == "options_settlement_summary")
        assert (row["change"], row["balance"]) == (0, before["balance"])
        assert row["session_upl"] != 0
        after = desk.summary("BTC")
        assert after["balance"] == before["balance"]
        assert after["options_session_rpl"] == 0
        assert desk.position(name)["average_price"] == option["average_price"]

    @pytest.mark.parametrize("since_settlement", [True, False])
    def test_a_trades_profit_after_a_settlement_is_a_switch(self, make_desk, since_settlement):
        desk = make_desk(switches=Switches(trade_profit_since_settlement=since_settlement))
        entry = desk.buy(amount=1, type="market")["order"]["average_price"]
        desk.move(95_800)
        to_settlement(desk, beyond_ms=SETTLEMENT_MS)
        sleep(desk, 1)
        settlement_price = desk.market().settlement_price
        trades = desk.sell(amount=1, type="market")["trades"]
        base = settlement_price if since_settlement else entry
        profit = sum(trade["amount"] * (trade["price"] - base) for trade in trades)
        assert abs(sum(trade["profit_loss"] for trade in trades) - profit) < D("0.001")
        since = sum(trade["amount"] * (trade["price"] - settlement_price) for trade in trades)
        told = sum(row["cashflow"] for row in log(desk) if row["side"] == "close sell")
        assert told == since


class TestDelivery:
    @pytest.mark.parametrize(
        ("family", "amount", "gain"), [("BTC_USDC-", "0.5", "linear"), ("BTC-", "50000", "inverse")]
    )
    def test_a_future_ends_at_the_average_index_without_a_trade(self, desk, family, amount, gain):
        name = dated(desk, family, period="week")
        currency = desk.market(name).listing.currency
        expires_ms = desk.market(name).listing.expires_ms
        desk.buy(name, amount=D(amount), type="market")
        entry = desk.position(name)["average_price"]
        trades = len(desk.venue.exchange.books.trades)
        before = desk.summary(currency)
        sleep(desk, expires_ms - desk.now_ms - 15 * 60_000)
        desk.move(96_000)
        settled = sum(r["change"] for r in log(desk, currency) if r["type"] == "settlement")
        sleep(desk, 15 * 60_000)
        price = D(95_500)  # half the window at 95 000, half at 96 000
        assert desk.call("public/ticker", instrument_name=name)["delivery_price"] == price
        row = log(desk, currency)[0]
        assert (row["type"], row["side"], row["position"]) == ("delivery", "close sell", 0)
        assert (row["settlement_price"], row["commission"]) == (price, 0)  # weekly: no fee
        profit = D(amount) * (price - entry)
        if gain == "inverse":
            profit = D(amount) / entry - D(amount) / price
        assert abs(settled + row["change"] - profit) < D("1e-7" if gain == "inverse" else "1e-3")
        assert desk.position(name)["direction"] == "zero"
        assert name not in [p["instrument_name"] for p in desk.call("private/get_positions")]
        assert len(desk.venue.exchange.books.trades) == trades
        after = desk.summary(currency)
        assert after["balance"] == before["balance"] + settled + row["change"]
        page = desk.call(
            "private/get_settlement_history_by_currency", currency=currency, type="delivery"
        )
        assert [told["instrument_name"] for told in page["settlements"]] == [name]

    @pytest.mark.parametrize("family", ["BTC-", "BTC_USDC-"])
    @pytest.mark.parametrize("is_call", [True, False])
    @pytest.mark.parametrize("side", ["buy", "sell"])
    def test_an_option_pays_what_it_is_in_the_money_by(self, desk, family, is_call, side):
        name = dated(desk, family, period="week", is_option=True, is_call=is_call)
        market = desk.market(name)
        currency, strike = market.listing.currency, market.listing.strike
        trades = desk.call(
            f"private/{side}", instrument_name=name, amount=D(1), type="market"
        )["trades"]  # fmt: skip
        premium = sum(trade["price"] * trade["amount"] for trade in trades)
        fees = sum(trade["fee"] for trade in trades)
        sleep(desk, market.listing.expires_ms - desk.now_ms - 31 * 60_000)
        price = strike + (4_000 if is_call else -4_000)
        desk.move(price)
        sleep(desk, 31 * 60_000)
        worth = D(4_000) if family == "BTC_USDC-" else D(4_000) / price
        row = log(desk, currency)[0]
        rows = [r for r in log(desk, currency) if r["type"] == "delivery"]
        assert [row["instrument_name"] for row in rows] == [name]
        (row,) = rows
        sign = 1 if side == "buy" else -1
        assert row["cashflow"] == round(sign * worth, 8)
        assert row["price"] == worth
        assert row["settlement_price"] == price
        fee = D("0.00015") * (price if family == "BTC_USDC-" else 1)
        assert row["commission"] == round(fee, 8)
        start = {"BTC": D(10), "USDC": D(100_000)}[currency]
        gained = sign * (worth - premium) - fees - row["commission"]
        assert abs(desk.summary(currency)["equity"] - start - gained) < D("2e-8")

    def test_orders_are_cancelled_and_the_book_is_gone(self, desk):
        name = dated(desk, "BTC-", period="week")
        price = desk.market(name).min_price
        order = desk.buy(name, amount=10, price=price)["order"]
        sleep(desk, desk.market(name).listing.expires_ms - desk.now_ms)
        told = desk.order(order["order_id"])
        assert (told["order_state"], told["cancel_reason"]) == ("cancelled", "settlement")
        assert desk.market(name).state is BookState.DELIVERED
        assert desk.refusal("private/buy", instrument_name=name, amount=10, type="market").code in (
            10012, 13019,
        )  # fmt: skip
        sleep(desk, SETTLEMENT_MS)
        assert desk.market(name).state is BookState.DELIVERED

    def test_it_can_be_asked_for(self, desk):
        name = dated(desk, "BTC_USDC-", is_option=True)
        desk.buy(name, amount=1, type="market")
        desk.venue.exchange.clearing.deliver(name, desk.now_ms, D(150_000))
        strike = desk.market(name).listing.strike
        assert log(desk)[0]["cashflow"] == 150_000 - strike
        assert desk.market(name).delivery_price == 150_000


class TestFunding:
    @pytest.mark.parametrize(("premium", "rate"), [("0.00125", "0.001"), ("-0.00125", "-0.001")])
    def test_a_position_pays_by_the_millisecond(self, desk, premium, rate):
        desk.buy(amount=2, type="market")
        desk.venue.exchange.set_premium(LINEAR, D(premium), desk.now_ms)
        before = desk.summary()
        desk.wait(60_000)
        paid = D(rate) * 2 * 95_000 * 60_000 / 28_800_000
        assert desk.position()["realized_funding"] == round(-paid, 9)
        assert desk.summary()["session_rpl"] == round(-paid, 8)
        assert desk.summary()["balance"] == before["balance"]
        assert desk.call("public/ticker", instrument_name=LINEAR)["current_funding"] == D(rate)

    def test_what_was_received_follows_from_the_interest_value(self, desk):
        desk.sell(INVERSE, amount=40_000, type="market")
        desk.venue.exchange.set_premium(INVERSE, D("0.001"), desk.now_ms)
        desk.wait(1_000)
        first = desk.position(INVERSE)
        desk.wait(3_600_000)
        desk.log_in()
        second = desk.position(INVERSE)
        grown = second["interest_value"] - first["interest_value"]
        received = second["realized_funding"] - first["realized_funding"]
        assert abs(received - 40_000 * grown / 28_800_000) < D("2e-9")
        assert received > 0

    def test_only_the_time_that_a_position_was_there_counts(self, desk):
        desk.venue.exchange.set_premium(LINEAR, D("0.00125"), desk.now_ms)
        desk.now_ms += 30_000
        desk.buy(amount=2, type="market")
        desk.wait(30_000)
        paid = D("0.001") * 2 * 95_000 * 30_000 / 28_800_000
        assert desk.position()["realized_funding"] == round(-paid, 9)

    def test_a_small_premium_costs_nothing(self, desk):
        desk.buy(amount=2, type="market")
        desk.wait(3_600_000)
        desk.log_in()
        assert desk.position()["realized_funding"] == desk.summary()["session_rpl"] == 0

    @pytest.mark.parametrize("is_inside", [True, False])
    def test_whether_realised_profit_holds_it_is_a_switch(self, make_desk, is_inside):
        desk = make_desk(switches=Switches(realized_profit_has_funding=is_inside))
        desk.buy(amount=2, type="market")
        desk.venue.exchange.set_premium(LINEAR, D("0.00125"), desk.now_ms)
        desk.wait(60_000)
        position = desk.position()
        assert position["realized_funding"] < 0
        expected = position["realized_funding"] if is_inside else 0
        assert position["realized_profit_loss"] == expected


class Kept:
    """A desk whose venue is stored after every step, and can be started again from that."""

    def __init__(self, desk, path):
        self.desk, self.file = desk, StateFile(path)

    def restart(self, *, after_ms=0):
        self.file.save(self.desk.venue.drain_changes(self.desk.now_ms + 10_000))
        self.desk.now_ms += after_ms
        self.desk.venue = Venue(now_ms=self.desk.now_ms, saved=self.file.load())
        self.desk.connection_id = self.desk.connect()
        self.desk.log_in()


@pytest.fixture
def kept(desk, tmp_path):
    keeper = Kept(desk, tmp_path / "paper.sqlite")
    yield keeper
    keeper.file.close()


class TestRestarts:
    def test_a_settlement_goes_on_where_it_was(self, desk, kept):
        desk.buy(amount=1, type="market")
        to_settlement(desk, beyond_ms=SETTLEMENT_MS - 1_000)
        rows = log(desk)
        kept.restart(after_ms=500)
        assert log(desk) == rows
        assert desk.refusal("private/buy", instrument_name=LINEAR, amount=1).code == 10041
        desk.wait(500)
        assert desk.market().state is BookState.OPEN
        assert log(desk) == rows

    def test_a_book_that_a_hand_closed_for_a_settlement_is_open_afterwards(self, desk, kept):
        desk.market().state = BookState.SETTLEMENT
        kept.restart()
        assert desk.market().state is BookState.OPEN

    def test_settlements_missed_while_down_are_made_up_for(self, desk, kept):
        desk.buy(amount=1, type="market")
        desk.venue.exchange.set_premium(LINEAR, D("0.00125"), desk.now_ms)
        kept.restart(after_ms=2 * DAY_MS)
        desk.wait(SETTLEMENT_MS)
        rows = [row for row in log(desk) if row["type"] == "settlement"]
        assert len(rows) == 2
        assert rows[1]["session_upl"] != 0  # what was open when it went down
        assert sum(row["change"] for row in log(desk)) == desk.summary()["balance"] - 100_000
        assert desk.position()["settlement_price"] == desk.market().settlement_price

    def test_an_expiry_missed_while_down_is_delivered(self, desk, kept):
        name = dated(desk, "BTC-", period="week")
        desk.buy(name, amount=1000, type="market")
        kept.restart(after_ms=desk.market(name).listing.expires_ms - desk.now_ms + DAY_MS // 2)
        desk.wait(1)
        assert "delivery" in [row["type"] for row in log(desk, "BTC")]
        assert desk.position(name)["size"] == 0

    def test_everything_money_is_the_same_afterwards(self, desk, kept):
        option = dated(desk, "BTC-", is_option=True)
        desk.buy(amount=1, type="market")
        desk.sell(option, amount=1, type="market")
        desk.venue.exchange.set_premium(INVERSE, D("0.002"), desk.now_ms)
        desk.sell(INVERSE, amount=1000, type="market")
        sleep(desk, 2 * 3_600_000)
        desk.buy(INVERSE, amount=500, type="market")
        clearing = desk.venue.exchange.clearing
        before = self.told(desk, option), clearing.state
        hours = {name: meter.hours for name, meter in clearing.meters.items()}
        assert hours[INVERSE][-1].interest_1h > 0
        kept.restart()
        clearing = desk.venue.exchange.clearing
        after = self.told(desk, option), clearing.state
        assert after == before
        assert {name: meter.hours for name, meter in clearing.meters.items()} == hours

    def told(self, desk, option):
        summaries = [desk.summary(currency) for currency in ("BTC", "USDC")]
        # Premiums start from their ordinary place again, and mark and rate with them.
        positions = [desk.position(name) for name in (LINEAR, INVERSE, option)]
        history = desk.call("private/get_settlement_history_by_currency", currency="USDC")
        balances = [(s["balance"], s["session_rpl"], s["options_session_rpl"]) for s in summaries]
        sizes = [
            (p["size"], p["average_price"], p.get("realized_funding"), p["realized_profit_loss"])
            for p in positions
        ]
        return balances, sizes, history, log(desk), log(desk, "BTC")

    def test_a_file_without_sessions_in_positions_is_read(self, desk, kept):
        """Earlier versions kept the session's profit with cash alone."""
        desk.buy(amount=1, type="market")
        desk.move(95_800)
        desk.sell(amount=0.5, type="market")
        rpl = desk.summary()["session_rpl"]
        books = desk.venue.exchange.books
        held = books.positions[LINEAR]
        books.positions[LINEAR] = PaperPosition(
            instrument_name=LINEAR,
            size=held.size,
            parts=held.parts,
            realized_profit_loss=held.realized_profit_loss,
        )
        kept.restart()
        to_settlement(desk)
        assert log(desk)[0]["session_rpl"] == rpl
        assert desk.summary()["session_rpl"] == 0
