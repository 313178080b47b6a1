"""News of orders and fills: into the ledger once, then to whom it concerns."""

import pytest

from rig import ETHER, LINEAR
from vigil.desk.books import Books
from vigil.domain.order import OrderStatus, Role
from vigil.domain.trade import ExitReason


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
