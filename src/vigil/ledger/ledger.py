"""The ledger: the one owner of history, and the only door to its file.

Intents are committed here before the wire; order news, fills and the reconciler's verdicts come
in by one method each, every one a whole durable transaction. What is said twice, late or out of
order changes nothing (labels, fill ids and trade ids are unique). Methods return when their
transaction is on disk; a caller that is cancelled while it waits does not undo it, and learns the
outcome by reading again. Errors are those of `storage.Storage`.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from vigil.clock import Clock
from vigil.domain.labels import parse_label
from vigil.domain.order import Fill, Order, OrderStatus, OwnOrder
from vigil.domain.trade import FillShare, Trade
from vigil.ledger import fills as fill_rows
from vigil.ledger import incidents, intents, runs
from vigil.ledger import trades as trade_rows
from vigil.ledger.account_log import AccountLog, Searched
from vigil.ledger.booking import Estimate
from vigil.ledger.fills import Booking
from vigil.ledger.incidents import Incident, Severity
from vigil.ledger.migrations import (
    Header,
    check_account,
    load_header,
    load_migrations,
    make_private,
    prepare,
)
from vigil.ledger.queries import sql
from vigil.ledger.reports import Reports
from vigil.ledger.rows import UnreadableRow
from vigil.ledger.runs import ReconciliationRun
from vigil.ledger.storage import AioSqliteStorage, Storage
from vigil.ledger.trades import OpenTrades, TradeChange

# A page of open trades is converted in one go: some 5 ms of the thread, and of others' patience.
OPEN_TRADES_PAGE = 512

# SQLite before this can corrupt a WAL that two connections write and reset at once.
# Source: sqlite.org/releaselog/3_51_3.html. We hold one connection; other programs may not know.
SAFE_SQLITE_VERSION = (3, 51, 3)


class Ledger:
    """One ledger file, open.

    Made by `Ledger.open` and to be closed by `close`; not to be shared between processes.
    """

    def __init__(self, path: Path, storage: Storage, clock: Clock, *, last_intent_id: int) -> None:
        self._path = path
        self._storage = storage
        self._clock = clock
        self._last_intent_id = last_intent_id
        self.reports = Reports(storage)
        self.account_log = AccountLog(storage)

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        environment: str,
        account: str = "",
        clock: Clock,
        open_storage: Callable[[Path], Awaitable[Storage]] = AioSqliteStorage.open,
    ) -> "Ledger":
        """Open the file, made if missing; check it, migrate it, and make sure that it is ours.

        The environment is `paper`, `testnet` or `live`; the account is the exchange's id of it,
        empty while that is not known, see `claim`.

        Raises: Misconfigured, naming the file and the fix; it is unchanged then.
        """
        make_private(path)
        storage = await open_storage(path)
        header = Header(environment=environment, account=account, created_ms=clock.now_ms())
        migrations = load_migrations()
        try:
            await storage.maintain(lambda connection: prepare(connection, path, header, migrations))
            last_intent_id = await storage.read(intents.last_intent_id)
        except BaseException:
            await storage.close()
            raise
        return cls(path, storage, clock, last_intent_id=last_intent_id)

    async def claim(self, account: str) -> None:
        """Bind a ledger that has no account yet to this one; make sure that another one's is not.

        Raises: Misconfigured.
        """

        def bind(connection: sqlite3.Connection) -> Header:
            connection.execute(sql("header.claim"), {"account": account})
            header = load_header(connection)
            assert header is not None, "a ledger is opened with its header"
            return header

        check_account(await self._storage.transact(bind), account, self._path)

    async def close(self) -> None:
        """Finish what was asked and close the file. Safe to call twice."""
        await self._storage.close()

    @property
    def sqlite_version(self) -> str:
        """The version of SQLite in use; it comes with the interpreter."""
        return sqlite3.sqlite_version

    @property
    def has_wal_reset_race(self) -> bool:
        """Whether that version could be harmed by another program writing to the file."""
        return sqlite3.sqlite_version_info < SAFE_SQLITE_VERSION

    @property
    def problem(self) -> str | None:
        """Why the file is of no more use until a fresh start; None while it serves."""
        return self._storage.failure

    # Intents and orders

    def next_intent_id(self) -> int:
        """A number for a new intent: higher than all in the ledger and all handed out before."""
        self._last_intent_id += 1
        return self._last_intent_id

    async def commit_orders(self, orders: Sequence[OwnOrder]) -> None:
        """Commit intents, parents before children, in one transaction, before the wire.

        An order with an `order_id` is one found at the exchange and adopted.
        """
        await self._storage.transact(partial(intents.insert, orders=orders))

    async def record_outcome(
        self,
        label: str,
        status: OrderStatus,
        *,
        reason: str | None = None,
        order_id: str | None = None,
    ) -> OwnOrder:
        """Move an order on by a reply or by a proof; news of an earlier state changes nothing.

        An order that ends without a fill takes its unplaced linked orders with it.

        Raises: KeyError, when no order has this label.
        """
        work = partial(intents.record, label=label, status=status, reason=reason, order_id=order_id)
        return await self._storage.transact(work)

    async def apply_orders(self, orders: Sequence[Order]) -> tuple[OwnOrder, ...]:
        """Merge the exchange's view of orders, by label or by any id ever seen of them.

        Orders that the ledger does not know change nothing: those of others, and those with a
        label of ours, which the reconciler finds among the open ones. Returns ours that changed.
        """
        self._keep_ahead_of(order.label for order in orders)
        return await self._storage.transact(partial(intents.apply, orders=orders))

    async def order(self, label: str) -> OwnOrder | None:
        """One order by label."""
        return await self._storage.read(partial(intents.load, label=label))

    async def orders_of_trade(self, trade_id: str) -> tuple[OwnOrder, ...]:
        """All orders of a trade, oldest first."""
        return await self._storage.read(partial(intents.load_of_trade, trade_id=trade_id))

    async def working_orders(self) -> tuple[OwnOrder, ...]:
        """Orders that are not final, oldest first."""
        return await self._storage.read(intents.load_working)

    async def unproven_orders(self) -> tuple[OwnOrder, ...]:
        """Orders of which the exchange has not been heard, oldest first."""
        return await self._storage.read(intents.load_unproven)

    async def orders_short_of_fills(self) -> tuple[OwnOrder, ...]:
        """Orders that filled more than is known of their executions, oldest first."""
        return await self._storage.read(intents.load_short_of_fills)

    # Fills

    async def apply_fills(self, fills: Sequence[Fill]) -> Booking:
        """Book executions, whoever's they are; each counts once however often it comes.

        Ours go to their trades, which are opened, resized and closed by them. What came earlier
        and found no trade, because its order or the entry was not known, is tried again.
        """
        self._keep_ahead_of(fill.label for fill in fills)
        work = partial(fill_rows.book, fills=fills, now_ms=self._clock.now_ms())
        return await self._storage.transact(work)

    async def unassigned_fills(
        self, instrument_name: str | None, since_ms: int
    ) -> tuple[tuple[Fill, Decimal], ...]:
        """Fills since a time with something left that belongs to no trade, and how much."""
        work = partial(
            fill_rows.load_unassigned, instrument_name=instrument_name, since_ms=since_ms
        )
        return await self._storage.read(work)

    async def newest_fills(self) -> dict[str, Fill]:
        """The newest fill known, by settlement currency."""
        return await self._storage.read(fill_rows.load_newest)

    async def last_fill_ms_by_instrument(self) -> dict[str, int]:
        """Exchange time of the newest fill known, by instrument."""
        return await self._storage.read(
            lambda connection: dict(connection.execute(sql("fills.last_by_instrument")).fetchall())
        )

    # Trades

    async def open_trades(self) -> OpenTrades:
        """Every open trade as the file holds it now, rows that a person inserted included.

        Read and converted in the storage's thread, page by page, so that neither the event loop
        nor an intent that wants to be committed waits for a long ledger.
        """
        trades: list[Trade] = []
        unreadable: list[UnreadableRow] = []
        after: int | None = 0
        while after is not None:
            work = partial(trade_rows.load_open_page, after=after, limit=OPEN_TRADES_PAGE)
            page, bad, after = await self._storage.read(work)
            trades += page
            unreadable += bad
        return OpenTrades(trades=tuple(trades), unreadable=tuple(unreadable))

    async def trade(self, trade_id: str) -> Trade | UnreadableRow | None:
        """One trade by id, open or closed."""
        found, _ = await self._storage.read(partial(trade_rows.load_trade, trade_id=trade_id))
        return found

    async def shares_of(self, trade_ids: Iterable[str]) -> dict[str, tuple[FillShare, ...]]:
        """The fill shares of each trade, oldest fill first; empty for a trade without."""
        wanted = tuple(trade_ids)
        return await self._storage.read(
            lambda connection: {
                trade_id: fill_rows.load_shares(connection, trade_id) for trade_id in wanted
            }
        )

    async def estimated_trades(self, since_ms: int) -> tuple[Trade, ...]:
        """Trades closed by an estimate at or after a time, which fills may still explain."""
        return await self._storage.read(partial(trade_rows.load_estimated, since_ms=since_ms))

    async def open_trades_with_entry_fills(self) -> frozenset[str]:
        """Ids of the open trades whose entry the exchange itself has shown us."""
        return await self._storage.read(
            lambda connection: frozenset(
                trade_id for (trade_id,) in connection.execute(sql("trades.open_with_entry"))
            )
        )

    async def changes_of(self, trade_id: str) -> tuple[TradeChange, ...]:
        """A trade's journal: each change with its cause, oldest first."""
        return await self._storage.read(partial(trade_rows.load_changes, trade_id=trade_id))

    async def assign_shares(
        self, trade_id: str, shares: Sequence[FillShare], *, cause: str
    ) -> Trade:
        """Book fills of others as entries or exits of a trade; said twice it counts once.

        Each share is cut to what is left of its fill and, for exits, of the trade.

        Raises:
            Transient: The trade is not in the ledger any more.
            Misconfigured: Its row cannot be read.
        """
        now_ms = self._clock.now_ms()
        return await self._storage.transact(
            partial(fill_rows.assign, trade_id=trade_id, shares=shares, cause=cause, now_ms=now_ms)
        )

    async def close_estimated(
        self, trade_id: str, *, mark_price: Decimal, now_ms: int, cause: str
    ) -> Trade:
        """Close what is open of a trade at mark, because no fill explains how it ended.

        `now_ms` is the exchange time of the reading that showed the position gone. Fills that
        turn up later replace the estimate. A closed trade stays as it is.

        Raises: as `assign_shares`.
        """
        estimate = Estimate(mark_price=mark_price, at_ms=now_ms)
        work = partial(
            fill_rows.close_at_mark,
            trade_id=trade_id,
            estimate=estimate,
            cause=cause,
            now_ms=self._clock.now_ms(),
        )
        return await self._storage.transact(work)

    async def move_stop(self, trade_id: str, stop_loss: Decimal) -> Trade:
        """Record where the stop of an open trade belongs from now on.

        Raises: as `assign_shares`.
        """
        now_ms = self._clock.now_ms()

        def move(connection: sqlite3.Connection) -> Trade:
            trade = trade_rows.require_trade(connection, trade_id)
            if not trade.is_open or trade.stop_loss == stop_loss:
                return trade
            after = replace(trade, stop_loss=stop_loss)
            fill_rows.save_trade(connection, after, cause="stop moved", now_ms=now_ms)
            return after

        return await self._storage.transact(move)

    async def trades_opened_since(self, strategy_id: str, since_ms: int) -> int:
        """How many trades a strategy opened at or after a time."""
        work = partial(trade_rows.count_opened_since, strategy_id=strategy_id, since_ms=since_ms)
        return await self._storage.read(work)

    async def last_exit(self, strategy_id: str) -> tuple[str, int] | None:
        """The trade of a strategy that was closed last, and when (ms); None before the first."""
        return await self._storage.read(partial(trade_rows.load_last_exit, strategy_id=strategy_id))

    # What people look back on

    async def record_reconciliation(
        self, run: ReconciliationRun, searched: Mapping[str, Searched] | None = None
    ) -> int:
        """Record a pass, and how far it has searched for fills, by currency; its number."""
        work = partial(runs.insert, run=run, searched=searched or {})
        return await self._storage.transact(work)

    async def reconciliation_runs(self, limit: int = 20) -> tuple[ReconciliationRun, ...]:
        """The last passes, newest first."""
        return await self._storage.read(partial(runs.load_latest, limit=limit))

    async def last_good_run_ms(self) -> int | None:
        """When the last pass that read everything began, exchange time; None before the first."""
        return await self._storage.read(runs.load_last_good_ms)

    async def raise_incident(
        self,
        *,
        kind: str,
        severity: Severity,
        message: str,
        subject: str = "",
        detail: Mapping[str, Any] | None = None,
    ) -> Incident:
        """Open an incident; while one of this kind and subject is open, count it instead."""
        work = partial(
            incidents.raise_,
            kind=kind,
            subject=subject,
            severity=severity,
            message=message,
            detail=detail or {},
            now_ms=self._clock.now_ms(),
        )
        return await self._storage.transact(work)

    async def resolve_incident(self, kind: str, subject: str = "") -> Incident | None:
        """Close the open incident of that kind and subject; None when there is none."""
        now_ms = self._clock.now_ms()
        return await self._storage.transact(
            partial(incidents.resolve, kind=kind, subject=subject, now_ms=now_ms)
        )

    async def acknowledge_incident(self, incident_id: int) -> Incident | None:
        """Note that a person has seen it; None when there is no such incident."""
        now_ms = self._clock.now_ms()
        return await self._storage.transact(
            partial(incidents.acknowledge, incident_id=incident_id, now_ms=now_ms)
        )

    async def open_incidents(self) -> tuple[Incident, ...]:
        """Incidents that are not resolved, oldest first."""
        return await self._storage.read(incidents.load_open)

    def _keep_ahead_of(self, labels: Iterable[str]) -> None:
        """Never hand out a number that the exchange has seen, as after restoring an old backup."""
        for text in labels:
            label = parse_label(text)
            if label is not None and label.intent_id > self._last_intent_id:
                self._last_intent_id = label.intent_id
