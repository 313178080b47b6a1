"""Getting to the exchange: names, certificates, handshakes, refusals, and every way to be closed."""

import asyncio
import random
import re
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import trustme
from mishandling import Mishandler
from pydantic import SecretStr
from scenes import (
    HASTY,
    LoneSession,
    eager,
    live,
    one_life,
    reconciling,
    trading,
    until,
)
from structlog.testing import capture_logs

from rig import INVERSE, LINEAR, QUICK, SELL, Rig, no_wish, running_rig, unhurried
from vigil.clock import SystemClock
from vigil.deribit.rest import RestWitness
from vigil.deribit.session import Deadlines, TroubleKind
from vigil.domain.events import SessionLost, SessionOpened
from vigil.errors import Transient
from vigil.lifecycle import SESSION_BACKOFF
from vigil.paper.server import PaperServer
from vigil.supervision.restarts import Backoff, ChildSpec
from vigil.telemetry.children import log_child_event

SRC = Path(__file__).resolve().parents[3] / "src" / "vigil"


class FastClock(SystemClock):
    """Time that passes more quickly for whoever waits by it."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed

    def elapsed_s(self) -> float:
        return super().elapsed_s() * self._speed

    async def sleep(self, delay_s: float) -> None:
        await super().sleep(delay_s / self._speed)


def told(session: LoneSession) -> list[str]:
    """What a person reads of a session's ends."""
    with capture_logs() as lines:
        for event in session.told:
            log_child_event(event)
    return [line["reason"] for line in lines if line["log_level"] in ("warning", "error")]


# --- names


class Resolver:
    """Answers for `exchange.test` as told: an address, or an error."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answer: str | OSError = "127.0.0.1"
        self.asked = 0
        self._resolve = loop.getaddrinfo

    async def __call__(self, host, port, **options):
        if host != "exchange.test":
            return await self._resolve(host, port, **options)
        self.asked += 1
        if isinstance(self.answer, OSError):
            raise self.answer
        return await self._resolve(self.answer, port, **options)


@pytest.fixture
async def resolver(monkeypatch) -> Resolver:
    loop = asyncio.get_running_loop()
    made = Resolver(loop)
    monkeypatch.setattr(loop, "getaddrinfo", made)
    return made


@pytest.mark.fault("N8")
async def test_a_name_that_does_not_resolve_is_tried_ever_more_rarely_and_told_once(
    server, proxy, resolver
):
    url = proxy.lead_to(server.port).replace("localhost", "exchange.test")
    resolver.answer = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    fast = FastClock(60)
    async with LoneSession(url, backoff=SESSION_BACKOFF, supervising=fast) as session:
        await until(lambda: len(session.pauses_s()) >= 9)
        grows(session.pauses_s())
        assert proxy.dials == 0
        (line,) = told(session)
        assert "cannot be resolved" in line
        resolver.answer = "127.0.0.1"
        await live(session)


@pytest.mark.fault("N8")
async def test_a_slow_resolver_holds_nobody_up(server, monkeypatch):
    """The look-up itself blocks, as the system's does, on a thread of its own."""
    real = socket.getaddrinfo
    threads = []

    def slow(host, *args, **options):
        if host in (b"exchange.test", "exchange.test"):
            threads.append(threading.current_thread())
            time.sleep(1.5)
            raise socket.gaierror(socket.EAI_AGAIN, "timed out")
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    session = LoneSession(f"ws://exchange.test:{server.port}/ws/api/v2")
    began_s = session.clock.elapsed_s()
    error = await one_life(session.link)
    assert "within 0.6 s" in str(error)
    assert session.clock.elapsed_s() - began_s < HASTY.dial_s + 0.8
    assert len(threads) == 1
    assert threading.current_thread() not in threads, "the loop would stand still"


@pytest.mark.fault("N8")
async def test_a_name_that_resolves_to_another_address_is_followed(server, proxy, resolver):
    url = proxy.lead_to(server.port).replace("localhost", "exchange.test")
    async with LoneSession(url) as session:
        await live(session)
        proxy.refuse()
        async with Mishandler(host="127.0.0.2", port=proxy.port) as other:
            other.lead_to(server.port)
            resolver.answer = "127.0.0.2"
            proxy.cut()
            await live(session, epoch=2)
            assert other.dials == 1


# --- certificates


def context_of(issuer: trustme.CA, name: str = "localhost", **validity) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer.issue_cert(name, **validity).configure_cert(made)
    return made


@pytest.fixture
def authority(tmp_path, monkeypatch) -> trustme.CA:
    """The only one that this process trusts, told in the way of the system."""
    issuer = trustme.CA()
    issuer.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return issuer


