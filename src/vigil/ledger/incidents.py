"""The record of what people should know: one row for one trouble while it lasts."""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from vigil.ledger.queries import sql

# A warning means that someone should look, an error that someone must.
Severity = Literal["warning", "error"]


class Incident(Struct, frozen=True, kw_only=True):
    """One trouble with one subject, from its first sight until it is resolved.

    Args:
        detail: JSON values.
        count: How often it was seen.
    """

    incident_id: int
    kind: str
    subject: str
    severity: Severity
    message: str
    detail: Mapping[str, Any]
    opened_ms: int
    last_ms: int
    count: int
    acknowledged_ms: int | None
    resolved_ms: int | None


def raise_(
    connection: sqlite3.Connection,
    *,
    kind: str,
    subject: str,
    severity: Severity,
    message: str,
    detail: Mapping[str, Any],
    now_ms: int,
) -> Incident:
    """Open an incident, or count it when the same is open."""
    row = {
        "kind": kind,
        "subject": subject,
        "severity": severity,
        "message": message,
        "detail": json.dumps(dict(detail), sort_keys=True),
        "now_ms": now_ms,
    }
    return _incident(connection.execute(sql("incidents.raise"), row).fetchone())


def resolve(
    connection: sqlite3.Connection, kind: str, subject: str, *, now_ms: int
) -> Incident | None:
    """Close the open incident of that kind and subject; None when there is none."""
    row = {"kind": kind, "subject": subject, "now_ms": now_ms}
    found = connection.execute(sql("incidents.resolve"), row).fetchone()
    return None if found is None else _incident(found)


def acknowledge(
    connection: sqlite3.Connection, incident_id: int, *, now_ms: int
) -> Incident | None:
    """Note that a person has seen it; None when there is no such incident."""
    row = {"id": incident_id, "now_ms": now_ms}
    found = connection.execute(sql("incidents.acknowledge"), row).fetchone()
    return None if found is None else _incident(found)


def load_open(connection: sqlite3.Connection) -> tuple[Incident, ...]:
    """Incidents that are not resolved, oldest first."""
    return tuple(_incident(row) for row in connection.execute(sql("incidents.open")))


def _incident(row: tuple[Any, ...]) -> Incident:
    return Incident(
        incident_id=row[0],
        kind=row[1],
        subject=row[2],
        severity=row[3],
        message=row[4],
        detail=json.loads(row[5]),
        opened_ms=row[6],
        last_ms=row[7],
        count=row[8],
        acknowledged_ms=row[9],
        resolved_ms=row[10],
    )
