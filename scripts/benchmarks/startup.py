"""Process start → ready, with 1 and with 50 strategies, against `python -c pass`.

Ready is what systemd is told: ledger open, session live, reconciled, strategies running. The state
directory has been used before, so that this is a restart, the start that matters. Vigil runs on
one processor and the exchange on the other.
"""

import subprocess
import sys
import time

from benchmarks.figures import Figure, compare
from benchmarks.processes import paper_exchange, prepare_state, ready_vigil
from benchmarks.processors import QUIET, pinned_to
from benchmarks.settings import Settings

STRATEGIES = (1, 50)


def measure(settings: Settings) -> list[Figure]:
    """How long a restart takes."""
    took_ms: dict[int, list[float]] = {count: [] for count in STRATEGIES}
    bare_ms: list[float] = []
    state_dirs = {count: settings.directory / f"state-{count}" for count in STRATEGIES}
    # Another exchange in each round: no account has the credits for a start every second.
    with paper_exchange(settings.directory) as environment:
        for count, state_dir in state_dirs.items():
            prepare_state(state_dir, count)
            with ready_vigil(state_dir, environment):
                pass
    for _ in range(settings.rounds):
        bare_ms.append(_bare_start_ms())
        with paper_exchange(settings.directory) as environment:
            for count, state_dir in state_dirs.items():
                with ready_vigil(state_dir, environment) as vigil:
                    took_ms[count].append(vigil.took_ms)
    one, many = STRATEGIES
    return [
        compare(
            f"startup.{one}_strategy",
            took_ms[one],
            bare_ms,
            unit="ms",
            hold=15,
            note="python -c pass",
        ),
        compare(
            f"startup.{many}_strategies",
            took_ms[many],
            bare_ms,
            unit="ms",
            hold=15,
            note="python -c pass",
        ),
    ]


def _bare_start_ms() -> float:
    with pinned_to(QUIET):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        return (time.perf_counter() - started) * 1000
