"""A reconcile pass over a long ledger, and restoring its open trades; how long each held the loop.

The ledger is a real file, filled by the product's own statements; the exchange is a value that
agrees with it, so that a pass reads and compares everything and mends nothing. The baseline reads
the same rows with bare `fetchall` in the loop. "Held" is the longest stretch in which a task that
wants to run every millisecond could not, less that millisecond.

PERFORMANCE's goal is for restoring, the part of a pass that a start waits for; a pass itself is
shown beside its bare reads without one.
"""

import asyncio
import contextlib
import gc
import sqlite3
import statistics
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, compare
from benchmarks.ledger_rows import (
    AgreeingExchange,
    agreeing_exchange,
    bare_open_trades,
    bare_reads,
    fill_ledger,
)
from benchmarks.processors import QUIET, pinned_to
from benchmarks.settings import Settings
from vigil.clock import SystemClock
from vigil.daemon import GC_THRESHOLDS
from vigil.desk.books import Books
from vigil.desk.desk import Desk
from vigil.ledger.ledger import Ledger
from vigil.logs import configure_logging
from vigil.reconcile.reconciler import Reconciler

# (rows, open ones among them): a young ledger, a busy one, a year's history, and the worst case.
CASES = ((10, 10), (1_000, 1_000), (100_000, 1_000), (100_000, 100_000))
QUICK_CASES = ((10, 10), (1_000, 100))

RESTORE_HOLD = 2.0  # times the bare reads
RESTORE_OPEN_ROWS = 100_000
LOOP_HELD_MS_HOLD = 20.0
_BEAT_S = 0.001


def measure(settings: Settings) -> list[Figure]:
    """Every case, its passes interleaved with its bare reads."""
    figures: list[Figure] = []
    with (
        (settings.directory / "reconcile.log").open("w", encoding="utf-8") as log,
        pinned_to(QUIET),
        _collecting_garbage_as_in_production(),
    ):
        configure_logging(level="info", log_format="auto", stream=log)
        for rows, open_rows in QUICK_CASES if settings.is_quick else CASES:
            path = settings.directory / f"ledger-{rows}-{open_rows}.db"
            figures += asyncio.run(_measure_case(path, rows, open_rows, settings.rounds))
    return figures


@contextlib.contextmanager
def _collecting_garbage_as_in_production() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)


async def _measure_case(path: Path, rows: int, open_rows: int, rounds: int) -> list[Figure]:
    clock = SystemClock()
    await fill_ledger(path, rows=rows, open_rows=open_rows, clock=clock)
    ledger = await Ledger.open(path, environment="paper", account="bench", clock=clock)
    bare = sqlite3.connect(path)
    try:
        exchange = await agreeing_exchange(ledger, clock)
        reconciler = _reconciler(ledger, exchange, clock)
        await _make_pass(reconciler)  # the first one searches the history of every open trade
        passes, restores = _Series(), _Series()
        for _ in range(rounds):
            passes.bare_ms.append(_timed_ms(lambda: bare_reads(bare)))
            passes.add(await _gauge(_make_pass(reconciler)))
            restores.bare_ms.append(_timed_ms(lambda: bare_open_trades(bare)))
            restores.add(await _gauge(ledger.open_trades()))
    finally:
        bare.close()
        await ledger.close()
    case = f"{rows}_rows_{open_rows}_open"
    # A short restore is all fixed cost; the goal is for a long one.
    hold = RESTORE_HOLD if open_rows >= RESTORE_OPEN_ROWS else None
    return [
        *passes.figures(f"reconcile.{case}", hold=None),
        *restores.figures(f"reconcile.restore_{case}", hold=hold),
    ]


@dataclass(slots=True)
class _Series:
    """What something took, round by round, beside its bare reads."""

    bare_ms: list[float] = field(default_factory=list)
    took_ms: list[float] = field(default_factory=list)
    held_ms: list[float] = field(default_factory=list)

    def add(self, gauged: tuple[float, float]) -> None:
        took_ms, held_ms = gauged
        self.took_ms.append(took_ms)
        self.held_ms.append(held_ms)

    def figures(self, name: str, *, hold: float | None) -> list[Figure]:
        note = "the same rows by bare fetchall"
        return [
            compare(name, self.took_ms, self.bare_ms, unit="ms", hold=hold, note=note),
            Figure(
                name=f"{name}.loop_held",
                value=statistics.median(self.held_ms),
                unit="ms",
                hold=LOOP_HELD_MS_HOLD,
                note="longest stretch of each round",
            ),
        ]


def _reconciler(ledger: Ledger, exchange: AgreeingExchange, clock: SystemClock) -> Reconciler:
    books = Books(ledger, on_foreign_fill=lambda: None)
    return Reconciler(
        ledger=ledger,
        books=books,
        desk=Desk(ledger=ledger, books=books, client=exchange, clock=clock),
        exchange=exchange,
        witness=exchange,
        clock=clock,
        interval_s=60.0,
        on_pass=lambda _: None,
        instrument_names=tuple,
    )


async def _make_pass(reconciler: Reconciler) -> None:
    run = await reconciler.run_once("bench")
    if run.outcome != "ok" or run.drifts:
        raise RuntimeError(
            f"the pass was to find nothing, and did: {run.outcome} {run.reason} {run.drifts[:3]}"
        )


async def _gauge(work: Coroutine[Any, Any, object]) -> tuple[float, float]:
    """How long something took and held the loop, ms."""
    meter = asyncio.create_task(_longest_gap_s())
    await asyncio.sleep(0)
    started = time.perf_counter()
    await work
    took_ms = (time.perf_counter() - started) * 1000
    meter.cancel()
    return took_ms, await meter * 1000


async def _longest_gap_s() -> float:
    longest_s = 0.0
    before = time.perf_counter()
    try:
        while True:
            await asyncio.sleep(_BEAT_S)
            now = time.perf_counter()
            longest_s = max(longest_s, now - before - _BEAT_S)
            before = now
    except asyncio.CancelledError:
        # A stretch that lasts until the end of the pass counts as well.
        return max(longest_s, time.perf_counter() - before - _BEAT_S)


def _timed_ms(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000
