"""What faults do to what is said: answers emptied, cut, changed or hidden, and frames spoilt.

Pure. Nothing given is changed in place: others may be told the same object.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

# Words that a reader has to know, so that an unknown one in their place is a trial.
_ENUMS = (
    "order_state", "order_type", "time_in_force", "direction", "trigger", "cancel_reason", "role",
    "state", "kind", "type", "liquidity", "instrument_type", "settlement_period",
)  # fmt: skip
# Fields of pages: what says that there is more.
_CONTINUATIONS = ("continuation", "has_more")


def changed(
    value: Any, *, change: str, field: str | None, word: str, dice: random.Random
) -> tuple[Any, bool]:
    """Change one kind of field wherever it stands in a message.

    Args:
        field: Its name; None picks one of those that are there.
        word: The unknown word, or the new field's value.

    Returns: The message, and whether anything is different.
    """
    names = list(dict.fromkeys(_field_names(value)))
    if change == "new-field":
        return _walk(value, lambda members: members | {field or "field_of_tomorrow": word}), True
    if field is None:
        fit = [name for name in names if name in _ENUMS] if change == "unknown-enum" else names
        if not fit:
            return value, False
        field = dice.choice(fit)
    elif field not in names:
        return value, False
    chosen = field

    def change_members(members: dict[str, Any]) -> dict[str, Any]:
        if chosen not in members:
            return members
        if change == "missing-field":
            return {name: item for name, item in members.items() if name != chosen}
        return members | {chosen: word if change == "unknown-enum" else None}

    return _walk(value, change_members), True


def emptied(answer: Any) -> Any:
    """The answer as if there were nothing: no rows, and nothing more to come."""
    match answer:
        case list() | tuple():
            return [] if answer else answer
        case dict() if (rows := _rows_name(answer)) is not None and answer[rows]:
            empty = dict(answer)
            for name, item in answer.items():
                if isinstance(item, list | tuple):
                    empty[name] = []
            return empty | {name: _no_more(name) for name in _CONTINUATIONS if name in answer}
        case _:
            return answer


def cut(answer: Any, *, how: str, before: Any) -> Any:
    """A page that lies about its rows.

    Args:
        how: `truncated` lacks its last rows and claims to be the last; `repeated` is the page
            before once more; `no-continuation` says that there is more, and not where.
        before: The page that was answered before, if any.
    """
    if how == "repeated":
        return answer if before is None else before
    if isinstance(answer, list | tuple):
        is_cut = how == "truncated" and answer
        return list(answer[: len(answer) // 2]) if is_cut else answer
    rows = _rows_name(answer)
    if rows is None or not answer[rows]:
        return answer
    page = dict(answer)
    if how == "truncated":
        page[rows] = answer[rows][: len(answer[rows]) // 2]
        return page | {name: _no_more(name) for name in _CONTINUATIONS if name in answer}
    page.pop("continuation", None)
    if "has_more" in page:
        page["has_more"] = True
    return page


def without(answer: Any, is_hidden: Callable[[Mapping[str, Any]], bool]) -> Any:
    """The answer without the rows that are hidden; None when it is one of them itself."""
    match answer:
        case list() | tuple():
            seen = [row for row in answer if not (isinstance(row, dict) and is_hidden(row))]
            return answer if len(seen) == len(answer) else seen
        case dict() if (rows := _rows_name(answer)) is not None:
            seen = without(answer[rows], is_hidden)
            return answer if seen is answer[rows] else dict(answer) | {rows: seen}
        case dict():
            return None if is_hidden(answer) else answer
        case _:
            return answer


def garbled(frame: bytes, *, shape: str, size: int) -> bytes:
    """A frame that nobody can read, or should.

    Args:
        size: Bytes of an oversize one, levels of a deeply nested one.
    """
    match shape:
        case "truncated":
            return frame[: max(len(frame) * 2 // 3, 1)]
        case "not-json":
            return b"<html><body>502 Bad Gateway</body></html>"
        case "invalid-utf8":
            return frame[:-1] + b',"note":"\xff\xfe"}'
        case "deep-nesting":
            levels = min(size, 1_000_000)
            return frame[:-1] + b',"deep":' + b"[" * levels + b"]" * levels + b"}"
        case _:
            padding = b'"' + b"x" * max(size - len(frame) - 11, 0) + b'"'
            return frame[:-1] + b',"padding":' + padding + b"}"


def burst(message: Mapping[str, Any], messages: int) -> Iterator[dict[str, Any]]:
    """One notification, many times, a millisecond apart where it tells the time."""
    params = message["params"]
    data = params.get("data")
    for step in range(messages):
        moved: Any = data
        if isinstance(data, dict) and isinstance(data.get("timestamp"), int):
            moved = data | {"timestamp": data["timestamp"] + step}
        yield dict(message) | {"params": params | {"data": moved}}


def _rows_name(answer: Any) -> str | None:
    """The member of a page that holds its rows."""
    if not isinstance(answer, dict):
        return None
    names = [name for name, item in answer.items() if isinstance(item, list | tuple)]
    is_page = bool(names) and (len(names) == 1 or any(n in answer for n in _CONTINUATIONS))
    return names[0] if is_page else None


def _no_more(name: str) -> Any:
    return False if name == "has_more" else None


def _field_names(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for name, item in value.items():
                yield name
                yield from _field_names(item)
        case list() | tuple():
            for item in value:
                yield from _field_names(item)


def _walk(value: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    match value:
        case dict():
            return change({name: _walk(item, change) for name, item in value.items()})
        case list() | tuple():
            return [_walk(item, change) for item in value]
        case _:
            return value
