"""One strategy's loop: inbox → pipeline → desk.

An executor lives for one run. When it ends, however it ends, a fresh one takes over: it rebuilds
what it must know from the ledger, the strategy's memory from the checkpoint or from history, and
goes on.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, assert_never

import structlog
from msgspec import Struct
from msgspec.structs import replace

from vigil.clock import Clock
from vigil.deribit.outcome import Outcome, Unknown
from vigil.desk.books import Books
from vigil.desk.desk import Desk, is_filled
from vigil.domain.instrument import Instrument
from vigil.domain.market import Candle, Ticker
from vigil.domain.order import OwnOrder, Role
from vigil.domain.standing import AnalysisState
from vigil.domain.trade import ExitReason, Trade
from vigil.fleet.authority import Authority
from vigil.fleet.inbox import Inbox
from vigil.fleet.locks import Locks
from vigil.ledger.ledger import Ledger
from vigil.reconcile.readings import is_waited_for
from vigil.trading.execution import Author
from vigil.trading.pipeline import (
    DAY_MS,
    CloseTrade,
    Command,
    OwnOrderChanged,
    PlaceEntry,
    QuoteSeen,
    StrategyState,
    Surroundings,
    TightenStop,
    TradeChanged,
    analysis_state,
    step,
)
from vigil.trading.risk import Approved, Reason, Refused, refuse_by_market
from vigil.trading.signal import Strategy

log = structlog.get_logger(__name__)

# Why a reconciliation is asked for when a command did not come out as intended.
_FAILURES = {
    PlaceEntry: "order in doubt",
    TightenStop: "stop not moved",
    CloseTrade: "close not confirmed",
}


class MarketData(Protocol):
    """The exchange, as far as an executor needs it."""

    def exchange_now_ms(self) -> int:
        """The exchange's time as measured now."""
        ...

    async def candles(
        self, instrument_name: str, *, resolution: str, start_ms: int, end_ms: int
    ) -> tuple[Candle, ...]:
        """Closed and current candles, oldest first."""
        ...


class Tools(Struct, frozen=True, kw_only=True):
    """What every executor is handed.

    Args:
        request_pass: Asks for a reconciliation, when something did not come out as intended.
    """

    ledger: Ledger
    books: Books
    desk: Desk
    market: MarketData
    authority: Authority
    locks: Locks
    clock: Clock
    request_pass: Callable[[str], None]


