"""The exchange over expiries and restarts: what was listed, delivered and averaged is kept."""

import random
from decimal import Decimal

import pytest

from vigil.paper.exchange import Exchange
from vigil.paper.market.delivery_price import DAY_MS, next_expiry_ms
from vigil.paper.market.feed import PriceWalk
from vigil.paper.market.market import BookState
from vigil.paper.persistence import StateFile
from vigil.paper.venue import Venue

D = Decimal
FUTURE, OPTION = "BTC-25DEC26", "BTC-25DEC26-100000-C"


@pytest.fixture
def state_file(tmp_path):
    file = StateFile(tmp_path / "paper.db")
    yield file
    file.close()


def save(desk, state_file):
    desk.now_ms += 1000
    changes = desk.changes()
    if changes is not None:
        state_file.save(changes)


def revive(make_desk, desk, state_file, later_ms=0):
    again = make_desk(saved=state_file.load(), now_ms=desk.now_ms + later_ms)
    again.now_ms = desk.now_ms + later_ms
    return again


@pytest.fixture
def make_desk_at(make_desk):
    class Late(make_desk):
        def __init__(self, *, now_ms, **options):
            self.now_ms = now_ms
            self.venue = Venue(now_ms=now_ms, **options)
            self.heard, self.hang_ups = [], []
            self.connection_id = self.connect()
            self.log_in()

    return Late


def test_positions_in_dated_instruments_survive_a_restart(make_desk_at, desk, state_file):
    desk.buy(FUTURE, amount=1000, type="market")
    desk.buy(OPTION, amount=D("0.3"), type="market")
    desk.buy(OPTION, amount=D("0.1"), price=D("0.001"), label="rest")
    before = desk.call("private/get_positions")
    save(desk, state_file)
    again = revive(make_desk_at, desk, state_file)
    assert again.call("private/get_positions") == before
    assert [order["label"] for order in again.open_orders()] == ["rest"]
    listed = desk.call("public/get_instruments")
    assert again.call("public/get_instruments") == listed


def test_delivery_prices_and_listings_survive_and_grow(make_desk_at, desk, state_file):
    save(desk, state_file)
    desk.now_ms = next_expiry_ms(desk.now_ms)
    desk.wait(1000)
    save(desk, state_file)
    prices = desk.call("public/get_delivery_prices", index_name="btc_usd")
    assert prices["records_total"] == 1
    names = set(desk.venue.exchange.markets)
    again = revive(make_desk_at, desk, state_file)
    assert again.call("public/get_delivery_prices", index_name="btc_usd") == prices
    assert set(again.venue.exchange.markets) == names
    gone = {n for n, m in again.venue.exchange.markets.items() if m.state is not BookState.OPEN}
    assert {n for n in gone if "19NOV26" in n}


def test_an_average_that_is_being_built_survives(make_desk_at, desk, state_file):
    expires_ms = next_expiry_ms(desk.now_ms)
    desk.now_ms = expires_ms - 1_800_000
    desk.move(90_000)
    desk.now_ms = expires_ms - 900_000
    desk.move(100_000)
    save(desk, state_file)
    again = revive(make_desk_at, desk, state_file)
    again.now_ms = expires_ms
    again.wait(1000)
    (row,) = again.call("public/get_delivery_prices", index_name="btc_usd")["data"]
    assert row["delivery_price"] == pytest.approx(D(95_000), abs=10)


def test_what_expired_while_the_exchange_was_down_is_delivered_when_it_is_back(
    make_desk_at, desk, state_file
):
    name = next(n for n in desk.venue.exchange.markets if n.startswith("BTC-19NOV26-95000-C"))
    desk.buy(name, amount=1, type="market")
    save(desk, state_file)
    again = revive(make_desk_at, desk, state_file, later_ms=3 * DAY_MS)
    again.wait(1000)
    assert again.market(name).state in (BookState.DELIVERED, BookState.ARCHIVIZED)
    assert again.position(name)["size"] == 0
    fresh = {i["expiration_timestamp"] for i in again.call("public/get_instruments")}
    assert min(fresh) > again.now_ms
    assert again.call("public/get_delivery_prices", index_name="btc_usd")["records_total"] == 3


