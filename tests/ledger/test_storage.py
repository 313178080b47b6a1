"""One conformance suite for both ways to the disk, and what only the thread can do."""

import asyncio
import sqlite3
import threading
import time

import pytest
import pytest_asyncio

from vigil.errors import Misconfigured, OutcomeUnknown, Transient
from vigil.ledger.storage import AioSqliteStorage, InLoopStorage


def make_table(connection):
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (x INTEGER PRIMARY KEY)")


def insert(*values):
    def work(connection):
        connection.executemany("INSERT INTO t VALUES (?)", [(value,) for value in values])
        return sum(values)

    return work


def values(connection):
    return [row[0] for row in connection.execute("SELECT x FROM t ORDER BY x")]


@pytest_asyncio.fixture(params=[AioSqliteStorage, InLoopStorage], ids=["aiosqlite", "in-loop"])
async def storage(request, path):
    opened = await request.param.open(path)
    await opened.maintain(make_table)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def threaded(path):
    opened = await AioSqliteStorage.open(path)
    await opened.maintain(make_table)
    yield opened
    await opened.close()


class TestBoth:
    async def test_a_transaction_returns_what_its_work_returned_and_is_on_disk(self, storage, path):
        assert await storage.transact(insert(1, 2)) == 3
        other = sqlite3.connect(path)
        assert values(other) == [1, 2]
        other.close()

    async def test_work_that_raises_leaves_nothing_behind(self, storage):
        def half(connection):
            insert(1)(connection)
            raise LookupError("half-way")

        with pytest.raises(LookupError, match="half-way"):
            await storage.transact(half)
        assert await storage.read(values) == []

    async def test_broken_constraint_passes_unchanged_and_undoes_only_its_own_work(self, storage):
        await storage.transact(insert(5))
        with pytest.raises(sqlite3.IntegrityError):
            await storage.transact(insert(4, 5))
        assert await storage.read(values) == [5]

    async def test_transactions_of_many_tasks_all_happen_once_in_order(self, storage):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(storage.transact(insert(n))) for n in range(150)]
        assert [task.result() for task in tasks] == list(range(150))
        assert await storage.read(values) == list(range(150))

    async def test_one_failing_among_many_concurrent_ones_fails_alone(self, storage):
        await storage.transact(insert(7))
        results = await asyncio.gather(
            *(storage.transact(insert(n)) for n in range(20)), return_exceptions=True
        )
        failed = [n for n, result in enumerate(results) if isinstance(result, Exception)]
        assert failed == [7]
        assert await storage.read(values) == list(range(20))

    async def test_full_disk_is_transient_and_harms_nothing(self, storage):
        await storage.transact(insert(1))
        pages = await storage.maintain(
            lambda connection: connection.execute("PRAGMA page_count").fetchone()[0]
        )
        await storage.maintain(
            lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()
        )
        with pytest.raises(Transient, match="no space left"):
            await storage.transact(insert(*range(10, 10_000)))
        assert await storage.read(values) == [1]
        await storage.maintain(
            lambda connection: connection.execute("PRAGMA max_page_count = 10000").fetchone()
        )
        await storage.transact(insert(2))
        assert await storage.read(values) == [1, 2]

    async def test_another_programs_lock_is_transient(self, storage, path):
        await storage.maintain(
            lambda connection: connection.execute("PRAGMA busy_timeout = 10").fetchone()
        )
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Transient, match="locked by another program"):
            await storage.transact(insert(1))
        other.execute("ROLLBACK")
        other.close()
        await storage.transact(insert(1))
        assert await storage.read(values) == [1]

    async def test_a_writer_beside_us_is_seen_and_does_not_break_our_next_write(
        self, storage, path
    ):
        await storage.transact(insert(1))
        other = sqlite3.connect(path, isolation_level=None)
        for n in range(10, 20):
            other.execute("INSERT INTO t VALUES (?)", (n,))
            await storage.transact(insert(n + 100))
        other.close()
        assert await storage.read(values) == [1, *range(10, 20), *range(110, 120)]

    async def test_after_a_disk_error_the_handle_is_given_up(self, storage):
        def fail(_connection):
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error

        with pytest.raises(OutcomeUnknown, match="disk error"):
            await storage.transact(fail)
        with pytest.raises(OutcomeUnknown, match="given up"):
            await storage.read(values)

    async def test_closing_twice_is_harmless(self, storage):
        await storage.close()
        await storage.close()

    async def test_missing_directory_names_the_path(self, storage, tmp_path):
        with pytest.raises(Misconfigured, match="nowhere"):
            await type(storage).open(tmp_path / "nowhere" / "trades.db")


class TestThread:
    async def test_a_caller_cancelled_in_mid_commit_reads_the_outcome_afterwards(self, threaded):
        started, release = threading.Event(), threading.Event()

        def slow(connection):
            insert(1)(connection)
            started.set()
            release.wait(10)

        task = asyncio.create_task(threaded.transact(slow))
        await asyncio.to_thread(started.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        assert await threaded.read(values) == [1]
        assert not await threaded.maintain(lambda connection: connection.in_transaction)

    async def test_cancelling_callers_at_random_moments_never_mixes_up_results(self, threaded):
        async def write(n):
            assert await threaded.transact(insert(n)) == n

        tasks = [asyncio.create_task(write(n)) for n in range(200)]
        for n, task in enumerate(tasks):
            if n % 3 == 0:
                await asyncio.sleep(0)
                task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(
            result is None or isinstance(result, asyncio.CancelledError) for result in results
        ), results
        written = set(await threaded.read(values))
        told = {n for n, result in enumerate(results) if result is None}
        assert told <= written
        assert await threaded.transact(insert(1000)) == 1000

    async def test_writes_that_pile_up_share_one_commit(self, threaded):
        commits = []
        await threaded.maintain(
            lambda connection: connection.set_trace_callback(
                lambda statement: commits.append(statement) if statement == "COMMIT" else None
            )
        )
        started, release = threading.Event(), threading.Event()

        def slow(_connection):
            started.set()
            release.wait(10)

        first = asyncio.create_task(threaded.transact(slow))
        await asyncio.to_thread(started.wait, 10)
        rest = [asyncio.create_task(threaded.transact(insert(n))) for n in range(50)]
        await asyncio.sleep(0)
        release.set()
        await asyncio.gather(first, *rest)
        assert len(commits) == 2
        assert await threaded.read(values) == list(range(50))

    async def test_the_loop_runs_on_while_the_disk_is_slow(self, threaded):
        beats = 0
        task = asyncio.create_task(threaded.transact(lambda _: time.sleep(0.1)))
        while not task.done():
            beats += 1
            await asyncio.sleep(0.001)
        assert beats > 10

    async def test_closing_finishes_what_was_submitted_and_ends_the_thread(self, threaded):
        thread = await threaded.maintain(lambda _: threading.current_thread())
        pending = asyncio.create_task(threaded.transact(insert(1)))
        await asyncio.sleep(0)
        await threaded.close()
        assert await pending == 1
        await asyncio.to_thread(thread.join, 10)
        assert not thread.is_alive()