@pytest.fixture
async def tls_rig(tmp_path, monkeypatch, authority, proxy) -> AsyncIterator[Rig]:
    await proxy.admit(tls=context_of(authority))
    async with running_rig(
        tmp_path,
        monkeypatch,
        road=lambda server: proxy.lead_to(server.port),
        deadlines=HASTY,
    ) as made:
        made.supervisor.add_child(
            ChildSpec(name="troubles", start=made.troubles.run, backoff=QUICK)
        )
        yield made


WRONG = {
    "unknown authority": (lambda _: context_of(trustme.CA()), "certificate"),
    "another name": (lambda known: context_of(known, "deribit.example"), "localhost"),
    "expired": (
        lambda known: context_of(
            known,
            not_before=datetime(2020, 1, 1, tzinfo=UTC),
            not_after=datetime(2021, 1, 1, tzinfo=UTC),
        ),
        "expired",
    ),
    "not yet valid by our clock": (
        lambda known: context_of(
            known,
            not_before=datetime(2090, 1, 1, tzinfo=UTC),
            not_after=datetime(2091, 1, 1, tzinfo=UTC),
        ),
        "not yet valid",
    ),
}


@pytest.mark.fault("N9")
@pytest.mark.parametrize("wrong", WRONG)
async def test_who_cannot_prove_to_be_the_exchange_gets_no_word_and_stops_go_on_resting(
    tls_rig, proxy, authority, wrong
):
    make, words = WRONG[wrong]
    await reconciling(tls_rig)
    trade = await tls_rig.enter(INVERSE, SELL)
    resting = {order.order_id for order in tls_rig.resting()}
    await proxy.admit(tls=make(authority))
    taken = proxy.dials
    with capture_logs() as logs:
        proxy.cut()
        await tls_rig.until(lambda: proxy.dials > taken + 3)
        held = await tls_rig.until(tls_rig.incidents)
    assert not tls_rig.client.is_live
    assert tls_rig.authority.refusal is not None
    assert all(line.ways["out"].passed == 0 for line in proxy.lines[taken:])
    incident = held["certificate_refused session"]
    assert incident.severity == "error"
    assert words in incident.message
    assert len([log for log in logs if log["event"] == "session.trouble"]) == 1
    assert {order.order_id for order in tls_rig.resting()} == resting
    await proxy.admit(tls=context_of(authority))
    await tls_rig.until(lambda: tls_rig.authority.refusal is None)
    await tls_rig.until(lambda: nothing_open(tls_rig))
    assert (await tls_rig.trade(trade.trade_id)).is_open
    await tls_rig.assert_agreement()


async def nothing_open(rig):
    return not await rig.incidents()


@pytest.mark.fault("N9")
async def test_the_second_witness_fails_closed_as_well(proxy, server, authority):
    await proxy.admit(tls=context_of(trustme.CA()))
    proxy.lead_to(server.port)
    clock = SystemClock()
    witness = RestWitness(
        f"https://localhost:{proxy.port}/api/v2",
        "vigil-paper",
        SecretStr("secret"),
        throttle=unhurried(clock),
        exchange_now_ms=clock.now_ms,
    )
    with pytest.raises(Transient, match="CERTIFICATE_VERIFY_FAILED"):
        await witness.positions()
    await witness.close()
    assert all(line.ways["out"].passed == 0 for line in proxy.lines)


@pytest.mark.fault("N9")
def test_nothing_in_the_sources_can_turn_verification_off():
    off = re.compile(r"CERT_NONE|CERT_OPTIONAL|check_hostname|_unverified|verify_mode|verify\s*=")
    found = [path.name for path in SRC.rglob("*.py") if off.search(path.read_text())]
    assert found == []
    assert httpx.AsyncClient.__init__.__kwdefaults__["verify"] is True


# --- handshakes


@pytest.mark.fault("N10")
@pytest.mark.parametrize("scheme", ["wss", "ws"])
async def test_a_handshake_that_stalls_is_given_up_and_tried_again(server, proxy, scheme):
    """Of TLS, or of the WebSocket."""
    proxy.is_stalling = True
    url = proxy.lead_to(server.port).replace("ws:", f"{scheme}:")
    async with LoneSession(url) as session:
        await until(lambda: len(session.ends()) == 2)
        assert all("within 0.6 s" in end for end in session.ends())
        assert proxy.open_max == 1


def test_the_deadline_that_ships_is_ten_seconds():
    assert Deadlines().dial_s == 10.0


# --- refusals


def grows(pauses_s: list[float]) -> None:
    """Each below a bound that doubles up to a cap, no two alike, and the late ones longer."""
    bounds_s = [min(30.0, 0.5 * 2.0**number) for number in range(len(pauses_s))]
    assert all(0 <= pause <= bound for pause, bound in zip(pauses_s, bounds_s, strict=True))
    assert len(set(pauses_s)) == len(pauses_s)
    assert max(pauses_s[-4:]) > 4 > max(pauses_s[:3])


