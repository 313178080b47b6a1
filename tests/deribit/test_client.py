import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import structlog
from msgspec.structs import replace

from vigil.deribit.client import DeribitClient
from vigil.deribit.credits import Credits, Lane, Pool, Rate
from vigil.deribit.exchange_clock import ClockReading
from vigil.deribit.jsonrpc import ErrorReply, Reply
from vigil.deribit.login import LoginGate
from vigil.deribit.outcome import (
    NOT_SENT,
    CancelledMany,
    Confirmed,
    LateReply,
    Refused,
    Unknown,
    Verdict,
)
from vigil.deribit.session import TroubleKind
from vigil.deribit.throttle import Throttle
from vigil.domain.order import Direction, OrderRequest, OrderStatus, OrderType
from vigil.errors import OutcomeUnknown, Rejected, Transient

Make = Callable[..., dict[str, Any]]

MIDNIGHT = ClockReading(exchange_ms=0, at_s=0)
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
def late() -> list[LateReply]:
    return []


def unlimited(clock: HandClock) -> Throttle:
    limits = dict.fromkeys(Pool, Rate(per_s=1e6, burst=1e6))
    return Throttle(clock, Credits(limits, now_s=clock.elapsed_s()))


@pytest.fixture
def client(clock: HandClock, session: ScriptedLine, late: list[LateReply]) -> DeribitClient:
    made = DeribitClient(clock, throttle=unlimited(clock), on_late=late.append)
    made.attach(session, reading=ClockReading(exchange_ms=1_000_500, at_s=50.0), subscribed=())
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


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(Transient("no session"), Refused, id="not sent"),
        pytest.param(Rejected("too large"), Refused, id="never sent"),
        pytest.param(OutcomeUnknown("timed out"), Unknown, id="no answer"),
        pytest.param("all of them", Unknown, id="nonsense"),
        pytest.param([{"result": [{}]}], Unknown, id="an order that cannot be read"),
        pytest.param(-1, Unknown, id="less than none"),
        pytest.param(error(13021, "forbidden"), Refused, id="refused"),
        pytest.param(error(11094, "internal_server_error"), Unknown, id="perhaps done"),
        pytest.param(3, CancelledMany, id="a count"),
    ],
)
async def test_a_mass_cancellation_is_never_told_as_done_when_it_is_not(
    client: DeribitClient, session: ScriptedLine, answer: Any, expected: type
) -> None:
    session.answers["private/cancel_all"] = answer
    assert isinstance(await client.cancel_all(), expected)
    assert session.asked == [("private/cancel_all", {"detailed": True})]


async def test_a_mass_cancellation_names_the_orders_and_where_it_failed(
    client: DeribitClient, session: ScriptedLine, order_json: Make
) -> None:
    failed = {"currency": "ETH", "type": "trigger", "error": {"code": 10041, "message": "x"}}
    part = {"instrument_name": "X", "type": "limit", "result": [order_json()]}
    session.answers["private/cancel_all"] = [part, failed]
    outcome = await client.cancel_all()
    assert isinstance(outcome, CancelledMany)
    assert [order.order_id for order in outcome.orders] == ["USDC-1"]
    assert outcome.count == 1
    assert "10041" in outcome.failures[0]


async def test_cancelling_on_disconnect_is_set_or_said_not_to_be(
    client: DeribitClient, session: ScriptedLine
) -> None:
    enable, disable = (f"private/{verb}able_cancel_on_disconnect" for verb in ("en", "dis"))
    session.answers |= {enable: "ok", disable: "ok"}
    await client.set_cancel_on_disconnect(is_enabled=True, scope="account")
    await client.set_cancel_on_disconnect(is_enabled=False)
    assert session.asked == [(enable, {"scope": "account"}), (disable, {"scope": "connection"})]
    session.answers[enable] = "perhaps"
    with pytest.raises(OutcomeUnknown):
        await client.set_cancel_on_disconnect(is_enabled=True)


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
    client.attach(Stuck(), reading=MIDNIGHT, subscribed=())
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
    assert client.attach(ScriptedLine(), reading=MIDNIGHT, subscribed=()) == 2


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


# --- lanes and credit


def short_of(clock: HandClock, **levels: int) -> Throttle:
    """Pools of which only so many requests are left, and hardly any come back."""
    limits = dict.fromkeys(Pool, Rate(per_s=1e6, burst=1e6))
    limits |= {Pool[name.upper()]: Rate(per_s=1e-6, burst=n / 0.3) for name, n in levels.items()}
    return Throttle(clock, Credits(limits, now_s=clock.elapsed_s()))


