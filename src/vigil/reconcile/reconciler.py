"""Level, not edge: compare the ledger with the exchange and mend the difference.

At start, after every reconnect, every interval, on demand, and sooner when something was left in
doubt. Never two passes at a time. A pass that cannot read everything changes nothing.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable

import structlog
from msgspec.structs import replace

from vigil.clock import Clock
from vigil.desk.books import Books
from vigil.desk.desk import Desk
from vigil.errors import VigilError
from vigil.ledger.ledger import Ledger
from vigil.ledger.runs import ReconciliationRun
from vigil.reconcile.passes import Exchange, Findings, Passes, Witness
from vigil.reconcile.readings import SETTLE_MS

log = structlog.get_logger(__name__)

PASS_TIMEOUT_S = 30.0

PASS_SPACING_S = 0.5

# Passes in a row that follow soon on an unfinished one, before they become rarer.
SOON_PASSES = 8


def _ignore(_: str | None) -> None:
    return None


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
        self._exchange = exchange
        self._clock = clock
        self._interval_s = interval_s
        self._on_pass = on_pass
        self._passes = Passes(
            ledger=ledger,
            books=books,
            desk=desk,
            exchange=exchange,
            witness=witness,
            clock=clock,
            interval_s=interval_s,
            instrument_names=instrument_names,
            on_history=on_history,
            on_stream_suspect=on_stream_suspect,
        )
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
                self._wake.clear()  # what was asked for meanwhile is asked again by a session
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
            current = Findings(
                cause=cause,
                started_ms=self._exchange.exchange_now_ms(),
                epoch=self._exchange.epoch,
            )
            log.info("[Reconciliation] Running database-Deribit sync check", cause=cause)
            outcome, reason = "ok", None
            try:
                async with asyncio.timeout(PASS_TIMEOUT_S):
                    await self._passes.make(current)
            except TimeoutError:
                outcome, reason = "skipped", f"no complete reading in {PASS_TIMEOUT_S:g} s"
            except VigilError as error:
                outcome, reason = "skipped", str(error)
            except Exception as error:
                # A bug, and the supervisor's to see; whoever counts failed passes sees it as well.
                await self._finish(current, "failed", f"{type(error).__name__}: {error}")
                raise
            return await self._finish(current, outcome, reason)

    async def _finish(
        self, current: Findings, outcome: str, reason: str | None
    ) -> ReconciliationRun:
        if reason is not None:
            log.warning(f"[Reconciliation] {outcome.capitalize()}: {reason}")
        elif self._passes.history_problem is not None:
            log.warning(f"[Reconciliation] Concluding nothing: {self._passes.history_problem}")
        elif current.is_unsettled:
            log.info("[Reconciliation] Some of it is not settled yet, looking again soon")
        elif not current.drifts:
            log.info("[Reconciliation] All database trades match Deribit positions")
        run = ReconciliationRun(
            started_ms=current.started_ms,
            finished_ms=self._exchange.exchange_now_ms(),
            trigger=current.cause,
            outcome=outcome,
            reason=reason,
            open_trades=current.open_trades,
            drifts=tuple(current.drifts),
            remedies=tuple(current.remedies),
            is_unsettled=current.is_unsettled,
        )
        # Told before anything is waited for: what another session, opened meanwhile, has to wait
        # for is a pass of its own.
        self._on_pass(run)
        run_id = await self._ledger.record_reconciliation(run, self._passes.searched)
        self.last_run = run = replace(run, run_id=run_id)
        self._ended_s = self._clock.elapsed_s()
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
