"""Access and refresh tokens: granting, trading in, taking back.

Source: Deribit API v2, authentication: token scopes, refresh, and sessions per key.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from vigil.paper.refusals import unauthorized
from vigil.paper.session.keys import ApiKey, is_address_allowed
from vigil.paper.session.rights import Rights, grant, parse_rights, scope_text

LIFETIME_S = 900
_LIFETIME_S_MAX = 31_536_000
# A refresh token outlives its access token by this much.
_REFRESH_GRACE_MS = 24 * 3600 * 1000
# Of all keys; one more, and the one granted first is taken back.
_TOKENS_MAX = 10_000


@dataclass(slots=True, kw_only=True)
class Token:
    """A login.

    Args:
        scope: As granted, in the exchange's words.
        asked_scope: As asked for; a refresh asks for the same again.
        connection_id: The only connection that it is good on; None for any, and for HTTP.
        session_name: Of a login that outlives its connection; None for others.
        address: The only one that it is good from; `*` for any.
        lifetime_s: As granted.
        is_revoked: It was taken back before its time.
    """

    client_id: str
    access: str
    refresh: str
    scope: str
    asked_scope: str
    rights: Rights
    connection_id: int | None
    session_name: str | None
    address: str
    granted_ms: int
    expires_ms: int
    lifetime_s: int
    is_revoked: bool = False

    def is_good(self, now_ms: int) -> bool:
        """Whether private calls are allowed with it now."""
        return not self.is_revoked and now_ms < self.expires_ms

    def is_bound_to(self, connection_id: int | None) -> bool:
        """Whether it may be used on that connection."""
        return self.connection_id in (None, connection_id)


class Tokens:
    """All tokens of all keys.

    Args:
        dice: For token texts.
        lifetime_s: What `expires_in` says, unless a scope asks for another.
        sessions_per_key: Named sessions of a key; one more drops another.
        drops_oldest_session: The one granted first is dropped; else the one that ends first.
        grants_unasked: See `rights.grant`.
    """

    def __init__(
        self,
        dice: random.Random,
        *,
        lifetime_s: int,
        sessions_per_key: int,
        drops_oldest_session: bool,
        grants_unasked: bool,
    ) -> None:
        self._dice = dice
        self._lifetime_s = lifetime_s
        self._sessions_per_key = sessions_per_key
        self._drops_oldest_session = drops_oldest_session
        self._grants_unasked = grants_unasked
        self._by_access: dict[str, Token] = {}
        self._by_refresh: dict[str, Token] = {}

    def issue(self, key: ApiKey, scope: str, *, connection_id: int | None, now_ms: int) -> Token:
        """Grant a login."""
        self._forget_old(now_ms)
        words = scope.split()
        name = next((word[8:] for word in words if word.startswith("session:")), None)
        if name is not None:
            self._make_room(key, name, now_ms)
        lifetime_s = self._lifetime_s
        for word in words:
            if word.startswith("expires:") and word[8:].isdecimal():
                lifetime_s = min(int(word[8:][:18]), _LIFETIME_S_MAX)
        addresses = [word for word in words if word.startswith("ip:")]
        lasting = "connection" if name is None else f"session:{name}"
        rights = grant(parse_rights(scope), key.rights, with_unasked=self._grants_unasked)
        token = Token(
            client_id=key.client_id,
            access=self._text(now_ms),
            refresh=self._text(now_ms),
            scope=scope_text(lasting, rights, addresses),
            asked_scope=scope,
            rights=rights,
            connection_id=connection_id if name is None else None,
            session_name=name,
            address=addresses[-1][3:] if addresses else "*",
            granted_ms=now_ms,
            expires_ms=now_ms + lifetime_s * 1000,
            lifetime_s=lifetime_s,
        )
        self._by_access[token.access] = self._by_refresh[token.refresh] = token
        return token

    def trade_in(self, refresh: str, connection_id: int | None, address: str) -> Token:
        """Take a refresh token, which is good once, and its access token with it.

        Raises: Refusal 13009.
        """
        token = self._by_refresh.get(refresh)
        if token is None or not token.is_bound_to(connection_id):
            raise unauthorized()
        if not is_address_allowed(token.address, address):
            raise unauthorized()
        self.revoke((token,))
        return token

    def find(self, access: str, connection_id: int | None, address: str, now_ms: int) -> Token:
        """The login of an access token. Raises: Refusal 13009."""
        token = self._by_access.get(access)
        if token is None or not token.is_good(now_ms) or not token.is_bound_to(connection_id):
            raise unauthorized()
        if not is_address_allowed(token.address, address):
            raise unauthorized()
        return token

    def of_connection(self, connection_id: int) -> list[Token]:
        """The tokens that are good on one connection only."""
        return [t for t in self._by_refresh.values() if t.connection_id == connection_id]

    def of_session(self, token: Token) -> list[Token]:
        """A token, and those of the same named session."""
        if token.session_name is None:
            return [token]
        return [t for t in self.of_key(token.client_id) if t.session_name == token.session_name]

    def of_key(self, client_id: str) -> list[Token]:
        """The tokens granted to one key."""
        return [t for t in self._by_refresh.values() if t.client_id == client_id]

    def all(self) -> list[Token]:
        """Every token that is known."""
        return list(self._by_refresh.values())

    def revoke(self, tokens: Iterable[Token]) -> None:
        """Take tokens back: whoever is logged in with them is no longer."""
        for token in tokens:
            token.is_revoked = True
            self._by_access.pop(token.access, None)
            self._by_refresh.pop(token.refresh, None)

    def expire(self, tokens: Iterable[Token], now_ms: int) -> None:
        """Let logins end now; their refresh tokens stay good."""
        for token in tokens:
            token.expires_ms = min(token.expires_ms, now_ms)

    def _make_room(self, key: ApiKey, name: str, now_ms: int) -> None:
        """Drop one of a key's named sessions when another would be one too many."""
        sessions: dict[str, Token] = {}
        for token in self.of_key(key.client_id):
            if token.session_name is not None and token.is_good(now_ms):
                sessions.setdefault(token.session_name, token)
        if name in sessions or len(sessions) < self._sessions_per_key:
            return
        dropped = min(
            sessions.values(),
            key=lambda t: t.granted_ms if self._drops_oldest_session else t.expires_ms,
        )
        self.revoke(self.of_session(dropped))

    def _text(self, now_ms: int) -> str:
        # The time keeps tokens of an earlier run with the same seed from being good again.
        return f"{now_ms}.{self._dice.getrandbits(192):048x}"

    def _forget_old(self, now_ms: int) -> None:
        """Forget what nobody may refresh any more, and the oldest of too many."""
        self.revoke(t for t in self.all() if now_ms >= t.expires_ms + _REFRESH_GRACE_MS)
        excess = len(self._by_refresh) + 1 - _TOKENS_MAX
        self.revoke(self.all()[: max(excess, 0)])
