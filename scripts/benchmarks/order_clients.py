"""The clients of `order_path`, each a process of its own: two bare loops, and Vigil's real path.

Vigil's path is the product's own parts from the socket to the socket: link, executor, pipeline,
risk, desk, ledger, with garbage collection and logging as in production, the log to a file. What
differs from a running Vigil: the strategy enters at every ticker, and its limits let it.
"""

import asyncio
import gc
import random
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import orjson
from msgspec.structs import replace
from pydantic import SecretStr
from websockets.asyncio.client import connect

from benchmarks import wire
from vigil.clock import SystemClock
from vigil.daemon import GC_THRESHOLDS
from vigil.deribit.client import DeribitClient
from vigil.deribit.connection import dial_websocket
from vigil.deribit.credits import Credits, Pool, Rate
from vigil.deribit.link import DeribitLink
from vigil.deribit.outcome import Confirmed, Outcome
from vigil.deribit.session import ApiKey, Deadlines
from vigil.deribit.throttle import Throttle
from vigil.deribit.websocket import TakeMessage, WebSocket
from vigil.desk.books import Books
from vigil.desk.desk import Desk
from vigil.domain.events import (
    ExchangeEvent,
    FillsReceived,
    OrderReceived,
    SessionOpened,
    TickerReceived,
)
from vigil.domain.instrument import Instrument, Kind
from vigil.domain.labels import parse_label
from vigil.domain.market import Candle, Ticker
from vigil.domain.money import ZERO
from vigil.domain.order import Direction, Order, OrderStatus, OwnOrder
from vigil.domain.trade import Trade, TradeStatus
from vigil.fleet.account import AccountStream
from vigil.fleet.authority import Authority
from vigil.fleet.executor import Executor, Tools
from vigil.fleet.locks import Locks
from vigil.ledger.incidents import Incident
from vigil.ledger.ledger import Ledger
from vigil.ledger.trades import OpenTrades
from vigil.logs import configure_logging
from vigil.trading.execution import Author
from vigil.trading.risk import Approved
from vigil.trading.signal import Decision, Enter, Limits, OpenPosition, WarmStart

VARIANTS = ("bare", "vigil", "bare-durable", "vigil-durable")

_INSTRUMENT = Instrument(
    instrument_name=wire.INSTRUMENT_NAME,
    kind=Kind.FUTURE,
    is_linear=True,
    base_currency="BTC",
    quote_currency="USDC",
    settlement_currency="USDC",
    contract_size=Decimal("0.0001"),
    min_trade_amount=Decimal("0.0001"),
    tick_size=Decimal("0.5"),
)


def main() -> None:
    """Run the client `argv[1]` against `argv[2]` in the current directory, until killed."""
    name, url = sys.argv[1:]
    match name:
        case "bare":
            asyncio.run(_trade_bare(url, None))
        case "bare-durable":
            asyncio.run(_trade_bare(url, _bare_ledger()))
        case "vigil" | "vigil-durable":
            asyncio.run(_trade_with_vigil(url, name))


async def _trade_bare(url: str, ledger: sqlite3.Connection | None) -> None:
    async with connect(url, compression=None) as websocket:
        await websocket.send(wire.NEXT, text=True)
        request_id = 0
        while True:
            message = orjson.loads(await websocket.recv(decode=False))
            if "method" not in message:
                await websocket.send(wire.NEXT, text=True)
                continue
            request_id += 1
            frame = wire.order_frame(request_id, message["params"]["data"])
            if ledger is not None:
                ledger.execute("INSERT INTO intents (frame) VALUES (?)", (frame,))
            await websocket.send(frame, text=True)


def _bare_ledger() -> sqlite3.Connection:
    # As the ledger is opened; every statement is a transaction of its own.
    connection = sqlite3.connect("bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE intents (seq INTEGER PRIMARY KEY, frame BLOB)")
    return connection


