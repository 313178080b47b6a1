"""What whoever runs the exchange does to it: locks, maintenance, keys, logins.

Source: Deribit API v2, `platform_state`, `user.lock`; releases that end every login.
"""

from collections.abc import Iterable, Iterator

from vigil.paper.notify.publishing import Publisher, Push
from vigil.paper.platform import ALL_CURRENCIES, Platform
from vigil.paper.reactions import Outgoing
from vigil.paper.session.sessions import Sessions
from vigil.paper.switches import Switches


class Operator:
    """The hands of whoever runs the exchange; what they change is told to those who listen."""

    def __init__(
        self, platform: Platform, sessions: Sessions, publisher: Publisher, switches: Switches
    ) -> None:
        self._platform = platform
        self._sessions = sessions
        self._publisher = publisher
        self._switches = switches

    def lock_platform(self, index_name: str | None = None) -> tuple[Outgoing, ...]:
        """Let trading stand still on one index, or on all. Raises: ValueError."""
        changed = self._platform.lock(index_name)
        return tuple(self._announce_indices(changed))

    def unlock_platform(self, index_name: str | None = None) -> tuple[Outgoing, ...]:
        """Release it. Every login may end with that. Raises: ValueError."""
        changed = self._platform.unlock(index_name)
        if changed and self._switches.unlock_drops_logins:
            self.drop_all_sessions()
        return tuple(self._announce_indices(changed))

    def announce_maintenance(self) -> tuple[Outgoing, ...]:
        """Say that the platform is about to stop."""
        return tuple(self._publisher.announce("platform_state", [{"maintenance": True}]))

    def start_maintenance(self) -> tuple[Outgoing, ...]:
        """Say so, and stop."""
        self._platform.maintain(is_on=True)
        return self.announce_maintenance()

    def end_maintenance(self) -> tuple[Outgoing, ...]:
        """Go on. Every login may have ended."""
        self._platform.maintain(is_on=False)
        if self._switches.unlock_drops_logins:
            self.drop_all_sessions()
        return tuple(self._announce_indices(None))

    def lock_account(self, currency: str = ALL_CURRENCIES) -> tuple[Outgoing, ...]:
        """Take the right to trade in one currency from the account, or in `ALL`."""
        self._platform.locked_currencies.add(currency)
        return self._announce_lock(currency, is_locked=True)

    def unlock_account(self, currency: str = ALL_CURRENCIES) -> tuple[Outgoing, ...]:
        """Give it back."""
        self._platform.locked_currencies.discard(currency)
        return self._announce_lock(currency, is_locked=False)

    def allow_public_requests(self, *, is_on: bool) -> tuple[Outgoing, ...]:
        """Let those who are not logged in call public methods, or refuse them."""
        self._platform.allows_unauthenticated = is_on
        state = self._platform.public_methods_state()
        return tuple(self._publisher.announce("platform_state.public_methods_state", [state]))

    def revoke_key(self, client_id: str) -> None:
        """Disable an API key, with everything that is logged in with it. Raises: KeyError."""
        self._sessions.revoke_key(client_id)

    def set_key_scope(self, client_id: str, scope: str) -> None:
        """Change what logins with a key are granted at most. Raises: KeyError."""
        self._sessions.keys.set_scope(client_id, scope)

    def expire_tokens(self, now_ms: int) -> None:
        """Let every access token end now; refresh tokens stay good."""
        self._sessions.tokens.expire(self._sessions.tokens.all(), now_ms)

    def drop_all_sessions(self) -> None:
        """Take back every token; the connections stay, logged in no longer."""
        self._sessions.tokens.revoke(self._sessions.tokens.all())

    def _announce_indices(self, names: Iterable[str] | None) -> Iterator[Push]:
        yield from self._publisher.announce("platform_state", self._platform.index_states(names))

    def _announce_lock(self, currency: str, *, is_locked: bool) -> tuple[Outgoing, ...]:
        data = {"currency": currency, "locked": is_locked}
        return tuple(self._publisher.announce("user.lock", [data]))
