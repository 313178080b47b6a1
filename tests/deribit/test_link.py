import asyncio
import random
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import structlog
from msgspec.structs import replace
from websockets.exceptions import ConnectionClosed

from vigil.clock import SystemClock
from vigil.deribit.client import DeribitClient
from vigil.deribit.credits import Credits, Pool, Rate
from vigil.deribit.jsonrpc import Reply
from vigil.deribit.link import DeribitLink, Unheard
from vigil.deribit.outcome import Confirmed, Unknown
from vigil.deribit.session import (
    ApiKey,
    AuthMethod,
    Deadlines,
    Trouble,
    TroubleKind,
    signature,
)
from vigil.deribit.throttle import Throttle
from vigil.domain.events import (
    ExchangeEvent,
    FillsReceived,
    OrderReceived,
    SessionLost,
    SessionOpened,
    TickerReceived,
)
from vigil.domain.order import Direction, OrderRequest, OrderType
from vigil.errors import Misconfigured, OutcomeUnknown, Transient

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


def replace_key(key: ApiKey, **changes: Any) -> ApiKey:
    return replace(key, **changes)


class Harness:
    """A link on the scripted exchange, what it said, and its sessions one after another."""

    def __init__(self, exchange: Any, secret: Any) -> None:
        self.clock = SystemClock()
        unlimited = dict.fromkeys(Pool, Rate(per_s=1e6, burst=1e6))
        throttle = Throttle(self.clock, Credits(unlimited, now_s=self.clock.elapsed_s()))
        self.client = DeribitClient(
            self.clock, call_timeout_s=2, throttle=throttle, on_late=lambda _: None
        )
        self.events: list[ExchangeEvent] = []
        self.unheard: list[Unheard] = []
        self.troubles: list[Trouble] = []
        self.deadlines = Deadlines(call_s=2, dial_s=2)
        self.key = ApiKey(client_id="the-id", secret=secret("the-secret"))
        self._exchange = exchange
        self._running: list[asyncio.Task[Any]] = []

    def link(self, **changes: Any) -> DeribitLink:
        settings = {
            "url": self._exchange.url,
            "key": self.key,
            "clock": self.clock,
            "dice": random.Random(1),
            "sink": self.events.append,
            "on_unreadable": self.unheard.append,
            "on_trouble": self.troubles.append,
            "deadlines": self.deadlines,
        }
        return DeribitLink(self.client, **(settings | changes))

    def start(self, **changes: Any) -> asyncio.Task[Any]:
        return self.run(self.link(**changes))

    def run(self, link: DeribitLink) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(link.run())
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
    assert [method for method, _ in exchange.asked][:5] == [
        "public/get_time",
        "public/auth",
        "public/set_heartbeat",
        "private/subscribe",
        "public/subscribe",
    ]
    assert exchange.asked_for("public/set_heartbeat") == [{"interval": 10}]
    (public,) = exchange.asked_for("public/subscribe")
    assert {"ticker.X.100ms", "ticker.Y.100ms"} <= set(public["channels"])
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
    carried = exchange.asked_for("public/subscribe")[-1]["channels"]
    assert {"ticker.X.100ms", "ticker.Y.100ms"} <= set(carried)
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
    exchange.answers["private/buy"] = {"order": order_json(instrument_name="X"), "trades": []}
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
    await until(lambda: len(exchange.asked_for("public/auth")) == 3)
    first, second, third = exchange.asked_for("public/auth")
    assert first["grant_type"] == "client_signature"
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


