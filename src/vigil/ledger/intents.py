"""Own orders on disk: committed before the wire, then moved along their life by what is heard.

News is merged, never believed to be the newest: `advance` keeps the later status, amounts filled
only grow, and terms are taken from the exchange's latest update. So the same news in any order,
any number of times, leaves the same row. All functions run inside the caller's transaction.
"""

import re
import sqlite3
from collections.abc import Iterable
from decimal import Decimal
from functools import cache
from itertools import islice

from msgspec.structs import replace

from vigil.domain.money import ZERO
from vigil.domain.order import Order, OrderStatus, OwnOrder, advance
from vigil.ledger import incidents
from vigil.ledger.booking import close_reason
from vigil.ledger.queries import sql
from vigil.ledger.rows import Row, order_from, order_news, order_row

# How the id of a linked order begins until its parent has filled. Source: Deribit, OTOCO orders.
WAITING_ID = "OTO-"

# An entry goes with its stop and its target before it may leave, and one statement for the three
# takes half the time of three. Each number of rows is a statement of its own.
_ROWS_MAX = 3


def insert(connection: sqlite3.Connection, orders: Iterable[OwnOrder]) -> None:
    """Insert new rows, a parent before its children.

    Raises: sqlite3.IntegrityError, when a label is taken or a parent missing: a bug.
    """
    left = iter(orders)
    while batch := tuple(islice(left, _ROWS_MAX)):
        values = [value for order in batch for value in _inserted(order)]
        connection.execute(_insertion(len(batch)), values)
        for order in batch:
            if order.order_id is not None:
                _learn_id(connection, order.label, order.order_id)


def record(
    connection: sqlite3.Connection,
    label: str,
    status: OrderStatus,
    *,
    reason: str | None,
    order_id: str | None,
) -> OwnOrder:
    """Move an order on by something other than the exchange's view of it.

    Raises: KeyError, when no order has this label.
    """
    found = _load(connection, label)
    if found is None:
        raise KeyError(label)
    known, exchange_ms = found
    after = _moved(known, status, reason)
    if order_id is not None:
        _learn_id(connection, label, order_id)
        after = replace(after, order_id=known.order_id or order_id)
    _save(connection, known, after, exchange_ms)
    _fail_children(connection, after)
    return after


def apply(connection: sqlite3.Connection, orders: Iterable[Order]) -> tuple[OwnOrder, ...]:
    """Merge the exchange's view of orders, ours among others'; those of ours that changed."""
    changed: dict[str, OwnOrder] = {}
    for order in orders:
        label = own_label(connection, order.label, order.order_id, order.trigger_order_id)
        if label is None:
            continue
        found = _load(connection, label)
        assert found is not None, label
        known, exchange_ms = found
        if order.trigger_order_id is not None:
            _learn_id(connection, label, order.trigger_order_id)
        is_new = _learn_id(connection, label, order.order_id, spawned_by=order.trigger_order_id)
        if is_new and _is_twin(known, order):
            _tell_of_twin(connection, known, order)
        after = _told(known, order, exchange_ms)
        _tell_if_risen(connection, known, after, order.last_update_timestamp_ms)
        after = replace(
            after,
            filled_amount=max(known.filled_amount, order.filled_amount),
            order_id=_current_id(connection, known, order, exchange_ms),
        )
        if order.last_update_timestamp_ms >= exchange_ms:
            exchange_ms = order.last_update_timestamp_ms
            after = _with_terms(after, order)
        if _save(connection, known, after, exchange_ms):
            changed[label] = after
        for child in _fail_children(connection, after):
            changed[child.label] = child
    return tuple(changed.values())


def apply_executions(connection: sqlite3.Connection, label: str, *, now_ms: int) -> OwnOrder | None:
    """Move an order on by its own fills, which may overtake the news of it; None if unchanged."""
    found = _load(connection, label)
    assert found is not None, label
    known, exchange_ms = found
    filled = _executed_amount(connection, label)
    is_whole = filled >= known.amount
    status = OrderStatus.FILLED if is_whole else OrderStatus.PARTIALLY_FILLED
    after = replace(_moved(known, status, None), filled_amount=max(known.filled_amount, filled))
    _tell_if_risen(connection, known, after, now_ms)
    return after if _save(connection, known, after, exchange_ms) else None


