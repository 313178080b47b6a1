"""Readings: all good or none, and everything that the comparison will ask for."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from rig import ETHER, INVERSE, LINEAR, LOT, SELL
from vigil.domain.order import OrderStatus
from vigil.errors import Transient
from vigil.reconcile.observe import currencies_of, read_exchange, read_ledger, unheard_in


async def read(rig, *trades):
    now_ms = rig.client.exchange_now_ms()
    return await read_exchange(rig.client, rig.client, trades=trades, started_ms=now_ms)


async def test_an_exchange_reading_holds_positions_orders_and_the_marks_of_all_in_play(rig):
    trade = await rig.enter()
    elsewhere = replace(trade, trade_id="t9", instrument_name=INVERSE)
    reading = await read(rig, trade, elsewhere)
    assert {name: one.size for name, one in reading.positions.items()} == {LINEAR: LOT[LINEAR]}
    assert {order.order_id for order in reading.open_orders} == {
        order.order_id for order in rig.resting()
    }
    assert reading.mark_prices == {LINEAR: rig.mark(LINEAR), INVERSE: rig.mark(INVERSE)}


async def test_an_instrument_that_is_flat_again_is_no_position(rig):
    await rig.enter()
    await rig.person.call("private/close_position", instrument_name=LINEAR, type="market")
    reading = await read(rig)
    assert reading.positions == {}
    assert reading.mark_prices == {}


@pytest.mark.parametrize(
    "method", ["private/get_positions", "private/get_open_orders", "public/ticker"]
)
async def test_one_part_that_fails_spoils_the_whole_reading(rig, method):
    trade = await rig.enter()
    rig.venue.refuse(method, 13028, "temporarily_unavailable")
    with pytest.raises(Transient, match=method):
        await read(rig, replace(trade, instrument_name=ETHER))


async def test_the_witness_reads_the_same_as_the_session(rig):
    trade = await rig.enter(INVERSE, SELL)
    now_ms = rig.client.exchange_now_ms()
    seen = await read_exchange(rig.witness, rig.client, trades=[trade], started_ms=now_ms)
    known = await read_exchange(rig.client, rig.client, trades=[trade], started_ms=now_ms)
    assert seen == known


async def test_a_ledger_reading_tells_trades_that_the_exchange_has_shown_from_the_others(rig):
    trade = await rig.enter()
    rig.insert_trade()
    reading = await read_ledger(rig.ledger)
    assert {one.trade_id for one in reading.trades} == {trade.trade_id, "by_hand"}
    assert reading.with_entry_fills == {trade.trade_id}
    assert {row.trade_id for row in reading.working} == {trade.trade_id}
    assert reading.last_fill_ms[LINEAR] == rig.venue_fills()[-1].timestamp_ms


async def test_loose_fills_are_those_of_others_since_the_oldest_open_trade(rig):
    await rig.person.call("private/buy", instrument_name=ETHER, amount=Decimal(1), type="market")
    await rig.until(lambda: "foreign fill" in rig.requested)
    assert (await read_ledger(rig.ledger)).loose_fills == {}, "nobody asks while no trade is open"
    await rig.settled()
    await rig.enter()
    assert (await read_ledger(rig.ledger)).loose_fills == {}
    await rig.person.call(
        "private/sell", instrument_name=LINEAR, amount=Decimal("0.1"), type="market"
    )
    await rig.until(lambda: len(rig.requested) >= 2)
    (loose,) = (await read_ledger(rig.ledger)).loose_fills[LINEAR]
    assert (loose.amount, loose.fill.direction) == (Decimal("0.1"), SELL)


@pytest.mark.fault("E34")
async def test_a_state_in_a_strange_word_is_no_news_however_often_it_is_read(rig):
    """Else the private stream would be blamed for not having told of it."""
    await rig.enter()
    ledger, orders = await read_ledger(rig.ledger), await rig.client.open_orders()
    assert unheard_in(ledger, orders) == ()
    strange = [replace(order, status=OrderStatus.UNKNOWN) for order in orders]
    assert unheard_in(ledger, strange) == ()
    moved = [replace(order, amount=order.amount * 2) for order in strange]
    assert unheard_in(ledger, moved) == tuple(moved)


def test_the_currencies_in_play_are_those_of_open_trades_and_of_traded_instruments():
    assert currencies_of([], [LINEAR, ETHER, INVERSE]) == {"USDC", "BTC"}
    assert currencies_of([], []) == set()