async def test_a_later_login_is_signed_for_the_time_as_measured_last(
    exchange: Any, harness: Harness, until: Any, refusal: Any
) -> None:
    """A session may last for months, in which two good clocks part by more than a minute."""
    exchange.token_life_s = 3
    harness.deadlines = replace(harness.deadlines, clock_check_s=0.05)
    grant = exchange.answers["public/auth"]
    exchange.answers["public/auth"] = lambda params: (
        refusal(13009, "unauthorized") if "refresh_token" in params else grant(params)
    )
    harness.start()
    await until(lambda: harness.client.is_live)
    ahead_ms = 100_000
    exchange.answers["public/get_time"] = lambda _: harness.clock.now_ms() + ahead_ms
    await until(lambda: abs(harness.client.clock_offset_ms - ahead_ms) < 1_000)
    await until(lambda: len(exchange.asked_for("public/auth")) == 3)
    *_, key = exchange.asked_for("public/auth")
    assert abs(key["timestamp"] - harness.clock.now_ms() - ahead_ms) < 2_000


async def test_a_refused_renewal_falls_back_on_the_key(
    exchange: Any, harness: Harness, until: Any, refusal: Any
) -> None:
    exchange.token_life_s = 2
    grant = exchange.answers["public/auth"]
    exchange.answers["public/auth"] = lambda params: (
        refusal(13009, "unauthorized") if "refresh_token" in params else grant(params)
    )
    harness.start()
    await until(lambda: len(exchange.asked_for("public/auth")) == 3)
    kinds = [params["grant_type"] for params in exchange.asked_for("public/auth")]
    assert kinds == ["client_signature", "refresh_token", "client_signature"]
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
    harness.deadlines = replace(harness.deadlines, probe_every_s=0.15, answer_s=0.4, watch_s=0.02)
    running = harness.start()
    await until(lambda: harness.client.is_live)
    await until(lambda: len(exchange.asked_for("public/test")) == 4)
    assert harness.client.is_live  # well past its silence: answered probes keep it alive
    exchange.answers["public/test"] = no_answer
    with pytest.raises(Transient, match="nothing answered for"):
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
    await until(lambda: harness.client.is_live)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: exchange.sockets[0].close_code is not None)
    assert exchange.sockets[0].close_code == 1000
    assert not harness.client.is_live
    assert harness.events[-1] == SessionLost(epoch=1, reason="stopped")


async def test_stopping_while_dialling_leaves_nothing_behind(harness: Harness) -> None:
    async def dial(*_: Any) -> Any:
        await asyncio.Event().wait()

    running = harness.start(dial=dial)
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert harness.events == []


async def test_a_named_session_says_its_name(exchange: Any, harness: Harness, until: Any) -> None:
    harness.key = replace_key(harness.key, session_name="vigil")
    harness.start()
    await until(lambda: harness.client.is_live)
    assert exchange.asked_for("public/auth")[0]["scope"] == "session:vigil"


# --- logging in


async def test_the_login_is_signed_for_the_exchange_s_own_time(
    exchange: Any, harness: Harness, until: Any
) -> None:
    ahead_ms = 3_600_000
    exchange.answers["public/get_time"] = lambda _: harness.clock.now_ms() + ahead_ms
    harness.start()
    await until(lambda: harness.client.is_live)
    (params,) = exchange.asked_for("public/auth")
    assert abs(params["timestamp"] - harness.clock.now_ms() - ahead_ms) < 2_000
    assert params["signature"] == signature(
        "the-secret", timestamp_ms=params["timestamp"], nonce=params["nonce"]
    )
    assert "the-secret" not in str(exchange.asked)


async def test_every_signature_has_a_nonce_of_its_own(
    exchange: Any, harness: Harness, until: Any
) -> None:
    dice = random.Random(5)
    for number in (1, 2, 3):
        running = harness.start(dice=dice)
        await until(lambda: harness.client.is_live)
        exchange.sockets[-1].transport.abort()
        with pytest.raises(Transient):
            await running
        assert harness.client.epoch == number
    nonces = [params["nonce"] for params in exchange.asked_for("public/auth")]
    assert len(set(nonces)) == 3


async def test_the_secret_itself_logs_in_where_that_is_asked_for(
    exchange: Any, harness: Harness, until: Any
) -> None:
    harness.key = replace_key(harness.key, method=AuthMethod.CREDENTIALS)
    harness.start()
    await until(lambda: harness.client.is_live)
    assert exchange.asked_for("public/auth")[0]["client_secret"] == "the-secret"


