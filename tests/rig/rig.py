"""Vigil inside one test: every part real, on a paper exchange that a test moves and disturbs.

Real are the sockets, the session under the real supervisor, the ledger's file and the second
witness over HTTP. Only two things are a test's own: the waits that exist for a real exchange's lag
are cut to `SETTLE_MS`, and the venue remembers what it was asked and refuses what it is told to.
"""

import asyncio
import contextlib
import inspect
import json
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from processes import CLIENT_ID, PaperAccount
from pydantic import SecretStr

from vigil.clock import SystemClock
from vigil.deribit.client import DeribitClient
from vigil.deribit.credits import Credits, Rate
from vigil.deribit.credits import Pool as CreditPool
from vigil.deribit.link import DeribitLink
from vigil.deribit.outcome import Confirmed
from vigil.deribit.rest import RestWitness
from vigil.deribit.session import ApiKey, Deadlines
from vigil.deribit.throttle import Throttle
from vigil.desk import desk
from vigil.desk.books import Books
from vigil.desk.desk import Desk
from vigil.domain.labels import parse_label
from vigil.domain.market import Ticker
from vigil.domain.money import ZERO
from vigil.domain.order import Direction, OrderStatus, OwnOrder, Role
from vigil.domain.trade import Trade
from vigil.fleet.account import AccountStream
from vigil.fleet.authority import Authority
from vigil.fleet.desired import DesiredState, parse
from vigil.fleet.dispatch import Dispatch
from vigil.fleet.executor import Tools
from vigil.fleet.fleet import Fleet
from vigil.fleet.locks import Locks
from vigil.fleet.troubles import TroubleLog
from vigil.ledger.incidents import Incident
from vigil.ledger.ledger import Ledger
from vigil.ledger.runs import ReconciliationRun
from vigil.paper.account.orders import PaperOrder
from vigil.paper.reactions import Reaction
from vigil.paper.refusals import Refusal
from vigil.paper.server import PaperServer
from vigil.paper.session.credits import Limits as AccountLimits
from vigil.paper.session.credits import Pool, PoolName
from vigil.paper.session.keys import CLIENT_SECRET
from vigil.paper.venue import Venue
from vigil.paper.wire.framing import Request
from vigil.reconcile import doubt, readings, reconciler, vanishing
from vigil.reconcile.reconciler import Reconciler
from vigil.strategies.catalog import Catalog
from vigil.strategies.parameters import Number, StrategyParameters
from vigil.supervision.restarts import Backoff, ChildSpec
from vigil.supervision.supervisor import ChildEvent, Supervisor
from vigil.trading import execution
from vigil.trading.execution import Author
from vigil.trading.protection import bracket
from vigil.trading.risk import Approved
from vigil.trading.signal import NO_DECISION, Decision, Limits, OpenPosition, WarmStart

LINEAR, INVERSE, ETHER = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL", "ETH_USDC-PERPETUAL"
BUY, SELL = Direction.BUY, Direction.SELL
INDEX = {LINEAR: "btc_usdc", INVERSE: "btc_usd", ETHER: "eth_usdc"}
# More than the best level of the paper book holds, so that a market order fills in several parts.
LOT = {LINEAR: Decimal("0.5"), INVERSE: Decimal(40_000), ETHER: Decimal(1)}

SETTLE_MS = 60
# A ceiling for what is waited for: by far more than a slow machine needs, below a test's own end.
PATIENCE_S = 45.0
QUICK = Backoff(base_s=0.01, cap_s=0.05)
LEDGER_NAME = "trades.db"

# What changes something at the exchange.
ACTS = frozenset({"private/buy", "private/sell", "private/edit", "private/cancel"})
SOCKET, HTTP = "socket", "http"


