"""Requests and answers that are cut, lost, or come after their sender gave up."""

import asyncio

import pytest
from mishandling import IN, OUT, alone_on_loopback, pass_packets, unsent_bytes
from scenes import AUTHOR, LoneSession, live, reconciling, trading, until
from structlog.testing import capture_logs

from rig import LINEAR
from vigil.clock import SystemClock
from vigil.deribit.outcome import Confirmed, Unknown
from vigil.domain.events import FillsReceived, SessionLost, TickerReceived
from vigil.domain.order import OrderStatus
from vigil.paper.server import PaperServer
from vigil.paper.venue import Venue
from vigil.trading import execution

LABEL = "vg-s-1-1"


async def status(rig, label=LABEL):
    row = await rig.ledger.order(label)
    return None if row is None else row.status


async def is_final(rig, label=LABEL):
    found = await status(rig, label)
    return found is not None and found.is_final


def passed_ms(rig, ms):
    return lambda: rig.client.exchange_now_ms() > ms


# --- cut in the midst


@pytest.mark.fault("N2")
@pytest.mark.parametrize("after_bytes", [1, 3, 100])
async def test_a_reset_in_mid_frame_drops_the_part_and_settles_the_order_once(
    rig, proxy, agreement, after_bytes
):
    """In the header, in the length, in the payload."""
    await reconciling(rig)
    approved = await rig.approved()
    rig.server.faults.arm("withhold-reply", method="private/buy", count=1)
    with capture_logs() as logs:
        proxy.cut(after_bytes=after_bytes)
        outcome = await rig.desk.enter(approved, instrument_name=LINEAR, author=AUTHOR)
        assert isinstance(outcome, Unknown)
        await rig.until(lambda: rig.client.epoch == 2 and rig.authority.refusal is None)
    assert [log for log in logs if log["event"] == "frame.unreadable"] == []
    await rig.until(lambda: is_final(rig))
    assert await status(rig) is OrderStatus.FILLED
    assert agreement.entries() == [LABEL]
    await agreement.holds()


# --- carried out late


@pytest.mark.fault("N4")
@pytest.mark.parametrize(("delay_s", "is_in_time"), [(0.5, True), (1.6, False)])
async def test_an_order_held_up_at_the_exchange_lives_once_or_never(
    rig, agreement, delay_s, is_in_time
):
    """Its sender gives up after 0.2 s, and it is good for 1.2 s."""
    await reconciling(rig)
    rig.client._call_timeout_s = 0.2
    rig.server.faults.arm("delay-request", method="private/buy", delay_s=delay_s, count=1)
    await trading(rig)
    await rig.until(lambda: is_final(rig))
    await rig.until(lambda: rig.position(LINEAR) > 0)
    first = await rig.ledger.order(LABEL)
    if is_in_time:
        assert first.status is OrderStatus.FILLED
        assert agreement.entries() == [LABEL]
    else:
        assert first.status is OrderStatus.FAILED
        assert agreement.entries()[0] == LABEL
        second = agreement.entries()[1]
        assert agreement.arrived_ms(second) > first.valid_until_ms
        assert LABEL not in {order.label for order in rig.venue.exchange.books.orders.values()}
    await agreement.holds()


@pytest.mark.fault("N4")
@pytest.mark.parametrize(("validity_ms", "is_in_time"), [(3_000, True), (600, False)])
async def test_an_order_that_a_broken_road_gives_back_later_lives_once_or_never(
    rig, proxy, agreement, monkeypatch, validity_ms, is_in_time
):
    """The road heals when the session that sent it is long gone and another one is live."""
    await reconciling(rig)
    monkeypatch.setattr(execution, "ORDER_VALIDITY_MS", validity_ms)
    approved = await rig.approved()
    proxy.hold(OUT)
    outcome = await rig.desk.enter(approved, instrument_name=LINEAR, author=AUTHOR)
    assert isinstance(outcome, Unknown)
    await rig.until(lambda: rig.client.is_live and rig.client.epoch == 2)
    passes = len(rig.runs)
    await rig.until(lambda: len(rig.runs) > passes + 2 or validity_ms < 1_000)
    assert agreement.entries() == [], "it is on its way"
    sent = await rig.ledger.order(LABEL)
    if rig.client.exchange_now_ms() < sent.valid_until_ms:
        assert not sent.status.is_final, "and nobody may say that it is not"
    if not is_in_time:
        await rig.until(passed_ms(rig, sent.valid_until_ms + 50))
    proxy.heal()
    await rig.until(lambda: agreement.entries() == [LABEL])
    assert (agreement.arrived_ms(LABEL) < sent.valid_until_ms) is is_in_time
    await rig.until(lambda: is_final(rig))
    assert await status(rig) is (OrderStatus.FILLED if is_in_time else OrderStatus.FAILED)
    assert bool(rig.position(LINEAR)) is is_in_time
    assert rig.sql("SELECT * FROM incidents WHERE kind = 'absence_disproven'") == []
    await agreement.holds()


