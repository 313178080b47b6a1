"""Locks and maintenance of the paper exchange, from its first word to the trade after the release.

A strategy that always wants a position runs under the real supervisor; what is locked, how it is
told and how it ends is the exchange's doing. FAULTS E6, E31.
"""

import functools
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from rig import BUY, INVERSE, LINEAR, QUICK, desired, wanted
from vigil.deribit.outcome import Confirmed, Refused
from vigil.domain.events import PlatformStateReceived
from vigil.domain.order import Role
from vigil.domain.trade import ExitReason
from vigil.fleet import fleet as fleets
from vigil.fleet import locks as lock_keeping
from vigil.fleet.locks import Locks
from vigil.reconcile import reconciler
from vigil.supervision.restarts import ChildSpec
from vigil.trading import closures
from vigil.trading.signal import Decision, Enter, Exit

ENTER = Enter(
    direction=BUY,
    notional_usd=Decimal(500),
    stop_loss_percent=Decimal(1),
    take_profit_percent=Decimal("1.4"),
    reason="told to",
)
LOCK = {
    "index": ("lock-platform", {"price_index": "btc_usdc"}, "platform_locked"),
    "platform": ("lock-platform", {}, "platform_locked"),
    "maintenance": ("maintenance", {}, "maintenance"),
    "currency": ("lock-account", {"currency": "USDC"}, "account_locked"),
    "account": ("lock-account", {}, "account_locked"),
}
RELEASE = {"lock-platform": "locked", "maintenance": "on", "lock-account": "locked"}
KINDS = {kind for _, _, kind in LOCK.values()}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(fleets, "STRATEGY_BACKOFF", QUICK)
    monkeypatch.setattr(fleets, "ChildSpec", functools.partial(ChildSpec, stop_timeout_s=0.1))
    monkeypatch.setattr(lock_keeping, "CLOSED_LOOK_S", 0.05)
    monkeypatch.setattr(lock_keeping, "CLOSED_LOOK_S_MAX", 0.2)
    monkeypatch.setattr(lock_keeping, "RETRY_S", 0.02)
    monkeypatch.setattr(closures, "BREAK_MS_MIN", 0)


def eager(ticker, position):
    return Decision(intents=() if position else (ENTER,))


class Running:
    """Strategy `s`, which always wants a position in one instrument."""

    def __init__(self, rig):
        self.rig = rig

    async def start(self, name=LINEAR):
        rig = self.rig
        rig.brain.decide = eager
        await rig.fleet.apply(desired(wanted("s", instrument=name)))
        await rig.reconcile()
        await rig.fleet.start()

    @property
    def refusal(self):
        executor = self.rig.fleet.executor("s")
        return (executor and executor.refusal) or ""

    async def is_refused(self, kind):
        await self.rig.until(lambda: self.refusal.startswith(f"{kind}: "))

    async def quotes(self, count=10):
        """Wait until it has wished that often more."""
        seen = self.rig.brain.lives[-1].seen
        wanted_count = len(seen) + count
        await self.rig.until(lambda: len(seen) >= wanted_count)


@pytest.fixture
def running(rig):
    return Running(rig)


def entries(rig):
    return rig.venue.acts().count("private/buy")


async def lock_incidents(rig):
    return {name for name, one in (await rig.incidents()).items() if one.kind in KINDS}


async def nothing_told(rig):
    return not await lock_incidents(rig)


@pytest.mark.fault("E6", "E31")
@pytest.mark.parametrize("what", LOCK)
async def test_nothing_is_opened_under_a_lock_and_after_it_only_after_a_reconciliation(
    rig, running, what
):
    deed, fields, kind = LOCK[what]
    rig.server.deeds.do(deed, **fields)
    await rig.until(lambda: rig.locks.closures.standing)
    with capture_logs() as lines:
        await running.start()
        await running.is_refused(kind)
        await running.quotes()
    told = [one["reason"] for one in lines if one["event"] == "order.refused"]
    assert set(told) == {kind}
    assert len(told) <= 2, "one line for each change, not for each wish"
    assert rig.venue.acts() == []
    (incident,) = await rig.until(lambda: lock_incidents(rig))
    assert incident.startswith(f"{kind} ")

    rig.requested.clear()
    rig.server.deeds.do(deed, **fields, **{RELEASE[deed]: False})
    await rig.until(lambda: not rig.locks.closures.standing)
    await rig.until(lambda: rig.client.is_live and rig.locks.closures.is_read)
    assert "unlocked" in rig.requested
    await running.quotes()
    assert rig.venue.acts() == [], "nobody has looked what became of the account"
    await rig.until(lambda: nothing_told(rig))
    await rig.reconcile()
    await rig.until(lambda: entries(rig) == 1)
    await rig.until(lambda: running.refusal == "")


