import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import structlog

from vigil.deribit.client import DeribitClient
from vigil.deribit.jsonrpc import ErrorReply, Reply
from vigil.deribit.outcome import NOT_SENT, Confirmed, Refused, Unknown
from vigil.domain.order import Direction, OrderRequest, OrderStatus, OrderType
from vigil.errors import OutcomeUnknown, Rejected, Transient

Make = Callable[..., dict[str, Any]]

REQUEST = OrderRequest(
    instrument_name="BTC_USDC-PERPETUAL",
    direction=Direction.BUY,
    order_type=OrderType.MARKET,
    amount=Decimal("0.01"),
    label="vg-a-1-1",
)


class HandClock:
    """Wall time and loop time, each moved by hand."""

    def __init__(self) -> None:
        self.wall_ms = 1_000_000
        self.loop_s = 50.0

    def now_ms(self) -> int:
        return self.wall_ms

    def elapsed_s(self) -> float:
        return self.loop_s

    async def sleep(self, delay_s: float) -> None:
        raise NotImplementedError


class ScriptedLine:
    """A session that answers from a table; no socket is needed to test what answers mean."""

    def __init__(self) -> None:
        self.is_open = True
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}
        self.abandoned: str | None = None

    async def request(
        self, method: str, params: Mapping[str, Any], *, timeout_s: float
    ) -> Reply | ErrorReply:
        self.asked.append((method, dict(params)))
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, ErrorReply):
            return answer
        if callable(answer):
            answer = answer(params)
        return Reply(request_id=1, result=msgspec.Raw(msgspec.json.encode(answer)))

    def abandon(self, reason: str) -> None:
        self.abandoned = reason
        self.is_open = False


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def session() -> ScriptedLine:
    return ScriptedLine()


@pytest.fixture
def client(clock: HandClock, session: ScriptedLine) -> DeribitClient:
    made = DeribitClient(clock)
    made.attach(session, exchange_ms=1_000_500, at_s=50.0, subscribed=())
    return made


def error(code: int, message: str) -> ErrorReply:
    return ErrorReply(request_id=1, code=code, message=message)


async def test_an_order_confirmed_brings_its_order_and_first_fills(
    client: DeribitClient, session: ScriptedLine, order_json: Make, fill_json: Make
) -> None:
    session.answers["private/buy"] = {
        "order": order_json(order_state="filled", filled_amount=0.01),
        "trades": [fill_json()],
    }
    outcome = await client.place(REQUEST)
    assert isinstance(outcome, Confirmed)
    assert outcome.order.status is OrderStatus.FILLED
    assert [fill.trade_id for fill in outcome.fills] == ["USDC-7"]
    assert session.asked[0][1]["amount"] == Decimal("0.01")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(error(10009, "not_enough_funds"), Refused, id="definite refusal"),
        pytest.param(error(10041, "settlement_in_progress"), Unknown, id="not proven"),
        pytest.param(error(11094, "internal_server_error"), Unknown, id="internal error"),
        pytest.param(error(4711, "unheard_of"), Unknown, id="never seen"),
        pytest.param(OutcomeUnknown("no answer within 10 s"), Unknown, id="timeout"),
        pytest.param(Transient("not connected"), Refused, id="never sent"),
        pytest.param(Rejected("too large"), Refused, id="never sendable"),
        pytest.param({"order": {"order_id": "1"}}, Unknown, id="answer not understood"),
        pytest.param("ok", Unknown, id="answer of another shape"),
    ],
)
async def test_whatever_happens_to_an_order_is_one_of_three_answers(
    client: DeribitClient, session: ScriptedLine, answer: Any, expected: type
) -> None:
    session.answers["private/buy"] = answer
    assert isinstance(await client.place(REQUEST), expected)


async def test_an_order_not_sent_is_told_apart_from_one_refused(
    client: DeribitClient,
) -> None:
    client.detach("connection lost")
    outcome = await client.place(REQUEST)
    assert isinstance(outcome, Refused)
    assert outcome.code == NOT_SENT
    assert "connection lost" in outcome.message


async def test_an_answer_about_another_order_proves_nothing(
    client: DeribitClient, session: ScriptedLine, order_json: Make
) -> None:
    session.answers["private/buy"] = {"order": order_json(label="vg-b-9-1"), "trades": []}
    assert isinstance(await client.place(REQUEST), Unknown)


@pytest.mark.parametrize("code", [10004, 10010, 11008, 11044])
async def test_cancelling_what_is_gone_is_refused_with_its_code(
    client: DeribitClient, session: ScriptedLine, code: int
) -> None:
    words = {
        10004: "order_not_found",
        10010: "already_closed",
        11008: "already_filled",
        11044: "not_open_order",
    }
    session.answers["private/cancel"] = error(code, words[code])
    outcome = await client.cancel("USDC-1")
    assert isinstance(outcome, Refused)
    assert outcome.code == code


