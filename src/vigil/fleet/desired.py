"""From the bytes of the operator's file to the strategies that should be running, or a refusal.

The file is refused whole at the first thing a person cannot have meant, with line and column, the
field, the reason and the fix. What comes out is what the fleet compares with what runs. Reading the
file from disk, keeping the last good version and writing are the business of `state_file`; whether
a strategy or an instrument exists is asked further up, with `DesiredState.refusal` to point there.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Struct
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from vigil.domain.labels import STRATEGY_ID_PATTERN
from vigil.domain.standing import DesiredStatus
from vigil.errors import Misconfigured
from vigil.fleet.strict_json import (
    Document,
    JsonRefused,
    Path,
    Span,
    line_and_column,
    read_json,
)

FILE_SIZE_MAX = 1024 * 1024

_NAME_LENGTH_MAX = 64
_STRATEGIES_MAX = 1000
_STRATEGY_FIELDS = frozenset({"id", "name", "status", "account", "config"})


class StateFileRefused(Misconfigured):
    """The operator's file, or an edit of it, is not accepted; the last good version stays.

    Args:
        path: The file, as a person knows it.
        line: Counted from 1, as `column`; None when it is not about a place in the text.
        field: Such as `activeStrategies[0].config.tradeSize`; empty for the whole.
        reason: What is wrong.
        fix: What to do.
    """

    def __init__(
        self,
        *,
        path: str,
        reason: str,
        fix: str,
        field: str = "",
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        place = path if line is None else f"{path}:{line}:{column}"
        subject = f"{field}: " if field else ""
        super().__init__(f"{place}: {subject}{reason}; {fix}")
        self.path = path
        self.line = line
        self.column = column
        self.field = field
        self.reason = reason
        self.fix = fix


class Source(Struct, frozen=True, kw_only=True):
    """What was read, for pointing into it.

    Args:
        path: The file, as a person knows it.
        text: Its content.
    """

    path: str
    text: str

    def refuse(self, offset: int, where: Path, reason: str, fix: str) -> StateFileRefused:
        """An error about the place at `offset`, known as `where`."""
        line, column = line_and_column(self.text, offset)
        return StateFileRefused(
            path=self.path,
            line=line,
            column=column,
            field=_in_words(where),
            reason=reason,
            fix=fix,
        )


class DesiredStrategy(Struct, frozen=True, kw_only=True):
    """One strategy as the operator wants it.

    Args:
        id: Unique in the file; part of every order's label.
        name: Of the strategy's class, as the catalog knows it.
        account: None for the only one.
        config: As written, numbers as int or Decimal; the strategy's own model judges it.
    """

    id: str
    name: str
    status: DesiredStatus
    account: str | None
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredState:
    """All that the operator wants. Two are equal when they want the same, however written."""

    strategies: tuple[DesiredStrategy, ...]
    environment: Literal["paper", "testnet", "live"] | None
    is_disclaimer_accepted: bool
    source: Source = field(compare=False, repr=False)
    document: Document = field(compare=False, repr=False)

    def strategy(self, strategy_id: str) -> DesiredStrategy | None:
        """The strategy of that id, if there is one."""
        return next((each for each in self.strategies if each.id == strategy_id), None)

    def locate(self, strategy_id: str, name: str = "") -> tuple[int, int]:
        """Line and column of a strategy's field, counted from 1.

        Args:
            strategy_id: One of this state's.
            name: A field of the strategy (`status`), a key of its config (`tradeSize`), or a
                dotted way to either (`config.tradeSize`). What is not written there, such as a
                key that is missing, is at the nearest thing around it.
        """
        path = self.path_of(strategy_id, name)
        while path not in self.document.spans:
            path = path[:-1]
        return line_and_column(self.source.text, self.document.spans[path].key)

    def refusal(self, strategy_id: str, name: str, reason: str, fix: str) -> StateFileRefused:
        """An error about a strategy's field, as `locate` takes it, for checks that know more."""
        line, column = self.locate(strategy_id, name)
        return StateFileRefused(
            path=self.source.path,
            line=line,
            column=column,
            field=_in_words(self.path_of(strategy_id, name)),
            reason=reason,
            fix=fix,
        )

    def path_of(self, strategy_id: str, name: str) -> Path:
        """Where a strategy's field is in the document, written or not."""
        index = [each.id for each in self.strategies].index(strategy_id)
        keys = name.split(".") if name else []
        if keys and keys[0] not in _STRATEGY_FIELDS:
            keys = ["config", *keys]
        return ("activeStrategies", index, *keys)


