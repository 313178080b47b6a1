"""One entry of the fault menu: its name, the rows it serves, where it strikes, what it takes.

Values reach an entry from JSON, or from a test's keywords; `read_values` makes them typed or says
which field is wrong and what would be right.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from vigil.errors import VigilError


class Unfit(VigilError):
    """What was asked of the menu cannot be done.

    Args:
        field: The field that is wrong, or a word for the whole.
        reason: What is wrong, and what would be right.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class Point(StrEnum):
    """Where a fault strikes."""

    REQUEST = "request"
    REPLY = "reply"
    NOTIFICATION = "notification"
    CONNECTION = "connection"
    ACCEPTING = "accepting"
    VENUE = "venue"


class Kind(StrEnum):
    """What a parameter is."""

    SECONDS = "seconds"
    INTEGER = "integer"
    DECIMAL = "decimal"
    TEXT = "text"
    CHOICE = "choice"
    FLAG = "flag"


REQUIRED = object()
FAR = Decimal(10**12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One parameter.

    Args:
        default: Used when it is left out; REQUIRED refuses that, None makes it optional.
        choices: Of a CHOICE.
        least, most: Bounds of a number, both included.
    """

    name: str
    kind: Kind
    summary: str
    default: Any = REQUIRED
    choices: tuple[str, ...] = ()
    least: Decimal | None = None
    most: Decimal | None = None

    def read(self, value: Any) -> Any:
        """The typed value. Raises: Unfit."""
        if value is None:
            if self.default is None:
                return None
            raise Unfit(self.name, f"null is no value; give {self._wanted()}, or leave it out")
        match self.kind:
            case Kind.TEXT | Kind.CHOICE:
                is_fit = isinstance(value, str) and (not self.choices or value in self.choices)
            case Kind.FLAG:
                is_fit = isinstance(value, bool)
            case Kind.INTEGER:
                is_fit = isinstance(value, int) and not isinstance(value, bool)
            case Kind.SECONDS | Kind.DECIMAL:
                value, is_fit = _number(value)
        if not is_fit or not self._is_within(value):
            raise Unfit(self.name, f"{value!r} is not {self._wanted()}")
        return float(value) if self.kind is Kind.SECONDS else value

    def described(self) -> dict[str, Any]:
        """The parameter, as the control endpoint lists it."""
        said: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind.value,
            "summary": self.summary,
            "required": self.default is REQUIRED,
        }
        if self.default is not REQUIRED:
            said["default"] = self.default
        if self.choices:
            said["choices"] = self.choices
        said |= {k: v for k, v in (("least", self.least), ("most", self.most)) if v is not None}
        return said

    def _is_within(self, value: Any) -> bool:
        least, most = self.least, self.most
        return (least is None or value >= least) and (most is None or value <= most)

    def _wanted(self) -> str:
        if self.choices:
            return "one of " + ", ".join(self.choices)
        bounds = ""
        if self.least is not None:
            bounds += f" of at least {self.least}"
        if self.most is not None:
            bounds += f"{' and' if bounds else ' of'} at most {self.most}"
        return {
            Kind.TEXT: "a text",
            Kind.FLAG: "true or false",
            Kind.INTEGER: "a whole number",
            Kind.DECIMAL: "a number",
            Kind.SECONDS: "a number of seconds",
        }.get(self.kind, "a value") + bounds


def _number(value: Any) -> tuple[Any, bool]:
    """A finite number as Decimal; text is taken too, so that no digit is lost on the way."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return value, False
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return value, False
    return number, number.is_finite()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An entry of the menu.

    Args:
        name: Short, kebab-case.
        rows: The rows of the fault matrix that it serves.
        summary: One line for people.
        group: The heading it is listed under.
        method: Which methods it is for, unless it is armed for others.
        channel: Which channels, likewise.
        is_lasting: Strikes until disarmed, unless a count is given; else once.
    """

    name: str
    rows: tuple[str, ...]
    summary: str
    point: Point
    group: str
    params: tuple[Param, ...] = ()
    method: str = "*"
    channel: str = "*"
    is_lasting: bool = False

    def read_values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Every parameter's value. Raises: Unfit."""
        names = [param.name for param in self.params]
        for name in given:
            if name not in names:
                known = ", ".join(names) or "none"
                raise Unfit(name, f"{self.name} has no such field; its own are: {known}")
        values = {}
        for param in self.params:
            if param.name in given:
                values[param.name] = param.read(given[param.name])
            elif param.default is REQUIRED:
                raise Unfit(param.name, f"{self.name} needs it: {param.summary}")
            else:
                values[param.name] = param.default
        return values

    def described(self) -> dict[str, Any]:
        """The entry, as the control endpoint lists it."""
        return {
            "name": self.name,
            "rows": self.rows,
            "summary": self.summary,
            "point": self.point.value,
            "group": self.group,
            "method": self.method,
            "channel": self.channel,
            "is_lasting": self.is_lasting,
            "params": [param.described() for param in self.params],
        }


def seconds(name: str, summary: str, default: Any = REQUIRED, *, most_s: int = 86_400) -> Param:
    """A span of time."""
    return Param(
        name=name,
        kind=Kind.SECONDS,
        summary=summary,
        default=default,
        least=Decimal(0),
        most=Decimal(most_s),
    )


def whole(name: str, summary: str, default: Any = REQUIRED, *, least: int, most: int) -> Param:
    """A whole number within bounds."""
    return Param(
        name=name,
        kind=Kind.INTEGER,
        summary=summary,
        default=default,
        least=Decimal(least),
        most=Decimal(most),
    )


def text(name: str, summary: str, default: Any = REQUIRED) -> Param:
    """A text."""
    return Param(name=name, kind=Kind.TEXT, summary=summary, default=default)


def choice(name: str, summary: str, *choices: str, default: Any = REQUIRED) -> Param:
    """One of several words."""
    return Param(name=name, kind=Kind.CHOICE, summary=summary, default=default, choices=choices)


def flag(name: str, summary: str, default: Any = REQUIRED) -> Param:
    """Yes or no."""
    return Param(name=name, kind=Kind.FLAG, summary=summary, default=default)


def number(
    name: str,
    summary: str,
    default: Any = REQUIRED,
    *,
    least: Decimal = -FAR,
    most: Decimal = FAR,
) -> Param:
    """An exact number, of a size that can be reckoned with."""
    return Param(
        name=name, kind=Kind.DECIMAL, summary=summary, default=default, least=least, most=most
    )
