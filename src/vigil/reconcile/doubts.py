"""Orders in doubt settled by asking: found and adopted, or searched for until there is a proof.

Life is looked for by the cheap question, at every pass. Absence is proven by the full search alone,
and not before the order's time is over.
"""

from collections.abc import Iterable
from typing import Protocol

import structlog

from vigil.desk.books import Books
from vigil.domain.instrument import contract_of
from vigil.domain.order import Fill, LabelFindings, Order, OrderStatus, OwnOrder
from vigil.errors import VigilError
from vigil.ledger.ledger import Ledger
from vigil.reconcile.doubt import Absences, Verdict, is_expired, needs_log
from vigil.reconcile.drop_copy import DropCopy

log = structlog.get_logger(__name__)

# A full search is half a dozen calls. After a disaster there may be many; the rest waits its turn.
SEARCHES_MAX = 8

# An order that is still in doubt this long after its `valid_until` needs a person's look.
DOUBT_TOLD_MS = 60_000

# How far before `valid_until` an order was sent at the earliest.
_SENT_BEFORE_MS = 60_000


class LabelSearch(Protocol):
    """A way to search for a label completely. Raises a VigilError rather than answer in part."""

    async def search_label(self, currency: str, label: str, *, since_ms: int) -> LabelFindings:
        """All orders and executions under a label, resting, recent and archived."""
        ...


class DoubtSource(LabelSearch, Protocol):
    """The session, as far as doubts need it."""

    def exchange_now_ms(self) -> int:
        """The exchange's time as measured now."""
        ...

    async def orders_by_label(self, currency: str, label: str) -> tuple[Order, ...]:
        """Orders under a label, resting or lately ended."""
        ...

    async def fills_of_order(self, order_id: str) -> tuple[Fill, ...]:
        """Executions of one order."""
        ...


class Doubts:
    """Settles what is in doubt, one look at a time.

    Args:
        witness: Searches once more, by another road, before absence is believed.
        drop_copy: Testifies when the recent store can no longer prove anything.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        books: Books,
        exchange: DoubtSource,
        witness: LabelSearch,
        drop_copy: DropCopy,
    ) -> None:
        self._ledger = ledger
        self._books = books
        self._exchange = exchange
        self._witness = witness
        self._drop_copy = drop_copy
        self._absences = Absences({})
        self._searches_left = 0

    async def resolve(self, *, may_conclude: bool) -> tuple[OwnOrder, ...]:
        """Look for every order in doubt; what is still in doubt then.

        Linked orders follow the one that brings them to life.

        Args:
            may_conclude: Whether absence may prove anything; not while the exchange's history is
                not the one that we know.
        """
        self._searches_left = SEARCHES_MAX
        known = self._books.labels_in_doubt
        unproven = await self._ledger.unproven_orders()
        left = [
            order
            for order in unproven
            if order.parent_label is None
            and not await self._is_settled(order, may_conclude=may_conclude)
        ]
        self._books.set_in_doubt(left, judged=known | {order.label for order in unproven})
        return tuple(left)

    def overdue(self, left: Iterable[OwnOrder]) -> tuple[OwnOrder, ...]:
        """Those of `left` that have been in doubt for so long that people should look."""
        now_ms = self._exchange.exchange_now_ms()
        return tuple(order for order in left if now_ms > order.valid_until_ms + DOUBT_TOLD_MS)

    async def _is_settled(self, order: OwnOrder, *, may_conclude: bool) -> bool:
        currency = contract_of(order.instrument_name).settlement_currency
        searched_ms = self._exchange.exchange_now_ms()
        try:
            found = await self._exchange.orders_by_label(currency, order.label)
            if found:
                return await self._adopt(order, found)
            if not (may_conclude and is_expired(order, searched_ms) and self._searches_left):
                return False
            self._searches_left -= 1
            since_ms = order.valid_until_ms - _SENT_BEFORE_MS
            findings = await self._exchange.search_label(currency, order.label, since_ms=since_ms)
        except VigilError:
            self._absences.forget(order.label)  # a search that failed has proven nothing
            raise
        if findings.orders or findings.fills:
            return await self._adopt(order, findings.orders, findings.fills)
        is_last = self._absences.is_last(order, searched_ms=searched_ms)
        if is_last and not await self._is_confirmed(order, currency, since_ms, searched_ms):
            return False
        if self._absences.judge(order, searched_ms=searched_ms) is Verdict.WAIT:
            return False
        log.warning("order.absent", label=order.label, action="recorded as failed, not sent again")
        reason = (
            "neither rests at the exchange nor was executed"
            if needs_log(order, searched_ms)
            else "proven absent at the exchange"
        )
        await self._books.record(order.label, OrderStatus.FAILED, reason=reason)
        return True

    async def _is_confirmed(
        self, order: OwnOrder, currency: str, since_ms: int, searched_ms: int
    ) -> bool:
        """Whether the second witness, and the log where it must, find nothing either."""
        try:
            findings = await self._witness.search_label(currency, order.label, since_ms=since_ms)
        except VigilError as error:
            self._absences.forget(order.label)
            log.warning("witness.unread", label=order.label, reason=str(error))
            return False
        if findings.orders or findings.fills:
            await self._adopt(order, findings.orders, findings.fills)
            return False
        if not needs_log(order, searched_ms):
            return True
        first_ms = self._absences.first_ms[order.label]
        return await self._drop_copy.testifies(order, from_ms=first_ms)

    async def _adopt(
        self, order: OwnOrder, found: tuple[Order, ...], fills: tuple[Fill, ...] = ()
    ) -> bool:
        """Book what was found under an order's label; whether that settles it."""
        self._absences.forget(order.label)
        log.info(
            "order.found",
            label=order.label,
            orders=[f"{one.order_id} {one.status.value}" for one in found],
            fills=len(fills),
        )
        if not fills:
            for one in found:
                if one.filled_amount:
                    fills += await self._exchange.fills_of_order(one.order_id)
        # One right after the other: an order that is known to be over, and its fills not, would
        # look like an entry that opened nothing and a close that closed nothing.
        await self._books.book_orders(found)
        await self._books.book_fills(fills)
        after = await self._ledger.order(order.label)
        assert after is not None, order.label
        return not after.status.is_unproven
