"""The exchange without its sessions: markets, books, matching engine and charts, moved together.

The venue's methods read and change it; prices move by walks, or by hand in tests. Whatever happened
is left in the books' journal.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from vigil.domain.money import ZERO
from vigil.domain.order import Direction
from vigil.paper.account.books import Books, Cash, Entry
from vigil.paper.account.clearing import Clearing, ClearingState
from vigil.paper.account.funding import FundingHour
from vigil.paper.account.log_rows import LogRow, SettlementRow
from vigil.paper.account.orders import PaperOrder, PaperTrade, TriggerEnd
from vigil.paper.account.positions import PaperPosition
from vigil.paper.market.charts import Chart, ClosedMinute
from vigil.paper.market.delivery_price import DAY_MS, DeliveryWindow
from vigil.paper.market.feeds import start_prices as usual_prices
from vigil.paper.market.floor import Floor, MarketState
from vigil.paper.market.index import Delivery
from vigil.paper.market.instruments import PERPETUALS, Catalogue, Listing
from vigil.paper.market.market import BookState, Market
from vigil.paper.market.tape import PublicTrade
from vigil.paper.market.walk import Walk
from vigil.paper.matching.engine import MatchingEngine
from vigil.paper.platform import Platform
from vigil.paper.switches import Switches

START_BALANCES = {"USDC": Decimal(100_000), "BTC": Decimal(10), "ETH": Decimal(100)}
# Inside +-0.025 % of the index, where funding is zero.
PREMIUM = Decimal("0.00005")

# How long an expired instrument can still be asked about when the account never had to do with it.
EXPIRED_KEPT_MS = 32 * DAY_MS

_CHANGE_ID_JUMP_MAX = 900
_RARE_TRADE_ODDS = 0.02  # per index and busy move
# Other people trade and move their orders so often, in market seconds.
_BUSY_EVERY_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """All that is small and changes often, kept as one document.

    Args:
        prices: Present index prices.
        born_ms, born_prices: When the exchange first started, and at which prices.
        walks: Snapshots by index name, one per distinct walk.
        now_ms: When prices were last moved; 0 in files of earlier versions.
        windows: Averages of a half hour before an expiry that are being built, by index name.
        clearing: None in files of earlier versions.
        cancels_on_disconnect: Connections opened from now on cancel their orders when they end.
        cancelling_connections: Open ones that do.
    """

    positions: tuple[PaperPosition, ...]
    cash: tuple[Cash, ...]
    counters: dict[str, int]
    prices: dict[str, Decimal]
    born_ms: int
    born_prices: dict[str, Decimal]
    markets: tuple[MarketState, ...]
    walks: dict[str, dict[str, Any]]
    now_ms: int = 0
    windows: dict[str, DeliveryWindow] = field(default_factory=dict)
    clearing: ClearingState | None = None
    cancels_on_disconnect: bool = False
    cancelling_connections: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedState:
    """Everything persistence gives back at a start."""

    account: AccountState
    orders: tuple[PaperOrder, ...]
    trades: tuple[PaperTrade, ...]
    log: tuple[LogRow, ...]
    minutes: tuple[ClosedMinute, ...]
    listings: tuple[Listing, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    trigger_ends: tuple[TriggerEnd, ...] = ()
    settlements: tuple[SettlementRow, ...] = ()
    funding_hours: tuple[FundingHour, ...] = ()


class Exchange:
    """Markets and books of the one account.

    Args:
        walks: By index name; one walk may serve several. An index without one stands still until
            `set_price`.
        start_prices: For indexes without a walk.
        listings: What is listed for good; dated instruments are added day by day with
            `lists_expiries`.
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
        listings: Sequence[Listing] = PERPETUALS,
        lists_expiries: bool = True,
    ) -> None:
        self.switches = switches or Switches()
        self.locked_indexes: set[str] = set()
        self._dice = dice
        self._idle_s = 0.0
        self._ids = random.Random("change ids")  # noqa: S311 - only a jump
        self.floor = Floor(
            now_ms=now_ms,
            listings=listings,
            walks=walks or {},
            start_prices=usual_prices(listings) | dict(start_prices or {}),
            premium=premium,
            dice=dice,
            own_orders=self._resting_orders,
            lists_expiries=lists_expiries,
        )
        self.markets = self.floor.markets
        self.platform = Platform(
            lambda: self.catalogue.index_names,
            standing_still=self.locked_indexes,
            account_locked_code=self.switches.account_locked_code,
        )
        self.books = Books(balances or START_BALANCES, self.switches)
        self.engine = MatchingEngine(self.books, self.markets, self.switches, self.locked_indexes)
        self.clearing = Clearing(self.books, self.markets, self.engine, now_ms=now_ms)

    @property
    def catalogue(self) -> Catalogue:
        """What is listed, or was."""
        return self.floor.catalogue

    @property
    def charts(self) -> dict[str, Chart]:
        """Candles by index name."""
        return self.floor.indexes.charts

    @property
    def prices(self) -> dict[str, Decimal]:
        """Present prices by index name."""
        return self.floor.indexes.prices

    def advance(self, market_seconds: float, now_ms: int) -> None:
        """Let the walks cover that many market seconds, and the books' amounts change.

        Prices move, and the account is reckoned, at every call. What other people do, they do by
        the time that passed and not by the number of calls.
        """
        self._idle_s += market_seconds
        self.clearing.pass_time(now_ms)
        passed_s = self._idle_s
        is_busy = passed_s >= _BUSY_EVERY_S
        if is_busy:
            self._idle_s = 0.0
            self.floor.redraw()
        walked = self.floor.indexes.walk(market_seconds)
        for name, index in self.floor.indexes.by_name.items():
            if name in walked:
                if is_busy:
                    self.floor.drift_premiums(name, passed_s)
                self._move(name, walked[name], now_ms, is_traded=is_busy)
            else:
                self.floor.indexes.move(name, index.price, now_ms)
            if is_busy:
                self._print_rare_trade(name, now_ms)
        self._follow_dated(now_ms)
        if is_busy and self.floor.is_listing_due(now_ms):
            self._begin_day(now_ms)
        self.clearing.follow_markets(now_ms)

    def set_price(self, index_name: str, price: Decimal, now_ms: int) -> None:
        """Move one index, and with it every market that follows it."""
        self.clearing.pass_time(now_ms)
        self.floor.indexes.shift(index_name, price)
        self._move(index_name, price, now_ms)
        self._follow_dated(now_ms)
        self.clearing.follow_markets(now_ms)

    def set_premium(self, instrument_name: str, premium: Decimal, now_ms: int) -> None:
        """Let a perpetual's mark stand that fraction above its index from now on."""
        self.clearing.pass_time(now_ms)
        index = self.floor.set_premium(instrument_name, premium)
        self._move(index.name, index.price, now_ms)
        self._follow_dated(now_ms)
        self.clearing.follow_markets(now_ms)

    def _move(
        self, index_name: str, price: Decimal, now_ms: int, *, is_traded: bool = True
    ) -> None:
        followed = [(market, market.mark_price) for market in self.floor.perpetuals(index_name)]
        self.floor.indexes.move(index_name, price, now_ms)
        for market, before in followed:
            market.move()
            if is_traded:
                self._print_foreign_trade(market, before, now_ms)
            self.engine.follow_market(market.listing.name, now_ms=now_ms)

    def account_state(self) -> AccountState:
        """What has to be kept besides orders, trades, log rows and minutes."""
        return AccountState(
            positions=tuple(self.books.positions.values()),
            cash=tuple(self.books.cash.values()),
            counters=dict(self.books.counters),
            prices=self.prices,
            born_ms=self.floor.indexes.born_ms,
            born_prices=dict(self.floor.indexes.born_prices),
            markets=self.floor.market_states(self.books.active_names()),
            walks=self.floor.indexes.walk_snapshots(),
            now_ms=max(index.now_ms for index in self.floor.indexes.by_name.values()),
            windows=self.floor.indexes.windows(),
            clearing=self.clearing.state,
        )

    def restore(self, saved: SavedState) -> None:
        """Take back a kept state, in place of the fresh one."""
        account = saved.account
        self.floor.restore(
            now_ms=account.now_ms or account.born_ms,
            born_ms=account.born_ms,
            born_prices=account.born_prices,
            prices=account.prices,
            walks=account.walks,
            listings=saved.listings,
            deliveries=saved.deliveries,
            windows=account.windows,
            minutes=saved.minutes,
            states=account.markets,
        )
        self.books.restore(
            orders=saved.orders,
            trades=saved.trades,
            log=saved.log,
            trigger_ends=saved.trigger_ends,
            positions=account.positions,
            cash=account.cash,
            counters=account.counters,
            settlements=saved.settlements,
        )
        self.engine = MatchingEngine(self.books, self.markets, self.switches, self.locked_indexes)
        now_ms = account.now_ms or account.born_ms
        self.clearing = Clearing(self.books, self.markets, self.engine, now_ms=now_ms)
        if account.clearing is not None:
            self.clearing.restore(account.clearing, saved.funding_hours)
        self._end_connections(saved, now_ms)

    @property
    def missing_price(self) -> Decimal | None:
        """What stands for the best price of an empty side."""
        return ZERO if self.switches.empty_side_is_zero else None

    def next_change_id(self) -> int:
        """The next id of a change in any book; other people's books change in between."""
        return self.books.next_number("change", step=self._ids.randint(1, _CHANGE_ID_JUMP_MAX))

    def drain(self) -> list[Entry]:
        """What happened in the books since the last call."""
        return self.books.drain()

    def _end_connections(self, saved: SavedState, now_ms: int) -> None:
        """No connection outlives its exchange: who asked for it loses the orders now."""
        ending = set(saved.account.cancelling_connections)
        for kept in saved.orders:
            order = self.books.orders.get(kept.order_id)
            if kept.connection_id is None or order is None or not order.is_live:
                continue
            if kept.connection_id in ending and not order.is_pending:
                self.engine.cancel(order.order_id, "cancel_on_disconnect", now_ms=now_ms)
            else:
                self.books.put(order, is_silent=True)

    def _begin_day(self, now_ms: int) -> None:
        """After an expiry: new ones are listed, and what expired long ago goes.

        It goes once nothing that is kept is about it, but not on the day on which it is archived:
        that it is, and what was last traded of it, has still to be told.
        """
        for name in self.floor.forget(now_ms - EXPIRED_KEPT_MS, self.books.named()):
            self.clearing.forget(name)
        self.floor.list_new(now_ms)
        for name, market in self.markets.items():
            if market.state is BookState.ARCHIVIZED:  # no trade will ask for its sequence any more
                self.books.counters.pop(f"trade_seq:{name}", None)

    def _follow_dated(self, now_ms: int) -> None:
        """Dated markets with orders in them; nobody sees the others move."""
        for name in self.books.active_names():
            if not self.markets[name].listing.is_perpetual:
                self.engine.follow_market(name, now_ms=now_ms)

    def _resting_orders(self, name: str) -> Iterator[tuple[Direction, Decimal, Decimal]]:
        """Side, price and visible amount of the account's orders in a book."""
        for order in self.books.live_orders(name):
            if order.price is None or order.waits_for_trigger:
                continue
            shown = order.remaining
            if order.display_amount is not None:
                shown = min(order.display_amount, shown)
            if shown:
                yield order.direction, order.price, shown

    def _print_rare_trade(self, index_name: str, now_ms: int) -> None:
        """Now and then somebody trades a dated future or an option."""
        if self._dice.random() >= _RARE_TRADE_ODDS:
            return
        markets = self.floor.dated(index_name)
        if not markets:
            return
        market = self._dice.choice(markets)
        direction = self._dice.choice(tuple(Direction))
        if market.best_bid is None:
            direction = Direction.BUY
        price = market.best_opposite(direction)
        self._print_trade(market, direction, price, now_ms)

    def _print_foreign_trade(self, market: Market, before: Decimal, now_ms: int) -> None:
        """Somebody traded at the new price, so that last price, tape and volume live."""
        if market.state is not BookState.OPEN:
            return
        direction = Direction.BUY if market.mark_price >= before else Direction.SELL
        self._print_trade(market, direction, market.best_opposite(direction), now_ms)

    def _print_trade(
        self, market: Market, direction: Direction, price: Decimal, now_ms: int
    ) -> None:
        if not price.is_finite() or not price:
            return  # nobody is there to trade with
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
                amount=instrument.amount_step * self._dice.randint(1, 50),
                mark_price=market.mark_price,
                index_price=market.index_price,
                tick_direction=market.tick_direction_of(price),
            )
        )