@pytest.mark.fault("E6")
async def test_the_pass_that_the_end_of_a_lock_asks_for_opens_again_though_it_begins_at_once(rig):
    """In the same millisecond. Nobody has to wait for the next regular one, a minute later."""
    rig.supervisor.add_child(ChildSpec(name="reconciler", start=rig.reconciler.run, backoff=QUICK))
    await rig.until(lambda: rig.reconciler.next_run_ms)
    for _ in range(5):
        rested_s = rig.clock.elapsed_s() + 2 * reconciler.PASS_SPACING_S
        await rig.until(lambda: rig.clock.elapsed_s() > rested_s)  # noqa: B023
        rig.dispatch.take(PlatformStateReceived(price_index="btc_usd", is_locked=True))
        await rig.until(lambda: not rig.locks.closures.standing)
        await rig.until(lambda: rig.locks.closures.is_quiet)


@pytest.mark.fault("E6")
async def test_a_lock_of_another_index_is_nobodys_business(rig, running):
    rig.server.deeds.do("lock-platform", price_index="btc_usd")
    await rig.until(lambda: rig.locks.closures.standing)
    await running.start()
    await rig.until(lambda: entries(rig) == 1)


@pytest.mark.fault("E6", "E31")
@pytest.mark.parametrize("what", ["index", "platform", "currency", "account"])
async def test_a_lock_that_nobody_told_of_is_read_by_the_next_session(rig, running, what):
    deed, fields, kind = LOCK[what]
    rig.server.faults.arm("mute-channel", channel="platform_state,user.lock")
    rig.server.deeds.do(deed, **fields)
    await rig.drop_session()
    await rig.until(lambda: rig.locks.closures.is_read)
    await running.start()
    await running.is_refused(kind)
    assert rig.venue.acts() == []
    rig.server.deeds.do(deed, **fields, **{RELEASE[deed]: False})
    await rig.until(lambda: not rig.locks.closures.standing)
    await rig.until(lambda: rig.client.is_live and rig.locks.closures.is_read)
    await rig.reconcile()
    await rig.until(lambda: entries(rig) == 1)


@pytest.mark.fault("E31")
@pytest.mark.parametrize(
    ("code", "message"),
    [
        (11098, "account_locked"),
        (10072, "disabled_while_position_lock"),
        (10019, "locked_by_admin"),
    ],
)
async def test_an_entry_that_meets_a_lock_is_the_last_until_the_exchange_says_otherwise(
    rig, running, monkeypatch, code, message
):
    monkeypatch.setattr(closures, "REFUSAL_REST_MS", 400)
    rig.venue.refuse("private/buy", code, message, times=1)
    with capture_logs() as lines:
        await running.start()
        await running.is_refused("account_locked")
    assert f"{code} {message}" in running.refusal
    assert entries(rig) == 1
    await rig.until(lambda: lock_incidents(rig))
    assert [one["on"] for one in lines if one["event"] == "lock.began"] == ["USDC"]
    await rig.until(lambda: not rig.locks.closures.standing)
    await running.is_refused("not_reconciled")
    await rig.reconcile()
    assert entries(rig) == 1, "its own rest after a rejection goes on"


