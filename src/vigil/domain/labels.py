"""Order labels: `vg-{strategy}-{intent}-{attempt}`, our client order id.

Deribit keeps a label of at most 64 characters with every order and fill and lets it be searched,
but does not keep it unique: uniqueness is ours, from the ledger's counter.
"""

import re

from msgspec import Struct

PREFIX = "vg-"
LABEL_LENGTH_MAX = 64
_STRATEGY_ID = "[A-Za-z0-9][A-Za-z0-9_.-]{0,31}"
STRATEGY_ID_PATTERN = f"^{_STRATEGY_ID}$"

_LABEL = re.compile(
    rf"vg-(?P<strategy_id>{_STRATEGY_ID})-(?P<intent_id>[1-9][0-9]*)-(?P<attempt>[1-9][0-9]*)"
)


class Label(Struct, frozen=True, kw_only=True):
    """The parts of a label of ours."""

    strategy_id: str
    intent_id: int
    attempt: int


def make_label(strategy_id: str, intent_id: int, attempt: int = 1) -> str:
    """The label of one attempt at one intent, at most 64 characters."""
    label = f"{PREFIX}{strategy_id}-{intent_id}-{attempt}"
    assert len(label) <= LABEL_LENGTH_MAX, label
    return label


def parse_label(text: str) -> Label | None:
    """The parts of a label; None when it is not one of ours."""
    match = _LABEL.fullmatch(text)
    if match is None:
        return None
    return Label(
        strategy_id=match["strategy_id"],
        intent_id=int(match["intent_id"]),
        attempt=int(match["attempt"]),
    )
