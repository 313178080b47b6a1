"""Order labels: `vg-{strategy}-{intent}-{attempt}`, our client order id.

Deribit keeps a label of at most 64 characters with every order and fill and lets it be searched,
but does not keep it unique: uniqueness is ours, from the ledger's counter.
"""

import re
from dataclasses import dataclass

PREFIX = "vg-"
LABEL_LENGTH_MAX = 64
STRATEGY_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$"

_LABEL = re.compile(r"^vg-(?P<strategy_id>.+)-(?P<intent_id>\d+)-(?P<attempt>\d+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The parts of a label of ours."""

    strategy_id: str
    intent_id: int
    attempt: int

    def __str__(self) -> str:
        return f"{PREFIX}{self.strategy_id}-{self.intent_id}-{self.attempt}"


def make_label(strategy_id: str, intent_id: int, attempt: int = 1) -> str:
    """The label of one attempt at one intent, at most 64 characters."""
    label = str(Label(strategy_id=strategy_id, intent_id=intent_id, attempt=attempt))
    assert len(label) <= LABEL_LENGTH_MAX, label
    return label


def parse_label(text: str) -> Label | None:
    """The parts of a label; None when it is not one of ours."""
    match = _LABEL.match(text)
    if match is None:
        return None
    return Label(
        strategy_id=match["strategy_id"],
        intent_id=int(match["intent_id"]),
        attempt=int(match["attempt"]),
    )
