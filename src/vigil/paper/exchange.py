"""The exchange without its sessions: markets, books, matching engine and charts, moved together.

The venue's methods read and change it; prices move by walks, or by hand in tests. Whatever happened
is left in the books' journal.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from vigil.domain.order import Direction
from vigil.paper.account.books import Books, Cash, Entry
from vigil.paper.account.orders import LogRow, PaperOrder, PaperTrade
from vigil.paper.account.positions import PaperPosition
from vigil.paper.market.charts import Chart, ClosedMinute, OhlcPrices, flat_history
from vigil.paper.market.instruments import INDEX_NAMES, LISTINGS
from vigil.paper.market.market import Market
from vigil.paper.market.tape import PublicTrade
from vigil.paper.matching.engine import MatchingEngine
from vigil.paper.switches import Switches

START_BALANCES = {"USDC": Decimal(100_000), "BTC": Decimal(10), "ETH": Decimal(100)}
START_PRICES = {
    "btc_usd": Decimal(95_000),
    "btc_usdc": Decimal(95_000),
    "eth_usdc": Decimal(3_300),
}
# Inside +-0.025 % of the index, where funding is zero.
PREMIUM = Decimal("0.00005")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketState:
    """One market, as persistence keeps it."""

    instrument_name: str
    last_price: Decimal
    settlement_price: Decimal
    weights: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """All that is small and changes often, kept as one document.

    Args:
        prices: Present index prices.
        born_ms, born_prices: When the exchange first started, and at which prices.
        walks: Snapshots by index name, one per distinct walk.
    """

    positions: tuple[PaperPosition, ...]
    cash: tuple[Cash, ...]
    counters: dict[str, int]
    prices: dict[str, Decimal]
    born_ms: int
    born_prices: dict[str, Decimal]
    markets: tuple[MarketState, ...]
    walks: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedState:
    """Everything persistence gives back at a start."""

    account: AccountState
    orders: tuple[PaperOrder, ...]
    trades: tuple[PaperTrade, ...]
    log: tuple[LogRow, ...]
    minutes: tuple[ClosedMinute, ...]


class Exchange:
    """Markets and books of the one account.

    Args:
        walks: By index name; one walk may serve several. An index without one stands still until
            `set_price`.
        start_prices: For indexes without a walk.
        premium: Mark over index, as a fraction.
        dice: For the amounts in the book and on the tape.
    """

    def __init__(
        self,
        *,
        now_ms: int,
        dice: random.Random,
        walks: Mapping[str, Walk] | None = None,
        start_prices: Mapping[str, Decimal] | None = None,
        balances: Mapping[str, Decimal] | None = None,
        premium: Decimal = PREMIUM,
        switches: Switches | None = None,
    ) -> None:
        self.switches = switches or Switches()
        self._dice = dice
        self._walks = dict(walks or {})
        given = START_PRICES | dict(start_prices or {})
        self.prices = {
            name: self._walks[name].price if name in self._walks else given[name]
            for name in INDEX_NAMES
        }
        self.born_ms, self._born_prices = now_ms, dict(self.prices)
        self._premium = premium
        self._build_markets()
        self.books = Books(balances or START_BALANCES)
        self.engine = MatchingEngine(self.books, self.markets, self.switches)

    def _build_markets(self) -> None:
        self.charts = {
            name: Chart(
                name,
                history=self._walks[name].history if name in self._walks else flat_history(price),
                start_price=price,
                start_ms=self.born_ms,
            )
            for name, price in self._born_prices.items()
        }
        self.markets = {
            listing.name: Market(
                listing,
                index_price=self.prices[listing.instrument.price_index],
                premium=self._premium,
            )
            for listing in LISTINGS
        }

    def advance(self, market_seconds: float, now_ms: int) -> None:
        """Let the walks cover that many market seconds, and the book's amounts change."""
        moved = {id(walk): walk for walk in self._walks.values()}
        prices = {key: walk.advance(market_seconds) for key, walk in moved.items()}
        for market in self.markets.values():
            market.redraw(self._dice)
        for name, price in self.prices.items():
            if name in self._walks:
                self.set_price(name, prices[id(self._walks[name])], now_ms)
            else:
                self.charts[name].record(price, now_ms)

    def set_price(self, index_name: str, price: Decimal, now_ms: int) -> None:
        """Move one index, and with it every market that follows it."""
        self.prices[index_name] = price
        self.charts[index_name].record(price, now_ms)
        for name, market in self.markets.items():
            if market.listing.instrument.price_index == index_name:
                before = market.mark_price
                market.move(price)
                self._print_foreign_trade(market, before, now_ms)
                self.engine.follow_market(name, now_ms=now_ms)

    def mark_of(self, instrument_name: str, index_price: Decimal) -> Decimal:
        """An instrument's price when its index is there, on tick."""
        instrument = self.markets[instrument_name].listing.instrument
        return instrument.round_price(index_price * (1 + self._premium))

    def account_state(self) -> AccountState:
        """What has to be kept besides orders, trades, log rows and minutes."""
        walks: dict[int, tuple[str, Walk]] = {}
        for name, walk in self._walks.items():
            walks.setdefault(id(walk), (name, walk))
        return AccountState(
            positions=tuple(self.books.positions.values()),
            cash=tuple(self.books.cash.values()),
            counters=dict(self.books.counters),
            prices=dict(self.prices),
            born_ms=self.born_ms,
            born_prices=dict(self._born_prices),
            markets=tuple(
                MarketState(
                    instrument_name=name,
                    last_price=market.last_price,
                    settlement_price=market.settlement_price,
                    weights=market.weights,
                )
                for name, market in self.markets.items()
            ),
            walks={name: walk.snapshot() for name, walk in walks.values()},
        )

    def restore(self, saved: SavedState) -> None:
        """Take back a kept state, in place of the fresh one."""
        account = saved.account
        self.born_ms, self._born_prices = account.born_ms, dict(account.born_prices)
        self.prices |= account.prices
        for name, snapshot in account.walks.items():
            if name in self._walks:
                self._walks[name].restore(snapshot)
        self._build_markets()
        for state in account.markets:
            self.markets[state.instrument_name].restore(
                weights=state.weights,
                settlement_price=state.settlement_price,
                last_price=state.last_price,
            )
        for name, chart in self.charts.items():
            chart.restore(row.candle for row in saved.minutes if row.index_name == name)
        self.books.restore(
            orders=saved.orders,
            trades=saved.trades,
            log=saved.log,
            positions=account.positions,
            cash=account.cash,
            counters=account.counters,
        )
        self.engine = MatchingEngine(self.books, self.markets, self.switches)

    def drain(self) -> list[Entry]:
        """What happened in the books since the last call."""
        return self.books.drain()

    def drain_minutes(self) -> list[ClosedMinute]:
        """Chart minutes that ended since the last call."""
        return [minute for chart in self.charts.values() for minute in chart.drain_closed()]

    def _print_foreign_trade(self, market: Market, before: Decimal, now_ms: int) -> None:
        """Somebody traded at the new price, so that last price, tape and volume live."""
        direction = Direction.BUY if market.mark_price >= before else Direction.SELL
        price = market.best_opposite(direction)
        instrument, listing = market.listing.instrument, market.listing
        prefix = listing.id_prefix
        market.record_trade(
            PublicTrade(
                trade_id=f"{prefix}{self.books.next_number('trade', prefix)}",
                trade_seq=self.books.next_number("trade_seq", listing.name),
                instrument_name=listing.name,
                timestamp_ms=now_ms,
                direction=direction,
                price=price,
                amount=instrument.contract_size * self._dice.randint(1, 50),
                mark_price=market.mark_price,
                index_price=market.index_price,
                tick_direction=market.tick_direction_of(price),
            )
        )
