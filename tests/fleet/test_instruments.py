"""Instruments that change while they are traded. FAULTS E18."""

import functools
from decimal import Decimal

import pytest
from msgspec.structs import replace

from rig import BUY, INVERSE, LINEAR, QUICK, SELL, desired, wanted
from vigil.domain.order import Role
from vigil.domain.trade import Trade, TradeStatus
from vigil.errors import Misconfigured
from vigil.fleet import fleet as fleets
from vigil.fleet import instruments as instrument_keeping
from vigil.fleet.instruments import stop_on_tick
from vigil.supervision.restarts import ChildSpec
from vigil.trading.signal import Decision, Enter

ENTER = Enter(
    direction=BUY,
    notional_usd=Decimal(500),
    stop_loss_percent=Decimal(1),
    take_profit_percent=Decimal("1.4"),
    reason="told to",
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(fleets, "STRATEGY_BACKOFF", QUICK)
    monkeypatch.setattr(fleets, "ChildSpec", functools.partial(ChildSpec, stop_timeout_s=0.1))
    monkeypatch.setattr(instrument_keeping, "SPACING_S", 0.05)
    monkeypatch.setattr("vigil.trading.pipeline.REJECTION_REST_MS", 100)


@pytest.fixture
async def instruments(rig):
    """The fleet's, kept fresh by a child of their own; strategies are a test's to put in force."""
    rig.supervisor.add_child(
        ChildSpec(name="instruments", start=rig.fleet.instruments.run, backoff=QUICK)
    )
    await rig.reconcile()
    await rig.fleet.start()
    return rig.fleet.instruments


def eager(ticker, position):
    return Decision(intents=() if position else (ENTER,))


async def runs(rig, **config):
    await rig.fleet.apply(desired(wanted("s", **config)))
    await rig.until(lambda: rig.fleet.executor("s") and rig.fleet.executor("s").state.ticker)
    return rig.fleet.executor("s")


def change(rig, name=LINEAR, **changes):
    rig.server.deeds.do("change-instrument", instrument_name=name, **changes)


def asked(rig):
    return rig.venue.methods().count("public/get_instrument")


async def test_an_instrument_is_read_once_for_all_who_trade_it(rig, instruments):
    first = await instruments.get(LINEAR)
    assert await instruments.get(LINEAR) is first
    assert instruments.names == {LINEAR}
    assert asked(rig) == 1


async def test_one_that_the_exchange_does_not_know_is_a_persons_to_correct(rig, instruments):
    with pytest.raises(Misconfigured, match=r"config\.instrument 'NO-SUCH'.*state file"):
        await instruments.get("NO-SUCH")
    assert instruments.names == set()


async def test_a_new_session_and_every_hour_read_it_again(rig, instruments, monkeypatch):
    executor = await runs(rig)
    change(rig, tick_size=Decimal(5))
    await rig.drop_session()
    await rig.until(lambda: executor.state.instrument.tick_size == 5)
    monkeypatch.setattr(instrument_keeping, "READ_AGAIN_S", 0.1)
    instruments.read_again(LINEAR)
    change(rig, tick_size=Decimal("2.5"))
    await rig.until(lambda: executor.state.instrument.tick_size == Decimal("2.5"))


async def test_an_order_refused_for_its_size_is_followed_by_one_of_the_right_size(rig, instruments):
    """0.0053 BTC were whole lots; now they are not, and the exchange says so once."""
    executor = await runs(rig)
    change(rig, min_trade_amount=Decimal("0.005"), contract_size=Decimal("0.005"))
    rig.brain.decide = eager
    await rig.until(lambda: executor.state.trade)
    assert executor.state.trade.amount == Decimal("0.005")
    assert rig.venue.acts() == ["private/buy", "private/buy"]
    assert "instrument changed" in rig.requested


@pytest.mark.parametrize(("side", "toward"), [(BUY, 1), (SELL, -1)])
async def test_a_stop_between_two_new_ticks_moves_to_the_tighter_one(
    rig, instruments, side, toward
):
    """Else it could neither be moved nor placed again: every pass would be refused."""
    await runs(rig)
    trade = await rig.enter(side=side)
    change(rig, tick_size=Decimal(25))
    instruments.read_again(LINEAR)
    moved = await rig.until(
        lambda: rig.trade_if("t1", lambda one: one.stop_loss != trade.stop_loss)
    )
    assert moved.stop_loss % 25 == 0
    assert 0 < (moved.stop_loss - trade.stop_loss) * toward < 25
    await rig.until(lambda: "instrument changed" in rig.requested)
    await rig.reconcile()
    await rig.assert_agreement()
    assert (await rig.rows("t1"))[Role.STOP].status.is_resting


@pytest.mark.parametrize(
    ("side", "stop_loss", "on_tick"),
    [
        (BUY, "94001", "94005"),
        (BUY, "94005", "94005"),
        (SELL, "94004", "94000"),
        (SELL, "94000", "94000"),
    ],
)
async def test_a_stop_on_a_tick_stays(rig, side, stop_loss, on_tick):
    trade = Trade(
        trade_id="t1",
        strategy_name="Scripted",
        instrument_name=LINEAR,
        side=side,
        entry_order_id="e",
        entry_price=Decimal(95_000),
        amount=Decimal(1),
        open_amount=Decimal(1),
        entry_time_ms=0,
        status=TradeStatus.OPEN,
        stop_loss=Decimal(stop_loss),
    )
    change(rig, tick_size=Decimal(5))
    instrument = await rig.client.instrument(LINEAR)
    assert stop_on_tick(trade, instrument).stop_loss == Decimal(on_tick)


@pytest.mark.parametrize("state", ["halted", "locked", "inactive"])
async def test_a_suspended_instrument_is_refused_with_its_reason_until_it_opens(
    rig, instruments, state
):
    executor = await runs(rig)
    before = asked(rig)
    rig.server.deeds.do("suspend-instrument", instrument_name=LINEAR, state=state)
    reason = "instrument_ended" if state == "inactive" else "market_closed"
    await rig.until(lambda: (executor.refusal or "").startswith(f"{reason}: "))
    rig.brain.decide = eager
    seen = len(rig.brain.lives[-1].seen)
    if state != "inactive":  # of that one nothing is told any more
        await rig.until(lambda: len(rig.brain.lives[-1].seen) > seen + 5)
    assert rig.venue.acts() == []
    rig.server.deeds.do("suspend-instrument", instrument_name=LINEAR, state="open")
    await rig.until(lambda: executor.state.trade)
    await rig.until(lambda: asked(rig) > before)


async def test_one_that_is_gone_is_kept_as_traded_no_longer(rig, instruments):
    executor = await runs(rig, instrument=INVERSE)
    rig.venue.refuse("public/get_instrument", 13020, "not_found")
    instruments.read_again(INVERSE)
    await rig.until(lambda: not executor.state.instrument.is_active)
    assert executor.refusal.startswith("instrument_ended: ")


async def test_what_cannot_be_read_now_is_read_later(rig, instruments):
    executor = await runs(rig)
    change(rig, tick_size=Decimal(5))
    rig.venue.refuse("public/get_instrument", 13028, "temporarily_unavailable", times=2)
    instruments.read_again(LINEAR)
    await rig.until(lambda: executor.state.instrument.tick_size == 5)


async def test_the_exchange_is_not_asked_at_every_refusal(rig, instruments, monkeypatch):
    await runs(rig)
    monkeypatch.setattr(instrument_keeping, "SPACING_S", 60.0)
    before = asked(rig)
    for _ in range(50):
        instruments.read_again(LINEAR)
        await rig.client.ticker(LINEAR)
    instruments.read_again("NOBODY-TRADES-THIS")
    assert asked(rig) == before


async def test_news_that_comes_while_a_strategy_resumes_is_not_lost(rig, instruments):
    """What waits for it then is thrown away, because the ledger tells it; this is in no ledger."""
    executor = await runs(rig)
    changed = replace(await instruments.get(LINEAR), tick_size=Decimal(7))
    executor.instrument_changed(changed)
    executor._inbox.clear()
    await rig.until(lambda: executor.state.instrument.tick_size == 7)
