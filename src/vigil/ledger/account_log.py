"""The drop copy: the exchange's transaction log on disk, and how far each search is complete.

Entries are kept as they were told, once each, and never changed: what the exchange says otherwise
later is for the reconciler to judge against them.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from msgspec import Struct

from vigil.domain.account_log import LogEntry
from vigil.domain.money import decimal_text
from vigil.ledger.queries import sql
from vigil.ledger.storage import Storage

FILLS = "fills"
ACCOUNT_LOG = "account_log"

_MONEY_AT = (
    "cashflow",
    "equity",
    "amount",
    "contracts",
    "position",
    "price",
    "mark_price",
    "index_price",
    "settlement_price",
    "commission",
    "session_rpl",
    "session_upl",
    "interest_pl",
    "total_interest_pl",
)


class Searched(Struct, frozen=True, kw_only=True):
    """An interval of exchange time in which a record was read completely, both ends included."""

    since_ms: int
    complete_ms: int


class AccountLog:
    """The drop copy of one ledger. Made by it; errors are those of `storage.Storage`."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def store(
        self, currency: str, entries: Sequence[LogEntry], searched: Searched | None = None
    ) -> None:
        """Keep what is new of a reading of `currency`, and how far it goes on from the last."""

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(sql("account_log.insert"), [_row(entry) for entry in entries])
            if searched is not None:
                put_searches(connection, ACCOUNT_LOG, {currency: searched})

        await self._storage.transact(work)

    async def tail(self, currency: str) -> LogEntry | None:
        """The newest entry known of a currency; None before the first."""
        found = await self._storage.read(
            lambda connection: connection.execute(
                sql("account_log.tail"), {"currency": currency}
            ).fetchone()
        )
        return None if found is None else _entry(found)

    async def since(self, since_ms: int) -> tuple[LogEntry, ...]:
        """Entries in all currencies from an exchange time on, by `user_seq`."""
        return await self._storage.read(
            lambda connection: tuple(
                _entry(row)
                for row in connection.execute(sql("account_log.since"), {"since_ms": since_ms})
            )
        )

    async def trades_without_fill(self, instrument_name: str, since_ms: int) -> frozenset[str]:
        """Ids of executions that the log tells of and that no fill in the ledger does."""
        row = {"instrument": instrument_name, "since_ms": since_ms}
        return await self._storage.read(
            lambda connection: frozenset(
                one for (one,) in connection.execute(sql("account_log.trades_without_fill"), row)
            )
        )

    async def has_strange(self, instrument_name: str, since_ms: int) -> bool:
        """Whether the log tells of anything but settlements and executions that are known."""
        row = {"instrument": instrument_name, "since_ms": since_ms}
        return await self._storage.read(
            lambda connection: bool(
                connection.execute(sql("account_log.has_strange"), row).fetchone()[0]
            )
        )

    async def ended_flat(self, instrument_name: str) -> frozenset[str]:
        """Open trades since whose entry the position was closed as a whole, by the log."""
        row = {"instrument": instrument_name}
        return await self._storage.read(
            lambda connection: frozenset(
                trade_id for (trade_id,) in connection.execute(sql("account_log.ended_flat"), row)
            )
        )

    async def newest_of_instrument(self, instrument_name: str, since_ms: int) -> LogEntry | None:
        """The newest entry known of an instrument since a time; None when there is none."""
        row = {"instrument": instrument_name, "since_ms": since_ms}
        found = await self._storage.read(
            lambda connection: connection.execute(
                sql("account_log.newest_of_instrument"), row
            ).fetchone()
        )
        return None if found is None else _entry(found)

    async def searched(self, name: str) -> dict[str, Searched]:
        """How far a search (`FILLS`, `ACCOUNT_LOG`) is complete, by currency."""
        return await self._storage.read(partial(_load_searches, name=name))


def put_searches(
    connection: sqlite3.Connection, name: str, searched: Mapping[str, Searched]
) -> None:
    """Record complete searches. Runs inside the caller's transaction."""
    for currency, one in searched.items():
        row = {
            "name": name,
            "currency": currency,
            "since_ms": one.since_ms,
            "complete_ms": one.complete_ms,
        }
        connection.execute(sql("account_log.put_search"), row)


def _load_searches(connection: sqlite3.Connection, name: str) -> dict[str, Searched]:
    rows: Iterable[tuple[str, int, int]]
    rows = connection.execute(sql("account_log.searches"), {"name": name})
    return {
        currency: Searched(since_ms=since_ms, complete_ms=complete_ms)
        for currency, since_ms, complete_ms in rows
    }


def _row(entry: LogEntry) -> dict[str, Any]:
    row: dict[str, Any] = {
        "entry_id": entry.entry_id,
        "user_seq": entry.user_seq,
        "currency": entry.currency,
        "timestamp_ms": entry.timestamp_ms,
        "entry_type": entry.entry_type,
        "change": decimal_text(entry.change),
        "balance": decimal_text(entry.balance),
        "instrument": entry.instrument_name,
        "side": entry.side,
        "price_currency": entry.price_currency,
        "trade_id": entry.trade_id,
        "order_id": entry.order_id,
        "is_profit_cashflow": int(entry.is_profit_cashflow),
        "info": entry.info,
    }
    for name in _MONEY_AT:
        value: Decimal | None = getattr(entry, name)
        row[name] = None if value is None else decimal_text(value)
    return row


def _entry(row: tuple[Any, ...]) -> LogEntry:
    def money(position: int) -> Decimal | None:
        return None if row[position] is None else Decimal(row[position])

    return LogEntry(
        entry_id=row[0],
        user_seq=row[1],
        currency=row[2],
        timestamp_ms=row[3],
        entry_type=row[4],
        change=Decimal(row[5]),
        balance=Decimal(row[6]),
        cashflow=money(7),
        equity=money(8),
        instrument_name=row[9],
        side=row[10],
        amount=money(11),
        contracts=money(12),
        position=money(13),
        price=money(14),
        price_currency=row[15],
        mark_price=money(16),
        index_price=money(17),
        settlement_price=money(18),
        commission=money(19),
        session_rpl=money(20),
        session_upl=money(21),
        interest_pl=money(22),
        total_interest_pl=money(23),
        trade_id=row[24],
        order_id=row[25],
        is_profit_cashflow=bool(row[26]),
        info=row[27],
    )