class WatchedVenue(Venue):
    """A venue that remembers what Vigil asked, and can be told to refuse or to do something first.

    What a person asks over HTTP GET is neither remembered nor refused.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.asked: list[tuple[str, Request]] = []
        self._refusals: list[tuple[str, str, Refusal]] = []
        self._actions: list[tuple[str, str, Callable[[Request], None]]] = []

    def refuse(
        self, method: str, code: int, message: str, *, times: int = 1, road: str = SOCKET
    ) -> None:
        """Answer the next requests of that method with an error."""
        self._refusals += [(road, method, Refusal(code, message))] * times

    def before(self, method: str, action: Callable[[Request], None], *, road: str = SOCKET) -> None:
        """Do something when the next request of that method arrives, before it is carried out."""
        self._actions.append((road, method, action))

    def methods(self, road: str = SOCKET) -> list[str]:
        """What was asked over a road, in order."""
        return [request.method for known, request in self.asked if known == road]

    def acts(self) -> list[str]:
        """What Vigil asked to be changed, in order."""
        return [method for method in self.methods() if method in ACTS]

    def receive(self, connection_id: int, request: Request, now_ms: int) -> Reaction:
        return self._look(SOCKET, request) or super().receive(connection_id, request, now_ms)

    def receive_alone(self, request: Request, now_ms: int, **login: Any) -> Reaction:
        refused = None if request.is_text else self._look(HTTP, request)
        return refused or super().receive_alone(request, now_ms, **login)

    def _look(self, road: str, request: Request) -> Reaction | None:
        self.asked.append((road, request))
        for action in [one for one in self._actions if one[:2] == (road, request.method)][:1]:
            self._actions.remove(action)
            action[2](request)
        for refusal in [one for one in self._refusals if one[:2] == (road, request.method)][:1]:
            self._refusals.remove(refusal)
            return Reaction(answer=refusal[2])
        return None


def no_wish(ticker: Ticker, position: OpenPosition | None) -> Decision:
    return NO_DECISION


@dataclass
class Brain:
    """What the strategies of a test do, and what they were shown."""

    decide: Callable[[Ticker, OpenPosition | None], Decision] = no_wish
    warm_start: WarmStart | None = None
    cooldown_ms: int = 0
    refuses_memory: bool = False
    lives: list[Any] = field(default_factory=list)

    @property
    def strategy_class(self) -> type:
        brain = self

        class Parameters(StrategyParameters):
            trade_size: Number = Decimal(500)

        class Scripted:
            """Does what its test's brain says."""

            def __init__(self, parameters: Any) -> None:
                self.parameters = parameters
                self.seen: list[Ticker] = []
                self.history: list[Any] = []
                self.restored: dict[str, Any] | None = None
                self.warm_start = brain.warm_start
                self.instrument_name = parameters.instrument
                self.trade_size_usd = parameters.trade_size
                self.is_flattened_on_stop = parameters.on_stop == "flatten"
                self.limits = Limits(cooldown_ms=brain.cooldown_ms, daily_trades_max=1_000)
                brain.lives.append(self)

            def on_history(self, candles: Any) -> None:
                self.history.extend(candles)

            def on_ticker(self, ticker: Ticker, position: OpenPosition | None) -> Decision:
                self.seen.append(ticker)
                return brain.decide(ticker, position)

            def snapshot(self) -> dict[str, Any]:
                return {"seen": len(self.seen) + (self.restored or {}).get("seen", 0)}

            def restore(self, snapshot: Any) -> None:
                if brain.refuses_memory:
                    raise ValueError("not a memory of mine")
                self.restored = dict(snapshot)

        Scripted.Parameters = Parameters  # type: ignore[attr-defined]
        return Scripted


