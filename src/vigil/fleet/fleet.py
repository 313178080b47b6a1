"""Level, not edge: the strategies that should run, against those that do.

The operator's file says what should be. `apply` compares it with the children that run and starts,
stops or replaces what differs; a crashed strategy is the supervisor's business and comes back by
itself. Quotes are handed to every strategy of their instrument.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import structlog
from msgspec import Struct

from vigil.desk.desk import is_filled
from vigil.domain.instrument import Instrument
from vigil.domain.market import Ticker
from vigil.domain.order import Role
from vigil.domain.standing import AnalysisState, DesiredStatus
from vigil.domain.trade import ExitReason
from vigil.errors import Misconfigured, Transient, VigilError
from vigil.fleet.desired import DesiredState, DesiredStrategy
from vigil.fleet.executor import Executor, MarketData, Tools
from vigil.fleet.instruments import Instruments
from vigil.reconcile.readings import is_waited_for
from vigil.strategies.catalog import (
    BrokenStrategy,
    Catalog,
    InvalidParameters,
    UnknownStrategy,
)
from vigil.supervision.restarts import Backoff, ChildSpec, Intensity, RestartPolicy
from vigil.supervision.supervisor import ChildState, ChildStatus, Supervisor
from vigil.trading.execution import Author
from vigil.trading.signal import Strategy

log = structlog.get_logger(__name__)

# Strategies stop before everything that serves them.
STRATEGY_STAGE = 10

# Beyond this a strategy is given up on and shown as `error`; its position stays protected.
STRATEGY_INTENSITY = Intensity(restarts_max=5, period_s=600.0)
STRATEGY_BACKOFF = Backoff(base_s=1.0, cap_s=60.0)

CHILD_PREFIX = "strategy:"

_BROKEN = frozenset({ChildState.BACKOFF, ChildState.FAILED, ChildState.ABANDONED})

# How often a strategy that is to begin looks whether there is a session.
SESSION_LOOK_S = 0.2


class Market(MarketData, Protocol):
    """The exchange, as far as the fleet needs it."""

    @property
    def is_live(self) -> bool:
        """Whether a session is authenticated and subscribed."""
        ...

    async def instrument(self, instrument_name: str) -> Instrument:
        """The instrument's description.

        Raises: Rejected, when the exchange does not know it.
        """
        ...

    async def ticker(self, instrument_name: str) -> Ticker:
        """The instrument's market snapshot."""
        ...

    async def watch(self, instrument_names: Sequence[str]) -> object:
        """Receive quotes of these instruments from now on, over every reconnect."""
        ...


class _Member(Struct, kw_only=True, eq=False):
    """One strategy of the operator's file, and what runs for it."""

    desired: DesiredStrategy
    strategy: Strategy
    executor: Executor | None = None


