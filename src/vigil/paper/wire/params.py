"""Reading a call's parameters: typed values out, or -32602 with the reason and the parameter."""

import json
from collections.abc import Collection, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from vigil.paper.refusals import invalid_param

# Anything further from one is a mistake, and would only overflow later arithmetic.
_EXPONENT_MAX = 18
TIMESTAMP_MS_MAX = 10**14


class Params:
    """The parameters of one call.

    Args:
        values: As they came.
        is_text: They came in a query string, so that numbers, flags and lists are text.
    """

    def __init__(self, values: Mapping[str, Any], *, is_text: bool = False) -> None:
        self._values = values
        self._is_text = is_text

    def has(self, name: str) -> bool:
        """Whether the parameter was given, with something other than null."""
        return self._values.get(name) is not None

    def raw(self, name: str) -> Any:
        """The value as it came; None when it was not given."""
        return self._values.get(name)

    def text(self, name: str, default: str | None = None) -> str:
        """A string. Raises: Refusal, when missing without default or of another type."""
        value = self._values.get(name)
        if value is None:
            if default is None:
                raise invalid_param(name, "value required")
            return default
        if not isinstance(value, str):
            raise invalid_param(name)
        return value

    def text_or_none(self, name: str) -> str | None:
        """A string, or None when it was not given."""
        return self.text(name) if self.has(name) else None

    def choice(self, name: str, allowed: Collection[str], default: str | None = None) -> str:
        """One of the `allowed` strings."""
        value = self.text(name, default)
        if value not in allowed:
            raise invalid_param(name)
        return value

    def number(self, name: str) -> Decimal:
        """A finite number of ordinary size."""
        value = self._values.get(name)
        if value is None:
            raise invalid_param(name, "value required")
        if isinstance(value, str) and self._is_text:
            try:
                value = Decimal(value)
            except InvalidOperation as error:
                raise invalid_param(name) from error
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise invalid_param(name)
        number = Decimal(value)
        if not number.is_finite() or (number and abs(number.adjusted()) > _EXPONENT_MAX):
            raise invalid_param(name)
        return number

    def number_or_none(self, name: str) -> Decimal | None:
        """A number, or None when it was not given."""
        return self.number(name) if self.has(name) else None

    def integer(self, name: str, default: int | None = None, *, least: int = 0) -> int:
        """A whole number from `least` up."""
        if not self.has(name) and default is not None:
            return default
        number = self.number(name)
        if number != number.to_integral_value():
            raise invalid_param(name)
        if number < least:
            raise invalid_param(name, f"value must be >= {least}")
        return int(number)

    def timestamp(self, name: str) -> int:
        """Milliseconds since the epoch."""
        value = self.integer(name)
        if value > TIMESTAMP_MS_MAX:
            raise invalid_param(name)
        return value

    def timestamp_or_none(self, name: str) -> int | None:
        """Milliseconds since the epoch, or None when it was not given."""
        return self.timestamp(name) if self.has(name) else None

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A boolean."""
        value = self._values.get(name)
        if value is None:
            return default
        if self._is_text and value in ("true", "false"):
            return bool(value == "true")
        if not isinstance(value, bool):
            raise invalid_param(name)
        return value

    def texts(self, name: str) -> list[str]:
        """A list of strings."""
        items = self._items(name)
        if not all(isinstance(item, str) for item in items):
            raise invalid_param(name)
        return items

    def objects(self, name: str) -> list["Params"]:
        """A list of objects, each as parameters of its own."""
        items = self._items(name)
        if not all(isinstance(item, dict) for item in items):
            raise invalid_param(name)
        return [Params(item) for item in items]

    def _items(self, name: str) -> list[Any]:
        value = self._values.get(name)
        if value is None:
            raise invalid_param(name, "value required")
        if self._is_text and isinstance(value, str):
            try:
                value = json.loads(value, parse_float=Decimal)
            except (ValueError, RecursionError) as error:
                raise invalid_param(name) from error
        if not isinstance(value, list):
            raise invalid_param(name)
        return value
