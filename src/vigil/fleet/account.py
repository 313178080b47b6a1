"""The account's own stream: every order event, fill and late answer of the session, into the books.

It serves the whole account and not a strategy, so that what happens to a position is booked also
while its strategy is stopped, crashed or quarantined.
"""

import asyncio
from collections import deque
from collections.abc import Callable

import structlog

from vigil.deribit.outcome import LateReply
from vigil.desk.books import Books
from vigil.domain.events import FillsReceived, OrderReceived
from vigil.domain.order import Fill, Order

log = structlog.get_logger(__name__)

BACKLOG_MAX = 10_000


class AccountStream:
    """Takes events as they arrive and books them in order, those that wait together at once.

    Args:
        on_overflow: Called when more waits than the bound. The backlog is dropped then: the
            reconciler, asked to run, finds the same news by asking the exchange.
    """

    def __init__(self, books: Books, *, on_overflow: Callable[[], None]) -> None:
        self._books = books
        self._on_overflow = on_overflow
        self._backlog: deque[OrderReceived | FillsReceived | LateReply] = deque()
        self._arrived = asyncio.Event()

    def put(self, event: OrderReceived | FillsReceived | LateReply) -> None:
        """Take one event. Never blocks."""
        if len(self._backlog) >= BACKLOG_MAX:
            self._backlog.clear()
            log.error("account_stream.overflowed", backlog=BACKLOG_MAX, action="reconciling")
            self._on_overflow()
            return
        self._backlog.append(event)
        self._arrived.set()

    async def run(self) -> None:
        """Book until cancelled. An event that was taken and not booked is found by reconciling."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            orders: list[Order] = []
            fills: list[Fill] = []
            late: list[LateReply] = []
            while self._backlog:
                event = self._backlog.popleft()
                if isinstance(event, OrderReceived):
                    orders.append(event.order)
                elif isinstance(event, LateReply):
                    late.append(event)
                else:
                    fills.extend(event.fills)
            await self._books.book_orders(orders)
            await self._books.book_fills(fills)
            for reply in late:
                await self._books.book_late_reply(reply)
