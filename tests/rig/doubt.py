"""Orders sent into trouble, for tests of doubt on a rig."""

import contextlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from rig import LINEAR, Rig
from vigil.deribit.outcome import Outcome
from vigil.domain.order import Direction, OwnOrder, Role
from vigil.trading.execution import Author

AUTHOR = Author(strategy_id="s", strategy_name="Scripted")


@contextlib.contextmanager
def impatient(rig: Rig, wait_s: float = 0.15) -> Iterator[None]:
    """An answer that does not come is not waited for long."""
    before_s, rig.client._call_timeout_s = rig.client._call_timeout_s, wait_s
    yield
    rig.client._call_timeout_s = before_s


def deafen(rig: Rig) -> None:
    """The account's stream is sent and never arrives; the stream's own watch is not in question."""
    rig.server.faults.arm("mute-channel", channel="user.orders.*,user.trades.*")


def opening(side: Direction) -> str:
    return f"private/{side.value}"


def closing(side: Direction) -> str:
    return f"private/{side.opposite.value}"


async def enter(
    rig: Rig, name: str = LINEAR, side: Direction = Direction.BUY, **wishes: Any
) -> Outcome:
    """Whatever comes of it."""
    approved = await rig.approved(name, side, **wishes)
    with impatient(rig):
        return await rig.desk.enter(approved, instrument_name=name, author=AUTHOR)


async def order_of(rig: Rig, trade_id: str, role: Role) -> OwnOrder:
    return (await rig.rows(trade_id))[role]


async def held(rig: Rig) -> Decimal:
    """What the ledger says is held, in all."""
    trades = (await rig.ledger.open_trades()).trades
    return sum((trade.signed_open_amount for trade in trades), Decimal(0))
