"""A command's change to the operator's file, as text: the person's own writing is kept.

From a state as it was read and what is wanted to the new text; `state_file` writes it.
"""

from typing import Any

from vigil.domain.standing import DesiredStatus
from vigil.fleet.desired import DesiredState, DesiredStrategy
from vigil.fleet.strict_json import encode_json


def with_status(state: DesiredState, strategy_id: str, status: DesiredStatus) -> str:
    """The file's text with one strategy's status changed and every other character kept."""
    span = state.document.spans[state.path_of(strategy_id, "status")]
    text = state.source.text
    return f'{text[: span.start]}"{status.value}"{text[span.end :]}'


def with_strategy(state: DesiredState, strategy: DesiredStrategy) -> str:
    """The file's text with a strategy replaced, or added at the end; the rest is kept."""
    ids = [each.id for each in state.strategies]
    fields: dict[str, Any] = {"id": strategy.id, "name": strategy.name}
    if strategy.account is not None:
        fields["account"] = strategy.account
    fields |= {"status": strategy.status.value, "config": strategy.config}
    spans, text = state.document.spans, state.source.text
    if strategy.id in ids:
        span = spans["activeStrategies", ids.index(strategy.id)]
        written = encode_json(fields, indent=_indent_at(text, span.start))
        return text[: span.start] + written + text[span.end :]
    array = spans[("activeStrategies",)]
    if not ids:
        written = encode_json([fields], indent=_indent_at(text, array.start))
        return text[: array.start] + written + text[array.end :]
    last = spans["activeStrategies", len(ids) - 1]
    indent = _indent_at(text, last.start)
    written = f",\n{indent}{encode_json(fields, indent=indent)}"
    return text[: last.end] + written + text[last.end :]


def _indent_at(text: str, offset: int) -> str:
    line = text[text.rfind("\n", 0, offset) + 1 : offset]
    return line[: len(line) - len(line.lstrip(" \t"))]
