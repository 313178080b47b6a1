"""Do: approved wishes and remedies become order requests, with their ledger rows beside them.

Each plan is what goes on the wire (`request`) and what must be committed before it (`orders`).
The prices of protective orders trigger on mark, so that one bad print does not close a position.
"""

from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from vigil.domain.labels import make_label
from vigil.domain.order import (
    Direction,
    LinkedOrder,
    OrderRequest,
    OrderType,
    OwnOrder,
    Role,
    Trigger,
)
from vigil.domain.trade import ExitReason, Trade
from vigil.trading.risk import Approved

# The matching engine must not start a request later than this after we sent it: it bounds how long
# an unanswered order can stay in doubt.
ORDER_VALIDITY_MS = 4_000

# Attempts that heal or close on behalf of nobody running carry this strategy in their label.
ORPHANAGE = "vigil"


class Author(Struct, frozen=True, kw_only=True):
    """On whose behalf an order is placed."""

    strategy_id: str
    strategy_name: str


class Plan(Struct, frozen=True, kw_only=True):
    """An order request and the rows that make it durable before it leaves."""

    request: OrderRequest
    orders: tuple[OwnOrder, ...]

    @property
    def label(self) -> str:
        """The label of the primary order."""
        return self.request.label


class Stamp(Struct, frozen=True, kw_only=True):
    """When a plan is made.

    Args:
        now_ms: Our wall time, for the record.
        exchange_now_ms: The exchange's time as we measure it, for `valid_until`.
    """

    now_ms: int
    exchange_now_ms: int

    @property
    def valid_until_ms(self) -> int:
        """Exchange time after which the request must not be started."""
        return self.exchange_now_ms + ORDER_VALIDITY_MS


def author_of(trade: Trade) -> Author:
    """The author for orders that heal `trade`; rows inserted by hand belong to nobody."""
    return Author(strategy_id=trade.strategy_id or ORPHANAGE, strategy_name=trade.strategy_name)


def plan_entry(
    approved: Approved,
    *,
    instrument_name: str,
    author: Author,
    intent_ids: tuple[int, int, int],
    stamp: Stamp,
) -> Plan:
    """A market entry that carries its stop and target, so that there is no naked moment."""
    entry_id, stop_id, target_id = intent_ids
    entry = _first_row(
        Role.ENTRY,
        entry_id,
        author=author,
        trade_id=f"t{entry_id}",
        instrument_name=instrument_name,
        direction=approved.direction,
        order_type=OrderType.MARKET,
        amount=approved.amount,
        stamp=stamp,
    )
    direction, label = approved.direction.opposite, entry.label
    rows = [entry, _stop(entry, stop_id, direction, approved.bracket.stop_price, label)]
    if approved.bracket.target_price is not None:
        price = approved.bracket.target_price
        rows.append(_target(entry, target_id, direction, price, label))
    request = OrderRequest(
        instrument_name=instrument_name,
        direction=approved.direction,
        order_type=OrderType.MARKET,
        amount=approved.amount,
        label=label,
        valid_until_ms=stamp.valid_until_ms,
        linked=tuple(_linked(row) for row in rows[1:]),
    )
    return Plan(request=request, orders=tuple(rows))


def plan_protection(
    trade: Trade, *, author: Author, intent_ids: tuple[int, int], stamp: Stamp
) -> Plan:
    """The stop of an unprotected trade, and its target as the other half of a pair.

    They go as one linked pair because a second free-standing reduce-only order that covers the
    same position is refused. Source: Deribit, error 11030 `invalid_reduce_only_order`.
    """
    assert trade.stop_loss is not None
    stop_id, target_id = intent_ids
    direction = trade.side.opposite
    first = _first_row(
        Role.STOP,
        stop_id,
        author=author,
        trade_id=trade.trade_id,
        instrument_name=trade.instrument_name,
        direction=direction,
        order_type=OrderType.STOP_MARKET,
        amount=trade.open_amount,
        stamp=stamp,
    )
    label = first.label
    rows = [_stop(first, stop_id, direction, trade.stop_loss, None)]
    if trade.take_profit is not None:
        rows.append(_target(first, target_id, direction, trade.take_profit, label))
    request = OrderRequest(
        instrument_name=trade.instrument_name,
        direction=direction,
        order_type=OrderType.STOP_MARKET,
        amount=trade.open_amount,
        label=label,
        trigger=Trigger.MARK,
        trigger_price=trade.stop_loss,
        reduce_only=True,
        valid_until_ms=stamp.valid_until_ms,
        linked=tuple(_linked(row) for row in rows[1:]),
        linked_one_cancels=len(rows) > 1,
    )
    return Plan(request=request, orders=tuple(rows))


