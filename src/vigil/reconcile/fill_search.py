"""Every execution since the last complete search, found by asking and booked.

The cursor is the time of a search and not of the newest fill: after a gap the stream may bring new
fills before the old ones were asked for. It is kept for each currency, and outlives the process.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from vigil.desk.books import Books
from vigil.domain.instrument import contract_of
from vigil.domain.order import Fill
from vigil.errors import VigilError
from vigil.ledger.account_log import FILLS, Searched
from vigil.ledger.ledger import Ledger
from vigil.reconcile.observe import OVERLAP_MS, currencies_of
from vigil.reconcile.readings import is_waited_for

log = structlog.get_logger(__name__)

# The exchange's archive lags: for an hour the fills of a trade closed by an estimate are asked for
# again.
ESTIMATE_SEARCHED_MS = 3_600_000

# A fill that the stream has just brought may not be found by a search yet.
ANCHOR_AGE_MS_MIN = 10_000


class FillSource(Protocol):
    """Where executions are asked for. Raises a VigilError rather than answer in part."""

    async def fills_since(self, currency: str, start_ms: int, end_ms: int) -> tuple[Fill, ...]:
        """All executions of the account in a window of exchange time."""
        ...


class FillSearch:
    """Remembers how far it has searched, in each currency.

    Args:
        instrument_names: The instruments that strategies trade now.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        books: Books,
        exchange: FillSource,
        witness: FillSource,
        instrument_names: Callable[[], Iterable[str]],
    ) -> None:
        self._ledger = ledger
        self._books = books
        self._exchange = exchange
        self._witness = witness
        self._instrument_names = instrument_names
        self._is_loaded = False
        self._fallback_ms: int | None = None
        self._searched_trades: set[str] = set()
        self._searched_orders: set[str] = set()
        self._anchored_epoch: int | None = None
        self._lost: dict[str, str] = {}
        self.searched: dict[str, Searched] = {}

    @property
    def problem(self) -> str | None:
        """Why the exchange's history is not the one that we know; None while it is."""
        return next(iter(self._lost.values()), None)

    async def currencies(self) -> frozenset[str]:
        """The settlement currencies in which something of ours may have happened."""
        trades = (await self._ledger.open_trades()).trades
        unproven = {order.instrument_name for order in await self._ledger.unproven_orders()}
        return frozenset(currencies_of(trades, unproven.union(self._instrument_names())))

    async def catch_up(self, now_ms: int, *, epoch: int) -> tuple[Fill, ...]:
        """Book every execution until `now_ms`, exchange time; those not known before.

        A trade that a person inserted is searched for from its entry on. In each session the
        search goes back once to the newest fill that is known, which must be there. For an order
        that filled and whose executions did not show it goes back to the order, as long as these
        may be late; later no more, as the search would grow with every day.
        """
        await self._load()
        trades = (await self._ledger.open_trades()).trades
        trades += await self._ledger.estimated_trades(now_ms - ESTIMATE_SEARCHED_MS)
        unsearched = [trade for trade in trades if trade.trade_id not in self._searched_trades]
        unproven = {order.instrument_name for order in await self._ledger.unproven_orders()}
        all_short = await self._ledger.orders_short_of_fills()
        short = [
            order
            for order in all_short
            if order.label not in self._searched_orders or is_waited_for(order, now_ms)
        ]
        anchors: dict[str, Fill] = {}
        if epoch != self._anchored_epoch or self._lost:
            anchors = await self._ledger.newest_fills()
        new: tuple[Fill, ...] = ()
        is_anchored = True
        unproven |= {order.instrument_name for order in short}
        wanted = currencies_of(trades, unproven.union(self._instrument_names()))
        for currency in sorted(wanted):
            since_ms = self._complete_ms(currency, now_ms) - OVERLAP_MS
            reach_ms = [
                trade.entry_time_ms - OVERLAP_MS
                for trade in unsearched
                if trade.settlement_currency == currency
            ]
            reach_ms += [
                order.valid_until_ms - OVERLAP_MS
                for order in short
                if contract_of(order.instrument_name).settlement_currency == currency
            ]
            anchor = anchors.get(currency)
            if anchor is not None and anchor.timestamp_ms <= now_ms - ANCHOR_AGE_MS_MIN:
                reach_ms.append(anchor.timestamp_ms)
            else:
                anchor = None
            start_ms = max(0, min([since_ms, *reach_ms]))
            fills = await self._exchange.fills_since(currency, start_ms, now_ms)
            if anchor is not None:
                is_anchored &= await self._check(currency, anchor, fills, now_ms)
            new += await self._books.book_fills(fills)
            self._extend(currency, start_ms, now_ms)
        self._searched_trades = {trade.trade_id for trade in trades if trade.is_open}
        self._searched_orders = {order.label for order in all_short}
        self._anchored_epoch = epoch if is_anchored else None
        return new

    async def _load(self) -> None:
        if not self._is_loaded:
            self.searched = await self._ledger.account_log.searched(FILLS)
            self._fallback_ms = await self._ledger.last_good_run_ms()
            self._is_loaded = True

    def _complete_ms(self, currency: str, now_ms: int) -> int:
        known = self.searched.get(currency)
        if known is not None:
            return min(known.complete_ms, now_ms)
        return now_ms if self._fallback_ms is None else min(self._fallback_ms, now_ms)

    def _extend(self, currency: str, start_ms: int, now_ms: int) -> None:
        known = self.searched.get(currency)
        since_ms = start_ms if known is None else min(known.since_ms, start_ms)
        self.searched[currency] = Searched(since_ms=since_ms, complete_ms=now_ms)

    async def _check(self, currency: str, anchor: Fill, found: Iterable[Fill], now_ms: int) -> bool:
        """Whether it could be found out if the newest fill that we know is still known there."""
        if anchor.trade_id in {fill.trade_id for fill in found}:
            self._lost.pop(currency, None)
            return True
        try:
            seen = await self._witness.fills_since(currency, anchor.timestamp_ms, now_ms)
        except VigilError as error:
            log.warning("witness.unread", reason=str(error))
            return False
        if anchor.trade_id in {fill.trade_id for fill in seen}:
            self._lost.pop(currency, None)
        else:
            self._lost[currency] = (
                f"fill {anchor.trade_id} of {currency} is not known to the exchange any more"
            )
        return True
