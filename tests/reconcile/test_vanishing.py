"""When most positions seem to be gone at once, the reading is doubted first. FAULTS E20, E37."""

import pytest

from rig import INVERSE, LINEAR, SELL
from vigil.domain.trade import PnlSource
from vigil.reconcile import drop_copy, vanishing


@pytest.fixture
async def held(rig):
    """Two positions that the exchange has shown us."""
    trades = [await rig.enter(), await rig.enter(INVERSE, SELL)]
    await rig.reconcile()
    return trades


def empty(rig, monkeypatch):
    """Neither road shows a position any more; nothing was executed."""

    async def nothing():
        return ()

    for reader in (rig.client, rig.witness):
        monkeypatch.setattr(reader, "positions", nothing)


@pytest.mark.fault("E20")
async def test_positions_that_are_all_gone_for_a_moment_are_not_closed(rig, held, monkeypatch):
    acts = rig.venue.acts()
    with monkeypatch.context() as sick:
        empty(rig, sick)
        run = await rig.reconcile()
        assert run.remedies == ()
        assert run.is_unsettled
        assert len(await rig.open_ids()) == 2
        assert "positions_vanished " in await rig.incidents()
        assert "seem to have vanished at once" in rig.authority.refusal
    run = await rig.reconcile()
    assert (run.drifts, run.is_unsettled) == ((), False)
    assert rig.authority.refusal is None
    assert await rig.incidents() == {}
    assert rig.venue.acts() == acts
    await rig.assert_agreement()


async def test_positions_that_stay_gone_are_closed_by_an_estimate(rig, held, monkeypatch):
    """Executions that no store shows have ended them; the log tells that much."""
    monkeypatch.setattr(drop_copy, "LOG_SPACING_S", 0.0)
    rig.connect(rig.new_reconciler(0.0))
    await close_unseen(rig, LINEAR, INVERSE)
    passes = 0
    while await rig.open_ids():
        passes += 1
        assert passes < 100
        await rig.reconcile()
    assert passes >= vanishing.MASS_READINGS
    for trade in held:
        assert (await rig.trade(trade.trade_id)).pnl_source is PnlSource.ESTIMATE
    assert rig.authority.refusal is None


async def close_unseen(rig, *names):
    rig.server.faults.arm("mute-channel", channel="user.*")
    rig.server.faults.arm("hide-records", of="trades")
    for name in names:
        rig.server.deeds.do("close-by-hand", instrument_name=name)


@pytest.mark.fault("E20")
async def test_what_both_roads_deny_and_the_log_does_not_is_never_closed(rig, held, monkeypatch):
    monkeypatch.setattr(drop_copy, "LOG_SPACING_S", 0.0)
    rig.connect(rig.new_reconciler(0.0))
    acts = rig.venue.acts()
    with monkeypatch.context() as sick:
        empty(rig, sick)
        for _ in range(4 * vanishing.MASS_READINGS):
            assert (await rig.reconcile()).is_unsettled
            assert "positions_vanished " in await rig.incidents()
        assert len(await rig.open_ids()) == 2
        assert "no record tells of their end" in rig.authority.refusal
    run = await rig.reconcile()
    assert (run.drifts, run.is_unsettled) == ((), False)
    assert rig.authority.refusal is None
    assert await rig.incidents() == {}
    assert rig.venue.acts() == acts
    await rig.assert_agreement()


async def test_a_log_that_was_not_read_since_ends_no_trade(rig, monkeypatch):
    """It may tell of the end of an earlier trade in the instrument."""
    monkeypatch.setattr(drop_copy, "LOG_SPACING_S", 3_600.0)
    trade = await rig.enter()
    await rig.reconcile()
    await close_unseen(rig, LINEAR)
    for _ in range(3):
        assert (await rig.reconcile()).is_unsettled
    assert (await rig.trade(trade.trade_id)).is_open
    monkeypatch.setattr(drop_copy, "LOG_SPACING_S", 0.0)
    await rig.reconcile()
    assert not (await rig.trade(trade.trade_id)).is_open


async def test_readings_in_quick_succession_are_not_enough(rig, held, monkeypatch):
    monkeypatch.setattr(vanishing, "MASS_SPAN_MS", 60_000)
    empty(rig, monkeypatch)
    for _ in range(2 * vanishing.MASS_READINGS):
        await rig.reconcile()
    assert len(await rig.open_ids()) == 2


async def test_a_good_reading_in_between_starts_the_count_over(rig, held, monkeypatch):
    for _ in range(2):
        with monkeypatch.context() as sick:
            empty(rig, sick)
            for _ in range(vanishing.MASS_READINGS - 1):
                await rig.reconcile()
        await rig.reconcile()
    assert len(await rig.open_ids()) == 2


async def test_positions_closed_by_hand_all_at_once_are_booked_from_their_fills(rig, held):
    """What is explained by executions is no disaster."""
    for name in (LINEAR, INVERSE):
        await rig.person.call("private/close_position", instrument_name=name, type="market")
    await rig.reconcile()
    assert await rig.open_ids() == set()
    for trade in held:
        closed = await rig.trade(trade.trade_id)
        assert closed.pnl == await rig.exchange_pnl(trade.instrument_name)
    await rig.reconcile()
    await rig.assert_agreement()
