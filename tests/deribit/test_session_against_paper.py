"""Sessions on the paper exchange while logins, credits and channels fail, over real sockets."""

import asyncio
import itertools
import random
import statistics
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest
import structlog

from vigil.clock import SystemClock
from vigil.deribit.client import DeribitClient
from vigil.deribit.link import DeribitLink
from vigil.deribit.outcome import NOT_SENT, Confirmed, LateReply, Outcome, Refused, Unknown
from vigil.deribit.rest import RestWitness
from vigil.deribit.session import ApiKey, AuthMethod, Deadlines, Trouble, TroubleKind
from vigil.domain.events import (
    ExchangeEvent,
    OrderReceived,
    SessionLost,
    SessionOpened,
    TickerReceived,
)
from vigil.domain.order import Direction, OrderRequest, OrderType
from vigil.errors import Misconfigured, OutcomeUnknown, Rejected, Transient, VigilError
from vigil.paper.refusals import Refusal
from vigil.paper.server import PaperServer
from vigil.paper.session.credits import Limits
from vigil.paper.session.keys import CLIENT_ID, CLIENT_SECRET, READER_ID, READER_SECRET
from vigil.paper.venue import Venue

LINEAR = "BTC_USDC-PERPETUAL"

Until = Callable[..., Any]


class CountingVenue(Venue):
    """Remembers what it refused, and when each cancel came in."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.refused: list[tuple[str, int]] = []
        self.cancelled_s: list[float] = []
        self.labels: list[str] = []

    def receive(self, connection_id: int, request: Any, now_ms: int) -> Any:
        reaction = super().receive(connection_id, request, now_ms)
        self._note(request, reaction)
        return reaction

    def receive_alone(self, request: Any, now_ms: int, **login: Any) -> Any:
        reaction = super().receive_alone(request, now_ms, **login)
        self._note(request, reaction)
        return reaction

    def codes(self) -> list[int]:
        return [code for _, code in self.refused]

    def _note(self, request: Any, reaction: Any) -> None:
        if isinstance(reaction.answer, Refusal):
            self.refused.append((request.method, reaction.answer.code))
        if request.method == "private/cancel":
            self.cancelled_s.append(SystemClock().elapsed_s())
        if request.method in ("private/buy", "private/sell"):
            self.labels.append(request.params["label"])


class Life:
    """A session that is begun again whenever it ends, as under the supervisor but sooner."""

    def __init__(self, server: PaperServer, secret: Any) -> None:
        self.clock = SystemClock()
        self.server = server
        self.venue: CountingVenue = server.venue  # type: ignore[assignment]
        self.secret = secret
        self.late: list[LateReply] = []
        self.events: list[ExchangeEvent] = []
        self.troubles: list[Trouble] = []
        self.ends: list[VigilError] = []
        self.client = DeribitClient(self.clock, call_timeout_s=2, on_late=self.late.append)
        self.deadlines = Deadlines(dial_s=2, call_s=5)
        self.key = ApiKey(client_id=CLIENT_ID, secret=secret(CLIENT_SECRET))
        self.dice = random.Random(1)
        self._numbers = itertools.count(1)
        self._task: asyncio.Task[None] | None = None

    def link(self) -> DeribitLink:
        return DeribitLink(
            self.client,
            url=self.server.websocket_url,
            key=self.key,
            clock=self.clock,
            dice=self.dice,
            sink=self.events.append,
            on_trouble=self.troubles.append,
            deadlines=self.deadlines,
        )

    def start(self) -> None:
        self._task = asyncio.ensure_future(self._go_on())

    async def _go_on(self) -> None:
        link = self.link()
        while True:
            try:
                await link.run()
            except VigilError as error:
                self.ends.append(error)
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def count(self, kind: type) -> int:
        return sum(isinstance(event, kind) for event in self.events)

    def request(self, price: Decimal | None = None, **changes: Any) -> OrderRequest:
        wishes: dict[str, Any] = {
            "instrument_name": LINEAR,
            "direction": Direction.BUY,
            "order_type": OrderType.MARKET if price is None else OrderType.LIMIT,
            "amount": Decimal("0.001"),
            "label": f"vg-s-{next(self._numbers)}-1",
            "price": price,
            "valid_until_ms": self.client.exchange_now_ms() + 4_000,
        }
        return OrderRequest(**(wishes | changes))

    async def rest(self, count: int) -> list[str]:
        """Orders that rest far below the market."""
        ticker = await self.client.ticker(LINEAR)
        price = Decimal(round(ticker.mark_price * Decimal("0.99")))
        outcomes = [await self.client.place(self.request(price)) for _ in range(count)]
        return [confirmed(outcome).order.order_id for outcome in outcomes]


def confirmed(outcome: Outcome) -> Confirmed:
    assert isinstance(outcome, Confirmed), outcome
    return outcome


def logins(troubles: list[Trouble]) -> list[str | None]:
    return [trouble.reason for trouble in troubles if trouble.kind is TroubleKind.LOGIN]


@pytest.fixture
async def begin(secret: Any, until: Until) -> AsyncIterator[Callable[..., Any]]:
    """Begins a life on a paper exchange made to order."""
    lives: list[Life] = []

    async def make(**options: Any) -> Life:
        clock = SystemClock()
        server = PaperServer(
            CountingVenue(now_ms=clock.now_ms(), **options), clock, tick_interval_s=0.05
        )
        await server.start()
        life = Life(server, secret)
        lives.append(life)
        life.start()
        await until(lambda: life.client.is_live or life.ends)
        return life

    yield make
    for life in lives:
        await life.stop()
        await life.server.stop()


# --- credits


@pytest.mark.fault("E5")
async def test_a_storm_earns_no_refusal_and_a_cancel_in_it_hardly_waits(
    begin: Any, until: Until
) -> None:
    """500 wishes to enter and 20 cut lines within a few seconds, on the lowest tier.

    The limit is a quarter second: one credit of the lowest tier takes 222 ms to come back. What
    is asserted beyond it is what a busy machine may add.
    """
    life: Life = await begin()
    venue = life.venue
    await until(lambda: life.client.throttle.try_spend("private/get_positions", 3))
    order_ids = await life.rest(8)
    storming = asyncio.Event()
    outcomes: list[Outcome] = []

    async def wish(delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        outcomes.append(await life.client.place(life.request()))

    async def cut() -> None:
        for number in range(20):
            epoch = life.client.epoch
            life.server.drop_connections()
            await until(lambda: life.client.is_live and life.client.epoch > epoch)  # noqa: B023
            if number == 2:
                storming.set()
            await asyncio.sleep(0.05)

    async def cancel() -> list[float]:
        """From the wish to the exchange, for each order; a cut line only costs another try."""
        await storming.wait()
        waits: list[float] = []
        for order_id in order_ids:
            await until(lambda: life.client.is_live)
            began_s, heard = life.clock.elapsed_s(), len(venue.cancelled_s)
            outcome = await life.client.cancel(order_id)
            if isinstance(outcome, Refused) and outcome.code == NOT_SENT:
                assert not life.client.is_live, outcome  # it was the line, and not the credit
                continue
            if len(venue.cancelled_s) > heard:
                waits.append(venue.cancelled_s[heard] - began_s)
            await asyncio.sleep(0.4)
        return waits

    async with asyncio.TaskGroup() as tasks:
        dice = random.Random(3)
        for _ in range(500):
            tasks.create_task(wish(dice.uniform(0, 12)))
        tasks.create_task(cut())
        cancelling = tasks.create_task(cancel())
    waits = cancelling.result()
    assert 10028 not in venue.codes(), venue.refused
    assert not [end for end in life.ends if "credit" in str(end)]
    assert life.count(SessionOpened) >= 21
    assert len(outcomes) == 500
    assert len(waits) >= 4
    assert statistics.median(waits) <= 0.25
    assert max(waits) <= 0.25 + 0.25
    assert venue.labels, "some of the storm went through"
    assert len(set(venue.labels)) == len(venue.labels), "nothing was sent twice"


@pytest.mark.fault("E5")
async def test_a_cancel_goes_before_the_entries_that_wait_for_credit(
    begin: Any, until: Until
) -> None:
    """Entries have taken all that they may, and more of them come all the time; the line holds."""
    life: Life = await begin()
    order_ids = await life.rest(6)
    outcomes: list[Outcome] = []
    is_over = asyncio.Event()

    async def wish() -> None:
        while not is_over.is_set():
            outcomes.append(await life.client.place(life.request()))
            await asyncio.sleep(0.02)

    waits: list[float] = []
    async with asyncio.TaskGroup() as tasks:
        for _ in range(10):
            tasks.create_task(wish())
        await until(lambda: sum(isinstance(outcome, Refused) for outcome in outcomes) >= 20)
        for order_id in order_ids:
            began_s = life.clock.elapsed_s()
            confirmed(await life.client.cancel(order_id))
            waits.append(life.venue.cancelled_s[-1] - began_s)
        is_over.set()
    assert life.venue.codes() == []
    assert statistics.median(waits) <= 0.25
    assert max(waits) <= 0.25 + 0.25


@pytest.mark.fault("E5")
async def test_credit_that_somebody_else_spent_costs_the_session_and_then_no_more(
    begin: Any, until: Until
) -> None:
    life: Life = await begin()
    (order_id,) = await life.rest(1)
    life.server.deeds.do("drain-credits")
    with pytest.raises((Transient, OutcomeUnknown)):
        await life.client.positions()
    await until(lambda: life.count(SessionLost) == 1)
    drained_s = life.clock.elapsed_s()
    await until(lambda: life.client.epoch == 2)
    assert life.clock.elapsed_s() - drained_s > 1.5, "a slow start"
    assert [code for code in life.venue.codes() if code == 10028] == [10028]
    assert [order.order_id for order in await life.client.open_orders()] == [order_id]


async def test_the_account_s_own_limits_are_used(begin: Any, until: Until) -> None:
    life: Life = await begin(limits=Limits.of_tier(1))
    throttle: Any = life.client.throttle
    await until(lambda: throttle._adopted)
    # 30 a second and 100 at once, where the lowest tier has 5 and 20.
    waited_s = life.clock.elapsed_s() + 1.5
    await until(lambda: life.clock.elapsed_s() > waited_s)
    outcomes = await asyncio.gather(
        *(life.client.place(life.request(label=f"l{number}")) for number in range(20))
    )
    assert all(isinstance(outcome, Confirmed) for outcome in outcomes)
    assert 10028 not in life.venue.codes()


async def test_the_second_witness_spends_from_the_same_pool(begin: Any) -> None:
    life: Life = await begin()
    witness = RestWitness(
        life.server.http_url,
        CLIENT_ID,
        life.secret(CLIENT_SECRET),
        throttle=life.client.throttle,
        exchange_now_ms=life.client.exchange_now_ms,
    )
    try:
        await asyncio.gather(*(one.positions() for one in [life.client, witness] * 30))
    finally:
        await witness.close()
    assert life.venue.codes() == []
    assert life.count(SessionLost) == 0


# --- logins


async def hammer(life: Life, *, for_s: float) -> list[Any]:
    """Private calls one after another; what went wrong with them."""
    failures: list[Any] = []
    end_s = life.clock.elapsed_s() + for_s
    while life.clock.elapsed_s() < end_s:
        try:
            await life.client.positions()
        except VigilError as error:
            failures.append(error)
        await asyncio.sleep(0.06)
    return failures


@pytest.mark.fault("E29")
@pytest.mark.parametrize("method", list(AuthMethod))
async def test_renewing_a_short_login_again_and_again_loses_no_call(
    begin: Any, until: Until, method: AuthMethod, secret: Any
) -> None:
    life: Life = await begin(token_lifetime_s=1)
    life.key = ApiKey(client_id=CLIENT_ID, secret=secret(CLIENT_SECRET), method=method)
    await life.stop()
    life.start()
    await until(lambda: life.client.epoch == 2 and life.client.is_live)
    assert await hammer(life, for_s=3) == []
    assert life.client.epoch == 2, "one session all the while"
    assert 13009 not in life.venue.codes()


@pytest.mark.fault("E29")
@pytest.mark.parametrize(
    ("fault", "options"),
    [
        pytest.param("refuse-login", {"grant": "refresh_token", "code": 13009}, id="refused"),
        pytest.param("withhold-reply", {"method": "public/auth"}, id="carried out, not answered"),
        pytest.param("lose-request", {"method": "public/auth"}, id="lost on its way"),
    ],
)
async def test_a_renewal_that_fails_falls_back_on_the_key_and_loses_no_call(
    begin: Any, until: Until, fault: str, options: dict[str, Any]
) -> None:
    life: Life = await begin(token_lifetime_s=3)
    await life.stop()
    life.deadlines = Deadlines(dial_s=2, call_s=0.5)
    life.start()
    await until(lambda: life.client.epoch == 2 and life.client.is_live)
    life.server.faults.arm(fault, **options)
    assert await hammer(life, for_s=4) == []
    assert life.client.epoch == 2
    assert 13009 not in [code for name, code in life.venue.refused if name != "public/auth"]


@pytest.mark.fault("E29")
async def test_logins_that_the_exchange_ended_are_had_again_by_a_new_session(
    begin: Any, until: Until
) -> None:
    life: Life = await begin()
    await until(lambda: logins(life.troubles) == [None])
    life.server.deeds.do("expire-tokens", refresh_too=True)
    with pytest.raises(Rejected):
        await life.client.positions()
    await until(lambda: life.client.epoch == 2 and life.client.is_live)
    told = logins(life.troubles)
    assert told[1] is not None
    assert "13009" in told[1]
    assert told[-1] is None
    assert await life.client.positions() == ()


@pytest.mark.fault("E30")
async def test_a_revoked_key_is_a_person_s_business_and_is_not_hammered(
    begin: Any, until: Until
) -> None:
    life: Life = await begin()
    await life.rest(1)
    life.server.deeds.do("revoke-key", client_id=CLIENT_ID, revoked=True)
    with pytest.raises(VigilError):
        await life.client.positions()
    await until(lambda: [end for end in life.ends if isinstance(end, Misconfigured)])
    assert "does not accept the key (13004)" in str(life.ends[-1])
    assert not life.client.is_live
    last = logins(life.troubles)[-1]
    assert last is not None
    assert "13004" in last
    assert len(list(life.venue.exchange.books.live_orders())) == 1, "what rests goes on resting"


@pytest.mark.fault("E30")
async def test_a_scope_cut_in_mid_session_is_found_by_the_next_order(
    begin: Any, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vigil.deribit.calling._FORBIDDEN_S_MIN", 0.0)
    life: Life = await begin()
    life.server.deeds.do(
        "narrow-scope", client_id=CLIENT_ID, scope="account:read trade:read wallet:read"
    )
    outcome = await life.client.place(life.request())
    assert isinstance(outcome, Refused), outcome
    await until(lambda: [end for end in life.ends if isinstance(end, Misconfigured)])
    assert "lacks trade:read_write" in str(life.ends[-1])


@pytest.mark.fault("E30")
async def test_a_key_that_only_reads_does_not_start(begin: Any, secret: Any) -> None:
    life: Life = await begin()
    await life.stop()
    life.key = ApiKey(client_id=READER_ID, secret=secret(READER_SECRET))
    with pytest.raises(Misconfigured, match="lacks trade:read_write"):
        await life.link().run()


@pytest.mark.fault("E33")
async def test_an_exchange_far_ahead_of_us_is_logged_in_to_and_traded_on_by_its_own_clock(
    begin: Any, until: Until
) -> None:
    life: Life = await begin()
    life.server.deeds.do("skew-clock", offset_ms=3_600_000)
    await life.stop()
    life.start()
    await until(lambda: life.client.epoch == 2 and life.client.is_live)
    assert abs(life.client.clock_offset_ms - 3_600_000) < 2_000
    confirmed(await life.client.place(life.request()))
    told = [one.reason for one in life.troubles if one.kind is TroubleKind.CLOCK]
    assert told[-1] is not None


# --- what is not heard


@pytest.mark.fault("N15")
async def test_a_muted_ticker_is_brought_back_to_life(begin: Any, until: Until) -> None:
    life: Life = await begin()
    await life.stop()
    life.deadlines = Deadlines(dial_s=2, call_s=2, quiet_s=0.5, grace_s=0.2, watch_s=0.1)
    await life.client.watch([LINEAR])
    link = life.link()
    running = asyncio.ensure_future(link.run())
    await until(lambda: life.count(TickerReceived))
    muted = life.server.faults.arm("mute-channel", channel=f"ticker.{LINEAR}.*")
    life.server.set_price("btc_usdc", Decimal(95_500))
    await until(lambda: link.revivals)
    silent_from = life.count(TickerReceived)
    life.server.faults.disarm(muted.number)
    await until(lambda: life.count(TickerReceived) > silent_from + 3)
    assert life.client.epoch == 2
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()


@pytest.mark.fault("N15")
async def test_a_muted_private_stream_ends_the_session(begin: Any, until: Until) -> None:
    life: Life = await begin()
    await life.stop()
    life.deadlines = Deadlines(dial_s=2, call_s=2, proof_s=0.5, watch_s=0.1)
    life.start()
    await until(lambda: life.client.epoch == 2 and life.client.is_live)
    life.server.faults.arm("mute-channel", channel="user.orders.*")
    confirmed(await life.client.place(life.request()))
    await until(lambda: life.client.epoch == 3)
    assert "did not tell of order" in str(life.ends[-1])


async def test_every_act_of_ours_is_proven_by_the_private_stream(begin: Any, until: Until) -> None:
    """Placing, editing, cancelling, filling: none of them is taken for a dead stream."""
    life: Life = await begin(limits=Limits.of_tier(1))
    await until(lambda: life.client.throttle._adopted)
    order_ids = await life.rest(3)
    ticker = await life.client.ticker(LINEAR)
    price = Decimal(round(ticker.mark_price * Decimal("0.98")))
    confirmed(await life.client.edit(order_ids[0], amount=Decimal("0.002"), price=price))
    confirmed(await life.client.cancel(order_ids[0]))
    confirmed(await life.client.place(life.request()))
    confirmed(await life.client.place(life.request(direction=Direction.SELL, reduce_only=True)))
    asked_s = life.clock.elapsed_s()
    await until(lambda: life.clock.elapsed_s() > asked_s + 0.3)
    assert life.client.overdue_order_id(0.2) is None


@pytest.mark.fault("E1", "N6")
async def test_an_answer_that_comes_too_late_still_says_what_became_of_the_order(
    begin: Any, until: Until
) -> None:
    life: Life = await begin()
    life.client._call_timeout_s = 0.2
    life.server.faults.arm("delay-reply", method="private/buy", delay_s=0.6)
    request = life.request()
    outcome = await life.client.place(request)
    assert not isinstance(outcome, (Confirmed, Refused))
    await until(lambda: life.late)
    (late,) = life.late
    assert (late.label, late.method) == (request.label, "private/buy")
    assert confirmed(late.outcome).order.label == request.label
    assert life.count(OrderReceived)


@pytest.mark.fault("E35")
@pytest.mark.parametrize("oddity", ["new", "contradictory"])
async def test_an_error_that_nobody_knows_proves_nothing_and_is_told_once(
    begin: Any, oddity: str
) -> None:
    life: Life = await begin(limits=Limits.of_tier(1))
    life.server.faults.arm("odd-error", method="private/buy", oddity=oddity, count=2)
    with structlog.testing.capture_logs() as lines:
        outcomes = [await life.client.place(life.request()) for _ in range(2)]
    assert all(isinstance(outcome, Unknown) for outcome in outcomes)
    pairs = [(line["code"], line["message"]) for line in lines if line["event"] == "error.unlisted"]
    assert pairs
    assert len(set(pairs)) == len(pairs)
    assert life.count(SessionLost) == 0


@pytest.mark.fault("E9")
async def test_an_account_that_would_cancel_at_every_lost_line_does_not_take_our_orders(
    begin: Any, until: Until
) -> None:
    """Somebody has set the account so, for every connection that is opened from then on."""
    life = await begin()
    await life.client.set_cancel_on_disconnect(is_enabled=True, scope="account")
    life.client.suspect_private_stream("a reason to begin anew")
    await until(lambda: life.client.epoch == 2)
    over = Trouble(kind=TroubleKind.DISCONNECT, reason=None)
    await until(lambda: life.troubles.count(over) == 2)
    (order_id,) = await life.rest(1)
    life.client.suspect_private_stream("the line is lost")
    await until(lambda: life.client.epoch == 3)
    assert [order.order_id for order in await life.client.open_orders()] == [order_id]
