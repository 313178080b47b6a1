import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from vigil.clock import SystemClock
from vigil.deribit.client import DeribitClient
from vigil.deribit.link import DeribitLink, Unheard
from vigil.deribit.outcome import Confirmed, Unknown
from vigil.deribit.session import Deadlines, Phase
from vigil.domain.events import (
    ExchangeEvent,
    FillsReceived,
    OrderReceived,
    SessionLost,
    SessionOpened,
    TickerReceived,
)
from vigil.domain.order import Direction, OrderRequest, OrderType
from vigil.errors import Misconfigured, Transient

Make = Callable[..., dict[str, Any]]

TICKER = {
    "instrument_name": "X",
    "timestamp": 1,
    "state": "open",
    "mark_price": 2.5,
    "index_price": 2.5,
}
REQUEST = OrderRequest(
    instrument_name="X",
    direction=Direction.BUY,
    order_type=OrderType.MARKET,
    amount=Decimal(10),
    label="vg-a-1-1",
)


class Harness:
    """A link on the scripted exchange, what it said, and its sessions one after another."""

    def __init__(self, exchange: Any, secret: Any) -> None:
        self.clock = SystemClock()
        self.client = DeribitClient(self.clock, call_timeout_s=2)
        self.events: list[ExchangeEvent] = []
        self.unheard: list[Unheard] = []
        self.deadlines = Deadlines(call_s=2, dial_s=2)
        self.session_name: str | None = None
        self._exchange, self._secret = exchange, secret
        self._running: list[asyncio.Task[Any]] = []

    def link(self, **changes: Any) -> DeribitLink:
        settings = {
            "url": self._exchange.url,
            "client_id": "the-id",
            "client_secret": self._secret("the-secret"),
            "clock": self.clock,
            "sink": self.events.append,
            "on_unreadable": self.unheard.append,
            "deadlines": self.deadlines,
            "session_name": self.session_name,
        }
        return DeribitLink(self.client, **(settings | changes))

    def start(self, **changes: Any) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(self.link(**changes).run())
        self._running.append(task)
        return task

    async def stop(self) -> None:
        for task in self._running:
            task.cancel()
            await asyncio.wait([task])

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
async def harness(exchange: Any, secret: Any) -> AsyncIterator[Harness]:
    made = Harness(exchange, secret)
    yield made
    await made.stop()


async def test_a_session_logs_in_subscribes_and_only_then_is_live(
    exchange: Any, harness: Harness, until: Any
) -> None:
    await harness.client.watch(["X", "Y"])
    harness.start()
    await until(lambda: harness.client.is_live)
    assert [method for method, _ in exchange.asked] == [
        "public/auth",
        "public/set_heartbeat",
        "public/get_time",
        "private/subscribe",
        "public/subscribe",
    ]
    assert exchange.asked_for("public/auth") == [
        {
            "grant_type": "client_credentials",
            "client_id": "the-id",
            "client_secret": "the-secret",
        }
    ]
    assert exchange.asked_for("public/set_heartbeat") == [{"interval": 10}]
    assert exchange.asked_for("public/subscribe") == [
        {"channels": ["ticker.X.100ms", "ticker.Y.100ms"]}
    ]
    assert harness.events == [SessionOpened(epoch=1)]


async def test_notifications_become_events_in_their_order(
    exchange: Any, harness: Harness, until: Any, order_json: Make, fill_json: Make
) -> None:
    harness.start()
    await until(lambda: harness.client.is_live)
    await exchange.push("user.trades.any.any.raw", [fill_json()])
    await exchange.push("user.orders.any.any.raw", order_json())
    await exchange.push("ticker.X.100ms", TICKER)
    await until(lambda: len(harness.events) == 4)
    assert [type(event) for event in harness.events] == [
        SessionOpened,
        FillsReceived,
        OrderReceived,
        TickerReceived,
    ]


async def test_what_comes_before_the_session_is_live_waits_for_its_opening(
    exchange: Any, harness: Harness, until: Any, fill_json: Make
) -> None:
    async def subscribe(params: Any) -> Any:
        await exchange.push("user.trades.any.any.raw", [fill_json()])
        return params["channels"]

    exchange.answers["private/subscribe"] = subscribe
    harness.start()
    await until(lambda: len(harness.events) == 2)
    assert [type(event) for event in harness.events] == [SessionOpened, FillsReceived]


@pytest.mark.parametrize("how", ["abort", "close 1000", "close 1001", "close 1011", "close 4000"])
async def test_however_a_session_ends_it_is_the_same_loss(
    exchange: Any, harness: Harness, until: Any, how: str
) -> None:
    running = harness.start()
    await until(lambda: harness.client.is_live)
    if how == "abort":
        exchange.sockets[0].transport.abort()
    else:
        await exchange.sockets[0].close(int(how.split()[1]))
    with pytest.raises(Transient):
        await running
    assert not harness.client.is_live
    assert [type(event) for event in harness.events] == [SessionOpened, SessionLost]


