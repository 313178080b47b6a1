"""Locks and maintenance: what the exchange as a whole, or the account, refuses for a while.

Source: Deribit API v2, `platform_state`, `public/status`, account locks, RPC error codes.
"""

from collections.abc import Callable, Iterable, MutableSet
from typing import Any

from vigil.paper.refusals import Refusal, refusal_of

ALL_CURRENCIES = "ALL"

# Opens or changes risk; cancelling stays possible while something is locked.
_RISKING = frozenset(
    {
        "private/buy",
        "private/sell",
        "private/edit",
        "private/edit_by_label",
        "private/close_position",
        "private/mass_quote",
        "private/move_positions",
    }
)
# What has to go on while the public may not call, or nobody could log in.
_ALWAYS_PUBLIC = frozenset({"public/auth", "public/test", "public/status"})


class Platform:
    """The state that `public/status` and `platform_state` tell.

    Args:
        index_names: Tells all there are; more may come.
        standing_still: Kept equal to the indexes that nothing is traded on now, for the engine,
            which refuses orders on them itself.
        account_locked_code: How an order is refused while its currency is locked for the account.
    """

    def __init__(
        self,
        index_names: Callable[[], tuple[str, ...]],
        *,
        standing_still: MutableSet[str],
        account_locked_code: int,
    ) -> None:
        self._index_names = index_names
        self._standing_still = standing_still
        self._account_locked_code = account_locked_code
        self.locked_indices: set[str] = set()
        self.locked_currencies: set[str] = set()
        self.is_maintained = False
        self.are_positions_locked = False
        self.allows_unauthenticated = True

    def lock(self, index_name: str | None) -> list[str]:
        """Lock one index, or all. Returns: those that were open. Raises: ValueError."""
        changed = [name for name in self._named(index_name) if name not in self.locked_indices]
        self.locked_indices.update(changed)
        self._settle()
        return changed

    def unlock(self, index_name: str | None) -> list[str]:
        """Open one index, or all. Returns: those that were locked. Raises: ValueError."""
        changed = [name for name in self._named(index_name) if name in self.locked_indices]
        self.locked_indices.difference_update(changed)
        self._settle()
        return changed

    def maintain(self, *, is_on: bool) -> None:
        """Begin or end a maintenance, during which nothing is traded."""
        self.is_maintained = is_on
        self._settle()

    def is_account_locked(self, currency: str) -> bool:
        """Whether the account may not trade in that currency."""
        return bool(self.locked_currencies & {currency, ALL_CURRENCIES})

    def status(self) -> dict[str, Any]:
        """`public/status`; `locked` is a string, as seen."""
        if not self.locked_indices:
            return {"locked": "false", "locked_indices": []}
        is_whole = self.locked_indices.issuperset(self._index_names())
        return {
            "locked": "true" if is_whole else "partial",
            "locked_indices": [n for n in self._index_names() if n in self.locked_indices],
        }

    def index_states(self, names: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """What `platform_state` says of some indexes, or of all."""
        return [
            {"price_index": name, "locked": name in self.locked_indices}
            for name in (self._index_names() if names is None else names)
        ]

    def public_methods_state(self) -> dict[str, bool]:
        """What `platform_state.public_methods_state` says."""
        return {"allow_unauthenticated_public_requests": self.allows_unauthenticated}

    def user_locks(self, currencies: Iterable[str]) -> list[dict[str, Any]]:
        """`private/get_user_locks`."""
        return [{"currency": name, "locked": self.is_account_locked(name)} for name in currencies]

    def check_public(self, method: str) -> None:
        """Refuse a public call without a login while those are switched off."""
        if not self.allows_unauthenticated and method not in _ALWAYS_PUBLIC:
            raise Refusal(11056, "unauthenticated_public_requests_temporarily_disabled")

    def check_order(self, method: str, currency: str | None) -> None:
        """Refuse a matching request during maintenance, or what risks something under a lock.

        Args:
            currency: Of its instrument; None when it names none.
        """
        if self.is_maintained:
            raise refusal_of(11051)
        if method in _RISKING and currency is not None and self.is_account_locked(currency):
            raise refusal_of(self._account_locked_code)
        if method in _RISKING and self.are_positions_locked:
            raise refusal_of(10072)

    def _named(self, index_name: str | None) -> tuple[str, ...]:
        if index_name is None:
            return self._index_names()
        if index_name not in self._index_names():
            raise ValueError(f"there is no index {index_name}")
        return (index_name,)

    def _settle(self) -> None:
        self._standing_still.clear()
        for name in self._index_names() if self.is_maintained else self.locked_indices:
            self._standing_still.add(name)
