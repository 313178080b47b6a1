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
from vigil.domain.instrument import contract_of
from vigil.domain.order import Fill, Order, OrderStatus, OwnOrder
from vigil.errors import Transient, VigilError
from vigil.ledger.ledger import Ledger
from vigil.ledger.runs import ReconciliationRun
from vigil.reconcile.doubt import Absences, Verdict
from vigil.reconcile.drift import SETTLE_MS, Drift, Unsettled, Vanished, compare
from vigil.reconcile.exits import explain_late
from vigil.reconcile.observe import (
    OVERLAP_MS,
    Quotes,
    Source,
    currencies_of,
    read_exchange,
    read_ledger,
    read_loose_fills,
    unheard_in,
)
from vigil.reconcile.remedies import Remedied, Remedies, describe, is_mended_by_us

log = structlog.get_logger(__name__)

# A remedy can uncover the next difference: a trade closed leaves its stop over. Each round starts
# from fresh readings; what is still there after these is left for the next pass.
ROUNDS_MAX = 4

# Between the socket's reading and the second witness's, so that both cannot be one hiccup.
SECOND_LOOK_DELAY_S = 2.0

PASS_TIMEOUT_S = 30.0

# The exchange's archive lags: for an hour the fills of a trade closed by an estimate are asked for
# again, and for two days any that came by another way are still taken.
ESTIMATE_SEARCHED_MS = 3_600_000
ESTIMATE_KEPT_MS = 172_800_000

PASS_SPACING_S = 0.5

# Passes in a row that follow soon on an unfinished one, before they become rarer.
SOON_PASSES = 8


class Exchange(Source, Quotes, Protocol):
    """The session, as far as the reconciler needs it."""

    @property
    def is_live(self) -> bool:
        """Whether a session is authenticated and subscribed."""
        ...

    @property
    def epoch(self) -> int:
        """Number of the current session."""
        ...

    def exchange_now_ms(self) -> int:
        """The exchange's time as measured now."""
        ...

    async def orders_by_label(self, currency: str, label: str) -> tuple[Order, ...]:
        """Every order under a label, whatever became of it."""
        ...

    async def fills_of_order(self, order_id: str) -> tuple[Fill, ...]:
        """Executions of one order."""
        ...


