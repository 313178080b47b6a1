"""What a measurement says: medians, ratios to a baseline of the same run, and the goal.

Every measurement returns `Figure`s; the report and the JSON file are made of nothing else.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the report.

    Args:
        name: Stable, dotted; what a later run is compared by.
        value: Median over the rounds, in `unit`.
        baseline: What the baseline took in the same rounds, same unit; None without one.
        ratio: Median over the rounds of value / baseline; steadier than the ratio of medians.
        hold: The most that the ratio may be, or the value where there is no baseline; None where
            PERFORMANCE sets no goal.
        note: What was compared with what, or why the figure is not what it seems.
    """

    name: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    hold: float | None = None
    note: str = ""

    @property
    def is_held(self) -> bool | None:
        """Whether the goal was met; None without a goal."""
        if self.hold is None:
            return None
        return (self.value if self.ratio is None else self.ratio) <= self.hold


def compare(
    name: str,
    values: Sequence[float],
    baselines: Sequence[float],
    *,
    unit: str,
    hold: float | None = None,
    note: str = "",
) -> Figure:
    """A figure from the same rounds of a candidate and its baseline."""
    ratios = [value / baseline for value, baseline in zip(values, baselines, strict=True)]
    return Figure(
        name=name,
        value=statistics.median(values),
        unit=unit,
        baseline=statistics.median(baselines),
        ratio=statistics.median(ratios),
        hold=hold,
        note=note,
    )


def percentile(samples: Iterable[float], share: float) -> float:
    """The smallest sample that `share` of all samples do not exceed."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def as_json(figure: Figure) -> dict[str, Any]:
    """A figure as `--json` writes it."""
    return {
        "name": figure.name,
        "value": figure.value,
        "unit": figure.unit,
        "baseline": figure.baseline,
        "ratio": figure.ratio,
        "hold": figure.hold,
        "isHeld": figure.is_held,
        "note": figure.note,
    }


def as_table(figures: Sequence[Figure]) -> str:
    """The report that people read."""
    head = ("measurement", "median", "baseline", "ratio", "hold", "", "")
    rows = [head] + [
        (
            figure.name,
            f"{_short(figure.value)} {figure.unit}",
            "" if figure.baseline is None else f"{_short(figure.baseline)} {figure.unit}",
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            "" if figure.hold is None else f"{figure.hold:g}",
            {None: "", True: "held", False: "NOT HELD"}[figure.is_held],
            figure.note,
        )
        for figure in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head) - 1)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0])]
            + [row[column].rjust(widths[column]) for column in range(1, len(widths))]
            + [row[-1]]
        ).rstrip()
        for row in rows
    )


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"
