"""JSON as a person wrote it: read strictly, with the place of every key and value.

The standard parsers let pass what a person did not mean: duplicate keys (the last wins), NaN,
numbers rounded to binary, half a surrogate pair. Here each of these is refused with its place, and
the places of what is accepted are kept, so that later checks can point at line and column, and so
that one value can be replaced in the text without touching the rest. Knows nothing of what the text
is about.

Source: RFC 8259 for the grammar.
"""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct

Path = tuple[str | int, ...]

_DEPTH_MAX = 32
_NUMBER_LENGTH_MAX = 40
_EXPONENT_MAX = 30
_EXPONENT_LENGTH_MAX = 5  # "e-30", and a leading zero

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_STRING_START = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*')
_WORD = re.compile(r"[A-Za-z0-9_+.-]+")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


class JsonRefused(Exception):
    """The text is not acceptable.

    Args:
        offset: Where, in characters from its start.
        path: Keys and indices that lead there, as far as known.
    """

    def __init__(self, reason: str, fix: str, *, offset: int, path: Path) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fix = fix
        self.offset = offset
        self.path = path


class Span(Struct, frozen=True, kw_only=True):
    """Where a value stands: its text is `text[start:end]`, and `key` is where its key starts.

    For an element of an array, and for the whole, `key` is `start`.
    """

    key: int
    start: int
    end: int


class Document(Struct, frozen=True, kw_only=True):
    """A text that was read: its value, and the span of each value in it by path."""

    value: Any
    spans: Mapping[Path, Span]


