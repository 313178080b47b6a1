"""Entries are taken back, and seen to be gone, before the session is left. FAULTS E10."""

import asyncio
import contextlib
from decimal import Decimal

import pytest
from msgspec.structs import replace

from rig import BUY, LINEAR
from vigil.desk import desk as desk_module
from vigil.desk import patience, withdrawal
from vigil.desk.withdrawal import withdraw_entries
from vigil.domain.order import OrderStatus, OrderType, Role
from vigil.trading import execution
from vigil.trading.execution import Author, plan_entry

AUTHOR = Author(strategy_id="s", strategy_name="Scripted")


@pytest.fixture(autouse=True)
def _brisk(monkeypatch):
    monkeypatch.setattr(patience, "RETRY_DELAYS_S", (0.01, 0.02))
    monkeypatch.setattr(withdrawal, "LOOK_S", 0.02)
    monkeypatch.setattr(withdrawal, "_MARGIN_MS", 20)
    monkeypatch.setattr(execution, "ORDER_VALIDITY_MS", 400)


@pytest.fixture
def resting(monkeypatch):
    """Entries are limit orders far below the market, so that they rest."""

    def plan(*args, **options):
        market = plan_entry(*args, **options)
        price = Decimal(90_000)
        terms = {"order_type": OrderType.LIMIT, "price": price}
        entry, *linked = market.orders
        return replace(
            market,
            request=replace(market.request, **terms),
            orders=(replace(entry, **terms), *linked),
        )

    monkeypatch.setattr(desk_module, "plan_entry", plan)


async def enter(rig):
    return await rig.desk.enter(await rig.approved(), instrument_name=LINEAR, author=AUTHOR)


def withdraw(rig):
    return withdraw_entries(rig.ledger, rig.desk, rig.client, rig.clock)


async def entry_status(rig):
    return (await rig.ledger.order("vg-s-1-1")).status


@contextlib.contextmanager
def impatient(rig):
    patience_s, rig.client._call_timeout_s = rig.client._call_timeout_s, 0.1
    yield
    rig.client._call_timeout_s = patience_s


async def test_with_nothing_at_work_nobody_is_asked(rig):
    await rig.enter()
    sent = len(rig.venue.asked)
    assert await withdraw(rig) == ()
    assert len(rig.venue.asked) == sent


async def test_a_resting_entry_goes_and_protection_stays(rig, resting, monkeypatch):
    monkeypatch.setattr(desk_module, "plan_entry", plan_entry)
    trade = await rig.enter()
    monkeypatch.undo()
    stops = {order.order_id for order in rig.resting()}
    placed = await rig.person.call(
        "private/buy", instrument_name=LINEAR, amount=Decimal("0.01"), type="limit", price=90_000
    )
    assert await withdraw(rig) == ()
    foreign = placed["order"]["order_id"]
    assert {order.order_id for order in rig.resting()} == stops | {foreign}
    assert (await rig.trade(trade.trade_id)).is_open


@pytest.mark.fault("E10")
async def test_an_entry_that_rests_is_cancelled_and_seen_to_be_gone(rig, resting):
    await enter(rig)
    assert len(rig.resting()) == 1
    assert await withdraw(rig) == ()
    assert rig.resting() == []
    assert await entry_status(rig) is OrderStatus.CANCELLED
    rows = await rig.rows("t1")
    assert rows[Role.STOP].status.is_final


@pytest.mark.fault("E10")
async def test_an_entry_in_doubt_is_found_and_taken_back(rig, resting):
    rig.account.put = lambda event: None
    rig.server.faults.withhold_replies("private/buy")
    with impatient(rig):
        await enter(rig)
    assert await entry_status(rig) is OrderStatus.IN_DOUBT
    assert await withdraw(rig) == ()
    assert rig.resting() == []
    assert await entry_status(rig) is OrderStatus.CANCELLED


async def test_an_entry_that_cannot_be_found_is_waited_for_until_its_time_is_over(rig):
    rig.server.faults.lose_requests("private/buy")
    with impatient(rig):
        await enter(rig)
    entry = await rig.ledger.order("vg-s-1-1")
    assert await withdraw(rig) == ()
    assert rig.client.exchange_now_ms() > entry.valid_until_ms
    assert await entry_status(rig) is OrderStatus.IN_DOUBT, "the proof is left to the next start"


async def test_a_cancel_that_is_lost_is_repeated(rig, resting):
    await enter(rig)
    rig.venue.refuse("private/cancel", 13028, "temporarily_unavailable", times=5)
    assert await withdraw(rig) == ()
    assert rig.resting() == []


async def test_an_entry_that_cannot_be_taken_back_is_told_and_holds_nobody_up(
    rig, resting, monkeypatch
):
    monkeypatch.setattr(withdrawal, "WITHDRAWAL_TIMEOUT_S", 0.2)
    await enter(rig)
    rig.venue.refuse("private/cancel", 10045, "can_not_cancel_liquidation_order", times=500)
    assert await withdraw(rig) == ("vg-s-1-1",)
    assert "entry_left vg-s-1-1" in await rig.incidents()


async def test_an_entry_is_told_though_time_was_up_before_the_first_look_had_ended(
    rig, resting, monkeypatch
):
    """The line is dead, and nobody has noticed yet."""
    monkeypatch.setattr(withdrawal, "WITHDRAWAL_TIMEOUT_S", 0.2)
    await enter(rig)
    rig.server.faults.lose_requests("private/cancel", 50)
    assert await withdraw(rig) == ("vg-s-1-1",)
    assert "entry_left vg-s-1-1" in await rig.incidents()


async def test_what_was_left_is_over_when_the_next_start_sees_it_gone(rig, resting, monkeypatch):
    monkeypatch.setattr(withdrawal, "WITHDRAWAL_TIMEOUT_S", 0.2)
    await enter(rig)
    rig.server.faults.lose_requests("private/cancel", 50)
    await withdraw(rig)
    rig.server.faults.clear()
    await rig.reconcile()
    assert "entry_left vg-s-1-1" in await rig.incidents(), "it rests, and may still fill"
    await rig.desk.cancel((await rig.ledger.order("vg-s-1-1")).order_id, why="a person's wish")
    await rig.reconcile()
    assert "entry_left vg-s-1-1" not in await rig.incidents()


async def test_between_two_sessions_the_next_one_is_waited_for(rig, resting):
    await enter(rig)
    await rig.supervisor.remove_child("session")
    withdrawing = asyncio.ensure_future(withdraw(rig))
    rig.start_session()
    assert await withdrawing == ()
    assert rig.resting() == []


async def test_an_entry_that_fills_while_it_is_taken_back_is_a_trade_with_its_stop(rig, resting):
    """FAULTS E27: the fill wins."""
    await enter(rig)
    rig.venue.before("private/cancel", lambda _: rig.price(LINEAR, 89_000))
    rig.venue.before("private/get_order_state", lambda _: rig.price(LINEAR, 90_000))
    assert await withdraw(rig) == ()
    trade = await rig.until(lambda: rig.trade_if("t1", lambda one: one.is_open))
    assert trade.side is BUY
