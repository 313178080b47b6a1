"""What the exchange takes away in mid-life: credit, logins, the key, its rights, the way in."""

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace
from scenes import AUTHOR, HASTY, LoneSession, eager, live, reconciling, trading, until
from structlog.testing import capture_logs

from rig import INVERSE, LINEAR, QUICK, SELL, desired, running_rig, wanted
from vigil.clock import SystemClock
from vigil.deribit.outcome import Confirmed, Unknown
from vigil.deribit.session import TroubleKind
from vigil.deribit.throttle import Throttle
from vigil.domain.events import SessionLost
from vigil.domain.order import OrderStatus, Role
from vigil.errors import VigilError
from vigil.paper.session.credits import Limits
from vigil.paper.session.keys import CLIENT_ID
from vigil.supervision.restarts import ChildSpec
from vigil.supervision.supervisor import ChildState
from vigil.trading import execution, pipeline


@pytest.fixture
async def poor(tmp_path, monkeypatch) -> AsyncIterator:
    """A rig on the lowest tier, on both sides."""
    throttle = Throttle(SystemClock())
    async with running_rig(
        tmp_path, monkeypatch, deadlines=HASTY, throttle=throttle, venue_limits=Limits()
    ) as made:
        made.supervisor.add_child(
            ChildSpec(name="troubles", start=made.troubles.run, backoff=QUICK)
        )
        throttle._on_drained = made.dispatch.take_drained
        yield made


def stops(rig):
    return {order.order_id for order in rig.resting() if order.reduce_only and order.trigger_price}


def session_child(rig):
    (child,) = [one for one in rig.supervisor.status() if one.name == "session"]
    return child


# --- credit


@pytest.mark.fault("E5")
async def test_credit_that_is_gone_ends_the_session_slowly_and_stops_go_on_resting(poor):
    rig = poor
    await reconciling(rig)
    trade = await rig.enter(INVERSE, SELL)
    resting = stops(rig)
    assert len(resting) == 1
    with capture_logs() as logs:
        rig.server.deeds.do("drain-credits")
        with pytest.raises(VigilError):
            await rig.client.positions()
        await rig.until(lambda: rig.authority.refusal is not None)
        lost_s = rig.clock.elapsed_s()
        await rig.until(lambda: rig.client.is_live)
        assert rig.clock.elapsed_s() - lost_s > 1.5, "a slow start"
        await rig.until(lambda: rig.authority.refusal is None)
    lost = [log["reason"] for log in logs if log["event"] == "connection.lost"]
    assert len(lost) == 1, lost
    assert "10028" in lost[0]
    assert stops(rig) == resting
    assert "credits_exhausted session" in await rig.incidents()
    assert (await rig.trade(trade.trade_id)).is_open
    await rig.assert_agreement()


@pytest.mark.fault("E5")
async def test_an_order_that_met_the_end_of_the_credit_is_in_doubt_and_then_one_or_none(poor):
    rig = poor
    await reconciling(rig)
    approved = await rig.approved()
    rig.server.deeds.do("drain-credits", pool="matching")
    outcome = await rig.desk.enter(approved, instrument_name=LINEAR, author=AUTHOR)
    assert isinstance(outcome, Unknown)
    await rig.until(lambda: rig.client.is_live and rig.client.epoch == 2)
    await rig.until(lambda: failed(rig))
    assert rig.position(LINEAR) == 0
    assert rig.venue.acts() == ["private/buy"]
    await rig.assert_agreement()


async def failed(rig):
    return (await rig.ledger.order("vg-s-1-1")).status is OrderStatus.FAILED


# --- the key


TAKEN_AWAY = [
    pytest.param("revoke-key", {"client_id": CLIENT_ID}, {"revoked": False}, "13004", id="revoked"),
    pytest.param("block-address", {}, {"blocked": False}, "1", id="not from here"),
    pytest.param(
        "narrow-scope",
        {"client_id": CLIENT_ID, "scope": "account:read trade:read wallet:read"},
        {"scope": "account:read trade:read_write wallet:read"},
        "trade:read_write",
        id="cut down",
    ),
]