async def test_the_next_session_subscribes_everything_anew_under_a_new_epoch(
    exchange: Any, harness: Harness, until: Any
) -> None:
    await harness.client.watch(["X"])
    first = harness.start()
    await until(lambda: harness.client.is_live)
    await harness.client.watch(["X", "Y"])
    exchange.sockets[0].transport.abort()
    with pytest.raises(Transient):
        await first
    harness.start()
    await until(lambda: harness.client.is_live)
    assert exchange.asked_for("public/subscribe")[-1] == {
        "channels": ["ticker.X.100ms", "ticker.Y.100ms"]
    }
    assert [event.epoch for event in harness.events] == [1, 1, 2]  # type: ignore[union-attr]


async def test_an_order_unanswered_at_the_end_of_its_session_is_unknown(
    exchange: Any, harness: Harness, until: Any, no_answer: Any
) -> None:
    exchange.answers["private/buy"] = no_answer
    running = harness.start()
    await until(lambda: harness.client.is_live)
    placing = asyncio.ensure_future(harness.client.place(REQUEST))
    await until(lambda: exchange.asked_for("private/buy"))
    exchange.sockets[0].transport.abort()
    assert isinstance(await placing, Unknown)
    with pytest.raises(Transient):
        await running


async def test_an_order_goes_out_and_its_answer_comes_back(
    exchange: Any, harness: Harness, until: Any, order_json: Make
) -> None:
    exchange.answers["private/buy"] = {"order": order_json(), "trades": []}
    harness.start()
    await until(lambda: harness.client.is_live)
    assert isinstance(await harness.client.place(REQUEST), Confirmed)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (13004, "invalid_credentials"),
        (13009, "unauthorized"),
        (13021, "forbidden"),
        (-32602, "Invalid params"),
    ],
)
async def test_a_wrong_key_is_for_a_person_to_mend(
    exchange: Any, harness: Harness, refusal: Any, code: int, message: str
) -> None:
    exchange.answers["public/auth"] = refusal(code, message)
    with pytest.raises(Misconfigured, match="VIGIL_CLIENT_ID and VIGIL_CLIENT_SECRET"):
        await harness.start()
    assert harness.events == []


@pytest.mark.parametrize(
    ("method", "code", "message"),
    [
        ("public/auth", 11051, "system_maintenance"),
        ("public/auth", 10028, "too_many_requests"),
        ("public/auth", 11094, "internal_server_error"),
        ("private/subscribe", 13028, "temporarily_unavailable"),
        ("public/get_time", 10040, "retry"),
        ("public/set_heartbeat", -32601, "Method not found"),
    ],
)
async def test_any_other_failure_to_open_may_heal(
    exchange: Any, harness: Harness, refusal: Any, method: str, code: int, message: str
) -> None:
    exchange.answers[method] = refusal(code, message)
    with pytest.raises(Transient, match=str(code)):
        await harness.start()
    assert harness.events == []


async def test_a_session_without_its_private_channels_is_no_session(
    exchange: Any, harness: Harness
) -> None:
    exchange.answers["private/subscribe"] = ["user.portfolio.any"]
    with pytest.raises(Transient, match=r"user\.orders\.any\.any\.raw"):
        await harness.start()


async def test_an_unknown_instrument_does_not_keep_the_session_from_opening(
    exchange: Any, harness: Harness, until: Any
) -> None:
    exchange.answers["public/subscribe"] = []
    await harness.client.watch(["NOPE"])
    harness.start()
    await until(lambda: harness.client.is_live)
    assert harness.client.missing_channels == ("ticker.NOPE.100ms",)


async def test_a_token_is_renewed_before_it_expires_and_the_session_stays(
    exchange: Any, harness: Harness, until: Any
) -> None:
    exchange.token_life_s = 2
    harness.start()
    await until(lambda: len(exchange.asked_for("public/auth")) == 3, within_s=4)
    first, second, third = exchange.asked_for("public/auth")
    assert first["grant_type"] == "client_credentials"
    assert second == {"grant_type": "refresh_token", "refresh_token": "refresh-2"}
    assert third == {"grant_type": "refresh_token", "refresh_token": "refresh-4"}
    assert len(exchange.sockets) == 1


async def test_the_exchanges_clock_is_measured_anew_while_a_session_lasts(
    exchange: Any, harness: Harness, until: Any
) -> None:
    """A drift that went unseen would make every quote stale and every order expired."""
    harness.deadlines = replace(harness.deadlines, clock_check_s=0.05)
    harness.start()
    await until(lambda: harness.client.is_live)
    assert abs(harness.client.clock_offset_ms) < 1_000
    ahead_ms = 60_000
    exchange.answers["public/get_time"] = lambda _: harness.clock.now_ms() + ahead_ms
    await until(lambda: abs(harness.client.clock_offset_ms - ahead_ms) < 1_000)
    assert len(exchange.sockets) == 1


