"""The fault menu: everything that can be made to go wrong at the paper exchange, by name.

Closed: what is not here cannot be armed. `vigil paper --help` and the control endpoint list it from
here, so that neither can miss one.
"""

import textwrap
from decimal import Decimal
from difflib import get_close_matches

from vigil.paper.faults.entry import (
    FAR,
    REQUIRED,
    Fault,
    Kind,
    Param,
    Unfit,
    choice,
    text,
    whole,
)
from vigil.paper.faults.venue_faults import VENUE_FAULTS
from vigil.paper.faults.wire_faults import WIRE_FAULTS

MENU: dict[str, Fault] = {fault.name: fault for fault in WIRE_FAULTS + VENUE_FAULTS}

# What any fault may be armed with, besides its own parameters.
ARMING_PARAMS = (
    text("method", "globs of the method, comma-separated; e.g. private/get_*", None),
    text("channel", "globs of the channel, comma-separated; e.g. user.trades.*", None),
    text("instrument", "globs of the instrument name, comma-separated", "*"),
    text("label", "globs of the order label, comma-separated", "*"),
    whole("connection", "one connection, by number", None, least=1, most=2**31),
    choice("transport", "how the request comes", "any", "websocket", "http", default="any"),
    choice(
        "moment",
        "of a deed at a request: before that is carried out, or between that and its reply",
        "before",
        "after",
        default="before",
    ),
    whole("count", "how many times; left out, once, or until disarmed", None, least=1, most=10**9),
    whole("skip", "how many matches to let pass first", 0, least=0, most=10**9),
    Param(
        name="probability",
        kind=Kind.DECIMAL,
        summary="that a match is struck",
        default=Decimal(1),
        least=Decimal(0),
        most=Decimal(1),
    ),
    whole("seed", "of its dice; left out, of its number", None, least=0, most=2**63),
    whole("from_ms", "not before this exchange time", None, least=0, most=2**53),
    whole("until_ms", "not from this exchange time on", None, least=0, most=2**53),
    Param(
        name="in_s",
        kind=Kind.SECONDS,
        summary="not before that many seconds from now",
        default=None,
        least=Decimal(0),
        most=FAR,
    ),
    Param(
        name="for_s",
        kind=Kind.SECONDS,
        summary="for that many seconds, from then",
        default=None,
        least=Decimal(0),
        most=FAR,
    ),
)

_WIDTH = 100
_NAME_WIDTH = 26
_HEAD = """\
the fault menu, for --control (POST /control/arm, /control/do; GET /control/menu tells all fields):
"""


def fault_named(name: str) -> Fault:
    """The entry of that name. Raises: Unfit."""
    fault = MENU.get(name)
    if fault is None:
        near = get_close_matches(name, MENU, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "GET /control/menu lists all"
        raise Unfit("fault", f"{name!r} is not on the menu; {hint}")
    return fault


def described() -> str:
    """The menu for people: by group, each with its rows and fields."""
    lines = [_HEAD]
    groups = dict.fromkeys(fault.group for fault in MENU.values())
    for group in groups:
        lines.append(f"{group}:")
        for fault in MENU.values():
            if fault.group == group:
                lines.extend(_entry(fault))
    lines.append("anything armed may say besides:")
    lines.extend(_line(param.name, param.summary) for param in ARMING_PARAMS)
    return "\n".join(lines)


def _entry(fault: Fault) -> list[str]:
    fields = " ".join(
        param.name if param.default is REQUIRED else f"[{param.name}]" for param in fault.params
    )
    told = f"{fault.summary} ({' '.join(fault.rows)})"
    body = textwrap.wrap(told, _WIDTH - _NAME_WIDTH - 2)
    if fields:
        body += textwrap.wrap(
            fields, _WIDTH - _NAME_WIDTH - 4, initial_indent="  ", subsequent_indent="  "
        )
    first, *rest = body
    return [_line(fault.name, first), *(" " * _NAME_WIDTH + line for line in rest)]


def _line(name: str, said: str) -> str:
    return f"  {name}".ljust(_NAME_WIDTH) + said
