"""Bending bytes and JSON, by dice: every way that a message was ever seen to be wrong, and others.

Values are JSON as `json` reads it, and besides `Text`, which is written as it is, and `Members`, an
object that may have two members of one name. So a bent value can be what no parser would yield.
"""

import json
import random
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

WORDS_OF_TOMORROW = ("hibernating", "a word of tomorrow", "", "\x00", "ü" * 70, "a" * 5_000, "🦀")
NUMBERS = (
    "0", "-0", "-1", "1", "0.5", "1.0e1", "1E-8", "-0.0", "9" * 19, "9" * 60, "1e400", "-1e400",
    "1e-400", "1e999999999999999999", "1e-999999999999999999", "0." + "0" * 300 + "1", "2.5e-19",
    "9223372036854775807", "9223372036854775808", "-9223372036854775809", "1e18", "1e19",
    "123456789012345678901234567890.123456789", "100000000000001",
)  # fmt: skip
NOT_QUITE_JSON = (
    "NaN", "Infinity", "-Infinity", "nul", "01", "1.", ".5", "+1", "'a'", '"\\ud800"', '"\\udc00x"',
    '"\\ud83d\\ude00"', '"\\u0000"', '"\t"', '"\\x"', "[1,]", '{"a":}', "{,}", "undefined", "0x10",
)  # fmt: skip
_DEEP = (50, 900, 1_100, 20_000)
_WRITE_DEPTH_MAX = 400


class Text(str):
    """Stands in the place of a value as it is."""

    __slots__ = ()


class Members(list[tuple[str, Any]]):
    """An object as a list of members, one name perhaps more than once."""


def written(value: Any) -> bytes:
    """As it goes over the wire; lone surrogates are left as they are, in bytes that are no UTF-8."""
    return _text_of(value).encode("utf-8", "surrogatepass")


def bent(dice: random.Random, value: Any, others: Sequence[Any] = (), *, times: int = 0) -> Any:
    """A value with one to four things wrong in it."""
    for _ in range(times or dice.choice((1, 1, 1, 2, 2, 4))):
        value = _bent_once(dice, value, others)
    return value


