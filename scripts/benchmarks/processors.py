"""Which processor runs what. Unpinned, one echo takes 19 or 69 µs, as the scheduler likes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_ALL = sorted(os.sched_getaffinity(0))

# Interrupts gather on the first processor; the latency of both ends is measured on the last.
QUIET = _ALL[-1]
OTHER = _ALL[0]


@contextmanager
def pinned_to(processor: int) -> Iterator[None]:
    """Run the block, and every process started within it, on one processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {processor})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
