"""What the session tells in passing is kept where people look for it."""

import asyncio
import contextlib

import pytest
from structlog.testing import capture_logs

from rig import QUICK
from vigil.deribit.session import Trouble, TroubleKind
from vigil.fleet.troubles import TroubleLog
from vigil.supervision.restarts import ChildSpec
from vigil.trading.execution import Author


def trouble(kind, reason="it is so"):
    return Trouble(kind=kind, reason=reason)


@pytest.fixture
async def troubles(rig):
    """The rig's, written down by a child of its own."""
    rig.supervisor.add_child(ChildSpec(name="troubles", start=rig.troubles.run, backoff=QUICK))
    return rig.troubles


NAMES = {
    TroubleKind.LOGIN: ("login_lost", "error"),
    TroubleKind.CERTIFICATE: ("certificate_refused", "error"),
    TroubleKind.CREDITS: ("credits_exhausted", "warning"),
    TroubleKind.CLOCK: ("clock_skewed", "warning"),
    TroubleKind.STREAM: ("private_stream_silent", "warning"),
    TroubleKind.DISCONNECT: ("stops_die_with_connection", "error"),
}


@pytest.mark.parametrize("kind", list(TroubleKind))
async def test_every_kind_of_trouble_is_an_incident_until_it_is_over(rig, troubles, kind):
    name, severity = NAMES[kind]
    troubles.put(trouble(kind))
    (incident,) = await rig.until(rig.incidents)
    assert incident == f"{name} session"
    held = (await rig.incidents())[incident]
    assert (held.severity, held.message) == (severity, "it is so")
    troubles.put(trouble(kind, None))
    await rig.until(lambda: nothing_open(rig))


async def nothing_open(rig):
    return not await rig.incidents()


async def test_the_same_trouble_is_one_incident_however_often_it_is_told(rig, troubles):
    for number in range(3):
        troubles.put(trouble(TroubleKind.LOGIN, f"try {number}"))
        await rig.until(lambda: counted(rig, number + 1))  # noqa: B023
    (held,) = (await rig.incidents()).values()
    assert (held.count, held.message) == (3, "try 2")


async def test_a_trouble_that_goes_on_is_logged_once_and_again_when_it_comes_back(rig, troubles):
    with capture_logs() as logs:
        for reason in ("one", "two", None, "three"):
            troubles.put(trouble(TroubleKind.CERTIFICATE, reason))
    told = [log["reason"] for log in logs if log["event"] == "session.trouble"]
    assert told == ["one", "three"]


async def counted(rig, count):
    return [one for one in (await rig.incidents()).values() if one.count == count]


async def test_what_an_earlier_process_left_open_is_closed_by_this_one(rig):
    await rig.ledger.raise_incident(
        kind="login_lost", subject="session", severity="error", message="13004"
    )
    log = TroubleLog(rig.ledger)
    running = asyncio.ensure_future(log.run())
    log.put(trouble(TroubleKind.LOGIN, None))
    await rig.until(lambda: nothing_open(rig))
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_what_could_not_be_written_is_written_by_the_next_life(rig, troubles, monkeypatch):
    raise_incident, failures = rig.ledger.raise_incident, []

    async def fail_once(**facts):
        if not failures:
            failures.append(1)
            raise RuntimeError("no disk")
        return await raise_incident(**facts)

    monkeypatch.setattr(rig.ledger, "raise_incident", fail_once)
    troubles.put(trouble(TroubleKind.LOGIN))
    await rig.until(rig.incidents)
    assert failures


async def test_that_all_is_well_is_no_write(rig, troubles):
    before = rig.sql("SELECT count(*) FROM incidents")
    for kind in TroubleKind:
        troubles.put(trouble(kind, None))
    troubles.put(trouble(TroubleKind.CLOCK))
    await rig.until(rig.incidents)
    assert rig.sql("SELECT count(*) FROM incidents")[0][0] == before[0][0] + 1


async def test_a_login_that_does_not_work_stops_entries_until_it_does(rig):
    await rig.reconcile()
    assert rig.authority.refusal is None
    rig.dispatch.take_trouble(trouble(TroubleKind.LOGIN, "13004 invalid_credentials"))
    assert rig.authority.refusal == "13004 invalid_credentials"
    rig.dispatch.take_trouble(trouble(TroubleKind.LOGIN, None))
    assert rig.authority.refusal is None


@pytest.mark.parametrize("kind", [kind for kind in TroubleKind if kind is not TroubleKind.LOGIN])
async def test_other_troubles_are_only_told(rig, kind):
    await rig.reconcile()
    rig.dispatch.take_trouble(trouble(kind))
    assert rig.authority.refusal is None


@pytest.mark.fault("E29", "E30")
async def test_a_login_lost_in_mid_session_is_an_incident_and_ends_with_the_next_session(
    rig, troubles
):
    await rig.reconcile()
    rig.server.deeds.do("expire-tokens", refresh_too=True)
    await rig.reconcile()
    await rig.until(lambda: rig.client.is_live and rig.client.epoch == 2)
    await rig.until(lambda: nothing_open(rig))
    (row,) = rig.sql("SELECT kind, resolved_ms FROM incidents")
    assert row[0] == "login_lost"
    assert row[1] is not None
    await rig.reconcile()
    assert rig.authority.refusal is None


@pytest.mark.fault("E1", "N6")
async def test_a_late_answer_ends_the_doubt_by_itself(rig):
    """Nobody asks the exchange about the order: the answer to its own request settles it."""
    approved = await rig.approved()
    rig.client._call_timeout_s = 0.2
    rig.server.faults.arm("delay-reply", method="private/buy", delay_s=0.5)
    rig.server.faults.arm("mute-channel", channel="user.*")
    author = Author(strategy_id="s", strategy_name="Scripted")
    await rig.desk.enter(approved, instrument_name="BTC_USDC-PERPETUAL", author=author)
    assert await rig.trade_if("t1", lambda one: one.is_open) is None
    trade = await rig.until(lambda: rig.trade_if("t1", lambda one: one.is_open))
    assert trade.trade_id == "t1"
    assert "private/get_order_state_by_label" not in rig.venue.methods()