async def test_where_nobody_is_told_the_time_before_the_login_our_own_will_do_for_it(
    exchange: Any, harness: Harness, until: Any, refusal: Any
) -> None:
    def get_time(_: Any) -> Any:
        if exchange.asked_for("public/auth"):
            return harness.clock.now_ms() + 60_000
        return refusal(11056, "unauthenticated_public_requests_temporarily_disabled")

    exchange.answers["public/get_time"] = get_time
    harness.start()
    await until(lambda: harness.client.is_live)
    (params,) = exchange.asked_for("public/auth")
    assert abs(params["timestamp"] - harness.clock.now_ms()) < 2_000
    assert abs(harness.client.clock_offset_ms - 60_000) < 1_000


def granting(exchange: Any, scope: str) -> None:
    grant = exchange.answers["public/auth"]
    exchange.answers["public/auth"] = lambda params: grant(params) | {"scope": scope}


@pytest.mark.parametrize(
    ("scope", "missing"),
    [
        ("connection account:read trade:read wallet:read", "trade:read_write"),
        ("connection trade:read_write", "account:read"),
        ("connection", "trade:read_write and account:read"),
    ],
)
async def test_a_key_that_may_not_trade_is_no_key_to_trade_with(
    exchange: Any, harness: Harness, scope: str, missing: str
) -> None:
    granting(exchange, scope)
    with pytest.raises(Misconfigured, match=f"lacks {missing} .*give it this scope"):
        await harness.start()
    assert harness.events == []
    assert [trouble.kind for trouble in harness.troubles if trouble.reason] == [TroubleKind.LOGIN]


async def test_a_key_that_may_move_money_is_warned_of(
    exchange: Any, harness: Harness, until: Any
) -> None:
    granting(exchange, "connection account:read trade:read_write wallet:read_write")
    with structlog.testing.capture_logs() as lines:
        harness.start()
        await until(lambda: harness.client.is_live)
    (line,) = [line for line in lines if line["event"] == "session.rights_needless"]
    assert line["rights"] == "wallet:read_write"


async def test_an_unanswered_renewal_falls_back_on_the_key_and_loses_no_call(
    exchange: Any, harness: Harness, until: Any, no_answer: Any
) -> None:
    exchange.token_life_s = 2
    harness.deadlines = replace(harness.deadlines, call_s=0.2)
    grant = exchange.answers["public/auth"]
    exchange.answers["public/auth"] = lambda params: (
        no_answer if "refresh_token" in params else grant(params)
    )
    exchange.answers["private/get_positions"] = []
    harness.start()
    await until(lambda: harness.client.is_live)
    while len(exchange.asked_for("public/auth")) < 3:
        assert await harness.client.positions() == ()
        await asyncio.sleep(0.01)
    assert harness.client.epoch == 1
    assert harness.client.is_live
    assert [one.reason for one in harness.troubles if one.kind is TroubleKind.LOGIN] == [None]


async def test_while_no_login_can_be_had_private_calls_wait_and_the_trouble_is_told(
    exchange: Any, harness: Harness, until: Any, refusal: Any
) -> None:
    exchange.token_life_s = 4
    grant = exchange.answers["public/auth"]
    tries: list[Any] = []

    def auth(params: Any) -> Any:
        tries.append(params)
        if len(tries) in (2, 3):  # the renewal, and the key once
            return refusal(11051, "system_maintenance")
        return grant(params)

    exchange.answers["public/auth"] = auth
    exchange.answers["private/get_positions"] = []
    harness.start()
    await until(lambda: harness.client.is_live)
    await until(lambda: len(tries) == 3)
    asked_before = len(exchange.asked_for("private/get_positions"))
    asking = asyncio.ensure_future(harness.client.positions())
    await asyncio.sleep(0.1)
    assert len(exchange.asked_for("private/get_positions")) == asked_before
    assert await asking == ()
    assert len(tries) == 4
    reasons = [one.reason for one in harness.troubles if one.kind is TroubleKind.LOGIN]
    assert reasons[1] is not None
    assert "system_maintenance" in reasons[1]
    assert reasons[-1] is None
    assert harness.client.epoch == 1


