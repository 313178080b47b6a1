"""Does the private stream tell what happens, and do the session's answers agree with it?

Two things can be sick on their own: the stream, which then does not tell of what a question brings
to light, and the answers, which then deny what the stream told. The first is cured by another
session. In the second case another road is asked before anything is believed.
"""

from collections.abc import Callable
from typing import Protocol

import structlog

from vigil.domain.order import Order
from vigil.errors import VigilError
from vigil.reconcile.drift import Crossed, Drift, Naked, Silent, Targetless

log = structlog.get_logger(__name__)

# News this old that a question brought, and the stream of a session as old did not, were never
# going to come.
STREAM_SETTLE_MS = 3_000


class OrderList(Protocol):
    """A way to ask for the orders that rest. Raises a VigilError rather than answer in part."""

    async def open_orders(self) -> tuple[Order, ...]:
        """Resting and untriggered orders in all currencies."""
        ...


class StreamWatch:
    """Watches over one session after the other.

    Args:
        on_suspect: Told once in each session that its stream is not what it should be.
    """

    def __init__(self, *, witness: OrderList, on_suspect: Callable[[str], None]) -> None:
        self._witness = witness
        self._on_suspect = on_suspect
        self._epoch = 0
        self._since_ms = 0
        self._is_whole = False
        self._is_suspect = False

    def begin(self, epoch: int, now_ms: int) -> None:
        """A pass begins in session `epoch`, at exchange time `now_ms`."""
        if epoch != self._epoch:
            self._epoch, self._since_ms = epoch, now_ms
            self._is_whole = self._is_suspect = False

    def completed(self) -> None:
        """A pass has agreed with the exchange: from now on the stream has told everything."""
        self._is_whole = True

    def learnt(self, at_ms: int, now_ms: int, what: str) -> None:
        """A question brought news of exchange time `at_ms` that the stream had not told."""
        if self._since_ms + STREAM_SETTLE_MS < at_ms < now_ms - STREAM_SETTLE_MS:
            self._suspect(f"it did not tell of {what}")

    async def unless_contradicted(
        self, drifts: tuple[Drift, ...]
    ) -> tuple[tuple[Drift, ...], bool]:
        """The drifts, less those that the session alone says and its own stream denies.

        The stream told of an order that rests, and never of its end; the session's list of orders
        lacks it. The second witness decides which of the two to believe. While it cannot be asked
        nothing is concluded about such an order, but protection may be added.

        Returns: The drifts to mend, and whether some were left out.
        """
        silent = {drift.order.label: drift.order for drift in drifts if isinstance(drift, Silent)}
        if not silent or not self._is_whole:
            return drifts, False
        try:
            seen = {order.label for order in await self._witness.open_orders()}
        except VigilError as error:
            log.warning("witness.unread", reason=str(error))
            return tuple(drift for drift in drifts if not isinstance(drift, Silent)), True
        shown = silent.keys() & seen
        if not shown:
            return drifts, False
        self._suspect(f"its session denies orders that rest: {sorted(shown)}")
        trade_ids = {silent[label].trade_id for label in shown}

        def is_denied(drift: Drift) -> bool:
            match drift:
                case Silent(order=own):
                    return own.label in shown
                case Naked(trade=trade) | Targetless(trade=trade) | Crossed(trade=trade):
                    return trade.trade_id in trade_ids
                case _:
                    return False

        return tuple(drift for drift in drifts if not is_denied(drift)), True

    def _suspect(self, why: str) -> None:
        if not self._is_suspect:
            self._is_suspect = True
            log.warning("private_stream.suspect", reason=why)
            self._on_suspect(why)
