"""What a session asks on its own behalf, for as long as it lasts.

The exchange's time, the account's limits, that orders outlive the connection, and again and again
what it should carry and does not.
"""

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

# Between two looks for channels that the session lacks, growing while it goes on lacking them.
_MISSING_S = 5.0
_MISSING_S_MAX = 60.0

_COD_RETRY_S = 30.0


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
            self._client.novelties.note_error(method, reply)
            if classify(reply.code, reply.message) is Verdict.SESSION_LOST:
                throttle.drain(str(reply))
                self._connection.abandon(f"out of rate-limit credit: {reply}")
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
            # A session that has lasted this long hears all.
            self._on_trouble(Trouble(kind=TroubleKind.STREAM, reason=None))
            # That we asked too much is also said to others of the same account.
            if self._client.throttle.calm_s >= self._deadlines.clock_check_s:
                self._on_trouble(Trouble(kind=TroubleKind.CREDITS, reason=None))

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

    async def carry_watched(self) -> NoReturn:
        """Ask again for watched channels that the session does not carry.

        The exchange leaves out what is not open just now, such as every market while it settles,
        and says nothing when that is over.
        Source: Deribit changelog of October 2022, subscriptions to instruments that are not open.
        """
        delay_s = _MISSING_S
        while True:
            await self._clock.sleep(delay_s)
            lacking = self._client.missing_channels
            if not lacking:
                delay_s = _MISSING_S
                continue
            delay_s = min(delay_s * 2, _MISSING_S_MAX)
            try:
                accepted = await self._client.subscribe(lacking)
            except (Transient, Rejected, OutcomeUnknown) as error:
                _log.warning("subscription.not_asked", channels=lacking, reason=str(error))
            else:
                if accepted:
                    _log.info("subscription.accepted", channels=accepted)

    async def outlive_connection(self) -> None:
        """See to it that orders do not die with this connection.

        An account can be set to begin every connection that way; then each lost line would take the
        stops from positions that stay.
        Source: Deribit, cancel on disconnect: scope `account`; trigger orders are cancelled too.
        """
        while True:
            try:
                is_deadly = await self._client.cancel_on_disconnect()
            except (Transient, Rejected, OutcomeUnknown) as error:
                _log.warning("cancel_on_disconnect.unread", reason=str(error))
                await self._clock.sleep(_COD_RETRY_S)
                continue
            reason = None
            if is_deadly:
                try:
                    await self._client.set_cancel_on_disconnect(is_enabled=False)
                except (Transient, Rejected, OutcomeUnknown) as error:
                    reason = (
                        "every lost connection cancels our orders, stops too: switch that off in "
                        f"the account, or give the key account:read_write ({error})"
                    )
                else:
                    _log.warning("cancel_on_disconnect.disabled", action="orders outlive the line")
            self._on_trouble(Trouble(kind=TroubleKind.DISCONNECT, reason=reason))
            if reason is None:
                return
            await self._clock.sleep(_COD_RETRY_S)
