"""Orders whose fate was not told: found, or proven absent, and never sent twice.

Every fault is injected by the paper exchange, over a real socket.
"""

import itertools
from decimal import Decimal

import pytest
from doubt import deafen, enter, impatient, opening, order_of

from rig import BUY, HTTP, INVERSE, LINEAR, LOT, QUICK, SELL, desired, wanted
from vigil.deribit.outcome import Confirmed, Refused, Unknown
from vigil.desk import desk as desk_module
from vigil.desk import patience
from vigil.domain.order import OrderStatus, Role
from vigil.domain.trade import ExitReason
from vigil.fleet import fleet as fleets
from vigil.reconcile import doubt
from vigil.supervision.restarts import ChildSpec
from vigil.trading import closures, execution
from vigil.trading.signal import Decision, Enter

LABEL = "vg-s-1-1"
STRATEGY_STOP = ExitReason.STRATEGY_STOP
each_case = pytest.mark.parametrize(
    ("name", "side"),
    [pytest.param(LINEAR, BUY, id="linear long"), pytest.param(INVERSE, SELL, id="inverse short")],
)


@pytest.fixture(autouse=True)
def _soon_expired(rig, monkeypatch):
    monkeypatch.setattr(execution, "ORDER_VALIDITY_MS", 300)
    monkeypatch.setattr(desk_module, "EDIT_MARGIN_MS", 20)


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


async def start_eager(rig, monkeypatch):
    """A running strategy `s` that wants a position, and a reconciler that makes passes."""
    monkeypatch.setattr(fleets, "STRATEGY_BACKOFF", QUICK)
    rig.brain.decide = eager
    await rig.reconcile()
    await rig.fleet.apply(desired(wanted("s")))
    await rig.fleet.start()
    rig.supervisor.add_child(ChildSpec(name="reconciler", start=rig.reconciler.run, backoff=QUICK))


async def the_trade(rig):
    trades = (await rig.ledger.open_trades()).trades
    return trades[0] if trades else None


async def until_settled(rig, label):
    """Passes until the order is not in doubt any more; what it is then."""

    async def look():
        row = await rig.ledger.order(label)
        if row.status.is_unproven:
            await rig.reconcile()
            return None
        return row

    return await rig.until(look)


# --- E1


@each_case
@pytest.mark.fault("E1")
async def test_an_acknowledgement_that_is_lost_with_its_line_is_made_up_for(
    rig, agreement, name, side
):
    """Taken, filled, and then neither the answer nor the stream says so."""
    deafen(rig)
    rig.server.faults.arm("abort-connection", method=opening(side), moment="after")
    assert isinstance(await enter(rig, name, side), Unknown)
    assert rig.position(name) == side.sign * LOT[name]
    assert (await rig.ledger.order(LABEL)).status is OrderStatus.IN_DOUBT
    assert rig.books.directions_in_doubt(name) == {side}, "doubt counts as a position"
    await rig.until(lambda: rig.client.epoch == 2)
    await rig.reconcile()
    trade = await the_trade(rig)
    assert trade.signed_open_amount == side.sign * LOT[name]
    await agreement.holds()
    assert agreement.entries() == [LABEL]


@pytest.mark.fault("E1")
async def test_lost_acknowledgements_of_everything_that_follows_an_entry_are_made_up_for(
    rig, agreement
):
    """Stop moved, protection placed anew, closed: nothing is answered and nothing told."""
    trade = await rig.enter()
    deafen(rig)
    rig.server.faults.arm("withhold-reply", method="private/edit,private/sell", count=3)
    with impatient(rig):
        await rig.desk.tighten_stop(trade, trade.stop_loss + 100)
        rig.server.deeds.do("cancel-orders", of_label="*")
        await rig.reconcile()
        await rig.desk.close(await rig.trade(trade.trade_id), STRATEGY_STOP)
    await agreement.holds()
    closed = await rig.trade(trade.trade_id)
    assert (closed.is_open, closed.exit_reason) == (False, STRATEGY_STOP)
    assert rig.position(LINEAR) == 0


# --- E2


