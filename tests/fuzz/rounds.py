"""How long a target is fuzzed, by which dice, and what one input may cost.

`VIGIL_FUZZ_S` seconds for each target, five unless told otherwise; `VIGIL_FUZZ_SEED` names the
dice, so that a failure can be had again. Every input has dice of its own, named by its number:
`VIGIL_FUZZ_FIRST` begins with that one.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

SECONDS = float(os.environ.get("VIGIL_FUZZ_S", "5"))
SEED = os.environ.get("VIGIL_FUZZ_SEED", "1")
FIRST = int(os.environ.get("VIGIL_FUZZ_FIRST", "0"))

# What reading one input may cost: generous, since a collection of garbage may fall into it.
_CPU_S, _CPU_S_PER_BYTE = 1.0, 20e-6
# What may come of one input: a Decimal holds a digit in half a byte, a struct a row in some hundred.
_WEIGHT, _WEIGHT_PER_BYTE = 20_000, 60

inputs: Counter[str] = Counter()
at = {"number": 0}  # the input that is being tried


def rounds(target: str) -> Iterator[random.Random]:
    """Dice for one input after the other, until the time is up."""
    end_s = time.monotonic() + SECONDS
    number = FIRST
    while time.monotonic() < end_s or number == FIRST:
        inputs[target] += 1
        at["number"] = number
        yield random.Random(f"{SEED}:{target}:{number}")
        number += 1


@contextmanager
def within_bounds(size: int) -> Iterator[None]:
    """The time of this process that an input of so many bytes may take."""
    began_s = time.thread_time()
    yield
    spent_s = time.thread_time() - began_s
    assert spent_s <= _CPU_S + size * _CPU_S_PER_BYTE, f"{size} bytes took {spent_s:.2f} s"


def assert_proportionate(value: Any, size: int) -> None:
    """What was read of so many bytes is no more than could be in them."""
    weight = weigh(value)
    assert weight <= _WEIGHT + size * _WEIGHT_PER_BYTE, f"{weight} of {size} bytes"


def weigh(value: Any) -> int:
    """About how many bytes a value is, written out in full."""
    match value:
        case str() | bytes() | msgspec.Raw():
            return 50 + len(memoryview(value) if isinstance(value, msgspec.Raw) else value)
        case msgspec.Struct():
            return 50 + sum(weigh(getattr(value, name)) for name in value.__struct_fields__)
        case dict():
            return 50 + sum(weigh(k) + weigh(v) for k, v in value.items())
        case list() | tuple() | set() | frozenset():
            return 50 + sum(weigh(item) for item in value)
        case None | bool() | float():
            return 10
        case _:
            return 50 + len(format(value, "f") if hasattr(value, "adjusted") else str(value))