class Executor:
    """Runs one strategy from resume to the end of this run."""

    def __init__(
        self,
        *,
        author: Author,
        strategy: Strategy,
        instrument: Instrument,
        is_paused: bool,
        memory: Mapping[str, Any] | None,
        tools: Tools,
    ) -> None:
        self.author = author
        self._strategy = strategy
        self._memory = memory
        self._tools = tools
        self._inbox = Inbox()
        self._state = StrategyState(
            instrument=instrument, limits=strategy.limits, is_paused=is_paused
        )
        self._is_resumed = False
        self._is_entering = False
        self._arrived_s: float | None = None
        self._last_refusal: Reason | None = None
        self._last_shown: AnalysisState | None = None

    @property
    def state(self) -> StrategyState:
        """What the strategy knows of itself now."""
        return self._state

    @property
    def analysis_state(self) -> AnalysisState:
        """What the strategy is doing now."""
        if not self._is_resumed:
            return AnalysisState.INITIALIZING
        if self._is_entering:
            return AnalysisState.SIGNAL_DETECTED
        return analysis_state(self._state, self._tools.market.exchange_now_ms())

    @property
    def instrument_name(self) -> str:
        """The instrument that it watches and trades."""
        return self._state.instrument.instrument_name

    @property
    def refusal(self) -> str | None:
        """Why it may open nothing now, whatever it wishes; None when nothing is against it."""
        tools, state = self._tools, self._state
        if tools.authority.refusal is not None:
            return f"{Reason.TRADING_NOT_ALLOWED}: {tools.authority.refusal}"
        closure = tools.locks.against(state.instrument)
        if closure is not None:
            return f"{closure.kind}: {closure.detail}"
        if state.ticker is None:
            return None
        refused = refuse_by_market(
            state.instrument,
            state.ticker,
            now_ms=tools.market.exchange_now_ms(),
            waited_ms=self._waited_ms(),
        )
        return None if refused is None else f"{refused.reason}: {refused.detail}"

    def standing(self) -> dict[str, Any] | None:
        """What the checkpoint keeps of the strategy, as JSON values; None before it has resumed."""
        if not self._is_resumed:
            return None
        trade = self._state.trade
        return {
            "analysisState": self.analysis_state.value,
            "tradeId": None if trade is None else trade.trade_id,
            "lastExitTime": self._state.last_exit_ms,
            "tradesToday": self._state.trades_on(self._tools.market.exchange_now_ms()),
            "memory": self._strategy.snapshot(),
        }

    def quote(self, ticker: Ticker) -> None:
        """Hand it a quote."""
        self._inbox.put_quote(ticker, self._tools.clock.elapsed_s())

    def instrument_changed(self, instrument: Instrument) -> None:
        """Hand it what its instrument is from now on."""
        self._inbox.put_instrument(instrument)

    def trade_changed(self, trade: Trade) -> None:
        """Hand it news of one of its trades."""
        self._inbox.put(TradeChanged(trade=trade))

    def order_changed(self, order: OwnOrder) -> None:
        """Hand it news of one of its orders."""
        self._inbox.put(OwnOrderChanged(order=order))

    async def run(self) -> None:
        """Resume, then take events until cancelled or broken."""
        stop_listening = self._tools.books.listen(self.author.strategy_id, self)
        try:
            await self._resume()
            while True:
                event = await self._inbox.get()
                if isinstance(event, QuoteSeen):
                    self._arrived_s = event.arrived_s
                result = step(self._state, self._strategy, event, self._surroundings())
                self._state = result.state
                self._show_refusals(result.refusals)
                for command in result.commands:
                    await self._carry_out(command)
                if not self._inbox.has_news:
                    self._show_state()
        finally:
            stop_listening()

    async def _resume(self) -> None:
        """Know again what was known: first of trades and orders, then the strategy's memory."""
        strategy_id = self.author.strategy_id
        now_ms = self._tools.market.exchange_now_ms()
        await self._recall(now_ms)
        await self._remember(now_ms)
        self._is_resumed = True
        trade = self._state.trade
        self._last_shown = self.analysis_state
        log.info(
            "strategy.resumed",
            strategy=strategy_id,
            state=self._last_shown.value,
            trade_id=None if trade is None else trade.trade_id,
            trades_today=self._state.trades_today,
        )

    async def _recall(self, now_ms: int) -> None:
        """Open trade, entry in doubt, day's count and last exit, as the ledger knows them."""
        ledger, strategy_id = self._tools.ledger, self.author.strategy_id
        day = now_ms // DAY_MS
        while True:
            # News told before a reading is in it. Told during one it may be in half of it, and
            # would count twice: then read again.
            self._inbox.clear()
            trades = (await ledger.open_trades()).trades
            working = [
                order for order in await ledger.working_orders() if order.strategy_id == strategy_id
            ]
            trade = next((trade for trade in trades if trade.strategy_id == strategy_id), None)
            last_id, last_exit_ms = await ledger.last_exit(strategy_id) or (None, None)
            # Filled, and the fills not known yet: the trade is not yet what they will make of it.
            working += [
                order
                for order in await ledger.orders_short_of_fills()
                if order.strategy_id == strategy_id
                and is_waited_for(order, now_ms)
                and await ledger.trade(order.trade_id)
                == (trade if order.role is Role.CLOSE else None)
            ]
            self._state = replace(
                self._state,
                trade=trade,
                entry=next((order for order in working if order.role is Role.ENTRY), None),
                close=next((order for order in working if order.role is Role.CLOSE), None),
                closed_trade_id=last_id,
                last_exit_ms=last_exit_ms,
                day=day,
                trades_today=await ledger.trades_opened_since(strategy_id, day * DAY_MS),
            )
            if not self._inbox.has_news:
                return

    async def _remember(self, now_ms: int) -> None:
        """Take back the strategy's memory, and close the gap since then from history."""
        if self._memory is not None:
            try:
                self._strategy.restore(self._memory)
            except ValueError as refusal:
                log.info(
                    "strategy.memory_refused",
                    strategy=self.author.strategy_id,
                    reason=str(refusal),
                    action="warming up from history",
                )
        warm_start = self._strategy.warm_start
        if warm_start is None:
            return
        candles = await self._tools.market.candles(
            self.instrument_name,
            resolution=warm_start.resolution,
            start_ms=now_ms - warm_start.count * warm_start.timeframe_ms,
            end_ms=now_ms,
        )
        closed = [
            candle for candle in candles if candle.start_ms + warm_start.timeframe_ms <= now_ms
        ]
        self._strategy.on_history(closed)
        log.info(
            "strategy.warmed_up",
            strategy=self.author.strategy_id,
            candles=len(closed),
            timeframe_ms=warm_start.timeframe_ms,
        )

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            now_ms=self._tools.market.exchange_now_ms(),
            trading_refusal=self._tools.authority.refusal,
            in_doubt=self._tools.books.directions_in_doubt(self.instrument_name),
            closure=self._tools.locks.against(self._state.instrument),
            now_s=self._tools.clock.elapsed_s(),
        )

    def _waited_ms(self) -> int:
        """How long ago the last quote came."""
        if self._arrived_s is None:
            return 0
        return round((self._tools.clock.elapsed_s() - self._arrived_s) * 1000)

    async def _carry_out(self, command: Command) -> None:
        """Do it, and have somebody look when it did not come out as intended, or was broken off."""
        is_done = False
        try:
            is_done = await self._do(command)
        finally:
            if not is_done:
                self._tools.request_pass(_FAILURES[type(command)])

    async def _do(self, command: Command) -> bool:
        """Carry a command out; whether nobody needs to look what became of it."""
        desk = self._tools.desk
        match command:
            case PlaceEntry(approved=approved):
                return not isinstance(await self._enter(approved), Unknown)
            case TightenStop(trade=trade, stop_price=stop_price, reason=reason):
                log.info(
                    "stop.moved",
                    strategy=self.author.strategy_id,
                    trade_id=trade.trade_id,
                    stop_from=str(trade.stop_loss),
                    stop_to=str(stop_price),
                    reason=reason,
                )
                return await desk.tighten_stop(trade, stop_price)
            case CloseTrade(trade=trade):
                return is_filled(await desk.close(trade, ExitReason.STRATEGY_STOP))
            case _:
                assert_never(command)

    async def _enter(self, approved: Approved) -> Outcome:
        self._is_entering = True
        try:
            return await self._tools.desk.enter(
                approved, instrument_name=self.instrument_name, author=self.author
            )
        finally:
            self._is_entering = False

    def _show_refusals(self, refusals: tuple[Refused, ...]) -> None:
        """One line when the reason changes, not one for each wish."""
        for refusal in refusals:
            if refusal.reason is not self._last_refusal:
                self._last_refusal = refusal.reason
                log.info(
                    "order.refused",
                    strategy=self.author.strategy_id,
                    reason=refusal.reason.value,
                    detail=refusal.detail,
                )

    def _show_state(self) -> None:
        shown = self.analysis_state
        if shown is not self._last_shown:
            log.info(
                "strategy.state",
                strategy=self.author.strategy_id,
                state=shown.value,
                before=None if self._last_shown is None else self._last_shown.value,
            )
            self._last_shown = shown
            self._last_refusal = None