@pytest.mark.fault("E31")
async def test_a_position_lock_that_no_reading_tells_is_met_ever_more_rarely(
    rig, running, monkeypatch
):
    """The exchange answers that nothing is locked, and refuses every order all the same."""
    monkeypatch.setattr("vigil.trading.pipeline.REJECTION_REST_MS", 1)
    monkeypatch.setattr(closures, "REFUSAL_REST_MS", 100)
    rig.server.deeds.do("lock-positions")
    await running.start()
    for strikes in (1, 2, 3, 4):
        held = await rig.until(
            lambda strikes=strikes: [
                hold for hold in rig.locks.closures.holds.values() if hold.strikes == strikes
            ]
        )
        assert held[0].until_ms - held[0].last_ms == 100 * 2 ** (strikes - 1)
        assert entries(rig) == strikes
        await rig.until(lambda: not rig.locks.closures.standing)
        await rig.reconcile()


@pytest.mark.fault("E6")
async def test_maintenance_that_nobody_announced_ends_entries_at_the_first_order(rig, running):
    rig.server.faults.arm("mute-channel", channel="platform_state")
    rig.server.deeds.do("maintenance")
    await running.start()
    await running.is_refused("maintenance")
    await running.quotes()
    assert entries(rig) == 1


@pytest.mark.fault("E6", "E31")
@pytest.mark.parametrize("what", ["index", "currency"])
async def test_leaving_under_a_lock_is_tried_and_never_at_the_cost_of_the_stop(rig, what):
    """A locked exchange still cancels: without this, the stop would go and the close not come."""
    trade = await rig.enter()
    deed, fields, _ = LOCK[what]
    rig.server.deeds.do(deed, **fields)
    await rig.until(lambda: rig.locks.is_shut(LINEAR))
    before = {order.order_id for order in rig.resting()}
    outcome = await rig.desk.close(trade, ExitReason.STRATEGY_STOP)
    assert isinstance(outcome, Refused)
    assert {order.order_id for order in rig.resting()} == before
    assert rig.venue.acts() == ["private/buy", "private/sell"]
    rig.server.deeds.do(deed, **fields, **{RELEASE[deed]: False})
    await rig.until(lambda: not rig.locks.is_shut(LINEAR))
    await rig.until(lambda: rig.client.is_live)
    outcome = await rig.desk.close(await rig.trade("t1"), ExitReason.STRATEGY_STOP)
    assert isinstance(outcome, Confirmed)
    await rig.reconcile()
    await rig.assert_agreement()


@pytest.mark.fault("E6")
async def test_a_release_that_was_not_heard_of_costs_no_second_close(rig):
    """What was taken for locked takes the order: then the stop goes as well."""
    trade = await rig.enter()
    rig.locks.take(PlatformStateReceived(price_index="btc_usdc", is_locked=True))
    assert rig.locks.is_shut(LINEAR)
    assert isinstance(await rig.desk.close(trade, ExitReason.STRATEGY_STOP), Confirmed)
    assert rig.resting() == []
    assert rig.venue.acts().count("private/sell") == 1
    await rig.reconcile()
    await rig.assert_agreement()


@pytest.mark.fault("E6")
async def test_a_strategy_that_wants_out_of_a_locked_market_asks_ever_more_rarely(
    rig, running, monkeypatch
):
    monkeypatch.setattr("vigil.trading.pipeline.CLOSE_REST_MS", 50)
    await running.start()
    await rig.until(rig.open_ids)
    rig.server.deeds.do("lock-platform", price_index="btc_usdc")
    await rig.until(lambda: rig.locks.is_shut(LINEAR))
    rig.brain.decide = lambda ticker, position: Decision(
        intents=(Exit(reason="enough"),) if position else ()
    )
    executor = rig.fleet.executor("s")
    await rig.until(lambda: executor.state.close_failures == 4)
    assert rig.venue.acts().count("private/sell") == 4
    rests = [row for row in (await rig.rows("t1")).values() if row.role is Role.STOP]
    assert [row.status.is_resting for row in rests] == [True]
    rig.server.deeds.do("lock-platform", price_index="btc_usdc", locked=False)
    await rig.until(lambda: rig.trade_if("t1", lambda one: not one.is_open))


