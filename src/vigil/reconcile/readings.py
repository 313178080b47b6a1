"""What is compared: one complete look at the exchange, and what the ledger held after it."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from msgspec import Struct, field

from vigil.domain.order import Order, OwnOrder
from vigil.domain.portfolio import Position
from vigil.domain.trade import Trade
from vigil.reconcile.exits import LooseFill

# Trades and orders younger than this are left for the next pass: the parts of a reading are taken
# a few milliseconds apart, and what changes between them is no drift.
SETTLE_MS = 2_000

# For an hour after the last news of an order, executions that make what it filled may yet be shown.
# A day after, they leave the recent store, and for a while the archive does not have them yet.
# People are told of it sooner.
FILLS_AWAITED_MS = 3_600_000
FILLS_RECENT_MS = 86_400_000
FILLS_TOLD_MS = 60_000


class ExchangeReading(Struct, frozen=True, kw_only=True):
    """What the exchange holds, all parts good.

    Args:
        started_ms: Exchange time before the first request of the reading.
        mark_prices: Of every instrument with an open trade or a position.
    """

    started_ms: int
    positions: Mapping[str, Position]
    open_orders: tuple[Order, ...]
    mark_prices: Mapping[str, Decimal]

    @property
    def horizon_ms(self) -> int:
        """What happened after this is too fresh to be judged by the reading."""
        return self.started_ms - SETTLE_MS


class Record(Struct, frozen=True, kw_only=True):
    """What the transaction log says of one instrument since the first of our trades there.

    Args:
        position: After its newest entry; None when that tells none, or there is none.
        complete_ms: Up to which exchange time the log was read; None when it cannot be believed.
        is_explained: It was read from before that trade on, and every movement in it is an
            execution that the ledger knows.
        ended_flat: Open trades since whose entry nothing at all was held for a moment: whatever
            is left of them ran into a position of others, and no more of it can be reduced.
    """

    position: Decimal | None
    complete_ms: int | None
    is_explained: bool
    ended_flat: frozenset[str] = frozenset()

    def tells_of_no_end(self, trade_id: str) -> bool:
        """Whether all that has happened is known, and none of it ended the trade."""
        return self.is_explained and trade_id not in self.ended_flat


class LedgerReading(Struct, frozen=True, kw_only=True):
    """What we believe, read after the exchange so that every order there has its row here.

    Args:
        with_entry_fills: Trades whose entry the exchange itself has shown us.
        working: Own orders that are not final.
        loose_fills: Fills that belong to no trade, per instrument.
        last_fill_ms: Exchange time of the newest fill, per instrument.
        short: Own orders that filled more than is known of their executions.
        unseen: Trades that are not among these though they may be held: rows that cannot be read,
            and trades of which an order filled and not one execution is known.
        ended: By label, orders that the exchange lists and that are final here.
        records: What the log says, of instruments where something is missing.
    """

    trades: tuple[Trade, ...]
    with_entry_fills: frozenset[str] = frozenset()
    working: tuple[OwnOrder, ...] = ()
    loose_fills: Mapping[str, Sequence[LooseFill]] = field(default_factory=dict)
    last_fill_ms: Mapping[str, int] = field(default_factory=dict)
    short: tuple[OwnOrder, ...] = ()
    unseen: frozenset[str] = frozenset()
    ended: Mapping[str, OwnOrder] = field(default_factory=dict)
    records: Mapping[str, Record] = field(default_factory=dict)


def is_waited_for(short: OwnOrder, now_ms: int) -> bool:
    """Whether the executions that an order is short of may yet be shown."""
    age_ms = now_ms - short.heard_ms
    return age_ms < FILLS_AWAITED_MS or 0 <= age_ms - FILLS_RECENT_MS < FILLS_AWAITED_MS