def parse(data: bytes, *, path: str) -> DesiredState:
    """Read the operator's file.

    Args:
        data: Its content.
        path: Its name, for messages.

    Raises: StateFileRefused, and nothing else.
    """
    if len(data) > FILE_SIZE_MAX:
        raise StateFileRefused(
            path=path,
            reason=f"{len(data)} bytes, allowed are {FILE_SIZE_MAX}",
            fix="keep only strategies in it",
        )
    source = Source(path=path, text=_decoded(data, path))
    try:
        document = read_json(source.text)
    except JsonRefused as refused:
        raise source.refuse(refused.offset, refused.path, refused.reason, refused.fix) from None
    try:
        wanted = _File.model_validate(document.value)
    except ValidationError as error:
        raise _first_of(error, document, source) from None
    strategies = tuple(
        DesiredStrategy(
            id=each.id,
            name=each.name,
            status=DesiredStatus(each.status),
            account=each.account,
            config=each.config,
        )
        for each in wanted.activeStrategies
    )
    _check_ids_are_unique(strategies, document, source)
    return DesiredState(
        strategies=strategies,
        environment=wanted.environment,
        is_disclaimer_accepted=wanted.disclaimerAccepted,
        source=source,
        document=document,
    )


def _check_name(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a character that cannot be printed")
    return text


_Name = Annotated[
    str, Field(min_length=1, max_length=_NAME_LENGTH_MAX), AfterValidator(_check_name)
]


def _check_id(text: str) -> str:
    if re.fullmatch(STRATEGY_ID_PATTERN.strip("^$"), text) is None:
        raise ValueError(f"{text[:_NAME_LENGTH_MAX]!a} is no id")
    return text


class _Strategy(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    id: Annotated[str, AfterValidator(_check_id)]
    name: _Name
    account: _Name | None = None
    status: Literal["active", "paused", "stopped"]
    config: dict[str, Any]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    version: Annotated[int, Field(ge=1, le=1)] = 1  # not Literal[1]: `true` would pass for it
    environment: Literal["paper", "testnet", "live"] | None = None
    disclaimerAccepted: bool = False  # noqa: N815 - the file's own spelling
    activeStrategies: list[_Strategy] = Field(max_length=_STRATEGIES_MAX)  # noqa: N815


_FIXES = {
    "missing": "add it",
    "literal_error": "choose one of these",
    "int_type": "write 1",
    "greater_than_equal": "write 1",
    "less_than_equal": "write 1, or use the version of Vigil that wrote it",
    "string_type": "put it in double quotes",
    "bool_type": "write true or false, without quotes",
    "dict_type": "write {...}",
    "model_type": "write {...}",
    "list_type": "write [...]",
    "too_long": "remove some",
    "string_too_short": "write a name",
    "string_too_long": "shorten it",
    "value_error": "start with a letter or digit, then letters, digits, _ . or -, 32 at most",
}


def _first_of(error: ValidationError, document: Document, source: Source) -> StateFileRefused:
    """The error that stands first in the file."""
    found = error.errors(include_url=False)
    # A missing key is noticed at the end of what should hold it: a misspelt one comes before.
    spans = [_span_of(each["loc"], document) for each in found]
    order = [
        span.end if each["type"] == "missing" else span.key
        for each, span in zip(found, spans, strict=True)
    ]
    first = min(range(len(found)), key=order.__getitem__)
    kind, message = found[first]["type"], found[first]["msg"]
    where: Path = tuple(found[first]["loc"])
    reason, fix = message[:1].lower() + message[1:], _FIXES.get(kind, "see README")
    if kind == "extra_forbidden":
        model = _Strategy if len(where) == len(("activeStrategies", 0, "key")) else _File
        reason, fix = "unknown key", _suggestion(str(where[-1]), list(model.model_fields))
    elif kind == "missing":
        reason = "required and missing"
    elif kind == "value_error":
        reason = str(found[first]["ctx"]["error"])
        fix = "write it in plain characters" if where[-1] != "id" else fix
    return source.refuse(spans[first].key, where, reason, fix)


def _span_of(where: tuple[str | int, ...], document: Document) -> Span:
    """The span of what is at `where`, or of the nearest thing around it that is written."""
    path: Path = tuple(where)
    while path not in document.spans:
        path = path[:-1]
    return document.spans[path]


def _check_ids_are_unique(
    strategies: tuple[DesiredStrategy, ...], document: Document, source: Source
) -> None:
    seen: dict[str, int] = {}
    for index, strategy in enumerate(strategies):
        if strategy.id in seen:
            where: Path = ("activeStrategies", index, "id")
            raise source.refuse(
                document.spans[where].key,
                where,
                f"id {strategy.id!r} is that of activeStrategies[{seen[strategy.id]}] already",
                "give each strategy an id of its own",
            )
        seen[strategy.id] = index


def _decoded(data: bytes, path: str) -> str:
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise StateFileRefused(
            path=path,
            line=1,
            column=1,
            reason="starts with a byte order mark",
            fix="save it as UTF-8 without one",
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        line, column = line_and_column(before, len(before))
        raise StateFileRefused(
            path=path,
            line=line,
            column=column,
            reason=f"byte 0x{data[error.start]:02x} is not UTF-8",
            fix="save it as UTF-8",
        ) from None


def _in_words(where: Path) -> str:
    """`("activeStrategies", 0, "id")` as `activeStrategies[0].id`, printable and short."""
    parts = [f"[{each}]" if isinstance(each, int) else f".{each}" for each in where]
    text = "".join(parts).removeprefix(".")
    return text if text.isprintable() and len(text) <= 200 else ascii(text)[1:200]


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f'did you mean "{close[0]}"?' if close else f"known are {', '.join(known)}"