async def test_a_login_that_runs_out_ends_the_session(
    exchange: Any, harness: Harness, until: Any, refusal: Any
) -> None:
    exchange.token_life_s = 1
    running = harness.start()
    await until(lambda: harness.client.is_live)
    exchange.answers["public/auth"] = refusal(11051, "system_maintenance")
    with pytest.raises(Transient, match="could not be renewed"):
        await running
    assert harness.of(SessionLost)
    assert harness.troubles[-1].kind is TroubleKind.LOGIN
    assert harness.troubles[-1].reason is not None


async def test_rights_cut_at_a_renewal_end_the_session_for_a_person(
    exchange: Any, harness: Harness, until: Any
) -> None:
    exchange.token_life_s = 1
    running = harness.start()
    await until(lambda: harness.client.is_live)
    granting(exchange, "connection account:read trade:read")
    with pytest.raises(Misconfigured, match="lacks trade:read_write"):
        await running
    assert harness.of(SessionLost)


async def test_a_socket_cut_in_mid_renewal_is_no_trouble_with_the_login(
    exchange: Any, harness: Harness, until: Any, no_answer: Any
) -> None:
    exchange.token_life_s = 1
    running = harness.start()
    await until(lambda: harness.client.is_live)
    exchange.answers["public/auth"] = no_answer
    await until(lambda: len(exchange.asked_for("public/auth")) == 2)
    exchange.sockets[0].transport.abort()
    with pytest.raises(Transient):
        await running
    assert not [one for one in harness.troubles if one.reason]


# --- signs of life


@pytest.mark.fault("N1")
async def test_a_peer_that_only_answers_pings_is_found_by_its_silence(
    exchange: Any, harness: Harness, until: Any, no_answer: Any
) -> None:
    """The kernel acknowledges, the library answers pings, and nothing is said."""
    harness.deadlines = replace(
        harness.deadlines, probe_every_s=0.2, answer_s=9, silence_s=0.5, watch_s=0.02
    )
    running = harness.start()
    await until(lambda: harness.client.is_live)
    exchange.answers["public/test"] = no_answer
    started_s = harness.clock.elapsed_s()
    pinged = await (await exchange.sockets[0].ping())
    assert pinged >= 0
    with pytest.raises(Transient, match="nothing heard for 0.5 s"):
        await running
    assert harness.clock.elapsed_s() - started_s < 1.0
    assert harness.of(SessionLost)


@pytest.mark.fault("N1")
async def test_a_peer_that_has_stopped_reading_is_found_by_its_silence(
    harness: Harness, until: Any, exchange: Any, no_answer: Any
) -> None:
    """Its buffers are full, so that not even our question gets out; the watch must not wait."""
    harness.deadlines = replace(
        harness.deadlines, probe_every_s=0.2, answer_s=9, silence_s=0.6, watch_s=0.02
    )
    exchange.answers["public/slow"] = no_answer
    exchange.answers["public/test"] = no_answer
    running = harness.start()
    await until(lambda: harness.client.is_live)
    exchange.sockets[0].transport.pause_reading()
    line: Any = harness.client._line
    filling = [
        asyncio.ensure_future(line.request("public/slow", {"x": "y" * 31_000}, timeout_s=5))
        for _ in range(250)
    ]
    await until(lambda: line._websocket.unsent_bytes)
    with pytest.raises(Transient, match="nothing heard"):
        await asyncio.wait_for(running, 3)
    for outcome in await asyncio.gather(*filling, return_exceptions=True):
        assert isinstance(outcome, (OutcomeUnknown, Transient))


