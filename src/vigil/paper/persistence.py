"""The paper exchange's books on disk: one SQLite file, written before anything is acknowledged.

Rows for what grows (orders, trades, log, chart minutes), one document for the rest, so that a write
costs what changed and not what there is. Written in the event loop: one transaction is a fraction
of a millisecond, and nobody may be answered before it is done anyway.
"""

import sqlite3
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from vigil.errors import Misconfigured
from vigil.paper.account.books import (
    Entry,
    FundingRecorded,
    LiquidationNoticed,
    Logged,
    OrderChanged,
    OrderForgotten,
    Settled,
    Traded,
    TradesForgotten,
    TriggerEnded,
    Wiped,
)
from vigil.paper.account.funding import HISTORY_HOURS, HOUR_MS, FundingHour
from vigil.paper.account.log_rows import LogRow, SettlementRow
from vigil.paper.account.orders import PaperOrder, PaperTrade, TriggerEnd
from vigil.paper.exchange import AccountState, SavedState
from vigil.paper.market.charts import ClosedMinute
from vigil.paper.market.index import Delivery
from vigil.paper.market.instruments import Listing
from vigil.paper.venue import Changes

_T = TypeVar("_T")

# `rowid` keeps the order in which rows were first written; an upsert leaves it as it was.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (key TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS trades (key TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS trigger_ends (key TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS log (key TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS settlements (key TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS funding_hours (key TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS minutes (key TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS listings (key TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS deliveries (key TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS account (key TEXT PRIMARY KEY, body BLOB NOT NULL);
"""
_UPSERT = {
    table: f"INSERT INTO {table} (key, body) VALUES (?, ?) "  # noqa: S608 - table names are ours
    "ON CONFLICT (key) DO UPDATE SET body = excluded.body"
    for table in (
        "orders",
        "trades",
        "trigger_ends",
        "log",
        "settlements",
        "funding_hours",
        "minutes",
        "listings",
        "deliveries",
        "account",
    )
}
_ACCOUNT_KEY = "account"
_OF_THE_ACCOUNT = ("orders", "trades", "trigger_ends", "log", "settlements")


class StateFile:
    """The file. It is held exclusively until `close`.

    Raises: Misconfigured, when it cannot be opened, is no state file, or another process has it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._encoder = msgspec.json.Encoder()
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=0.5)
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise Misconfigured(
                f"paper state file {path}: {error}; stop the paper exchange that has it, "
                "or name another file with --state"
            ) from error

    def load(self) -> SavedState | None:
        """What an earlier run left; None in a new file.

        Raises: Misconfigured, when the file cannot be read.
        """
        try:
            accounts = self._read("account", AccountState)
            if not accounts:
                return None
            return SavedState(
                account=accounts[0],
                orders=self._read("orders", PaperOrder),
                trades=self._read("trades", PaperTrade),
                trigger_ends=self._read("trigger_ends", TriggerEnd),
                log=self._read("log", LogRow),
                settlements=self._read("settlements", SettlementRow),
                funding_hours=self._read("funding_hours", FundingHour),
                minutes=self._read("minutes", ClosedMinute),
                listings=self._read("listings", Listing),
                deliveries=self._read("deliveries", Delivery),
            )
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            raise Misconfigured(
                f"paper state file {self._path} is damaged: {error}; move it away to start anew"
            ) from error

    def save(self, changes: Changes) -> None:
        """Store changes; they are on disk when this returns. Raises: sqlite3.Error."""
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            for entry in changes.entries:
                self._save_entry(entry)
            for minute in changes.minutes:
                self._upsert("minutes", f"{minute.index_name}:{minute.candle.start_ms}", minute)
            for index_name, start_ms in changes.folded_minutes:
                self._delete("minutes", f"{index_name}:{start_ms}")
            for listing in changes.listings:
                self._upsert("listings", listing.name, listing)
            for delivery in changes.deliveries:
                self._upsert("deliveries", f"{delivery.index_name}:{delivery.expires_ms}", delivery)
            for name in changes.forgotten:
                self._delete("listings", name)
            self._upsert("account", _ACCOUNT_KEY, changes.account)
            execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # a full disk has rolled back already
                execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _save_entry(self, entry: Entry) -> None:
        match entry:
            case OrderChanged(order=order):
                self._upsert("orders", order.order_id, order)
            case OrderForgotten(order_id=order_id):
                self._delete("orders", order_id)
            case Traded(trade=trade):
                self._upsert("trades", trade.trade_id, trade)
            case TradesForgotten(trade_ids=trade_ids):
                for trade_id in trade_ids:
                    self._delete("trades", trade_id)
            case TriggerEnded(end=end, dropped=dropped):
                self._upsert("trigger_ends", str(end.number), end)
                for number in dropped:
                    self._delete("trigger_ends", str(number))
            case Logged(row=row, dropped=dropped):
                self._upsert("log", str(row.number), row)
                for number in dropped:
                    self._delete("log", str(number))
            case Settled(row=settlement, dropped=dropped):
                self._upsert("settlements", str(settlement.row_id), settlement)
                for number in dropped:
                    self._delete("settlements", str(number))
            case FundingRecorded(hour=hour):
                name, ended_ms = hour.instrument_name, hour.timestamp_ms
                self._upsert("funding_hours", f"{name}:{ended_ms}", hour)
                self._delete("funding_hours", f"{name}:{ended_ms - HISTORY_HOURS * HOUR_MS}")
            case Wiped():
                for table in _OF_THE_ACCOUNT:
                    self._connection.execute(f"DELETE FROM {table}")  # noqa: S608
            case LiquidationNoticed():
                pass

    def _upsert(self, table: str, key: str, body: Any) -> None:
        self._connection.execute(_UPSERT[table], (key, self._encoder.encode(body)))

    def _delete(self, table: str, key: str) -> None:
        self._connection.execute(f"DELETE FROM {table} WHERE key = ?", (key,))  # noqa: S608

    def _read(self, table: str, kind: type[_T]) -> tuple[_T, ...]:
        decoder = msgspec.json.Decoder(kind)
        rows = self._connection.execute(
            f"SELECT body FROM {table} ORDER BY rowid"  # noqa: S608 - table names are ours
        )
        return tuple(decoder.decode(body) for (body,) in rows)
