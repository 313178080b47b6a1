"""The platform's state, told when it changes.

The exchange repeats the state of every index, two and more times a second, nearly always the same
bytes. A repetition is known by its bytes alone and is not read again.
Source: Deribit, platform_state; 151 notifications in 57 s were seen, all of them unlocked.
"""

import msgspec

from vigil.deribit import wire_market
from vigil.domain.events import PlatformStateReceived

# An exchange with more indices than this is none that we know; then every state is told.
_INDICES_MAX = 1_000


class PlatformNews:
    """What one session has heard of the platform so far."""

    def __init__(self) -> None:
        self._repeated: set[bytes] = set()
        self._told: dict[str | None, tuple[bytes, PlatformStateReceived]] = {}

    def take(self, data: msgspec.Raw) -> tuple[PlatformStateReceived, ...]:
        """The state, when it is another than was last told of that index.

        Raises: Unreadable.
        """
        text = bytes(data)
        if text in self._repeated:
            return ()
        state = wire_market.to_platform_state(data)
        known = self._told.get(state.price_index)
        if known is not None:
            self._repeated.discard(known[0])
        if known is not None or len(self._told) < _INDICES_MAX:
            self._told[state.price_index] = (text, state)
            self._repeated.add(text)
        return () if known is not None and known[1] == state else (state,)
