"""Locks of the exchange, heard and read, and told to whoever wants to trade or to know.

A session's first questions are which locks are in force; while something is closed they are asked
again, ever more rarely, and otherwise every few minutes. Each closure is an incident while it
lasts. When one ends a reconciliation is asked for, and nothing is opened there before it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, assert_never

import structlog

from vigil.clock import Clock
from vigil.domain.events import AccountLockReceived, PlatformStateReceived
from vigil.domain.instrument import Instrument
from vigil.domain.market import PlatformStatus
from vigil.domain.portfolio import AccountLock
from vigil.errors import OutcomeUnknown, Rejected, Transient
from vigil.ledger.ledger import Ledger
from vigil.trading.closures import (
    Closure,
    ClosureKind,
    Closures,
    Scope,
    place_of,
    place_of_name,
)

log = structlog.get_logger(__name__)

LOOK_S = 300.0
CLOSED_LOOK_S = 5.0
CLOSED_LOOK_S_MAX = 60.0
RETRY_S = 1.0
RETRY_S_MAX = 30.0
_DOUBLINGS_MAX = 16

_INCIDENTS = {
    kind.value: kind
    for kind in (ClosureKind.MAINTENANCE, ClosureKind.PLATFORM_LOCKED, ClosureKind.ACCOUNT_LOCKED)
}

_Answer = TypeVar("_Answer")


class LockSource(Protocol):
    """The exchange, as far as its locks are asked for."""

    @property
    def is_live(self) -> bool:
        """Whether a session is authenticated and subscribed."""
        ...

    def exchange_now_ms(self) -> int:
        """The exchange's time as measured now."""
        ...

    async def platform_status(self) -> PlatformStatus:
        """Locks of trading in force."""
        ...

    async def account_locks(self) -> tuple[AccountLock, ...]:
        """Whether the account is locked, by currency."""
        ...


class Locks:
    """Keeps `Closures` up to date, and tells when they change.

    Args:
        request_pass: Asks for a reconciliation.
    """

    def __init__(
        self,
        *,
        source: LockSource,
        ledger: Ledger,
        clock: Clock,
        request_pass: Callable[[str], None],
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._clock = clock
        self._request_pass = request_pass
        self._closures = Closures()
        self._is_quiet = False
        self._wants_reading = True
        self._heard_count = 0
        self._failures = 0
        self._looks = 0
        self._told: dict[Scope, str] = {}
        self._wake = asyncio.Event()

    @property
    def closures(self) -> Closures:
        """What is known now."""
        return self._closures

    def against(self, instrument: Instrument) -> Closure | None:
        """Why nothing may be opened on an instrument now."""
        return None if self._is_quiet else self._closures.against(place_of(instrument))

    def is_shut(self, instrument_name: str) -> bool:
        """Whether the exchange takes no orders on an instrument, as far as we know."""
        if self._is_quiet:
            return False
        return self._closures.shuts(place_of_name(instrument_name)) is not None

    def opened(self) -> None:
        """A session opened."""
        self._heard_count += 1
        self._become(self._closures.opened(self._source.exchange_now_ms()), wants_reading=True)

    def take(self, event: PlatformStateReceived | AccountLockReceived) -> None:
        """The session was told of a lock, or of its end.

        Most of what the platform says is that nothing is locked where nothing was. Were that news,
        there would hardly be a moment in which to ask. Source: Deribit, platform_state, seen.
        """
        now_ms = self._source.exchange_now_ms()
        match event:
            case PlatformStateReceived():
                after = self._closures.heard_platform(event, now_ms)
            case AccountLockReceived():
                after = self._closures.heard_account(event, now_ms)
            case _:
                assert_never(event)
        if event.is_locked or after != self._closures:
            self._heard_count += 1
            self._become(after, wants_reading=after != self._closures)

    def refused(self, kind: ClosureKind, instrument_name: str, words: str) -> None:
        """An order met a lock."""
        place, now_ms = place_of_name(instrument_name), self._source.exchange_now_ms()
        after = self._closures.refused(kind, place, words, now_ms)
        self._become(after, wants_reading=after != self._closures)

    def reconciled(self, started_ms: int) -> None:
        """A good pass that began at `started_ms` has ended."""
        if self._closures.reopened_ms:
            self._become(self._closures.reconciled(started_ms), wants_reading=False)

    async def run(self) -> None:
        """Ask and tell until cancelled."""
        for incident in await self._ledger.open_incidents():
            if incident.kind in _INCIDENTS:
                scope = Scope(_INCIDENTS[incident.kind], incident.subject)
                self._told[scope] = incident.message
        while True:
            self._wake.clear()
            if self._wants_reading and self._source.is_live:
                await self._read()
            await self._tell()
            await self._rest()

    def _become(self, after: Closures, *, wants_reading: bool) -> None:
        before, self._closures = self._closures, after
        self._is_quiet = after.is_quiet
        stood, stands = before.standing, after.standing
        for scope in stands.keys() - stood.keys():
            log.error("lock.began", lock=scope.kind.value, on=scope.subject, what=stands[scope])
        for scope in stood.keys() - stands.keys():
            log.warning("lock.ended", lock=scope.kind.value, on=scope.subject)
        if stood.keys() != stands.keys():
            self._looks = 0
        if stood.keys() - stands.keys():
            self._request_pass("unlocked")
        if wants_reading:
            self._wants_reading = True
        self._wake.set()

    async def _read(self) -> None:
        heard_count = self._heard_count
        try:
            status = await _unless_refused("platform_status", self._source.platform_status())
            locks = await _unless_refused("account_locks", self._source.account_locks())
        except (Transient, OutcomeUnknown) as error:
            self._failures += 1
            log.warning("locks.not_read", reason=str(error))
            return
        self._failures = 0
        if heard_count != self._heard_count:
            return  # something was told meanwhile, and which is newer is not known: ask again
        self._wants_reading = False
        self._looks += 1
        now_ms = self._source.exchange_now_ms()
        self._become(self._closures.read(status, locks, now_ms), wants_reading=False)

    async def _tell(self) -> None:
        """Make the open incidents equal to what stands; over is only what was read to be."""
        standing = self._closures.standing
        for scope, what in standing.items():
            if self._told.get(scope) != what:
                await self._ledger.raise_incident(
                    kind=scope.kind.value, subject=scope.subject, severity="error", message=what
                )
                self._told[scope] = what
        if not self._closures.is_read:
            return
        for scope in self._told.keys() - standing.keys():
            await self._ledger.resolve_incident(scope.kind.value, scope.subject)
            del self._told[scope]

    async def _rest(self) -> None:
        """Until something is told, or it is time to ask again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._rest_s()):
                await self._wake.wait()
            return
        self._wants_reading = True

    def _rest_s(self) -> float:
        if self._wants_reading and self._failures:
            return _doubled(RETRY_S, self._failures - 1, RETRY_S_MAX)
        if self._closures.standing:
            return _doubled(CLOSED_LOOK_S, self._looks - 1, CLOSED_LOOK_S_MAX)
        return LOOK_S


async def _unless_refused(what: str, asking: Awaitable[_Answer]) -> _Answer | None:
    """The answer; None when the exchange will not tell, so that what is heard has to do."""
    try:
        return await asking
    except Rejected as error:
        log.warning("locks.refused", question=what, reason=str(error))
        return None


def _doubled(base_s: float, times: int, at_most_s: float) -> float:
    return float(min(base_s * 2.0 ** min(max(times, 0), _DOUBLINGS_MAX), at_most_s))