class Fleet:
    """Desired strategies and running executors.

    Args:
        standings: What the checkpoint keeps of each strategy, by id.
    """

    def __init__(
        self,
        *,
        supervisor: Supervisor,
        catalog: Catalog,
        market: Market,
        tools: Tools,
        standings: Mapping[str, dict[str, Any]],
    ) -> None:
        self._supervisor = supervisor
        self._catalog = catalog
        self._market = market
        self._tools = tools
        self._standings = dict(standings)
        self._members: dict[str, _Member] = {}
        self._quotes: dict[str, list[Executor]] = defaultdict(list)
        self._were_open: dict[str, bool] = {}
        self.instruments = Instruments(
            source=market,
            ledger=tools.ledger,
            books=tools.books,
            clock=tools.clock,
            on_change=self._instrument_changed,
            request_pass=tools.request_pass,
        )
        self._is_started = False

    @property
    def members(self) -> tuple[DesiredStrategy, ...]:
        """Every strategy of the file in force, in its order."""
        return tuple(member.desired for member in self._members.values())

    def instrument_names(self) -> frozenset[str]:
        """The instruments that strategies of the file trade and that the exchange knows."""
        wanted = {member.strategy.instrument_name for member in self._members.values()}
        return frozenset(wanted & self.instruments.names)

    async def validate(self, desired: DesiredState) -> None:
        """Check what only the catalog and the exchange know.

        While the exchange cannot be asked its half is left to the strategy's own start.

        Raises: StateFileRefused, naming the field and the fix.
        """
        tickers: dict[str, Ticker] = {}
        for wanted in desired.strategies:
            strategy = self._build(desired, wanted)
            if wanted.status is DesiredStatus.STOPPED or not self._market.is_live:
                continue
            await self._check_instrument(desired, wanted, strategy, tickers)

    async def apply(self, desired: DesiredState) -> None:
        """Make what runs equal to `desired`, which must have passed `validate`.

        Raises: Transient, when some strategy could not be started yet; to be called again then.
        """
        wanted = {strategy.id: strategy for strategy in desired.strategies}
        for strategy_id in [known for known in self._members if known not in wanted]:
            await self._retire(self._members.pop(strategy_id), why="removed from the state file")
        ordered: dict[str, _Member] = {}
        for strategy_id, strategy in wanted.items():
            member = self._members.get(strategy_id)
            if member is None or member.desired != strategy:
                if member is not None:
                    await self._retire(member, why=f"edited, now {strategy.status.value}")
                member = _Member(desired=strategy, strategy=self._build(desired, strategy))
            ordered[strategy_id] = member
        self._members = ordered
        if self._is_started:
            await self._launch()

    async def start(self) -> None:
        """Begin to run the strategies, once the ledger and the exchange agree."""
        self._is_started = True
        await self._launch()

    async def _launch(self) -> None:
        """Start every member that should run and does not.

        Raises: Transient, when one of them cannot be started yet; all others are.
        """
        try:
            await self._market.watch(
                sorted({member.strategy.instrument_name for member in self._members.values()})
            )
        except VigilError as error:
            # What is wanted is remembered, and the next session subscribes it.
            log.warning("quotes.not_subscribed", reason=str(error))
        problems: list[str] = []
        for member in self._members.values():
            spec = self._child(member)
            if spec is None or self.child(member.desired.id) is not None:
                continue
            try:
                self._supervisor.add_child(spec)
            except ValueError as abandoned:  # its former self was told to end, and has not yet
                problems.append(str(abandoned))
                continue
            is_stopped = member.desired.status is DesiredStatus.STOPPED
            log.info(
                "strategy.flattening" if is_stopped else "strategy.started",
                strategy=member.desired.id,
                name=member.desired.name,
                status=member.desired.status.value,
                instrument=member.strategy.instrument_name,
            )
        if problems:
            raise Transient("; ".join(problems))

    async def _retire(self, member: _Member, *, why: str) -> None:
        """Stop a strategy's executor; its position stays protected or is closed, as it says."""
        name = CHILD_PREFIX + member.desired.id
        if any(child.name == name for child in self._supervisor.status()):
            await self._supervisor.remove_child(name)
        log.info("strategy.stopped", strategy=member.desired.id, why=why)

    def quote(self, ticker: Ticker) -> None:
        """Hand a quote to every strategy of its instrument."""
        name = ticker.instrument_name
        for executor in self._quotes.get(name, ()):
            executor.quote(ticker)
        was_open = self._were_open.get(name)
        if was_open is not ticker.is_open:
            self._were_open[name] = ticker.is_open
            if was_open is not None:  # what opens or closes may come back as another
                self.instruments.read_again(name)

    def _instrument_changed(self, instrument: Instrument) -> None:
        for executor in self._quotes.get(instrument.instrument_name, ()):
            executor.instrument_changed(instrument)

    def standings(self) -> dict[str, dict[str, Any]]:
        """What the checkpoint keeps of each strategy: as it is now, or as it was last."""
        for member in self._members.values():
            if member.executor is not None:
                self._keep_standing(member.desired.id, member.executor)
        return {
            strategy_id: standing
            for strategy_id, standing in self._standings.items()
            if strategy_id in self._members
        }

    def _keep_standing(self, strategy_id: str, executor: Executor) -> None:
        standing = executor.standing()
        if standing is not None:
            self._standings[strategy_id] = standing

    def executor(self, strategy_id: str) -> Executor | None:
        """The executor that runs now for a strategy."""
        return self._members[strategy_id].executor

    def child(self, strategy_id: str) -> ChildStatus | None:
        """The supervisor's view of a strategy."""
        name = CHILD_PREFIX + strategy_id
        return next((child for child in self._supervisor.status() if child.name == name), None)

    def strategy(self, strategy_id: str) -> Strategy:
        """The strategy as configured."""
        return self._members[strategy_id].strategy

    def analysis_state(self, strategy_id: str) -> AnalysisState:
        """What a strategy is doing, crashed and stopped ones included."""
        member = self._members[strategy_id]
        if member.desired.status is DesiredStatus.STOPPED:
            return AnalysisState.STOPPED
        child = self.child(strategy_id)
        if child is not None and (child.state in _BROKEN or child.is_misconfigured):
            return AnalysisState.ERROR
        if member.executor is None:
            return AnalysisState.INITIALIZING
        return member.executor.analysis_state

    def _child(self, member: _Member) -> ChildSpec | None:
        """What is to run for a member; None when nothing is.

        A stopped one that is to be flattened is a child as well until it holds nothing more, so
        that an exchange that is away or refuses is asked again.
        """
        is_stopped = member.desired.status is DesiredStatus.STOPPED
        if is_stopped and not member.strategy.is_flattened_on_stop:
            return None

        async def start() -> None:
            await (self._flatten(member) if is_stopped else self._run(member))

        return ChildSpec(
            name=CHILD_PREFIX + member.desired.id,
            start=start,
            restart=RestartPolicy.TRANSIENT if is_stopped else RestartPolicy.PERMANENT,
            intensity=None if is_stopped else STRATEGY_INTENSITY,
            backoff=STRATEGY_BACKOFF,
            stage=STRATEGY_STAGE,
        )

    async def _flatten(self, member: _Member) -> None:
        """Close what a stopped strategy holds.

        Raises: Transient, while it still holds something.
        """
        await self._session()
        left: list[str] = []
        for trade in (await self._tools.ledger.open_trades()).trades:
            if trade.strategy_id != member.desired.id:
                continue
            left.append(trade.trade_id)
            orders = await self._tools.ledger.orders_of_trade(trade.trade_id)
            # One that is in doubt may have closed it, and so has one whose fills are late: the
            # reconciler finds out.
            now_ms = self._tools.market.exchange_now_ms()
            short = await self._tools.ledger.orders_short_of_fills()
            late = {order.label for order in short if is_waited_for(order, now_ms)}
            closes = [order for order in orders if order.role is Role.CLOSE]
            if all(order.status.is_final and order.label not in late for order in closes):
                try:
                    outcome = await self._tools.desk.close(trade, ExitReason.STRATEGY_STOP)
                    if is_filled(outcome):
                        left.remove(trade.trade_id)
                finally:
                    if trade.trade_id in left:
                        self._tools.request_pass("close not confirmed")
        if left:
            raise Transient(f"not closed yet: {', '.join(left)}")

    async def _session(self) -> None:
        """Wait for a session: an exchange that is away is no failure of a strategy."""
        while not self._market.is_live:
            await self._tools.clock.sleep(SESSION_LOOK_S)

    async def _run(self, member: _Member) -> None:
        """One life of one strategy: a fresh executor that rebuilds itself."""
        await self._session()
        desired = member.desired
        # A fresh strategy object as well: what broke may be in the old one's memory.
        strategy = self._catalog.build(desired.name, desired.config)
        executor = Executor(
            author=Author(strategy_id=desired.id, strategy_name=desired.name),
            strategy=strategy,
            instrument=await self.instruments.get(strategy.instrument_name),
            is_paused=desired.status is DesiredStatus.PAUSED,
            memory=self._standings.get(desired.id, {}).get("memory"),
            tools=self._tools,
        )
        member.executor = executor
        listeners = self._quotes[strategy.instrument_name]
        listeners.append(executor)
        try:
            await executor.run()
        except asyncio.CancelledError:
            # Stopped in order. After a crash the last checkpoint's memory serves instead: what
            # broke may be in this one.
            self._keep_standing(desired.id, executor)
            raise
        finally:
            listeners.remove(executor)
            member.executor = None

    def _build(self, desired: DesiredState, wanted: DesiredStrategy) -> Strategy:
        try:
            return self._catalog.build(wanted.name, wanted.config)
        except (UnknownStrategy, BrokenStrategy) as unknown:
            fix = "write one that is installed"
            raise desired.refusal(wanted.id, "name", str(unknown), fix) from unknown
        except InvalidParameters as invalid:
            field = f"config.{invalid.field}" if invalid.field else "config"
            fix = f"see the parameters of {wanted.name}"
            raise desired.refusal(wanted.id, field, invalid.reason, fix) from invalid

    async def _check_instrument(
        self,
        desired: DesiredState,
        wanted: DesiredStrategy,
        strategy: Strategy,
        tickers: dict[str, Ticker],
    ) -> None:
        name = strategy.instrument_name
        try:
            instrument = await self.instruments.get(name)
            # Asked once for all strategies of an instrument: questions cost rate-limit credit.
            ticker = tickers.get(name) or await self._market.ticker(name)
            tickers[name] = ticker
        except Misconfigured as unknown:
            raise desired.refusal(
                wanted.id,
                "config.instrument",
                f"{name!r} is not known at the exchange",
                "write an instrument's name as the exchange does, such as BTC_USDC-PERPETUAL",
            ) from unknown
        except VigilError as error:
            log.info("state_file.not_checked", strategy=wanted.id, reason=str(error))
            return
        size = strategy.trade_size_usd
        if size is None or instrument.amount_for_notional(size, ticker.mark_price):
            return
        minimum = instrument.min_trade_amount
        raise desired.refusal(
            wanted.id,
            "config.tradeSize",
            f"{size} USD is less than {minimum} {instrument.amount_unit}, the minimum amount of "
            f"{name} at {ticker.mark_price}",
            f"write at least {instrument.notional_usd(minimum, ticker.mark_price):.2f}",
        )