@pytest.mark.fault("N4")
def test_bytes_that_the_kernel_still_held_never_arrive_when_the_road_heals():
    """Packets are dropped for real; TCP would repeat them until they get through."""

    async def scene() -> None:
        clock = SystemClock()
        server = PaperServer(Venue(now_ms=clock.now_ms()), clock, tick_interval_s=0.05)
        await server.start()
        async with LoneSession(server.websocket_url) as session:
            await live(session)
            pass_packets(is_up=False)
            placing = asyncio.ensure_future(session.place("vg-n-1-1", valid_ms=60_000))
            await until(lambda: unsent_bytes(server.port))
            await until(lambda: session.count(SessionLost))
            assert isinstance(await placing, Unknown)
            assert unsent_bytes(server.port) == 0
            pass_packets(is_up=True)
            await live(session, epoch=2)
            healed_s = clock.elapsed_s()
            await until(lambda: clock.elapsed_s() > healed_s + 1.5)
            assert isinstance(await session.place("vg-n-2-1"), Confirmed)
        arrived = [one.label for one in server.faults.arrivals.seen]
        await server.stop()
        assert arrived == ["vg-n-2-1"]

    alone_on_loopback(scene)


# --- an old connection


@pytest.mark.fault("N5")
async def test_nothing_more_of_a_session_is_told_once_it_was_given_up(server, proxy):
    """Dozens of frames come at once, and the first of them is the last straw."""
    async with LoneSession(proxy.lead_to(server.port)) as session:
        await session.client.watch([LINEAR])
        await live(session)
        await until(lambda: session.count(TickerReceived))
        proxy.hold(IN)
        placing = asyncio.ensure_future(session.place("vg-n-1-1"))
        kept = proxy.lines[0].ways[IN]
        await until(lambda: kept.waiting >= 8)
        heard = len(session.events)
        session.on_event = lambda _: session.client.suspect_private_stream("a test says so")
        proxy.heal()
        await until(lambda: session.count(SessionLost))
        session.on_event = lambda _: None
        last = session.events[heard:]
        assert [type(event) for event in last[:2]] == [type(last[0]), SessionLost]
        assert isinstance(await placing, Unknown)
        await live(session, epoch=2)
        told = [event for event in session.events if isinstance(event, FillsReceived)]
        assert told == [], "what the old session had to say of the order is asked for"


@pytest.mark.fault("N5")
@pytest.mark.parametrize("is_lagging", [True, False])
async def test_what_an_old_connection_says_of_a_fill_counts_it_no_second_time(
    rig, proxy, agreement, is_lagging
):
    """Two connections are up at the exchange, and the older one speaks from the past."""
    await reconciling(rig)
    approved = await rig.approved()
    if is_lagging:
        rig.server.deeds.do("lag-connection", delay_s=0.7)
    else:
        proxy.hold(IN)
    rig.client._call_timeout_s = 0.2
    outcome = await rig.desk.enter(approved, instrument_name=LINEAR, author=AUTHOR)
    assert isinstance(outcome, Unknown)
    old = rig.client.epoch
    rig.client.suspect_private_stream("a test says so")
    await rig.until(lambda: rig.client.is_live and rig.client.epoch > old)
    await rig.until(lambda: is_final(rig))
    proxy.heal()
    ended_ms = rig.client.exchange_now_ms()
    await rig.until(passed_ms(rig, ended_ms + 800))
    fills = rig.sql("SELECT trade_id FROM fills")
    assert len(fills) == len(set(fills)) == len(rig.venue_fills())
    await agreement.holds()


# --- one of the two roads of news


@pytest.mark.fault("N6")
@pytest.mark.parametrize(
    ("fault", "options", "is_answered"),
    [
        pytest.param("withhold-reply", {"method": "private/buy"}, False, id="no reply"),
        pytest.param(
            "delay-reply", {"method": "private/buy", "delay_s": 0.3}, True, id="reply later"
        ),
        pytest.param("mute-channel", {"channel": "user.*"}, True, id="no notification"),
        pytest.param(
            "delay-notification",
            {"channel": "user.*", "delay_s": 0.3},
            True,
            id="notification later",
        ),
        pytest.param(
            "drop-notification", {"channel": "user.trades.*", "count": 1}, True, id="no fills"
        ),
        pytest.param(
            "drop-notification", {"channel": "user.orders.*", "count": 1}, True, id="no order"
        ),
    ],
)
async def test_either_the_reply_or_the_news_settles_an_order_and_both_do_it_once(
    rig, agreement, fault, options, is_answered
):
    rig.client._call_timeout_s = 0.6
    rig.server.faults.arm(fault, **options)
    approved = await rig.approved()
    asked = len(rig.venue.asked)
    outcome = await rig.desk.enter(approved, instrument_name=LINEAR, author=AUTHOR)
    assert isinstance(outcome, Confirmed if is_answered else Unknown)
    await rig.until(lambda: is_final(rig))
    assert await status(rig) is OrderStatus.FILLED
    trade = await rig.until(lambda: rig.trade_if("t1", lambda one: one.is_open))
    assert trade.open_amount == approved.amount
    methods = {request.method for _, request in rig.venue.asked[asked:]}
    assert "private/get_order_state_by_label" not in methods, "it settles without a question"
    await agreement.holds()
    assert agreement.entries() == [LABEL]


@pytest.mark.fault("N6")
async def test_news_that_comes_after_the_order_was_settled_changes_nothing(rig, agreement):
    """Everything twice, and the second time from the past."""
    rig.server.faults.arm("duplicate-notification", channel="user.*", copies=3)
    rig.server.faults.arm("duplicate-reply", method="private/buy", copies=3)
    approved = await rig.approved()
    outcome = await rig.desk.enter(approved, instrument_name=LINEAR, author=AUTHOR)
    assert isinstance(outcome, Confirmed)
    await rig.until(lambda: is_final(rig))
    await agreement.holds()
    assert (await rig.trade("t1")).amount == approved.amount
