"""Fills and trades on disk: each execution once, and every trade recomputed from its own.

`booking` decides; this module reads what it needs, writes what it decided, and journals each
change of a trade with its cause. All functions run inside the caller's transaction.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from vigil.domain.money import ZERO, decimal_text
from vigil.domain.order import Fill, OwnOrder, Role
from vigil.domain.trade import FillShare, Trade
from vigil.ledger import intents
from vigil.ledger.booking import (
    Candidate,
    Estimate,
    clamp,
    opened_by,
    rebuild,
    share_out,
)
from vigil.ledger.queries import sql
from vigil.ledger.rows import (
    UnreadableRow,
    fill_currency,
    fill_from,
    fill_row,
    order_from,
    share_from,
    trade_row,
)
from vigil.ledger.trades import load_trade, require_trade


class Booking(Struct, frozen=True, kw_only=True):
    """What came of a batch of fills.

    Args:
        new_fills: Those not known before.
        changes: Trades before and after; None before for a trade that was opened.
        orders: Own orders that their fills moved on.
        unassigned: Fills of this batch that no trade's shares cover, and how much of each.
    """

    new_fills: tuple[Fill, ...]
    changes: tuple[tuple[Trade | None, Trade], ...]
    orders: tuple[OwnOrder, ...]
    unassigned: tuple[tuple[Fill, Decimal], ...]


class _StoredShare(Struct, frozen=True, kw_only=True):
    fill_seq: int
    share: FillShare
    is_assigned: bool


def book(connection: sqlite3.Connection, fills: Iterable[Fill], *, now_ms: int) -> Booking:
    """Insert what is new, and give each fill of ours, new or not, to its trade."""
    new_fills: list[Fill] = []
    labels: dict[str, None] = {}
    causes: defaultdict[str, list[str]] = defaultdict(list)
    batch = sorted(fills, key=lambda fill: (fill.timestamp_ms, fill.trade_seq, fill.trade_id))
    for fill in batch:
        label = intents.own_label(connection, fill.label, fill.order_id)
        row = fill_row(fill, own_label=label)
        if connection.execute(sql("fills.insert"), row).rowcount:
            new_fills.append(fill)
            if label is not None:
                labels[label] = None
        elif label is not None and _found(connection, fill)[1] is None:
            connection.execute(sql("fills.link_by_label"), {"label": label})
            labels[label] = None
        if label is None:
            for trade_id in _trades_entered_by(connection, fill):
                causes[trade_id].append(fill.trade_id)
    orders = [intents.apply_executions(connection, label, now_ms=now_ms) for label in labels]
    # Also those that came before their order was known, or an exit before its entry.
    for trade_id, fill_id in connection.execute(sql("fills.unbooked")).fetchall():
        causes[trade_id].append(fill_id)
    changes = []
    for trade_id, fill_ids in causes.items():
        cause = f"fill {', '.join(dict.fromkeys(fill_ids))}"
        change = rebook(connection, trade_id, cause=cause, now_ms=now_ms)
        if change is not None:
            changes.append(change)
    distinct = {(fill_currency(fill), fill.trade_id): fill for fill in batch}
    left = ((fill, _found(connection, fill)[2]) for fill in distinct.values())
    return Booking(
        new_fills=tuple(new_fills),
        changes=tuple(changes),
        orders=tuple(order for order in orders if order is not None),
        unassigned=tuple((fill, amount) for fill, amount in left if amount),
    )


def rebook(
    connection: sqlite3.Connection, trade_id: str, *, cause: str, now_ms: int
) -> tuple[Trade | None, Trade] | None:
    """Recompute one trade from everything known of it; None when that changes nothing.

    A trade of ours that does not exist yet is opened by its entry's first fill. A row that cannot
    be read is left alone: its fills wait until a person has mended it.
    """
    before, estimate = load_trade(connection, trade_id)
    if isinstance(before, UnreadableRow):
        return None
    orders = _orders_for_booking(connection, trade_id)
    found = _candidates(connection, trade_id, before, orders)
    base = before or _opened(found, orders)
    if base is None:
        return None
    stored = _stored_shares(connection, trade_id)
    own = {seq for seq, _ in found}
    assigned = [one.share for one in stored if one.is_assigned and one.fill_seq not in own]
    shares = share_out(base, [candidate for _, candidate in found], assigned)
    after = rebuild(base, shares, estimate)
    if after != before:
        save_trade(
            connection,
            after,
            cause=cause,
            now_ms=now_ms,
            closed_by=None if after.is_open else cause,
            idempotency_key=None if before is not None else _key(found),
        )
    sequence = {one.share.fill: one.fill_seq for one in stored}
    sequence |= {candidate.fill: seq for seq, candidate in found}
    _save_shares(
        connection,
        trade_id,
        stored,
        [
            _StoredShare(
                fill_seq=sequence[share.fill],
                share=share,
                is_assigned=sequence[share.fill] not in own,
            )
            for share in shares
        ],
    )
    return None if after == before else (before, after)


def assign(
    connection: sqlite3.Connection,
    trade_id: str,
    shares: Sequence[FillShare],
    *,
    cause: str,
    now_ms: int,
) -> Trade:
    """Give a trade shares of fills that no order of its own brought.

    Shares that it has already stay as they are, and none takes more than is left of its fill.
    """
    require_trade(connection, trade_id)
    book(connection, [share.fill for share in shares], now_ms=now_ms)
    trade = require_trade(connection, trade_id)
    stored = _stored_shares(connection, trade_id)
    held = {one.fill_seq for one in stored}
    current = [one.share for one in stored]
    for share in shares:
        seq, _, free_amount = _found(connection, share.fill)
        fitting = None if seq in held else clamp(trade, current, share, free_amount)
        if fitting is not None:
            current.append(fitting)
            one = _StoredShare(fill_seq=seq, share=fitting, is_assigned=True)
            _put_share(connection, trade_id, one)
    rebook(connection, trade_id, cause=cause, now_ms=now_ms)
    return require_trade(connection, trade_id)


def close_at_mark(
    connection: sqlite3.Connection,
    trade_id: str,
    estimate: Estimate,
    *,
    cause: str,
    now_ms: int,
) -> Trade:
    """Close what is still open of a trade at an estimate; a closed trade stays as it is."""
    trade = require_trade(connection, trade_id)
    if not trade.is_open:
        return trade
    row = {
        "trade_id": trade_id,
        "price": decimal_text(estimate.mark_price),
        "at_ms": estimate.at_ms,
    }
    connection.execute(sql("trades.set_estimate"), row)
    rebook(connection, trade_id, cause=cause, now_ms=now_ms)
    return require_trade(connection, trade_id)


def save_trade(
    connection: sqlite3.Connection,
    trade: Trade,
    *,
    cause: str,
    now_ms: int,
    closed_by: str | None = None,
    idempotency_key: str | None = None,
) -> None:
    """Write a trade and journal what it became and why."""
    row = trade_row(trade)
    connection.execute(
        sql("trades.put"), row | {"closed_by": closed_by, "idempotency_key": idempotency_key}
    )
    columns = ("status", "amount", "open_amount", "stop_loss", "pnl", "pnl_source")
    change = {column: row[column] for column in columns}
    change |= {"trade_id": trade.trade_id, "at_ms": now_ms, "cause": cause}
    connection.execute(sql("trades.insert_change"), change)


def load_shares(connection: sqlite3.Connection, trade_id: str) -> tuple[FillShare, ...]:
    """A trade's shares, oldest fill first."""
    return tuple(one.share for one in _stored_shares(connection, trade_id))