@pytest.mark.fault("E2")
async def test_a_lost_entry_is_sent_again_by_nobody_before_it_is_proven_absent(
    rig, agreement, monkeypatch
):
    """The strategy goes on wishing. What it gets then is a new order under a new label."""
    rig.server.faults.arm("lose-request", method="private/buy")
    with impatient(rig):
        await start_eager(rig, monkeypatch)
        await rig.until(lambda: agreement.entries())
        (lost,) = agreement.entries()
        await rig.until(lambda: len(rig.brain.lives[-1].seen) > 5)
        assert agreement.entries() == [lost]
        row = await rig.until(lambda: _if_failed(rig, lost))
    await rig.until(lambda: the_trade(rig))
    first, second = agreement.entries()
    assert first == lost != second
    proof_ms = row.valid_until_ms + doubt.VALIDITY_MARGIN_MS + doubt.INDEXING_DELAY_MS
    assert agreement.arrived_ms(second) > proof_ms
    searches = [
        request.params.get("historical", False)
        for road, request in rig.venue.asked
        if request.method == "private/get_order_history_by_currency" and road == HTTP
    ]
    assert searches == [False, True], "the second witness had the last word"
    await agreement.holds()
    assert agreement.entries() == [first, second]


async def _if_failed(rig, label):
    row = await rig.ledger.order(label)
    return row if row.status is OrderStatus.FAILED else None


@pytest.mark.fault("E2")
@pytest.mark.parametrize("delay_s", [0.2, 0.6], ids=["in time", "past its time"])
async def test_an_entry_that_is_only_late_is_found_or_never_carried_out(
    rig, agreement, monkeypatch, delay_s
):
    monkeypatch.setattr(execution, "ORDER_VALIDITY_MS", 1_000 if delay_s == 0.2 else 300)
    rig.server.faults.arm("delay-request", method="private/buy", delay_s=delay_s)
    assert isinstance(await enter(rig), Unknown)
    await rig.reconcile()
    row = await until_settled(rig, LABEL)
    is_in_time = delay_s * 1000 < execution.ORDER_VALIDITY_MS
    assert row.status is (OrderStatus.FILLED if is_in_time else OrderStatus.FAILED)
    await rig.until(lambda: rig.client.exchange_now_ms() > row.valid_until_ms + 600)
    await agreement.holds()
    assert rig.position(LINEAR) == (LOT[LINEAR] if is_in_time else 0)
    assert agreement.entries() == [LABEL]


# --- E3


@each_case
@pytest.mark.fault("E3")
async def test_what_comes_many_times_counts_once(rig, agreement, name, side):
    """Every reply and every notification of a whole life: entered, moved, stopped out."""
    faults = rig.server.faults
    faults.arm("duplicate-reply", method="private/*", copies=3, count=1_000)
    faults.arm("duplicate-notification", channel="user.*", copies=4, count=1_000)
    trade = await rig.enter(name, side)
    assert await rig.desk.tighten_stop(trade, trade.stop_loss + side.sign * 50)
    await rig.reconcile()
    rig.price(name, trade.stop_loss - side.sign * 300)
    closed = await rig.closed(trade.trade_id)
    assert closed.exit_reason is ExitReason.SL_HIT
    assert closed.pnl == await rig.exchange_pnl(name)
    assert faults.arms.hits["duplicate-notification"] > 5
    await agreement.holds()


# --- E4


@pytest.mark.fault("E4")
@pytest.mark.parametrize("how", ["trade before order", "each other one", "late reply"])
@each_case
async def test_news_in_the_wrong_order_ends_in_the_right_state(rig, agreement, name, side, how):
    faults = rig.server.faults
    match how:
        case "trade before order":
            faults.arm("reorder-notifications", behind="user.trades.*", patience_s=0.3, count=50)
        case "each other one":
            channel = "user.orders.*,user.trades.*"
            fields = {"delay_s": 0.1, "probability": "0.5", "count": 1_000}
            faults.arm("delay-notification", channel=channel, **fields)
        case "late reply":
            faults.arm("delay-reply", method="private/buy,private/sell", delay_s=0.3, count=50)
    went = _statuses(rig)
    await enter(rig, name, side)
    trade = await rig.until(lambda: the_trade(rig))
    await rig.until(lambda: rig._has_children(trade.trade_id))
    rig.price(name, trade.stop_loss - side.sign * 300)
    assert (await rig.closed(trade.trade_id)).exit_reason is ExitReason.SL_HIT
    assert rig.server.faults.arms.hits
    await agreement.holds()
    for label, statuses in went.items():
        ranks = [_RANKS.index(status) for status in statuses]
        assert ranks == sorted(ranks), (label, statuses)