def own_label(connection: sqlite3.Connection, label: str, *order_ids: str | None) -> str | None:
    """Our label behind a label or any of some exchange ids; None when the order is not ours."""
    if label and _load(connection, label) is not None:
        return label
    for order_id in order_ids:
        if order_id is not None:
            row = connection.execute(sql("orders.label_of_id"), {"order_id": order_id}).fetchone()
            if row is not None:
                return str(row[0])
    return None


def load(connection: sqlite3.Connection, label: str) -> OwnOrder | None:
    """The order under a label."""
    found = _load(connection, label)
    return None if found is None else found[0]


def load_of_trade(connection: sqlite3.Connection, trade_id: str) -> tuple[OwnOrder, ...]:
    """All orders of a trade, oldest first."""
    return _all(connection, "orders.by_trade", {"trade_id": trade_id})


def load_working(connection: sqlite3.Connection) -> tuple[OwnOrder, ...]:
    """Orders that are not final, oldest first."""
    return _all(connection, "orders.working", {})


def load_unproven(connection: sqlite3.Connection) -> tuple[OwnOrder, ...]:
    """Orders of which the exchange has not been heard, oldest first."""
    return _all(connection, "orders.unproven", {})


def load_short_of_fills(connection: sqlite3.Connection) -> tuple[OwnOrder, ...]:
    """Orders that filled more than is known of their executions, oldest first."""
    return _all(connection, "orders.short_of_fills", {})


def last_intent_id(connection: sqlite3.Connection) -> int:
    """The highest intent id ever committed; 0 in a new ledger."""
    row = connection.execute(sql("orders.last_intent_id")).fetchone()
    return int(row[0])


@cache
def _insertion(rows: int) -> str:
    """The statement `orders.insert` for that many rows, its parameters by position."""
    statement = re.sub(r":\w+", "?", sql("orders.insert"))
    _, row = statement.split("VALUES")
    return statement + f",{row}" * (rows - 1)


def _inserted(order: OwnOrder) -> Row:
    """The row of a new order, with the reason of a close in a column of its own."""
    row, why = order_row(order), close_reason(order)
    return (*row, None) if why is None else (*row[:-1], None, why)


def _moved(known: OwnOrder, seen: OrderStatus, reason: str | None) -> OwnOrder:
    status = advance(known.status, seen)
    # The reason belongs to the status that stands, not to news that came too late.
    if reason is not None and status is seen:
        return replace(known, status=status, reason=reason)
    return replace(known, status=status)


def _told(known: OwnOrder, order: Order, exchange_ms: int) -> OwnOrder:
    """The order as the exchange says it stands; `exchange_ms` is the time of its newest news.

    A refusal of ours never ends what was seen to live. But the exchange's own word may: a trigger
    that fires and cannot be placed ends as rejected, and older news of it raises it no more.
    Source: Deribit, trigger order history, `rejected`.
    """
    ids = (order.order_id, order.trigger_order_id)
    was_alive = known.status.is_resting or known.status is OrderStatus.TRIGGERED
    if order.status is OrderStatus.REJECTED and was_alive and known.order_id in ids:
        reason = known.reason if order.cancel_reason is None else order.cancel_reason
        return replace(known, status=OrderStatus.REJECTED, reason=reason)
    is_old = order.last_update_timestamp_ms < exchange_ms
    if known.status is OrderStatus.REJECTED and is_old:
        return known
    return _moved(known, order.status, order.cancel_reason)


def _is_twin(known: OwnOrder, order: Order) -> bool:
    """Whether the exchange holds a second order under a label; what a trigger spawned is none.

    Nor is a linked order that rests, and waited for its parent under an id for that time.
    """
    ids = (known.order_id or WAITING_ID, order.order_id)
    is_other = ids[0] != ids[1] and not any(one.startswith(WAITING_ID) for one in ids)
    return is_other and order.trigger_order_id is None


def _tell_of_twin(connection: sqlite3.Connection, known: OwnOrder, order: Order) -> None:
    incidents.raise_(
        connection,
        kind="duplicate_label",
        subject=known.label,
        severity="error",
        message=f"orders {known.order_id} and {order.order_id} both carry {known.label}: somebody "
        "else sends orders under our labels, or one was carried out twice; both count",
        detail={"order_ids": [known.order_id, order.order_id]},
        now_ms=order.last_update_timestamp_ms,
    )


