"""News of orders and fills: into the ledger once, then to whom it concerns."""

import pytest

from rig import ETHER, LINEAR
from vigil.deribit.outcome import Confirmed, LateReply, Refused, Unknown
from vigil.desk.books import Books
from vigil.domain.order import OrderStatus, Role
from vigil.domain.trade import ExitReason
from vigil.trading.execution import Author


class Hearing:
    """A strategy's ear."""

    def __init__(self):
        self.trades, self.orders = [], []

    def trade_changed(self, trade):
        self.trades.append(trade)

    def order_changed(self, order):
        self.orders.append(order)


async def test_a_strategy_hears_of_its_own_trades_and_orders_and_of_no_others(rig):
    mine, others = Hearing(), Hearing()
    rig.books.listen("a", mine)
    rig.books.listen("b", others)
    trade = await rig.enter(strategy_id="a")
    await rig.desk.close(trade, ExitReason.STRATEGY_STOP)
    closed = await rig.closed(trade.trade_id)
    assert {one.trade_id for one in mine.trades} == {trade.trade_id}
    assert mine.trades[-1] == closed
    assert {order.role for order in mine.orders} == set(Role)
    assert others.trades == others.orders == []


async def test_who_stops_listening_hears_no_more(rig):
    hearing = Hearing()
    stop = rig.books.listen("a", hearing)
    stop()
    await rig.enter(strategy_id="a")
    assert hearing.trades == hearing.orders == []


async def test_a_late_goodbye_does_not_silence_the_next_listener(rig):
    """A fresh executor listens before the old one is gone."""
    old, fresh = Hearing(), Hearing()
    stop_old = rig.books.listen("a", old)
    rig.books.listen("a", fresh)
    stop_old()
    trade = await rig.enter(strategy_id="a")
    assert fresh.trades[-1].trade_id == trade.trade_id
    assert old.trades == []


async def test_fills_heard_again_change_nothing_and_are_told_to_nobody(rig):
    trade = await rig.enter(strategy_id="a")
    hearing = Hearing()
    rig.books.listen("a", hearing)
    fills = await rig.client.fills_of_order(trade.entry_order_id)
    before = rig.sql("SELECT * FROM trades"), rig.sql("SELECT * FROM fills")
    for _ in range(2):
        await rig.books.book_fills(fills)
    assert (rig.sql("SELECT * FROM trades"), rig.sql("SELECT * FROM fills")) == before
    assert hearing.trades == []


@pytest.fixture
async def told(rig):
    """Books on the same ledger that count foreign fills."""
    calls = []
    return Books(rig.ledger, on_foreign_fill=lambda: calls.append(1)), calls


async def test_only_a_new_fill_of_others_asks_for_a_pass(rig, told):
    books, calls = told
    rig.account.put = lambda event: None
    await rig.person.call("private/buy", instrument_name=ETHER, amount=1, type="market")
    now_ms = rig.client.exchange_now_ms()
    fills = await rig.client.fills_since("USDC", now_ms - 5_000, now_ms + 5_000)
    await books.book_fills(fills)
    assert calls == [1]
    await books.book_fills(fills)
    assert calls == [1]


async def test_our_own_fills_ask_for_no_pass(rig):
    await rig.enter()
    assert rig.requested == []


async def test_old_news_of_an_order_does_not_undo_newer(rig):
    trade = await rig.enter()
    stop = (await rig.rows(trade.trade_id))[Role.STOP]
    (old,) = await rig.client.orders_by_label("USDC", stop.label)
    await rig.desk.cancel(stop.order_id, why="to see")
    await rig.books.book_orders([old])
    assert (await rig.ledger.order(stop.label)).status is OrderStatus.CANCELLED


async def test_no_news_is_no_transaction(rig):
    await rig.books.book_orders([])
    await rig.books.book_fills([])
    assert rig.sql("SELECT count(*) FROM fills") == [(0,)]


async def test_an_instrument_s_foreign_order_is_not_ours_to_keep(rig):
    await rig.person.call(
        "private/buy", instrument_name=LINEAR, amount=0.01, type="limit", price=90_000
    )
    orders = await rig.client.open_orders()
    await rig.books.book_orders(orders)
    assert rig.sql("SELECT count(*) FROM orders") == [(0,)]


# --- answers that came after their caller had given up


def late(outcome, label="vg-s-1-1"):
    return LateReply(method="private/buy", label=label, order_id=None, outcome=outcome)


@pytest.fixture
async def in_doubt(rig):
    """An entry of which nobody knows what became."""
    rig.venue.refuse("private/buy", 13028, "temporarily_unavailable")
    author = Author(strategy_id="s", strategy_name="Scripted")
    await rig.desk.enter(await rig.approved(), instrument_name=LINEAR, author=author)

    async def status():
        return (await rig.ledger.order("vg-s-1-1")).status

    assert await status() is OrderStatus.IN_DOUBT
    return status


async def test_a_late_yes_settles_the_doubt(rig, in_doubt):
    placed = await rig.person.call(
        "private/buy", instrument_name=LINEAR, amount=0.5, type="market", label="vg-s-1-1"
    )
    (order,) = await rig.client.orders_by_label("USDC", "vg-s-1-1")
    fills = await rig.client.fills_of_order(placed["order"]["order_id"])
    rig.account.put = lambda event: None
    await rig.books.book_late_reply(late(Confirmed(order=order, fills=fills)))
    assert await in_doubt() is OrderStatus.FILLED
    assert (await rig.trade("t1")).is_open
    assert rig.books.directions_in_doubt(LINEAR) == frozenset()


async def test_a_late_no_settles_the_doubt(rig, in_doubt):
    await rig.books.book_late_reply(late(Refused(code=10009, message="not_enough_funds")))
    assert await in_doubt() is OrderStatus.REJECTED
    assert rig.books.directions_in_doubt(LINEAR) == frozenset()


async def test_a_late_no_takes_nothing_back_from_an_order_that_lives(rig):
    trade = await rig.enter()
    await rig.books.book_late_reply(late(Refused(code=10009, message="not_enough_funds")))
    assert (await rig.ledger.order("vg-s-1-1")).status is OrderStatus.FILLED
    assert (await rig.trade(trade.trade_id)).is_open


@pytest.mark.parametrize("outcome", [Unknown(reason="?"), Refused(code=10004, message="gone")])
async def test_a_late_answer_that_names_no_order_of_ours_changes_nothing(rig, in_doubt, outcome):
    await rig.books.book_late_reply(late(outcome, label=None))
    await rig.books.book_late_reply(late(outcome, label="vg-nobody-7-1"))
    assert await in_doubt() is OrderStatus.IN_DOUBT