@pytest.mark.fault("E30")
@pytest.mark.parametrize(("fault", "taken", "given_back", "words"), TAKEN_AWAY)
async def test_a_key_taken_away_halts_entries_is_not_hammered_and_leaves_stops(
    rig, agreement, monkeypatch, fault, taken, given_back, words
):
    monkeypatch.setattr("vigil.deribit.calling._FORBIDDEN_S_MIN", 0.0)
    monkeypatch.setattr(pipeline, "REJECTION_REST_MS", 100)
    rig.supervisor.add_child(ChildSpec(name="troubles", start=rig.troubles.run, backoff=QUICK))
    await reconciling(rig)
    held = await rig.enter(INVERSE, SELL, strategy_id="other")
    resting = stops(rig)
    rig.server.deeds.do(fault, **taken)
    rig.venue.asked.clear()
    if fault == "block-address":  # the login stands; the next one is refused
        rig.server.drop_connections()
    await trading_if_allowed(rig)
    await rig.until(lambda: session_child(rig).is_misconfigured)
    misses = rig.venue.methods().count("public/auth")
    ended_s = rig.clock.elapsed_s()
    await rig.until(lambda: rig.clock.elapsed_s() > ended_s + 1.0)
    assert rig.venue.methods().count("public/auth") == misses <= 2, "not hammered"
    assert session_child(rig).state is ChildState.BACKOFF
    assert rig.authority.refusal is not None
    assert rig.position(LINEAR) == 0
    assert stops(rig) == resting
    incident = (await rig.incidents())["login_lost session"]
    assert incident.severity == "error"
    assert words in incident.message
    # A person mends it, and does not wait for the next try.
    rig.server.deeds.do(fault, **(taken | given_back))
    rig.brain.decide = eager
    await rig.supervisor.restart_child("session")
    await rig.until(lambda: rig.position(LINEAR) > 0)
    assert (await rig.trade(held.trade_id)).is_open
    await agreement.holds()
    assert "login_lost session" not in await rig.incidents()


async def trading_if_allowed(rig):
    """A strategy wishes to enter, whether or not it may."""
    rig.brain.decide = eager
    await rig.fleet.apply(desired(wanted()))
    await rig.fleet.start()
    if rig.client.is_live:
        try:
            await rig.client.positions()
        except VigilError:
            return


# --- logins


@pytest.mark.fault("E29")
@pytest.mark.parametrize("refresh_too", [False, True])
async def test_a_login_that_expires_under_a_running_strategy_costs_no_order_and_no_stop(
    rig, agreement, refresh_too
):
    await trading(rig)
    trade = await rig.until(lambda: rig.trade_if("t1", lambda one: one.is_open))
    stop = (await rig.rows("t1"))[Role.STOP]
    rig.server.deeds.do("expire-tokens", refresh_too=refresh_too)
    moved = await rig.desk.tighten_stop(trade, trade.stop_loss + 100)
    await rig.until(lambda: rig.client.is_live and rig.authority.refusal is None)
    await rig.reconcile()
    await rig.reconcile()
    at_exchange = {order.order_id: order.trigger_price for order in rig.resting()}
    assert at_exchange[stop.order_id] == trade.stop_loss + 100, moved
    await agreement.holds()


@pytest.mark.fault("E29")
async def test_while_a_login_cannot_be_renewed_nothing_is_opened_though_the_line_holds(
    rig, monkeypatch
):
    """The old login is still good, and nobody knows for how much longer."""
    monkeypatch.setattr("vigil.deribit.session._RETRY_S_MIN", 0.1)
    await reconciling(rig)
    rig.venue.sessions.tokens._lifetime_s = 4
    await rig.drop_session()
    await rig.until(lambda: rig.authority.refusal is None)
    epoch = rig.client.epoch
    rig.venue.refuse("public/auth", 13028, "temporarily_unavailable", times=4)
    await rig.until(lambda: rig.authority.refusal is not None)
    assert "could not be renewed" in rig.authority.refusal
    assert rig.client.is_live
    await rig.until(lambda: rig.authority.refusal is None)
    assert rig.client.epoch == epoch


# --- the exchange's clock


class OffClock(SystemClock):
    """Our own wall clock, wrong or stepped."""

    off_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.off_ms


