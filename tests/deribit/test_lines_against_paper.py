"""Bad lines between a session and the paper exchange, of every kind on its fault menu."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest

from vigil.clock import SystemClock
from vigil.deribit.client import DeribitClient
from vigil.deribit.credits import Credits, Pool, Rate
from vigil.deribit.link import DeribitLink, Unheard
from vigil.deribit.outcome import Confirmed, Outcome, Refused, Unknown
from vigil.deribit.session import ApiKey, Deadlines
from vigil.deribit.throttle import Throttle
from vigil.domain.events import ExchangeEvent, SessionLost, SessionOpened, TickerReceived
from vigil.domain.order import Direction, OrderRequest, OrderType
from vigil.errors import OutcomeUnknown, Transient
from vigil.paper.server import PaperServer
from vigil.paper.session.keys import CLIENT_ID, CLIENT_SECRET
from vigil.paper.venue import Venue
from vigil.supervision.restarts import Backoff, ChildSpec
from vigil.supervision.supervisor import ChildEvent, ChildEventKind, Supervisor

LINEAR = "BTC_USDC-PERPETUAL"
QUICK = Deadlines(
    dial_s=0.5,
    call_s=0.5,
    silence_s=0.8,
    probe_every_s=0.3,
    answer_s=0.6,
    watch_s=0.02,
    proof_s=30,
)

Until = Callable[..., Any]


class Line:
    """A session under the real supervisor, on a paper exchange whose lines can be broken."""

    def __init__(self, server: PaperServer, secret: Any) -> None:
        self.server = server
        self.clock = SystemClock()
        self.events: list[ExchangeEvent] = []
        self.unheard: list[Unheard] = []
        self.told: list[ChildEvent] = []
        self.dials_s: list[float] = []
        limits = dict.fromkeys(Pool, Rate(per_s=1e4, burst=1e3))
        throttle = Throttle(self.clock, Credits(limits, now_s=self.clock.elapsed_s()))
        self.client = DeribitClient(self.clock, call_timeout_s=0.5, throttle=throttle)
        self.link = DeribitLink(
            self.client,
            url=server.websocket_url,
            key=ApiKey(client_id=CLIENT_ID, secret=secret(CLIENT_SECRET)),
            clock=self.clock,
            dice=random.Random(1),
            sink=self.events.append,
            on_unreadable=self.unheard.append,
            deadlines=QUICK,
        )
        self.supervisor = Supervisor(
            clock=self.clock, rng=random.Random(2), on_event=self.told.append
        )

    async def _run(self) -> None:
        self.dials_s.append(self.clock.elapsed_s())
        await self.link.run()

    def start(self, backoff: Backoff) -> None:
        self.supervisor.add_child(ChildSpec(name="session", start=self._run, backoff=backoff))

    def ends(self) -> list[str]:
        return [one.reason for one in self.told if one.kind is ChildEventKind.RESTARTING]

    def count(self, kind: type) -> int:
        return sum(isinstance(event, kind) for event in self.events)

    async def place(self, label: str, **changes: Any) -> Outcome:
        wishes: dict[str, Any] = {
            "instrument_name": LINEAR,
            "direction": Direction.BUY,
            "order_type": OrderType.MARKET,
            "amount": Decimal("0.001"),
            "label": label,
            "valid_until_ms": self.client.exchange_now_ms() + 4_000,
        }
        return await self.client.place(OrderRequest(**(wishes | changes)))


@pytest.fixture
async def line(secret: Any, until: Until) -> AsyncIterator[Line]:
    clock = SystemClock()
    server = PaperServer(Venue(now_ms=clock.now_ms()), clock, tick_interval_s=0.05)
    await server.start()
    made = Line(server, secret)
    await made.client.watch([LINEAR])
    supervising = asyncio.ensure_future(made.supervisor.run())
    made.start(Backoff(base_s=0.05, cap_s=0.4, settled_s=5.0))
    await until(lambda: made.client.is_live)
    yield made
    made.supervisor.request_stop()
    await supervising
    server.faults.clear()
    await server.stop()


async def comes_back(line: Line, until: Until) -> str:
    """The next session is live and hears the market; why the one before it ended."""
    await until(lambda: line.client.is_live and line.client.epoch == 2)
    heard = line.count(TickerReceived)
    await until(lambda: line.count(TickerReceived) > heard)
    assert line.count(SessionLost) == 1
    assert line.count(SessionOpened) == 2
    return line.ends()[0]


@pytest.mark.fault("N1", "N3", "N7")
@pytest.mark.parametrize(
    ("fault", "options"),
    [
        pytest.param("freeze-connection", {}, id="frozen"),
        pytest.param("lose-one-way", {"direction": "in"}, id="deaf"),
        pytest.param("lose-one-way", {"direction": "out"}, id="mute"),
        pytest.param("drip-connection", {"every_s": 0.2}, id="dripping"),
    ],
)
async def test_a_line_without_whole_messages_is_given_up_and_nothing_is_sent_on_it(
    line: Line, until: Until, fault: str, options: dict[str, Any]
) -> None:
    began_s = line.clock.elapsed_s()
    line.server.deeds.do(fault, **options)
    placing = asyncio.ensure_future(line.place("vg-n-1-1"))
    reason = await comes_back(line, until)
    assert "nothing heard for" in reason or "nothing answered for" in reason
    assert line.dials_s[1] - began_s < QUICK.probe_every_s + QUICK.silence_s + 1.0
    assert isinstance(await placing, Unknown)


@pytest.mark.fault("N2")
@pytest.mark.parametrize("in_mid_frame", [True, False])
async def test_a_reset_leaves_calls_in_doubt_and_nothing_else(
    line: Line, until: Until, *, in_mid_frame: bool
) -> None:
    line.server.faults.arm("withhold-reply", method="private/buy")
    placing = asyncio.ensure_future(line.place("vg-n-1-1"))
    await until(lambda: line.server.venue.exchange.books.orders)
    line.server.deeds.do("reset-connection", in_mid_frame=in_mid_frame)
    await comes_back(line, until)
    assert isinstance(await placing, Unknown)
    assert line.unheard == []
    (order,) = await line.client.orders_by_label("USDC", "vg-n-1-1")
    assert order.label == "vg-n-1-1"


@pytest.mark.fault("N12")
@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 4000])
async def test_however_the_exchange_closes_it_is_the_same_road_back(
    line: Line, until: Until, code: int
) -> None:
    line.server.deeds.do("close-connection", code=code)
    assert str(code) in await comes_back(line, until)


@pytest.mark.fault("N12")
async def test_a_line_that_ends_without_a_word_is_the_same_road_back(
    line: Line, until: Until
) -> None:
    line.server.deeds.do("abort-connection")
    await comes_back(line, until)


@pytest.mark.fault("N13")
@pytest.mark.parametrize(
    "shape", ["truncated", "not-json", "invalid-utf8", "deep-nesting", "oversize"]
)
async def test_a_reply_that_cannot_be_read_is_never_an_empty_one(
    line: Line, until: Until, shape: str
) -> None:
    price = Decimal(round((await line.client.ticker(LINEAR)).mark_price * Decimal("0.99")))
    await line.place("vg-n-1-1", order_type=OrderType.LIMIT, price=price)
    truth = await line.client.open_orders()
    assert len(truth) == 1
    line.server.faults.arm("garble-reply", method="private/get_open_orders", shape=shape)
    with contextlib.suppress(OutcomeUnknown, Transient):
        assert await line.client.open_orders() == truth, "spoilt where nobody looks, perhaps"
    await until(lambda: line.client.is_live)
    assert await line.client.open_orders() == truth


@pytest.mark.fault("N13")
async def test_news_of_the_account_that_cannot_be_read_is_asked_for(
    line: Line, until: Until
) -> None:
    line.server.faults.arm("garble-notification", channel="user.orders.*", shape="truncated")
    await line.place("vg-n-1-1")
    await until(lambda: line.unheard)
    assert line.client.is_live


@pytest.mark.fault("N11", "N10")
async def test_while_nobody_answers_it_is_tried_one_at_a_time_and_ever_more_rarely(
    line: Line, until: Until
) -> None:
    line.server.faults.arm("refuse-connections", count=5)
    line.server.faults.arm("stall-handshake", count=1, skip=0)
    line.server.deeds.do("abort-connection")
    await comes_back(line, until)
    pauses = [one.delay_s for one in line.told if one.kind is ChildEventKind.RESTARTING]
    assert len(pauses) >= 5
    bounds = [min(0.4, 0.05 * 2.0**n) for n in range(len(pauses))]
    for pause, bound in zip(pauses, bounds, strict=True):
        assert pause is not None
        assert 0 <= pause <= bound
    assert len({pause for pause in pauses}) == len(pauses), "with dice in it"
    assert len(line.dials_s) == len(pauses) + 1


@pytest.mark.fault("N4")
async def test_a_request_carried_out_after_we_gave_it_up_is_bounded_by_its_validity(
    line: Line, until: Until
) -> None:
    line.server.faults.arm("delay-request", method="private/buy", delay_s=0.8, count=1)
    valid_until_ms = line.client.exchange_now_ms() + 300
    assert isinstance(await line.place("vg-n-1-1", valid_until_ms=valid_until_ms), Unknown)
    await until(lambda: line.client.exchange_now_ms() > valid_until_ms + 1_000)
    assert await line.client.orders_by_label("USDC", "vg-n-1-1") == ()
    assert isinstance(await line.place("vg-n-2-1"), Confirmed)


async def test_a_call_that_met_the_end_of_its_session_says_whether_it_was_sent(
    line: Line, until: Until
) -> None:
    line.server.deeds.do("abort-connection")
    outcomes = await asyncio.gather(*(line.place(f"vg-n-{n}-1") for n in range(5)))
    await comes_back(line, until)
    for number, outcome in enumerate(outcomes):
        found = await line.client.orders_by_label("USDC", f"vg-n-{number}-1")
        if isinstance(outcome, Refused):
            assert found == ()
        else:
            assert isinstance(outcome, (Unknown, Confirmed))


@pytest.mark.fault("N16")
async def test_a_burst_of_notifications_is_all_heard(line: Line, until: Until) -> None:
    line.server.faults.arm("flood", channel="ticker.*", messages=3_000)
    before = line.count(TickerReceived)
    await until(lambda: line.count(TickerReceived) >= before + 3_000)
    assert line.client.epoch == 1
    assert isinstance(await line.place("vg-n-1-1"), Confirmed)
