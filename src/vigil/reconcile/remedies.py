"""One remedy for each kind of drift, carried out.

Closing, protecting and cancelling go through the order desk like any other order. What belongs to
others is never touched: of that people are told, see `notices`.
"""

from decimal import Decimal
from typing import Protocol, assert_never

import structlog
from msgspec import Struct
from msgspec.structs import replace

from vigil.deribit.outcome import NOT_SENT, Confirmed, Outcome, Refused, Unknown, Verdict
from vigil.deribit.tidings import Tidings, tidings_of
from vigil.desk.books import Books
from vigil.desk.desk import Desk
from vigil.desk.refusals import is_flat_already
from vigil.domain.instrument import contract_of
from vigil.domain.money import decimal_text
from vigil.domain.order import Order, OrderStatus, OwnOrder, Role
from vigil.domain.trade import ExitReason, Trade
from vigil.ledger.ledger import Ledger
from vigil.reconcile.drift import (
    Crossed,
    Drift,
    ForeignOrder,
    ForeignPosition,
    Leftover,
    Misfit,
    Naked,
    Orphan,
    Silent,
    Stillborn,
    Targetless,
    Unexplained,
    Unfilled,
    Unprotectable,
    Unreadable,
    Unrecorded,
    Unsettled,
    Vanished,
    describe,
)
from vigil.reconcile.exits import ExplainedExit
from vigil.reconcile.notices import Notices

log = structlog.get_logger(__name__)


class OrderLookup(Protocol):
    """The exchange's word on an order of ours."""

    async def orders_by_label(self, currency: str, label: str) -> tuple[Order, ...]:
        """Every order under a label, whatever became of it."""
        ...


# The exchange would fire such a stop at once. Source: Deribit's table of errors.
INVALID_TRIGGER_PRICE = 11036


class Remedied(Struct, frozen=True, kw_only=True):
    """What was done about a drift.

    Args:
        is_done: Whether it worked; else the next pass looks again.
    """

    line: str
    is_done: bool = True


