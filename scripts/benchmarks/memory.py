"""Resident memory of a running Vigil with 1, 10 and 50 strategies.

Read a few seconds after readiness. PERFORMANCE's goal is for an hour later; what a quarter of a
minute shows is where it begins.
"""

import statistics
import time
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.processes import paper_exchange, prepare_state, ready_vigil
from benchmarks.settings import Settings

STRATEGIES = (1, 10, 50)
SETTLE_S = 15.0
SETTLE_QUICK_S = 1.0
HOLD_MIB = 60  # of 10 strategies
_ROUNDS_MAX = 3  # memory hardly varies


def measure(settings: Settings) -> list[Figure]:
    """Resident set of the process, MiB."""
    settle_s = SETTLE_QUICK_S if settings.is_quick else SETTLE_S
    held_mib: dict[int, list[float]] = {count: [] for count in STRATEGIES}
    with paper_exchange(settings.directory) as environment:
        for round_ in range(min(settings.rounds, _ROUNDS_MAX)):
            for count in STRATEGIES:
                state_dir = settings.directory / f"state-{count}-{round_}"
                prepare_state(state_dir, count)
                with ready_vigil(state_dir, environment) as vigil:
                    time.sleep(settle_s)
                    held_mib[count].append(_resident_mib(vigil.process.pid))
    return [
        Figure(
            name=f"memory.{count}_strateg{'y' if count == 1 else 'ies'}",
            value=statistics.median(held_mib[count]),
            unit="MiB",
            hold=HOLD_MIB if count == 10 else None,
            note=f"{settle_s:g} s after readiness, not the goal's hour",
        )
        for count in STRATEGIES
    ]


def _resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} shows no resident memory: it has ended")
