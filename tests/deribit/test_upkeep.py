import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
import structlog

from vigil.deribit.client import DeribitClient
from vigil.deribit.credits import Credits, Lane, Pool, Rate
from vigil.deribit.exchange_clock import ClockReading
from vigil.deribit.jsonrpc import ErrorReply, Reply
from vigil.deribit.session import Deadlines, Trouble, TroubleKind
from vigil.deribit.throttle import Throttle
from vigil.deribit.timekeeping import Timekeeper
from vigil.deribit.upkeep import Upkeep
from vigil.errors import Transient


class Socket:
    """A connection that answers from a table: a value, an error, or a function of the call."""

    def __init__(self) -> None:
        self.is_open = True
        self.silent_s = 0.0
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}
        self.abandoned: str | None = None

    async def request(
        self, method: str, params: Mapping[str, Any], *, timeout_s: float
    ) -> Reply | ErrorReply:
        self.asked.append((method, dict(params)))
        answer = self.answers.get(method, ErrorReply(request_id=1, code=-32601, message="no"))
        if callable(answer):
            answer = answer(params)
        if isinstance(answer, ErrorReply):
            return answer
        return Reply(request_id=1, result=msgspec.Raw(msgspec.json.encode(answer)))

    def abandon(self, reason: str) -> None:
        self.abandoned, self.is_open = reason, False

    def asked_for(self, method: str) -> list[dict[str, Any]]:
        return [params for name, params in self.asked if name == method]


class Session:
    """A live session on such a connection, on a clock that tests move."""

    def __init__(self, clock: Any) -> None:
        self.socket: Any = Socket()
        self.troubles: list[Trouble] = []
        limits = dict.fromkeys(Pool, Rate(per_s=1e6, burst=1e6))
        throttle = Throttle(clock, Credits(limits, now_s=clock.elapsed_s()))
        self.client = DeribitClient(clock, throttle=throttle)
        self.client.attach(
            self.socket,
            reading=ClockReading(exchange_ms=clock.now_ms(), at_s=clock.elapsed_s()),
            subscribed=(),
        )
        self.upkeep = Upkeep(
            self.socket,
            self.client,
            clock=clock,
            deadlines=Deadlines(),
            timekeeper=Timekeeper(clock, on_trouble=self.troubles.append),
            on_trouble=self.troubles.append,
        )


@pytest.fixture
def session(stepped_clock: Any) -> Session:
    return Session(stepped_clock)


def error(code: int, message: str) -> ErrorReply:
    return ErrorReply(request_id=1, code=code, message=message)


async def test_out_of_credit_ends_the_session_whose_own_call_heard_it(session: Session) -> None:
    session.socket.answers["public/get_time"] = error(10028, "too_many_requests")
    with pytest.raises(Transient):
        await session.upkeep.call("public/get_time", {})
    assert "credit" in session.socket.abandoned
    assert not session.client.throttle.try_spend("private/cancel", Lane.REDUCE)


async def test_an_error_outside_the_table_is_told_once_whoever_hears_it(session: Session) -> None:
    session.socket.answers["public/ticker"] = error(4711, "unheard_of")
    with structlog.testing.capture_logs() as lines:
        for ask in (session.upkeep.call("public/ticker", {}), session.client.ticker("X")):
            with pytest.raises(Exception, match="4711"):
                await ask
    assert [line["event"] for line in lines] == ["error.unlisted"]


async def test_a_market_that_was_shut_when_the_session_began_is_carried_once_it_opens(
    session: Session, stepped_clock: Any
) -> None:
    is_open = False
    session.socket.answers["public/subscribe"] = lambda params: (
        [name for name in params["channels"] if is_open or "SHUT" not in name]
    )
    await session.client.watch(["OPEN", "SHUT"])
    await session.client.watch_books(["SHUT"])
    running = asyncio.ensure_future(session.upkeep.carry_watched())
    try:
        await stepped_clock.advance(600)
        asked = session.socket.asked_for("public/subscribe")
        assert 5 <= len(asked) <= 16, "now and then, and not all the time"
        assert asked[-1] == {"channels": ["ticker.SHUT.100ms", "book.SHUT.100ms"]}
        is_open = True
        await stepped_clock.advance(61)
        assert session.client.missing_channels == ()
        count = len(session.socket.asked)
        await stepped_clock.advance(600)
        assert len(session.socket.asked) == count
    finally:
        running.cancel()


