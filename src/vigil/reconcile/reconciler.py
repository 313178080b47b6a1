"""Level, not edge: compare the ledger with the exchange and mend the difference.

At start, after every reconnect, every interval, on demand, and sooner when something was left in
doubt. Never two passes at a time. A pass that cannot read everything changes nothing.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from msgspec.structs import replace

from vigil.clock import Clock
from vigil.desk.books import Books
from vigil.desk.desk import Desk
from vigil.domain.order import OrderStatus, OwnOrder
from vigil.errors import Transient, VigilError
from vigil.ledger.ledger import Ledger
from vigil.ledger.runs import ReconciliationRun
from vigil.reconcile.doubts import Doubts, DoubtSource, LabelSearch
from vigil.reconcile.drift import (
    SETTLE_MS,
    Drift,
    ExchangeReading,
    LedgerReading,
    Unsettled,
    Vanished,
    compare,
)
from vigil.reconcile.drop_copy import DropCopy, LogSource
from vigil.reconcile.exits import explain_late
from vigil.reconcile.fill_search import FillSearch
from vigil.reconcile.observe import (
    Quotes,
    Source,
    read_exchange,
    read_ledger,
    read_loose_fills,
    unheard_in,
)
from vigil.reconcile.remedies import (
    Remedied,
    Remedies,
    describe,
    is_conclusion,
    is_mended_by_us,
)
from vigil.reconcile.stream_watch import StreamWatch
from vigil.reconcile.vanishing import Vanishing

log = structlog.get_logger(__name__)

# A remedy can uncover the next difference: a trade closed leaves its stop over. Each round starts
# from fresh readings; what is still there after these is left for the next pass.
ROUNDS_MAX = 4

PASS_TIMEOUT_S = 30.0

# For two days the true fills of a trade closed by an estimate are still taken, however they come.
ESTIMATE_KEPT_MS = 172_800_000

PASS_SPACING_S = 0.5

# Passes in a row that follow soon on an unfinished one, before they become rarer.
SOON_PASSES = 8


class Exchange(Source, Quotes, DoubtSource, LogSource, Protocol):
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


def _ignore(_: str | None) -> None:
    return None


@dataclass(slots=True)
class _Pass:
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


class Reconciler:
    """Runs passes, one at a time.

    Args:
        witness: A second way to ask the exchange, used before anything is concluded from absence
            and when the session's answers contradict its own stream.
        on_pass: Told of every finished pass.
        instrument_names: The instruments that strategies trade now.
        on_history: Told why the exchange's history cannot be trusted, so that nothing may be
            opened, and None when it can again.
        on_stream_suspect: Told when the private stream should have said what a question brought.
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
        on_pass: Callable[[ReconciliationRun], None],
        instrument_names: Callable[[], Iterable[str]],
        on_history: Callable[[str | None], None] = _ignore,
        on_stream_suspect: Callable[[str], None] = _ignore,
    ) -> None:
        self._ledger = ledger
        self._books = books
        self._exchange = exchange
        self._clock = clock
        self._interval_s = interval_s
        self._on_pass = on_pass
        self._on_history = on_history
        self._desk = desk
        self._remedies = Remedies(ledger=ledger, books=books, desk=desk, exchange=exchange)
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
        self._stream = StreamWatch(witness=witness, on_suspect=on_stream_suspect)
        self._told_history: str | None = None
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._cause = "start"
        self.next_run_ms: int | None = None
        self.last_run: ReconciliationRun | None = None
        self.last_beat_s: float | None = None
        self._ended_s: float | None = None
        self._soon_in_row = 0

    def request(self, cause: str) -> None:
        """Ask for a pass as soon as possible."""
        self._cause = cause
        self._wake.set()

    async def run(self) -> None:
        """Make passes until cancelled."""
        while True:
            self.last_beat_s = self._clock.elapsed_s()
            if not self._exchange.is_live:
                await self._rest(self._interval_s)
                continue
            await self._space_out()
            cause, self._cause = self._cause, "interval"
            run = await self.run_once(cause)
            is_done = run.outcome == "ok" and not run.is_unsettled
            self._soon_in_row = 0 if is_done else self._soon_in_row + 1
            await self._rest(rest_s(self._soon_in_row, self._interval_s))

    async def run_once(self, cause: str) -> ReconciliationRun:
        """Make one pass now, after the one that is running if there is one."""
        async with self._lock:
            self._wake.clear()
            current = _Pass(
                cause=cause,
                started_ms=self._exchange.exchange_now_ms(),
                epoch=self._exchange.epoch,
            )
            log.info("[Reconciliation] Running database-Deribit sync check", cause=cause)
            outcome, reason = "ok", None
            try:
                async with asyncio.timeout(PASS_TIMEOUT_S):
                    await self._pass(current)
            except TimeoutError:
                outcome, reason = "skipped", f"no complete reading in {PASS_TIMEOUT_S:g} s"
            except VigilError as error:
                outcome, reason = "skipped", str(error)
            if reason is not None:
                log.warning(f"[Reconciliation] Skipped: {reason}")
            elif self.history_problem is not None:
                log.warning(f"[Reconciliation] Concluding nothing: {self.history_problem}")
            elif current.is_unsettled:
                log.info("[Reconciliation] Some of it is not settled yet, looking again soon")
            elif not current.drifts:
                log.info("[Reconciliation] All database trades match Deribit positions")
            run = ReconciliationRun(
                started_ms=current.started_ms,
                finished_ms=self._exchange.exchange_now_ms(),
                trigger=cause,
                outcome=outcome,
                reason=reason,
                open_trades=current.open_trades,
                drifts=tuple(current.drifts),
                remedies=tuple(current.remedies),
                is_unsettled=current.is_unsettled,
            )
            run_id = await self._ledger.record_reconciliation(run, self._fills.searched)
            self.last_run = run = replace(run, run_id=run_id)
            self._ended_s = self._clock.elapsed_s()
            self._on_pass(run)
            return run

    async def _rest(self, delay_s: float) -> None:
        self.next_run_ms = self._clock.now_ms() + round(delay_s * 1000)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._wake.wait()

    async def _space_out(self) -> None:
        """However often a pass is asked for, leave the exchange some air."""
        if self._ended_s is not None:
            early_s = self._ended_s + PASS_SPACING_S - self._clock.elapsed_s()
            if early_s > 0:
                await self._clock.sleep(early_s)

    @property
    def history_problem(self) -> str | None:
        """Why the exchange's history cannot be trusted now; None when it can."""
        return self._lost_history or self._vanishing.problem or self._vanishing.denied

    @property
    def _lost_history(self) -> str | None:
        return self._drop_copy.problem or self._fills.problem

    async def _pass(self, current: _Pass) -> None:
        self._stream.begin(current.epoch, current.started_ms)
        await self._read_log(current)
        await self._catch_up(current)
        self._tell_history()
        is_trusted = self.history_problem is None
        if is_trusted:
            await self._replace_estimates(current)
        current.doubtful = await self._doubts.resolve(may_conclude=is_trusted)
        for attempt in range(ROUNDS_MAX):
            acted = await self._round(current, is_first=attempt == 0)
            if current.epoch != self._exchange.epoch:
                # Part of what was read is from before it: the right to trade waits for a pass
                # that lies within one session.
                raise Transient("another session began during the pass")
            if not acted:
                break
            await self._catch_up(current)
        current.is_unsettled |= bool(current.doubtful)
        self._stream.completed()

    async def _read_log(self, current: _Pass) -> None:
        if self._drop_copy.is_due(current.epoch):
            unproven = await self._ledger.unproven_orders()
            since_ms = min([current.started_ms, *(order.created_ms for order in unproven)])
            await self._drop_copy.read(
                await self._fills.currencies(), since_ms=since_ms, epoch=current.epoch
            )

    async def _catch_up(self, current: _Pass) -> None:
        now_ms = self._exchange.exchange_now_ms()
        for fill in await self._fills.catch_up(now_ms, epoch=current.epoch):
            self._stream.learnt(fill.timestamp_ms, now_ms, f"fill {fill.trade_id}")

    def _tell_history(self) -> None:
        if self.history_problem != self._told_history:
            self._told_history = self.history_problem
            self._on_history(self.history_problem)

    async def _round(self, current: _Pass, *, is_first: bool) -> bool:
        """Look once and mend what is found; True when that changed something."""
        ledger, exchange = await self._look(current, is_first=is_first)
        drifts, is_contradicted = await self._stream.unless_contradicted(compare(ledger, exchange))
        current.is_unsettled |= is_contradicted
        current.is_unsettled |= self._desk.has_edits_in_doubt(exchange.started_ms)
        vanished = [drift for drift in drifts if isinstance(drift, Vanished)]
        if is_first:
            may_close = self._vanishing.look(vanished, ledger, exchange.started_ms)
            self._tell_history()
            current.is_unsettled |= not may_close
        await self._remedies.report(
            drifts,
            overdue=self._doubts.overdue(current.doubtful),
            vanished=self._vanishing.problem or self._vanishing.denied,
            lost_history=self._fills.problem,
            is_settled=not is_contradicted,
        )
        return await self._mend(drifts, current)

    async def _look(
        self, current: _Pass, *, is_first: bool
    ) -> tuple[LedgerReading, ExchangeReading]:
        trades = (await self._ledger.open_trades()).trades
        if is_first:
            current.open_trades = len(trades)
            log.info(f"[Reconciliation] Found {len(trades)} open trades in database")
        started_ms = self._exchange.exchange_now_ms()
        exchange = await read_exchange(
            self._exchange, self._exchange, trades=trades, started_ms=started_ms
        )
        ledger = await read_ledger(self._ledger)
        if news := unheard_in(ledger, exchange.open_orders):
            ours = {row.label for row in ledger.working}
            for order in news:
                if order.label in ours and order.status is not OrderStatus.UNKNOWN:
                    what = f"order {order.order_id}"
                    self._stream.learnt(order.last_update_timestamp_ms, started_ms, what)
            await self._books.book_orders(news)
            ledger = await read_ledger(self._ledger)
        return ledger, exchange

    async def _mend(self, drifts: tuple[Drift, ...], current: _Pass) -> bool:
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
            if self._vanishing.problem is not None and is_conclusion(drift):
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

    async def _close_vanished(self, vanished: list[Vanished], current: _Pass) -> bool:
        """Close at mark what is gone for the second witness as well."""
        gone = await self._vanishing.confirm(vanished, current.started_ms)
        current.is_unsettled |= len(gone) < len(vanished)
        acted = False
        for one in gone:
            acted |= current.note(
                await self._remedies.close_at_estimate(one.trade, one.mark_price, one.at_ms)
            )
        return acted

    async def _replace_estimates(self, current: _Pass) -> None:
        """Book the true fills of trades that were closed by an estimate, should they turn up."""
        since_ms = self._exchange.exchange_now_ms() - ESTIMATE_KEPT_MS
        for trade in await self._ledger.estimated_trades(since_ms):
            loose = await read_loose_fills(self._ledger, [trade])
            shares = (await self._ledger.shares_of([trade.trade_id]))[trade.trade_id]
            found = explain_late(trade, shares, loose.get(trade.instrument_name, ()))
            if found is not None:
                current.note(await self._remedies.replace_estimate(found))


def rest_s(unfinished_in_row: int, interval_s: float) -> float:
    """How long to rest before the next pass nobody asked for.

    A pass that left something over is followed soon, as doubts are settled within seconds. What
    is still there after several is not going to be, and the exchange is not asked for it for ever.
    """
    if not unfinished_in_row:
        return interval_s
    soon_s = SETTLE_MS / 1000
    doublings = max(0, unfinished_in_row - SOON_PASSES)
    return min(interval_s, soon_s * 2.0 ** min(doublings, 16))