@pytest.mark.fault("N15")
async def test_a_ticker_channel_that_died_is_subscribed_anew(
    exchange: Any, harness: Harness, until: Any
) -> None:
    harness.deadlines = replace(harness.deadlines, quiet_s=0.1, grace_s=0.02, watch_s=0.02)
    exchange.answers["public/ticker"] = TICKER | {"mark_price": 3.5}
    await harness.client.watch(["X"])
    link = harness.link()
    harness.run(link)
    await until(lambda: harness.client.is_live)
    await exchange.push("ticker.X.100ms", TICKER)
    await until(lambda: exchange.asked_for("public/unsubscribe"))
    assert exchange.asked_for("public/unsubscribe")[0] == {"channels": ["ticker.X.100ms"]}
    await until(
        lambda: exchange.asked_for("public/subscribe")[-1] == {"channels": ["ticker.X.100ms"]}
    )
    await until(lambda: link.revivals == 1)
    await exchange.push("ticker.X.100ms", TICKER | {"mark_price": 3.5})
    await until(lambda: len(harness.of(TickerReceived)) == 2)
    assert harness.client.is_live


async def test_a_closed_market_owes_nobody_a_ticker(
    exchange: Any, harness: Harness, until: Any
) -> None:
    harness.deadlines = replace(harness.deadlines, quiet_s=0.05, grace_s=0.01, watch_s=0.01)
    closed = TICKER | {"mark_price": 3.5, "state": "inactive"}
    exchange.answers["public/ticker"] = closed
    await harness.client.watch(["X"])
    harness.run(harness.link())
    await until(lambda: harness.client.is_live)
    await exchange.push("ticker.X.100ms", TICKER)
    await until(lambda: len(exchange.asked_for("public/ticker")) >= 3)
    assert not exchange.asked_for("public/unsubscribe")
    assert harness.client.is_live


@pytest.mark.fault("N15")
async def test_a_channel_that_stays_dead_ends_the_session(
    exchange: Any, harness: Harness, until: Any
) -> None:
    harness.deadlines = replace(harness.deadlines, quiet_s=0.05, grace_s=0.01, watch_s=0.01)
    exchange.answers["public/ticker"] = TICKER
    await harness.client.watch(["X"])
    with pytest.raises(Transient, match=r"ticker\.X\.100ms stays silent"):
        await harness.start()
    assert len(exchange.asked_for("public/unsubscribe")) == 2


async def test_a_market_that_does_not_move_may_be_silent(
    exchange: Any, harness: Harness, until: Any
) -> None:
    harness.deadlines = replace(harness.deadlines, quiet_s=0.05, grace_s=0.01, watch_s=0.01)
    exchange.answers["public/ticker"] = TICKER | {"timestamp": 2}
    await harness.client.watch(["X"])
    harness.start()
    await until(lambda: harness.client.is_live)
    await exchange.push("ticker.X.100ms", TICKER)
    await until(lambda: len(exchange.asked_for("public/ticker")) == 3)
    assert exchange.asked_for("public/unsubscribe") == []


async def test_a_channel_that_speaks_for_itself_after_all_is_left_alone(
    exchange: Any, harness: Harness, until: Any
) -> None:
    harness.deadlines = replace(harness.deadlines, quiet_s=0.1, grace_s=0.2, watch_s=0.02)

    async def ticker(_: Any) -> Any:
        await exchange.push("ticker.X.100ms", TICKER | {"mark_price": 9})
        return TICKER | {"mark_price": 9}

    exchange.answers["public/ticker"] = ticker
    await harness.client.watch(["X"])
    harness.start()
    await until(lambda: harness.client.is_live)
    await exchange.push("ticker.X.100ms", TICKER)
    await until(lambda: len(exchange.asked_for("public/ticker")) == 2)
    assert exchange.asked_for("public/unsubscribe") == []


