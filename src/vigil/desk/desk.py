"""The order desk: the only road from a plan to the wire.

Every order is committed to the ledger before a byte of it leaves, and its outcome is booked when
it comes back. A task that dies between the two leaves a row that says `pending`, and the
reconciler finds out what became of it.

What is in doubt is looked at before it is tried again. A cancel is repeated, within a budget, while
the order is seen to rest. An order that could at most close the whole position is repeated as well:
twice is as good as once. An entry is not, nor is one that closes a part, since two parts add up.

Whoever is cancelled while protection is being replaced is kept until that is whole: a stop that is
gone and nothing in its place would be left to the next look, or to the next start.
"""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import assert_never

import structlog

from vigil.clock import Clock
from vigil.deribit.outcome import NOT_SENT, Confirmed, Outcome, Refused, Unknown, Verdict
from vigil.desk.books import Books
from vigil.desk.finishing import to_the_end
from vigil.desk.order_client import OrderClient
from vigil.desk.patience import Patience
from vigil.desk.refusals import GONE, NOTHING_TO_REDUCE, OTHER_REJECT, is_nothing_to_reduce
from vigil.domain.instrument import contract_of
from vigil.domain.money import ZERO, decimal_text
from vigil.domain.order import Order, OrderStatus, OwnOrder, Role
from vigil.domain.trade import ExitReason, Trade
from vigil.errors import VigilError
from vigil.ledger.ledger import Ledger
from vigil.trading.execution import (
    ORDER_VALIDITY_MS,
    Author,
    Plan,
    Stamp,
    author_of,
    plan_again,
    plan_close,
    plan_entry,
    plan_protection,
)
from vigil.trading.risk import Approved

log = structlog.get_logger(__name__)

# How far past its `valid_until` an edit may still be found to have been carried out.
EDIT_MARGIN_MS = 1_000

# How long edits of a process before us may still be carried out: it may have been killed with them
# on the road, and nobody has written them down.
INHERITED_S = (ORDER_VALIDITY_MS + EDIT_MARGIN_MS) / 1000


