"""The account's stream into the books, whatever becomes of the strategies."""

import asyncio

from rig import BUY, LINEAR, LOT
from vigil.domain.events import FillsReceived, OrderReceived
from vigil.fleet import account
from vigil.fleet.account import AccountStream


class SlowBooks:
    """Books that wait to be allowed, and remember their batches."""

    def __init__(self):
        self.gate = asyncio.Event()
        self.orders, self.fills = [], []

    async def book_orders(self, orders):
        await self.gate.wait()
        self.orders.append(list(orders))

    async def book_fills(self, fills):
        self.fills.append(list(fills))


async def heard(rig):
    """Some order and fill events as the session makes them."""
    events = []
    rig.account.put = events.append
    await rig.person.call("private/buy", instrument_name=LINEAR, amount=LOT[LINEAR], type="market")
    await rig.until(lambda: {type(event) for event in events} == {OrderReceived, FillsReceived})
    return events


async def test_a_position_is_booked_while_no_strategy_runs(rig):
    trade = await rig.enter(strategy_id="gone")
    rig.price(LINEAR, trade.take_profit + 30)
    assert (await rig.closed(trade.trade_id)).pnl == await rig.exchange_pnl(LINEAR)


async def test_what_waits_together_is_booked_together_and_in_order(rig):
    events = await heard(rig)
    books = SlowBooks()
    stream = AccountStream(books, on_overflow=lambda: None)
    running = asyncio.ensure_future(stream.run())
    for event in events:
        stream.put(event)
    await asyncio.sleep(0)
    for event in events:
        stream.put(event)
    books.gate.set()
    await rig.until(lambda: len(books.fills) == 2)
    once = [event.order for event in events if isinstance(event, OrderReceived)]
    assert books.orders == [once, once]
    running.cancel()
    await asyncio.wait([running])


async def test_a_backlog_beyond_its_bound_is_dropped_and_asked_for_instead(rig, monkeypatch):
    events = await heard(rig)
    monkeypatch.setattr(account, "BACKLOG_MAX", 2)
    overflows = []
    stream = AccountStream(rig.books, on_overflow=lambda: overflows.append(1))
    for _ in range(3):
        stream.put(events[0])
    assert overflows == [1]
    stream.put(events[0])
    assert overflows == [1], "there is room again"


async def test_what_was_dropped_is_found_by_the_pass_that_is_asked_for(rig, monkeypatch):
    trade = await rig.enter()
    monkeypatch.setattr(account, "BACKLOG_MAX", 0)
    await rig.person.call("private/close_position", instrument_name=LINEAR, type="market")
    await rig.until(lambda: "overflow" in rig.requested)
    assert (await rig.trade(trade.trade_id)).is_open
    await rig.reconcile()
    assert not (await rig.trade(trade.trade_id)).is_open


async def test_a_stream_that_broke_is_started_again_by_the_supervisor(rig, monkeypatch):
    async def broken(orders):
        raise RuntimeError("no disk")

    with monkeypatch.context() as patch:
        patch.setattr(rig.books, "book_orders", broken)
        await rig.person.call(
            "private/buy", instrument_name=LINEAR, amount=LOT[LINEAR], type="market"
        )
        await rig.until(lambda: [one for one in rig.children if one.name == "account stream"][1:])
    trade = await rig.enter(side=BUY)
    await rig.reconcile()
    await rig.assert_agreement(**{LINEAR: LOT[LINEAR]})
    assert await rig.open_ids() == {trade.trade_id}