@pytest.mark.fault("N15")
async def test_a_private_stream_that_does_not_tell_of_our_own_order_ends_the_session(
    exchange: Any, harness: Harness, until: Any, order_json: Make
) -> None:
    harness.deadlines = replace(harness.deadlines, proof_s=0.1, watch_s=0.02)
    exchange.answers["private/buy"] = {"order": order_json(instrument_name="X"), "trades": []}
    running = harness.start()
    await until(lambda: harness.client.is_live)
    assert isinstance(await harness.client.place(REQUEST), Confirmed)
    with pytest.raises(Transient, match="did not tell of order USDC-1"):
        await running
    assert harness.troubles[-1].kind is TroubleKind.STREAM


async def test_a_private_stream_that_tells_of_it_proves_itself(
    exchange: Any, harness: Harness, until: Any, order_json: Make
) -> None:
    harness.deadlines = replace(harness.deadlines, proof_s=0.1, watch_s=0.02)
    order = order_json(instrument_name="X")
    exchange.answers["private/buy"] = {"order": order, "trades": []}
    harness.start()
    await until(lambda: harness.client.is_live)
    assert isinstance(await harness.client.place(REQUEST), Confirmed)
    await exchange.push("user.orders.any.any.raw", order)
    placed_s = harness.clock.elapsed_s()
    await until(lambda: harness.clock.elapsed_s() > placed_s + 0.3)
    assert harness.client.is_live


@pytest.mark.fault("N5")
async def test_nothing_of_an_older_connection_reaches_the_sink_or_a_call(
    exchange: Any, harness: Harness, until: Any, order_json: Make, no_answer: Any
) -> None:
    """The old socket lives on at the exchange and goes on talking when the next one is live."""
    link = harness.link()
    running = harness.run(link)
    await until(lambda: harness.client.is_live)
    old: Any = harness.client._line
    harness.client.suspect_private_stream("a test says so")
    with pytest.raises(Transient):
        await running
    harness.run(link)
    await until(lambda: harness.client.epoch == 2)
    exchange.answers["private/buy"] = no_answer
    placing = asyncio.ensure_future(harness.client.place(REQUEST))
    await until(lambda: exchange.asked_for("private/buy"))
    # What the old socket's reader would hand over, had it still been read: an order, and an
    # answer under the number of the call that waits on the new one.
    before = list(harness.events)
    body = msgspec.json.encode({"order": order_json(), "trades": []})
    for number in range(1, 20):
        old._resolve(Reply(request_id=number, result=msgspec.Raw(body)))
    with pytest.raises((Transient, ConnectionClosed)):
        await old.pump()
    assert harness.events == before
    assert not placing.done()
    placing.cancel()


async def test_limits_of_the_account_are_read_and_kept(
    exchange: Any, harness: Harness, until: Any
) -> None:
    limits = {
        "limits_per_currency": False,
        "non_matching_engine": {"rate": 20, "burst": 100},
        "matching_engine": {"trading": {"total": {"rate": 30, "burst": 100}}},
    }
    exchange.answers["private/get_account_summary"] = {"currency": "BTC", "limits": limits}
    with structlog.testing.capture_logs() as lines:
        harness.start()
        await until(lambda: [line for line in lines if line["event"] == "credits.limits"])
    (line,) = [line for line in lines if line["event"] == "credits.limits"]
    assert (line["default"], line["trading"]) == ("20/s 100", "30/s 100")


async def test_a_session_lost_for_want_of_credit_is_followed_slowly(
    exchange: Any, harness: Harness, until: Any, refusal: Any
) -> None:
    throttle = Throttle(harness.clock)
    harness.client = DeribitClient(harness.clock, throttle=throttle)
    exchange.answers["private/get_positions"] = refusal(10028, "too_many_requests")
    running = harness.start()
    await until(lambda: harness.client.is_live)
    with pytest.raises(Transient):
        await harness.client.positions()
    with pytest.raises(Transient, match="credit"):
        await running
    ended_s = harness.clock.elapsed_s()
    harness.start()
    await until(lambda: harness.client.epoch == 2)
    assert harness.clock.elapsed_s() - ended_s > 2
