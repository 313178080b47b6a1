"""Whatever is armed is armed or unfit by name, and strikes or does not without a failure."""

import random
from decimal import Decimal
from typing import Any

import msgspec
import mutation
from any_server import fitting
from any_venue import AnyVenue
from rounds import rounds, within_bounds

from vigil.paper.faults.arming import Armed, Arms, Subject
from vigil.paper.faults.entry import REQUIRED, Unfit
from vigil.paper.faults.menu import ARMING_PARAMS, MENU

_NOW_MS = 1_795_000_000_000
_POINTS = ("before request", "after request", "on notification", "request", "reply", "notification")


def test_any_fault_is_armed_or_unfit() -> None:
    asker = AnyVenue(random.Random("arming"))
    for dice in rounds("arming"):
        arms = Arms(dice.randrange(9))
        for _ in range(30):
            name, given = _wanted(dice, asker)
            with within_bounds(1_000):
                try:
                    armed = arms.arm(name, given, _NOW_MS)
                except Unfit:
                    continue
            assert isinstance(armed, Armed)
            msgspec.json.encode(armed.described())
        for step in range(30):
            subject = Subject(
                method=dice.choice((None, "private/buy", "x")),
                channel=dice.choice((None, "user.orders.any.any.raw")),
                labels=frozenset(dice.choice(((), ("mine",), ("[",)))),
                connection=dice.choice((None, 1)),
            )
            arms.strikes(dice.choice(_POINTS), subject, _NOW_MS + step * 100)
            arms.due(_NOW_MS + step * 100)
        assert all(armed.hits <= (armed.when.count or armed.hits) for armed in arms.armed())


def _wanted(dice: random.Random, asker: AnyVenue) -> tuple[str, dict[str, Any]]:
    fault = dice.choice(list(MENU.values()))
    given = {
        param.name: _value(dice, fitting(dice, asker, param))
        for param in (*fault.params, *ARMING_PARAMS)
        if param.default is REQUIRED or dice.random() < 0.1
    }
    if dice.random() < 0.1:
        given["no such field"] = 1
    return dice.choice((fault.name, fault.name, fault.name, fault.name[:-1])), given


def _value(dice: random.Random, value: Any) -> Any:
    """As `json` would have read it; what it would not have read is something else instead."""
    odd = (None, True, -1, 10**400, Decimal("1e400"), Decimal("-1e-400"), "", "x" * 10_000, [], {})
    return dice.choice(odd) if isinstance(value, mutation.Text) or dice.random() < 0.1 else value
