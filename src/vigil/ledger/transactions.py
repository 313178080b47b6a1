"""Whole transactions over one SQLite connection: what both storage adapters run.

A piece of work arrives as a function of the connection and is run between BEGIN and COMMIT, with
the fate of each kept apart: writes that wait together share one commit, and one that raises is
undone alone. Nothing here knows of the event loop or of the ledger's tables.
"""

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

# Bounds how long the first of a group waits for the last; 50 rows already cost 15 µs each.
GROUP_SIZE_MAX = 128


class Mode(Enum):
    """What a piece of work needs around it."""

    READ = auto()
    WRITE = auto()
    BARE = auto()  # pragmas, migrations and backups cannot run inside a transaction


class Submission(Generic[T]):
    """One piece of work, and later its result or its error."""

    __slots__ = ("_error", "_result", "_work", "mode")

    def __init__(self, mode: Mode, work: Work[T]) -> None:
        self.mode = mode
        self._work = work
        self._result: list[T] = []
        self._error: BaseException | None = None

    def run(self, connection: sqlite3.Connection) -> bool:
        """Run the work and keep what came of it; whether it succeeded."""
        try:
            self._result = [self._work(connection)]
        except BaseException as error:  # noqa: BLE001 - carried to whoever submitted it
            self._error = error
        return self._error is None

    def fail(self, error: BaseException) -> None:
        """The work was undone: its result does not count, `error` does."""
        self._error = error

    def outcome(self) -> T:
        """The result; raises the error if there was one."""
        if self._error is not None:
            raise self._error
        assert self._result, "asked for the outcome of work that has not run"
        return self._result[0]


def take_group(queue: deque[Submission[Any]]) -> list[Submission[Any]]:
    """Remove what may be run together: the leading writes, or one of anything else."""
    group = [queue.popleft()]
    if group[0].mode is Mode.WRITE:
        while queue and queue[0].mode is Mode.WRITE and len(group) < GROUP_SIZE_MAX:
            group.append(queue.popleft())
    return group


def run_group(connection: sqlite3.Connection, group: Sequence[Submission[Any]]) -> None:
    """Run one group in one transaction; afterwards each submission has its outcome.

    The connection is in autocommit mode before and after, whatever happened in between.
    """
    if group[0].mode is Mode.BARE:
        group[0].run(connection)
        return
    is_write = group[0].mode is Mode.WRITE
    try:
        # A write that began as a read could fail at once when another program wrote in between.
        connection.execute("BEGIN IMMEDIATE" if is_write else "BEGIN")
        if len(group) == 1:
            if not group[0].run(connection):
                _roll_back(connection)
                return
        else:
            for index, submission in enumerate(group):
                connection.execute("SAVEPOINT one")
                if not submission.run(connection):
                    if not connection.in_transaction:  # a full disk takes the whole group with it
                        _fail_undone(group[:index], submission)
                        if rest := group[index + 1 :]:
                            run_group(connection, rest)
                        return
                    connection.execute("ROLLBACK TO one")
                connection.execute("RELEASE one")
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        _roll_back(connection)
        for submission in group:
            submission.fail(error)


def _fail_undone(undone: Sequence[Submission[Any]], culprit: Submission[Any]) -> None:
    try:
        culprit.outcome()
    except sqlite3.Error as error:
        for submission in undone:
            submission.fail(error)


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


class QueuedConnection(sqlite3.Connection):
    """A connection whose `commit` runs the next group of submitted work and commits it.

    Args:
        queue: Work in order of arrival. Whoever appends to it calls `commit` once for each piece;
            calls are served in the same order, so the n-th call returns when the n-th piece is
            done. A call whose piece was done with an earlier group returns at once.
    """

    def __init__(self, queue: deque[Submission[Any]], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._queue = queue
        self._calls = 0
        self._done = 0

    def commit(self) -> None:
        """Make sure that one more piece of work is done. Errors stay with their submissions."""
        self._calls += 1
        if self._done < self._calls:
            group = take_group(self._queue)
            self._done += len(group)
            run_group(self, group)