def torn(dice: random.Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Bytes with one to six things wrong in them."""
    work = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 3, 6))):
        at = dice.randrange(len(work) + 1)
        size = dice.choice((1, 1, 2, 4, 16, 200))
        match dice.randrange(8):
            case 0 if work:
                work[at % len(work)] ^= 1 << dice.randrange(8)
            case 1 if work:
                work[at % len(work)] = dice.choice(b'\x00\x7f\x80\xff"\\{}[]:,0-.eE')
            case 2:
                del work[at : at + size]
            case 3:
                work[at:at] = dice.randbytes(size)
            case 4:
                work[at:at] = work[at : at + size] * dice.choice((1, 2, 50))
            case 5:
                del work[at:]
            case 6 if others:
                other = dice.choice(others)
                cut = dice.randrange(len(other) + 1)
                work[at:] = other[cut:]
            case _:
                work[at:at] = dice.choice((*NUMBERS, *NOT_QUITE_JSON)).encode()
    return bytes(work)


def split(dice: random.Random, data: bytes) -> list[bytes]:
    """The same bytes in pieces: byte by byte, in a few, or at once."""
    match dice.randrange(4):
        case 0:
            return [data]
        case 1 if len(data) <= 400:
            return [data[at : at + 1] for at in range(len(data))] or [data]
        case _:
            cuts = sorted(dice.randrange(len(data) + 1) for _ in range(dice.randrange(1, 12)))
            return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def novelty(dice: random.Random) -> Any:
    """A value that nobody asked for."""
    match dice.randrange(8):
        case 0:
            return None
        case 1:
            return dice.choice((True, False))
        case 2 | 3:
            return Text(dice.choice(NUMBERS))
        case 4:
            return dice.choice(WORDS_OF_TOMORROW)
        case 5:
            return dice.choice(([], {}, [None], [[]], {"": None}, [{}] * 3, "market_price", "1.5"))
        case 6:
            depth, (left, right) = dice.choice(_DEEP), dice.choice((("[", "]"), ('{"a":', "}")))
            return Text(left * depth + "1" + right * depth)
        case _:
            return Text(dice.choice(NOT_QUITE_JSON))


def _bent_once(dice: random.Random, value: Any, others: Sequence[Any]) -> Any:
    is_leaf = not isinstance(value, dict | list) or not value
    # Deeper in most of the time, so that what lies deep is bent as often as what lies on top.
    if not is_leaf and dice.random() < 0.8:
        if isinstance(value, Members):
            at = dice.randrange(len(value))
            name, item = value[at]
            return Members([*value[:at], (name, _bent_once(dice, item, others)), *value[at + 1 :]])
        if isinstance(value, dict):
            name = dice.choice(list(value))
            return {**value, name: _bent_once(dice, value[name], others)}
        at = dice.randrange(len(value))
        return [*value[:at], _bent_once(dice, value[at], others), *value[at + 1 :]]
    if isinstance(value, Members):
        return novelty(dice)
    if isinstance(value, dict):
        return _bent_object(dice, value, others)
    if isinstance(value, list):
        return _bent_list(dice, value, others)
    return _bent_leaf(dice, value, others)


def _bent_object(dice: random.Random, value: dict[str, Any], others: Sequence[Any]) -> Any:
    names = list(value)
    match dice.randrange(7):
        case 0 if names:
            gone = dice.choice(names)
            return {name: item for name, item in value.items() if name != gone}
        case 1 if names:
            old = dice.choice(names)
            new = dice.choice((old.upper(), old + "s", "", "__class__", *names))
            return {new if name == old else name: item for name, item in value.items()}
        case 2:
            return {**value, "a field of tomorrow": novelty(dice)}
        case 3 if names:
            twice = dice.choice(names)
            return Members([*value.items(), (twice, novelty(dice))])
        case 4:
            dice.shuffle(names)
            return {name: value[name] for name in names}
        case 5 if others:
            return dice.choice(others)
        case _:
            return novelty(dice)


def _bent_list(dice: random.Random, value: list[Any], others: Sequence[Any]) -> Any:
    match dice.randrange(6):
        case 0 if value:
            at = dice.randrange(len(value))
            return [*value[:at], *value[at + 1 :]]
        case 1 if value:
            return value + [dice.choice(value)] * dice.choice((1, 2, 300))
        case 2:
            return dice.sample(value, len(value))
        case 3:
            return [*value, novelty(dice)]
        case 4 if others:
            return [*value, dice.choice(others)]
        case _:
            return novelty(dice)


def _bent_leaf(dice: random.Random, value: Any, others: Sequence[Any]) -> Any:
    match value:
        case str() if not isinstance(value, Text) and dice.random() < 0.5:
            return dice.choice(
                (value.upper(), value + " ", value[:-1], value * 3, value[::-1], value + "\ud800")
            )
        case bool() if dice.random() < 0.5:
            return not value
        case int() | float() | Decimal() if dice.random() < 0.5:
            return dice.choice((-value, value * 10, f"{value}", value + 1, Text(f"{value}e3")))
        case _ if others and dice.random() < 0.1:
            return dice.choice(others)
        case _:
            return novelty(dice)


def _text_of(value: Any, depth: int = 0) -> str:
    if depth > _WRITE_DEPTH_MAX:
        return "null"
    match value:
        case Text():
            return str(value)
        case str():
            return json.dumps(value, ensure_ascii=depth % 2 == 0)
        case Decimal():
            return str(value)
        case dict():
            value = Members(value.items())
    if isinstance(value, Members):
        members = (f"{json.dumps(k)}:{_text_of(item, depth + 1)}" for k, item in value)
        return "{" + ",".join(members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_text_of(item, depth + 1) for item in value) + "]"
    return json.dumps(value)