_RANKS = [
    OrderStatus.PENDING,
    OrderStatus.IN_DOUBT,
    OrderStatus.UNTRIGGERED,
    OrderStatus.OPEN,
    OrderStatus.PARTIALLY_FILLED,
    OrderStatus.TRIGGERED,
    OrderStatus.CANCELLED,
    OrderStatus.FILLED,
]


def _statuses(rig):
    """Every status that was told of an order, in order."""
    told = {}

    class Listening:
        def trade_changed(self, trade):
            pass

        def order_changed(self, order):
            told.setdefault(order.label, []).append(order.status)

    rig.books.listen("s", Listening())
    return told


@pytest.mark.fault("E4")
async def test_a_reading_of_the_past_takes_nothing_back(rig, agreement):
    """Questions are answered as they were before the stop fired."""
    trade = await rig.enter()
    stop = await order_of(rig, trade.trade_id, Role.STOP)
    rig.server.faults.arm("stale-reply", method="private/get_*order*")
    for _ in range(2):
        await rig.reconcile()
        await rig.client.order_state(stop.order_id)
    rig.price(LINEAR, trade.stop_loss - 300)
    closed = await rig.closed(trade.trade_id)
    for _ in range(3):
        await rig.reconcile()
        await rig.books.book_orders([await rig.client.order_state(stop.order_id)])
    assert (await rig.ledger.order(stop.label)).status is OrderStatus.FILLED
    assert await rig.trade(trade.trade_id) == closed
    assert rig.server.faults.arms.hits["stale-reply"]
    await agreement.holds()
    assert len(agreement.entries()) == 1


# --- E7

AMBIGUOUS = {
    10040: "retry",
    10041: "settlement_in_progress",
    10047: "matching_engine_queue_full",
    13028: "temporarily_unavailable",
    11051: "system_maintenance",
    13888: "timed_out",
    11094: "internal_server_error",
}
each_answer = pytest.mark.parametrize(
    ("code", "is_applied"),
    [
        pytest.param(code, is_applied, id=f"{code} {'applied' if is_applied else 'not applied'}")
        for code, is_applied in itertools.product(AMBIGUOUS, (True, False))
    ],
)


@each_answer
@pytest.mark.fault("E7", "E1", "E2")
async def test_an_entry_that_was_answered_ambiguously_is_in_doubt_until_it_is_proven(
    rig, agreement, code, is_applied
):
    rig.server.faults.arm("error-reply", method="private/buy", code=code, is_applied=is_applied)
    rig.server.faults.arm("mute-channel", channel="user.*", for_s=0.3)
    outcome = await enter(rig)
    assert isinstance(outcome, Unknown), AMBIGUOUS[code]
    assert (await rig.ledger.order(LABEL)).status is OrderStatus.IN_DOUBT
    row = await until_settled(rig, LABEL)
    assert row.status is (OrderStatus.FILLED if is_applied else OrderStatus.FAILED)
    if not is_applied:
        assert rig.client.exchange_now_ms() > row.valid_until_ms + doubt.VALIDITY_MARGIN_MS
    await agreement.holds()
    assert rig.position(LINEAR) == (LOT[LINEAR] if is_applied else 0)
    assert rig.venue.acts() == (["private/buy"] if is_applied else [])