async def test_a_refused_renewal_falls_back_on_the_key(
    exchange: Any, harness: Harness, until: Any, refusal: Any
) -> None:
    exchange.token_life_s = 2
    grant = exchange.answers["public/auth"]
    exchange.answers["public/auth"] = lambda params: (
        refusal(13009, "unauthorized") if "refresh_token" in params else grant(params)
    )
    harness.start()
    await until(lambda: len(exchange.asked_for("public/auth")) == 3, within_s=4)
    kinds = [params["grant_type"] for params in exchange.asked_for("public/auth")]
    assert kinds == ["client_credentials", "refresh_token", "client_credentials"]
    assert harness.client.is_live


async def test_a_key_revoked_in_mid_session_ends_it_for_a_person(
    exchange: Any, harness: Harness, until: Any, refusal: Any
) -> None:
    exchange.token_life_s = 2
    running = harness.start()
    await until(lambda: harness.client.is_live)
    exchange.answers["public/auth"] = refusal(13004, "invalid_credentials")
    with pytest.raises(Misconfigured):
        await running
    assert harness.of(SessionLost)


async def test_a_link_on_which_nothing_comes_is_probed_and_then_given_up(
    exchange: Any, harness: Harness, until: Any, no_answer: Any
) -> None:
    harness.deadlines = replace(harness.deadlines, probe_after_s=0.15, silence_s=0.4, watch_s=0.02)
    running = harness.start()
    await until(lambda: harness.client.is_live)
    await until(lambda: len(exchange.asked_for("public/test")) == 4)
    assert harness.client.is_live  # well past its silence: answered probes keep it alive
    exchange.answers["public/test"] = no_answer
    with pytest.raises(Transient, match="nothing heard for"):
        await running


@pytest.mark.parametrize(
    "push",
    [
        pytest.param(("user.orders.any.any.raw", {"order_state": "novel"}), id="order"),
        pytest.param(("user.trades.any.any.raw", [{"trade_id": "1"}]), id="fill"),
        pytest.param(("user.portfolio.any", {"currency": "USDC"}), id="portfolio"),
    ],
)
async def test_what_cannot_be_read_about_the_account_is_reported_and_the_session_goes_on(
    exchange: Any, harness: Harness, until: Any, order_json: Make, push: tuple[str, Any]
) -> None:
    harness.start()
    await until(lambda: harness.client.is_live)
    await exchange.push(*push)
    await exchange.push("user.orders.any.any.raw", order_json())
    await until(lambda: harness.of(OrderReceived))
    (unheard,) = harness.unheard
    assert (unheard.channel, unheard.epoch) == (push[0], 1)


async def test_a_frame_that_is_no_message_may_have_been_about_the_account(
    exchange: Any, harness: Harness, until: Any
) -> None:
    harness.start()
    await until(lambda: harness.client.is_live)
    await exchange.say('{"method":"subscription","params":{"channel":"user.ord')
    await until(lambda: harness.unheard)
    assert harness.unheard[0].channel == ""
    assert harness.client.is_live


async def test_a_ticker_that_cannot_be_read_is_not_about_the_account(
    exchange: Any, harness: Harness, until: Any
) -> None:
    harness.start()
    await until(lambda: harness.client.is_live)
    await exchange.push("ticker.X.100ms", {"instrument_name": "X"})
    await exchange.push("ticker.X.100ms", TICKER)
    await until(lambda: harness.of(TickerReceived))
    assert harness.unheard == []


async def test_a_bug_in_the_sink_is_not_taken_for_a_lost_session(
    exchange: Any, harness: Harness, until: Any
) -> None:
    def sink(event: ExchangeEvent) -> None:
        if isinstance(event, TickerReceived):
            raise ZeroDivisionError

    running = harness.start(sink=sink)
    await until(lambda: harness.client.is_live)
    await exchange.push("ticker.X.100ms", TICKER)
    with pytest.raises(ZeroDivisionError):
        await running
    assert not harness.client.is_live


async def test_stopping_closes_the_session_in_good_order(
    exchange: Any, harness: Harness, until: Any
) -> None:
    link = harness.link()
    running = asyncio.ensure_future(link.run())
    await until(lambda: link.phase is Phase.LIVE)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: exchange.sockets[0].close_code is not None)
    assert exchange.sockets[0].close_code == 1000
    assert link.phase is Phase.ENDED
    assert harness.events[-1] == SessionLost(epoch=1, reason="stopped")


async def test_stopping_while_dialling_leaves_nothing_behind(harness: Harness) -> None:
    async def dial(_: str) -> Any:
        await asyncio.Event().wait()

    running = harness.start(dial=dial)
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert harness.events == []


async def test_a_named_session_says_its_name(exchange: Any, harness: Harness, until: Any) -> None:
    harness.session_name = "vigil"
    harness.start()
    await until(lambda: harness.client.is_live)
    assert exchange.asked_for("public/auth")[0]["scope"] == "session:vigil"
