"""What the HTTP API needs from the application, in domain terms.

The composition root hands in an implementation; this package never learns which.
"""

from collections.abc import Sequence
from typing import Protocol

from vigil.domain.order import OwnOrder
from vigil.domain.trade import Trade
from vigil.telemetry.status import (
    HealthReport,
    PositionStatus,
    Readiness,
    ReconciliationSummary,
    StrategyStatus,
    TradeQuery,
)


class Operations(Protocol):
    """Reading and commanding a running Vigil.

    A coroutine here may be cancelled at any `await` when the reply's deadline passes; a command
    that must not be left half done shields itself.
    """

    def health(self) -> HealthReport:
        """The state of everything, from memory: it must answer while the rest is stuck."""
        ...

    def readiness(self) -> Readiness:
        """Whether trading may begin, and if not, what is awaited."""
        ...

    def strategies(self) -> Sequence[StrategyStatus]:
        """Every strategy of the operator's file in force, in the file's order."""
        ...

    async def start_strategy(self, strategy_id: str) -> StrategyStatus:
        """Save `active` for a strategy in the operator's file and start it. Twice is harmless.

        Raises:
            UnknownStrategy: The file holds no such strategy.
            StateFileRefused: The file on disk is broken; nothing was changed.
        """
        ...

    async def stop_strategy(self, strategy_id: str) -> StrategyStatus:
        """Save `stopped` for a strategy in the operator's file and stop it. Twice is harmless.

        Raises: as `start_strategy`.
        """
        ...

    async def trades(self, query: TradeQuery) -> Sequence[Trade]:
        """Trades of the ledger, newest entry first."""
        ...

    async def positions(self) -> Sequence[PositionStatus]:
        """Every instrument in which the ledger or the exchange holds something."""
        ...

    async def orders(self) -> Sequence[OwnOrder]:
        """Own orders that are not final, oldest first."""
        ...

    async def reconcile(self) -> ReconciliationSummary:
        """Run one pass now, or join the one that runs, and tell how it ended."""
        ...

    async def reconciliation_runs(self, limit: int) -> Sequence[ReconciliationSummary]:
        """The last passes, newest first."""
        ...