each_passing_answer = pytest.mark.parametrize(
    ("code", "is_applied"),
    [
        pytest.param(code, is_applied, id=f"{code} {'applied' if is_applied else 'not applied'}")
        for code, is_applied in itertools.product(sorted(AMBIGUOUS.keys() - {11051}), (True, False))
    ],
)


@each_passing_answer
@pytest.mark.fault("E7", "E27", "E28")
async def test_whatever_reduces_is_tried_again_until_it_is_done_and_done_once(
    rig, agreement, code, is_applied
):
    """Of one trade: a cancel, its protection anew, an edit of that, and the close."""
    faults = rig.server.faults

    def answered(method, times=2):
        faults.clear()
        faults.arm("error-reply", method=method, code=code, is_applied=is_applied, count=times)

    trade = await rig.enter()
    for role in (Role.TARGET, Role.STOP):
        row = await order_of(rig, trade.trade_id, role)
        answered("private/cancel")
        if (await rig.ledger.order(row.label)).status.is_resting:
            assert isinstance(await rig.desk.cancel(row.order_id, why="to see"), Confirmed)
    assert rig.resting() == []
    answered("private/sell")
    assert isinstance(await rig.desk.protect(trade), Confirmed)
    assert sorted(order.amount for order in rig.resting()) == [LOT[LINEAR]] * 2
    answered("private/edit", times=1)
    await rig.desk.tighten_stop(trade, trade.stop_loss + 100)
    faults.clear()
    await rig.until_reconciled(
        lambda: trade.stop_loss + 100 in {order.trigger_price for order in rig.resting()}
    )
    trade = await rig.trade(trade.trade_id)
    answered("private/sell")
    assert isinstance(await rig.desk.close(trade, STRATEGY_STOP), Confirmed | Refused)
    closed = await rig.closed(trade.trade_id)
    assert closed.exit_reason is STRATEGY_STOP
    assert rig.position(LINEAR) == 0
    await agreement.holds()
    assert agreement.entries() == [LABEL]


@pytest.mark.parametrize("method", ["private/cancel", "private/sell"])
@pytest.mark.fault("E7", "E27")
async def test_what_is_never_answered_to_the_point_ends_with_its_budget(rig, agreement, method):
    trade = await rig.enter()
    target = await order_of(rig, trade.trade_id, Role.TARGET)
    faults = rig.server.faults
    faults.arm("error-reply", method=method, code=10047, count=1_000)
    if method == "private/cancel":
        assert isinstance(await rig.desk.cancel(target.order_id, why="to see"), Unknown)
    else:
        assert isinstance(await rig.desk.close(trade, STRATEGY_STOP), Unknown)
    assert faults.arms.hits["error-reply"] == 1 + len(patience.RETRY_DELAYS_S)
    assert rig.position(LINEAR) == LOT[LINEAR]
    await agreement.holds()
    assert (await rig.trade(trade.trade_id)).is_open, "and it is protected, as ever"


@pytest.mark.parametrize("deed", ["settlement-break", "maintenance"])
@pytest.mark.fault("E7", "E6")
async def test_the_exchanges_own_break_passes(rig, agreement, monkeypatch, deed):
    """Nothing is opened in it, lost by it, or asked for again and again; a close waits for it."""
    monkeypatch.setattr(closures, "REFUSAL_REST_MS", 0)
    monkeypatch.setattr(closures, "BREAK_MS_MIN", 0)
    trade = await rig.enter()
    over_ms = rig.clock.now_ms() + 500
    rig.server.deeds.do(deed, lasts_s=0.4)
    assert isinstance(await enter(rig), Unknown)
    outcome = await rig.desk.close(trade, STRATEGY_STOP)
    assert not isinstance(outcome, Confirmed)
    assert len(rig.venue.acts()) <= 3 + 3 * (1 + len(patience.RETRY_DELAYS_S))
    assert rig.position(LINEAR) == LOT[LINEAR]
    await rig.until(lambda: rig.clock.now_ms() > over_ms)
    await agreement.holds()
    trade = await rig.trade(trade.trade_id)
    assert trade.is_open
    assert isinstance(await rig.desk.close(trade, STRATEGY_STOP), Confirmed)
    await agreement.holds()