def pass_days(desk, days, state_file):
    """Let days pass, an 08:00 UTC in each of them."""
    for _ in range(days):
        desk.now_ms = next_expiry_ms(desk.now_ms) + 10_000
        desk.wait(100)
        save(desk, state_file)


def test_a_clock_that_steps_months_ahead_archives_what_somebody_still_listens_to(desk):
    name = "BTC-19NOV26-96000-C"
    states, trades = "instrument.state.option.BTC", "trades.option.BTC.100ms"
    desk.subscribe(states, trades)
    desk.buy(name, amount=D("0.1"), type="market")
    desk.now_ms += 40 * DAY_MS
    desk.wait(1000)
    told = [item["state"] for item in desk.on(states) if item["instrument_name"] == name]
    assert told[-1] == "archivized"
    assert [[trade["instrument_name"] for trade in made] for made in desk.on(trades)] == [[name]]


def test_months_leave_nothing_behind_but_what_the_account_had_to_do_with(
    make_desk_at, desk, state_file
):
    traded, ordered, idle = (f"BTC-19NOV26-{strike}-C" for strike in (95_000, 94_000, 96_000))
    desk.buy(traded, amount=D("0.1"), type="market")
    desk.buy(ordered, amount=D("0.1"), price=D("0.001"), label="ordered")
    channel = f"ticker.{idle}.100ms"
    assert desk.call("public/subscribe", channels=[channel]) == [channel]
    pass_days(desk, 2, state_file)
    desk.log_in()
    assert desk.call("public/get_instrument", instrument_name=idle)["state"] == "archivized"
    assert f"trade_seq:{traded}" not in desk.venue.exchange.books.counters
    counts = []
    for _ in range(3):
        pass_days(desk, 35, state_file)
        counts.append(len(desk.venue.exchange.markets))
    assert max(counts) < 1.5 * min(counts)
    desk.log_in()
    assert desk.refusal("public/get_instrument", instrument_name=idle).code == -32602
    history = {"historical": True, "include_unfilled": True}
    (order,) = desk.call(
        "private/get_order_history_by_instrument", instrument_name=ordered, **history
    )
    assert order["label"] == "ordered"
    page = desk.call(
        "private/get_user_trades_by_instrument", instrument_name=traded, historical=True
    )
    assert page["trades"]
    again = revive(make_desk_at, desk, state_file)
    assert set(again.venue.exchange.markets) == set(desk.venue.exchange.markets)
    for each in (desk, again):
        states = {i["instrument_name"]: i["state"] for i in each.call(
            "public/get_instruments", expired=True)}  # fmt: skip
        assert states[traded] == "archivized"


def test_what_a_write_costs_does_not_grow_with_what_is_listed(desk, state_file):
    save(desk, state_file)
    desk.wait(1000)
    changes = desk.changes()
    assert changes.listings == ()
    assert len(changes.account.markets) == 6  # perpetuals; nothing else is held or ordered


def test_a_price_moved_by_hand_stays_moved_while_the_market_walks_on(make_desk):
    walk = PriceWalk(seed=1, index_name="btc", start_price=D(95_000))
    desk = make_desk(walks={"btc_usdc": walk})
    before = desk.venue.exchange.prices["btc_usdc"]
    desk.venue.set_price("btc_usdc", before * 2, desk.now_ms)
    for _ in range(5):
        desk.wait(1_000)
    assert abs(desk.venue.exchange.prices["btc_usdc"] / before - 2) < D("0.05")
    assert desk.venue.exchange.prices["btc_usdc"] != before * 2


def test_funding_is_reckoned_however_short_the_step():
    now_ms = 1_795_000_000_000
    exchange = Exchange(now_ms=now_ms, dice=random.Random(1))
    exchange.set_premium("BTC-PERPETUAL", D("0.001"), now_ms)
    meter = exchange.clearing.meters["BTC-PERPETUAL"]
    for step in (1, 2, 3):
        before = meter.interest_value
        exchange.advance(0.001, now_ms + step)
        assert meter.interest_value > before
