"""Opening a ledger file."""

import os
import sqlite3
import stat

import pytest

from vigil.errors import Misconfigured
from vigil.ledger import ledger as ledger_module
from vigil.ledger.migrations import APPLICATION_ID, Migration, load_migrations

NEWEST = load_migrations()[-1].version


def pragma(path, name):
    connection = sqlite3.connect(path)
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    connection.close()
    return value


@pytest.fixture
async def existing(open_ledger, path, make):
    """A closed ledger of paper account `acc` with one intent in it."""
    ledger = await open_ledger()
    await ledger.commit_orders([make.entry(7)])
    await ledger.close()
    return path


@pytest.fixture
def with_next_migration(monkeypatch):
    """As if this program knew one migration more."""

    def add(script):
        migrations = (*load_migrations(), Migration(version=NEWEST + 1, script=script))
        monkeypatch.setattr(ledger_module, "load_migrations", lambda: migrations)

    return add


async def test_new_ledger_is_private_durable_and_marked_as_ours(open_ledger, path):
    ledger = await open_ledger()
    pragmas = await ledger._storage.maintain(
        lambda connection: [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    )
    assert pragmas == ["wal", 2, 1, 5000]
    assert pragma(path, "user_version") == NEWEST
    assert pragma(path, "application_id") == APPLICATION_ID
    for name in ("trades.db", "trades.db-wal", "trades.db-shm"):
        assert stat.S_IMODE(os.stat(path.with_name(name)).st_mode) == 0o600


async def test_every_table_is_strict(world):
    tables = world.execute("SELECT name, strict FROM pragma_table_list WHERE type = 'table'")
    assert [name for name, strict in tables if not strict and not name.startswith("sqlite_")] == []


async def test_counting_goes_on_after_the_highest_intent_in_the_file(existing, open_ledger):
    ledger = await open_ledger()
    assert [ledger.next_intent_id(), ledger.next_intent_id()] == [8, 9]


async def test_opening_an_up_to_date_ledger_makes_no_backup(existing, open_ledger):
    await open_ledger()
    assert not list(existing.parent.glob("*.backup"))


async def test_existing_ledger_is_backed_up_before_it_is_migrated(
    existing, open_ledger, with_next_migration
):
    with_next_migration("ALTER TABLE orders ADD COLUMN note TEXT;")
    ledger = await open_ledger()
    assert (await ledger.order("vg-razor-1-7-1")) is not None
    assert pragma(existing, "user_version") == NEWEST + 1
    (backup,) = existing.parent.glob("*.backup")
    assert pragma(backup, "user_version") == NEWEST
    assert pragma(backup, "integrity_check") == "ok"
    copy = sqlite3.connect(backup)
    assert copy.execute("SELECT label FROM orders").fetchall() == [("vg-razor-1-7-1",)]
    copy.close()
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600


async def test_a_migration_that_fails_leaves_the_schema_before_it(
    existing, open_ledger, with_next_migration
):
    with_next_migration("CREATE TABLE half (x INTEGER) STRICT; SELECT nonsense;")
    with pytest.raises(sqlite3.OperationalError):
        await open_ledger()
    assert pragma(existing, "user_version") == NEWEST
    connection = sqlite3.connect(existing)
    assert not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'half'").fetchall()
    connection.close()


async def test_a_start_cut_short_before_the_header_is_finished_by_the_next(existing, open_ledger):
    connection = sqlite3.connect(existing)
    connection.execute("DELETE FROM header")
    connection.commit()
    connection.close()
    await (await open_ledger()).close()
    with pytest.raises(Misconfigured):
        await open_ledger(account="other")


async def test_an_unclaimed_ledger_is_bound_to_the_first_account_and_refuses_another(
    path, open_ledger
):
    ledger = await open_ledger(account="")
    await ledger.claim("10580")
    await ledger.claim("10580")
    with pytest.raises(Misconfigured, match="'10580'.*'20000'"):
        await ledger.claim("20000")
    await ledger.close()
    again = await open_ledger(account="")
    with pytest.raises(Misconfigured, match="state directory of its own"):
        await again.claim("20000")
    await again.claim("10580")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"environment": "live"}, "'paper'.*'live'", id="paper meets live"),
        pytest.param({"account": "bcc"}, "'acc'.*'bcc'", id="another account"),
    ],
)
async def test_ledger_of_another_owner_is_refused_and_unchanged(
    existing, open_ledger, changes, words
):
    before = existing.read_bytes()
    with pytest.raises(Misconfigured, match=words):
        await open_ledger(**changes)
    assert existing.read_bytes() == before


