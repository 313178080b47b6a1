"""One remedy for each kind of drift, carried out and told.

Closing, protecting and cancelling go through the order desk like any other order. What belongs to
others is never touched: people are told, once, and told again when it is gone.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Protocol, assert_never

import structlog
from msgspec import Struct
from msgspec.structs import replace

from vigil.deribit.outcome import Confirmed, Outcome, Refused, Unknown
from vigil.deribit.tidings import Tidings, tidings_of
from vigil.desk.books import Books
from vigil.desk.desk import Desk, is_flat_already
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
    Unrecorded,
    Unsettled,
    Vanished,
)
from vigil.reconcile.exits import ExplainedExit

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


# Incidents that are over when a look no longer shows them. The others wait for a person.
_PASSING = frozenset(
    {
        "fills_lost",
        "foreign_order",
        "foreign_position",
        "order_in_doubt",
        "positions_vanished",
        "protection_refused",
        "size_unexplained",
        "stop_unfilled",
        "unprotectable_trade",
        "unreadable_trade",
        "unrecorded_order",
    }
)

# What is concluded from something not being there, or from the ledger being right about it.
_CONCLUSIONS = (Orphan, Vanished, Silent, Stillborn, Leftover, Unrecorded)

_TOLD_ONLY = (ForeignOrder, ForeignPosition, Unexplained, Unprotectable, Unsettled, Vanished)


def is_mended_by_us(drift: Drift) -> bool:
    """Whether the drift has a remedy of its own, beyond telling people."""
    return not isinstance(drift, _TOLD_ONLY)


def is_conclusion(drift: Drift) -> bool:
    """Whether its remedy ends something, so that it has to wait while history is in question."""
    return isinstance(drift, _CONCLUSIONS)


def describe(drift: Drift) -> str:
    """The drift in one line."""
    match drift:
        case Orphan(exit=exit_):
            what = f"{decimal_text(exit_.amount)} closed by fills of others"
            return f"orphan trade {exit_.trade.trade_id}: {what}"
        case Vanished(trade=trade):
            return f"orphan trade {trade.trade_id}: not at the exchange, no fill found"
        case Unexplained(trade=trade, missing_amount=amount):
            return f"trade {trade.trade_id}: {decimal_text(amount)} missing, no fill found"
        case Naked(trade=trade):
            return f"trade {trade.trade_id}: no stop rests at the exchange"
        case Targetless(trade=trade):
            return f"trade {trade.trade_id}: no target rests at the exchange"
        case Crossed(trade=trade, mark_price=mark_price):
            return f"trade {trade.trade_id}: mark {decimal_text(mark_price)} is beyond its stop"
        case Unfilled(trade=trade, order=own):
            return f"trade {trade.trade_id}: stop {own.label} has fired and did not fill"
        case Unprotectable(trade=trade):
            return f"trade {trade.trade_id}: has no stop_loss, so none can be placed"
        case Misfit(trade=trade, role=role, order=order):
            return (
                f"trade {trade.trade_id}: {role.value} {order.order_id} has the wrong size or price"
            )
        case Leftover(order=order):
            return f"leftover order {order.order_id} {order.label}"
        case Unrecorded(order=order):
            return f"order {order.order_id} {order.label} is not in the ledger"
        case Silent(order=own):
            return f"order {own.order_id} {own.label} rests in the ledger only"
        case Stillborn(order=own):
            return f"linked order {own.label} never came to life"
        case ForeignPosition(instrument_name=name, size=size):
            return f"foreign position {decimal_text(size)} in {name}"
        case ForeignOrder(order=order):
            return f"foreign order {order.order_id} in {order.instrument_name}"
        case Unsettled(instrument_name=name, why=why):
            return f"{name}: {why}"
        case _:
            assert_never(drift)


class Remedies:
    """Carries remedies out."""

    def __init__(self, *, ledger: Ledger, books: Books, desk: Desk, exchange: OrderLookup) -> None:
        self._ledger = ledger
        self._books = books
        self._desk = desk
        self._exchange = exchange
        self._told: set[tuple[str, str]] = set()

    async def apply(self, drift: Drift) -> Remedied:
        """Mend one drift."""
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

    async def report(
        self,
        drifts: Iterable[Drift],
        *,
        overdue: Iterable[OwnOrder] = (),
        vanished: str | None = None,
        lost_history: str | None = None,
        is_settled: bool = True,
    ) -> None:
        """Tell people what they should look at, and when it is over.

        Args:
            overdue: Orders that are in doubt for too long.
            vanished: Which positions seem to be gone all at once.
            lost_history: What we know and the exchange does not any more.
            is_settled: Whether the look can be believed.

        Also what an earlier process told of. While part of a look is unsettled nothing is over:
        what was not judged is not gone.
        """
        unreadable = (await self._ledger.open_trades()).unreadable
        seen = {("unreadable_trade", problem.trade_id): str(problem) for problem in unreadable}
        for own in overdue:
            seen["order_in_doubt", own.label] = f"nobody knows what became of order {own.label}"
        if vanished is not None:
            seen["positions_vanished", ""] = f"{vanished}: nothing is closed yet"
        if lost_history is not None:
            seen["fills_lost", ""] = f"{lost_history}: nothing is closed and nothing opened"
        lasting: set[tuple[str, str]] = set()
        for drift in drifts:
            match drift:
                case ForeignPosition(instrument_name=name):
                    seen["foreign_position", name] = describe(drift)
                case ForeignOrder(order=order):
                    seen["foreign_order", order.order_id] = describe(drift)
                case Unexplained(trade=trade):
                    seen["size_unexplained", trade.trade_id] = describe(drift)
                case Unprotectable(trade=trade):
                    seen["unprotectable_trade", trade.trade_id] = describe(drift)
                case Unfilled(trade=trade):
                    seen["stop_unfilled", trade.trade_id] = describe(drift)
                case Naked(trade=trade):
                    lasting.add(("protection_refused", trade.trade_id))
                case Unrecorded(order=order):
                    lasting.add(("unrecorded_order", order.order_id))
                case Unsettled() | Vanished():
                    is_settled = False
                case _:
                    pass
        for (kind, subject), message in seen.items():
            await self._tell(kind, subject, message)
        if is_settled:
            await self._resolve_others({*seen, *lasting})

    async def _resolve_others(self, present: set[tuple[str, str]]) -> None:
        for incident in await self._ledger.open_incidents():
            key = (incident.kind, incident.subject)
            if incident.kind in _PASSING and key not in present:
                self._told.discard(key)
                await self._ledger.resolve_incident(*key)

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
        """Stop and target as a pair; failing that the stop alone; failing that, out."""
        log.warning("[Reconciliation] Restoring missing protection", **_trade_facts(trade))
        outcome = await self._desk.protect(trade)
        is_locked = tidings_of(outcome) is Tidings.ACCOUNT_LOCKED
        if isinstance(outcome, Refused) and trade.take_profit is not None and not is_locked:
            outcome = await self._desk.protect(replace(trade, take_profit=None))
        if isinstance(outcome, Refused):
            if outcome.code == INVALID_TRIGGER_PRICE:
                return await self._close_beyond_stop(trade)
            await self._tell(
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
            return Remedied(line=f"trade {trade.trade_id}: nothing left to close")
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
        if not any(order.status.is_resting for order in found):
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
        await self._tell("unrecorded_order", order.order_id, describe(Unrecorded(order=order)))
        outcome = await self._desk.cancel(order.order_id, why="the ledger does not know it")
        return _remedied(outcome, f"unrecorded order {order.order_id} cancelled")

    async def _ask_about(self, own: OwnOrder, otherwise: OrderStatus) -> Remedied:
        currency = contract_of(own.instrument_name).settlement_currency
        found = await self._exchange.orders_by_label(currency, own.label)
        await self._books.book_orders(found)
        if any(order.status is OrderStatus.UNKNOWN for order in found):
            return Remedied(line=f"order {own.label}: its state is a strange word", is_done=False)
        if any(order.status.is_final or order.status.is_resting for order in found):
            return Remedied(line=f"order {own.label} is {found[-1].status.value}")
        await self._books.record(own.label, otherwise, reason="not at the exchange")
        return Remedied(
            line=f"order {own.label} is not at the exchange, recorded as {otherwise.value}"
        )

    async def _tell(self, kind: str, subject: str, message: str) -> None:
        if (kind, subject) not in self._told:
            self._told.add((kind, subject))
            log.warning(f"[Reconciliation] {message}", incident=kind)
        await self._ledger.raise_incident(
            kind=kind, subject=subject, severity="warning", message=message
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
