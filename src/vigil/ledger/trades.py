"""Trades as they are read back, and the figures that strategies start from."""

import sqlite3
from decimal import Decimal

from msgspec import Struct

from vigil.domain.trade import Trade
from vigil.errors import Misconfigured, Transient
from vigil.ledger.booking import Estimate
from vigil.ledger.queries import sql
from vigil.ledger.rows import UnreadableRow, trade_from, trades_from


class OpenTrades(Struct, frozen=True, kw_only=True):
    """Every open trade, and the rows that claim to be open and cannot be read."""

    trades: tuple[Trade, ...]
    unreadable: tuple[UnreadableRow, ...]


class TradeChange(Struct, frozen=True, kw_only=True):
    """One line of a trade's journal.

    Args:
        cause: What brought it about: a fill, the reconciler, the strategy.
    """

    trade_id: str
    at_ms: int
    cause: str
    status: str
    amount: Decimal
    open_amount: Decimal
    stop_loss: Decimal | None
    pnl: Decimal | None
    pnl_source: str | None


def load_trade(
    connection: sqlite3.Connection, trade_id: str
) -> tuple[Trade | UnreadableRow | None, Estimate | None]:
    """A trade by id, None when there is none; and the estimate it was closed at, if it ever was."""
    row = connection.execute(sql("trades.load"), {"trade_id": trade_id}).fetchone()
    if row is None:
        return None, None
    estimate = None
    if row[0] is not None and row[1] is not None:
        estimate = Estimate(mark_price=Decimal(row[0]), at_ms=row[1])
    return trade_from(row[2:]), estimate


def require_trade(connection: sqlite3.Connection, trade_id: str) -> Trade:
    """A trade that was there a moment ago.

    Raises:
        Transient: It is not in the ledger; another reading will not bring it.
        Misconfigured: Its row cannot be read.
    """
    found, _ = load_trade(connection, trade_id)
    if found is None:
        raise Transient(f"trade {trade_id} is not in the ledger any more")
    if isinstance(found, UnreadableRow):
        raise Misconfigured(str(found))
    return found


def load_open_page(
    connection: sqlite3.Connection, *, after: int, limit: int
) -> tuple[list[Trade], list[UnreadableRow], int | None]:
    """Open trades in the order of insertion, and where the next page starts; None at the end."""
    parameters = {"after": after, "limit": limit}
    rows = connection.execute(sql("trades.open_page"), parameters).fetchall()
    trades, unreadable = trades_from(rows)
    return trades, unreadable, rows[-1][0] if len(rows) == limit else None


def load_estimated(connection: sqlite3.Connection, since_ms: int) -> tuple[Trade, ...]:
    """Trades closed by an estimate at or after a time, oldest first."""
    rows = connection.execute(sql("trades.estimated"), {"since_ms": since_ms}).fetchall()
    return tuple(trades_from(rows)[0])


def load_changes(connection: sqlite3.Connection, trade_id: str) -> tuple[TradeChange, ...]:
    """A trade's journal, oldest line first."""
    rows = connection.execute(sql("trades.changes"), {"trade_id": trade_id})
    return tuple(
        TradeChange(
            trade_id=row[0],
            at_ms=row[1],
            cause=row[2],
            status=row[3],
            amount=Decimal(row[4]),
            open_amount=Decimal(row[5]),
            stop_loss=None if row[6] is None else Decimal(row[6]),
            pnl=None if row[7] is None else Decimal(row[7]),
            pnl_source=row[8],
        )
        for row in rows
    )


def count_opened_since(connection: sqlite3.Connection, strategy_id: str, since_ms: int) -> int:
    """How many trades a strategy opened at or after a time."""
    parameters = {"strategy_id": strategy_id, "since_ms": since_ms}
    row = connection.execute(sql("trades.opened_since"), parameters).fetchone()
    return int(row[0])


def load_last_exit(connection: sqlite3.Connection, strategy_id: str) -> tuple[str, int] | None:
    """The trade of a strategy that was closed last, and when; None before the first."""
    row = connection.execute(sql("trades.last_exit"), {"strategy_id": strategy_id}).fetchone()
    return None if row is None else (row[0], int(row[1]))
