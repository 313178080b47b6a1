"""The record of the reconciler's passes."""

import json
import sqlite3
from collections.abc import Mapping

from msgspec import Struct

from vigil.ledger.account_log import FILLS, Searched, put_searches
from vigil.ledger.queries import sql


class ReconciliationRun(Struct, frozen=True, kw_only=True):
    """One pass of the reconciler.

    Args:
        trigger: What asked for it: `start`, `reconnect`, `interval`, `demand`.
        outcome: `ok`, `skipped` or `failed`.
        open_trades: Found open in the ledger when the pass began.
        drifts: Differences found, one line each.
        remedies: What was done about them, one line each.
        is_unsettled: Something was left for the next pass.
        run_id: Its number in the ledger; 0 until it is recorded.
    """

    started_ms: int
    finished_ms: int
    trigger: str
    outcome: str
    reason: str | None = None
    open_trades: int = 0
    drifts: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()
    is_unsettled: bool = False
    run_id: int = 0


def insert(
    connection: sqlite3.Connection, run: ReconciliationRun, searched: Mapping[str, Searched]
) -> int:
    """Record a pass, and how far it has searched for fills, by currency; its number."""
    put_searches(connection, FILLS, searched)
    row = {
        "started_ms": run.started_ms,
        "finished_ms": run.finished_ms,
        "trigger": run.trigger,
        "outcome": run.outcome,
        "reason": run.reason,
        "open_trades": run.open_trades,
        "drifts": json.dumps(run.drifts),
        "remedies": json.dumps(run.remedies),
        "is_unsettled": int(run.is_unsettled),
    }
    run_id = connection.execute(sql("runs.insert"), row).lastrowid
    assert run_id is not None
    return run_id


def load_latest(connection: sqlite3.Connection, limit: int) -> tuple[ReconciliationRun, ...]:
    """The last passes, newest first."""
    return tuple(
        ReconciliationRun(
            run_id=row[0],
            started_ms=row[1],
            finished_ms=row[2],
            trigger=row[3],
            outcome=row[4],
            reason=row[5],
            open_trades=row[6],
            drifts=tuple(json.loads(row[7])),
            remedies=tuple(json.loads(row[8])),
            is_unsettled=bool(row[9]),
        )
        for row in connection.execute(sql("runs.latest"), {"limit": limit})
    )


def load_last_good_ms(connection: sqlite3.Connection) -> int | None:
    """When the last pass that read everything began."""
    row = connection.execute(sql("runs.last_good")).fetchone()
    started_ms: int | None = row[0]
    return started_ms
