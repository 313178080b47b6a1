"""The account's stream into the books, whatever becomes of the strategies."""

import asyncio

import pytest

from rig import BUY, LINEAR, LOT, SELL
from vigil.domain.events import FillsReceived, OrderReceived
from vigil.domain.order import Order, OrderStatus, Role
from vigil.domain.trade import ExitReason
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
        return ()

    async def book_fills(self, fills):
        self.fills.append(list(fills))

    async def has_lost_stop(self, changed, at_ms):
        return False


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
    stream = AccountStream(books, request_pass=[].append)
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
    stream = AccountStream(rig.books, request_pass=overflows.append)
    for _ in range(3):
        stream.put(events[0])
    assert overflows == ["news lost"]
    stream.put(events[0])
    assert overflows == ["news lost"], "there is room again"


async def test_what_was_dropped_is_found_by_the_pass_that_is_asked_for(rig, monkeypatch):
    trade = await rig.enter()
    monkeypatch.setattr(account, "BACKLOG_MAX", 0)
    await rig.person.call("private/close_position", instrument_name=LINEAR, type="market")
    await rig.until(lambda: "news lost" in rig.requested)
    assert (await rig.trade(trade.trade_id)).is_open
    await rig.reconcile()
    assert not (await rig.trade(trade.trade_id)).is_open


@pytest.mark.parametrize("what", ["book_orders", "has_lost_stop"])
async def test_a_stream_that_broke_is_started_again_by_the_supervisor(rig, monkeypatch, what):
    async def broken(*_):
        raise RuntimeError("no disk")

    with monkeypatch.context() as patch:
        patch.setattr(rig.books, what, broken)
        await rig.person.call(
            "private/buy", instrument_name=LINEAR, amount=LOT[LINEAR], type="market"
        )
        await rig.until(lambda: [one for one in rig.children if one.name == "account stream"][1:])
    assert "news lost" in rig.requested, "what it had taken is asked for"
    trade = await rig.enter(side=BUY)
    await rig.reconcile()
    await rig.assert_agreement(**{LINEAR: LOT[LINEAR]})
    assert await rig.open_ids() == {trade.trade_id}


async def outlive(rig, trade):
    """Wait until its stop has rested for longer than it was valid to be placed."""
    stop = (await rig.rows(trade.trade_id))[Role.STOP]
    await rig.until(lambda: rig.client.exchange_now_ms() > stop.valid_until_ms + 10)


@pytest.mark.fault("E9")
async def test_a_stop_that_the_exchange_takes_away_is_asked_for_at_once(rig):
    """Else the position would be without it until the next regular pass."""
    trade = await rig.enter()
    await outlive(rig, trade)
    rig.server.deeds.do("cancel-orders", of_label="*", reason="risk_mitigation")
    await rig.until(lambda: "stop lost" in rig.requested)
    await rig.reconcile()
    await rig.assert_agreement()


async def test_one_that_is_taken_away_as_soon_as_it_rests_is_left_to_the_regular_pass(rig):
    await rig.enter()
    rig.server.deeds.do("cancel-orders", of_label="*", reason="risk_mitigation")
    await rig.until(lambda: rig.resting() == [])
    await rig.reconcile()
    assert "stop lost" not in rig.requested


@pytest.mark.parametrize("how", ["target", "close", "protect"])
async def test_a_stop_that_goes_with_its_trade_or_is_replaced_is_not_lost(rig, how):
    trade = await rig.enter()
    await outlive(rig, trade)
    match how:
        case "target":
            rig.price(LINEAR, trade.take_profit + 30)
            await rig.closed(trade.trade_id)
        case "close":
            await rig.desk.close(trade, ExitReason.STRATEGY_STOP)
        case "protect":
            await rig.desk.protect(trade)
    await rig.reconcile()
    assert "stop lost" not in rig.requested


async def test_a_close_whose_fills_are_still_to_be_booked_has_taken_its_place(rig, monkeypatch):
    trade = await rig.enter()
    await outlive(rig, trade)
    told: list[Order] = []
    book_fills = rig.books.book_fills

    async def after_the_news_of_the_stop(fills):
        if fills and fills[0].direction is SELL:
            await rig.until(lambda: told)
            stop = (await rig.rows(trade.trade_id))[Role.STOP]
            at_ms = rig.client.exchange_now_ms()
            assert not await rig.books.has_lost_stop((stop,), at_ms)
        return await book_fills(fills)

    book_orders = rig.books.book_orders

    async def telling(orders):
        changed = await book_orders(orders)
        told.extend(one for one in orders if one.status is OrderStatus.CANCELLED)
        return changed

    monkeypatch.setattr(rig.books, "book_orders", telling)
    monkeypatch.setattr(rig.books, "book_fills", after_the_news_of_the_stop)
    await rig.desk.close(trade, ExitReason.STRATEGY_STOP)
    await rig.closed(trade.trade_id)
    assert told
    assert "stop lost" not in rig.requested
