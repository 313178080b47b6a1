"""The read side for people: past trades page by page, and what each day brought."""

import sqlite3
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial

from msgspec import Struct

from vigil.domain.money import ZERO
from vigil.domain.trade import Trade, TradeStatus
from vigil.ledger.queries import sql
from vigil.ledger.rows import UnreadableRow, trades_from
from vigil.ledger.storage import Storage

PAGE_SIZE_MAX = 1000

_END_OF_TIME_MS = 2**62


class TradePage(Struct, frozen=True, kw_only=True):
    """Some trades, newest entry first.

    Args:
        unreadable: Rows of this page that are no trades.
        next_before: Give it as `before` for the page after this one; None when this is the last.
    """

    trades: tuple[Trade, ...]
    unreadable: tuple[UnreadableRow, ...]
    next_before: str | None


class DayResult(Struct, frozen=True, kw_only=True):
    """Trades that were closed on one UTC day, in one settlement currency.

    Args:
        pnl: Net of fees; funding is told apart.
    """

    day: date
    currency: str
    trades: int
    wins: int
    pnl: Decimal
    fees: Decimal
    funding: Decimal


class Reports:
    """Questions about the past, answered from the ledger's file."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def history(
        self,
        *,
        status: TradeStatus | None = None,
        strategy: str | None = None,
        instrument: str | None = None,
        limit: int = 50,
        before: int | str | None = None,
    ) -> TradePage:
        """Trades, newest entry first; `strategy` is an id or the name of a class.

        `before` is a trade's id, for those that come after it in this order (such pages are
        stable under new trades), or a time in milliseconds, for those entered before it. `limit`
        is cut to 1 to 1000.
        """
        work = partial(
            _history,
            status=status,
            strategy=strategy,
            instrument=instrument,
            limit=max(1, min(limit, PAGE_SIZE_MAX)),
            before=before,
        )
        return await self._storage.read(work)

    async def daily(self, since_ms: int, *, strategy: str | None = None) -> tuple[DayResult, ...]:
        """What each UTC day since a time brought, oldest first, by settlement currency."""
        return await self._storage.read(partial(_daily, since_ms=since_ms, strategy=strategy))

    async def counts(self) -> dict[str, int]:
        """How many trades there are, by status."""
        return await self._storage.read(
            lambda connection: dict(connection.execute(sql("reports.counts")).fetchall())
        )


def summarise(trades: Iterable[Trade]) -> tuple[DayResult, ...]:
    """Closed trades added up by UTC day of exit and settlement currency."""
    days: dict[tuple[date, str], list[Trade]] = {}
    for trade in trades:
        if trade.exit_time_ms is not None:
            day = datetime.fromtimestamp(trade.exit_time_ms / 1000, UTC).date()
            days.setdefault((day, trade.settlement_currency), []).append(trade)
    return tuple(
        DayResult(
            day=day,
            currency=currency,
            trades=len(closed),
            wins=sum(trade.pnl is not None and trade.pnl > 0 for trade in closed),
            pnl=sum((trade.pnl or ZERO for trade in closed), ZERO),
            fees=sum((trade.fees for trade in closed), ZERO),
            funding=sum((trade.funding for trade in closed), ZERO),
        )
        for (day, currency), closed in sorted(days.items(), key=lambda item: item[0])
    )


def _history(
    connection: sqlite3.Connection,
    *,
    status: TradeStatus | None,
    strategy: str | None,
    instrument: str | None,
    limit: int,
    before: int | str | None,
) -> TradePage:
    before_ms, before_seq = _END_OF_TIME_MS, 0
    if isinstance(before, int):
        before_ms = before
    elif before is not None:
        row = connection.execute(sql("reports.position_of"), {"trade_id": before}).fetchone()
        if row is None:
            return TradePage(trades=(), unreadable=(), next_before=None)
        before_ms, before_seq = row
    parameters = {
        "status": status,
        "strategy": strategy,
        "instrument": instrument,
        "limit": limit,
        "before_ms": before_ms,
        "before_seq": before_seq,
    }
    rows = connection.execute(sql("reports.history"), parameters).fetchall()
    trades, unreadable = trades_from(rows)
    return TradePage(
        trades=tuple(trades),
        unreadable=tuple(unreadable),
        next_before=rows[-1][1] if len(rows) == limit else None,
    )


def _daily(
    connection: sqlite3.Connection, *, since_ms: int, strategy: str | None
) -> tuple[DayResult, ...]:
    parameters = {"since_ms": since_ms, "strategy": strategy}
    rows = connection.execute(sql("reports.closed_since"), parameters).fetchall()
    return summarise(trades_from(rows)[0])
