"""What people are told of: one incident for each trouble while it lasts, and its end.

A trouble that a look shows is told once and counted while it is seen. It is over when a look that
can be believed shows it no more; what an earlier process told of ends in the same way.
"""

from collections.abc import Iterable

import structlog

from vigil.domain.money import decimal_text
from vigil.domain.order import OwnOrder
from vigil.ledger.ledger import Ledger
from vigil.reconcile.drift import (
    Drift,
    ForeignOrder,
    ForeignPosition,
    Naked,
    Silent,
    Unexplained,
    Unfilled,
    Unprotectable,
    Unreadable,
    Unrecorded,
    Unsettled,
    Vanished,
    describe,
)

log = structlog.get_logger(__name__)

# Incidents that are over when a look no longer shows them. The others wait for a person.
_PASSING = frozenset(
    {
        "fills_lost",
        "fills_missing",
        "foreign_order",
        "foreign_position",
        "order_in_doubt",
        "order_unreadable",
        "orders_denied",
        "positions_vanished",
        "protection_refused",
        "size_unexplained",
        "stop_unfilled",
        "stop_unreadable",
        "unprotectable_trade",
        "unreadable_trade",
        "unrecorded_order",
    }
)


# Told by a process that had to leave an entry behind, and over when that entry is.
_ENTRY_LEFT = "entry_left"


class Notices:
    """Tells people, each thing once as long as it lasts."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._told: set[tuple[str, str]] = set()

    async def tell(self, kind: str, subject: str, message: str) -> None:
        """Open an incident, or count it while it is open."""
        if (kind, subject) not in self._told:
            self._told.add((kind, subject))
            log.warning(f"[Reconciliation] {message}", incident=kind)
        await self._ledger.raise_incident(
            kind=kind, subject=subject, severity="warning", message=message
        )

    async def report(
        self,
        drifts: Iterable[Drift],
        *,
        overdue: Iterable[OwnOrder] = (),
        short: Iterable[OwnOrder] = (),
        vanished: str | None = None,
        lost_history: str | None = None,
        denied: str | None = None,
        is_settled: bool = True,
    ) -> None:
        """Tell what one look shows that people should see to, and what is over.

        Args:
            overdue: Orders that are in doubt for too long.
            short: Orders that filled, and whose executions do not show for too long.
            vanished: Which positions seem to be gone all at once.
            lost_history: What we know and the exchange does not any more.
            denied: Which orders the exchange's lists lack although they rest.
            is_settled: Whether the look can be believed.

        While part of a look is unsettled nothing is over: what was not judged is not gone.
        """
        unreadable = (await self._ledger.open_trades()).unreadable
        seen = {("unreadable_trade", problem.trade_id): str(problem) for problem in unreadable}
        for own in overdue:
            seen["order_in_doubt", own.label] = f"nobody knows what became of order {own.label}"
        for own in short:
            seen["fills_missing", own.label] = (
                f"order {own.label} filled {decimal_text(own.filled_amount)}, and the exchange "
                "does not show all executions of it"
            )
        if vanished is not None:
            seen["positions_vanished", ""] = f"{vanished}: nothing is closed yet"
        if lost_history is not None:
            seen["fills_lost", ""] = f"{lost_history}: nothing is closed and nothing opened"
        if denied is not None:
            seen["orders_denied", ""] = f"{denied}: they are left as they are"
        lasting: set[tuple[str, str]] = set()
        for drift in drifts:
            match drift:
                case ForeignPosition(instrument_name=name):
                    seen["foreign_position", name] = describe(drift)
                case ForeignOrder(order=order):
                    seen["foreign_order", order.order_id] = describe(drift)
                case Unexplained(trade=trade):
                    seen["size_unexplained", trade.trade_id] = describe(drift)
                case Unprotectable(trade=trade):
                    seen["unprotectable_trade", trade.trade_id] = describe(drift)
                case Unfilled(trade=trade):
                    seen["stop_unfilled", trade.trade_id] = describe(drift)
                case Unreadable(trade=trade):
                    seen["stop_unreadable", trade.trade_id] = describe(drift)
                case Naked(trade=trade):
                    lasting.add(("protection_refused", trade.trade_id))
                case Unrecorded(order=order):
                    lasting.add(("unrecorded_order", order.order_id))
                case Silent(order=own):
                    lasting.add(("order_unreadable", own.label))
                case Unsettled() | Vanished():
                    is_settled = False
                case _:
                    pass
        for (kind, subject), message in seen.items():
            await self.tell(kind, subject, message)
        if is_settled:
            await self._resolve_others({*seen, *lasting})

    async def _resolve_others(self, present: set[tuple[str, str]]) -> None:
        for incident in await self._ledger.open_incidents():
            key = (incident.kind, incident.subject)
            is_over = incident.kind in _PASSING and key not in present
            if incident.kind == _ENTRY_LEFT:
                order = await self._ledger.order(incident.subject)
                is_over = order is not None and order.status.is_final
            if is_over:
                self._told.discard(key)
                await self._ledger.resolve_incident(*key)
