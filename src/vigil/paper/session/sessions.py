"""Who is connected and logged in, and what becomes of their orders when they are gone.

Source: Deribit API v2, authentication and session management.
"""

import random
from dataclasses import dataclass

from vigil.paper.refusals import unauthorized
from vigil.paper.session.credits import Limits
from vigil.paper.session.keys import ApiKey, Keys
from vigil.paper.session.liveness import Pulse
from vigil.paper.session.rights import Rights
from vigil.paper.session.tokens import LIFETIME_S, Token, Tokens
from vigil.paper.switches import Switches

NOWHERE = "127.0.0.1"


@dataclass(slots=True, kw_only=True)
class Session:
    """One connection; a request over HTTP has one of its own for its duration.

    Args:
        connection_id: None over HTTP.
        address: Where it comes from.
        token: The login in force.
        key: Whose secret or signature came with this one HTTP request.
        pulse: Its heartbeat; None while there is none.
        heard_ms: When it last sent something, or was first looked at.
        silenced: The ended login whose private channels were stopped.
        is_ending: It was told to go, and is only waited for.
    """

    connection_id: int | None
    address: str = NOWHERE
    token: Token | None = None
    key: ApiKey | None = None
    pulse: Pulse | None = None
    heard_ms: int | None = None
    silenced: Token | None = None
    cancels_on_disconnect: bool = False
    is_ending: bool = False

    def is_authorized(self, now_ms: int) -> bool:
        """Whether private calls are allowed now."""
        if self.key is not None:
            return self.key.is_enabled
        return self.token is not None and self.token.is_good(now_ms)

    @property
    def rights(self) -> Rights:
        """What its login may do; nothing without one."""
        if self.key is not None:
            return self.key.rights
        return self.token.rights if self.token is not None else {}


class Sessions:
    """All connections, keys and tokens of the one account.

    Args:
        dice: For token texts and heartbeat times.
        token_lifetime_s: What `expires_in` says, unless a scope asks for another.
    """

    def __init__(
        self,
        dice: random.Random,
        *,
        limits: Limits | None = None,
        switches: Switches | None = None,
        token_lifetime_s: int = LIFETIME_S,
    ) -> None:
        self.limits = limits or Limits()
        switches = switches or Switches()
        self.by_connection: dict[int, Session] = {}
        self.keys = Keys(
            wrong_address_code=switches.wrong_address_code,
            http_nonce_is_good_once=switches.http_nonce_is_good_once,
        )
        self.tokens = Tokens(
            dice,
            lifetime_s=token_lifetime_s,
            sessions_per_key=self.limits.sessions_per_key,
            drops_oldest_session=switches.drops_oldest_session,
            grants_unasked=switches.grants_unasked_rights,
        )
        self.account_cancels_on_disconnect = False
        self.dice = dice

    def has_room_for(self, address: str) -> bool:
        """Whether one more connection from there is let in."""
        count = sum(session.address == address for session in self.by_connection.values())
        return count < self.limits.connections_per_address

    def open(self, connection_id: int, *, address: str = NOWHERE) -> Session:
        """A new connection."""
        session = Session(
            connection_id=connection_id,
            address=address,
            cancels_on_disconnect=self.account_cancels_on_disconnect,
        )
        self.by_connection[connection_id] = session
        return session

    @property
    def cancelling(self) -> tuple[int, ...]:
        """Open connections whose end cancels their orders."""
        return tuple(n for n, s in self.by_connection.items() if s.cancels_on_disconnect)

    def close(self, connection_id: int) -> Session | None:
        """The connection is gone, and its own tokens with it."""
        session = self.by_connection.pop(connection_id, None)
        self.tokens.revoke(self.tokens.of_connection(connection_id))
        return session

    def log_in(self, session: Session, key: ApiKey, *, scope: str, now_ms: int) -> Token:
        """Grant a token, and log the connection in."""
        session.token = self.tokens.issue(
            key, scope, connection_id=session.connection_id, now_ms=now_ms
        )
        return session.token

    def refresh(self, session: Session, refresh: str, now_ms: int) -> Token:
        """Trade a refresh token, good once, for a new login; the old access token dies.

        Raises: Refusal 13009.
        """
        old = self.tokens.trade_in(refresh, session.connection_id, session.address)
        key = self.keys.find(old.client_id)
        if not key.is_enabled:
            raise unauthorized()
        return self.log_in(session, key, scope=old.asked_scope, now_ms=now_ms)

    def present(self, session: Session, access: str, now_ms: int) -> None:
        """Use an access token for a call. Raises: Refusal 13009."""
        session.token = self.tokens.find(access, session.connection_id, session.address, now_ms)

    def log_out(self, session: Session, *, invalidates_token: bool) -> None:
        """End a login on purpose: its orders stay, whatever was asked for the case of a loss.

        Args:
            invalidates_token: With it goes every token of its named session, wherever used.
        """
        if session.token is not None and invalidates_token:
            self.tokens.revoke(self.tokens.of_session(session.token))
        session.cancels_on_disconnect = False

    def revoke_key(self, client_id: str) -> None:
        """Disable a key, and everything that is logged in with it."""
        self.keys.find(client_id).is_enabled = False
        self.tokens.revoke(self.tokens.of_key(client_id))
