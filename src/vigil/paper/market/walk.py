"""What an index's prices come from."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Protocol

from vigil.paper.market.charts import OhlcPrices


class Walk(Protocol):
    """Where an index's prices come from."""

    @property
    def price(self) -> Decimal:
        """The present price."""
        ...

    def advance(self, market_seconds: float) -> Decimal:
        """Move on and return the new price."""
        ...

    def history(self, minutes: int) -> list[OhlcPrices]:
        """Minutes before the start, oldest first."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """All that `restore` needs."""
        ...

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take back a snapshot."""
        ...