@pytest.mark.fault("E6")
async def test_a_naked_trade_under_a_lock_is_protected_after_it_without_a_storm(rig):
    trade = await rig.enter()
    rig.server.deeds.do("lock-account", currency="USDC")
    rig.server.deeds.do("cancel-orders", of_label="*", reason="risk_mitigation")
    await rig.until(lambda: rig.locks.is_shut(LINEAR))
    run = await rig.reconcile()
    assert run.is_unsettled
    assert rig.venue.acts() == ["private/buy", "private/sell"], "one try for each pass"
    rig.server.deeds.do("lock-account", currency="USDC", locked=False)
    await rig.until(lambda: not rig.locks.is_shut(LINEAR))
    await rig.reconcile()
    assert (await rig.rows(trade.trade_id))[Role.STOP].status.is_resting


@pytest.mark.fault("E6")
async def test_while_locks_cannot_be_read_nothing_is_opened_and_they_are_asked_for_again(
    rig, running
):
    rig.venue.refuse("public/status", 13028, "temporarily_unavailable", times=10_000)
    asked = rig.venue.methods().count("public/status")
    await rig.drop_session()
    await running.start()
    await rig.until(lambda: rig.venue.methods().count("public/status") >= asked + 4)
    await running.is_refused("locks_unread")
    await running.quotes()
    assert entries(rig) == 0
    rig.venue._refusals.clear()
    await rig.until(lambda: rig.locks.closures.is_read)
    await rig.until(lambda: entries(rig) == 1)


async def test_an_exchange_that_will_not_tell_its_locks_is_believed_by_what_is_heard(rig, running):
    rig.venue.refuse("private/get_user_locks", -32601, "method not found", times=99)
    await rig.drop_session()
    await rig.until(lambda: rig.locks.closures.is_read)
    rig.server.deeds.do("lock-account", currency="USDC")
    await rig.until(lambda: rig.locks.closures.standing)
    await running.start()
    await running.is_refused("account_locked")


@pytest.mark.fault("E6")
async def test_what_is_told_while_locks_are_read_is_not_overwritten_by_the_answer(rig):
    """The answer says what was; the notification came after it."""

    answered = []
    ask = rig.client.platform_status

    async def platform_status():
        status = await ask()
        if not answered:
            rig.dispatch.take(PlatformStateReceived(price_index="btc_usdc", is_locked=True))
            rig.venue.platform.lock("btc_usdc")
        answered.append(status)
        return status

    rig.client.platform_status = platform_status
    rig.locks.opened()
    await rig.until(lambda: rig.locks.closures.is_read)
    assert rig.locks.is_shut(LINEAR)
    assert [status.is_partly_locked for status in answered] == [False, True]


async def test_that_nothing_is_locked_where_nothing_was_is_no_news(rig):
    """The platform says so several times a second: locks could hardly be read between two words."""
    noise = PlatformStateReceived(price_index="eth_usd", is_locked=False)
    ask = rig.client.account_locks

    async def account_locks():
        rig.dispatch.take(noise)
        return await ask()

    rig.client.account_locks = account_locks
    asked = rig.venue.methods().count("public/status")
    rig.locks.opened()
    await rig.until(lambda: rig.locks.closures.is_read)
    assert rig.venue.methods().count("public/status") == asked + 1


async def test_what_an_earlier_process_left_open_is_resolved_once_it_was_read_to_be_over(rig):
    for kind, subject in (("platform_locked", "btc_usd"), ("account_locked", "BTC")):
        await rig.ledger.raise_incident(
            kind=kind, subject=subject, severity="error", message="so it was"
        )
    rig.server.deeds.do("lock-account", currency="BTC")
    await rig.until(lambda: rig.locks.closures.standing)
    fresh = Locks(
        source=rig.client, ledger=rig.ledger, clock=rig.clock, request_pass=rig.requested.append
    )
    rig.supervisor.add_child(ChildSpec(name="fresh locks", start=fresh.run, backoff=QUICK))
    await rig.until(lambda: fresh.closures.is_read)

    async def only_one_is_left():
        return await lock_incidents(rig) == {"account_locked BTC"}

    await rig.until(only_one_is_left)
    assert fresh.is_shut(INVERSE)
