"""Orders in doubt: sent, or perhaps sent, and never answered.

An order found at the exchange is adopted, however late. An order not found is proven absent, and
this is the proof.

1. The engine starts no request after `valid_until`. So once exchange time is past that and a margin
   for the measurement of the clock, the order exists by now or never will.
2. If it exists it rests, or traded, or ended without trading. Resting orders are listed however old
   they are. Executions are in the recent store for 24 hours and in the archive after that; the
   archive lags. An order that ended without trading is in the recent store for 30 minutes, and
   after that perhaps nowhere.
3. Within 30 minutes of its sending (one is kept back for clocks and roads) the recent store shows
   an order whatever became of it, so two complete searches of it that find nothing prove that it
   never was. Two, and further apart than a store takes to show what it was told, so that both
   cannot fall into one delay.
4. Later, as after an outage of the process, absence from the recent store proves nothing. What can
   still be proven is that the order neither rests nor traded, which for money and risk is the same:
   it is in no list of resting orders, and no execution of it is known. That needs the
   transaction log as a second record, complete over the order's life and without any execution in
   the instrument that we have no fill of.
5. After 23 hours an execution may just be on its way from the recent store to the archive and in
   neither. One moment of trading cannot be on its way for longer than the archive lags, so two
   searches further apart than that cannot both have missed it.

Each search is made again by a second witness before the verdict, and any part that fails starts the
count over: unknown is not absent.
Source: Deribit, accessing historical trades and orders: closed orders are recent for 30 minutes,
own trades for 24 hours, the archive comes after an indexing delay.
"""

from enum import Enum, auto

from msgspec import Struct

from vigil.domain.order import OwnOrder

VALIDITY_MARGIN_MS = 1_000

# How long the recent store may take to show what has happened.
INDEXING_DELAY_MS = 2_000
# How long what leaves the recent store may be on its way into the archive. The exchange names no
# number; ten minutes are far more than was ever reported.
ARCHIVE_DELAY_MS = 600_000

# Since `valid_until`, which is a few seconds after the sending; the stores themselves keep 30
# minutes and 24 hours.
RECENT_ORDERS_MS = 29 * 60_000
RECENT_FILLS_MS = 23 * 3_600_000


class Verdict(Enum):
    """What a fruitless search proves."""

    WAIT = auto()
    ABSENT = auto()


def is_expired(order: OwnOrder, at_ms: int) -> bool:
    """Whether the exchange can no longer start `order` at exchange time `at_ms`."""
    return at_ms > order.valid_until_ms + VALIDITY_MARGIN_MS


def needs_log(order: OwnOrder, at_ms: int) -> bool:
    """Whether the recent store may have forgotten the order, so that the log must testify."""
    return at_ms > order.valid_until_ms + RECENT_ORDERS_MS


def spacing_ms(order: OwnOrder, at_ms: int) -> int:
    """How far apart two searches must be that are to prove something at `at_ms`."""
    is_archived = at_ms > order.valid_until_ms + RECENT_FILLS_MS
    return ARCHIVE_DELAY_MS if is_archived else INDEXING_DELAY_MS


class Absences(Struct, frozen=True):
    """Fruitless complete searches that count, by label → exchange time of the first."""

    first_ms: dict[str, int]

    def is_last(self, order: OwnOrder, *, searched_ms: int) -> bool:
        """Whether a search at `searched_ms` that does not find `order` completes the proof."""
        first_ms = self.first_ms.get(order.label)
        return (
            is_expired(order, searched_ms)
            and first_ms is not None
            and searched_ms - first_ms > spacing_ms(order, searched_ms)
        )

    def judge(self, order: OwnOrder, *, searched_ms: int) -> Verdict:
        """Record a complete search at `searched_ms` (exchange time) that did not find `order`."""
        if not is_expired(order, searched_ms):
            return Verdict.WAIT
        if self.is_last(order, searched_ms=searched_ms):
            del self.first_ms[order.label]
            return Verdict.ABSENT
        self.first_ms.setdefault(order.label, searched_ms)
        return Verdict.WAIT

    def forget(self, label: str) -> None:
        """Start over for `label`: it was found, or a search failed."""
        self.first_ms.pop(label, None)
