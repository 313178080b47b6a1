"""The mailbox: quotes conflated, news kept in order, too much of it told."""

import asyncio
from decimal import Decimal

import pytest
from msgspec.structs import replace

from vigil.domain.instrument import Instrument, Kind
from vigil.domain.market import Ticker
from vigil.domain.order import Direction
from vigil.domain.trade import Trade, TradeStatus
from vigil.errors import Transient
from vigil.fleet.inbox import Inbox, Overflow
from vigil.trading.pipeline import InstrumentChanged, QuoteSeen, TradeChanged

TICKER = Ticker(
    instrument_name="BTC_USDC-PERPETUAL",
    timestamp_ms=0,
    mark_price=Decimal(95_000),
    index_price=Decimal(95_000),
)

INSTRUMENT = Instrument(
    instrument_name="BTC_USDC-PERPETUAL",
    kind=Kind.FUTURE,
    is_linear=True,
    base_currency="BTC",
    quote_currency="USDC",
    settlement_currency="USDC",
    contract_size=Decimal("0.0001"),
    min_trade_amount=Decimal("0.0001"),
    tick_size=Decimal("0.5"),
)


def quote(timestamp_ms):
    return replace(TICKER, timestamp_ms=timestamp_ms)


def news(number):
    return TradeChanged(
        trade=Trade(
            trade_id=f"t{number}",
            strategy_name="Razor",
            instrument_name="BTC_USDC-PERPETUAL",
            side=Direction.BUY,
            entry_order_id="e",
            entry_price=Decimal(1),
            amount=Decimal(1),
            open_amount=Decimal(1),
            entry_time_ms=0,
            status=TradeStatus.OPEN,
        )
    )


async def test_of_several_unread_quotes_only_the_newest_is_read():
    inbox = Inbox()
    for timestamp_ms in range(5):
        inbox.put_quote(quote(timestamp_ms))
    assert await inbox.get() == QuoteSeen(ticker=quote(4))
    reading = asyncio.ensure_future(inbox.get())
    await asyncio.sleep(0)
    assert not reading.done(), "no quote is read twice"
    inbox.put_quote(quote(5))
    assert await reading == QuoteSeen(ticker=quote(5))


async def test_a_quote_carries_when_it_came():
    inbox = Inbox()
    inbox.put_quote(quote(1), 10.0)
    inbox.put_quote(quote(2), 11.5)
    assert await inbox.get() == QuoteSeen(ticker=quote(2), arrived_s=11.5)


async def test_the_newest_word_on_the_instrument_comes_first_and_outlives_a_new_start():
    inbox = Inbox()
    inbox.put(news(0))
    for tick_size in (1, 5):
        inbox.put_instrument(replace(INSTRUMENT, tick_size=Decimal(tick_size)))
    inbox.clear()
    inbox.put(news(1))
    assert await inbox.get() == InstrumentChanged(
        instrument=replace(INSTRUMENT, tick_size=Decimal(5))
    )
    assert await inbox.get() == news(1)


async def test_news_comes_before_quotes_all_of_it_and_in_order():
    inbox = Inbox()
    inbox.put_quote(quote(0))
    for number in range(3):
        inbox.put(news(number))
    inbox.put_quote(quote(1))
    assert inbox.has_news
    events = [await inbox.get() for _ in range(4)]
    assert events == [news(0), news(1), news(2), QuoteSeen(ticker=quote(1))]
    assert not inbox.has_news


@pytest.mark.parametrize("put", [lambda i: i.put(news(1)), lambda i: i.put_quote(quote(1))])
async def test_a_waiting_reader_is_woken(put):
    inbox = Inbox()
    reading = asyncio.ensure_future(inbox.get())
    await asyncio.sleep(0)
    put(inbox)
    assert await asyncio.wait_for(reading, 1) is not None


async def test_a_reader_that_was_cancelled_leaves_the_mailbox_usable():
    inbox = Inbox()
    reading = asyncio.ensure_future(inbox.get())
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])
    inbox.put(news(1))
    assert await inbox.get() == news(1)


async def test_the_mailbox_holds_its_capacity_and_no_more():
    inbox = Inbox(capacity=3)
    for number in range(3):
        inbox.put(news(number))
    assert await inbox.get() == news(0)
    for number in range(2):
        inbox.put(news(number))
    with pytest.raises(Overflow, match="more than 3 events waited"):
        await inbox.get()
    assert issubclass(Overflow, Transient), "starting over is the cure"


async def test_after_an_overflow_nothing_more_is_read():
    """What would come next was not said in order: the reader must start from the ledger."""
    inbox = Inbox(capacity=1)
    inbox.put(news(1))
    inbox.put(news(2))
    inbox.put_quote(quote(1))
    for _ in range(2):
        with pytest.raises(Overflow):
            await inbox.get()


async def test_a_flood_of_quotes_is_no_overflow():
    inbox = Inbox(capacity=1)
    for timestamp_ms in range(10_000):
        inbox.put_quote(quote(timestamp_ms))
    assert await inbox.get() == QuoteSeen(ticker=quote(9_999))


async def test_a_cleared_mailbox_starts_over():
    inbox = Inbox(capacity=1)
    inbox.put(news(1))
    inbox.put(news(2))
    inbox.put_quote(quote(1))
    inbox.clear()
    assert not inbox.has_news
    inbox.put(news(3))
    assert await inbox.get() == news(3)
