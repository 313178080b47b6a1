"""Links that are dead though nobody says so: nothing comes, nothing goes, or nothing whole."""

import asyncio

import pytest
from mishandling import IN, OUT, Mishandler
from scenes import (
    AUTHOR,
    HASTY,
    LoneSession,
    buys,
    live,
    one_life,
    reconciling,
    settled_rows,
    until,
)

from rig import BUY, INVERSE, LINEAR, SELL
from vigil.deribit.outcome import NOT_SENT, Confirmed, Refused, Unknown
from vigil.deribit.session import Deadlines
from vigil.domain.events import SessionLost, TickerReceived
from vigil.domain.order import OrderStatus

FOUND_WITHIN_S = HASTY.probe_every_s + HASTY.silence_s + 1.0


@pytest.mark.fault("N1", "N7")
@pytest.mark.parametrize(
    ("silence", "is_executed"),
    [
        pytest.param(lambda rig, _: rig.server.deeds.do("freeze-connection"), False, id="frozen"),
        pytest.param(
            lambda rig, _: rig.server.deeds.do("lose-one-way", direction="in"), False, id="mute"
        ),
        pytest.param(
            lambda rig, _: rig.server.deeds.do("lose-one-way", direction="out"), True, id="deaf"
        ),
        pytest.param(lambda _, proxy: proxy.hold(), False, id="nothing passes"),
        pytest.param(lambda _, proxy: proxy.hold(OUT), False, id="nothing goes out"),
        pytest.param(lambda _, proxy: proxy.hold(IN), True, id="nothing comes in"),
    ],
)
async def test_a_silent_link_is_found_and_what_was_sent_on_it_is_settled_once(
    rig, proxy, silence, is_executed
):
    """The order leaves on a link that is dead by then; no other leaves until there is a new one."""
    await reconciling(rig)
    await rig.client.watch([LINEAR])  # so that much comes in while nothing goes out
    held = await rig.enter(INVERSE, SELL)
    first, second = await rig.approved(), await rig.approved()
    before = len(buys(rig))
    proxy.refuse()
    began_s = rig.clock.elapsed_s()
    silence(rig, proxy)
    placing = asyncio.ensure_future(rig.desk.enter(first, instrument_name=LINEAR, author=AUTHOR))
    await rig.until(lambda: not rig.client.is_live)
    assert rig.clock.elapsed_s() - began_s < FOUND_WITHIN_S
    assert isinstance(await placing, Unknown)
    assert BUY in rig.books.directions_in_doubt(LINEAR)
    assert rig.authority.refusal is not None
    acts = rig.venue.acts()
    outcome = await rig.desk.enter(second, instrument_name=LINEAR, author=AUTHOR)
    assert isinstance(outcome, Refused)
    assert outcome.code == NOT_SENT
    assert rig.venue.acts() == acts
    await proxy.admit()
    await rig.until(lambda: rig.client.is_live and rig.authority.refusal is None)
    await rig.until(lambda: settled_rows(rig))
    entry = await rig.ledger.order("vg-s-4-1")
    assert entry.status is (OrderStatus.FILLED if is_executed else OrderStatus.FAILED)
    assert buys(rig)[before:] == (["vg-s-4-1"] if is_executed else [])
    await rig.reconcile()
    assert (await rig.trade(held.trade_id)).is_open
    await rig.assert_agreement()


@pytest.mark.fault("N1")
async def test_an_answer_to_pings_is_no_sign_of_life(server, proxy):
    """What is measured is what the exchange says, not what its kernel or library does."""
    url = proxy.lead_to(server.port)
    async with LoneSession(url) as session:
        await live(session)
        server.faults.arm("withhold-reply", method="public/test,public/get_time")
        server.faults.arm("mute-channel", channel="*")
        began_s = session.clock.elapsed_s()
        await until(lambda: session.count(SessionLost))
        assert session.clock.elapsed_s() - began_s < FOUND_WITHIN_S


@pytest.mark.fault("N3")
async def test_bytes_that_drip_are_no_message_and_do_not_keep_a_link_alive(server, proxy):
    url = proxy.lead_to(server.port)
    async with LoneSession(url) as session:
        await session.client.watch([LINEAR])
        await live(session)
        await until(lambda: session.count(TickerReceived))
        proxy.slice(1, IN, every_s=0.02)
        began_s, heard = session.clock.elapsed_s(), proxy.lines[0].ways[IN].passed
        await until(lambda: session.count(SessionLost))
        assert session.clock.elapsed_s() - began_s < FOUND_WITHIN_S
        assert proxy.lines[0].ways[IN].passed - heard > 10, "bytes came all the while"


@pytest.mark.fault("N3")
async def test_a_request_that_drips_out_is_given_up_in_doubt(server, proxy):
    url = proxy.lead_to(server.port)
    async with LoneSession(url) as session:
        await live(session)
        proxy.slice(1, OUT, every_s=0.02)
        assert isinstance(await session.place("vg-n-1-1"), Unknown)


@pytest.mark.fault("N3")
async def test_whole_messages_may_come_in_single_bytes(server, proxy):
    """Sliced and not slow: nothing is lost, and nothing is given up."""
    url = proxy.lead_to(server.port)
    async with LoneSession(url) as session:
        await session.client.watch([LINEAR])
        await live(session)
        proxy.slice(1)
        assert isinstance(await session.place("vg-n-1-1"), Confirmed)
        heard = session.count(TickerReceived)
        await until(lambda: session.count(TickerReceived) > heard + 5)
        assert session.client.epoch == 1
        assert session.unheard == []


@pytest.mark.fault("N3")
async def test_a_handshake_that_drips_is_given_up_at_its_deadline(server, proxy):
    proxy.drips = (1, 0.05)
    session = LoneSession(proxy.lead_to(server.port))
    began_s = session.clock.elapsed_s()
    error = await one_life(session.link)
    assert "within 0.6 s" in str(error)
    assert session.clock.elapsed_s() - began_s < HASTY.dial_s + 0.8
    assert proxy.lines[0].ways[IN].passed > 3, "bytes came all the while"


@pytest.mark.slow
@pytest.mark.fault("N1", "N3", "N7", "N10")
async def test_with_the_deadlines_that_ship_every_dead_link_is_found_within_fifteen_seconds(
    server,
):
    """Side by side, so that all of them take no longer than one."""
    found_s: dict[str, float] = {}

    async def lose(name: str, *directions: str, every_s: float = 0.0) -> None:
        async with Mishandler() as proxy:
            session = LoneSession(proxy.lead_to(server.port), deadlines=Deadlines())
            await session.client.watch([LINEAR])
            running = asyncio.ensure_future(one_life(session.link))
            await live(session)
            began_s = session.clock.elapsed_s()
            if every_s:
                proxy.slice(1, IN, every_s=every_s)
            else:
                proxy.hold(*directions)
            await running
            found_s[name] = session.clock.elapsed_s() - began_s

    async def stall() -> None:
        async with Mishandler() as proxy:
            proxy.is_stalling = True
            url = proxy.lead_to(server.port).replace("ws:", "wss:")
            session = LoneSession(url, deadlines=Deadlines())
            began_s = session.clock.elapsed_s()
            await one_life(session.link)
            found_s["handshake"] = session.clock.elapsed_s() - began_s

    await asyncio.gather(
        lose("both", IN, OUT), lose("in", IN), lose("out", OUT), lose("drip", every_s=1.0), stall()
    )
    assert found_s.pop("handshake") < 10.5
    assert max(found_s.values()) <= 15, found_s
