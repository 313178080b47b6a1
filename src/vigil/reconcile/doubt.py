"""Orders in doubt: sent, or perhaps sent, and never answered.

An order found at the exchange is adopted, however late. An order not found is proven absent only
when the exchange could no longer have started it (`valid_until` plus a margin) and two complete
searches, further apart than the exchange's own indexing delay, did not find it.
"""

from enum import Enum, auto

from msgspec import Struct

from vigil.domain.order import OwnOrder

VALIDITY_MARGIN_MS = 1_000
INDEXING_DELAY_MS = 2_000


class Verdict(Enum):
    """What a fruitless search proves."""

    WAIT = auto()
    ABSENT = auto()


class Absences(Struct, frozen=True):
    """Fruitless complete searches that count, by label → exchange time of the first."""

    first_ms: dict[str, int]

    def judge(self, order: OwnOrder, *, searched_ms: int) -> Verdict:
        """Record a complete search at `searched_ms` (exchange time) that did not find `order`."""
        if searched_ms <= order.valid_until_ms + VALIDITY_MARGIN_MS:
            return Verdict.WAIT
        first_ms = self.first_ms.setdefault(order.label, searched_ms)
        if searched_ms - first_ms <= INDEXING_DELAY_MS:
            return Verdict.WAIT
        del self.first_ms[order.label]
        return Verdict.ABSENT

    def forget(self, label: str) -> None:
        """Start over for `label`: it was found, or a search failed."""
        self.first_ms.pop(label, None)