async def test_an_entry_that_finds_no_credit_is_not_sent(
    clock: HandClock, session: ScriptedLine, order_json: Make
) -> None:
    client = DeribitClient(clock, throttle=short_of(clock, trading=5))
    client.attach(session, reading=MIDNIGHT, subscribed=())
    session.answers["private/buy"] = {"order": order_json(), "trades": []}
    session.answers["private/cancel"] = order_json(order_state="cancelled")
    assert isinstance(await client.place(REQUEST), Confirmed)
    outcome = await client.place(REQUEST)
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.verdict) == (NOT_SENT, Verdict.RETRY_LATER)
    assert "credit" in outcome.message
    assert isinstance(await client.cancel("USDC-1"), Confirmed)
    assert [method for method, _ in session.asked] == ["private/buy", "private/cancel"]


async def test_a_question_that_finds_no_credit_may_be_asked_later(
    clock: HandClock, session: ScriptedLine
) -> None:
    client = DeribitClient(clock, throttle=short_of(clock, default=0))
    client.attach(session, reading=MIDNIGHT, subscribed=())
    with pytest.raises(Transient, match="credit"):
        await client.positions()
    assert session.asked == []


async def test_out_of_credit_by_the_exchange_s_count_the_session_ends_and_starts_slowly(
    client: DeribitClient, session: ScriptedLine, clock: HandClock
) -> None:
    session.answers["private/buy"] = error(10028, "too_many_requests")
    assert isinstance(await client.place(REQUEST), Unknown), "no proof that it was not placed"
    assert session.abandoned is not None
    assert "credit" in session.abandoned
    assert not client.throttle.try_spend("private/cancel", Lane.REDUCE)


async def test_what_has_waited_past_its_validity_is_not_sent(
    stepped_clock: Any, session: ScriptedLine, order_json: Make
) -> None:
    limits = dict.fromkeys(Pool, Rate(per_s=1, burst=4))
    throttle = Throttle(stepped_clock, Credits(limits, now_s=stepped_clock.elapsed_s()))
    client = DeribitClient(stepped_clock, throttle=throttle)
    now_ms = stepped_clock.now_ms()
    reading = ClockReading(exchange_ms=now_ms, at_s=stepped_clock.elapsed_s())
    client.attach(session, reading=reading, subscribed=())
    session.answers["private/buy"] = {"order": order_json(), "trades": []}
    close = replace(REQUEST, reduce_only=True, valid_until_ms=now_ms + 500)
    assert isinstance(await client.place(close), Confirmed)
    placing = asyncio.ensure_future(client.place(close))
    await stepped_clock.advance(2)
    outcome = placing.result()
    assert isinstance(outcome, Refused)
    assert outcome.code == NOT_SENT
    assert "validity" in outcome.message
    assert len(session.asked) == 1


async def test_what_outlived_itself_in_the_matching_queue_leaves_its_place_to_others(
    client: DeribitClient, session: ScriptedLine, clock: HandClock, order_json: Make
) -> None:
    """A place that stays taken for ever would in the end leave none for any entry."""
    answered = asyncio.Event()

    async def slowly(method: str, params: Any, *, timeout_s: float) -> Reply:
        await answered.wait()
        body = {"order": order_json(), "trades": []}
        return Reply(request_id=1, result=msgspec.Raw(msgspec.json.encode(body)))

    session.request = slowly  # type: ignore[method-assign]
    request = replace(REQUEST, valid_until_ms=client.exchange_now_ms() + 500)
    placing = [asyncio.ensure_future(client.place(request)) for _ in range(10)]
    await asyncio.sleep(0)
    clock.loop_s += 1
    answered.set()
    outcomes = await asyncio.gather(*placing)
    assert sum(isinstance(outcome, Confirmed) for outcome in outcomes) == 5
    assert all("validity" in one.message for one in outcomes if isinstance(one, Refused))
    again = await asyncio.gather(*(client.place(REQUEST) for _ in range(5)))
    assert all(isinstance(outcome, Confirmed) for outcome in again)


# --- login


@pytest.fixture
def gate() -> LoginGate:
    return LoginGate()


@pytest.fixture
def guarded(clock: HandClock, session: ScriptedLine, gate: LoginGate) -> DeribitClient:
    made = DeribitClient(clock, throttle=unlimited(clock))
    made.attach(session, reading=MIDNIGHT, subscribed=(), gate=gate)
    return made


async def test_while_the_login_is_in_doubt_private_calls_wait_and_public_ones_do_not(
    guarded: DeribitClient, session: ScriptedLine, gate: LoginGate
) -> None:
    session.answers |= {"private/get_positions": [], "public/get_time": 1}
    gate.shut()
    asking = asyncio.ensure_future(guarded.positions())
    assert await guarded.server_time_ms() == 1
    assert [method for method, _ in session.asked] == ["public/get_time"]
    gate.open()
    assert await asking == ()