class Rig:
    """All parts of Vigil that are not a process of their own. Made by `running_rig`."""

    def __init__(
        self,
        path: Path,
        server: PaperServer,
        ledger: Ledger,
        clock: SystemClock,
        *,
        url: str | None = None,
        deadlines: Deadlines | None = None,
        throttle: Throttle | None = None,
    ) -> None:
        self.path = path
        self.server = server
        self.venue: WatchedVenue = server.venue  # type: ignore[assignment]
        self.ledger = ledger
        self.clock = clock
        self.person = PaperAccount(server.port, CLIENT_SECRET)
        self.children: list[ChildEvent] = []
        self.runs: list[ReconciliationRun] = []
        self.requested: list[str] = []
        self.suspicions: list[str] = []
        self.venue_options: dict[str, Any] = {"limits": PLENTY}
        self.histories: list[str | None] = []
        self.brain = Brain()
        self.authority = Authority()
        self.troubles = TroubleLog(ledger)
        self.dispatch = Dispatch(self.authority, self.troubles)
        self.supervisor = Supervisor(
            clock=clock, rng=random.Random(1), on_event=self.children.append
        )
        self.client = DeribitClient(
            clock,
            call_timeout_s=1.0,
            throttle=unhurried(clock) if throttle is None else throttle,
            on_late=self.dispatch.take_late,
        )
        self.link = DeribitLink(
            self.client,
            url=server.websocket_url if url is None else url,
            key=ApiKey(client_id=CLIENT_ID, secret=SecretStr(CLIENT_SECRET)),
            clock=clock,
            dice=random.Random(2),
            sink=self.dispatch.take,
            on_unreadable=self.dispatch.take_unreadable,
            on_trouble=self.dispatch.take_trouble,
            deadlines=Deadlines(dial_s=2, call_s=2) if deadlines is None else deadlines,
        )
        self.witness = RestWitness(
            server.http_url,
            CLIENT_ID,
            SecretStr(CLIENT_SECRET),
            throttle=self.client.throttle,
            exchange_now_ms=self.client.exchange_now_ms,
            timeout_s=2,
        )
        self.books = Books(ledger, on_foreign_fill=lambda: self._request("foreign fill"))
        self.locks = Locks(
            source=self.client, ledger=ledger, clock=clock, request_pass=self._request
        )
        self.desk = Desk(
            ledger=ledger,
            books=self.books,
            client=self.client,
            clock=clock,
            is_shut=self.locks.is_shut,
            on_unconfirmed=self.dispatch.take_tidings,
        )
        self.account = AccountStream(self.books, request_pass=self._request)
        self.fleet = self.new_fleet()
        self.reconciler = self.new_reconciler()
        self.connect(self.reconciler)

    @property
    def tools(self) -> Tools:
        return Tools(
            ledger=self.ledger,
            books=self.books,
            desk=self.desk,
            market=self.client,
            authority=self.authority,
            locks=self.locks,
            clock=self.clock,
            request_pass=self._request,
        )

    def new_fleet(self, standings: dict[str, dict[str, Any]] | None = None) -> Fleet:
        return Fleet(
            supervisor=self.supervisor,
            catalog=Catalog({"Scripted": self.brain.strategy_class}, lambda: ()),
            market=self.client,
            tools=self.tools,
            standings=standings or {},
        )

    def new_reconciler(self, interval_s: float = 60.0) -> Reconciler:
        """Another one, which knows nothing of what the first one has seen, as after a restart."""
        return Reconciler(
            ledger=self.ledger,
            books=self.books,
            desk=self.desk,
            exchange=self.client,
            witness=self.witness,
            clock=self.clock,
            interval_s=interval_s,
            on_pass=self._on_pass,
            instrument_names=lambda: self.fleet.instrument_names() | {LINEAR, INVERSE},
            on_history=self._on_history,
            on_stream_suspect=self.suspicions.append,
        )

    def connect(self, one: Reconciler) -> None:
        """Make a reconciler the one in charge."""
        self.reconciler = one
        self.dispatch.connect(
            fleet=self.fleet, account=self.account, reconciler=one, locks=self.locks
        )

    # --- waiting

    async def until(self, look: Callable[[], Any]) -> Any:
        """The first true value that `look` returns or awaits."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            found = look()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found
            assert time.monotonic() < deadline, "the condition never came true"
            await asyncio.sleep(0.005)

    async def settled(self) -> None:
        """Wait until nothing at the exchange or in the ledger is younger than `SETTLE_MS`."""
        books = self.venue.exchange.books
        newest_ms = max(
            [order.last_update_timestamp_ms for order in books.orders.values()]
            + [fill.timestamp_ms for fill in self.venue_fills()]
            + [order.created_ms for order in await self.ledger.working_orders()],
            default=0,
        )
        await self.until(lambda: self.client.exchange_now_ms() > newest_ms + SETTLE_MS + 5)

    async def reconcile(self, cause: str = "demand") -> ReconciliationRun:
        """One pass over a world that has settled."""
        await self.settled()
        return await self.reconciler.run_once(cause)

    async def until_reconciled(self, look: Callable[[], Any]) -> None:
        """Make passes until `look` is true."""
        deadline = time.monotonic() + PATIENCE_S
        while not look():
            assert time.monotonic() < deadline, "no pass led there"
            await self.reconcile()

    def start_session(self) -> None:
        """Have the supervisor keep a session."""
        self.supervisor.add_child(ChildSpec(name="session", start=self.link.run, backoff=QUICK))

    async def drop_session(self) -> None:
        """Cut the session, and wait until the next one is live."""
        before = self.client.epoch
        self.server.drop_connections()
        await self.until(lambda: self.client.is_live and self.client.epoch > before)

    # --- trading

    def price(self, name: str, price: Decimal | int) -> None:
        """Move an instrument's market."""
        self.server.set_price(INDEX[name], Decimal(price))

    def mark(self, name: str) -> Decimal:
        return self.venue.exchange.markets[name].mark_price

    async def approved(
        self,
        name: str = LINEAR,
        side: Direction = BUY,
        *,
        amount: Decimal | None = None,
        stop: str = "1",
        target: str | None = "1.4",
    ) -> Approved:
        """What risk would approve at the market's price, with distances in percent."""
        ticker = await self.client.ticker(name)
        price = ticker.best_ask_price if side is BUY else ticker.best_bid_price
        assert price is not None
        return Approved(
            direction=side,
            amount=LOT[name] if amount is None else amount,
            reference_price=price,
            bracket=bracket(
                await self.client.instrument(name),
                side,
                price,
                stop_loss_percent=Decimal(stop),
                take_profit_percent=None if target is None else Decimal(target),
            ),
            reason="told to",
        )

    async def enter(
        self,
        name: str = LINEAR,
        side: Direction = BUY,
        *,
        strategy_id: str = "s",
        **wishes: Any,
    ) -> Trade:
        """An open trade with its stop and target resting, by the ledger and by the exchange."""
        outcome = await self.desk.enter(
            await self.approved(name, side, **wishes),
            instrument_name=name,
            author=Author(strategy_id=strategy_id, strategy_name="Scripted"),
        )
        assert isinstance(outcome, Confirmed), outcome
        label = parse_label(outcome.order.label)
        assert label is not None
        trade_id = f"t{label.intent_id}"
        trade = await self.until(lambda: self.trade_if(trade_id, lambda one: one.is_open))
        await self.until(lambda: self._has_children(trade_id))
        return trade

    async def _has_children(self, trade_id: str) -> bool:
        rows = await self.ledger.orders_of_trade(trade_id)
        return all(row.status.is_resting for row in rows if row.role is not Role.ENTRY)

    def insert_trade(self, trade_id: str = "by_hand", **columns: Any) -> None:
        """A row as a person writes it with the sqlite3 shell."""
        row = {
            "id": trade_id,
            "strategy_name": "Razor",
            "instrument": LINEAR,
            "side": "buy",
            "entry_order_id": "nobody-knows",
            "entry_price": "95000",
            "amount": "0.01",
            "stop_loss": "94500",
            "take_profit": "95500",
            "entry_time": self.clock.now_ms() - 30_000,
            "status": "open",
        } | columns
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        self.sql(f"INSERT INTO trades ({names}) VALUES ({marks})", *row.values())

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """As another program on the ledger's file."""
        with contextlib.closing(sqlite3.connect(self.path / LEDGER_NAME, timeout=10)) as file:
            with file:
                return file.execute(statement, values).fetchall()

    # --- looking

    async def trade(self, trade_id: str) -> Trade:
        found = await self.ledger.trade(trade_id)
        assert isinstance(found, Trade), found
        return found

    async def trade_if(self, trade_id: str, holds: Callable[[Trade], bool]) -> Trade | None:
        found = await self.ledger.trade(trade_id)
        return found if isinstance(found, Trade) and holds(found) else None

    async def closed(self, trade_id: str) -> Trade:
        """The trade, once it is closed."""
        found: Trade = await self.until(
            lambda: self.trade_if(trade_id, lambda one: not one.is_open)
        )
        return found

    async def open_ids(self) -> set[str]:
        return {trade.trade_id for trade in (await self.ledger.open_trades()).trades}

    async def rows(self, trade_id: str) -> dict[Role, OwnOrder]:
        """The newest order of each role of a trade."""
        return {row.role: row for row in await self.ledger.orders_of_trade(trade_id)}

    async def incidents(self) -> dict[str, Incident]:
        """Open incidents by kind and subject, as `kind subject`."""
        found = await self.ledger.open_incidents()
        return {f"{incident.kind} {incident.subject}": incident for incident in found}

    def position(self, name: str) -> Decimal:
        return self.venue.exchange.books.position(name).size

    def resting(self, name: str | None = None) -> list[PaperOrder]:
        """Live orders at the exchange, those that wait for their parent left out."""
        live = self.venue.exchange.books.live_orders(name)
        return [order for order in live if not order.is_pending]

    def venue_fills(self) -> list[Any]:
        return list(self.venue.exchange.books.trades)

    async def exchange_pnl(self, name: str, *order_ids: str) -> Decimal:
        """Profit after fees by the exchange's own figures: of these orders, or of all."""
        fills = await self.person.fills(name)
        mine = [fill for fill in fills if not order_ids or fill["order_id"] in order_ids]
        assert mine
        total: Decimal = sum((fill["profit_loss"] - fill["fee"] for fill in mine), ZERO)
        return total

    async def assert_agreement(self, **foreign: Decimal) -> None:
        """Ledger equals exchange: positions, fills, and our orders; FAULTS I3, I4 and I6."""
        trades = (await self.ledger.open_trades()).trades
        for name in INDEX:
            held = sum(
                (one.signed_open_amount for one in trades if one.instrument_name == name), ZERO
            )
            assert self.position(name) == held + foreign.get(name, ZERO), name
        known = {row[0]: row[1] for row in self.sql("SELECT trade_id, amount FROM fills")}
        assert {fill.trade_id: fill.amount for fill in self.venue_fills()} == {
            key: Decimal(text) for key, text in known.items()
        }
        working = {row.label: row for row in await self.ledger.working_orders()}
        ours = {order.label: order for order in self.resting() if parse_label(order.label)}
        assert set(working) == set(ours)
        for trade in trades:
            (stop,) = [
                ours[label]
                for label, row in working.items()
                if (row.trade_id, row.role) == (trade.trade_id, Role.STOP)
            ]
            assert (stop.amount, stop.trigger_price) == (trade.open_amount, trade.stop_loss)
            assert stop.reduce_only

    def _request(self, cause: str) -> None:
        self.requested.append(cause)
        self.dispatch.request_pass(cause)

    def _on_history(self, problem: str | None) -> None:
        self.histories.append(problem)
        self.dispatch.take_history(problem)

    def _on_pass(self, run: ReconciliationRun) -> None:
        self.runs.append(run)
        self.dispatch.take_pass(run, is_live=self.client.is_live)