@pytest.mark.fault("N11")
@pytest.mark.parametrize("how", ["nobody listens", "503", "429", "reset", "close", "stall"])
async def test_after_an_outage_it_dials_one_at_a_time_and_ever_more_rarely(server, proxy, how):
    """Waits are those that ship, a hundred times as fast; so is the time that an attempt takes."""
    url = proxy.lead_to(server.port)
    fast, hasty = FastClock(100), Deadlines(dial_s=0.1, call_s=0.1)
    async with LoneSession(
        url, deadlines=hasty, backoff=SESSION_BACKOFF, supervising=fast
    ) as session:
        await live(session)
        if how == "nobody listens":
            proxy.refuse()
        elif how == "stall":
            proxy.is_stalling = True
        else:
            server.faults.arm("refuse-connections", how=how, count=1_000)
        before = len(session.told)
        dialled = proxy.dials
        proxy.cut()
        await until(lambda: len(session.pauses_s()) >= 10)
        grows(session.pauses_s())
        assert proxy.open_max == 1
        if how != "nobody listens":
            assert proxy.dials - dialled <= len(session.pauses_s()) + 1
        assert len(told(session)) <= 3, session.told[before:]
        server.faults.clear()
        proxy.is_stalling = False
        await proxy.admit()
        await live(session, epoch=2)


def test_no_attempt_to_open_a_session_lasts_as_long_as_a_session_that_did_well():
    """Else every slow failure would be the first one again, and the waits would never grow."""
    ships = Deadlines()
    assert SESSION_BACKOFF.settled_s > ships.dial_s + 4 * ships.call_s
    assert isinstance(SESSION_BACKOFF, Backoff)
    assert SESSION_BACKOFF.delay_s(10_000, random.Random(1)) <= 30


# --- every way to be closed


@pytest.mark.fault("N12")
@pytest.mark.parametrize("ending", [1000, 1001, 1006, 1011, 1012, "restart"])
async def test_however_a_session_ends_it_subscribes_reconciles_and_only_then_trades(
    rig, proxy, agreement, ending
):
    await reconciling(rig)
    held = await rig.enter(INVERSE, SELL, strategy_id="other")
    await trading(rig, decide=no_wish)
    channels = subscribed(rig)
    rig.venue.asked.clear()
    before = len(rig.runs)
    # The pass takes its time, so that quotes reach the strategy while it runs.
    rig.server.faults.arm("delay-reply", method="private/get_positions", delay_s=0.3, count=1)
    rig.brain.decide = eager
    rig.authority.refuse("test", "not yet")
    await end(rig, proxy, ending)
    await rig.until(lambda: rig.client.epoch == 2)
    assert rig.authority.refusal is not None
    rig.authority.allow("test")
    await rig.until(lambda: rig.position(LINEAR) > 0)
    passes = [run for run in rig.runs[before:] if run.outcome == "ok"]
    assert passes[0].trigger == "reconnect"
    (label,) = [one for one in agreement.entries() if one != "vg-other-1-1"]
    assert agreement.arrived_ms(label) >= passes[0].finished_ms
    assert subscribed(rig) == channels
    assert (await rig.trade(held.trade_id)).is_open
    await agreement.holds()


def subscribed(rig):
    """Every channel that the sessions asked for."""
    asked = [
        channel
        for _, request in rig.venue.asked
        if request.method.endswith("/subscribe")
        for channel in request.params["channels"]
    ]
    return set(asked)


async def end(rig, proxy, ending):
    server = rig.server
    if ending == "restart":
        proxy.refuse()
        await server.stop()
        again = PaperServer(
            rig.venue, SystemClock(), port=server.port, faults=server.faults, tick_interval_s=0.02
        )
        await again.start()
        rig.server = again
        await proxy.admit()
    elif ending == 1006:
        server.deeds.do("abort-connection")
    else:
        server.deeds.do("close-connection", code=ending)


@pytest.mark.fault("N12")
@pytest.mark.parametrize("code", [1000, 1001, 1011])
async def test_what_the_exchange_says_when_it_closes_is_told(server, proxy, code):
    async with LoneSession(proxy.lead_to(server.port)) as session:
        await live(session)
        server.deeds.do("close-connection", code=code, reason="for a test")
        await live(session, epoch=2)
        assert f"{code} for a test" in session.ends()[0]
        assert (session.count(SessionLost), session.count(SessionOpened)) == (1, 2)
        assert [
            one for one in session.troubles if one.reason and one.kind is TroubleKind.LOGIN
        ] == []
