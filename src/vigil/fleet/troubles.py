"""The session's troubles as incidents: what it tells in passing is kept where it outlives us.

Told synchronously and written by a child of its own, so that a slow disk holds nobody up. Only the
newest word on each kind of trouble counts, so the backlog is as short as the list of kinds.
"""

import asyncio

import structlog

from vigil.deribit.session import Trouble, TroubleKind
from vigil.ledger.incidents import Severity
from vigil.ledger.ledger import Ledger

log = structlog.get_logger(__name__)

SUBJECT = "session"

_SEVERITIES: dict[TroubleKind, Severity] = {
    TroubleKind.LOGIN: "error",
    TroubleKind.CERTIFICATE: "error",
    TroubleKind.CREDITS: "warning",
    TroubleKind.CLOCK: "warning",
    TroubleKind.STREAM: "warning",
    TroubleKind.DISCONNECT: "error",
}

_KINDS = {
    TroubleKind.LOGIN: "login_lost",
    TroubleKind.CERTIFICATE: "certificate_refused",
    TroubleKind.CREDITS: "credits_exhausted",
    TroubleKind.CLOCK: "clock_skewed",
    TroubleKind.STREAM: "private_stream_silent",
    TroubleKind.DISCONNECT: "stops_die_with_connection",
}


class TroubleLog:
    """Raises and resolves the session's incidents."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._told: dict[TroubleKind, Trouble] = {}
        self._standing: dict[TroubleKind, str] = {}
        self._arrived = asyncio.Event()

    @property
    def standing(self) -> dict[str, str]:
        """What is wrong with the session now: reasons by the kind of incident."""
        return {_KINDS[kind]: reason for kind, reason in self._standing.items()}

    def put(self, trouble: Trouble) -> None:
        """A trouble came, or is over. Never blocks; one that goes on is logged once."""
        if trouble.reason is None:
            self._standing.pop(trouble.kind, None)
        else:
            if trouble.kind not in self._standing:
                log.error("session.trouble", trouble=trouble.kind.value, reason=trouble.reason)
            self._standing[trouble.kind] = trouble.reason
        self._told[trouble.kind] = trouble
        self._arrived.set()

    async def run(self) -> None:
        """Write until cancelled. Incidents of an earlier process are resolved like our own."""
        standing = {
            incident.kind
            for incident in await self._ledger.open_incidents()
            if incident.subject == SUBJECT
        }
        while True:
            self._arrived.clear()
            while self._told:
                kind, trouble = next(iter(self._told.items()))
                name = _KINDS[kind]
                if trouble.reason is not None:
                    await self._ledger.raise_incident(
                        kind=name,
                        subject=SUBJECT,
                        severity=_SEVERITIES[kind],
                        message=trouble.reason,
                    )
                    standing.add(name)
                elif name in standing:
                    await self._ledger.resolve_incident(name, SUBJECT)
                    standing.discard(name)
                if self._told[kind] is trouble:  # written; what came meanwhile is not
                    del self._told[kind]
            await self._arrived.wait()
