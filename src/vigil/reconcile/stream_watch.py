"""Does the private stream tell what happens, and do the session's answers agree with it?

Two things can be sick on their own: the stream, which then does not tell of what a question brings
to light, and the answers, which then deny what the stream told. The first is cured by another
session. In the second case another road is asked before anything is believed, and the orders
themselves before anything is sent: that a list lacks them is not their end.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from vigil.domain.order import Order, OrderStatus, OwnOrder
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


class OrderStates(Protocol):
    """A way to ask for one order. Raises a VigilError when it cannot be told."""

    async def order_state(self, order_id: str) -> Order | None:
        """One order; None when the exchange does not, or no longer, know it."""
        ...


class StreamWatch:
    """Watches over one session after the other.

    Attributes:
        denied: Which orders rest by their own state, and stand in no list; None while none does.

    Args:
        on_suspect: Told once in each session that its stream is not what it should be.
    """

    def __init__(
        self, *, exchange: OrderStates, witness: OrderList, on_suspect: Callable[[str], None]
    ) -> None:
        self._exchange = exchange
        self._witness = witness
        self._on_suspect = on_suspect
        self._epoch = 0
        self._since_ms = 0
        self._is_whole = False
        self._is_suspect = False
        self.denied: str | None = None

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
        """The drifts, less those of orders that a list lacks and that rest all the same.

        The stream told of an order that rests, and never of its end; the session's list of orders
        lacks it. The second witness decides which of the two to believe. While it cannot be asked
        nothing is concluded about such an order, but protection may be added. Where no list shows
        an order whose trade would be protected or closed for want of it, its state is asked for.

        Returns: The drifts to mend, and whether some were left out.
        """
        self.denied = None
        silent = {drift.order.label: drift.order for drift in drifts if isinstance(drift, Silent)}
        if not silent:
            return drifts, False
        kept, shown = drifts, frozenset[str]()
        if self._is_whole:
            seen = await self._seen_by_witness()
            if seen is None:
                kept = tuple(drift for drift in drifts if not isinstance(drift, Silent))
            elif shown := seen & silent.keys():
                self._suspect(f"its session denies orders that rest: {sorted(shown)}")
        bared = {_bared(drift) for drift in drifts}
        resting = await self._resting_of(
            own for label, own in silent.items() if label not in shown and own.trade_id in bared
        )
        if resting:
            self.denied = f"no list of orders shows {sorted(resting)}, which rest by their state"
            log.warning("orders.denied", labels=sorted(resting))
        labels = shown | resting
        trade_ids = {silent[label].trade_id for label in labels}
        kept = tuple(
            drift
            for drift in kept
            if _bared(drift) not in trade_ids
            and not (isinstance(drift, Silent) and drift.order.label in labels)
        )
        return kept, kept != drifts

    async def _seen_by_witness(self) -> frozenset[str] | None:
        """The labels of all orders that the second witness lists; None when it cannot be asked."""
        try:
            return frozenset(order.label for order in await self._witness.open_orders())
        except VigilError as error:
            log.warning("witness.unread", reason=str(error))
            return None

    async def _resting_of(self, orders: Iterable[OwnOrder]) -> frozenset[str]:
        """The labels of those that the exchange, asked for each, says to have."""
        resting: list[str] = []
        for own in orders:
            if own.order_id is None:
                continue
            try:
                state = await self._exchange.order_state(own.order_id)
            except VigilError as error:
                log.warning("order.not_read", order_id=own.order_id, reason=str(error))
                continue
            if state is not None and (
                state.status.is_resting or state.status is OrderStatus.UNKNOWN
            ):
                resting.append(own.label)
        return frozenset(resting)

    def _suspect(self, why: str) -> None:
        if not self._is_suspect:
            self._is_suspect = True
            log.warning("private_stream.suspect", reason=why)
            self._on_suspect(why)


def _bared(drift: Drift) -> str | None:
    """The trade that would be sent something for, as its protection is not seen."""
    match drift:
        case Naked(trade=trade) | Targetless(trade=trade) | Crossed(trade=trade):
            return trade.trade_id
        case _:
            return None