def load_unassigned(
    connection: sqlite3.Connection, instrument_name: str | None, since_ms: int
) -> tuple[tuple[Fill, Decimal], ...]:
    """Fills with something left that no trade has, oldest first, and how much."""
    row = {"instrument": instrument_name, "since_ms": since_ms}
    found = connection.execute(sql("fills.unassigned"), row)
    return tuple((fill_from(one[1:]), Decimal(one[0])) for one in found)


def load_newest(connection: sqlite3.Connection) -> dict[str, Fill]:
    """The newest fill known, by settlement currency."""
    newest: dict[str, Fill] = {}
    for name, timestamp_ms in connection.execute(sql("fills.last_by_instrument")).fetchall():
        key = {"instrument": name, "timestamp_ms": timestamp_ms}
        fill = fill_from(connection.execute(sql("fills.at"), key).fetchone())
        known = newest.get(fill_currency(fill))
        if known is None or known.timestamp_ms < timestamp_ms:
            newest[fill_currency(fill)] = fill
    return newest


def _orders_for_booking(connection: sqlite3.Connection, trade_id: str) -> dict[str, OwnOrder]:
    """The trade's orders by label; a close has the reason it was sent with, whatever came later."""
    orders = {}
    for row in connection.execute(sql("orders.by_trade_for_booking"), {"trade_id": trade_id}):
        order = order_from(row[1:])
        if order.role is Role.CLOSE:
            order = replace(order, reason=row[0])
        orders[order.label] = order
    return orders


