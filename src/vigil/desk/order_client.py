"""What the desk needs of the exchange."""

from decimal import Decimal
from typing import Protocol

from vigil.deribit.outcome import Outcome
from vigil.domain.order import Order, OrderRequest
from vigil.domain.portfolio import Position


class OrderClient(Protocol):
    """The exchange, as far as the desk needs it.

    What sends returns an outcome and raises for nothing that the exchange does; what asks raises a
    VigilError rather than answer in part.
    """

    def exchange_now_ms(self) -> int:
        """The exchange's time as measured now."""
        ...

    async def place(self, request: OrderRequest) -> Outcome:
        """Send an order."""
        ...

    async def edit(
        self,
        order_id: str,
        *,
        amount: Decimal,
        price: Decimal | None = None,
        trigger_price: Decimal | None = None,
        valid_until_ms: int | None = None,
    ) -> Outcome:
        """Change a resting order."""
        ...

    async def cancel(self, order_id: str) -> Outcome:
        """Cancel a resting order."""
        ...

    async def order_state(self, order_id: str) -> Order | None:
        """One order; None when the exchange does not, or no longer, know it."""
        ...

    async def orders_by_label(self, currency: str, label: str) -> tuple[Order, ...]:
        """Orders under a label, resting or lately ended, newest last."""
        ...

    async def positions(self) -> tuple[Position, ...]:
        """Net positions in all currencies."""
        ...
