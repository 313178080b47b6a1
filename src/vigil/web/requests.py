"""What may be asked: the shapes of queries and bodies, and the refusals of everything else.

Bytes and text come in from outside; a checked shape leaves, or a `BadRequest` that names the
field and the fix. Unknown fields are refused, because a misspelt filter that is silently dropped
gives an answer to another question.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import msgspec

from vigil.domain.labels import STRATEGY_ID_PATTERN
from vigil.domain.trade import TradeStatus
from vigil.errors import VigilError
from vigil.telemetry.status import TradeQuery
from vigil.web.shapes import schema_of

_AT_FIELD = re.compile(r" - at `\$\.?(?P<field>.*)`$")
_FIELD_NAMED = re.compile(r"Object (contains unknown|missing required) field `(?P<field>.*?)`")

# What a stranger sent is shown back to people, but never a megabyte of it.
_ECHO_LENGTH_MAX = 64

# Python's `$` also matches before a last newline; JSON Schema's does not. This means one thing.
_END = r"(?!\n)$"

StrategyId = Annotated[
    str,
    msgspec.Meta(
        pattern=STRATEGY_ID_PATTERN.removesuffix("$") + _END, description="A strategy's id."
    ),
]
StrategyName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9_.-]{1,64}" + _END, description="A strategy's id or class name."
    ),
]
InstrumentName = Annotated[
    str,
    msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}" + _END, description="As BTC_USDC-PERPETUAL."),
]
Limit = Annotated[int, msgspec.Meta(ge=1, le=1000, description="At most so many.")]
BeforeMs = Annotated[
    int,
    msgspec.Meta(ge=0, le=9_999_999_999_999, description="Only entered before, UTC milliseconds."),
]


class BadRequest(VigilError):
    """The request is not one that this API knows; it says which field and how to mend it."""

    def __init__(self, message: str, *, field: str | None = None, fix: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.fix = fix


class Nothing(msgspec.Struct, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """No parameters and no body."""


Asked = TypeVar("Asked", bound=Nothing)


class TradesRequest(Nothing):
    """Filters of the trade history; all given ones must hold."""

    status: TradeStatus | None = None
    strategy: StrategyName | None = None
    instrument: InstrumentName | None = None
    limit: Limit = 100
    before: BeforeMs | None = None

    def query(self) -> TradeQuery:
        """The same in domain terms."""
        return TradeQuery(
            status=self.status,
            strategy=self.strategy,
            instrument_name=self.instrument,
            limit=self.limit,
            before_ms=self.before,
        )


class RunsRequest(Nothing):
    """How many passes to show."""

    limit: Limit = 20


class StrategyCommand(Nothing):
    """Names one strategy, as `id` or as `strategyId`."""

    id: StrategyId | None = None
    strategy_id: StrategyId | None = None

    def named(self) -> str:
        """The strategy meant.

        Raises: BadRequest, when none is named or two different ones are.
        """
        if self.id and self.strategy_id and self.id != self.strategy_id:
            raise BadRequest(
                f"id {self.id!r} and strategyId {self.strategy_id!r} differ",
                field="strategyId",
                fix="send one of them",
            )
        named = self.id or self.strategy_id
        if not named:
            raise BadRequest("no strategy is named", field="id", fix='send {"id": "<strategy id>"}')
        return named


def parse_query(pairs: Sequence[tuple[str, str]], shape: type[Asked]) -> Asked:
    """The query string's pairs as a checked shape.

    Raises: BadRequest, which names the parameter.
    """
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise BadRequest(f"{name} is given twice", field=name, fix="give it once")
        values[name] = value
    try:
        return msgspec.convert(values, shape, strict=False)
    except msgspec.ValidationError as error:
        raise _refusal(error, shape, "query parameter") from error


def parse_body(body: bytes, shape: type[Asked]) -> Asked:
    """A request body as a checked shape; an empty body counts as `{}`.

    Raises: BadRequest, which names the field where there is one.
    """
    try:
        return msgspec.json.decode(body or b"{}", type=shape)
    except msgspec.ValidationError as error:
        raise _refusal(error, shape, "field") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}", fix="send a JSON object") from error


def _refusal(error: msgspec.ValidationError, shape: type[Nothing], kind: str) -> BadRequest:
    message = str(error)
    match = _FIELD_NAMED.search(message) or _AT_FIELD.search(message)
    field = match["field"][:_ECHO_LENGTH_MAX] if match else None
    reason = _AT_FIELD.sub("", message)[: 4 * _ECHO_LENGTH_MAX]
    _, components = schema_of((shape,))
    properties: dict[str, Any] = components[shape.__name__]["properties"]
    if field is None:
        return BadRequest(reason, fix="send a JSON object")
    if field not in properties:
        known = ", ".join(properties) or "none"
        return BadRequest(f"unknown {kind} {field!r}", field=field, fix=f"known are: {known}")
    wanted = _wanted(properties[field], components)
    return BadRequest(f"{kind} {field}: {reason}", field=field, fix=f"give {wanted}")


def _wanted(schema: dict[str, Any], components: dict[str, Any]) -> str:
    """The values a schema allows, as people say it."""
    choices = schema.get("anyOf", [schema])
    schema = next(choice for choice in choices if choice.get("type") != "null")
    if "$ref" in schema:
        schema = components[schema["$ref"].rpartition("/")[2]]
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if schema.get("type") == "integer":
        return f"a whole number from {schema['minimum']} to {schema['maximum']}"
    return f"text that matches {schema['pattern']}"