@dataclass(slots=True)
class _Pass:
    """What one pass has found and done so far."""

    cause: str
    started_ms: int
    open_trades: int = 0
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
        witness: A second way to ask the exchange, used before anything is concluded from absence.
        on_pass: Told of every finished pass.
        instrument_names: The instruments that strategies trade now.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        books: Books,
        desk: Desk,
        exchange: Exchange,
        witness: Source,
        clock: Clock,
        interval_s: float,
        on_pass: Callable[[ReconciliationRun], None],
        instrument_names: Callable[[], Iterable[str]],
    ) -> None:
        self._ledger = ledger
        self._books = books
        self._exchange = exchange
        self._witness = witness
        self._clock = clock
        self._interval_s = interval_s
        self._on_pass = on_pass
        self._instrument_names = instrument_names
        self._remedies = Remedies(ledger=ledger, books=books, desk=desk, exchange=exchange)
        self._absences = Absences({})
        self._searched: set[str] = set()
        self._complete_ms: int | None = None
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
            current = _Pass(cause=cause, started_ms=self._exchange.exchange_now_ms())
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
            run_id = await self._ledger.record_reconciliation(run)
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

    async def _pass(self, current: _Pass) -> None:
        epoch = self._exchange.epoch
        await self._catch_up()
        await self._replace_estimates(current)
        unresolved = await self._resolve_doubts()
        for attempt in range(ROUNDS_MAX):
            drifts = await self._look(current, is_first=attempt == 0)
            acted = await self._mend(drifts, current)
            if epoch != self._exchange.epoch:
                # Part of what was read is from before it: the right to trade waits for a pass
                # that lies within one session.
                raise Transient("another session began during the pass")
            if not acted:
                break
            await self._catch_up()
        current.is_unsettled |= bool(unresolved)

    async def _look(self, current: _Pass, *, is_first: bool) -> tuple[Drift, ...]:
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
            await self._books.book_orders(news)
            ledger = await read_ledger(self._ledger)
        return compare(ledger, exchange)

    async def _mend(self, drifts: tuple[Drift, ...], current: _Pass) -> bool:
        """Carry out the remedies; True when any of them changed something."""
        acted = False
        vanished: list[Vanished] = []
        await self._remedies.report(drifts)
        for drift in drifts:
            if isinstance(drift, Unsettled):
                current.is_unsettled = True
                continue
            line = describe(drift)
            if line not in current.drifts:
                current.drifts.append(line)
            if isinstance(drift, Vanished):
                vanished.append(drift)
            elif is_mended_by_us(drift):
                acted |= current.note(await self._remedies.apply(drift))
        if vanished:
            acted |= await self._close_vanished(vanished, current)
        return acted

    async def _close_vanished(self, vanished: list[Vanished], current: _Pass) -> bool:
        """Ask the second witness, and close at mark what is gone there as well."""
        await self._clock.sleep(SECOND_LOOK_DELAY_S)
        trades = [drift.trade for drift in vanished]
        started_ms = self._exchange.exchange_now_ms()
        for currency in sorted(currencies_of(trades, ())):
            since_ms = min(
                trade.entry_time_ms for trade in trades if trade.settlement_currency == currency
            )
            fills = await self._witness.fills_since(currency, since_ms - OVERLAP_MS, started_ms)
            await self._books.book_fills(fills)
        exchange = await read_exchange(
            self._witness, self._exchange, trades=trades, started_ms=started_ms
        )
        again = compare(await read_ledger(self._ledger), exchange)
        gone = {drift.trade.trade_id: drift.trade for drift in again if isinstance(drift, Vanished)}
        acted = False
        for trade in trades:
            if trade.trade_id not in gone:
                current.is_unsettled = True
                continue
            mark_price = exchange.mark_prices[trade.instrument_name]
            acted |= current.note(
                await self._remedies.close_at_estimate(gone[trade.trade_id], mark_price, started_ms)
            )
        return acted

    async def _catch_up(self) -> None:
        """Book every execution since the last complete search.

        The cursor is the time of that search and not of the newest fill: after a gap the stream
        may bring new fills before the old ones were asked for. A trade that a person inserted is
        searched for from its entry on.
        """
        now_ms = self._exchange.exchange_now_ms()
        if self._complete_ms is None:
            self._complete_ms = await self._ledger.last_good_run_ms()
        since_ms = (self._complete_ms or now_ms) - OVERLAP_MS
        trades = (await self._ledger.open_trades()).trades
        trades += await self._ledger.estimated_trades(now_ms - ESTIMATE_SEARCHED_MS)
        unsearched = [trade for trade in trades if trade.trade_id not in self._searched]
        for currency in sorted(currencies_of(trades, self._instrument_names())):
            entries_ms = [
                trade.entry_time_ms - OVERLAP_MS
                for trade in unsearched
                if trade.settlement_currency == currency
            ]
            start_ms = max(0, min([since_ms, *entries_ms]))
            await self._books.book_fills(
                await self._exchange.fills_since(currency, start_ms, now_ms)
            )
        self._searched = {trade.trade_id for trade in trades if trade.is_open}
        self._complete_ms = now_ms

    async def _replace_estimates(self, current: _Pass) -> None:
        """Book the true fills of trades that were closed by an estimate, should they turn up."""
        since_ms = self._exchange.exchange_now_ms() - ESTIMATE_KEPT_MS
        for trade in await self._ledger.estimated_trades(since_ms):
            loose = await read_loose_fills(self._ledger, [trade])
            shares = (await self._ledger.shares_of([trade.trade_id]))[trade.trade_id]
            found = explain_late(trade, shares, loose.get(trade.instrument_name, ()))
            if found is not None:
                current.note(await self._remedies.replace_estimate(found))

    async def _resolve_doubts(self) -> list[OwnOrder]:
        """Find out what became of orders that were sent, or perhaps sent, and not answered."""
        unresolved: list[OwnOrder] = []
        for order in await self._ledger.working_orders():
            if order.status.is_unproven and order.parent_label is None:
                resolved = await self._resolve(order)
                if not resolved:
                    unresolved.append(order)
        return unresolved

    async def _resolve(self, order: OwnOrder) -> bool:
        currency = contract_of(order.instrument_name).settlement_currency
        searched_ms = self._exchange.exchange_now_ms()
        try:
            found = await self._exchange.orders_by_label(currency, order.label)
        except VigilError:
            self._absences.forget(order.label)  # a search that failed has proven nothing
            raise
        if found:
            self._absences.forget(order.label)
            log.info(
                "order.found",
                label=order.label,
                order_id=found[0].order_id,
                status=found[0].status.value,
            )
            if len(found) > 1:
                await self._remedies.report_twins(order, found)
            await self._books.book_orders(found)
            for one in found:
                if one.filled_amount:
                    await self._books.book_fills(await self._exchange.fills_of_order(one.order_id))
            return True
        if self._absences.judge(order, searched_ms=searched_ms) is Verdict.WAIT:
            return False
        log.warning("order.absent", label=order.label, action="recorded as failed, not sent again")
        await self._books.record(
            order.label, OrderStatus.FAILED, reason="proven absent at the exchange"
        )
        return True


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
