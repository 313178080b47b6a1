"""Whether the private stream still tells what happens: our own acts are the proof.

Every order that we place, edit or cancel is told on the stream as well as in the reply. A stream
that does not tell of what we know has happened tells nothing else either, however well the session
answers. News may come before the reply or after it, and once is enough.
"""

from collections import OrderedDict

from vigil.domain.order import Order

_REMEMBERED_MAX = 1_000


class StreamProof:
    """What the stream owes us in one session. Times are loop seconds."""

    def __init__(self) -> None:
        self._heard: OrderedDict[str, int] = OrderedDict()  # order id → its last update, ms
        self._owed: OrderedDict[str, tuple[int, float]] = OrderedDict()  # … and since when

    def expect(self, order: Order, now_s: float) -> None:
        """A reply said so of an order: the stream has said it, or owes it."""
        if self._heard.get(order.order_id, -1) < order.last_update_timestamp_ms:
            since_s = self._owed.get(order.order_id, (0, now_s))[1]
            self._owed[order.order_id] = (order.last_update_timestamp_ms, since_s)
            _bound(self._owed)

    def heard(self, order: Order) -> None:
        """The stream said so of an order."""
        order_id, update_ms = order.order_id, order.last_update_timestamp_ms
        if self._heard.get(order_id, -1) < update_ms:
            self._heard[order_id] = update_ms
            self._heard.move_to_end(order_id)
            _bound(self._heard)
        owed = self._owed.get(order_id)
        if owed is not None and owed[0] <= update_ms:
            del self._owed[order_id]

    def overdue(self, now_s: float, within_s: float) -> str | None:
        """The order that the stream has owed us for longer than that; None when there is none."""
        for order_id, (_, since_s) in self._owed.items():
            if now_s - since_s > within_s:
                return order_id
        return None

    def forget(self) -> None:
        """Another session began, and owes nothing yet."""
        self._heard.clear()
        self._owed.clear()


def _bound(kept: OrderedDict[str, int] | OrderedDict[str, tuple[int, float]]) -> None:
    while len(kept) > _REMEMBERED_MAX:
        kept.popitem(last=False)
