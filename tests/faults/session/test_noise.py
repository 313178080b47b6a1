"""Lines that are up and bring what cannot be used: spoilt, with gaps, from the past, or too much."""

import gc
import resource
import time
from decimal import Decimal
from pathlib import Path

import pytest
from scenes import LoneSession, eager, live, reconciling, trading, until
from structlog.testing import capture_logs

from rig import LINEAR
from vigil.domain.events import BookGapped, BookReceived
from vigil.domain.order import Role
from vigil.trading import risk
from vigil.trading.signal import NO_DECISION

PAGE_BYTES = resource.getpagesize()

SPOILT = [
    pytest.param({"shape": "truncated"}, id="truncated"),
    pytest.param({"shape": "not-json"}, id="no JSON"),
    pytest.param({"shape": "invalid-utf8"}, id="no UTF-8"),
    pytest.param({"shape": "deep-nesting", "size": 100_000}, id="nested"),
    pytest.param({"shape": "oversize", "size": 17_000_000}, id="too large for the line"),
]


# --- spoilt


@pytest.mark.fault("N13")
@pytest.mark.parametrize(
    ("method", "spoilt"),
    [
        *(pytest.param("private/get_positions", *one.values, id=one.id) for one in SPOILT),
        pytest.param("private/get_open_orders", {"shape": "truncated"}, id="open orders"),
        pytest.param("private/get_user_trades*", {"shape": "truncated"}, id="fills"),
    ],
)
async def test_a_reply_that_cannot_be_read_ends_no_trade_and_is_asked_for_again(
    rig, agreement, method, spoilt
):
    trade = await rig.enter()
    await rig.reconcile()
    acts, resting = rig.venue.acts(), {order.order_id for order in rig.resting()}
    rig.client._call_timeout_s = 0.3
    rig.server.faults.arm("garble-reply", method=method, count=1, **spoilt)
    run = await rig.reconcile()
    assert rig.server.faults.arms.hits["garble-reply"] == 1
    assert run.outcome == ("ok" if spoilt["shape"] == "invalid-utf8" else "skipped")
    assert (run.drifts, run.remedies) == ((), ())
    assert rig.venue.acts() == acts
    assert {order.order_id for order in rig.resting()} == resting
    assert (await rig.trade(trade.trade_id)).is_open
    await agreement.holds()
    assert rig.runs[-1].outcome == "ok"


@pytest.mark.fault("N13")
@pytest.mark.parametrize("spoilt", SPOILT)
@pytest.mark.parametrize("channel", ["user.trades.*", "user.orders.*"])
async def test_news_that_cannot_be_read_is_counted_dropped_and_asked_for(
    rig, agreement, channel, spoilt
):
    await reconciling(rig)
    trade = await rig.enter()
    rig.server.faults.arm("garble-notification", channel=channel, count=1, **spoilt)
    before = len(rig.runs)
    with capture_logs() as logs:
        await rig.person.call("private/close_position", instrument_name=LINEAR, type="market")
        await rig.closed(trade.trade_id)
        await rig.until(lambda: rig.runs[before:] and rig.client.is_live)
    said = {"frame.unreadable", "connection.lost"} & {log["event"] for log in logs}
    # Spoilt in a part that nobody reads, the rest of the frame is as good as ever.
    assert said or spoilt["shape"] == "invalid-utf8"
    await agreement.holds()


# --- with a gap


@pytest.mark.fault("N14")
async def test_a_book_with_a_gap_is_withdrawn_until_a_new_snapshot_has_come(server, proxy):
    async with LoneSession(proxy.lead_to(server.port)) as session:
        assert await session.client.watch_books([LINEAR]) == (f"book.{LINEAR}.100ms",)
        await live(session)
        await until(lambda: session.count(BookReceived) > 2)
        server.faults.arm("gap-book", count=1)
        await until(lambda: session.count(BookGapped))
        lost = next(
            number for number, one in enumerate(session.events) if isinstance(one, BookGapped)
        )
        await until(lambda: session.events[lost + 2 :])
        after = [one for one in session.events[lost + 1 :] if isinstance(one, BookReceived)]
        assert session.count(BookGapped) == 1
        assert session.client.epoch == 1

        async def agrees() -> bool:
            asked = await session.client.order_book(LINEAR, depth=10_000)
            heard = [one.book for one in session.events if isinstance(one, BookReceived)]
            same = [one for one in heard if one.change_id == asked.change_id]
            return bool(same) and (same[-1].bids, same[-1].asks) == (asked.bids, asked.asks)

        for _ in range(200):
            if await agrees():
                break
        else:
            raise AssertionError(f"never the exchange's own book: {after[-1]}")


# --- from the past


@pytest.mark.fault("N15")
async def test_nothing_is_opened_on_a_channel_that_lags_while_all_else_is_well(
    rig, agreement, monkeypatch
):
    monkeypatch.setattr(risk, "TICKER_AGE_MS_MAX", 150)
    late = rig.server.faults.arm(
        "delay-notification", channel="ticker.*", delay_s=0.4, count=100_000
    )
    with capture_logs() as logs:
        await trading(rig)
        await rig.until(lambda: rig.brain.lives and len(rig.brain.lives[-1].seen) > 20)
    assert rig.brain.decide is eager
    assert agreement.entries() == []
    refusals = {log["reason"] for log in logs if log["event"] == "order.refused"}
    assert refusals == {"stale_data"}
    assert rig.client.is_live
    rig.server.faults.disarm(late.number)
    await rig.until(lambda: rig.position(LINEAR) > 0)
    await agreement.holds()


# --- too much


@pytest.mark.fault("N16")
async def test_a_flood_of_quotes_is_conflated_and_own_news_in_it_is_all_heard(rig, agreement):
    """The strategy needs longer for a quote than the exchange for the next thousand."""
    messages, rounds = 4_000, 8
    seen = []

    def ponder(ticker, position):
        time.sleep(0.002)
        seen.append(ticker)
        return NO_DECISION

    await trading(rig, decide=ponder)
    held = [
        await rig.enter(strategy_id=f"x{number}", amount=Decimal("0.01")) for number in range(5)
    ]
    await rig.until(lambda: len(seen) > 2)
    heard = count_quotes(rig)
    gc.collect()
    seen.clear()
    before_bytes, most_bytes = resident_bytes(), 0
    for number in range(rounds):
        rig.server.faults.arm("flood", channel="ticker.*", messages=messages, count=1)
        await rig.until(lambda: heard() > number * messages + 100)  # noqa: B023
        if number < len(held):
            stop = (await rig.rows(held[number].trade_id))[Role.STOP]
            rig.server.deeds.do("fire-trigger", order_id=stop.order_id)
        await rig.until(lambda: heard() >= (number + 1) * messages)  # noqa: B023
        most_bytes = max(most_bytes, resident_bytes())
    for trade in held:
        await rig.closed(trade.trade_id)
    assert rig.client.epoch == 1
    assert len(seen) < heard() / 10, "only the newest is shown"
    # Kept, they would be more than 30 MB: a ticker's frame is above 1 kB.
    assert most_bytes - before_bytes < 16 * 2**20
    assert rig.requested.count("overflow") == 0
    await agreement.holds()


def count_quotes(rig):
    """How many quotes were handed to the fleet from now on."""
    taken = [0]
    quote = rig.fleet.quote

    def count(ticker):
        taken[0] += 1
        quote(ticker)

    rig.fleet.quote = count
    return lambda: taken[0]


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
