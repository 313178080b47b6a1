"""How messages are written: members in changing order, numbers as `10`, `10.0` or `1.0e1`.

The exchange promises neither an order of members nor one way to write a number, and clients that
counted on either broke. Values stay exact; whole numbers such as times and ids stay whole.
Source: Deribit API v2, change log of December 2024; payloads recorded from 2022 to 2026.
"""

import random
from decimal import Decimal
from typing import Any

import msgspec

# What one message is rewritten of at most; lists of hundreds of instruments go on unchanged.
_VALUES_MAX = 2_000
# One notification in this many is rewritten, which is enough to break a reader, and costs little.
_PUSHES_PER_CHANGE = 16

_encoder = msgspec.json.Encoder(decimal_format="number")


class Wording:
    """The hand that writes.

    Args:
        dice: Decide about the next message.
        is_mixed: Off, everything is written as it was put together.
    """

    def __init__(self, dice: random.Random, *, is_mixed: bool) -> None:
        self._dice = dice
        self._is_mixed = is_mixed
        self._turn = 0
        self._left = 0

    def reply(self, message: dict[str, Any]) -> bytes:
        """Write a reply."""
        return _encoder.encode(self._varied(message) if self._is_mixed else message)

    def push(self, message: dict[str, Any]) -> bytes:
        """Write a notification."""
        is_plain = not self._is_mixed or self._dice.random() * _PUSHES_PER_CHANGE >= 1
        return _encoder.encode(message if is_plain else self._varied(message))

    def _varied(self, message: dict[str, Any]) -> Any:
        self._left, self._turn = _VALUES_MAX, self._dice.getrandbits(16)
        return self._vary(message)

    def _vary(self, value: Any) -> Any:
        if self._left <= 0:
            return value
        self._left -= 1
        self._turn += 1
        if isinstance(value, Decimal):
            return _written(value, self._turn % 3)
        if isinstance(value, dict):
            items = list(value.items())
            cut = self._turn % len(items) if items else 0
            return {name: self._vary(item) for name, item in (*items[cut:], *items[:cut])}
        if isinstance(value, list | tuple):
            return [self._vary(item) for item in value]
        return value


def _written(number: Decimal, form: int) -> Any:
    """The same number as `10`, `10.0` or `1.0e1`."""
    text = format(number, "f")
    if form == 2 and number:
        sign = "-" if text[0] == "-" else ""
        digits = text.lstrip("-0.").replace(".", "").rstrip("0")
        exponent = number.adjusted()
        return msgspec.Raw(f"{sign}{digits[0]}.{digits[1:] or '0'}e{exponent}".encode())
    return msgspec.Raw((text if form == 0 or "." in text else f"{text}.0").encode())
