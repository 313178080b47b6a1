"""Prices that were recorded, or written down for a test, in place of a walk.

A recording has one line per price: JSON objects, or CSV under a header, with `timestamp`
(milliseconds), `price` and `index_name`. It is replayed by market seconds from its first line on,
and stays at its last price.
"""

import csv
import io
import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from vigil.errors import Misconfigured
from vigil.paper.market.charts import OhlcPrices, flat_history

_FIELDS = ("timestamp", "price", "index_name")

Points = Sequence[tuple[int, Decimal]]


class RecordedWalk:
    """The recorded prices of one index.

    Args:
        points: Time in milliseconds and price, oldest first; not empty.
    """

    def __init__(self, index_name: str, points: Points) -> None:
        self._name = f"{index_name}:{points[0][0]}:{points[-1][0]}:{len(points)}"
        self._times = [time_ms for time_ms, _ in points]
        self._prices = [price for _, price in points]
        self._now_ms = float(self._times[0])

    @property
    def price(self) -> Decimal:
        """The last price at or before the present moment of the recording."""
        return self._prices[bisect_right(self._times, self._now_ms) - 1]

    def advance(self, market_seconds: float) -> Decimal:
        """Play that many seconds on and return the price there."""
        self._now_ms += market_seconds * 1000
        return self.price

    def history(self, minutes: int) -> list[OhlcPrices]:
        """Before the recording the price stood still."""
        return flat_history(self._prices[0])(minutes)

    def snapshot(self) -> dict[str, Any]:
        """Where the recording is."""
        return {"name": self._name, "now_ms": self._now_ms}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on there. Raises: ValueError, when it is of another recording."""
        if snapshot.get("name") != self._name:
            raise ValueError(f"price snapshot of {snapshot.get('name')!r} is not of {self._name!r}")
        self._now_ms = float(snapshot["now_ms"])


def scripted_walk(index_name: str, prices: Iterable[tuple[float, Decimal]]) -> RecordedWalk:
    """Prices at given market seconds after the start; the first one is the start price."""
    return RecordedWalk(index_name, [(round(at_s * 1000), price) for at_s, price in prices])


class TickScript:
    """One price per move, whatever time it covers; the last one stays.

    Args:
        prices: The start price and those of the moves, in order; not empty.
    """

    def __init__(self, prices: Sequence[Decimal]) -> None:
        self._prices = list(prices)
        self._place = 0

    @property
    def price(self) -> Decimal:
        """The present price."""
        return self._prices[self._place]

    def advance(self, market_seconds: float) -> Decimal:  # noqa: ARG002 - a move is a move
        """Move on and return the new price."""
        self._place = min(self._place + 1, len(self._prices) - 1)
        return self.price

    def history(self, minutes: int) -> list[OhlcPrices]:
        """Before the start the price stood still."""
        return flat_history(self._prices[0])(minutes)

    def snapshot(self) -> dict[str, Any]:
        """How far the script is."""
        return {"place": self._place}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on there. Raises: ValueError, beyond its end."""
        place = int(snapshot["place"])
        if not 0 <= place < len(self._prices):
            raise ValueError(f"place {place} is not in a script of {len(self._prices)} prices")
        self._place = place


def load_recording(path: Path) -> dict[str, RecordedWalk]:
    """The walks of a recording, by index name.

    Raises: Misconfigured, naming the file, the line, the field and what to do.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(
            f"recording {path} cannot be read: {error}; name a readable file"
        ) from error
    points: dict[str, list[tuple[int, Decimal]]] = {}
    for line, row in _rows(path, text):
        time_ms, price, index_name = (_field(path, line, row, name) for name in _FIELDS)
        known = points.setdefault(str(index_name), [])
        if known and time_ms < known[-1][0]:
            raise _damaged(path, line, "timestamp", f"{time_ms} is before the line above it")
        known.append((int(time_ms), Decimal(price)))
    if not points:
        raise Misconfigured(f"recording {path} has no prices; each line needs {', '.join(_FIELDS)}")
    return {name: RecordedWalk(name, found) for name, found in points.items()}


def _rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if not text.lstrip().startswith("{"):
        for line, row in enumerate(csv.DictReader(io.StringIO(text)), 2):
            yield line, row
        return
    for line, raw in enumerate(text.splitlines(), 1):
        if not raw.strip():
            continue
        try:
            row = json.loads(raw, parse_float=Decimal)
        except (ValueError, RecursionError) as error:
            raise _damaged(path, line, "line", f"is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise _damaged(path, line, "line", "is not an object")
        yield line, row


def _field(path: Path, line: int, row: Mapping[str, Any], name: str) -> Any:
    value = row.get(name)
    if value is None or value == "":
        raise _damaged(path, line, name, "is missing")
    if name == "index_name":
        if not isinstance(value, str):
            raise _damaged(path, line, name, f"is {value!r}, not a name")
        return value
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise _damaged(path, line, name, f"is {value!r}, not a number") from error
    if not number.is_finite() or number <= 0:
        raise _damaged(path, line, name, f"is {value!r}, not positive")
    return number


def _damaged(path: Path, line: int, field: str, what: str) -> Misconfigured:
    return Misconfigured(
        f"recording {path}, line {line}: {field} {what}; each line needs timestamp (ms), price "
        "and index_name, oldest first"
    )
