"""From JSON text to exact values, or to a word on what was not understood.

Numbers keep every digit, and times are whole milliseconds. Whatever bytes arrive, reading them
gives a value or `Unreadable`, in time and memory in proportion to their length.
"""

import re
from decimal import Decimal
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from vigil.deribit.jsonrpc import DECODE_ERRORS
from vigil.domain.money import ZERO
from vigil.errors import OutcomeUnknown

# Deribit's numbers lie far inside these powers of ten; beyond them, plain notation of one number
# could fill the memory.
_EXPONENT_MAX = 32
_TIMESTAMP_MS_MAX = 2**53
_COUNT_MAX = 2**63 - 1

# Deribit's numbers have at most 19 digits. A longer document than any single object is searched
# for longer ones: exact as they are, each would be carried along through every sum.
_DIGITS_FREE_BYTES = 4_096
_DIGITS_BEYOND_MEASURE = re.compile(rb"[0-9.]{100}")
_TEXT_LENGTH_MAX = 200
_BEYOND_MEASURE = "a number that is not finite, or beyond all measure"

_S = TypeVar("_S")
_Row = TypeVar("_Row")

Continuation = int | str | None


class Page(Struct, Generic[_Row], frozen=True):
    """Some rows of an answer; `continuation` is None on the last page."""

    rows: tuple[_Row, ...]
    continuation: Continuation = None


class Unreadable(OutcomeUnknown):
    """The exchange said something that we do not understand: ask again before acting."""


def decoder(shape: type[_S]) -> "msgspec.json.Decoder[_S]":
    """What `decode` needs for a shape; made once.

    Lax, because one field comes as 10, 10.0 or 1.0e1; what is no number at all is still refused.
    """
    return msgspec.json.Decoder(shape, strict=False)


def decode(reader: "msgspec.json.Decoder[_S]", raw: msgspec.Raw) -> _S:
    """One document as its shape."""
    if len(memoryview(raw)) > _DIGITS_FREE_BYTES and _DIGITS_BEYOND_MEASURE.search(raw):
        raise Unreadable("a number of a hundred digits")
    try:
        return reader.decode(raw)
    except DECODE_ERRORS as error:
        raise Unreadable(str(error)[:_TEXT_LENGTH_MAX]) from error


def number(value: Decimal) -> Decimal:
    """A number of a size that occurs."""
    if not (-_EXPONENT_MAX <= value.adjusted() <= _EXPONENT_MAX and value.is_finite()):
        raise Unreadable(_BEYOND_MEASURE)
    return value


def optional(value: Decimal | None) -> Decimal | None:
    """A number that may be missing."""
    return None if value is None else number(value)


def or_zero(value: Decimal | None) -> Decimal:
    """A number whose absence means zero."""
    return ZERO if value is None else number(value)


def unless_empty(value: Decimal | None) -> Decimal | None:
    """A price or amount for which the exchange says zero or null when there is none."""
    if not value:
        return None
    # As `number`, without a call of its own: every ticker has seven of these.
    if not (-_EXPONENT_MAX <= value.adjusted() <= _EXPONENT_MAX and value.is_finite()):
        raise Unreadable(_BEYOND_MEASURE)
    return value


def time_ms(timestamp_ms: int) -> int:
    """A moment, milliseconds since the epoch."""
    if not 0 <= timestamp_ms <= _TIMESTAMP_MS_MAX:
        raise Unreadable("a time outside all calendars")
    return timestamp_ms


def count(value: int) -> int:
    """A number that counts something, small enough to be stored."""
    if not 0 <= value <= _COUNT_MAX:
        raise Unreadable("a count beyond all measure")
    return value


def next_page(continuation: Continuation) -> Continuation:
    """Where the next page begins; the end is told as null, as `none`, or as an empty text.

    Source: Deribit API v2, continuation tokens.
    """
    if isinstance(continuation, int):
        return count(continuation)
    return None if continuation in ("", "none") else continuation
