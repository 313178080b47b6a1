"""Entries taken back before Vigil leaves: nothing of ours may open a position with nobody there.

Logging out leaves orders at the exchange, so each entry that could still fill is cancelled and seen
to be gone. One that is in doubt is waited for until its time is over, which is seconds. Stops and
targets stay: they are what protects the positions meanwhile.
"""

import asyncio

import structlog

from vigil.clock import Clock
from vigil.desk.desk import Desk
from vigil.desk.order_client import OrderClient
from vigil.domain.order import OwnOrder, Role
from vigil.ledger.ledger import Ledger

log = structlog.get_logger(__name__)

# Longer than an order is valid, so that one sent at the last moment is seen to have died.
WITHDRAWAL_TIMEOUT_S = 8.0
LOOK_S = 0.25

# Past `valid_until`, for the measurement of the exchange's clock.
_MARGIN_MS = 1_000


async def withdraw_entries(
    ledger: Ledger, desk: Desk, client: OrderClient, clock: Clock
) -> tuple[str, ...]:
    """Cancel every entry that could still fill; the labels of those not seen to be gone.

    Nobody may send entries any more when this is called.
    """
    try:
        async with asyncio.timeout(WITHDRAWAL_TIMEOUT_S):
            while left := await _look(ledger, desk, client.exchange_now_ms()):
                await clock.sleep(LOOK_S)
    except TimeoutError:
        left = [order for order in await ledger.working_orders() if order.role is Role.ENTRY]
        for order in left:
            await ledger.raise_incident(
                kind="entry_left",
                subject=order.label,
                severity="error",
                message=f"Vigil stopped and could not see entry {order.label} gone: it may still "
                "fill; cancel it by hand if Vigil does not come back",
            )
    if left:
        log.error("entries.not_withdrawn", labels=[order.label for order in left])
    return tuple(order.label for order in left)


async def _look(ledger: Ledger, desk: Desk, now_ms: int) -> list[OwnOrder]:
    """Cancel what rests; the entries that could still fill after that."""
    left = []
    for order in await ledger.working_orders():
        if order.role is not Role.ENTRY:
            continue
        if order.status.is_unproven:
            found = await desk.look_up(order)
            is_dead = found == () and now_ms > order.valid_until_ms + _MARGIN_MS
            known = await ledger.order(order.label)
            if is_dead or known is None or known.status.is_final:
                continue
            order = known  # noqa: PLW2901 - the same order, as it is by now
        if order.order_id is not None and not order.status.is_unproven:
            await desk.cancel(order.order_id, why="Vigil is stopping")
            known = await ledger.order(order.label)
            if known is None or known.status.is_final:
                continue
        left.append(order)
    return left
