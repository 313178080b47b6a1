"""Clearing: what passes with time alone. Funding, the 08:00 UTC settlement, delivery, liquidation.

At 08:00 UTC books close for a few seconds, good-til-day orders end, the session's profit of futures
becomes cash and a new session begins. Instruments that expire are delivered at the average of the
index over the last half hour: no trade is made, the position is gone. Moments that passed while
nobody looked are made up for one by one.
Source: Deribit knowledge base, settlement; API v2, states of the order book.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from vigil.domain.money import ZERO
from vigil.paper.account.books import Books
from vigil.paper.account.funding import (
    FundingHour,
    FundingMeter,
    FundingState,
    funding_rate,
    received,
)
from vigil.paper.account.liquidation import Canceller, Liquidator
from vigil.paper.account.positions import with_funding
from vigil.paper.account.settlement import Settlement
from vigil.paper.account.transfers import Transfers
from vigil.paper.market.delivery_price import next_expiry_ms
from vigil.paper.market.market import BookState, Market

SETTLEMENT_MS = 3_000

_GONE = frozenset({BookState.DELIVERED, BookState.ARCHIVIZED})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearingState:
    """What clearing has to remember.

    Args:
        last_ms: Until when time was accounted for.
        reopens_ms: When books open after a settlement; None while there is none.
        delivered: Instruments that were delivered before they expired, at which price.
    """

    last_ms: int
    reopens_ms: int | None = None
    funding: tuple[FundingState, ...] = ()
    delivered: dict[str, Decimal] = field(default_factory=dict)


class Engine(Canceller, Protocol):
    """What clearing needs of the matching engine."""

    def expire_day_orders(self, now_ms: int) -> None:
        """End orders that are good until settlement."""
        ...


class Clearing:
    """Funding, settlement, delivery and liquidation of the account.

    Attributes: `meters` hold the funding of every perpetual, `transfers` what others do to the
    account, `liquidator` the forced closing.

    Args:
        markets: By name; they get their funding figures, states and settlement prices from here.
        now_ms: Where time begins.
    """

    def __init__(
        self, books: Books, markets: Mapping[str, Market], engine: Engine, *, now_ms: int
    ) -> None:
        self._books, self._markets, self._engine = books, markets, engine
        self._perpetuals = [m for m in markets.values() if m.listing.is_perpetual]
        self._last_ms = now_ms
        self._reopens_ms: int | None = None
        self._delivered: dict[str, Decimal] = {}
        self._settlement = Settlement(books, markets)
        self.meters: dict[str, FundingMeter] = {}
        self.transfers = Transfers(books, markets)
        self.liquidator = Liquidator(books, markets, engine)
        for market in self._perpetuals:
            self._meter(market)
        self._set_rates()

    # -- time ----------------------------------------------------------------------------------

    def pass_time(self, now_ms: int) -> None:
        """Account for everything between the last call and `now_ms`, at the prices there were.

        Where the clock went back, what was accounted for stays so until time has caught up; only
        books that closed for a settlement which by that clock is over, or to come, open again.
        """
        if now_ms <= self._last_ms:
            if self._reopens_ms is not None and not 0 < self._reopens_ms - now_ms <= SETTLEMENT_MS:
                self._open_books()
            return
        while (boundary_ms := next_expiry_ms(self._last_ms)) <= now_ms:
            self._advance(boundary_ms)
            self.settle(boundary_ms)
        self._advance(now_ms)

    def follow_markets(self, now_ms: int) -> None:
        """After prices moved: the funding rates of the moment, and whether margin suffices."""
        self._set_rates()
        self.liquidator.watch(now_ms)

    @property
    def state(self) -> ClearingState:
        """All that `restore` needs beside the hours."""
        return ClearingState(
            last_ms=self._last_ms,
            reopens_ms=self._reopens_ms,
            funding=tuple(meter.state for meter in self.meters.values()),
            delivered=dict(self._delivered),
        )

    def restore(self, state: ClearingState, hours: Iterable[FundingHour]) -> None:
        """Go on where an earlier run ended, be it in the middle of a settlement."""
        self._last_ms, self._reopens_ms = state.last_ms, state.reopens_ms
        self._delivered = dict(state.delivered)
        for name, price in self._delivered.items():
            if name in self._markets:
                self._mark_delivered(self._markets[name], price)
        by_name: dict[str, list[FundingHour]] = {}
        for hour in hours:
            by_name.setdefault(hour.instrument_name, []).append(hour)
        for kept in state.funding:
            market = self._markets.get(kept.instrument_name)
            if market is not None:
                meter = self._meter(market)
                meter.restore(kept, by_name.get(kept.instrument_name, ()))
                market.interest_value = meter.interest_value
        if self._reopens_ms is not None:
            self._close_books()
        else:  # whoever closed one by hand is not there any more to open it
            self._open_books()
        self._set_rates()

    # -- what is due, or asked for -------------------------------------------------------------

    def settle(self, now_ms: int) -> None:
        """The daily settlement: deliver what expires, and begin a new session for the rest."""
        for name, market in self._markets.items():
            is_due = not market.listing.is_perpetual and market.listing.expires_ms <= now_ms
            if is_due and market.state not in _GONE:
                self.deliver(name, now_ms)
        self._engine.expire_day_orders(now_ms)
        self._close_books()
        self._reopens_ms = now_ms + SETTLEMENT_MS
        for currency in tuple(self._books.cash):
            self._settlement.settle(currency, now_ms)
        for market in self._markets.values():
            if market.state not in _GONE:
                market.settlement_price = market.mark_price
        for meter in self.meters.values():
            meter.restart()
        for market in self._perpetuals:
            market.interest_value = ZERO

    def deliver(self, instrument_name: str, now_ms: int, price: Decimal | None = None) -> None:
        """Deliver a dated future or an option, at the average index price unless one is given."""
        market = self._markets[instrument_name]
        price = market.estimated_delivery_price if price is None else price
        for order in tuple(self._books.live_orders(instrument_name)):
            if self._books.orders[order.order_id].is_live:
                self._engine.cancel(order.order_id, "settlement", now_ms=now_ms)
        position = self._books.position(instrument_name)
        if position.size:
            self._settlement.deliver(position, price, now_ms)
        self._mark_delivered(market, price)
        if now_ms < market.listing.expires_ms:
            self._delivered[instrument_name] = price

    def forget(self, instrument_name: str) -> None:
        """The instrument is gone for good."""
        self._delivered.pop(instrument_name, None)

    def liquidate(self, instrument_name: str, amount: Decimal, now_ms: int) -> None:
        """Close that much of a position by force, whatever the margin says."""
        self.liquidator.liquidate(instrument_name, amount, now_ms=now_ms)

    # -- steps ---------------------------------------------------------------------------------

    def _advance(self, until_ms: int) -> None:
        self._accrue(until_ms)
        self._last_ms = max(until_ms, self._last_ms)
        if self._reopens_ms is not None and until_ms >= self._reopens_ms:
            self._open_books()

    def _accrue(self, until_ms: int) -> None:
        """Funding until then, at the rate and the index of the last move."""
        for market in self._perpetuals:
            meter = self._meter(market)
            interest, hours = meter.pass_time(until_ms, market.current_funding, market.index_price)
            for hour in hours:
                self._books.add_funding_hour(hour)
            position = self._books.position(market.listing.name)
            if interest and position.size:
                funding = received(position.size, interest)
                self._books.positions[market.listing.name] = with_funding(position, funding)
                self._books.book_cash(market.listing.currency, session_rpl=funding)
            market.interest_value = meter.interest_value

    # -- the markets ---------------------------------------------------------------------------

    def _set_rates(self) -> None:
        for market in self._perpetuals:
            premium = (market.mark_price - market.index_price) / market.index_price
            market.current_funding = funding_rate(market.listing.name, premium)
            market.funding_8h = self._meter(market).eight_hours

    def _close_books(self) -> None:
        for market in self._markets.values():
            if market.state is BookState.OPEN:
                market.state = BookState.SETTLEMENT

    def _open_books(self) -> None:
        self._reopens_ms = None
        for market in self._markets.values():
            if market.state is BookState.SETTLEMENT:
                market.state = BookState.OPEN

    @staticmethod
    def _mark_delivered(market: Market, price: Decimal) -> None:
        market.delivery_price = price
        market.state = BookState.DELIVERED

    def _meter(self, market: Market) -> FundingMeter:
        name = market.listing.name
        if name not in self.meters:
            self.meters[name] = FundingMeter(
                market.listing, now_ms=self._last_ms, index_price=market.index_price
            )
        return self.meters[name]
