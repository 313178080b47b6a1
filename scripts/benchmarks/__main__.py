"""Runs every measurement and prints medians, ratios to a baseline of the same run, and goals.

How and why so: pinned processors, interleaved rounds, hot and paced apart; absolute figures drift
from machine to machine, so only ratios are judged. Nothing here ever fails for being slow.

`--json FILE` writes `{"machine": {…}, "rounds": n, "isQuick": bool, "figures": [{"name", "value",
"unit", "baseline", "ratio", "hold", "isHeld", "note"}]}`.
"""

import argparse
import json
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import (
    ingest,
    memory,
    order_path,
    paper_push,
    reconcile_pass,
    round_trip,
    startup,
)
from benchmarks.figures import as_json, as_table
from benchmarks.settings import Settings

MEASUREMENTS = {
    "ingest": ingest.measure,
    "paper_push": paper_push.measure,
    "order_path": order_path.measure,
    "round_trip": round_trip.measure,
    "startup": startup.measure,
    "reconcile": reconcile_pass.measure,
    "memory": memory.measure,
}
ROUNDS = 9


def main() -> int:
    """Measure what was asked for; 0 unless something broke."""
    options = _parser().parse_args()
    rounds = options.rounds or (1 if options.quick else ROUNDS)
    # On the disk where ledgers live: in a RAM disk a durable commit would cost nothing.
    state_dir = Path(os.environ.get("VIGIL_STATE_DIR") or Path(__file__).parents[2] / "state")
    state_dir.mkdir(parents=True, exist_ok=True)
    figures = []
    for name in options.only or MEASUREMENTS:
        started = time.monotonic()
        directory = Path(tempfile.mkdtemp(prefix="bench-", dir=state_dir))
        try:
            settings = Settings(rounds=rounds, is_quick=options.quick, directory=directory)
            figures += MEASUREMENTS[name](settings)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        print(f"measured {name} in {time.monotonic() - started:.0f} s", file=sys.stderr)
    print(f"\n{_machine_line()}; medians of {rounds} rounds, ratios to baselines of the same run\n")
    print(as_table(figures))
    if options.quick or rounds < ROUNDS:
        print(f"\nToo few rounds for a verdict: {ROUNDS} or more, without --quick, are one.")
    if options.json is not None:
        report = {
            "machine": _machine(),
            "rounds": rounds,
            "isQuick": options.quick,
            "figures": [as_json(figure) for figure in figures],
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, metavar="N", help=f"repetitions ({ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="see that it runs; no verdict")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument(
        "--only", action="append", choices=tuple(MEASUREMENTS), help="this one; may be repeated"
    )
    return parser


def _machine() -> dict[str, str | int]:
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": f"{platform.system()} {platform.release()}",
        "processors": len(os.sched_getaffinity(0)),
    }


def _machine_line() -> str:
    machine = _machine()
    return (
        f"Python {machine['python']}, SQLite {machine['sqlite']}, {machine['system']}, "
        f"{machine['processors']} processors"
    )


if __name__ == "__main__":
    sys.exit(main())
