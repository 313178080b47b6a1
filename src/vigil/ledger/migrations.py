"""Opening a ledger file: its making, its health, its schema, and whose it is, in that order.

Runs once at start, on the connection itself and outside any transaction. What it cannot use it
refuses by Misconfigured before it writes anything.
"""

import os
import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from vigil.errors import Misconfigured
from vigil.ledger.queries import sql

# "Vigl": marks the file as a ledger of ours. Source: sqlite.org/pragma.html, application_id.
APPLICATION_ID = 0x5669676C

_NUMBERED = re.compile(r"^(?P<version>\d{4})_\w+\.sql$")


class Migration(Struct, frozen=True, kw_only=True):
    """One step of the schema, from `version - 1` to `version`."""

    version: int
    script: str


class Header(Struct, frozen=True, kw_only=True):
    """Whose ledger it is.

    Args:
        environment: Fixed when the file is made.
        account: The exchange's id of the account; empty until the exchange has told it.
    """

    environment: str
    account: str
    created_ms: int


def load_migrations() -> tuple[Migration, ...]:
    """The packaged migrations, in order and without gaps."""
    found = []
    for file in Path(__file__).with_name("schema").iterdir():
        if match := _NUMBERED.match(file.name):
            script = file.read_text(encoding="utf-8")
            found.append(Migration(version=int(match["version"]), script=script))
    found.sort(key=lambda migration: migration.version)
    assert [migration.version for migration in found] == list(range(1, len(found) + 1))
    return tuple(found)


def make_private(path: Path) -> None:
    """Make the file if it is missing, readable for its owner only; SQLite's own follow it.

    Raises: Misconfigured, when the file or its directory cannot be used.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise Misconfigured(
            f"ledger {path} cannot be opened for writing ({error.strerror}): make {path.parent} "
            "a directory that the user who runs Vigil can write to"
        ) from error
    if not os.access(path.parent, os.W_OK):
        raise Misconfigured(
            f"directory {path.parent} is read-only, and the ledger {path.name} needs to write "
            "beside itself: make it writable for the user who runs Vigil"
        )


def prepare(
    connection: sqlite3.Connection,
    path: Path,
    wanted: Header,
    migrations: Sequence[Migration],
) -> None:
    """Check the file, bring its schema up to date, and make sure that it is ours.

    Raises:
        Misconfigured: the file is damaged, is no ledger, is newer than this program, or belongs
            to another environment or account. It is unchanged then.
        sqlite3.Error: the file cannot be read or written.
    """
    _require_intact(connection, path)
    version = _schema_version(connection, path, newest=migrations[-1].version)
    if version:
        _require_same_owner(connection, path, wanted)
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    pending = [migration for migration in migrations if migration.version > version]
    if version and pending:
        _back_up(connection, path, version=version, now_ms=wanted.created_ms)
    for migration in pending:
        _migrate(connection, migration)
    if load_header(connection) is None:
        header = {
            "environment": wanted.environment,
            "account": wanted.account,
            "created_ms": wanted.created_ms,
        }
        connection.execute(sql("header.insert"), header)


def load_header(connection: sqlite3.Connection) -> Header | None:
    """The header; None while the file's first start was cut short before it."""
    row = connection.execute(sql("header.load")).fetchone()
    if row is None:
        return None
    environment, account, created_ms = row
    return Header(environment=environment, account=account, created_ms=created_ms)


def _require_intact(connection: sqlite3.Connection, path: Path) -> None:
    """A file that is no database at all raises from the pragma itself."""
    findings = " ".join(row[0] for row in connection.execute("PRAGMA quick_check(3)")).split()
    if findings != ["ok"]:
        raise Misconfigured(
            f"ledger {path} is damaged ({' '.join(findings)}): restore a backup of it, or move "
            "the file and its -wal aside to start an empty ledger; nothing was changed"
        )


def _schema_version(connection: sqlite3.Connection, path: Path, *, newest: int) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and application_id != APPLICATION_ID:
        raise Misconfigured(
            f"{path} is a database, but not a ledger of Vigil: name another state directory, or "
            "move the file aside"
        )
    if version > newest:
        raise Misconfigured(
            f"ledger {path} has schema {version}, newer than this program's {newest}: start the "
            "version of Vigil that wrote it, or restore the backup made before its migration"
        )
    assert isinstance(version, int)
    return version


def _require_same_owner(connection: sqlite3.Connection, path: Path, wanted: Header) -> None:
    found = load_header(connection)
    if found is None:
        return
    if found.environment != wanted.environment:
        raise Misconfigured(
            f"ledger {path} belongs to environment {found.environment!r}, configured is "
            f"{wanted.environment!r}: correct the configuration, or name another state directory"
        )
    if wanted.account:
        check_account(found, wanted.account, path)


def check_account(header: Header, account: str, path: Path) -> None:
    """Refuse to mix the histories of two accounts.

    Raises: Misconfigured.
    """
    if header.account and header.account != account:
        raise Misconfigured(
            f"ledger {path} belongs to account {header.account!r}, the API key to account "
            f"{account!r}: use a key of that account, or give this account a state directory of "
            "its own"
        )


def _back_up(connection: sqlite3.Connection, path: Path, *, version: int, now_ms: int) -> None:
    """Copy the whole ledger beside itself; under its final name only once it is complete."""
    final = path.with_name(f"{path.name}.v{version}-{now_ms}.backup")
    partial = final.with_suffix(".partial")
    partial.touch(mode=0o600)
    copy = sqlite3.connect(partial)
    try:
        connection.backup(copy)
    finally:
        copy.close()  # rolls the copy's journal into it
    partial.rename(final)


def _migrate(connection: sqlite3.Connection, migration: Migration) -> None:
    """Apply one step whole or not at all: a kill in between leaves the version before."""
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{migration.script}\n"
            f"PRAGMA application_id = {APPLICATION_ID};\n"
            f"PRAGMA user_version = {migration.version};\nCOMMIT;"
        )
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