def _candidates(
    connection: sqlite3.Connection,
    trade_id: str,
    trade: Trade | None,
    orders: dict[str, OwnOrder],
) -> list[tuple[int, Candidate]]:
    entry_order_id = None if trade is None else trade.entry_order_id
    parameters = {"trade_id": trade_id, "entry_order_id": entry_order_id}
    found = []
    for row in connection.execute(sql("fills.of_trade"), parameters).fetchall():
        seq, label, fill = row[0], row[1], fill_from(row[2:])
        taken = _taken(connection, seq, except_by=trade_id)
        order = None if label is None else orders[label]
        if order is not None or (trade is not None and fill.direction is trade.side):
            candidate = Candidate(fill=fill, order=order, free_amount=fill.amount - taken)
            found.append((seq, candidate))
    return found


def _opened(found: Sequence[tuple[int, Candidate]], orders: dict[str, OwnOrder]) -> Trade | None:
    entries = [one for _, one in found if one.order is not None and one.is_entry]
    if not entries:
        return None
    first = min(entries, key=lambda one: (one.fill.timestamp_ms, one.fill.trade_seq))
    assert first.order is not None
    return opened_by(first.order, first.fill, tuple(orders.values()))


def _key(found: Sequence[tuple[int, Candidate]]) -> str | None:
    """What the trade may be opened by only once: its first entry's label."""
    labels = [one.order.label for _, one in found if one.order is not None and one.is_entry]
    return f"entry {labels[0]}" if labels else None


def _trades_entered_by(connection: sqlite3.Connection, fill: Fill) -> list[str]:
    rows = connection.execute(sql("trades.by_entry_order"), {"order_id": fill.order_id})
    return [row[0] for row in rows.fetchall()]


def _found(connection: sqlite3.Connection, fill: Fill) -> tuple[int, str | None, Decimal]:
    """A stored fill's number, our label behind it, and what is left of it."""
    key = {"currency": fill_currency(fill), "trade_id": fill.trade_id}
    seq, own_label, unassigned = connection.execute(sql("fills.find"), key).fetchone()
    return seq, own_label, Decimal(unassigned)


def _taken(connection: sqlite3.Connection, fill_seq: int, *, except_by: str | None) -> Decimal:
    rows = connection.execute(sql("fills.shares_of_fill"), {"fill_seq": fill_seq})
    return sum((Decimal(amount) for trade_id, amount in rows if trade_id != except_by), ZERO)


def _stored_shares(connection: sqlite3.Connection, trade_id: str) -> list[_StoredShare]:
    rows = connection.execute(sql("fills.shares_of_trade"), {"trade_id": trade_id})
    return [
        _StoredShare(fill_seq=row[0], share=share_from(row), is_assigned=row[4] == "assigned")
        for row in rows.fetchall()
    ]


def _save_shares(
    connection: sqlite3.Connection,
    trade_id: str,
    stored: Sequence[_StoredShare],
    wanted: Sequence[_StoredShare],
) -> None:
    """Make the stored shares these, touching only what differs."""
    staying = {one.fill_seq for one in wanted}
    for one in stored:
        if one.fill_seq not in staying:
            key = {"trade_id": trade_id, "fill_seq": one.fill_seq}
            connection.execute(sql("fills.drop_share"), key)
            _count_unassigned(connection, one)
    for one in wanted:
        if one not in stored:
            _put_share(connection, trade_id, one)


def _put_share(connection: sqlite3.Connection, trade_id: str, one: _StoredShare) -> None:
    share = one.share
    row: dict[str, Any] = {
        "trade_id": trade_id,
        "fill_seq": one.fill_seq,
        "amount": decimal_text(share.amount),
        "is_entry": int(share.is_entry),
        "reason": None if share.reason is None else share.reason.value,
        "source": "assigned" if one.is_assigned else "order",
    }
    connection.execute(sql("fills.put_share"), row)
    _count_unassigned(connection, one)


def _count_unassigned(connection: sqlite3.Connection, one: _StoredShare) -> None:
    fill = one.share.fill
    left = fill.amount - _taken(connection, one.fill_seq, except_by=None)
    assert left >= 0, f"fill {fill.trade_id} is shared out beyond its amount"
    row = {"fill_seq": one.fill_seq, "unassigned_amount": decimal_text(left)}
    connection.execute(sql("fills.set_unassigned"), row)