def _tell_if_risen(
    connection: sqlite3.Connection, before: OwnOrder, after: OwnOrder, now_ms: int
) -> None:
    """Evidence of life beats a proof of absence, and shows that the proof was wrong."""
    was_over = before.status in (OrderStatus.FAILED, OrderStatus.REJECTED)
    if was_over and after.status is not before.status and before.parent_label is None:
        incidents.raise_(
            connection,
            kind="absence_disproven",
            subject=before.label,
            severity="error",
            message=f"order {before.label} was recorded as {before.status.value} "
            f"({before.reason}) and is {after.status.value} at the exchange; adopted",
            detail={},
            now_ms=now_ms,
        )


def _with_terms(known: OwnOrder, order: Order) -> OwnOrder:
    """Amount and prices as last edited; a market kind shows none and keeps what we asked."""
    return replace(
        known,
        amount=order.amount,
        price=known.price if order.price is None else order.price,
        trigger_price=known.trigger_price if order.trigger_price is None else order.trigger_price,
    )


def _current_id(
    connection: sqlite3.Connection, known: OwnOrder, order: Order, exchange_ms: int
) -> str:
    """The id to cancel by: what a trigger spawned, else the newest."""
    if known.order_id is None or order.trigger_order_id is not None:
        return order.order_id
    row = connection.execute(sql("orders.is_spawned"), {"order_id": known.order_id}).fetchone()
    is_spawned = row is not None and bool(row[0])
    if is_spawned or order.last_update_timestamp_ms < exchange_ms:
        return known.order_id
    return order.order_id


def _fail_children(connection: sqlite3.Connection, parent: OwnOrder) -> list[OwnOrder]:
    """Linked orders whose parent never traded were never placed."""
    if not parent.status.is_final or parent.status is OrderStatus.FILLED:
        return []
    if parent.filled_amount or _executed_amount(connection, parent.label):
        return []
    failed = []
    for child in _all(
        connection, "orders.children", {"label": parent.label, "trade_id": parent.trade_id}
    ):
        if child.status.is_unproven:
            reason = f"parent {parent.label} {parent.status.value}"
            after = replace(child, status=OrderStatus.FAILED, reason=reason)
            _save(connection, child, after, 0)
            failed.append(after)
    return failed


def _executed_amount(connection: sqlite3.Connection, label: str) -> Decimal:
    rows = connection.execute(sql("fills.of_order"), {"label": label})
    return sum((Decimal(text) for (text,) in rows), ZERO)


def _learn_id(
    connection: sqlite3.Connection, label: str, order_id: str, *, spawned_by: str | None = None
) -> bool:
    """Remember an exchange id of ours, and claim the fills that came under it before.

    Returns: Whether it was not known yet.
    """
    row = {"order_id": order_id, "label": label, "spawned_by": spawned_by}
    if not connection.execute(sql("orders.insert_id"), row).rowcount:
        return False
    key = {"order_id": order_id, "label": label}
    connection.execute(sql("fills.link_by_order_id"), key)
    connection.execute(sql("fills.link_by_label"), {"label": label})
    return True


def _load(connection: sqlite3.Connection, label: str) -> tuple[OwnOrder, int] | None:
    row = connection.execute(sql("orders.by_label"), {"label": label}).fetchone()
    return None if row is None else (order_from(row[1:]), row[0])


def _all(
    connection: sqlite3.Connection, name: str, parameters: dict[str, str]
) -> tuple[OwnOrder, ...]:
    return tuple(order_from(row) for row in connection.execute(sql(name), parameters))


def _save(
    connection: sqlite3.Connection, before: OwnOrder, after: OwnOrder, exchange_ms: int
) -> bool:
    """Write the row; whether anything that callers see has changed."""
    row = order_news(after) | {"exchange_ms": exchange_ms}
    if row["reason"] is not None and row["reason"] == close_reason(after):
        row["reason"] = None  # kept in its own column since it was committed
    connection.execute(sql("orders.update"), row)
    return before != after
