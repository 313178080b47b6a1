"""What makes the whole degraded, what makes it unhealthy, and what silences the watchdog."""

import asyncio
import json
import sys

import pytest

from rig import LINEAR, QUICK, desired, wanted
from vigil.fleet import fleet as fleets
from vigil.fleet.desired import StateFileRefused
from vigil.fleet.state_file import StateFile
from vigil.fleet.vitals import LOOP_BEAT_AGE_S_MAX, PASS_SLACK_S, Vitals
from vigil.reconcile.reconciler import PASS_TIMEOUT_S
from vigil.supervision.health import Health
from vigil.supervision.restarts import ChildSpec, Intensity
from vigil.supervision.stall import StallGuard
from vigil.supervision.supervisor import ChildState

INTERVAL_S = 60.0


class Clock:
    """The machine's clock, which a test can move on."""

    def __init__(self, real):
        self._real = real
        self.ahead_s = 0.0

    def now_ms(self):
        return self._real.now_ms()

    def elapsed_s(self):
        return self._real.elapsed_s() + self.ahead_s

    async def sleep(self, delay_s):
        await self._real.sleep(delay_s)


class Body:
    """All that vital signs are taken of, alive and well."""

    def __init__(self, rig, path):
        self.rig = rig
        self.clock = Clock(rig.clock)
        path.write_text(json.dumps({"activeStrategies": []}))
        self.state_file = StateFile(path, clock=rig.clock)
        self.state_file.load()
        self.stall = StallGuard(clock=self.clock, dump_to=sys.__stderr__)
        self.vitals = Vitals(
            supervisor=rig.supervisor,
            authority=rig.authority,
            locks=rig.locks,
            troubles=rig.troubles,
            state_file=self.state_file,
            ledger=rig.ledger,
            reconciler=rig.reconciler,
            stall=self.stall,
            clock=self.clock,
            reconcile_interval_s=INTERVAL_S,
        )

    def beat(self):
        self.stall.last_beat_s = self.rig.reconciler.last_beat_s = self.clock.elapsed_s()

    @property
    def health(self):
        return self.vitals.assess().health

    @property
    def reasons(self):
        return {reason.name: reason.text for reason in self.vitals.assess().reasons}


@pytest.fixture
async def body(rig, tmp_path):
    made = Body(rig, tmp_path / "backend-state.json")
    await rig.reconcile()
    made.beat()
    made.vitals.is_started = True
    return made


async def test_alive_and_well_there_is_nothing_to_say(body):
    assert body.vitals.assess().reasons == ()
    assert body.health is Health.HEALTHY
    assert body.vitals.not_alive() is None
    assert body.vitals.unready() is None


@pytest.mark.parametrize(
    ("name", "allowed_s"),
    [
        pytest.param("event loop", LOOP_BEAT_AGE_S_MAX, id="loop"),
        pytest.param("reconciler", INTERVAL_S + PASS_TIMEOUT_S + PASS_SLACK_S, id="reconciler"),
    ],
)
async def test_a_beat_that_stops_silences_the_watchdog(body, name, allowed_s):
    body.clock.ahead_s = allowed_s - 1
    assert name not in body.reasons
    body.clock.ahead_s = allowed_s + 1
    assert name in body.reasons
    assert body.health is Health.UNHEALTHY
    assert name in body.vitals.not_alive()


async def test_a_loop_that_is_slow_to_reconcile_alone_is_no_stall(body):
    body.clock.ahead_s = LOOP_BEAT_AGE_S_MAX + 1
    body.stall.last_beat_s = body.clock.elapsed_s()
    assert body.vitals.not_alive() is None


@pytest.mark.fault("E6", "E31")
@pytest.mark.parametrize(
    ("deed", "fields", "name", "what"),
    [
        ("lock-platform", {"price_index": "btc_usd"}, "platform_locked", "trading on btc_usd"),
        ("maintenance", {}, "maintenance", "maintenance is announced"),
        ("lock-account", {"currency": "ETH"}, "account_locked", "the account is locked in ETH"),
    ],
)
async def test_a_lock_degrades_and_is_named(body, rig, deed, fields, name, what):
    rig.server.deeds.do(deed, **fields)
    await rig.until(lambda: name in body.reasons)
    assert body.reasons[name].startswith(what)
    assert body.health is Health.DEGRADED
    assert body.vitals.not_alive() is None


