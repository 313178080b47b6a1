"""Trades that the exchange does not hold and that no fill explains.

One that is gone from both sources is closed at mark; one whose entry the exchange has shown us only
when the transaction log says the same, as no position ends without an entry there. When most
positions seem to be gone at once it is more likely that something is wrong with what we are shown:
then nothing is closed until several readings, some time apart, agree.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal

import structlog
from msgspec import Struct

from vigil.clock import Clock
from vigil.desk.books import Books
from vigil.domain.money import ZERO
from vigil.domain.trade import Trade
from vigil.ledger.ledger import Ledger
from vigil.reconcile.compare import compare, is_mass
from vigil.reconcile.drift import Vanished
from vigil.reconcile.drop_copy import DropCopy
from vigil.reconcile.observe import (
    OVERLAP_MS,
    Quotes,
    Source,
    currencies_of,
    read_exchange,
    read_ledger,
)
from vigil.reconcile.readings import LedgerReading

log = structlog.get_logger(__name__)

# Between the socket's reading and the second witness's, so that both cannot be one hiccup.
SECOND_LOOK_DELAY_S = 2.0

# What it takes to believe that most positions are gone: readings, and exchange time between the
# first and the last.
MASS_READINGS = 3
MASS_SPAN_MS = 6_000


class Gone(Struct, frozen=True, kw_only=True):
    """A trade that both sources agree is gone.

    Args:
        at_ms: Exchange time of the witness's reading.
    """

    trade: Trade
    mark_price: Decimal
    at_ms: int


class Vanishing:
    """Judges trades that seem to be gone.

    Attributes:
        problem: Why nothing may be concluded from what is not there: most positions are gone.
        denied: What both sources deny and the log does not; None while nothing is.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        books: Books,
        drop_copy: DropCopy,
        witness: Source,
        quotes: Quotes,
        clock: Clock,
        exchange_now_ms: Callable[[], int],
    ) -> None:
        self._ledger = ledger
        self._books = books
        self._drop_copy = drop_copy
        self._witness = witness
        self._quotes = quotes
        self._clock = clock
        self._exchange_now_ms = exchange_now_ms
        self._mass_since_ms: int | None = None
        self._mass_readings = 0
        self.problem: str | None = None
        self.denied: str | None = None

    def look(self, vanished: Sequence[Vanished], ledger: LedgerReading, read_ms: int) -> bool:
        """Take in one reading; whether what vanished in it may be closed.

        Called once for every pass, also when nothing has vanished.
        """
        gone = [drift.trade for drift in vanished]
        if not gone:
            self.denied = None
        if not is_mass(gone, ledger):
            self._mass_since_ms, self._mass_readings, self.problem = None, 0, None
            return True
        if self._mass_since_ms is None or read_ms < self._mass_since_ms:
            self._mass_since_ms, self._mass_readings = read_ms, 0
        self._mass_readings += 1
        names = sorted({trade.instrument_name for trade in gone})
        span_ms = read_ms - self._mass_since_ms
        if self._mass_readings >= MASS_READINGS and span_ms >= MASS_SPAN_MS:
            self.problem = None
            return True
        self.problem = f"positions in {', '.join(names)} seem to have vanished at once"
        log.error("[Reconciliation] Closing nothing yet", reason=self.problem)
        return False

    async def confirm(self, vanished: Sequence[Vanished], looked_ms: int) -> tuple[Gone, ...]:
        """Those of the trades that are gone for the second witness as well, some time later.

        Args:
            looked_ms: Exchange time at which the pass began that found them gone.
        """
        await self._clock.sleep(SECOND_LOOK_DELAY_S)
        trades = [drift.trade for drift in vanished]
        started_ms = self._exchange_now_ms()
        for currency in sorted(currencies_of(trades, ())):
            since_ms = min(
                trade.entry_time_ms for trade in trades if trade.settlement_currency == currency
            )
            fills = await self._witness.fills_since(currency, since_ms - OVERLAP_MS, started_ms)
            await self._books.book_fills(fills)
        exchange = await read_exchange(
            self._witness, self._quotes, trades=trades, started_ms=started_ms
        )
        ledger = await read_ledger(self._ledger)
        wanted = {trade.trade_id for trade in trades}
        gone: list[Gone] = []
        denied: list[str] = []
        for drift in compare(ledger, exchange):
            if not isinstance(drift, Vanished) or drift.trade.trade_id not in wanted:
                continue
            trade = drift.trade
            position = exchange.positions.get(trade.instrument_name)
            held = ZERO if position is None else position.size
            if trade.trade_id in ledger.with_entry_fills and not await self._drop_copy.agrees(
                trade, held, from_ms=looked_ms
            ):
                denied.append(trade.trade_id)
                continue
            mark_price = exchange.mark_prices[trade.instrument_name]
            gone.append(Gone(trade=trade, mark_price=mark_price, at_ms=started_ms))
        self.denied = None
        if denied:
            self.denied = f"trades {', '.join(denied)} are denied, and no record tells of their end"
            log.warning("[Reconciliation] Closing nothing yet", reason=self.denied)
        return tuple(gone)
