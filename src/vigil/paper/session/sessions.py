"""Who is connected and who may do what: credentials, tokens, login, heartbeat, disconnect policy.

Source: Deribit API v2, authentication and session management; heartbeat timings as seen on
production in September 2026.
"""

import hashlib
import hmac
import random
from dataclasses import dataclass

from vigil.paper.refusals import invalid_credentials, unauthorized

# Printed at every start and always the same: this is a paper account, not a secret.
CLIENT_ID = "vigil-paper"
CLIENT_SECRET = "vigil-paper-secret-0001"  # noqa: S105

TOKEN_LIFETIME_S = 900
GRANTED_RIGHTS = (
    "mainaccount account:read_write trade:read_write wallet:read block_trade:read block_rfq:read"
)
SIGNATURE_AGE_MS_MAX = 60_000
HEARTBEAT_GRACE_MS = 10_000
_FIRST_BEAT_DELAY_MS = 2_000
_NONCES_MAX = 10_000
_REFRESH_GRACE_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A login.

    Args:
        connection_id: The only connection that it is good on; None for any, and for HTTP.
        lifetime_s: As granted.
    """

    access: str
    refresh: str
    scope: str
    connection_id: int | None
    expires_ms: int
    lifetime_s: int


@dataclass(slots=True, kw_only=True)
class Session:
    """One connection; a request over HTTP has one of its own for its duration.

    Args:
        connection_id: None over HTTP.
        token: The login in force.
        heartbeat_ms: Interval; None while heartbeats are off.
        asked_ms: When the unanswered `test_request` was sent.
    """

    connection_id: int | None
    token: Token | None = None
    heartbeat_ms: int | None = None
    next_beat_ms: int = 0
    asked_ms: int | None = None
    cancels_on_disconnect: bool = False

    def is_authorized(self, now_ms: int) -> bool:
        """Whether private calls are allowed now."""
        return self.token is not None and now_ms < self.token.expires_ms

    def start_heartbeat(self, interval_s: int, now_ms: int) -> None:
        """Ask for signs of life from now on."""
        self.heartbeat_ms, self.asked_ms = interval_s * 1000, None
        self.next_beat_ms = now_ms + self.heartbeat_ms + _FIRST_BEAT_DELAY_MS

    def stop_heartbeat(self) -> None:
        """Ask for none any more."""
        self.heartbeat_ms = self.asked_ms = None

    def is_beat_due(self, now_ms: int) -> bool:
        """Whether it is time for the next `test_request`; counts as sent when it is."""
        if self.heartbeat_ms is None or now_ms < self.next_beat_ms:
            return False
        self.next_beat_ms = now_ms + self.heartbeat_ms
        if self.asked_ms is None:
            self.asked_ms = now_ms
        return True

    def is_mute(self, now_ms: int) -> bool:
        """Whether a `test_request` went unanswered for too long."""
        return self.asked_ms is not None and now_ms - self.asked_ms >= HEARTBEAT_GRACE_MS


class Sessions:
    """All connections and tokens of the one account.

    Args:
        dice: For token texts.
        token_lifetime_s: What `expires_in` says, unless a scope asks for another.
    """

    def __init__(self, dice: random.Random, *, token_lifetime_s: int = TOKEN_LIFETIME_S) -> None:
        self.by_connection: dict[int, Session] = {}
        self.account_cancels_on_disconnect = False
        self._dice = dice
        self._token_lifetime_s = token_lifetime_s
        self._by_access: dict[str, Token] = {}
        self._by_refresh: dict[str, Token] = {}
        self._nonces: dict[str, None] = {}

    def open(self, connection_id: int) -> Session:
        """A new connection."""
        session = Session(
            connection_id=connection_id,
            cancels_on_disconnect=self.account_cancels_on_disconnect,
        )
        self.by_connection[connection_id] = session
        return session

    def close(self, connection_id: int) -> Session | None:
        """The connection is gone, and its own tokens with it."""
        session = self.by_connection.pop(connection_id, None)
        for token in [t for t in self._by_refresh.values() if t.connection_id == connection_id]:
            self.revoke(token)
        return session

    def log_in(self, session: Session, *, scope: str, now_ms: int) -> Token:
        """Grant a token, and log the connection in."""
        self._drop_expired(now_ms)
        words = scope.split()
        lifetime_s = self._token_lifetime_s
        for word in words:
            if word.startswith("expires:") and word[8:].isdigit():
                lifetime_s = min(int(word[8:]), 31_536_000)
        lasting = next((word for word in words if word.startswith("session:")), None)
        token = Token(
            access=self._token_text(now_ms),
            refresh=self._token_text(now_ms),
            scope=f"{lasting or 'connection'} {GRANTED_RIGHTS}",
            connection_id=None if lasting else session.connection_id,
            expires_ms=now_ms + lifetime_s * 1000,
            lifetime_s=lifetime_s,
        )
        self._by_access[token.access] = self._by_refresh[token.refresh] = token
        session.token = token
        return token

    def refresh(self, session: Session, refresh: str, now_ms: int) -> Token:
        """Trade a refresh token, good once, for a new login; the old access token dies.

        Raises: Refusal 13009.
        """
        known = self._by_refresh.get(refresh)
        if known is None or known.connection_id not in (None, session.connection_id):
            raise unauthorized()
        self.revoke(known)
        return self.log_in(session, scope=known.scope, now_ms=now_ms)

    def present(self, session: Session, access: str, now_ms: int) -> None:
        """Use an access token for a call. Raises: Refusal 13009."""
        token = self._by_access.get(access)
        if token is None or now_ms >= token.expires_ms:
            raise unauthorized()
        if token.connection_id not in (None, session.connection_id):
            raise unauthorized()
        session.token = token

    def revoke(self, token: Token) -> None:
        """Forget a token."""
        self._by_access.pop(token.access, None)
        self._by_refresh.pop(token.refresh, None)

    def check_secret(self, client_id: str, client_secret: str) -> None:
        """Raises: Refusal 13004, when they are not the account's."""
        if (client_id, client_secret) != (CLIENT_ID, CLIENT_SECRET):
            raise invalid_credentials()

    def check_signature(
        self,
        *,
        client_id: str,
        signature: str,
        text: str,
        timestamp_ms: int,
        nonce: str,
        now_ms: int,
    ) -> None:
        """Raises: Refusal 13004, when the signature is wrong or old, or its nonce was used."""
        expected = hmac.new(CLIENT_SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
        is_fresh = abs(now_ms - timestamp_ms) <= SIGNATURE_AGE_MS_MAX and nonce not in self._nonces
        is_right = hmac.compare_digest(expected.encode(), signature.encode())
        if client_id != CLIENT_ID or not is_right or not is_fresh:
            raise invalid_credentials()
        self._nonces[nonce] = None
        while len(self._nonces) > _NONCES_MAX:
            self._nonces.pop(next(iter(self._nonces)))

    def _token_text(self, now_ms: int) -> str:
        # The time keeps tokens of an earlier run with the same seed from being good again.
        return f"{now_ms}.{self._dice.getrandbits(192):048x}"

    def _drop_expired(self, now_ms: int) -> None:
        """Forget old tokens; a refresh token outlives its access token by a while."""
        for token in tuple(self._by_refresh.values()):
            if now_ms >= token.expires_ms:
                self._by_access.pop(token.access, None)
            if now_ms >= token.expires_ms + _REFRESH_GRACE_MS:
                self.revoke(token)