@pytest.mark.fault("E33")
@pytest.mark.parametrize("offset_ms", [2_000, -2_000])
async def test_a_clock_that_is_off_degrades_is_an_incident_and_both_pass(body, rig, offset_ms):
    rig.supervisor.add_child(ChildSpec(name="troubles", start=rig.troubles.run, backoff=QUICK))
    rig.server.deeds.do("skew-clock", offset_ms=offset_ms)
    await rig.drop_session()
    await rig.until(lambda: "clock_skewed" in body.reasons)
    assert "ms ahead of ours" in body.reasons["clock_skewed"]
    assert body.health is Health.DEGRADED

    async def told():
        return {one.kind for one in (await rig.incidents()).values()}

    assert await rig.until(told) == {"clock_skewed"}
    rig.server.deeds.do("skew-clock", offset_ms=0)
    await rig.drop_session()
    await rig.until(lambda: "clock_skewed" not in body.reasons)

    async def nothing_told():
        return not await told()

    await rig.until(nothing_told)


async def test_an_exchange_outage_degrades_and_never_silences_the_watchdog(body, rig):
    await rig.server.stop()
    await rig.until(lambda: not rig.client.is_live)
    await rig.reconcile()
    session = next(child for child in rig.supervisor.status() if child.name == "session")
    await rig.until(lambda: {"trading", "reconciliation"} <= body.reasons.keys())
    assert body.reasons["trading"].startswith("no session: ")
    assert body.reasons["reconciliation"].startswith("skipped: ")
    if session.state is ChildState.BACKOFF:
        assert "session" in body.reasons
    assert body.health is Health.DEGRADED
    assert body.vitals.not_alive() is None
    assert body.vitals.unready().startswith("no session: ")


async def test_a_session_waiting_for_its_next_try_is_told_by_its_error(body, rig):
    await rig.server.stop()

    def told():
        return "session" in body.reasons and "backoff" in body.reasons["session"]

    await rig.until(told)
    assert body.vitals.not_alive() is None


async def test_a_broken_state_file_degrades_and_names_its_place(body):
    body.state_file.problem = StateFileRefused(
        path="backend-state.json", line=3, column=7, reason="not JSON", fix="mend it"
    )
    assert body.health is Health.DEGRADED
    assert body.reasons["state file"].startswith("backend-state.json:3:7")
    assert "last good version stays in force" in body.reasons["state file"]
    assert body.vitals.not_alive() is None


async def test_a_ledger_that_cannot_be_written_is_what_a_restart_may_cure(body, rig, monkeypatch):
    monkeypatch.setattr(type(rig.ledger), "problem", property(lambda _: "disk image is malformed"))
    assert body.health is Health.UNHEALTHY
    assert body.vitals.not_alive() == "ledger disk image is malformed"


async def test_a_strategy_that_was_given_up_on_degrades(body, rig, monkeypatch):
    monkeypatch.setattr(fleets, "STRATEGY_BACKOFF", QUICK)
    monkeypatch.setattr(fleets, "STRATEGY_INTENSITY", Intensity(restarts_max=1, period_s=600.0))

    def broken(ticker, position):
        raise RuntimeError("faulty on purpose")

    rig.brain.decide = broken
    await rig.fleet.apply(desired(wanted("a", instrument=LINEAR)))
    await rig.fleet.start()
    await rig.until(lambda: rig.fleet.child("a").state is ChildState.FAILED)
    assert body.reasons["strategy:a"] == "failed: RuntimeError: faulty on purpose"
    assert body.health is Health.DEGRADED
    assert body.vitals.not_alive() is None


async def test_a_child_that_ended_in_order_is_no_trouble(body, rig):
    async def done():
        await asyncio.sleep(0)

    from vigil.supervision.restarts import RestartPolicy

    rig.supervisor.add_child(ChildSpec(name="once", start=done, restart=RestartPolicy.TRANSIENT))
    await rig.until(lambda: rig.supervisor.status()[-1].state is ChildState.STOPPED)
    assert body.health is Health.HEALTHY


async def test_a_skipped_pass_degrades_until_the_next_good_one(body, rig):
    rig.venue.refuse("private/get_positions", 13028, "temporarily_unavailable")
    await rig.reconcile()
    assert "13028" in body.reasons["reconciliation"]
    assert body.vitals.not_alive() is None
    await rig.reconcile()
    assert body.health is Health.HEALTHY


async def test_before_the_first_good_pass_it_is_not_ready_and_says_why(rig, tmp_path):
    made = Body(rig, tmp_path / "backend-state.json")
    assert made.vitals.unready() == "not reconciled since the start"
    await rig.reconcile()
    assert made.vitals.unready() == "starting"
    made.vitals.is_started = True
    assert made.vitals.unready() is None


async def test_a_reconciler_that_never_ran_is_told(rig, tmp_path):
    made = Body(rig, tmp_path / "backend-state.json")
    assert made.reasons["reconciler"] == made.reasons["event loop"] == "is not running"
    assert "reconciliation" not in made.reasons, "no pass yet is no failed pass"