async def test_a_cancellation_brings_the_order_as_it_ended(
    client: DeribitClient, session: ScriptedLine, order_json: Make
) -> None:
    session.answers["private/cancel"] = order_json(order_state="cancelled", filled_amount=0.004)
    outcome = await client.cancel("USDC-1")
    assert isinstance(outcome, Confirmed)
    assert outcome.order.filled_amount == Decimal("0.004")


async def test_an_edit_overtaken_by_another_is_unknown(
    client: DeribitClient, session: ScriptedLine
) -> None:
    session.answers["private/edit"] = error(13777, "replaced")
    assert isinstance(await client.edit("USDC-1", amount=Decimal("0.02")), Unknown)


async def test_cancelling_the_caller_is_not_swallowed(
    client: DeribitClient, session: ScriptedLine
) -> None:
    never = asyncio.Event()

    class Stuck(ScriptedLine):
        async def request(
            self, method: str, params: Mapping[str, Any], *, timeout_s: float
        ) -> Reply | ErrorReply:
            await never.wait()
            raise AssertionError

    client.detach("")
    client.attach(Stuck(), exchange_ms=0, at_s=0, subscribed=())
    placing = asyncio.ensure_future(client.place(REQUEST))
    await asyncio.sleep(0)
    placing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await placing


async def test_a_session_that_is_logged_out_is_ended_so_that_a_new_one_logs_in(
    client: DeribitClient, session: ScriptedLine
) -> None:
    session.answers["private/buy"] = error(13009, "unauthorized")
    assert isinstance(await client.place(REQUEST), Refused)
    assert session.abandoned is not None
    assert not client.is_live


async def test_an_error_outside_the_table_is_logged_once(
    client: DeribitClient, session: ScriptedLine
) -> None:
    session.answers["private/buy"] = error(4711, "unheard_of")
    with structlog.testing.capture_logs() as lines:
        await client.place(REQUEST)
        await client.place(REQUEST)
    assert [line["event"] for line in lines] == ["error.unlisted"]


async def test_a_question_without_a_session_says_so_at_once(clock: HandClock) -> None:
    with pytest.raises(Transient, match="not connected"):
        await DeribitClient(clock).positions()


async def test_an_answer_that_is_not_understood_is_never_an_empty_one(
    client: DeribitClient, session: ScriptedLine, order_json: Make
) -> None:
    session.answers["private/get_open_orders"] = [order_json(), order_json(order_type="novel")]
    with pytest.raises(OutcomeUnknown):
        await client.open_orders()


async def test_exchange_time_follows_the_loop_and_not_the_wall(
    client: DeribitClient, clock: HandClock
) -> None:
    assert client.clock_offset_ms == 500
    clock.loop_s += 2.0
    clock.wall_ms -= 3_600_000
    assert client.exchange_now_ms() == 1_002_500


def test_before_any_session_exchange_time_is_ours(clock: HandClock) -> None:
    client = DeribitClient(clock)
    assert client.exchange_now_ms() == clock.wall_ms
    assert client.clock_offset_ms == 0


def test_every_session_has_its_own_epoch(client: DeribitClient) -> None:
    assert client.epoch == 1
    client.detach("over")
    assert not client.is_live
    assert client.attach(ScriptedLine(), exchange_ms=0, at_s=0, subscribed=()) == 2


async def test_watching_asks_only_for_what_the_session_lacks(
    client: DeribitClient, session: ScriptedLine
) -> None:
    session.answers["public/subscribe"] = lambda params: params["channels"]
    session.answers["public/unsubscribe"] = lambda params: params["channels"]
    assert await client.watch(["A", "B"]) == ()
    assert await client.watch(["B", "C"]) == ()
    assert session.asked == [
        ("public/subscribe", {"channels": ["ticker.A.100ms", "ticker.B.100ms"]}),
        ("public/unsubscribe", {"channels": ["ticker.A.100ms"]}),
        ("public/subscribe", {"channels": ["ticker.C.100ms"]}),
    ]


async def test_watching_tells_which_channels_the_exchange_dropped_silently(
    client: DeribitClient, session: ScriptedLine
) -> None:
    session.answers["public/subscribe"] = ["ticker.A.100ms"]
    assert await client.watch(["A", "NOPE"]) == ("ticker.NOPE.100ms",)


async def test_what_is_watched_between_sessions_is_remembered(clock: HandClock) -> None:
    client = DeribitClient(clock, ticker_interval="raw")
    assert await client.watch(["A", "A"]) == ("ticker.A.raw",)
    assert client.watched_channels == ("ticker.A.raw",)