@pytest.mark.fault("E33")
@pytest.mark.parametrize("off_ms", [-3_600_000, -2_000, 2_000, 3_600_000])
@pytest.mark.parametrize("whose", ["theirs", "ours"])
async def test_a_clock_that_is_wrong_or_steps_leaves_deadlines_in_exchange_time(
    server, proxy, off_ms, whose
):
    """Wrong at the login; then it steps the other way in mid-session."""
    clock = OffClock()
    deadlines = replace(HASTY, clock_check_s=0.1)

    def step(by_ms: int) -> None:
        if whose == "ours":
            clock.off_ms = by_ms
        else:
            server.deeds.do("skew-clock", offset_ms=by_ms)

    step(off_ms)
    async with LoneSession(proxy.lead_to(server.port), deadlines=deadlines, clock=clock) as one:
        await live(one)
        await agrees(one, server)
        assert isinstance(await one.place("vg-n-1-1"), Confirmed)
        assert_told(one, is_off=True)
        step(-off_ms)
        await until(lambda: abs(one.client.exchange_now_ms() - server.clock.now_ms()) < 250)
        logins_outlived = whose == "theirs" and off_ms <= -3_600_000
        if logins_outlived:  # its clock has passed the end of every login
            assert not isinstance(await one.place("vg-n-2-1"), Confirmed)
            await live(one, epoch=2)
        assert isinstance(await one.place("vg-n-3-1"), Confirmed)
        late = await one.place("vg-n-4-1", valid_ms=-50)
        assert not isinstance(late, Confirmed), "what is past its time there is past it here"
        step(0)
        await until(lambda: told_clock(one)[-1] is None)
        assert one.count(SessionLost) == int(logins_outlived)


async def agrees(session, server):
    assert abs(session.client.exchange_now_ms() - server.clock.now_ms()) < 250


def told_clock(session):
    return [one.reason for one in session.troubles if one.kind is TroubleKind.CLOCK]


def assert_told(session, *, is_off):
    assert (told_clock(session)[-1] is not None) is is_off


@pytest.mark.fault("E33")
@pytest.mark.parametrize(
    ("offset_ms", "is_told"), [(-300, False), (300, False), (700, True), (-700, True)]
)
async def test_more_than_half_a_second_is_told_and_less_is_not(server, proxy, offset_ms, is_told):
    server.deeds.do("skew-clock", offset_ms=offset_ms)
    async with LoneSession(proxy.lead_to(server.port)) as session:
        await live(session)
        assert_told(session, is_off=is_told)
        await agrees(session, server)


@pytest.mark.fault("E33")
async def test_a_strategy_goes_on_over_a_smeared_second(rig, agreement, monkeypatch):
    """As over a leap second that is spread: the clock runs wrong for a while, and never jumps."""
    await trading(rig)
    trade = await rig.until(lambda: rig.trade_if("t1", lambda one: one.is_open))
    rig.server.deeds.do("skew-clock", offset_ms=1_000, smear_s=2.0)
    for _ in range(3):
        assert (await rig.reconcile()).outcome == "ok"
    assert (await rig.trade(trade.trade_id)).is_open
    assert rig.client.epoch == 1
    rig.server.deeds.do("skew-clock", offset_ms=0)
    await agreement.holds()


# --- errors that nobody knows


@pytest.mark.fault("E35")
@pytest.mark.parametrize("is_applied", [True, False])
@pytest.mark.parametrize(
    ("code", "message"),
    [
        pytest.param(19_999, "a_word_of_tomorrow", id="new"),
        pytest.param(10_009, "order_not_found", id="contradictory"),
        pytest.param(-32_099, "", id="without a word"),
    ],
)
async def test_an_error_that_nobody_knows_proves_nothing_and_leaves_one_order_or_none(
    rig, agreement, monkeypatch, code, message, is_applied
):
    monkeypatch.setattr(execution, "ORDER_VALIDITY_MS", 400)
    await reconciling(rig)
    rig.server.faults.arm(
        "error-reply",
        method="private/buy",
        code=code,
        message=message or " ",
        is_applied=is_applied,
        count=2,
    )
    with capture_logs() as logs:
        for number in (1, 2):
            approved = await rig.approved()
            outcome = await rig.desk.enter(approved, instrument_name=LINEAR, author=AUTHOR)
            assert isinstance(outcome, Unknown), outcome
            rig.reconciler.request("order in doubt")  # as its strategy does
            label = f"vg-s-{3 * number - 2}-1"
            await rig.until(lambda: is_final(rig, label))  # noqa: B023
            expected = OrderStatus.FILLED if is_applied else OrderStatus.FAILED
            assert (await rig.ledger.order(label)).status is expected
    unlisted = [log for log in logs if log["event"] == "error.unlisted"]
    assert [(log["code"]) for log in unlisted] == [code], "logged once"
    assert rig.client.epoch == 1
    orders = [order.label for order in rig.venue.exchange.books.orders.values() if order.label]
    assert orders.count("vg-s-1-1") == int(is_applied)
    await agreement.holds()


async def is_final(rig, label):
    row = await rig.ledger.order(label)
    return row is not None and row.status.is_final
