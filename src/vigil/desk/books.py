"""The one road by which news of orders and fills enters the ledger and reaches whom it concerns.

The private stream, replies to our own requests and the reconciler's readings all bring the same
news, often more than once. Each goes through the ledger first; what changed there is told to the
strategy that it belongs to. A strategy that is not running misses nothing: it starts from the
ledger.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from decimal import Decimal
from typing import Protocol, assert_never

import structlog

from vigil.deribit.outcome import Confirmed, LateReply, Outcome, Refused, Unknown
from vigil.domain.labels import parse_label
from vigil.domain.money import decimal_text
from vigil.domain.order import Direction, Fill, Order, OrderStatus, OwnOrder, Role
from vigil.domain.trade import FillShare, Trade
from vigil.ledger.ledger import Ledger

log = structlog.get_logger(__name__)


class Listener(Protocol):
    """Who wants to know what became of a strategy's trades and orders. Must not block."""

    def trade_changed(self, trade: Trade) -> None:
        """A trade was opened, changed or closed in the ledger."""
        ...

    def order_changed(self, order: OwnOrder) -> None:
        """An own order moved on in its life."""
        ...


class Books:
    """Applies news to the ledger and routes what changed.

    Args:
        on_foreign_fill: Called when an execution came in that no order of ours made.
    """

    def __init__(self, ledger: Ledger, *, on_foreign_fill: Callable[[], None]) -> None:
        self._ledger = ledger
        self._on_foreign_fill = on_foreign_fill
        self._listeners: dict[str, Listener] = {}
        self._in_doubt: dict[str, OwnOrder] = {}

    def directions_in_doubt(self, instrument_name: str) -> frozenset[Direction]:
        """In which directions nothing may be opened on an instrument for an order in doubt.

        One that opens would add to the new position. One that only reduces would take from it,
        whichever way it goes.
        """
        if not self._in_doubt:
            return frozenset()
        return frozenset(
            direction
            for order in self._in_doubt.values()
            if order.instrument_name == instrument_name
            for direction in Direction
            if order.reduce_only or direction is order.direction
        )

    @property
    def labels_in_doubt(self) -> frozenset[str]:
        """The orders that are in doubt, as far as was heard."""
        return frozenset(self._in_doubt)

    def hold_in_doubt(self, order: OwnOrder) -> None:
        """Whoever sent this order was cancelled, and nobody waits for the answer any more."""
        self._in_doubt[order.label] = order

    def set_in_doubt(self, orders: Iterable[OwnOrder], *, judged: Collection[str]) -> None:
        """Of the labels `judged`, these orders are in doubt. What came into doubt since stays."""
        kept = {label: one for label, one in self._in_doubt.items() if label not in judged}
        self._in_doubt = kept | {order.label: order for order in orders}

    def listen(self, strategy_id: str, listener: Listener) -> Callable[[], None]:
        """Route a strategy's news to `listener`; the returned function ends that."""
        self._listeners[strategy_id] = listener

        def stop() -> None:
            if self._listeners.get(strategy_id) is listener:
                del self._listeners[strategy_id]

        return stop

    async def book_orders(self, orders: Sequence[Order]) -> tuple[OwnOrder, ...]:
        """Apply what the exchange says of orders, ours and others'; those of ours that changed."""
        if not orders:
            return ()
        changed = await self._ledger.apply_orders(orders)
        self._tell_orders(changed)
        return changed

    async def has_lost_stop(self, changed: Iterable[OwnOrder], at_ms: int) -> bool:
        """Whether one of these was the stop of a trade that is open, and nothing takes its place.

        One that did not even last as long as its placing was valid does not count: it may be
        taken away again at once, and whoever replaces it at once would do so for ever.
        """
        for order in changed:
            is_gone = order.status in (OrderStatus.CANCELLED, OrderStatus.REJECTED)
            if order.role is not Role.STOP or not is_gone or at_ms <= order.valid_until_ms:
                continue
            rows = await self._ledger.orders_of_trade(order.trade_id)
            if not all(row.status.is_final for row in rows if row.role in (Role.STOP, Role.CLOSE)):
                continue
            # A close may be known as filled before its fills are. The trade is read last, so that
            # it has all that these rows tell of.
            short = await self._ledger.orders_short_of_fills()
            if any(row.trade_id == order.trade_id and row.role is Role.CLOSE for row in short):
                continue
            trade = await self._ledger.trade(order.trade_id)
            if isinstance(trade, Trade) and trade.is_open:
                return True
        return False

    async def book_fills(self, fills: Sequence[Fill]) -> tuple[Fill, ...]:
        """Apply executions; each counts once however often it comes. Returns what was new."""
        if not fills:
            return ()
        booking = await self._ledger.apply_fills(fills)
        for fill in booking.new_fills:
            log.info(
                "fill.booked",
                instrument=fill.instrument_name,
                direction=fill.direction.value,
                amount=decimal_text(fill.amount),
                price=decimal_text(fill.price),
                fee=decimal_text(fill.fee),
                label=fill.label or None,
                fill=fill.trade_id,
            )
        self._tell_orders(booking.orders)
        for before, after in booking.changes:
            self._tell_trade(before, after)
        if any(parse_label(fill.label) is None for fill in booking.new_fills):
            self._on_foreign_fill()
        return booking.new_fills

    async def book_late_reply(self, reply: LateReply) -> None:
        """Apply an answer whose caller had given up: it settles the doubt like any other news."""
        match reply.outcome:
            case Confirmed(order=order, fills=fills):
                await self.book_orders((order,))
                await self.book_fills(fills)
            case Refused(code=code, message=message) if reply.label is not None:
                known = await self._ledger.order(reply.label)
                if known is not None and known.status.is_unproven:
                    await self.record(reply.label, OrderStatus.REJECTED, reason=f"{code} {message}")
            case Refused() | Unknown():
                pass  # of an edit or a cancel, or nothing new: the order itself is read anyway
            case _:
                assert_never(reply.outcome)

    async def book_outcome(self, label: str, outcome: Outcome) -> None:
        """Apply what came back, or did not, for the order sent under `label`."""
        match outcome:
            case Confirmed(order=order, fills=fills):
                await self.book_orders((order,))
                await self.book_fills(fills)
            case Refused(code=code, message=message):
                await self.record(label, OrderStatus.REJECTED, reason=f"{code} {message}")
            case Unknown(reason=reason):
                await self.record(label, OrderStatus.IN_DOUBT, reason=reason)
            case _:
                assert_never(outcome)

    async def record(self, label: str, status: OrderStatus, *, reason: str) -> None:
        """Move an own order on by something other than the exchange's view of it."""
        order = await self._ledger.record_outcome(label, status, reason=reason)
        self._tell_orders((order,))

    async def close_by_fills(self, trade: Trade, shares: Sequence[FillShare]) -> Trade:
        """Book others' fills as exits of `trade`."""
        after = await self._ledger.assign_shares(
            trade.trade_id, shares, cause="reconciler: fills of other orders"
        )
        self._tell_trade(trade, after)
        return after

    async def close_at_estimate(self, trade: Trade, mark_price: Decimal, now_ms: int) -> Trade:
        """Close `trade` at mark, saying that it is an estimate."""
        after = await self._ledger.close_estimated(
            trade.trade_id,
            mark_price=mark_price,
            now_ms=now_ms,
            cause="reconciler: gone from both sources, no fill found",
        )
        self._tell_trade(trade, after)
        return after

    async def move_stop(self, trade: Trade, stop_price: Decimal) -> Trade:
        """Record where the stop of `trade` belongs from now on."""
        after = await self._ledger.move_stop(trade.trade_id, stop_price)
        self._tell_trade(trade, after)
        return after

    def _tell_orders(self, orders: Iterable[OwnOrder]) -> None:
        for order in orders:
            if order.status is OrderStatus.IN_DOUBT:
                self._in_doubt[order.label] = order
            elif not order.status.is_unproven:
                self._in_doubt.pop(order.label, None)
            listener = self._listeners.get(order.strategy_id)
            if listener is not None:
                listener.order_changed(order)

    def _tell_trade(self, before: Trade | None, after: Trade) -> None:
        if before is None:
            log.info(
                "trade.opened", **_facts(after), stop=after.stop_loss, target=after.take_profit
            )
        elif before.is_open and not after.is_open:
            log.info(
                "trade.closed",
                **_facts(after),
                exit_price=after.exit_price,
                pnl=None if after.pnl is None else decimal_text(after.pnl),
                currency=after.settlement_currency,
                exit_reason=after.exit_reason,
                pnl_source=after.pnl_source,
            )
        listener = self._listeners.get(after.strategy_id or "")
        if listener is not None:
            listener.trade_changed(after)


def _facts(trade: Trade) -> dict[str, object]:
    return {
        "trade_id": trade.trade_id,
        "strategy": trade.strategy_id or trade.strategy_name,
        "instrument": trade.instrument_name,
        "side": trade.side.value,
        "amount": decimal_text(trade.amount),
        "entry_price": decimal_text(trade.entry_price),
    }
