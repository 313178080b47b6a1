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

NEWS_LOST = "news lost"


class AccountStream:
    """Takes events as they arrive and books them in order, those that wait together at once.

    Args:
        request_pass: Asks for a reconciliation: when news was lost, because more waited than the
            bound and was dropped, or because it could not be booked; and when a stop was taken
            away from a position that is held.
    """

    def __init__(self, books: Books, *, request_pass: Callable[[str], None]) -> None:
        self._books = books
        self._request_pass = request_pass
        self._backlog: deque[OrderReceived | FillsReceived | LateReply] = deque()
        self._arrived = asyncio.Event()

    def put(self, event: OrderReceived | FillsReceived | LateReply) -> None:
        """Take one event. Never blocks."""
        if len(self._backlog) >= BACKLOG_MAX:
            self._backlog.clear()
            log.error("account_stream.overflowed", backlog=BACKLOG_MAX, action="reconciling")
            self._request_pass(NEWS_LOST)
            return
        self._backlog.append(event)
        self._arrived.set()

    async def run(self) -> None:
        """Book until cancelled."""
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
            is_booked = False
            try:
                changed = await self._books.book_orders(orders)
                await self._books.book_fills(fills)
                for reply in late:
                    await self._books.book_late_reply(reply)
                at_ms = max((order.last_update_timestamp_ms for order in orders), default=0)
                has_lost_stop = await self._books.has_lost_stop(changed, at_ms)
                is_booked = True
            finally:
                if not is_booked:
                    self._request_pass(NEWS_LOST)
            if has_lost_stop:
                self._request_pass("stop lost")