async def test_what_could_not_be_asked_for_is_asked_for_again(
    session: Session, stepped_clock: Any
) -> None:
    session.socket.answers["public/subscribe"] = error(13028, "temporarily_unavailable")
    with pytest.raises(Transient):
        await session.client.watch(["X"])
    running = asyncio.ensure_future(session.upkeep.carry_watched())
    try:
        await stepped_clock.advance(6)
        assert session.client.missing_channels
        session.socket.answers["public/subscribe"] = lambda params: params["channels"]
        await stepped_clock.advance(11)
        assert session.client.carried_channels == ("ticker.X.100ms",)
    finally:
        running.cancel()


# --- troubles that are over


async def test_asking_too_much_is_over_once_nobody_has_said_so_for_a_while(
    session: Session, stepped_clock: Any
) -> None:
    """The second witness may hear it while the session goes on."""
    session.socket.answers["public/get_time"] = lambda _: stepped_clock.now_ms()
    check_s = Deadlines().clock_check_s
    running = asyncio.ensure_future(session.upkeep.keep_time())
    over = Trouble(kind=TroubleKind.CREDITS, reason=None)
    try:
        await stepped_clock.advance(check_s - 1)
        session.client.throttle.drain("too_many_requests")
        await stepped_clock.advance(2)
        assert over not in session.troubles, "a second after it was told"
        await stepped_clock.advance(check_s)
        assert over in session.troubles
    finally:
        running.cancel()


# --- orders outlive the connection

GET, DISABLE = (
    "private/get_cancel_on_disconnect",
    "private/disable_cancel_on_disconnect",
)


async def test_a_connection_whose_orders_outlive_it_is_left_alone(session: Session) -> None:
    session.socket.answers[GET] = {"scope": "connection", "enabled": False}
    await session.upkeep.outlive_connection()
    assert session.socket.asked == [(GET, {"scope": "connection"})]
    assert [one.reason for one in session.troubles] == [None]


async def test_a_connection_that_would_take_its_orders_along_is_made_harmless(
    session: Session,
) -> None:
    session.socket.answers[GET] = {"scope": "connection", "enabled": True}
    session.socket.answers[DISABLE] = "ok"
    await session.upkeep.outlive_connection()
    assert session.socket.asked_for(DISABLE) == [{"scope": "connection"}]
    assert [one.reason for one in session.troubles] == [None]


async def test_where_the_key_may_not_do_that_a_person_is_told_until_it_is_done(
    session: Session, stepped_clock: Any
) -> None:
    session.socket.answers[GET] = {"scope": "connection", "enabled": True}
    session.socket.answers[DISABLE] = error(13403, "scope_exceeded")
    running = asyncio.ensure_future(session.upkeep.outlive_connection())
    await stepped_clock.advance(1)
    (trouble,) = session.troubles
    assert trouble.kind is TroubleKind.DISCONNECT
    assert trouble.reason is not None
    assert "account:read_write" in trouble.reason
    assert session.socket.abandoned is None
    session.socket.answers[GET] = {"scope": "connection", "enabled": False}
    await stepped_clock.advance(31)
    assert running.done()
    assert session.troubles[-1].reason is None


async def test_whether_orders_outlive_the_connection_is_asked_until_it_is_known(
    session: Session, stepped_clock: Any
) -> None:
    session.socket.answers[GET] = error(13028, "temporarily_unavailable")
    running = asyncio.ensure_future(session.upkeep.outlive_connection())
    await stepped_clock.advance(40)
    assert not running.done()
    assert session.troubles == []
    session.socket.answers[GET] = {"scope": "connection", "enabled": False}
    await stepped_clock.advance(31)
    assert running.done()