async def _trade_with_vigil(url: str, name: str) -> None:
    gc.set_threshold(*GC_THRESHOLDS)  # as `vigil run` does
    log = Path(f"{name}.log").open("w", encoding="utf-8")  # noqa: ASYNC230, SIM115 - for life
    configure_logging(level="info", log_format="auto", stream=log)
    clock = SystemClock()
    ledger = (
        await Ledger.open(Path("trades.db"), environment="paper", account="bench", clock=clock)
        if name == "vigil-durable"
        else cast("Ledger", _ForgetfulLedger())
    )
    books = Books(ledger, on_foreign_fill=lambda: None)
    # The path is measured, and not the wait for credit: this exchange has no limits.
    unlimited = dict.fromkeys(Pool, Rate(per_s=1e6, burst=1e6))
    throttle = Throttle(clock, Credits(unlimited, now_s=clock.elapsed_s()))
    client = DeribitClient(clock, throttle=throttle)
    await client.watch([wire.INSTRUMENT_NAME])
    sockets: list[WebSocket] = []
    authority = Authority()
    authority.allow("start")
    live = asyncio.Event()

    async def dial(url: str, take: TakeMessage) -> WebSocket:
        sockets.append(await dial_websocket(url, take))
        return sockets[-1]

    async with asyncio.TaskGroup() as tasks:

        def say_idle() -> None:
            sockets[-1].send(wire.NEXT)

        desk = _Desk(ledger=ledger, books=books, client=client, clock=clock)
        desk.on_done = say_idle
        locks = Locks(source=client, ledger=ledger, clock=clock, request_pass=lambda _: None)
        executor = Executor(
            author=Author(strategy_id="bench", strategy_name="Eager"),
            strategy=_Eager(),
            instrument=_INSTRUMENT,
            is_paused=False,
            memory=None,
            tools=Tools(
                ledger=ledger,
                books=books,
                desk=desk,
                market=client,
                authority=authority,
                locks=locks,
                clock=clock,
                request_pass=lambda _: None,
            ),
        )
        desk.tell_trade = executor.trade_changed
        account = AccountStream(books, request_pass=lambda _: None)

        def take(event: ExchangeEvent) -> None:
            match event:
                case TickerReceived(ticker=ticker):
                    executor.quote(ticker)
                case OrderReceived() | FillsReceived():
                    account.put(event)
                case SessionOpened():
                    locks.opened()
                    live.set()

        link = DeribitLink(
            client,
            url=url,
            key=ApiKey(client_id="bench", secret=SecretStr("bench-secret")),
            clock=clock,
            dice=random.Random(1),  # noqa: S311 - of nonces
            sink=take,
            dial=dial,
            # This exchange has no private stream, and one client's ticker rests while others run.
            deadlines=Deadlines(proof_s=3600.0, quiet_s=3600.0),
        )
        tasks.create_task(link.run())
        tasks.create_task(account.run())
        tasks.create_task(executor.run())
        await live.wait()
        tasks.create_task(locks.run())
        while not locks.closures.is_quiet:  # nothing is opened before the locks were read
            await clock.sleep(0.01)
            locks.reconciled(client.exchange_now_ms())
        say_idle()  # a ticker that comes before the executor has resumed waits in its inbox


class _Desk(Desk):
    """The real desk, which also says when an entry is wholly dealt with.

    What the entry opened is over at once, so that the next ticker finds the strategy as free as
    this one did.
    """

    tell_trade: Callable[[Trade], None]
    on_done: Callable[[], None]

    async def enter(self, approved: Approved, *, instrument_name: str, author: Author) -> Outcome:
        outcome = await super().enter(approved, instrument_name=instrument_name, author=author)
        if isinstance(outcome, Confirmed):
            self.tell_trade(_opened_and_closed(outcome.order))
        # Runs once the executor has taken the news of its order and waits for a quote again.
        asyncio.get_running_loop().call_soon(self.on_done)
        return outcome


def _opened_and_closed(entry: Order) -> Trade:
    label = parse_label(entry.label)
    assert label is not None
    return Trade(
        trade_id=f"t{label.intent_id}",
        strategy_name="Eager",
        instrument_name=entry.instrument_name,
        side=entry.direction,
        entry_order_id=entry.order_id,
        entry_price=Decimal(1),
        amount=entry.amount,
        entry_time_ms=entry.last_update_timestamp_ms,
        status=TradeStatus.CLOSED,
        open_amount=ZERO,
        exit_time_ms=0,  # for no clock later than the next ticker, which would be too early then
    )


class _Eager:
    """Enters at every ticker."""

    instrument_name = wire.INSTRUMENT_NAME
    limits = Limits(cooldown_ms=0, daily_trades_max=10**9)
    trade_size_usd = Decimal(1000)
    is_flattened_on_stop = False
    warm_start: WarmStart | None = None

    def on_history(self, candles: Sequence[Candle]) -> None:
        """Not asked for."""

    def on_ticker(self, ticker: Ticker, position: OpenPosition | None) -> Decision:
        """Enter."""
        del ticker, position
        return Decision(
            intents=(
                Enter(
                    direction=Direction.BUY,
                    notional_usd=self.trade_size_usd,
                    stop_loss_percent=Decimal("0.5"),
                    take_profit_percent=Decimal(1),
                    reason="every ticker",
                ),
            )
        )

    def snapshot(self) -> dict[str, Any]:
        """Nothing to remember."""
        return {}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Nothing to take back."""


class _ForgetfulLedger:
    """Stands where the ledger stands and writes nothing: the path without the durable commit."""

    def __init__(self) -> None:
        self._last_intent_id = 0
        self._orders: dict[str, OwnOrder] = {}

    def next_intent_id(self) -> int:
        self._last_intent_id += 1
        return self._last_intent_id

    async def commit_orders(self, orders: Sequence[OwnOrder]) -> None:
        self._orders = {order.label: order for order in orders}

    async def apply_orders(self, orders: Sequence[Order]) -> tuple[OwnOrder, ...]:
        return tuple(
            replace(self._orders[order.label], status=OrderStatus.FILLED) for order in orders
        )

    async def open_incidents(self) -> tuple[Incident, ...]:
        return ()

    async def open_trades(self) -> OpenTrades:
        return OpenTrades(trades=(), unreadable=())

    async def working_orders(self) -> tuple[OwnOrder, ...]:
        return ()

    async def orders_short_of_fills(self) -> tuple[OwnOrder, ...]:
        return ()

    async def last_exit(self, strategy_id: str) -> tuple[str, int] | None:
        del strategy_id
        return None

    async def trades_opened_since(self, strategy_id: str, since_ms: int) -> int:
        del strategy_id, since_ms
        return 0


if __name__ == "__main__":
    main()
