"""Where the exchange takes no orders now: locks of the platform and of the account, maintenance.

What the session hears, what it reads when it asks, and what refusals give away go in; out comes why
nothing may be opened on an instrument. A reading replaces what was heard before it, so that a word
that was missed is made good by the next look. What only a refusal told ends by a clear reading, but
not at once: the exchange may not tell of that lock at all, and each refusal in a row makes the rest
longer. Where something was closed nothing is opened before a reconciliation that began after it.
Source: Deribit, platform_state, public/status; user.lock, private/get_user_locks.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from vigil.domain.events import AccountLockReceived, PlatformStateReceived
from vigil.domain.instrument import Instrument, contract_of
from vigil.domain.market import PlatformStatus
from vigil.domain.portfolio import AccountLock

ALL_CURRENCIES = "ALL"

# A maintenance is announced before it begins, and ends the sessions when it does. One that has not
# done so by then was called off, or was none that matters.
ANNOUNCED_MS = 600_000

# A session that ends and is back sooner than this after the announcement did so by itself.
BREAK_MS_MIN = 60_000

# How long what only a refusal told is believed whatever a reading says; doubled by each one more.
REFUSAL_REST_MS = 30_000
REFUSAL_REST_MS_MAX = 600_000
_DOUBLINGS_MAX = 10

# Refusals further apart than this are no row.
_ROW_MS = 3_600_000


class ClosureKind(StrEnum):
    """Why no orders are taken, or none are sent."""

    LOCKS_UNREAD = "locks_unread"  # nobody knows yet
    MAINTENANCE = "maintenance"
    PLATFORM_LOCKED = "platform_locked"
    ACCOUNT_LOCKED = "account_locked"
    NOT_RECONCILED = "not_reconciled"  # over, and not looked at since


class Place(Struct, frozen=True, kw_only=True):
    """What an instrument's orders depend on."""

    price_index: str
    currency: str


class Scope(Struct, frozen=True):
    """A kind of closure and how far it reaches.

    Args:
        subject: A price index, or a currency; empty for everywhere.
    """

    kind: ClosureKind
    subject: str = ""

    def covers(self, place: Place) -> bool:
        """Whether orders there are concerned."""
        if self.kind is ClosureKind.PLATFORM_LOCKED:
            return self.subject in ("", place.price_index)
        if self.kind is ClosureKind.ACCOUNT_LOCKED:
            return self.subject in (ALL_CURRENCIES, place.currency)
        return True


class Closure(Struct, frozen=True, kw_only=True):
    """One standing reason, in words for people."""

    kind: ClosureKind
    detail: str


class Hold(Struct, frozen=True, kw_only=True):
    """What no reading can tell: an announced maintenance, a lock that met an order.

    Args:
        until_ms: Exchange time before which a clear reading does not end it.
        strikes: Refusals in a row; 0 for what was announced.
        last_ms: When it was told last.
    """

    detail: str
    until_ms: int
    strikes: int
    last_ms: int
    is_standing: bool = True


def place_of(instrument: Instrument) -> Place:
    """Where an instrument's orders go."""
    known = place_of_name(instrument.instrument_name)
    return Place(
        price_index=instrument.price_index or known.price_index,
        currency=instrument.settlement_currency,
    )


def place_of_name(instrument_name: str) -> Place:
    """The same by the name alone. Source: Deribit naming, `btc_usd` and `btc_usdc`."""
    pair = instrument_name.partition("-")[0].lower()
    index = pair if "_" in pair else f"{pair}_usd"
    return Place(price_index=index, currency=contract_of(instrument_name).settlement_currency)


