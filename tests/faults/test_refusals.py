"""What the exchange will not have: locks, and accounts without the funds.

Every fault is injected by the paper exchange, over a real socket.
"""

from decimal import Decimal

import pytest
from doubt import enter

from rig import BUY, INVERSE, LINEAR, LOT, QUICK, SELL, desired, wanted
from vigil.deribit.outcome import Refused
from vigil.domain.order import OrderStatus, Role
from vigil.fleet import fleet as fleets
from vigil.fleet import locks as lock_keeping
from vigil.trading import closures, execution, pipeline
from vigil.trading.signal import Decision, Enter

LABEL = "vg-s-1-1"


@pytest.fixture(autouse=True)
def _brisk(rig, monkeypatch):
    monkeypatch.setattr(execution, "ORDER_VALIDITY_MS", 400)
    monkeypatch.setattr(fleets, "STRATEGY_BACKOFF", QUICK)
    monkeypatch.setattr(lock_keeping, "CLOSED_LOOK_S", 0.05)
    monkeypatch.setattr(lock_keeping, "CLOSED_LOOK_S_MAX", 0.1)
    monkeypatch.setattr(closures, "REFUSAL_REST_MS", 300)
    monkeypatch.setattr(pipeline, "REJECTION_REST_MS", 50)
    monkeypatch.setattr(closures, "BREAK_MS_MIN", 0)


def eager(ticker, position):
    """Wants a position whenever there is none."""
    wish = Enter(
        direction=BUY,
        notional_usd=Decimal(50_000),
        stop_loss_percent=Decimal(1),
        take_profit_percent=Decimal("1.4"),
        reason="told to",
    )
    return Decision(intents=() if position else (wish,))


async def start_eager(rig):
    rig.brain.decide = eager
    await rig.reconcile()
    await rig.fleet.apply(desired(wanted("s")))
    await rig.fleet.start()
    await rig.until(lambda: rig.brain.lives and rig.brain.lives[-1].seen)


async def wishes(rig, count=15):
    """Wait until the strategy has wished that often more."""
    seen = rig.brain.lives[-1].seen
    enough = len(seen) + count
    await rig.until(lambda: len(seen) >= enough)


LOCKS = {
    "platform": ("lock-platform", {}, "platform_locked"),
    "index": ("lock-platform", {"price_index": "btc_usdc"}, "platform_locked"),
    "account": ("lock-account", {}, "account_locked"),
    "currency": ("lock-account", {"currency": "USDC"}, "account_locked"),
    "positions": ("lock-positions", {}, "account_locked"),
}


@pytest.mark.parametrize("what", LOCKS)
@pytest.mark.fault("E6", "E31")
async def test_under_a_lock_a_trade_keeps_its_stop_and_nothing_is_opened(rig, agreement, what):
    """A lock that nobody tells of is met by one order; it stands in an incident either way."""
    deed, fields, kind = LOCKS[what]
    trade = await rig.enter(strategy_id="other")
    rig.server.deeds.do(deed, **fields)
    await start_eager(rig)
    if what == "positions":
        await rig.until(lambda: len(agreement.entries()) == 2)
    await rig.until(lambda: _told(rig, kind))
    sent = len(agreement.entries())
    assert sent == (2 if what == "positions" else 1)
    await wishes(rig)
    await rig.reconcile()
    await wishes(rig)
    assert len(agreement.entries()) == sent
    assert isinstance(await enter(rig), Refused), "it is the exchange that will not have it"
    assert {order.amount for order in rig.resting()} == {trade.open_amount}
    rig.server.deeds.do(deed, **fields, locked=False)
    await rig.until(lambda: _over(rig))

    async def has_both():
        await rig.reconcile()
        return len(await rig.open_ids()) == 2

    await rig.until(has_both)
    await agreement.holds()


async def _told(rig, kind):
    return kind in {one.kind for one in (await rig.incidents()).values()}


def _over(rig):
    return not rig.locks.closures.standing


def _has_position(rig):
    return rig.position(LINEAR)


# --- E32


@pytest.mark.fault("E32")
async def test_without_funds_a_strategy_is_refused_once_and_rests(rig, agreement, monkeypatch):
    """No storm, no doubt; and it trades again when the rest is over and the money is there."""
    monkeypatch.setattr(pipeline, "REJECTION_REST_MS", 400)
    rig.server.deeds.do("transfer", currency="USDC", amount=Decimal(-99_999))
    await start_eager(rig)
    await rig.until(lambda: agreement.entries())
    await wishes(rig)
    (refused,) = agreement.entries()
    row = await rig.ledger.order(refused)
    assert row.status is OrderStatus.REJECTED
    assert "10009" in row.reason
    assert await rig.ledger.unproven_orders() == ()
    rig.server.deeds.do("transfer", currency="USDC", amount=Decimal(99_999))
    await rig.until(lambda: _has_position(rig))
    first, second = agreement.entries()
    rest_ms = agreement.arrived_ms(second) - agreement.arrived_ms(first)
    assert rest_ms >= 400
    await agreement.holds()


@pytest.mark.fault("E32")
async def test_each_refusal_for_want_of_funds_makes_the_rest_longer(rig, agreement, monkeypatch):
    monkeypatch.setattr(pipeline, "REJECTION_REST_MS", 60)
    rig.server.deeds.do("transfer", currency="USDC", amount=Decimal(-99_999))
    await start_eager(rig)
    await rig.until(lambda: len(agreement.entries()) == 5)
    rig.brain.decide = lambda ticker, position: Decision(intents=())
    times_ms = [agreement.arrived_ms(label) for label in agreement.entries()]
    for number, (before_ms, after_ms) in enumerate(zip(times_ms, times_ms[1:], strict=False)):
        assert after_ms - before_ms >= 60 * 2**number
    assert len(set(agreement.entries())) == 5, "each is a wish of its own"
    await agreement.holds()
    assert rig.position(LINEAR) == 0


@pytest.mark.parametrize(("name", "side"), [(LINEAR, BUY), (INVERSE, SELL)])
@pytest.mark.fault("E32")
async def test_funds_that_leave_take_no_protection_with_them(rig, agreement, name, side):
    trade = await rig.enter(name, side)
    stop = (await rig.rows(trade.trade_id))[Role.STOP]
    rig.server.faults.arm("error-reply", method="private/buy,private/sell", code=10009)
    assert isinstance(await enter(rig, name, side), Refused)
    await agreement.holds()
    assert stop.order_id in {order.order_id for order in rig.resting()}
    assert rig.position(name) == side.sign * LOT[name]