def read_json(text: str) -> Document:
    """Read one JSON value, integers as int and other numbers as Decimal, exactly.

    Raises: JsonRefused, and nothing else.
    """
    reader = _Reader(text)
    value, end = reader.read_value(reader.skip(0), (), key=None)
    end = reader.skip(end)
    if end != len(text):
        raise JsonRefused(
            f"{_seen(text, end)} after the end", "remove what follows", offset=end, path=()
        )
    return Document(value=value, spans=reader.spans)


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Line and column of a character, both counted from 1."""
    line_start = text.rfind("\n", 0, offset) + 1
    return text.count("\n", 0, offset) + 1, offset - line_start + 1


def encode_json(value: Any, *, indent: str = "") -> str:
    """Write a value as a person would: two spaces deeper per level, Decimals exactly.

    Args:
        value: Of mappings, sequences, text, numbers, truth values and None.
        indent: What stands before the line on which the value begins.
    """
    deeper = indent + "  "
    if isinstance(value, Mapping):
        rows = [
            f"{json.dumps(str(key), ensure_ascii=False)}: {encode_json(inner, indent=deeper)}"
            for key, inner in value.items()
        ]
        return _bracketed("{", rows, "}", indent)
    if isinstance(value, list | tuple):
        return _bracketed("[", [encode_json(inner, indent=deeper) for inner in value], "]", indent)
    if isinstance(value, Decimal):
        assert value.is_finite(), value
        return str(value)
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self.spans: dict[Path, Span] = {}

    def skip(self, at: int) -> int:
        match = _SPACE.match(self._text, at)
        assert match is not None  # it matches the empty text
        return match.end()

    def read_value(self, at: int, path: Path, *, key: int | None) -> tuple[Any, int]:
        """The value that begins at `at`, and where it ends."""
        if len(path) > _DEPTH_MAX:
            reason = f"nested more than {_DEPTH_MAX} levels deep"
            raise JsonRefused(reason, "flatten it", offset=at, path=path)
        first = self._text[at : at + 1]
        value: Any
        if first == "{":
            value, end = self._read_object(at, path)
        elif first == "[":
            value, end = self._read_array(at, path)
        elif first == '"':
            value, end = self._read_string(at, path)
        elif first == "-" or ("0" <= first <= "9"):
            value, end = self._read_number(at, path)
        else:
            value, end = self._read_word(at, path)
        self.spans[path] = Span(key=at if key is None else key, start=at, end=end)
        return value, end

    def _read_object(self, at: int, path: Path) -> tuple[dict[str, Any], int]:
        value: dict[str, Any] = {}
        at = self.skip(at + 1)
        if self._text[at : at + 1] == "}":
            return value, at + 1
        while True:
            key_at = at
            if self._text[at : at + 1] != '"':
                fix = "write a key in double quotes, and no comma after the last one"
                raise self._unexpected(at, "where a key should be", fix, path)
            name, at = self._read_string(at, path)
            inner = (*path, name)
            if name in value:
                raise JsonRefused(
                    f"duplicate key {json.dumps(name)}",
                    "keep one of them",
                    offset=key_at,
                    path=inner,
                )
            at = self.skip(at)
            if self._text[at : at + 1] != ":":
                raise self._unexpected(at, "where a colon should be", "write key: value", inner)
            value[name], at = self.read_value(self.skip(at + 1), inner, key=key_at)
            at = self.skip(at)
            separator = self._text[at : at + 1]
            if separator == "}":
                return value, at + 1
            if separator != ",":
                raise self._unexpected(at, "where a comma or } should be", "add it", path)
            at = self.skip(at + 1)

    def _read_array(self, at: int, path: Path) -> tuple[list[Any], int]:
        value: list[Any] = []
        at = self.skip(at + 1)
        if self._text[at : at + 1] == "]":
            return value, at + 1
        while True:
            element, at = self.read_value(at, (*path, len(value)), key=None)
            value.append(element)
            at = self.skip(at)
            separator = self._text[at : at + 1]
            if separator == "]":
                return value, at + 1
            if separator != ",":
                raise self._unexpected(at, "where a comma or ] should be", "add it", path)
            at = self.skip(at + 1)

    def _read_string(self, at: int, path: Path) -> tuple[str, int]:
        match = _STRING.match(self._text, at)
        if match is None:
            start = _STRING_START.match(self._text, at)
            assert start is not None  # the caller saw the opening quote
            end = start.end()
            if self._text[end : end + 1] == "\\":
                raise JsonRefused("no such escape in text", "write \\\\", offset=end, path=path)
            raise self._unexpected(end, "inside text", "close the double quotes", path)
        value: str = json.loads(match[0])
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            reason = "half a surrogate pair in text"
            raise JsonRefused(reason, "write the character itself", offset=at, path=path)
        return value, match.end()

    def _read_number(self, at: int, path: Path) -> tuple[int | Decimal, int]:
        match = _NUMBER.match(self._text, at)
        word = _WORD.match(self._text, at)
        if match is None or word is None or match[0] != word[0]:
            text = json.dumps(word[0][:_NUMBER_LENGTH_MAX]) if word is not None else "this"
            reason = f"{text} is no number"
            raise JsonRefused(reason, "write it as in 0.5", offset=at, path=path)
        reason = f"a number of {len(match[0])} characters"
        if len(match[0]) > _NUMBER_LENGTH_MAX:
            raise JsonRefused(reason, "write a shorter one", offset=at, path=path)
        if match[1] is None and match[2] is None:
            return int(match[0]), match.end()
        # Decimal itself fails on an exponent of many digits.
        is_sensible = len(match[2] or "") <= _EXPONENT_LENGTH_MAX
        number = Decimal(match[0]) if is_sensible else Decimal(0)
        if not is_sensible or abs(number.adjusted()) > _EXPONENT_MAX:
            reason = f"a number beyond 1e{_EXPONENT_MAX} or 1e-{_EXPONENT_MAX}"
            raise JsonRefused(reason, "write one of sensible size", offset=at, path=path)
        return number, match.end()

    def _read_word(self, at: int, path: Path) -> tuple[bool | None, int]:
        match = _WORD.match(self._text, at)
        if match is not None and match[0] in _WORDS:
            return _WORDS[match[0]], match.end()
        if match is None:
            fix = "write a value, and no comma after the last one"
            raise self._unexpected(at, "where a value should be", fix, path)
        reason = f"{json.dumps(match[0][:_NUMBER_LENGTH_MAX])} is no JSON value"
        raise JsonRefused(reason, "put text in double quotes", offset=at, path=path)

    def _unexpected(self, at: int, where: str, fix: str, path: Path) -> JsonRefused:
        return JsonRefused(f"{_seen(self._text, at)} {where}", fix, offset=at, path=path)


def _seen(text: str, at: int) -> str:
    if at >= len(text):
        return "the text ends"
    char = text[at]
    return char if char.isprintable() and char != " " else f"character U+{ord(char):04X}"


def _bracketed(opening: str, rows: list[str], closing: str, indent: str) -> str:
    if not rows:
        return opening + closing
    inner = ",\n".join(f"{indent}  {row}" for row in rows)
    return f"{opening}\n{inner}\n{indent}{closing}"