async def test_the_wait_for_a_login_is_bounded(
    guarded: DeribitClient,
    session: ScriptedLine,
    gate: LoginGate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vigil.deribit.calling._PATIENCE_S", dict.fromkeys(Lane, 0.01))
    gate.shut()
    outcome = await guarded.place(REQUEST)
    assert isinstance(outcome, Refused)
    assert outcome.code == NOT_SENT
    with pytest.raises(Transient, match="login"):
        await guarded.positions()
    assert session.asked == []


class BetweenLogins(ScriptedLine):
    """Refuses the first private call while the login is being renewed, and takes the second."""

    def __init__(self, gate: LoginGate, *, times: int = 1, renewed_late: bool) -> None:
        super().__init__()
        self._gate, self._left, self._renewed_late = gate, times, renewed_late

    async def request(
        self, method: str, params: Mapping[str, Any], *, timeout_s: float
    ) -> Reply | ErrorReply:
        if not self._left:
            return await super().request(method, params, timeout_s=timeout_s)
        self._left -= 1
        self.asked.append((method, dict(params)))
        if self._renewed_late:
            self._gate.shut()
            asyncio.get_running_loop().call_later(0.02, self._gate.open)
        else:
            self._gate.open()
        return error(13009, "unauthorized")


@pytest.mark.parametrize("renewed_late", [True, False], ids=["renewing", "renewed meanwhile"])
async def test_a_call_that_met_a_renewal_is_made_once_more(
    guarded: DeribitClient, gate: LoginGate, order_json: Make, *, renewed_late: bool
) -> None:
    guarded.detach("")
    line = BetweenLogins(gate, renewed_late=renewed_late)
    line.answers["private/buy"] = {"order": order_json(), "trades": []}
    guarded.attach(line, reading=MIDNIGHT, subscribed=(), gate=gate)
    assert isinstance(await guarded.place(REQUEST), Confirmed)
    assert [params["label"] for _, params in line.asked] == ["vg-a-1-1", "vg-a-1-1"]
    assert line.abandoned is None


async def test_a_call_refused_again_after_a_renewal_ends_the_session(
    guarded: DeribitClient, gate: LoginGate
) -> None:
    guarded.detach("")
    line = BetweenLogins(gate, times=2, renewed_late=False)
    guarded.attach(line, reading=MIDNIGHT, subscribed=(), gate=gate)
    assert isinstance(await guarded.place(REQUEST), Refused)
    assert len(line.asked) == 2
    assert line.abandoned is not None


async def test_a_call_refused_while_tokens_change_places_waits_and_is_made_once_more(
    guarded: DeribitClient, gate: LoginGate, order_json: Make
) -> None:
    """The exchange may kill the old token before it has said what the new one is."""
    guarded.detach("")

    class Renewing(ScriptedLine):
        async def request(
            self, method: str, params: Mapping[str, Any], *, timeout_s: float
        ) -> Reply | ErrorReply:
            if self.asked:
                assert gate.generation == 1, "only once the renewal is over"
                return await super().request(method, params, timeout_s=timeout_s)
            self.asked.append((method, dict(params)))
            asyncio.get_running_loop().call_later(0.02, gate.open)
            return error(13009, "unauthorized")

    line = Renewing()
    line.answers["private/buy"] = {"order": order_json(), "trades": []}
    guarded.attach(line, reading=MIDNIGHT, subscribed=(), gate=gate)
    gate.is_renewing = True
    assert isinstance(await guarded.place(REQUEST), Confirmed)
    assert len(line.asked) == 2
    assert line.abandoned is None
    line.answers["private/buy"] = error(13009, "unauthorized")
    await guarded.place(REQUEST)
    assert line.abandoned is not None, "a renewal that is over excuses nothing"


async def test_what_closes_or_protects_is_tried_though_no_login_can_be_had(
    guarded: DeribitClient,
    session: ScriptedLine,
    gate: LoginGate,
    order_json: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A key that cannot be proven for minutes must not keep a stop from moving meanwhile."""
    monkeypatch.setattr("vigil.deribit.calling._PATIENCE_S", dict.fromkeys(Lane, 0.01))
    session.answers |= {
        "private/cancel": order_json(order_state="cancelled"),
        "private/edit": {"order": order_json(), "trades": []},
    }
    gate.shut()
    assert isinstance(await guarded.cancel("USDC-1"), Confirmed)
    assert isinstance(await guarded.edit("USDC-1", amount=Decimal("0.01")), Confirmed)
    session.answers["private/cancel"] = error(13009, "unauthorized")
    outcome = await guarded.cancel("USDC-1")
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.verdict) == (NOT_SENT, Verdict.RETRY_LATER)
    assert [method for method, _ in session.asked].count("private/cancel") == 2
    assert session.abandoned is None


async def test_what_waited_for_the_login_past_its_validity_is_not_sent(
    guarded: DeribitClient, session: ScriptedLine, gate: LoginGate, clock: HandClock
) -> None:
    gate.shut()
    request = replace(REQUEST, valid_until_ms=guarded.exchange_now_ms() + 100)
    placing = asyncio.ensure_future(guarded.place(request))
    await asyncio.sleep(0)
    clock.loop_s += 1
    gate.open()
    outcome = await placing
    assert isinstance(outcome, Refused)
    assert "validity" in outcome.message
    assert session.asked == []


async def test_losing_the_login_is_a_person_s_business(
    guarded: DeribitClient, session: ScriptedLine, gate: LoginGate
) -> None:
    session.answers["private/get_positions"] = error(13009, "unauthorized")
    with pytest.raises(Rejected):
        await guarded.positions()
    assert gate.loss is not None
    assert gate.loss.kind is TroubleKind.LOGIN
    assert session.abandoned == "logged out: 13009 unauthorized"


@pytest.mark.parametrize("code", [13403, 13021, 11042])
async def test_a_right_that_went_missing_is_looked_for_by_logging_in_anew(
    guarded: DeribitClient, session: ScriptedLine, clock: HandClock, code: int
) -> None:
    words = {13403: "scope_exceeded", 13021: "forbidden", 11042: "permission_denied"}
    session.answers["private/buy"] = error(code, words[code])
    session.answers["private/get_positions"] = error(code, words[code])
    await guarded.place(REQUEST)
    assert session.abandoned is None, "a fresh login says what the key may do"
    clock.loop_s += 61
    with pytest.raises(Rejected):
        await guarded.positions()
    assert session.abandoned is None, "what only asks proves nothing about trading"
    await guarded.place(REQUEST)
    assert session.abandoned is not None


# --- what comes late, and what does not come


@pytest.mark.parametrize(
    ("method", "params", "expected"),
    [
        pytest.param("private/buy", {"label": "vg-a-1-1"}, Confirmed, id="an order"),
        pytest.param("private/buy", {"label": "vg-b-2-1"}, Unknown, id="another order's"),
        pytest.param("private/edit", {"order_id": "USDC-1"}, Confirmed, id="an edit"),
    ],
)
async def test_a_late_answer_says_what_became_of_the_order(
    client: DeribitClient,
    late: list[LateReply],
    order_json: Make,
    method: str,
    params: dict[str, Any],
    expected: type,
) -> None:
    body = msgspec.json.encode({"order": order_json(), "trades": []})
    client.take_late(method, params, Reply(request_id=7, result=msgspec.Raw(body)))
    (told,) = late
    assert isinstance(told.outcome, expected)
    assert (told.label, told.order_id) == (params.get("label"), params.get("order_id"))


async def test_a_late_refusal_is_told_as_well(client: DeribitClient, late: list[LateReply]) -> None:
    client.take_late("private/buy", {"label": "l"}, error(10009, "not_enough_funds"))
    assert late[0].outcome == Refused(code=10009, message="not_enough_funds")


@pytest.mark.parametrize("method", ["private/buy", "private/get_positions", "public/test", ""])
async def test_out_of_credit_is_heard_whoever_it_is_told_to(
    client: DeribitClient, session: ScriptedLine, method: str
) -> None:
    client.take_late(method, {}, error(10028, "too_many_requests"))
    assert session.abandoned is not None
    assert not client.throttle.try_spend("private/cancel", Lane.REDUCE)
    client.detach("")
    client.take_late(method, {}, error(10028, "too_many_requests"))  # before a session is live


async def test_a_late_answer_to_a_question_is_nobody_s_business(
    client: DeribitClient, late: list[LateReply]
) -> None:
    client.take_late("private/get_positions", {}, Reply(request_id=7, result=msgspec.Raw(b"[]")))
    assert late == []


async def test_what_a_reply_confirms_is_awaited_on_the_private_stream(
    client: DeribitClient, session: ScriptedLine, clock: HandClock, order_json: Make
) -> None:
    session.answers["private/buy"] = {"order": order_json(), "trades": []}
    outcome = await client.place(REQUEST)
    assert isinstance(outcome, Confirmed)
    clock.loop_s += 6
    assert client.overdue_order_id(5.0) == "USDC-1"
    client.take_order(outcome.order)
    assert client.overdue_order_id(5.0) is None


async def test_whoever_finds_the_stream_wanting_can_end_the_session(
    guarded: DeribitClient, session: ScriptedLine, gate: LoginGate
) -> None:
    guarded.suspect_private_stream("order USDC-1 was filled, and nobody said so")
    assert session.abandoned is not None
    assert gate.loss is not None
    assert gate.loss.kind is TroubleKind.STREAM
    guarded.detach("ended")
    guarded.suspect_private_stream("without a session there is nothing to end")
