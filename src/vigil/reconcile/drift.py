"""Ledger and exchange compared: the differences, each of a kind with one remedy.

Two readings go in, a list of drifts comes out. Nothing here waits or writes: `reconciler` reads,
calls `compare`, and carries the remedies out. Comparing again after the remedies finds nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from msgspec import Struct
from msgspec import field as msgspec_field

from vigil.domain.labels import parse_label
from vigil.domain.money import ZERO
from vigil.domain.order import Order, OrderStatus, OwnOrder, Role
from vigil.domain.portfolio import Position
from vigil.domain.trade import Trade
from vigil.reconcile.exits import ExplainedExit, LooseFill, explain
from vigil.trading.protection import is_beyond_stop

# Trades and orders younger than this are left for the next pass: the parts of a reading are taken
# a few milliseconds apart, and what changes between them is no drift.
SETTLE_MS = 2_000

# From this many positions on it is a disaster, or a reading that is wrong, when most are gone.
MASS_POSITIONS_MIN = 2

# A time of entry further ahead than this is a person's slip and no sign of youth.
_CLOCK_SLIP_MS = 60_000


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


class LedgerReading(Struct, frozen=True, kw_only=True):
    """What we believe, read after the exchange so that every order there has its row here.

    Args:
        with_entry_fills: Trades whose entry the exchange itself has shown us.
        working: Own orders that are not final.
        loose_fills: Fills that belong to no trade, per instrument.
        last_fill_ms: Exchange time of the newest fill, per instrument.
    """

    trades: tuple[Trade, ...]
    with_entry_fills: frozenset[str] = frozenset()
    working: tuple[OwnOrder, ...] = ()
    loose_fills: Mapping[str, Sequence[LooseFill]] = msgspec_field(default_factory=dict)
    last_fill_ms: Mapping[str, int] = msgspec_field(default_factory=dict)


class Orphan(Struct, frozen=True, kw_only=True):
    """A trade was closed, in whole or in part, by fills that are not ours. Book them to it."""

    exit: ExplainedExit

    @property
    def trade(self) -> Trade:
        """The trade that was closed."""
        return self.exit.trade


class Vanished(Struct, frozen=True, kw_only=True):
    """The exchange does not hold the trade and no fill says why.

    Close it at mark, once a second source agrees.
    """

    trade: Trade


class Unexplained(Struct, frozen=True, kw_only=True):
    """The exchange holds less of a trade than we know, and no fill says why. Tell people."""

    trade: Trade
    missing_amount: Decimal


class Naked(Struct, frozen=True, kw_only=True):
    """An open trade without a resting stop. Place its stop and target again."""

    trade: Trade


class Targetless(Struct, frozen=True, kw_only=True):
    """A resting stop that was one of a pair and has lost its target. Place both again.

    A stop that was placed alone, because the exchange refused the pair, is none of these.
    """

    trade: Trade


class Crossed(Struct, frozen=True, kw_only=True):
    """The price is beyond where the stop belongs, and no stop rests there. Close at market."""

    trade: Trade
    mark_price: Decimal


class Unfilled(Struct, frozen=True, kw_only=True):
    """A stop that has fired, and what it was to close is still held. Close at market."""

    trade: Trade
    order: OwnOrder


class Unprotectable(Struct, frozen=True, kw_only=True):
    """An open trade for which nobody ever said where its stop belongs. Tell people."""

    trade: Trade


class Misfit(Struct, frozen=True, kw_only=True):
    """A resting stop or target of the wrong size or price. Edit it."""

    trade: Trade
    order: Order
    role: Role


class Leftover(Struct, frozen=True, kw_only=True):
    """An order of ours that protects nothing any more. Cancel it."""

    order: Order


class Unrecorded(Struct, frozen=True, kw_only=True):
    """An order with our label that the ledger does not know. Cancel it and tell people."""

    order: Order


class Silent(Struct, frozen=True, kw_only=True):
    """An order that rests by the ledger but not at the exchange. Ask what became of it."""

    order: OwnOrder


class Stillborn(Struct, frozen=True, kw_only=True):
    """A linked order that its filled parent should have brought to life. Record that it failed."""

    order: OwnOrder


class ForeignPosition(Struct, frozen=True, kw_only=True):
    """A position that no trade of ours explains. Never touched; tell people."""

    instrument_name: str
    size: Decimal


class ForeignOrder(Struct, frozen=True, kw_only=True):
    """An order without our label. Never touched; tell people."""

    order: Order


class Unsettled(Struct, frozen=True, kw_only=True):
    """Too fresh or in doubt: left for the next pass."""

    instrument_name: str
    why: str


SizeDrift = Orphan | Vanished | Unexplained | ForeignPosition

Drift = (
    SizeDrift
    | Naked
    | Targetless
    | Crossed
    | Unfilled
    | Unprotectable
    | Misfit
    | Leftover
    | Unrecorded
    | Silent
    | Stillborn
    | ForeignOrder
    | Unsettled
)


def compare(ledger: LedgerReading, exchange: ExchangeReading) -> tuple[Drift, ...]:
    """All differences between the two readings, in the order in which to mend them."""
    by_instrument: dict[str, list[Trade]] = defaultdict(list)
    for trade in ledger.trades:
        by_instrument[trade.instrument_name].append(trade)
    drifts: list[Drift] = []
    touched: set[str] = set()
    for name in sorted({*by_instrument, *exchange.positions}):
        trades = by_instrument.get(name, [])
        why = _unsettled(name, trades, ledger, exchange)
        if why is not None:
            drifts.append(Unsettled(instrument_name=name, why=why))
            touched.update(trade.trade_id for trade in trades)
            continue
        found = _compare_sizes(name, trades, ledger, exchange)
        # What is left of an unexplained trade is protected like any other.
        touched.update(
            drift.trade.trade_id for drift in found if isinstance(drift, Orphan | Vanished)
        )
        drifts += found
    drifts += _compare_protection(
        [trade for trade in ledger.trades if trade.trade_id not in touched], ledger, exchange
    )
    drifts += _compare_orders(ledger, exchange)
    return tuple(drifts)


def is_mass(gone: Iterable[Trade], ledger: LedgerReading) -> bool:
    """Whether most of the positions that the exchange has shown us seem to be gone at once.

    One alone is no crowd. Rows that a person wrote may name what never was, and do not count.
    """
    gone_ids = {trade.trade_id for trade in gone}
    held: dict[str, bool] = {}
    for trade in ledger.trades:
        if trade.trade_id in ledger.with_entry_fills:
            name = trade.instrument_name
            held[name] = held.get(name, True) and trade.trade_id in gone_ids
    gone_count = sum(held.values())
    return gone_count >= MASS_POSITIONS_MIN and 2 * gone_count > len(held)


def _unsettled(
    name: str, trades: Sequence[Trade], ledger: LedgerReading, exchange: ExchangeReading
) -> str | None:
    horizon_ms = exchange.started_ms - SETTLE_MS
    for trade in trades:
        if horizon_ms < trade.entry_time_ms < exchange.started_ms + _CLOCK_SLIP_MS:
            return f"trade {trade.trade_id} is younger than {SETTLE_MS} ms"
    if ledger.last_fill_ms.get(name, 0) > horizon_ms:
        return f"a fill is younger than {SETTLE_MS} ms"
    for order in ledger.working:
        if order.instrument_name == name and _is_in_doubt(order):
            return f"order {order.label} is in doubt"
    return None


def _is_in_doubt(order: OwnOrder) -> bool:
    return order.status.is_unproven and order.parent_label is None


def _compare_sizes(
    name: str, trades: Sequence[Trade], ledger: LedgerReading, exchange: ExchangeReading
) -> list[SizeDrift]:
    position = exchange.positions.get(name)
    held = ZERO if position is None else position.size
    difference = held - _signed_sum(trades)
    drifts: list[SizeDrift] = []
    # What the exchange holds less of on one side can only have left the trades of that side.
    short_sign = 1 if difference < 0 else -1
    reducible = [trade for trade in trades if trade.side.sign == short_sign]
    shortage = min(abs(difference), sum((trade.open_amount for trade in reducible), ZERO))
    if shortage:
        drifts += _explain_shortage(reducible, shortage, ledger, name)
    foreign = difference + short_sign * shortage
    if foreign:
        drifts.append(ForeignPosition(instrument_name=name, size=foreign))
    return drifts


def _explain_shortage(
    trades: Sequence[Trade], shortage: Decimal, ledger: LedgerReading, name: str
) -> list[SizeDrift]:
    drifts: list[SizeDrift] = []

    # Trades that the exchange has shown us come first to its fills; within them the oldest.
    def rank(trade: Trade) -> tuple[bool, int]:
        return (trade.trade_id not in ledger.with_entry_fills, trade.entry_time_ms)

    exits = explain(sorted(trades, key=rank), shortage, ledger.loose_fills.get(name, ()))
    drifts += [Orphan(exit=exit_) for exit_ in exits]
    explained = {exit_.trade.trade_id: exit_.amount for exit_ in exits}
    left = shortage - sum(explained.values(), ZERO)

    # Without fills the trade with the least evidence is the one that is not there.
    def doubtfulness(trade: Trade) -> tuple[bool, int]:
        return (trade.trade_id in ledger.with_entry_fills, trade.entry_time_ms)

    for trade in sorted(trades, key=doubtfulness):
        if not left:
            break
        if trade.trade_id in explained:
            continue  # its remainder, if any, is looked at again once its fills are booked
        missing = min(left, trade.open_amount)
        left -= missing
        if missing == trade.open_amount:
            drifts.append(Vanished(trade=trade))
        else:
            drifts.append(Unexplained(trade=trade, missing_amount=missing))
    return drifts


def _signed_sum(trades: Iterable[Trade]) -> Decimal:
    return sum((trade.signed_open_amount for trade in trades), ZERO)


def _compare_protection(
    trades: Sequence[Trade], ledger: LedgerReading, exchange: ExchangeReading
) -> list[Drift]:
    rows = {order.label: order for order in ledger.working}
    resting: dict[tuple[str, Role], Order] = {}
    drifts: list[Drift] = []
    for order in exchange.open_orders:
        row = rows.get(order.label)
        if row is None:
            continue
        if resting.setdefault((row.trade_id, row.role), order) is not order:
            # One stop and one target are enough, and one entry is all that was wanted.
            drifts.append(Leftover(order=order))
    fired = {
        row.trade_id: row
        for row in ledger.working
        if row.role is Role.STOP and row.status is OrderStatus.TRIGGERED
    }
    for trade in trades:
        drifts += _protection_drifts(trade, resting, fired.get(trade.trade_id), exchange)
    return drifts


def _protection_drifts(
    trade: Trade,
    resting: Mapping[tuple[str, Role], Order],
    fired: OwnOrder | None,
    exchange: ExchangeReading,
) -> list[Drift]:
    if trade.stop_loss is None:
        return [Unprotectable(trade=trade)]
    if fired is not None:
        # What it spawned fills within moments, or not at all: the price has run away from it.
        if fired.heard_ms > exchange.started_ms - SETTLE_MS:
            why = f"stop {fired.label} has just fired"
            return [Unsettled(instrument_name=trade.instrument_name, why=why)]
        return [Unfilled(trade=trade, order=fired)]
    stop = resting.get((trade.trade_id, Role.STOP))
    if stop is not None and stop.status is OrderStatus.UNKNOWN:
        # It exists, and whether it protects is said in a word that nobody here knows.
        why = f"the state of stop {stop.order_id} is a strange word"
        return [Unsettled(instrument_name=trade.instrument_name, why=why)]
    mark_price = exchange.mark_prices[trade.instrument_name]
    if (stop is None or stop.trigger_price != trade.stop_loss) and is_beyond_stop(
        trade, mark_price
    ):
        return [Crossed(trade=trade, mark_price=mark_price)]
    if stop is None:
        return [Naked(trade=trade)]
    drifts: list[Drift] = []
    is_resting_stop = stop.status is OrderStatus.UNTRIGGERED
    target = resting.get((trade.trade_id, Role.TARGET))
    is_halved = target is None and trade.take_profit is not None and stop.oco_ref is not None
    is_settled = stop.creation_timestamp_ms <= exchange.started_ms - SETTLE_MS
    if is_resting_stop and is_halved and is_settled:
        return [Targetless(trade=trade)]
    if is_resting_stop and (
        stop.amount != trade.open_amount or stop.trigger_price != trade.stop_loss
    ):
        drifts.append(Misfit(trade=trade, order=stop, role=Role.STOP))
    if target is not None and target.amount - target.filled_amount != trade.open_amount:
        drifts.append(Misfit(trade=trade, order=target, role=Role.TARGET))
    return drifts


def _compare_orders(ledger: LedgerReading, exchange: ExchangeReading) -> list[Drift]:
    rows = {order.label: order for order in ledger.working}
    # A trade lives from its entry on, which may have no fill yet.
    living = {trade.trade_id for trade in ledger.trades}
    living |= {order.trade_id for order in ledger.working if order.role is Role.ENTRY}
    horizon_ms = exchange.started_ms - SETTLE_MS
    drifts: list[Drift] = []
    for order in exchange.open_orders:
        row = rows.get(order.label)
        if parse_label(order.label) is None:
            drifts.append(ForeignOrder(order=order))
        elif order.creation_timestamp_ms > horizon_ms:
            continue
        elif row is None:
            drifts.append(Unrecorded(order=order))
        elif row.role is not Role.ENTRY and row.trade_id not in living:
            drifts.append(Leftover(order=order))
    resting_labels = {order.label for order in exchange.open_orders}
    for row in ledger.working:
        if row.label in resting_labels or row.created_ms > horizon_ms or _is_in_doubt(row):
            continue
        if row.status.is_unproven:
            parent = rows.get(row.parent_label or "")
            if parent is None:  # the parent is final: it has fired its linked orders or never will
                drifts.append(Stillborn(order=row))
        elif not (row.status is OrderStatus.TRIGGERED and row.role is Role.STOP) or (
            row.trade_id not in living
        ):
            # A stop that has fired for a trade that is still open is judged with its protection.
            drifts.append(Silent(order=row))
    return drifts