def plan_close(
    trade: Trade, *, author: Author, intent_id: int, reason: ExitReason, stamp: Stamp
) -> Plan:
    """A reduce-only market order over what is still open of the trade."""
    first = _first_row(
        Role.CLOSE,
        intent_id,
        author=author,
        trade_id=trade.trade_id,
        instrument_name=trade.instrument_name,
        direction=trade.side.opposite,
        order_type=OrderType.MARKET,
        amount=trade.open_amount,
        stamp=stamp,
    )
    row = replace(first, reduce_only=True, reason=reason.value)
    request = OrderRequest(
        instrument_name=trade.instrument_name,
        direction=row.direction,
        order_type=OrderType.MARKET,
        amount=row.amount,
        label=row.label,
        reduce_only=True,
        valid_until_ms=stamp.valid_until_ms,
    )
    return Plan(request=request, orders=(row,))


def plan_again(plan: Plan, *, stamp: Stamp) -> Plan:
    """The same intent, tried once more under labels of their own.

    Only for what may happen twice without harm, or what is proven not to have happened.
    """
    labels = {
        row.label: make_label(row.strategy_id, row.intent_id, row.attempt + 1)
        for row in plan.orders
    }
    rows = tuple(
        replace(
            row,
            label=labels[row.label],
            attempt=row.attempt + 1,
            created_ms=stamp.now_ms,
            valid_until_ms=stamp.valid_until_ms,
            parent_label=None if row.parent_label is None else labels[row.parent_label],
        )
        for row in plan.orders
    )
    request = replace(
        plan.request,
        label=labels[plan.request.label],
        valid_until_ms=stamp.valid_until_ms,
        linked=tuple(replace(one, label=labels[one.label]) for one in plan.request.linked),
    )
    return Plan(request=request, orders=rows)


def _first_row(
    role: Role,
    intent_id: int,
    *,
    author: Author,
    trade_id: str,
    instrument_name: str,
    direction: Direction,
    order_type: OrderType,
    amount: Decimal,
    stamp: Stamp,
) -> OwnOrder:
    """A row of a plan; the others are made of it, since most of what they say is the same."""
    return OwnOrder(
        label=make_label(author.strategy_id, intent_id),
        intent_id=intent_id,
        attempt=1,
        strategy_id=author.strategy_id,
        strategy_name=author.strategy_name,
        role=role,
        trade_id=trade_id,
        instrument_name=instrument_name,
        direction=direction,
        order_type=order_type,
        amount=amount,
        created_ms=stamp.now_ms,
        valid_until_ms=stamp.valid_until_ms,
    )


def _stop(
    row: OwnOrder, intent_id: int, direction: Direction, price: Decimal, parent_label: str | None
) -> OwnOrder:
    return replace(
        row,
        label=make_label(row.strategy_id, intent_id),
        intent_id=intent_id,
        role=Role.STOP,
        direction=direction,
        order_type=OrderType.STOP_MARKET,
        trigger_price=price,
        reduce_only=True,
        parent_label=parent_label,
    )


def _target(
    row: OwnOrder, intent_id: int, direction: Direction, price: Decimal, parent_label: str
) -> OwnOrder:
    return replace(
        row,
        label=make_label(row.strategy_id, intent_id),
        intent_id=intent_id,
        role=Role.TARGET,
        direction=direction,
        order_type=OrderType.LIMIT,
        price=price,
        reduce_only=True,
        parent_label=parent_label,
    )


def _linked(row: OwnOrder) -> LinkedOrder:
    is_trigger = row.order_type is OrderType.STOP_MARKET
    return LinkedOrder(
        direction=row.direction,
        order_type=row.order_type,
        amount=row.amount,
        label=row.label,
        price=row.price,
        trigger_price=row.trigger_price,
        trigger=Trigger.MARK if is_trigger else None,
        reduce_only=True,
    )