class Desk:
    """Commits, sends and books.

    Args:
        is_shut: Whether the exchange takes no orders on an instrument now, as far as is known.
        on_unconfirmed: Told of every order or moved stop that did not come to be, by instrument:
            the reason may concern others as well.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        books: Books,
        client: OrderClient,
        clock: Clock,
        is_shut: Callable[[str], bool] = lambda _: False,
        on_unconfirmed: Callable[[str, Refused | Unknown], None] = lambda _, __: None,
    ) -> None:
        self._ledger = ledger
        self._books = books
        self._client = client
        self._clock = clock
        self._is_shut = is_shut
        self._on_unconfirmed = on_unconfirmed
        self._edits: dict[str, int] = {}
        self._inherited_until_s = clock.elapsed_s() + INHERITED_S

    def has_edits_in_doubt(self, read_ms: int) -> bool:
        """Whether an unanswered edit may still change an order after a reading at `read_ms`.

        Until then old terms and new ones are both possible, and whoever reads must read again.
        """
        self._edits = {
            order_id: until_ms for order_id, until_ms in self._edits.items() if until_ms >= read_ms
        }
        return bool(self._edits) or self._clock.elapsed_s() < self._inherited_until_s

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
        return await to_the_end(self._replace_protection(trade, plan))

    async def close(self, trade: Trade, reason: ExitReason) -> Outcome:
        """Close `trade` at market, its stop and target cancelled first."""
        plan = plan_close(
            trade,
            author=author_of(trade),
            intent_id=self._ledger.next_intent_id(),
            reason=reason,
            stamp=self._stamp(),
        )
        return await to_the_end(self._replace_protection(trade, plan))

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
                if isinstance(outcome, Confirmed):
                    return True
                self._on_unconfirmed(trade.instrument_name, outcome)
                return False
        return False

    async def amend(
        self,
        order_id: str,
        *,
        amount: Decimal,
        price: Decimal | None = None,
        trigger_price: Decimal | None = None,
    ) -> Outcome:
        """Edit a resting order to `amount` in all and the given prices.

        An edit that is not confirmed is looked up: it may have been carried out all the same, or
        overtaken by another.
        """
        valid_until_ms = self._stamp().valid_until_ms
        outcome: Outcome | None = None
        try:
            outcome = await self._client.edit(
                order_id,
                amount=amount,
                price=price,
                trigger_price=trigger_price,
                valid_until_ms=valid_until_ms,
            )
        finally:
            if outcome is None or isinstance(outcome, Unknown):  # or its caller was cancelled
                self._edits[order_id] = valid_until_ms + EDIT_MARGIN_MS
        _report(
            "order.edited",
            outcome,
            order_id=order_id,
            amount=decimal_text(amount),
            trigger_price=trigger_price,
        )
        await self._book_reply(outcome)
        if isinstance(outcome, Unknown) or (isinstance(outcome, Refused) and outcome.code in GONE):
            seen = await self._reread(order_id)
            terms = (amount, price, trigger_price)
            if (
                seen is not None
                and seen.status.is_resting
                and terms
                == (
                    seen.amount,
                    None if price is None else seen.price,
                    None if trigger_price is None else seen.trigger_price,
                )
            ):
                return Confirmed(order=seen)
        return outcome

    async def cancel(self, order_id: str, *, why: str) -> Outcome:
        """Cancel a resting order, and find out when that is not confirmed.

        Repeated within a budget while the order is seen to rest. A fill in the meantime wins: what
        has filled or fired is Refused as such.
        """
        patience = Patience(self._clock)
        while True:
            outcome = await self._client.cancel(order_id)
            _report("order.cancelled", outcome, order_id=order_id, why=why)
            await self._book_reply(outcome)
            match outcome:
                case Confirmed():
                    return outcome
                case Refused(code=code) if code not in GONE:
                    return outcome
                case Refused() | Unknown():
                    pass
                case _:
                    assert_never(outcome)
            seen = await self._reread(order_id)
            if seen is not None and not seen.status.is_resting:
                if seen.status is OrderStatus.CANCELLED:
                    return Confirmed(order=seen)
                message = f"{order_id} is {seen.status.value}"
                return Refused(code=NOT_SENT, message=message, verdict=Verdict.STALE)
            if not await patience.wait():
                return outcome

    async def look_up(self, row: OwnOrder) -> tuple[Order, ...] | None:
        """What the exchange shows under an order's label, booked; None when it cannot be asked."""
        currency = contract_of(row.instrument_name).settlement_currency
        try:
            found = await self._client.orders_by_label(currency, row.label)
        except VigilError as error:
            log.warning("order.not_read", label=row.label, reason=str(error))
            return None
        await self._books.book_orders(found)
        return found

    async def _reread(self, order_id: str) -> Order | None:
        """What became of an order, booked; None when nobody can say."""
        try:
            seen = await self._client.order_state(order_id)
        except VigilError as error:
            log.warning("order.not_read", order_id=order_id, reason=str(error))
            return None
        if seen is not None:
            await self._books.book_orders((seen,))
        return seen

    async def _replace_protection(self, trade: Trade, plan: Plan) -> Outcome:
        """Send `plan` in place of whatever rests for `trade`.

        Deribit refuses a reduce-only order over a position that another one covers (11030), so
        that one goes first. The plan is committed before it: a crash in between is seen as an
        order in doubt, and the reconciler ends it or protects again.

        Protection that cannot be cancelled has fired, or may have: what `plan` would do on top of
        that could take another strategy's part of the position. Then nothing is sent, and the
        reconciler looks at what is left. So it is when a part of it filled before it was gone. The
        stop goes last, so that it still rests when the target has decided that.

        While the exchange takes no orders it may well take cancels, and what protects could not
        be placed again. Then `plan` goes first, and what rests only when that was taken.
        """
        rows = [
            row
            for row in await self._ledger.orders_of_trade(trade.trade_id)
            if row.role in (Role.STOP, Role.TARGET)
            and (row.status.is_resting or row.status is OrderStatus.TRIGGERED)
        ]
        rows.sort(key=lambda row: row.role is Role.STOP)
        await self._ledger.commit_orders(plan.orders)
        is_kept = bool(rows) and self._is_shut(trade.instrument_name)
        if is_kept:
            placed = await self._place(plan)
            if not isinstance(placed, Confirmed):
                return placed
        for row in rows:
            if not row.order_id:
                continue
            outcome = await self.cancel(row.order_id, why=f"replaced by {plan.label}")
            if is_kept:
                continue
            if not isinstance(outcome, Confirmed) or (
                outcome.order.filled_amount > row.filled_amount
            ):
                reason = f"not sent: {row.role.value} {row.order_id} may have fired"
                await self._books.record(plan.label, OrderStatus.FAILED, reason=reason)
                return Refused(code=NOT_SENT, message=reason, verdict=Verdict.STALE)
        return placed if is_kept else await self._place_until_known(trade, plan)

    async def _place_until_known(self, trade: Trade, plan: Plan) -> Outcome:
        """Send an order that only reduces, and again where that cannot do harm."""
        patience = Patience(self._clock)
        if plan.orders[0].valid_until_ms <= self._client.exchange_now_ms():
            reason = "not sent: what it replaces was cancelled too slowly"
            await self._books.record(plan.label, OrderStatus.FAILED, reason=reason)
            plan = await self._commit_again(plan)
        outcome = await self._place(plan)
        while isinstance(outcome, Unknown) and await patience.wait():
            found = await self.look_up(plan.orders[0])
            if found:
                return Confirmed(order=found[-1])
            if found is None or not await self._is_whole(trade):
                break
            plan = await self._commit_again(plan)
            outcome = await self._place(plan, attempt=str(plan.orders[0].attempt))
        if is_nothing_to_reduce(outcome) and await self._held(trade.instrument_name) == ZERO:
            # What the order was for has happened. How is found out from the fills.
            return Refused(
                code=OTHER_REJECT,
                message=f"{NOTHING_TO_REDUCE}: the position is flat",
                verdict=Verdict.STALE,
            )
        return outcome

    async def _commit_again(self, plan: Plan) -> Plan:
        """The next attempt at the same intent, on disk."""
        again = plan_again(plan, stamp=self._stamp())
        await self._ledger.commit_orders(again.orders)
        return again

    async def _is_whole(self, trade: Trade) -> bool:
        """Whether the trade is the whole position: reducing it twice is reducing it once."""
        return await self._held(trade.instrument_name) == trade.signed_open_amount

    async def _held(self, instrument_name: str) -> Decimal | None:
        """The exchange's net position; None when it cannot be asked."""
        try:
            positions = await self._client.positions()
        except VigilError as error:
            log.warning("position.not_read", instrument=instrument_name, reason=str(error))
            return None
        held = (one.size for one in positions if one.instrument_name == instrument_name)
        return next(held, ZERO)

    async def _place(self, plan: Plan, **facts: str) -> Outcome:
        try:
            outcome = await self._client.place(plan.request)
        except asyncio.CancelledError:
            self._books.hold_in_doubt(plan.orders[0])
            raise
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
        if not isinstance(outcome, Confirmed):
            self._on_unconfirmed(request.instrument_name, outcome)
        return outcome

    async def _book_reply(self, outcome: Outcome) -> None:
        if isinstance(outcome, Confirmed):
            await self._books.book_orders((outcome.order,))
            await self._books.book_fills(outcome.fills)

    def _stamp(self) -> Stamp:
        return Stamp(now_ms=self._clock.now_ms(), exchange_now_ms=self._client.exchange_now_ms())


def is_filled(outcome: Outcome) -> bool:
    """Whether an order was carried out whole.

    One that was taken may end without, for want of somebody to trade with. Then what it was to
    close is still held, and without the protection that went before it.
    """
    return isinstance(outcome, Confirmed) and outcome.order.status is OrderStatus.FILLED


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
