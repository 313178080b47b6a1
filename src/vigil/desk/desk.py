"""The order desk: the only road from a plan to the wire.

Every order is committed to the ledger before a byte of it leaves, and its outcome is booked when
it comes back. A task that dies between the two leaves a row that says `pending`, and the
reconciler finds out what became of it. Moving a stop and cancelling are recorded or repeated by
what they lead to, so they may be redone at will.
"""

from decimal import Decimal
from typing import Protocol, assert_never

import structlog

from vigil.clock import Clock
from vigil.deribit.outcome import NOT_SENT, Confirmed, Outcome, Refused, Unknown
from vigil.desk.books import Books
from vigil.domain.money import decimal_text
from vigil.domain.order import Order, OrderRequest, OrderStatus, Role
from vigil.domain.trade import ExitReason, Trade
from vigil.ledger.ledger import Ledger
from vigil.trading.execution import (
    Author,
    Plan,
    Stamp,
    author_of,
    plan_close,
    plan_entry,
    plan_protection,
)
from vigil.trading.risk import Approved

log = structlog.get_logger(__name__)


class OrderClient(Protocol):
    """The exchange, as far as the desk needs it. No method raises for what the exchange does."""

    def exchange_now_ms(self) -> int:
        """The exchange's time as measured now."""
        ...

    async def place(self, request: OrderRequest) -> Outcome:
        """Send an order."""
        ...

    async def edit(
        self,
        order_id: str,
        *,
        amount: Decimal,
        price: Decimal | None = None,
        trigger_price: Decimal | None = None,
        valid_until_ms: int | None = None,
    ) -> Outcome:
        """Change a resting order."""
        ...

    async def cancel(self, order_id: str) -> Outcome:
        """Cancel a resting order."""
        ...


class Desk:
    """Commits, sends and books."""

    def __init__(self, *, ledger: Ledger, books: Books, client: OrderClient, clock: Clock) -> None:
        self._ledger = ledger
        self._books = books
        self._client = client
        self._clock = clock

    async def enter(self, approved: Approved, *, instrument_name: str, author: Author) -> Outcome:
        """Open a position with its stop and target linked to the entry."""
        next_id = self._ledger.next_intent_id
        plan = plan_entry(
            approved,
            instrument_name=instrument_name,
            author=author,
            intent_ids=(next_id(), next_id(), next_id()),
            stamp=self._stamp(),
        )
        await self._ledger.commit_orders(plan.orders)
        # The decision's one line comes after the order has left, and carries what it came from.
        return await self._place(
            plan, price=decimal_text(approved.reference_price), why=approved.reason
        )

    async def protect(self, trade: Trade) -> Outcome:
        """Place the stop of `trade`, and its target as the other half of the pair.

        What is left of an earlier pair goes first, as in `close`.
        """
        next_id = self._ledger.next_intent_id
        plan = plan_protection(
            trade,
            author=author_of(trade),
            intent_ids=(next_id(), next_id()),
            stamp=self._stamp(),
        )
        return await self._replace_protection(trade, plan)

    async def close(self, trade: Trade, reason: ExitReason) -> Outcome:
        """Close `trade` at market, its stop and target cancelled first."""
        plan = plan_close(
            trade,
            author=author_of(trade),
            intent_id=self._ledger.next_intent_id(),
            reason=reason,
            stamp=self._stamp(),
        )
        return await self._replace_protection(trade, plan)

    async def tighten_stop(self, trade: Trade, stop_price: Decimal) -> bool:
        """Record where the stop belongs, then move it there; whether it is there now.

        What goes wrong on the wire is seen by the reconciler as a stop in the wrong place.
        """
        moved = await self._books.move_stop(trade, stop_price)
        for row in await self._ledger.orders_of_trade(trade.trade_id):
            if row.role is Role.STOP and row.status is OrderStatus.UNTRIGGERED and row.order_id:
                outcome = await self.amend(
                    row.order_id, amount=moved.open_amount, trigger_price=moved.stop_loss
                )
                return isinstance(outcome, Confirmed)
        return False

    async def amend(
        self,
        order_id: str,
        *,
        amount: Decimal,
        price: Decimal | None = None,
        trigger_price: Decimal | None = None,
    ) -> Outcome:
        """Edit a resting order to `amount` in all and the given prices."""
        outcome = await self._client.edit(
            order_id,
            amount=amount,
            price=price,
            trigger_price=trigger_price,
            valid_until_ms=self._stamp().valid_until_ms,
        )
        _report(
            "order.edited",
            outcome,
            order_id=order_id,
            amount=decimal_text(amount),
            trigger_price=trigger_price,
        )
        await self._book_reply(outcome)
        return outcome

    async def cancel(self, order_id: str, *, why: str) -> Outcome:
        """Cancel a resting order. Cancelling one that is gone is no failure."""
        outcome = await self._client.cancel(order_id)
        _report("order.cancelled", outcome, order_id=order_id, why=why)
        await self._book_reply(outcome)
        return outcome

    async def _replace_protection(self, trade: Trade, plan: Plan) -> Outcome:
        """Send `plan` in place of whatever rests for `trade`.

        Deribit refuses a reduce-only order over a position that another one covers (11030), so
        that one goes first. The plan is committed before it: a crash in between is seen as an
        order in doubt, and the reconciler ends it or protects again.

        Protection that cannot be cancelled has fired, or may have: what `plan` would do on top of
        that could take another strategy's part of the position. Then nothing is sent, and the
        reconciler looks at what is left.
        """
        rows = await self._ledger.orders_of_trade(trade.trade_id)
        await self._ledger.commit_orders(plan.orders)
        for row in rows:
            if row.role in (Role.STOP, Role.TARGET) and row.status.is_resting and row.order_id:
                outcome = await self.cancel(row.order_id, why=f"replaced by {plan.label}")
                if not isinstance(outcome, Confirmed):
                    reason = f"not sent: {row.role.value} {row.order_id} may have fired"
                    await self._books.record(plan.label, OrderStatus.FAILED, reason=reason)
                    return Refused(code=NOT_SENT, message=reason)
        return await self._place(plan)

    async def _place(self, plan: Plan, **facts: str) -> Outcome:
        outcome = await self._client.place(plan.request)
        request = plan.request
        _report(
            "order.sent",
            outcome,
            label=plan.label,
            instrument=request.instrument_name,
            direction=request.direction.value,
            type=request.order_type.value,
            amount=decimal_text(request.amount),
            **facts,
        )
        await self._books.book_outcome(plan.label, outcome)
        return outcome

    async def _book_reply(self, outcome: Outcome) -> None:
        if isinstance(outcome, Confirmed):
            await self._books.book_orders((outcome.order,))
            await self._books.book_fills(outcome.fills)

    def _stamp(self) -> Stamp:
        return Stamp(now_ms=self._clock.now_ms(), exchange_now_ms=self._client.exchange_now_ms())


def _report(event: str, outcome: Outcome, **facts: object) -> None:
    match outcome:
        case Confirmed(order=order):
            log.info(event, **facts, order=_order_facts(order))
        case Refused(code=code, message=message):
            log.warning("order.rejected", request=event, **facts, code=code, reason=message)
        case Unknown(reason=reason):
            log.warning("order.in_doubt", request=event, **facts, reason=reason)
        case _:
            assert_never(outcome)


def _order_facts(order: Order) -> str:
    return f"{order.order_id} {order.status.value}"
