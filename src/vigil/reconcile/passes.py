"""One pass: read, settle doubts, compare, mend, and look again until nothing is left to mend.

A part of a reading that fails raises, and the rest of the pass is not made: what cannot be read
changes nothing. `reconciler` decides when there is a pass, and records what came of it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import structlog
from msgspec import Struct, field
from msgspec.structs import replace

from vigil.clock import Clock
from vigil.desk.books import Books
from vigil.desk.desk import Desk
from vigil.domain.order import OrderStatus, OwnOrder
from vigil.errors import Transient
from vigil.ledger.account_log import Searched
from vigil.ledger.ledger import Ledger
from vigil.reconcile.compare import compare, is_mass, unexplained_in
from vigil.reconcile.doubts import Doubts, DoubtSource, LabelSearch
from vigil.reconcile.drift import (
    Drift,
    Unsettled,
    Vanished,
    describe,
    is_conclusion,
    is_mended_by_us,
)
from vigil.reconcile.drop_copy import DropCopy, LogSource
from vigil.reconcile.exits import explain_late
from vigil.reconcile.fill_search import FillSearch
from vigil.reconcile.notices import Notices
from vigil.reconcile.observe import (
    Quotes,
    Source,
    read_exchange,
    read_ledger,
    read_loose_fills,
    unheard_in,
)
from vigil.reconcile.readings import (
    FILLS_TOLD_MS,
    ExchangeReading,
    LedgerReading,
    is_waited_for,
)
from vigil.reconcile.remedies import Remedied, Remedies
from vigil.reconcile.stream_watch import OrderStates, StreamWatch
from vigil.reconcile.vanishing import Vanishing

log = structlog.get_logger(__name__)

# A remedy can uncover the next difference: a trade closed leaves its stop over. Each round starts
# from fresh readings; what is still there after these is left for the next pass.
ROUNDS_MAX = 4

# For two days the true fills of a trade closed by an estimate are still taken, however they come.
ESTIMATE_KEPT_MS = 172_800_000


class Exchange(Source, Quotes, DoubtSource, LogSource, OrderStates, Protocol):
    """The session, as far as the reconciler needs it."""

    @property
    def is_live(self) -> bool:
        """Whether a session is authenticated and subscribed."""
        ...

    @property
    def epoch(self) -> int:
        """Number of the current session."""
        ...


class Witness(Source, LabelSearch, Protocol):
    """Another road to the exchange."""


class Findings(Struct):
    """What one pass has found and done so far."""

    cause: str
    started_ms: int
    epoch: int
    open_trades: int = 0
    doubtful: tuple[OwnOrder, ...] = ()
    drifts: list[str] = field(default_factory=list)
    remedies: list[str] = field(default_factory=list)
    is_unsettled: bool = False

    def note(self, remedied: Remedied) -> bool:
        """Keep what was done; whether it changed something."""
        self.remedies.append(remedied.line)
        self.is_unsettled |= not remedied.is_done
        return remedied.is_done


class Passes:
    """Makes passes, for whoever sees to it that there are never two at a time.

    Args:
        as `Reconciler`.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        books: Books,
        desk: Desk,
        exchange: Exchange,
        witness: Witness,
        clock: Clock,
        interval_s: float,
        instrument_names: Callable[[], Iterable[str]],
        on_history: Callable[[str | None], None],
        on_stream_suspect: Callable[[str], None],
    ) -> None:
        self._ledger = ledger
        self._books = books
        self._desk = desk
        self._exchange = exchange
        self._on_history = on_history
        self._notices = Notices(ledger)
        self._remedies = Remedies(
            ledger=ledger, books=books, desk=desk, exchange=exchange, notices=self._notices
        )
        self._fills = FillSearch(
            ledger=ledger,
            books=books,
            exchange=exchange,
            witness=witness,
            instrument_names=instrument_names,
        )
        self._drop_copy = DropCopy(
            ledger=ledger, source=exchange, clock=clock, interval_s=interval_s
        )
        self._doubts = Doubts(
            ledger=ledger,
            books=books,
            exchange=exchange,
            witness=witness,
            drop_copy=self._drop_copy,
        )
        self._vanishing = Vanishing(
            ledger=ledger,
            books=books,
            drop_copy=self._drop_copy,
            witness=witness,
            quotes=exchange,
            clock=clock,
            exchange_now_ms=exchange.exchange_now_ms,
        )
        self._stream = StreamWatch(exchange=exchange, witness=witness, on_suspect=on_stream_suspect)
        self._told_history: str | None = None

    @property
    def searched(self) -> Mapping[str, Searched]:
        """How far has been searched for fills, by currency."""
        return self._fills.searched

    @property
    def history_problem(self) -> str | None:
        """Why the exchange's history cannot be trusted now; None when it can."""
        return self._lost_history or self._vanishing.problem or self._vanishing.denied

    @property
    def _lost_history(self) -> str | None:
        return self._drop_copy.problem or self._fills.problem

    async def make(self, current: Findings) -> None:
        """Make one pass, and keep in `current` what it finds and does.

        Raises: VigilError, when something could not be read; what was done stays done.
        """
        self._stream.begin(current.epoch, current.started_ms)
        await self._read_log(current)
        await self._catch_up(current)
        self._tell_history()
        is_trusted = self.history_problem is None
        if is_trusted:
            await self._replace_estimates(current)
        current.doubtful = await self._doubts.resolve(may_conclude=is_trusted)
        for attempt in range(ROUNDS_MAX):
            has_acted = await self._round(current, is_first=attempt == 0)
            if current.epoch != self._exchange.epoch:
                # Part of what was read is from before it: the right to trade waits for a pass
                # that lies within one session.
                raise Transient("another session began during the pass")
            if not has_acted:
                break
            await self._catch_up(current)
        else:
            current.is_unsettled = True  # nobody has seen yet what the last round led to
        current.is_unsettled |= bool(current.doubtful)
        self._stream.completed()

    async def _read_log(self, current: Findings) -> None:
        if self._drop_copy.is_due(current.epoch):
            unproven = await self._ledger.unproven_orders()
            since_ms = min([current.started_ms, *(order.created_ms for order in unproven)])
            await self._drop_copy.read(
                await self._fills.currencies(), since_ms=since_ms, epoch=current.epoch
            )

    async def _catch_up(self, current: Findings) -> None:
        now_ms = self._exchange.exchange_now_ms()
        for fill in await self._fills.catch_up(now_ms, epoch=current.epoch):
            self._stream.learnt(fill.timestamp_ms, now_ms, f"fill {fill.trade_id}")

    def _tell_history(self) -> None:
        if self.history_problem != self._told_history:
            self._told_history = self.history_problem
            self._on_history(self.history_problem)

    async def _round(self, current: Findings, *, is_first: bool) -> bool:
        """Look once and mend what is found; True when that changed something."""
        ledger, exchange = await self._look(current, is_first=is_first)
        drifts = await self._compare(ledger, exchange)
        drifts, is_contradicted = await self._stream.unless_contradicted(drifts)
        current.is_unsettled |= is_contradicted or any(
            is_waited_for(order, exchange.started_ms) for order in ledger.short
        )
        if ledger.working:  # only what is at work can be edited
            current.is_unsettled |= self._desk.has_edits_in_doubt(exchange.started_ms)
        vanished = [drift for drift in drifts if isinstance(drift, Vanished)]
        if is_first:
            may_conclude = self._vanishing.look(vanished, ledger, exchange.started_ms)
            self._tell_history()
        else:
            may_conclude = not is_mass((drift.trade for drift in vanished), ledger)
        current.is_unsettled |= not may_conclude
        await self._notices.report(
            drifts,
            overdue=self._doubts.overdue(current.doubtful),
            short=[
                order
                for order in ledger.short
                if order.heard_ms < exchange.started_ms - FILLS_TOLD_MS
            ],
            vanished=self._vanishing.problem or self._vanishing.denied,
            lost_history=self._fills.problem,
            denied=self._stream.denied,
            is_settled=not is_contradicted,
        )
        return await self._mend(drifts, current, may_conclude=may_conclude)

    async def _compare(self, ledger: LedgerReading, exchange: ExchangeReading) -> tuple[Drift, ...]:
        """All differences; of what is missing the log is asked, which few passes need."""
        drifts = compare(ledger, exchange)
        records = {
            name: await self._drop_copy.record_of(
                name,
                since_ms=min(
                    trade.entry_time_ms
                    for trade in ledger.trades
                    if trade.instrument_name == name and trade.trade_id in ledger.with_entry_fills
                ),
                until_ms=ledger.last_fill_ms.get(name, 0),
            )
            for name in sorted(unexplained_in(drifts, ledger))
        }
        return compare(replace(ledger, records=records), exchange) if records else drifts

    async def _look(
        self, current: Findings, *, is_first: bool
    ) -> tuple[LedgerReading, ExchangeReading]:
        trades = (await self._ledger.open_trades()).trades
        if is_first:
            current.open_trades = len(trades)
            log.info(f"[Reconciliation] Found {len(trades)} open trades in database")
        started_ms = self._exchange.exchange_now_ms()
        exchange = await read_exchange(
            self._exchange, self._exchange, trades=trades, started_ms=started_ms
        )
        ledger = await read_ledger(self._ledger, exchange.open_orders)
        if news := unheard_in(ledger, exchange.open_orders):
            ours = {row.label for row in ledger.working}
            for order in news:
                if order.label in ours and order.status is not OrderStatus.UNKNOWN:
                    what = f"order {order.order_id}"
                    self._stream.learnt(order.last_update_timestamp_ms, started_ms, what)
            await self._books.book_orders(news)
            ledger = await read_ledger(self._ledger, exchange.open_orders)
        return ledger, exchange

    async def _mend(
        self, drifts: tuple[Drift, ...], current: Findings, *, may_conclude: bool
    ) -> bool:
        """Carry out the remedies; True when any of them changed something."""
        acted = False
        vanished: list[Vanished] = []
        conclusions: list[Drift] = []
        for drift in drifts:
            if isinstance(drift, Unsettled):
                current.is_unsettled = True
                continue
            line = describe(drift)
            if line not in current.drifts:
                current.drifts.append(line)
            if self._lost_history is not None:
                continue  # whose account this is has to be clear before anything is sent
            if is_conclusion(drift) and not may_conclude:
                continue
            if isinstance(drift, Vanished):
                vanished.append(drift)
            elif is_conclusion(drift):
                conclusions.append(drift)
            elif is_mended_by_us(drift):
                acted |= current.note(await self._remedies.apply(drift))
        if vanished:
            acted |= await self._close_vanished(vanished, current)
            self._tell_history()
        if self._vanishing.denied is None:
            for drift in conclusions:
                acted |= current.note(await self._remedies.apply(drift))
        return acted

    async def _close_vanished(self, vanished: list[Vanished], current: Findings) -> bool:
        """Close at mark what is gone for the second witness as well."""
        gone = await self._vanishing.confirm(vanished, current.started_ms)
        current.is_unsettled |= len(gone) < len(vanished)
        acted = False
        for one in gone:
            acted |= current.note(
                await self._remedies.close_at_estimate(one.trade, one.mark_price, one.at_ms)
            )
        return acted

    async def _replace_estimates(self, current: Findings) -> None:
        """Book the true fills of trades that were closed by an estimate, should they turn up."""
        since_ms = self._exchange.exchange_now_ms() - ESTIMATE_KEPT_MS
        for trade in await self._ledger.estimated_trades(since_ms):
            loose = await read_loose_fills(self._ledger, [trade])
            shares = (await self._ledger.shares_of([trade.trade_id]))[trade.trade_id]
            found = explain_late(trade, shares, loose.get(trade.instrument_name, ()))
            if found is not None:
                current.note(await self._remedies.replace_estimate(found))
