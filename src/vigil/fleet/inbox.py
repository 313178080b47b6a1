"""One strategy's bounded mailbox: the newest quote, and every piece of news of its own.

Quotes are conflated, because only the newest matters. News of own orders and trades is never
dropped: when it piles up beyond the bound, the reader is told to start over from the ledger.
"""

import asyncio
from collections import deque

from vigil.domain.instrument import Instrument
from vigil.domain.market import Ticker
from vigil.errors import Transient
from vigil.trading.pipeline import (
    InstrumentChanged,
    OwnOrderChanged,
    QuoteSeen,
    StrategyEvent,
    TradeChanged,
)


class Overflow(Transient):
    """More news waited than the mailbox holds; what the reader knows is out of date."""


class Inbox:
    """Written by anyone in the loop, read by one."""

    def __init__(self, capacity: int = 1_000) -> None:
        self._capacity = capacity
        self._news: deque[TradeChanged | OwnOrderChanged] = deque()
        self._quote: QuoteSeen | None = None
        self._instrument: InstrumentChanged | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._has_overflowed = False

    @property
    def has_news(self) -> bool:
        """Whether own news waits to be read."""
        return bool(self._news)

    def put_quote(self, ticker: Ticker, arrived_s: float | None = None) -> None:
        """Keep `ticker`, which came at that loop time, in place of an unread one."""
        self._quote = QuoteSeen(ticker=ticker, arrived_s=arrived_s)
        self._wake()

    def put_instrument(self, instrument: Instrument) -> None:
        """Keep `instrument` in place of an unread one. It is in no ledger, so `clear` leaves it."""
        self._instrument = InstrumentChanged(instrument=instrument)
        self._wake()

    def put(self, event: TradeChanged | OwnOrderChanged) -> None:
        """Add own news; beyond the bound the reader gets `Overflow`."""
        if len(self._news) >= self._capacity:
            self._has_overflowed = True
        else:
            self._news.append(event)
        self._wake()

    def clear(self) -> None:
        """Forget what waits: the reader is about to learn it elsewhere."""
        self._news.clear()
        self._quote = None
        self._has_overflowed = False

    async def get(self) -> StrategyEvent:
        """The next event, own news first.

        Raises: Overflow, when news was lost and the reader must start over.
        """
        while True:
            if self._has_overflowed:
                raise Overflow(f"more than {self._capacity} events waited")
            if self._instrument is not None:
                changed, self._instrument = self._instrument, None
                return changed
            if self._news:
                return self._news.popleft()
            if self._quote is not None:
                quote, self._quote = self._quote, None
                return quote
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
