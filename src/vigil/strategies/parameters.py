"""What every strategy's `config` in the operator's file has in common.

A strategy's own model derives from `StrategyParameters` and is named by its class as `Parameters`.
Keys are camelCase outside and snake_case inside. Numbers must be JSON numbers: a text that looks
like one, or `true` for 1, is a mistake of the writer and is refused.
"""

import math
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt
from pydantic.alias_generators import to_camel


def _exact(value: Any) -> Decimal:
    # The operator's file is parsed to int and Decimal; a float comes from the HTTP API's parser,
    # and its shortest text is what the caller wrote.
    if type(value) is Decimal or type(value) is int:
        number = Decimal(value)
    elif type(value) is float and math.isfinite(value):
        number = Decimal(repr(value))
    else:
        raise ValueError("must be a number")
    if not number.is_finite():
        raise ValueError("must be a finite number")
    return number


Number = Annotated[Decimal, BeforeValidator(_exact)]
WholeNumber = StrictInt
Flag = StrictBool


class StrategyParameters(BaseModel):
    """The part of `config` that every strategy has.

    Args:
        instrument: The exchange's name of what it trades; that it exists is the fleet's to check.
        on_stop: What becomes of an open position when the strategy is stopped: `keep` leaves it
            with its stop and target at the exchange, `flatten` closes it.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_default=True,
        allow_inf_nan=False,
    )

    instrument: str = Field(strict=True, pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    on_stop: Literal["keep", "flatten"] = "keep"
