"""What a session asks on its own behalf: its upkeep calls, the exchange's time, its own limits."""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import msgspec
import structlog

from vigil.clock import Clock
from vigil.deribit import wire
from vigil.deribit.classify import classify, query_error
from vigil.deribit.client import DeribitClient
from vigil.deribit.connection import Connection
from vigil.deribit.credits import Lane
from vigil.deribit.exchange_clock import ClockReading
from vigil.deribit.jsonrpc import ErrorReply
from vigil.deribit.outcome import Verdict
from vigil.deribit.session import Deadlines, Trouble, TroubleKind
from vigil.deribit.timekeeping import Timekeeper
from vigil.errors import OutcomeUnknown, Rejected, Transient

_log = structlog.get_logger(__name__)

# The exchange may answer nobody who has not logged in, not even what time it is.
# Source: Deribit 11056 unauthenticated_public_requests_temporarily_disabled.
_LOGIN_FIRST = 11056

# The account's limits follow its turnover and are told in the summary of any currency.
# Source: Deribit, rate limits: recomputed every hour.
_ANY_CURRENCY = "BTC"
_LIMITS_CHECK_S = 3600.0
_LIMITS_RETRY_S = 30.0


class Upkeep:
    """One session's calls for itself, in the lane of what protects: all else depends on them."""

    def __init__(
        self,
        connection: Connection,
        client: DeribitClient,
        *,
        clock: Clock,
        deadlines: Deadlines,
        timekeeper: Timekeeper,
        on_trouble: Callable[[Trouble], None],
    ) -> None:
        self._connection = connection
        self._client = client
        self._clock = clock
        self._deadlines = deadlines
        self._timekeeper = timekeeper
        self._on_trouble = on_trouble

    async def call(self, method: str, params: Mapping[str, Any]) -> msgspec.Raw:
        """Make one call on the session's socket.

        Raises: Transient; Rejected; OutcomeUnknown.
        """
        throttle, within_s = self._client.throttle, self._deadlines.call_s
        if not throttle.try_spend(method, Lane.PROTECT):
            await throttle.spend(method, Lane.PROTECT, within_s=within_s)
        reply = await self._connection.request(method, params, timeout_s=within_s)
        if isinstance(reply, ErrorReply):
            if classify(reply.code, reply.message) is Verdict.SESSION_LOST:
                throttle.drain(str(reply))
            raise query_error(method, reply)
        return reply.result

    async def first_reading(self) -> ClockReading | None:
        """The exchange's time before the login, which may be signed for it; None if not told."""
        try:
            return await self.measure_clock()
        except Rejected as error:
            if error.code != _LOGIN_FIRST:
                raise
            _log.warning("clock.unmeasured", reason=str(error), action="signing by our own clock")
            return None

    async def measure_clock(self) -> ClockReading:
        """The exchange's time now."""

        async def ask() -> int:
            return wire.to_server_time_ms(await self.call("public/get_time", {}))

        return await self._timekeeper.measure(ask, self._client.clock_reading)

    async def keep_time(self) -> NoReturn:
        """Measure the exchange's clock again and again, for as long as the session lasts."""
        while True:
            await self._clock.sleep(self._deadlines.clock_check_s)
            try:
                self._client.set_time(await self.measure_clock())
            except (Transient, Rejected, OutcomeUnknown) as error:
                # Two good clocks part slowly, and a dead link is found by others.
                _log.warning("clock.unmeasured", reason=str(error), action="trying again later")
            # A session that has lasted this long asks no more than it may, and hears all.
            for kind in (TroubleKind.CREDITS, TroubleKind.STREAM):
                self._on_trouble(Trouble(kind=kind, reason=None))

    async def learn_limits(self) -> NoReturn:
        """Learn the account's own rate limits; until then, and failing that, the lowest hold."""
        while True:
            delay_s = _LIMITS_RETRY_S
            try:
                terms = await self._client.account_terms(_ANY_CURRENCY)
            except (Transient, Rejected, OutcomeUnknown) as error:
                _log.warning("credits.limits_unread", reason=str(error))
            else:
                self._client.throttle.adopt(terms.rate_limits)
                delay_s = _LIMITS_CHECK_S
            await self._clock.sleep(delay_s)