def unhurried(clock: SystemClock) -> Throttle:
    """A client's side of limits that no test comes near."""
    limits = dict.fromkeys(CreditPool, Rate(per_s=1e5, burst=1e5))
    return Throttle(clock, Credits(limits, now_s=clock.elapsed_s()))


# The exchange's side of them.
PLENTY = AccountLimits().with_pools(dict.fromkeys(PoolName, Pool.of_rate(100_000, 100_000)))


def quicken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the waits that are there for a real exchange's lag."""
    for module in (readings, reconciler):
        monkeypatch.setattr(module, "SETTLE_MS", SETTLE_MS)
    monkeypatch.setattr(vanishing, "SECOND_LOOK_DELAY_S", 0.05)
    monkeypatch.setattr(vanishing, "MASS_SPAN_MS", 100)
    monkeypatch.setattr(reconciler, "PASS_SPACING_S", 0.05)
    monkeypatch.setattr(doubt, "VALIDITY_MARGIN_MS", 20)
    monkeypatch.setattr(doubt, "INDEXING_DELAY_MS", 40)
    monkeypatch.setattr(execution, "ORDER_VALIDITY_MS", 1_200)
    monkeypatch.setattr(desk, "INHERITED_S", 0.0)


@contextlib.asynccontextmanager
async def running_rig(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    road: Callable[[PaperServer], str] | None = None,
    deadlines: Deadlines | None = None,
    throttle: Throttle | None = None,
    venue_limits: AccountLimits | None = None,
) -> AsyncIterator[Rig]:
    """A rig whose session is live; strategies and the reconciler's loop are a test's to start.

    Args:
        road: Where the session finds the exchange, when not at its own address.
        throttle: Its client's side of the rate limits; by default no test comes near them.
        venue_limits: The exchange's side, likewise.
    """
    quicken(monkeypatch)
    clock = SystemClock()
    venue = WatchedVenue(now_ms=clock.now_ms(), limits=venue_limits or PLENTY)
    server = PaperServer(venue, clock, tick_interval_s=0.02)
    await server.start()
    ledger = await Ledger.open(
        path / LEDGER_NAME, environment="paper", account=CLIENT_ID, clock=clock
    )
    rig = Rig(
        path,
        server,
        ledger,
        clock,
        url=None if road is None else road(server),
        deadlines=deadlines,
        throttle=throttle,
    )
    supervising = asyncio.ensure_future(rig.supervisor.run())
    try:
        rig.start_session()
        rig.supervisor.add_child(
            ChildSpec(name="account stream", start=rig.account.run, backoff=QUICK)
        )
        rig.supervisor.add_child(ChildSpec(name="locks", start=rig.locks.run, backoff=QUICK))
        await rig.until(lambda: rig.client.is_live and rig.locks.closures.is_quiet)
        yield rig
    finally:
        rig.supervisor.request_stop()
        await supervising
        await rig.witness.close()
        await rig.person.close()
        await rig.ledger.close()
        await rig.server.stop()


def desired(*strategies: dict[str, Any], path: str = "backend-state.json") -> DesiredState:
    """The operator's file with these strategies."""
    return parse(json.dumps({"activeStrategies": list(strategies)}).encode(), path=path)


def wanted(
    strategy_id: str = "s", status: str = "active", name: str = "Scripted", **config: Any
) -> dict[str, Any]:
    config.setdefault("instrument", LINEAR)
    return {"id": strategy_id, "name": name, "status": status, "config": config}


def by_status(rows: dict[Role, OwnOrder]) -> dict[Role, OrderStatus]:
    return {role: row.status for role, row in rows.items()}
