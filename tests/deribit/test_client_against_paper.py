"""The client and the second witness on the paper exchange, over real sockets."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from vigil.clock import SystemClock
from vigil.deribit.client import DeribitClient
from vigil.deribit.link import DeribitLink, Unheard
from vigil.deribit.outcome import NOT_SENT, Confirmed, Outcome, Refused, Unknown
from vigil.deribit.rest import RestWitness
from vigil.deribit.session import ApiKey, Deadlines
from vigil.domain.events import (
    ExchangeEvent,
    FillsReceived,
    OrderReceived,
    PortfolioReceived,
    SessionLost,
    SessionOpened,
    TickerReceived,
)
from vigil.domain.order import (
    Direction,
    LinkedOrder,
    Order,
    OrderRequest,
    OrderStatus,
    OrderType,
    Trigger,
)
from vigil.errors import Misconfigured, Rejected, Transient
from vigil.paper.server import PaperServer
from vigil.paper.session.keys import CLIENT_ID, CLIENT_SECRET
from vigil.paper.venue import Venue

LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"

Until = Callable[..., Any]

# One nonce must not be used twice with one key, and all worlds use the same.
_SEEDS = itertools.count(1)


class World:
    """A paper exchange, and one client of it."""

    def __init__(self, server: PaperServer, secret: Any) -> None:
        self.clock = SystemClock()
        self.server = server
        self.client = DeribitClient(self.clock, call_timeout_s=2)
        self.events: list[ExchangeEvent] = []
        self.unheard: list[Unheard] = []
        self.secret = secret
        self.tasks: list[asyncio.Task[Any]] = []
        self.witness = self.witness_with(CLIENT_SECRET)
        self._labels = itertools.count(1)

    def witness_with(self, client_secret: str) -> RestWitness:
        return RestWitness(
            self.server.http_url,
            CLIENT_ID,
            self.secret(client_secret),
            throttle=self.client.throttle,
            exchange_now_ms=self.client.exchange_now_ms,
        )

    def start(self, **changes: Any) -> asyncio.Task[Any]:
        settings = {
            "url": self.server.websocket_url,
            "key": ApiKey(client_id=CLIENT_ID, secret=self.secret(CLIENT_SECRET)),
            "clock": self.clock,
            "dice": random.Random(next(_SEEDS)),
            "sink": self.events.append,
            "on_unreadable": self.unheard.append,
            "deadlines": Deadlines(dial_s=2, call_s=2),
        }
        task = asyncio.ensure_future(DeribitLink(self.client, **(settings | changes)).run())
        self.tasks.append(task)
        return task

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def orders(self, label: str) -> list[Order]:
        return [event.order for event in self.of(OrderReceived) if event.order.label == label]

    def request(self, instrument_name: str = LINEAR, **changes: Any) -> OrderRequest:
        made = OrderRequest(
            instrument_name=instrument_name,
            direction=Direction.BUY,
            order_type=OrderType.MARKET,
            amount=Decimal("0.01") if instrument_name == LINEAR else Decimal(100),
            label=f"vg-a-{next(self._labels)}-1",
            valid_until_ms=self.client.exchange_now_ms() + 5_000,
        )
        return replace(made, **changes)

    async def bracket(self) -> tuple[OrderRequest, Order]:
        """A market entry with its stop and target, filled."""
        ticker = await self.client.ticker(LINEAR)
        entry = self.request()
        secondary = {"direction": Direction.SELL, "amount": entry.amount}
        stop = LinkedOrder(
            order_type=OrderType.STOP_MARKET,
            label=f"vg-a-{next(self._labels)}-1",
            trigger_price=round(ticker.mark_price * Decimal("0.98")),
            trigger=Trigger.MARK,
            **secondary,  # type: ignore[arg-type]
        )
        target = LinkedOrder(
            order_type=OrderType.LIMIT,
            label=f"vg-a-{next(self._labels)}-1",
            price=round(ticker.mark_price * Decimal("1.01")),
            **secondary,  # type: ignore[arg-type]
        )
        entry = replace(entry, linked=(stop, target))
        return entry, confirmed(await self.client.place(entry)).order


def confirmed(outcome: Outcome) -> Confirmed:
    assert isinstance(outcome, Confirmed), outcome
    return outcome


@pytest.fixture
async def world(secret: Any, until: Until) -> AsyncIterator[World]:
    clock = SystemClock()
    server = PaperServer(Venue(now_ms=clock.now_ms()), clock, tick_interval_s=0.05)
    await server.start()
    made = World(server, secret)
    made.start()
    await until(lambda: made.client.is_live)
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.wait(made.tasks)
    await made.witness.close()
    await server.stop()


async def test_watched_tickers_flow(world: World, until: Until) -> None:
    assert await world.client.watch([LINEAR, INVERSE]) == ()
    await until(
        lambda: (
            {e.ticker.instrument_name for e in world.of(TickerReceived)}
            == {
                LINEAR,
                INVERSE,
            }
        )
    )
    ticker = world.of(TickerReceived)[-1].ticker
    assert ticker.is_open
    assert ticker.best_bid_price < ticker.best_ask_price
    assert world.unheard == []


async def test_an_unknown_instrument_is_told_by_its_missing_channel(world: World) -> None:
    assert await world.client.watch(["NOPE-PERPETUAL"]) == ("ticker.NOPE-PERPETUAL.100ms",)
    with pytest.raises(Rejected):
        await world.client.instrument("NOPE-PERPETUAL")


async def test_exchange_time_is_measured(world: World) -> None:
    assert abs(world.client.clock_offset_ms) < 200
    assert abs(await world.client.server_time_ms() - world.client.exchange_now_ms()) < 200


@pytest.mark.parametrize("instrument_name", [LINEAR, INVERSE])
async def test_a_market_order_fills_and_everything_agrees(
    world: World, until: Until, instrument_name: str
) -> None:
    request = world.request(instrument_name)
    started_ms = world.client.exchange_now_ms() - 1_000
    order = confirmed(await world.client.place(request)).order
    assert order.status is OrderStatus.FILLED
    await until(lambda: world.of(FillsReceived) and world.of(PortfolioReceived))
    fills = await world.client.fills_of_order(order.order_id)
    assert sum(fill.amount for fill in fills) == request.amount
    assert fills == tuple(f for event in world.of(FillsReceived) for f in event.fills)
    currency = "USDC" if instrument_name == LINEAR else "BTC"
    now_ms = world.client.exchange_now_ms() + 1_000
    assert await world.client.fills_since(currency, started_ms, now_ms) == fills
    (position,) = await world.client.positions()
    assert (position.instrument_name, position.size) == (instrument_name, request.amount)
    assert await world.client.order_state(order.order_id) == order
    assert await world.client.orders_by_label(currency, request.label) == (order,)
    assert world.unheard == []


async def test_an_entry_comes_to_life_with_its_stop_and_target(world: World, until: Until) -> None:
    entry, order = await world.bracket()
    assert order.status is OrderStatus.FILLED
    stop, target = entry.linked
    resting = {order.label: order for order in await world.client.open_orders()}
    assert set(resting) == {stop.label, target.label}
    assert resting[stop.label].status is OrderStatus.UNTRIGGERED
    assert resting[stop.label].trigger_price == stop.trigger_price
    assert resting[target.label].price == target.price
    assert all(order.reduce_only for order in resting.values())


async def test_a_stop_can_be_moved_and_cancelled(world: World, until: Until) -> None:
    entry, _ = await world.bracket()
    stop = entry.linked[0]
    resting = {order.label: order for order in await world.client.open_orders()}
    order_id = resting[stop.label].order_id
    assert stop.trigger_price is not None
    moved = await world.client.edit(
        order_id, amount=stop.amount, trigger_price=stop.trigger_price + 100
    )
    assert confirmed(moved).order.trigger_price == stop.trigger_price + 100
    cancelled = confirmed(await world.client.cancel(order_id)).order
    assert cancelled.status is OrderStatus.CANCELLED
    await until(lambda: world.orders(stop.label)[-1].status is OrderStatus.CANCELLED)
    again = await world.client.cancel(order_id)
    assert isinstance(again, Refused)
    assert again.code in (10004, 10010, 11044)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"amount": Decimal("0.00001")}, -32602, id="below the minimum"),
        pytest.param({"instrument_name": "NOPE-PERPETUAL"}, -32602, id="no such instrument"),
        pytest.param({"reduce_only": True}, 11030, id="nothing to reduce"),
        pytest.param({"amount": Decimal(100_000)}, 10009, id="no funds for it"),
    ],
)
async def test_a_definite_no_is_refused_with_its_code(
    world: World, changes: dict[str, Any], code: int
) -> None:
    outcome = await world.client.place(world.request(**changes))
    assert isinstance(outcome, Refused), outcome
    assert outcome.code == code


async def test_past_its_validity_an_order_is_in_doubt_and_then_found_nowhere(
    world: World,
) -> None:
    request = world.request(valid_until_ms=world.client.exchange_now_ms() - 1_000)
    assert isinstance(await world.client.place(request), Unknown)
    assert await world.client.orders_by_label("USDC", request.label) == ()


async def test_an_order_whose_answer_is_lost_is_found_by_its_label(
    world: World, until: Until
) -> None:
    world.server.faults.withhold_replies("private/buy")
    request = world.request()
    assert isinstance(await world.client.place(request), Unknown)
    (order,) = await world.client.orders_by_label("USDC", request.label)
    assert order.status is OrderStatus.FILLED
    assert world.orders(request.label)[-1] == order


async def test_an_order_lost_on_the_way_is_found_nowhere(world: World) -> None:
    world.server.faults.lose_requests("private/buy")
    request = world.request()
    assert isinstance(await world.client.place(request), Unknown)
    assert await world.client.orders_by_label("USDC", request.label) == ()
    assert await world.client.positions() == ()


async def test_after_a_cut_line_a_new_session_goes_on_where_the_old_one_was(
    world: World, until: Until
) -> None:
    await world.client.watch([LINEAR])
    entry, _ = await world.bracket()
    world.server.drop_connections()
    with pytest.raises(Transient):
        await world.tasks[0]
    outcome = await world.client.place(world.request())
    assert isinstance(outcome, Refused)
    assert outcome.code == NOT_SENT
    world.events.clear()
    world.start()
    await until(lambda: world.client.is_live)
    await until(lambda: world.of(TickerReceived))
    assert world.events[0] == SessionOpened(epoch=2)
    assert {order.label for order in await world.client.open_orders()} == {
        linked.label for linked in entry.linked
    }


async def test_the_exchange_going_away_is_one_lost_session(world: World, until: Until) -> None:
    await world.server.stop()
    with pytest.raises(Transient):
        await world.tasks[0]
    assert len(world.of(SessionLost)) == 1
    with pytest.raises(Transient):
        await world.start()
    assert len(world.of(SessionLost)) == 1


async def test_another_client_s_trades_are_seen_as_they_happen(
    world: World, until: Until, secret: Any
) -> None:
    other = World(world.server, secret)
    other.start()
    await until(lambda: other.client.is_live)
    order = confirmed(await other.client.place(other.request(label="somebody"))).order
    await until(lambda: world.orders("somebody"))
    assert world.orders("somebody")[-1].order_id == order.order_id
    other.tasks[0].cancel()
    await asyncio.wait(other.tasks)
    await other.witness.close()


async def test_the_second_witness_says_the_same(world: World) -> None:
    started_ms = world.client.exchange_now_ms() - 1_000
    _, order = await world.bracket()
    now_ms = world.client.exchange_now_ms() + 1_000
    witness = world.witness
    assert abs(await witness.server_time_ms() - world.client.exchange_now_ms()) < 500
    (seen,) = await witness.positions()
    (known,) = await world.client.positions()
    assert (seen.instrument_name, seen.size, seen.average_price) == (
        known.instrument_name,
        known.size,
        known.average_price,
    )
    assert await witness.open_orders() == await world.client.open_orders()
    assert await witness.fills_since("USDC", started_ms, now_ms) == (
        await world.client.fills_since("USDC", started_ms, now_ms)
    )
    assert await witness.order_state(order.order_id) == order


async def test_the_archive_is_asked_for_an_old_window(world: World) -> None:
    await world.bracket()
    now_ms = world.client.exchange_now_ms() + 1_000
    fills = await world.client.fills_since("USDC", now_ms - 48 * 3_600_000, now_ms)
    assert sum(fill.amount for fill in fills) == Decimal("0.01")


async def test_instruments_and_candles_and_cash_come_typed(world: World) -> None:
    linear = await world.client.instrument(LINEAR)
    assert linear.is_linear
    assert linear.settlement_currency == "USDC"
    names = {instrument.instrument_name for instrument in await world.client.instruments("any")}
    assert {LINEAR, INVERSE} <= names
    now_ms = world.client.exchange_now_ms()
    candles = await world.client.candles(
        LINEAR, resolution="1", start_ms=now_ms - 3_600_000, end_ms=now_ms
    )
    assert len(candles) >= 50
    assert all(candle.low <= candle.close <= candle.high for candle in candles)
    summaries = {summary.currency: summary for summary in await world.client.account_summaries()}
    assert summaries["USDC"].balance > 0


async def test_an_order_the_exchange_never_had_is_none(world: World) -> None:
    assert await world.client.order_state("USDC-999999999") is None


async def test_a_wrong_key_is_for_a_person_to_mend(world: World, secret: Any) -> None:
    other = World(world.server, secret)
    with pytest.raises(Misconfigured, match="VIGIL_CLIENT_SECRET"):
        await other.start(key=ApiKey(client_id=CLIENT_ID, secret=secret("wrong")))
    await other.witness.close()
    witness = world.witness_with("wrong")
    with pytest.raises(Rejected):
        await witness.positions()
    await witness.close()


async def test_a_short_token_is_renewed_without_losing_the_session(
    secret: Any, until: Until
) -> None:
    clock = SystemClock()
    server = PaperServer(Venue(now_ms=clock.now_ms(), token_lifetime_s=2), clock)
    await server.start()
    world = World(server, secret)
    world.start()
    await until(lambda: world.client.is_live)
    expired_ms = clock.now_ms() + 2_500
    await until(lambda: clock.now_ms() > expired_ms)
    assert confirmed(await world.client.place(world.request())).order.label == "vg-a-1-1"
    assert world.client.epoch == 1
    world.tasks[0].cancel()
    await asyncio.wait(world.tasks)
    await world.witness.close()
    await server.stop()
