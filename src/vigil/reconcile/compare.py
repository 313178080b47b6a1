"""Ledger and exchange compared.

Two readings go in, a list of drifts comes out. Nothing here waits or writes: `passes` reads, calls
`compare`, and has the remedies carried out. Comparing again after the remedies finds nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal

from vigil.domain.money import ZERO
from vigil.domain.order import Role
from vigil.domain.trade import Trade
from vigil.reconcile.drift import (
    Drift,
    ForeignPosition,
    Orphan,
    SizeDrift,
    Unexplained,
    Unsettled,
    Vanished,
)
from vigil.reconcile.exits import explain
from vigil.reconcile.readings import ExchangeReading, LedgerReading, Record
from vigil.reconcile.resting import compare_orders, compare_protection, is_in_doubt

# From this many positions on it is a disaster, or a reading that is wrong, when most are gone.
MASS_POSITIONS_MIN = 2

# How long after the last fill in an instrument the log is waited for, to say what is missing there.
LOG_WAIT_MS = 60_000

# A time of entry further ahead than this is a person's slip and no sign of youth.
_CLOCK_SLIP_MS = 60_000


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
        # What is left of an unexplained trade, if anything, is protected like any other.
        touched.update(
            drift.trade.trade_id for drift in found if isinstance(drift, Orphan | Vanished)
        )
        drifts += found
    drifts += compare_protection(
        [trade for trade in ledger.trades if trade.trade_id not in touched], ledger, exchange
    )
    drifts += compare_orders(ledger, exchange)
    return tuple(drifts)


def unexplained_in(drifts: Iterable[Drift], ledger: LedgerReading) -> frozenset[str]:
    """The instruments of which the log should say what became of a trade that was ours for sure."""
    return frozenset(
        drift.trade.instrument_name
        for drift in drifts
        if isinstance(drift, Vanished | Unexplained)
        and drift.trade.trade_id in ledger.with_entry_fills
    )


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
    for trade in trades:
        if exchange.horizon_ms < trade.entry_time_ms < exchange.started_ms + _CLOCK_SLIP_MS:
            return f"trade {trade.trade_id} is too young"
    if ledger.last_fill_ms.get(name, 0) > exchange.horizon_ms:
        return "a fill is too young"
    for order in ledger.working:
        if order.instrument_name == name and is_in_doubt(order):
            return f"order {order.label} is in doubt"
    return None


def _compare_sizes(
    name: str, trades: Sequence[Trade], ledger: LedgerReading, exchange: ExchangeReading
) -> list[SizeDrift]:
    position = exchange.positions.get(name)
    held = ZERO if position is None else position.size
    difference = held - _signed_sum(trades)
    # What the exchange holds less of on one side can only have left the trades of that side.
    short_sign = 1 if difference < 0 else -1
    reducible = [trade for trade in trades if trade.side.sign == short_sign]
    shortage = min(abs(difference), sum((trade.open_amount for trade in reducible), ZERO))
    foreign = abs(difference) - shortage
    drifts: list[SizeDrift] = []
    if shortage:
        drifts, unmoved = _explain_shortage(reducible, shortage, held, ledger, exchange)
        foreign += unmoved
    if foreign:
        drifts.append(ForeignPosition(instrument_name=name, size=-short_sign * foreign))
    return drifts


def _explain_shortage(
    trades: Sequence[Trade],
    shortage: Decimal,
    held: Decimal,
    ledger: LedgerReading,
    exchange: ExchangeReading,
) -> tuple[list[SizeDrift], Decimal]:
    """What became of the amount that is short; and how much of it never was ours.

    A position of others, held against our trades since before them, makes them look short. The
    transaction log tells: nothing has moved the position since but executions that we know, and
    it was never closed as a whole.
    """
    name = trades[0].instrument_name

    # Trades that the exchange has shown us come first to its fills; within them the oldest.
    def rank(trade: Trade) -> tuple[bool, int]:
        return (trade.trade_id not in ledger.with_entry_fills, trade.entry_time_ms)

    exits = explain(sorted(trades, key=rank), shortage, ledger.loose_fills.get(name, ()))
    drifts: list[SizeDrift] = [Orphan(exit=exit_) for exit_ in exits]
    explained = {exit_.trade.trade_id: exit_.amount for exit_ in exits}
    left = shortage - sum(explained.values(), ZERO)
    record = ledger.records.get(name)

    # Without fills it is the trade of which an exit is known to have filled, or that with the least
    # evidence, that is not there.
    exited = {order.trade_id for order in ledger.short if order.role is not Role.ENTRY}

    def doubtfulness(trade: Trade) -> tuple[bool, bool, int]:
        is_proven = trade.trade_id in ledger.with_entry_fills
        return (trade.trade_id not in exited, is_proven, trade.entry_time_ms)

    for trade in sorted(trades, key=doubtfulness):
        if not left:
            break
        if trade.trade_id in explained:
            continue  # its remainder, if any, is looked at again once its fills are booked
        if trade.trade_id in ledger.with_entry_fills and _is_held(trade, record, held):
            return drifts, left
        missing = min(left, trade.open_amount)
        left -= missing
        if missing == trade.open_amount:
            drifts.append(Vanished(trade=trade))
        elif _is_behind(record, ledger.last_fill_ms.get(name, 0), exchange.started_ms):
            why = "the log has not been read since its last fill"
            drifts.append(Unsettled(instrument_name=name, why=why))
        else:
            drifts.append(Unexplained(trade=trade, missing_amount=missing))
    return drifts, ZERO


def _is_held(trade: Trade, record: Record | None, held: Decimal) -> bool:
    """Whether the log vouches for the trade, and what is short belongs to others."""
    return record is not None and record.tells_of_no_end(trade.trade_id) and record.position == held


def _is_behind(record: Record | None, last_fill_ms: int, now_ms: int) -> bool:
    """Whether the log may yet say more; not for ever, should it never be read."""
    if record is None or record.complete_ms is None:
        return False
    return record.complete_ms < last_fill_ms and now_ms - last_fill_ms < LOG_WAIT_MS


def _signed_sum(trades: Iterable[Trade]) -> Decimal:
    return sum((trade.signed_open_amount for trade in trades), ZERO)