async def test_newer_schema_is_refused_and_unchanged(existing, open_ledger):
    connection = sqlite3.connect(existing)
    connection.execute(f"PRAGMA user_version = {NEWEST + 5}")
    connection.close()
    before = existing.read_bytes()
    with pytest.raises(Misconfigured, match=f"schema {NEWEST + 5}, newer than.*{NEWEST}"):
        await open_ledger()
    assert existing.read_bytes() == before


async def test_somebody_elses_database_is_refused_and_unchanged(path, open_ledger):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE songs (title TEXT)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(Misconfigured, match="not a ledger"):
        await open_ledger()
    assert path.read_bytes() == before


async def test_file_that_is_no_database_is_refused_and_unchanged(path, open_ledger):
    path.write_bytes(b"these are not the pages you are looking for" * 100)
    before = path.read_bytes()
    with pytest.raises(Misconfigured, match=r"trades\.db is damaged.*restore a backup"):
        await open_ledger()
    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == ["trades.db"]


async def test_damaged_page_is_refused_and_unchanged(existing, open_ledger):
    content = bytearray(existing.read_bytes())
    page = 4096
    content[page + 20 : 4 * page] = b"\xff" * (3 * page - 20)
    existing.write_bytes(content)
    with pytest.raises(Misconfigured, match="damaged.*restore a backup"):
        await open_ledger()
    assert existing.read_bytes() == bytes(content)


async def test_truncated_file_is_refused(existing, open_ledger):
    content = existing.read_bytes()
    existing.write_bytes(content[: len(content) // 2])
    with pytest.raises(Misconfigured, match="damaged"):
        await open_ledger()


@pytest.mark.parametrize(
    "place", ["/proc/vigil/trades.db", "/sys/trades.db"], ids=["no directory", "no file"]
)
async def test_place_that_cannot_be_written_is_named(place, clock):
    ledger = ledger_module.Ledger
    with pytest.raises(Misconfigured, match=place):
        await ledger.open(ledger_module.Path(place), environment="p", account="a", clock=clock)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into any directory")
async def test_read_only_directory_is_named(existing, open_ledger):
    existing.parent.chmod(0o500)
    with pytest.raises(Misconfigured, match="read-only"):
        await open_ledger()
    existing.parent.chmod(0o700)


async def test_a_ledger_of_the_first_schema_is_brought_up_to_date_with_its_history(
    path, open_ledger, make, monkeypatch
):
    first = load_migrations()[:1]
    with monkeypatch.context() as before:
        before.setattr(ledger_module, "load_migrations", lambda: first)
        old = await open_ledger()
        await old.commit_orders([make.entry(7)])
        await old.apply_fills([make.fill(1)])
        await old.close()
    assert pragma(path, "user_version") == 1
    ledger = await open_ledger()
    assert pragma(path, "user_version") == NEWEST
    assert len(list(path.parent.glob("*.backup"))) == 1
    assert (await ledger.order(make.entry(7).label)).label == make.entry(7).label
    assert (await ledger.newest_fills())["USDC"].trade_id == "USDC-1"
    assert await ledger.account_log.since(0) == ()
    assert await ledger.account_log.searched("fills") == {}
