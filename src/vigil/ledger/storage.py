"""The disk seam: one SQLite connection, used in whole transactions.

The ledger hands in functions of the connection; an adapter runs each between BEGIN and COMMIT and
hands back what it returned. In production that happens in aiosqlite's thread, so that a slow disk
holds up orders but never the event loop; a simulation runs the same functions in the loop, since
virtual time would run ahead of a thread.

Work that was submitted completes, whatever becomes of its caller: a cancelled caller learns the
outcome by reading again, and that read waits its turn behind the work.
"""

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import aiosqlite

from vigil.errors import Misconfigured, OutcomeUnknown, Transient
from vigil.ledger.transactions import Mode, QueuedConnection, Submission, T, Work, run_group

# How long a statement waits for another program that holds the file's lock.
BUSY_TIMEOUT_S = 5.0

_OPTIONS: dict[str, Any] = {
    "timeout": BUSY_TIMEOUT_S,
    "isolation_level": None,  # BEGIN and COMMIT are written out, never implied
    "cached_statements": 256,
}


class Storage(Protocol):
    """One connection to one ledger file.

    Every method raises Transient when nothing happened and a later call may work (locked, disk
    full); OutcomeUnknown when the disk failed, after which the handle is of no more use;
    Misconfigured when only a person can help (damaged, read-only). Broken constraints and bad
    statements are bugs and pass unchanged.
    """

    @property
    def failure(self) -> str | None:
        """The disk error after which the handle is of no more use; None while it serves."""
        ...

    async def transact(self, work: Work[T]) -> T:
        """Run `work` in one durable write transaction."""
        ...

    async def read(self, work: Work[T]) -> T:
        """Run `work` over one consistent view; it must not write."""
        ...

    async def maintain(self, work: Work[T]) -> T:
        """Run `work` outside any transaction: pragmas, migrations, backups."""
        ...

    async def close(self) -> None:
        """Finish what was submitted and close the file. Safe to call twice."""
        ...


class _WholeTransactions(ABC):
    """What both adapters share: modes, and errors translated once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failure: str | None = None

    @property
    def failure(self) -> str | None:
        """See `Storage.failure`."""
        return self._failure

    async def transact(self, work: Work[T]) -> T:
        """See `Storage.transact`."""
        return await self._submit(Submission(Mode.WRITE, work))

    async def read(self, work: Work[T]) -> T:
        """See `Storage.read`."""
        return await self._submit(Submission(Mode.READ, work))

    async def maintain(self, work: Work[T]) -> T:
        """See `Storage.maintain`."""
        return await self._submit(Submission(Mode.BARE, work))

    @abstractmethod
    async def _run(self, submission: Submission[Any]) -> None:
        """Return when the submission has its outcome."""

    async def _submit(self, submission: Submission[T]) -> T:
        # After a failed fsync the kernel may have dropped the pages: only a fresh start can tell.
        if self._failure is not None:
            raise OutcomeUnknown(f"the ledger was given up after: {self._failure}")
        await self._run(submission)
        try:
            return submission.outcome()
        except sqlite3.Error as error:
            translated = _translated(error, self._path)
            if isinstance(translated, OutcomeUnknown):
                self._failure = str(translated)
            raise translated or error from error


class AioSqliteStorage(_WholeTransactions):
    """The file behind aiosqlite's thread, one hop for each transaction.

    aiosqlite's public methods send one sqlite3 call at a time to the thread, and a transaction of
    several hops could be cancelled half-way. Its `connect` passes `factory` on to sqlite3 though,
    and its `commit` calls the connection's own `commit`: so the connection is a
    `QueuedConnection`, whose commit runs a whole submitted transaction. That is one hop, uses
    nothing private, and transactions that pile up behind a slow one share its successor's fsync.
    """

    def __init__(
        self,
        path: Path,
        connection: aiosqlite.Connection,
        queue: deque[Submission[Any]],
    ) -> None:
        super().__init__(path)
        self._connection = connection
        self._queue = queue
        self._is_closed = False

    @classmethod
    async def open(cls, path: Path) -> "AioSqliteStorage":
        """Connect to the file, which is made if it does not exist."""
        queue: deque[Submission[Any]] = deque()
        try:
            connection = await aiosqlite.connect(
                path, factory=partial(QueuedConnection, queue), **_OPTIONS
            )
        except sqlite3.Error as error:
            raise _translated(error, path) or error from error
        return cls(path, connection, queue)

    async def close(self) -> None:
        """See `Storage.close`. The thread is not a daemon: unclosed, it outlives the program."""
        if not self._is_closed:
            self._is_closed = True
            await self._connection.close()

    async def _run(self, submission: Submission[Any]) -> None:
        assert not self._is_closed, f"{self._path} is closed"
        # No await between the two: the n-th commit must belong to the n-th submission.
        self._queue.append(submission)
        await self._connection.commit()


class InLoopStorage(_WholeTransactions):
    """The file used in the event loop's own thread, for simulations on virtual time."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        super().__init__(path)
        self._connection = connection

    @classmethod
    async def open(cls, path: Path) -> "InLoopStorage":
        """Connect to the file, which is made if it does not exist."""
        try:
            return cls(path, sqlite3.connect(path, **_OPTIONS))
        except sqlite3.Error as error:
            raise _translated(error, path) or error from error

    async def close(self) -> None:
        """See `Storage.close`."""
        self._connection.close()

    async def _run(self, submission: Submission[Any]) -> None:
        run_group(self._connection, [submission])
        # Others run between a commit and its caller's next line, as they do behind the thread.
        await asyncio.sleep(0)


def _translated(error: sqlite3.Error, path: Path) -> Exception | None:
    """What the caller may do next; None for what only a bug could cause.

    Source: sqlite.org/rescode.html; the low byte is the primary code.
    """
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Transient(f"ledger {path} is locked by another program: {error}")
        case sqlite3.SQLITE_FULL:
            return Transient(f"no space left for ledger {path}: {error}")
        case sqlite3.SQLITE_IOERR:
            return OutcomeUnknown(f"disk error under ledger {path}: {error}")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return Misconfigured(
                f"ledger {path} is damaged ({error}): restore a backup of it, or move the file "
                "and its -wal aside to start an empty ledger; nothing was changed"
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return Misconfigured(
                f"ledger {path} cannot be written ({error}): make the file and its directory "
                "writable for the user that runs Vigil"
            )
        case _:
            return None
