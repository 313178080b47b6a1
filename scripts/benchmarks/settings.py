"""How much of everything is measured."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One run of the benchmark.

    Args:
        rounds: Interleaved repetitions of each measurement; fewer than 9 are no verdict.
        is_quick: A smoke test: small sizes, only to see that everything runs.
        directory: An empty directory on the disk where ledgers live.
    """

    rounds: int
    is_quick: bool
    directory: Path
