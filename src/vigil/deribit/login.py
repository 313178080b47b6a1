"""Being logged in, and staying so: the key at first, then each token before it ends.

While it is not known whether the login still stands, private calls wait at the gate rather than be
refused, and what closes or protects is tried before long all the same; the socket, its
subscriptions and the calls in flight are left alone. What the key itself is refused for only a
person can mend, and ends the session.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

import msgspec
import structlog

from vigil.clock import Clock
from vigil.deribit import session
from vigil.deribit.decoding import Unreadable
from vigil.deribit.session import ApiKey, AuthMethod, Grant, Trouble, TroubleKind
from vigil.errors import Misconfigured, OutcomeUnknown, Rejected, Transient

_log = structlog.get_logger(__name__)

_NONCE_BITS = 96


class LoginGate:
    """Whether private calls may be sent on a session now, and since which login.

    Attributes:
        is_open: The login is known to stand.
        is_renewing: A login is being traded in for another; calls go on meanwhile.
        generation: Counts the session's logins.
        loss: Why the session was ended by us, when that is a person's business.
    """

    def __init__(self) -> None:
        self.is_open = True
        self.is_renewing = False
        self.generation = 0
        self.loss: Trouble | None = None
        self._opened = asyncio.Event()

    @property
    def is_in_doubt(self) -> bool:
        """Whether a refused call may have met the session between two logins."""
        return self.is_renewing or not self.is_open

    def shut(self) -> None:
        """The login may or may not stand: calls wait."""
        self.is_open = False
        self._opened.clear()

    def open(self) -> None:
        """Logged in anew."""
        self.generation += 1
        self.is_open, self.is_renewing = True, False
        self._opened.set()

    async def passed(self, within_s: float) -> bool:
        """Wait until private calls may be sent; False when that took too long."""
        try:
            async with asyncio.timeout(within_s):
                while not self.is_open:
                    await self._opened.wait()
        except TimeoutError:
            return False
        return True


class Login:
    """Logs one session in and keeps it so.

    Args:
        url: For messages to people.
        call: Makes one call on the session's socket.
        is_connected: Whether that socket is open.
        exchange_now_ms: The exchange's time, which signatures are made at.
        dice: For nonces, which must differ and need not be secret.
        on_trouble: Told when logging in again does not work, and when it does.
    """

    def __init__(
        self,
        key: ApiKey,
        gate: LoginGate,
        *,
        url: str,
        call: Callable[[str, Mapping[str, Any]], Awaitable[msgspec.Raw]],
        is_connected: Callable[[], bool],
        clock: Clock,
        exchange_now_ms: Callable[[], int],
        dice: random.Random,
        on_trouble: Callable[[Trouble], None],
    ) -> None:
        self._key = key
        self._gate = gate
        self._url = url
        self._call = call
        self._is_connected = is_connected
        self._clock = clock
        self._exchange_now_ms = exchange_now_ms
        self._dice = dice
        self._on_trouble = on_trouble

    async def open(self) -> Grant:
        """Log in with the key.

        Raises: Misconfigured, when the exchange will never accept the key or it may not trade;
        Transient.
        """
        grant = await self._log_in()
        if needless := grant.needless_rights:
            _log.warning(
                "session.rights_needless",
                rights=" ".join(needless),
                fix="Vigil moves no money: take this right from the key",
            )
        return grant

    async def keep(self, grant: Grant) -> NoReturn:
        """Renew the login at half of each token's life, for as long as the session lasts.

        Raises: Misconfigured, when the key was revoked or its rights were cut; Transient, when the
        login ran out before another could be had.
        """
        while True:
            granted_s = self._clock.elapsed_s()
            await self._clock.sleep(grant.refresh_after_s)
            grant = await self._renew(grant, until_s=granted_s + grant.expires_in_s)
            self._gate.open()
            _log.info("session.renewed", expires_in_s=grant.expires_in_s)

    async def _renew(self, grant: Grant, *, until_s: float) -> Grant:
        """Another login in place of one that is good until `until_s`, by its token or by the key.

        While the token is traded in, calls go on; one that is refused meanwhile met the moment
        between the two logins, and is made once more. Once the trade has failed the old login may
        be dead already, because a token works once, and so may its answer have been lost.
        """
        self._gate.is_renewing = True
        try:
            return self._accept(await self._call("public/auth", session.renew(grant)))
        except (Rejected, Transient, OutcomeUnknown) as error:
            error.with_traceback(None)  # its frames hold the token; see `_log_in`
            if not self._is_connected():
                raise Transient(str(error)) from None
            _log.warning("session.renewal_failed", reason=str(error), action="using the key")
        self._gate.shut()
        failures = 0
        while True:
            try:
                grant = await self._log_in()
            except Transient as error:
                if not self._is_connected():
                    raise
                failures += 1
                delay_s = session.retry_s(failures)
                reason = f"the session's login could not be renewed: {error}"
                self._on_trouble(Trouble(kind=TroubleKind.LOGIN, reason=reason))
                if self._clock.elapsed_s() + delay_s >= until_s:
                    raise Transient(reason) from error
                await self._clock.sleep(delay_s)
            else:
                if failures:
                    self._on_trouble(Trouble(kind=TroubleKind.LOGIN, reason=None))
                return grant

    async def _log_in(self) -> Grant:
        """Log the socket in with the key.

        Raises: Misconfigured; Transient.
        """
        # The frames below this one hold the secret, so none of them stays on an exception that
        # leaves here: some renderers of tracebacks show local variables.
        timestamp_ms = self._exchange_now_ms()
        try:
            raw = await self._call(
                "public/auth",
                session.log_in(
                    self._key,
                    timestamp_ms=timestamp_ms,
                    nonce=f"{self._dice.getrandbits(_NONCE_BITS):x}",
                ),
            )
        except Rejected as error:
            error.with_traceback(None)
            signed = (
                f"; it was signed for {timestamp_ms} ms, exchange time"
                if self._key.method is AuthMethod.SIGNATURE
                else ""
            )
            raise Misconfigured(
                f"{self._url} does not accept the key ({error.code}): check VIGIL_CLIENT_ID and "
                "VIGIL_CLIENT_SECRET, and that they belong to this environment and may be used "
                f"from this address{signed}"
            ) from None
        except (Transient, OutcomeUnknown) as error:
            error.with_traceback(None)
            raise Transient(f"not logged in: {error}") from None
        try:
            return self._accept(raw)
        except Unreadable as error:
            raise Transient(f"not logged in: {error}") from None

    def _accept(self, raw: msgspec.Raw) -> Grant:
        """What was granted, if it is enough to trade with.

        Raises: Misconfigured; Unreadable.
        """
        grant = session.to_grant(raw)
        if missing := grant.missing_rights:
            rights = " and ".join(missing)
            raise Misconfigured(
                f"the API key of VIGIL_CLIENT_ID lacks {rights} (it has: {grant.scope}): give it "
                "this scope in the exchange's API management, or use another key"
            )
        return grant