class Closures(Struct, frozen=True, kw_only=True):
    """All that is known of locks at one moment.

    Args:
        is_read: Whether the exchange was asked since the session opened.
        holds: What no reading can tell, by scope; some of it over and kept for the row it is in.
        reopened_ms: What is over and not reconciled since, and when it ended.
    """

    is_read: bool = False
    is_platform_locked: bool = False
    locked_indices: frozenset[str] = frozenset()
    locked_currencies: frozenset[str] = frozenset()
    holds: Mapping[Scope, Hold] = {}
    reopened_ms: Mapping[Scope, int] = {}

    @property
    def standing(self) -> Mapping[Scope, str]:
        """Every closure in force, in words; widest first."""
        found: dict[Scope, str] = {}
        for scope, hold in self.holds.items():
            if hold.is_standing:
                found[scope] = hold.detail
        if self.is_platform_locked:
            found[Scope(ClosureKind.PLATFORM_LOCKED)] = "the platform is locked"
        else:
            for index in sorted(self.locked_indices):
                scope = Scope(ClosureKind.PLATFORM_LOCKED, index)
                found[scope] = f"trading on {index} is locked"
        for currency in sorted(self.locked_currencies):
            where = "every currency" if currency == ALL_CURRENCIES else currency
            scope = Scope(ClosureKind.ACCOUNT_LOCKED, currency)
            found[scope] = f"the account is locked in {where}"
        return found

    @property
    def is_quiet(self) -> bool:
        """Whether nothing at all stands against any order."""
        return self.is_read and not self.reopened_ms and not self.standing

    def shuts(self, place: Place) -> Closure | None:
        """Why the exchange takes no orders there now; None when it does, as far as we know."""
        for scope, detail in self.standing.items():
            if scope.covers(place):
                return Closure(kind=scope.kind, detail=detail)
        return None

    def against(self, place: Place) -> Closure | None:
        """Why nothing may be opened there now."""
        if not self.is_read:
            detail = "locks were not read since the session opened"
            return Closure(kind=ClosureKind.LOCKS_UNREAD, detail=detail)
        shut = self.shuts(place)
        if shut is not None:
            return shut
        for scope in self.reopened_ms:
            if scope.covers(place):
                detail = f"{scope.kind.value} is over, not reconciled since"
                return Closure(kind=ClosureKind.NOT_RECONCILED, detail=detail)
        return None

    def opened(self, now_ms: int) -> "Closures":
        """A session began: what is locked has to be read.

        A maintenance that was announced before it is over when that reading is clear.
        """
        holds = {
            scope: hold
            if hold.strikes
            else replace(hold, until_ms=max(now_ms, hold.last_ms + BREAK_MS_MIN))
            for scope, hold in self.holds.items()
        }
        return replace(self, is_read=False, holds=holds)

    def heard_platform(self, event: PlatformStateReceived, now_ms: int) -> "Closures":
        """The session was told of the platform, or of one index."""
        if event.is_maintenance:
            hold = Hold(
                detail="maintenance is announced",
                until_ms=now_ms + ANNOUNCED_MS,
                strikes=0,
                last_ms=now_ms,
            )
            return self._after(self._with_hold(Scope(ClosureKind.MAINTENANCE), hold), now_ms)
        if event.price_index is None:
            holds = _ended(self.holds, (Scope(ClosureKind.MAINTENANCE),))
            return self._after(
                replace(self, is_platform_locked=event.is_locked, holds=holds), now_ms
            )
        index = frozenset({event.price_index})
        locked = self.locked_indices | index if event.is_locked else self.locked_indices - index
        return self._after(replace(self, locked_indices=locked), now_ms)

    def heard_account(self, event: AccountLockReceived, now_ms: int) -> "Closures":
        """The session was told of the account. An unlocking also ends what a refusal had told."""
        currency = frozenset({event.currency})
        if event.is_locked:
            return self._after(
                replace(self, locked_currencies=self.locked_currencies | currency), now_ms
            )
        is_all = event.currency == ALL_CURRENCIES
        freed = [
            scope
            for scope in self.holds
            if scope.kind is ClosureKind.ACCOUNT_LOCKED and (is_all or scope.subject in currency)
        ]
        locked = self.locked_currencies - currency
        holds = _ended(self.holds, freed)
        return self._after(replace(self, locked_currencies=locked, holds=holds), now_ms)

    def read(
        self, status: PlatformStatus | None, locks: tuple[AccountLock, ...] | None, now_ms: int
    ) -> "Closures":
        """The exchange was asked; None for what it would not answer, which stays as it was heard.

        A platform that is partly locked without saying where counts as locked everywhere, unless
        it was heard where.
        """
        after = replace(self, is_read=True)
        if status is not None:
            is_somewhere = status.is_partly_locked and not status.locked_indices
            after = replace(
                after,
                is_platform_locked=status.is_locked or (is_somewhere and not self.locked_indices),
                locked_indices=self.locked_indices if is_somewhere else status.locked_indices,
            )
        if locks is not None:
            after = replace(after, locked_currencies=_locked(locks))
        over = [scope for scope, hold in self.holds.items() if hold.until_ms <= now_ms]
        holds = {
            scope: hold
            for scope, hold in _ended(self.holds, over).items()
            if hold.is_standing or now_ms - hold.last_ms < _ROW_MS
        }
        return self._after(replace(after, holds=holds), now_ms)

    def refused(self, kind: ClosureKind, place: Place, words: str, now_ms: int) -> "Closures":
        """An order met a lock. Nothing new when that lock is known already."""
        if self.shuts(place) is not None:
            return self
        scope = Scope(kind, place.currency if kind is ClosureKind.ACCOUNT_LOCKED else "")
        known = self.holds.get(scope)
        is_row = known is not None and now_ms - known.last_ms < _ROW_MS
        strikes = known.strikes + 1 if known is not None and is_row else 1
        doublings = min(strikes - 1, _DOUBLINGS_MAX)
        rest_ms = min(REFUSAL_REST_MS * 2**doublings, REFUSAL_REST_MS_MAX)
        hold = Hold(
            detail=f"an order was refused: {words}",
            until_ms=now_ms + rest_ms,
            strikes=strikes,
            last_ms=now_ms,
        )
        return self._after(self._with_hold(scope, hold), now_ms)

    def reconciled(self, started_ms: int) -> "Closures":
        """A good pass that began at `started_ms` has ended.

        The end of a closure asks for one, which may well begin in the same millisecond.
        """
        left = {
            scope: ended_ms for scope, ended_ms in self.reopened_ms.items() if ended_ms > started_ms
        }
        return replace(self, reopened_ms=left)

    def _with_hold(self, scope: Scope, hold: Hold) -> "Closures":
        return replace(self, holds={**self.holds, scope: hold})

    def _after(self, after: "Closures", now_ms: int) -> "Closures":
        """`after`, with what ended on the way to it noted as to be reconciled."""
        stands = after.standing
        ended = dict.fromkeys((scope for scope in self.standing if scope not in stands), now_ms)
        reopened = {
            scope: ended_ms
            for scope, ended_ms in {**self.reopened_ms, **ended}.items()
            if scope not in stands
        }
        return replace(after, reopened_ms=reopened)


def _ended(holds: Mapping[Scope, Hold], scopes: Iterable[Scope]) -> dict[Scope, Hold]:
    over = frozenset(scopes)
    return {
        scope: replace(hold, is_standing=False) if scope in over else hold
        for scope, hold in holds.items()
    }


def _locked(locks: tuple[AccountLock, ...]) -> frozenset[str]:
    locked = frozenset(lock.currency for lock in locks if lock.is_locked)
    is_everywhere = ALL_CURRENCIES in locked or (len(locks) > 1 and len(locked) == len(locks))
    return frozenset({ALL_CURRENCIES}) if is_everywhere else locked