class Remedies:
    """Carries remedies out."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        books: Books,
        desk: Desk,
        exchange: OrderLookup,
        notices: Notices,
    ) -> None:
        self._ledger = ledger
        self._books = books
        self._desk = desk
        self._exchange = exchange
        self._notices = notices

    async def apply(self, drift: Drift) -> Remedied:
        """Mend one drift."""
        match drift:
            case Crossed() | Misfit() | Naked() | Targetless() | Unfilled():
                if await self._has_changed(drift.trade):
                    return Remedied(line=f"trade {drift.trade.trade_id} has changed meanwhile")
            case _:
                pass
        match drift:
            case Orphan():
                return await self._close_orphan(drift)
            case Naked(trade=trade) | Targetless(trade=trade):
                return await self._protect(trade)
            case Crossed(trade=trade):
                return await self._close_beyond_stop(trade)
            case Unfilled():
                return await self._escalate(drift)
            case Misfit():
                return await self._fit(drift)
            case Leftover(order=order):
                log.info(
                    "[Reconciliation] Cancelling leftover order",
                    order_id=order.order_id,
                    label=order.label,
                )
                outcome = await self._desk.cancel(
                    order.order_id, why="nothing is left for it to do"
                )
                return _remedied(outcome, f"leftover order {order.order_id} cancelled")
            case Unrecorded(order=order):
                return await self._cancel_unrecorded(order)
            case Silent(order=own):
                return await self._ask_about(own, OrderStatus.CANCELLED)
            case Stillborn(order=own):
                return await self._ask_about(own, OrderStatus.FAILED)
            case (
                Vanished()
                | Unexplained()
                | Unprotectable()
                | Unreadable()
                | ForeignPosition()
                | ForeignOrder()
                | Unsettled()
            ):
                raise AssertionError(f"{drift} has no remedy here")
            case _:
                assert_never(drift)

    async def close_at_estimate(self, trade: Trade, mark_price: Decimal, now_ms: int) -> Remedied:
        """Close a trade that is gone from both sources and that no fill explains."""
        _log_orphan(trade)
        closed = await self._books.close_at_estimate(trade, mark_price, now_ms)
        _log_closed(closed)
        return Remedied(line=f"orphan trade {trade.trade_id} closed at mark, pnl estimated")

    async def replace_estimate(self, found: ExplainedExit) -> Remedied:
        """Book the true fills of a trade that was closed by an estimate."""
        after = await self._books.close_by_fills(found.trade, found.shares)
        log.warning(
            "[Reconciliation] Replaced an estimate by the true fills",
            trade_id=after.trade_id,
            exit_price=after.exit_price,
            pnl=None if after.pnl is None else decimal_text(after.pnl),
            pnl_estimated=None if found.trade.pnl is None else decimal_text(found.trade.pnl),
            pnl_source=after.pnl_source,
        )
        return Remedied(line=f"trade {after.trade_id}: estimate replaced by fills")

    async def _has_changed(self, seen: Trade) -> bool:
        """Whether fills came or the stop was moved since the look that `seen` is from.

        What is sent for a trade that is over would take another strategy's part of the position.
        """
        now = await self._ledger.trade(seen.trade_id)
        return not isinstance(now, Trade) or (
            (now.status, now.open_amount, now.stop_loss)
            != (seen.status, seen.open_amount, seen.stop_loss)
        )

    async def _close_orphan(self, drift: Orphan) -> Remedied:
        _log_orphan(drift.trade)
        after = await self._books.close_by_fills(drift.trade, drift.exit.shares)
        if after.is_open:
            log.warning(
                "[Reconciliation] Resized trade",
                **_trade_facts(after),
                open_amount=decimal_text(after.open_amount),
            )
            size = decimal_text(after.open_amount)
            return Remedied(line=f"trade {after.trade_id} resized to {size}")
        _log_closed(after)
        return Remedied(line=f"orphan trade {after.trade_id} closed from fills")

    async def _protect(self, trade: Trade) -> Remedied:
        """Stop and target as a pair; failing that the stop alone; failing that, out.

        Only the exchange's own no to the pair counts: a stop that was placed alone stays alone.
        """
        log.warning("[Reconciliation] Restoring missing protection", **_trade_facts(trade))
        outcome = await self._desk.protect(trade)
        is_locked = tidings_of(outcome) is Tidings.ACCOUNT_LOCKED
        if _is_no(outcome) and trade.take_profit is not None and not is_locked:
            outcome = await self._desk.protect(replace(trade, take_profit=None))
        if is_flat_already(outcome):
            line = f"trade {trade.trade_id}: nothing left to protect"
            return Remedied(line=line, is_done=False)  # the next pass knows what became of it
        if isinstance(outcome, Refused) and _is_no(outcome):
            if outcome.code == INVALID_TRIGGER_PRICE:
                return await self._close_beyond_stop(trade)
            await self._notices.tell(
                "protection_refused",
                trade.trade_id,
                f"trade {trade.trade_id} has no stop: the exchange refused it, "
                f"{outcome.code} {outcome.message}",
            )
        return _remedied(outcome, f"trade {trade.trade_id}: protection restored")

    async def _close_beyond_stop(self, trade: Trade) -> Remedied:
        log.warning(
            "[Reconciliation] Price is beyond the stop: closing at market", **_trade_facts(trade)
        )
        return await self._close(trade)

    async def _close(self, trade: Trade) -> Remedied:
        outcome = await self._desk.close(trade, ExitReason.SL_HIT)
        if is_flat_already(outcome):
            line = f"trade {trade.trade_id}: nothing left to close"
            return Remedied(line=line, is_done=False)
        return _remedied(outcome, f"trade {trade.trade_id}: closed at market")

    async def _escalate(self, drift: Unfilled) -> Remedied:
        """A stop fired and the position is still there: ask once more, then close at market.

        What it spawned may still rest behind the price, is cancelled by the close, or is gone.
        """
        trade, own = drift.trade, drift.order
        log.error("[Reconciliation] Stop fired and did not fill", **_trade_facts(trade))
        found = await self._desk.look_up(own)
        if found is None:
            return Remedied(line=f"{describe(drift)}, not read", is_done=False)
        after = await self._ledger.order(own.label)
        if after is not None and after.filled_amount > own.filled_amount:
            return Remedied(line=f"trade {trade.trade_id}: its stop has filled meanwhile")
        if not any(
            order.status.is_resting or order.status is OrderStatus.UNKNOWN for order in found
        ):
            reason = "fired, and what it placed is gone without a fill"
            await self._books.record(own.label, OrderStatus.CANCELLED, reason=reason)
        return await self._close(trade)

    async def _fit(self, drift: Misfit) -> Remedied:
        trade, order = drift.trade, drift.order
        is_stop = drift.role is Role.STOP
        outcome = await self._desk.amend(
            order.order_id,
            amount=trade.open_amount if is_stop else trade.open_amount + order.filled_amount,
            price=None if is_stop else order.price,
            trigger_price=trade.stop_loss if is_stop else None,
        )
        return _remedied(outcome, f"trade {trade.trade_id}: {drift.role.value} fitted")

    async def _cancel_unrecorded(self, order: Order) -> Remedied:
        await self._notices.tell(
            "unrecorded_order", order.order_id, describe(Unrecorded(order=order))
        )
        outcome = await self._desk.cancel(order.order_id, why="the ledger does not know it")
        return _remedied(outcome, f"unrecorded order {order.order_id} cancelled")

    async def _ask_about(self, own: OwnOrder, otherwise: OrderStatus) -> Remedied:
        currency = contract_of(own.instrument_name).settlement_currency
        found = await self._exchange.orders_by_label(currency, own.label)
        await self._books.book_orders(found)
        if any(order.status is OrderStatus.UNKNOWN for order in found):
            why = f"order {own.label}: its state is a strange word"
            await self._notices.tell("order_unreadable", own.label, why)
            return Remedied(line=why, is_done=False)
        if any(order.status.is_resting for order in found):
            return Remedied(line=f"order {own.label} rests, though no list shows it", is_done=False)
        if any(order.status.is_final for order in found):
            return Remedied(line=f"order {own.label} is {found[-1].status.value}")
        await self._books.record(own.label, otherwise, reason="not at the exchange")
        return Remedied(
            line=f"order {own.label} is not at the exchange, recorded as {otherwise.value}"
        )


def _is_no(outcome: Outcome) -> bool:
    """Whether the exchange said no to what was asked, and not only that it is too late for it."""
    return (
        isinstance(outcome, Refused)
        and outcome.code != NOT_SENT
        and outcome.verdict is not Verdict.STALE
    )


def _remedied(outcome: Outcome, line: str) -> Remedied:
    match outcome:
        case Confirmed():
            return Remedied(line=line)
        case Refused(code=code, message=message):
            return Remedied(line=f"{line}: refused, {code} {message}", is_done=False)
        case Unknown(reason=reason):
            return Remedied(line=f"{line}: in doubt, {reason}", is_done=False)
        case _:
            assert_never(outcome)


def _log_orphan(trade: Trade) -> None:
    log.warning(
        "[Reconciliation] ORPHAN TRADE DETECTED",
        trade_id=trade.trade_id,
        instrument=trade.instrument_name,
        side=trade.side.value,
        amount=decimal_text(trade.open_amount),
    )


def _log_closed(trade: Trade) -> None:
    log.warning(
        "[Reconciliation] Closed orphan trade",
        trade_id=trade.trade_id,
        exit_price=trade.exit_price,
        pnl=None if trade.pnl is None else decimal_text(trade.pnl),
        currency=trade.settlement_currency,
        exit_reason=trade.exit_reason,
        pnl_source=trade.pnl_source,
    )


def _trade_facts(trade: Trade) -> dict[str, object]:
    return {
        "trade_id": trade.trade_id,
        "instrument": trade.instrument_name,
        "stop": trade.stop_loss,
    }
