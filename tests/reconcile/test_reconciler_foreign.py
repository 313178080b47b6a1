"""What belongs to others is never touched: people are told while it is there. FAULTS E12, E22."""

from decimal import Decimal

import pytest

from rig import BUY, ETHER, INVERSE, LINEAR, LOT, SELL
from vigil.deribit.outcome import Unknown
from vigil.domain.order import OrderType, Role
from vigil.domain.trade import ExitReason, PnlSource
from vigil.paper.account.orders import OrderForm
from vigil.reconcile import drop_copy
from vigil.trading.execution import Author

AUTHOR = Author(strategy_id="s", strategy_name="Scripted")
FOREIGN_ORDER = {"amount": Decimal("0.01"), "type": "limit", "price": 90_000}


async def rest_by_hand(rig, **changes):
    wish = {"instrument_name": LINEAR, **FOREIGN_ORDER, **changes}
    return (await rig.person.call("private/buy", **wish))["order"]


async def test_a_foreign_position_is_told_of_never_touched_and_over_when_it_is_gone(rig):
    trade = await rig.enter()
    await rig.person.call("private/buy", instrument_name=ETHER, amount=Decimal(1), type="market")
    run = await rig.reconcile()
    assert run.drifts == (f"foreign position 1 in {ETHER}",)
    assert run.remedies == ()
    assert (await rig.incidents())[f"foreign_position {ETHER}"].severity == "warning"
    assert rig.position(ETHER) == 1
    await rig.reconcile()
    assert (await rig.incidents())[f"foreign_position {ETHER}"].count == 2
    await rig.person.call("private/close_position", instrument_name=ETHER, type="market")
    run = await rig.reconcile()
    assert run.drifts == ()
    assert await rig.incidents() == {}
    assert await rig.open_ids() == {trade.trade_id}
    assert rig.venue.acts() == ["private/buy"]


async def test_a_foreign_part_of_a_shared_position_leaves_our_trade_as_it_is(rig):
    trade = await rig.enter()
    await rig.person.call(
        "private/buy", instrument_name=LINEAR, amount=Decimal("0.2"), type="market"
    )
    run = await rig.reconcile()
    assert run.drifts == (f"foreign position 0.2 in {LINEAR}",)
    assert await rig.trade(trade.trade_id) == trade
    await rig.assert_agreement(**{LINEAR: Decimal("0.2")})


@pytest.mark.fault("E12")
@pytest.mark.parametrize("others", ["0.2", "0.5", "1"], ids=["less", "as much", "more"])
async def test_a_position_from_before_our_trade_the_other_way_is_not_taken_for_its_end(
    rig, monkeypatch, others
):
    """Together they look like less than we know, and no fill says why: the log does."""
    monkeypatch.setattr(drop_copy, "LOG_SPACING_S", 0.0)
    rig.connect(rig.new_reconciler(0.0))
    await rig.person.call(
        "private/buy", instrument_name=LINEAR, amount=Decimal(others), type="market"
    )
    await rig.reconcile()
    approved = await rig.approved(LINEAR, SELL, target=None)
    await rig.desk.enter(approved, instrument_name=LINEAR, author=AUTHOR)
    (trade,) = await rig.until(lambda: open_trades(rig))
    for _ in range(2):
        await rig.reconcile()
        assert await rig.trade(trade.trade_id) == trade
    assert rig.authority.refusal is None
    rig.connect(rig.new_reconciler(0.0))
    run = await rig.reconcile("start")
    assert f"foreign position {others} in {LINEAR}" in run.drifts
    told = set(await rig.incidents())
    assert f"foreign_position {LINEAR}" in told
    assert not {one for one in told if one.startswith(("size_unexpl", "positions_vanished"))}
    assert rig.authority.refusal is None
    await rig.person.call("private/buy", instrument_name=LINEAR, amount=LOT[LINEAR], type="market")
    await rig.until_reconciled(lambda: not rig.sql(OPEN))
    closed = await rig.trade(trade.trade_id)
    assert (closed.exit_reason, closed.pnl_source) == (ExitReason.MANUAL, PnlSource.FILLS)


OPEN = "SELECT 1 FROM trades WHERE status = 'open'"


async def open_trades(rig):
    return (await rig.ledger.open_trades()).trades


@pytest.mark.fault("E12")
async def test_what_ran_into_a_position_of_others_is_over_when_the_account_is_flat(
    rig, monkeypatch
):
    """A person closes what is left, so that nothing is held of either; nothing could be reduced."""
    monkeypatch.setattr(drop_copy, "LOG_SPACING_S", 0.0)
    rig.connect(rig.new_reconciler(0.0))
    await rig.person.call(
        "private/sell", instrument_name=LINEAR, amount=Decimal("0.2"), type="market"
    )
    await rig.reconcile()
    trade = await rig.enter()
    await rig.reconcile()
    assert f"foreign_position {LINEAR}" in await rig.incidents()
    await rig.person.call("private/close_position", instrument_name=LINEAR, type="market")
    await rig.until_reconciled(lambda: not rig.sql(OPEN))
    closed = await rig.trade(trade.trade_id)
    assert closed.pnl_source is PnlSource.ESTIMATE
    await rig.reconcile()
    assert await rig.incidents() == {}
    assert rig.authority.refusal is None
    assert rig.resting() == []
    await rig.assert_agreement()


async def test_what_was_taken_before_a_second_trade_is_settled_by_the_end_of_both(rig, monkeypatch):
    """The first one's stop takes the missing part from the second, whose own then finds less."""
    monkeypatch.setattr(drop_copy, "LOG_SPACING_S", 0.0)
    rig.connect(rig.new_reconciler(0.0))
    await rig.enter()
    rig.server.deeds.do("deleverage", instrument_name=LINEAR, amount=Decimal("0.1"))
    await rig.enter(strategy_id="t")
    rig.server.deeds.do("fire-trigger", of_label="*")
    await rig.until(lambda: rig.position(LINEAR) == 0)
    await rig.until_reconciled(lambda: not rig.sql(OPEN))
    await rig.reconcile()
    assert await rig.incidents() == {}
    assert rig.authority.refusal is None
    assert rig.resting() == []
    await rig.assert_agreement()


async def test_where_others_hold_as_much_the_other_way_a_stop_is_tried_once_a_pass(
    rig, monkeypatch
):
    """Nothing can be reduced there, so that every stop is refused."""
    monkeypatch.setattr(drop_copy, "LOG_SPACING_S", 0.0)
    rig.connect(rig.new_reconciler(0.0))
    await rig.person.call("private/sell", instrument_name=LINEAR, amount=LOT[LINEAR], type="market")
    await rig.reconcile()
    approved = await rig.approved(LINEAR)
    await rig.desk.enter(approved, instrument_name=LINEAR, author=AUTHOR)
    (trade,) = await rig.until(lambda: open_trades(rig))
    await rig.person.call("private/cancel_all")
    await rig.reconcile()
    before = rig.venue.acts().count("private/sell")
    run = await rig.reconcile()
    assert run.is_unsettled
    assert rig.venue.acts().count("private/sell") == before + 1
    assert await rig.trade(trade.trade_id) == trade


async def test_an_order_that_ends_while_the_lists_are_read_is_no_stranger(rig, monkeypatch):
    """The list still has it, and the ledger has heard of its end."""
    trade = await rig.enter()
    await rig.reconcile()
    honest = rig.client.open_orders

    async def overtaken():
        found = await honest()
        rig.price(LINEAR, trade.take_profit + 100)
        await rig.closed(trade.trade_id)
        return found

    acts = rig.venue.acts()
    with monkeypatch.context() as slow:
        slow.setattr(rig.client, "open_orders", overtaken)
        run = await rig.reconcile()
    assert run.drifts == ()
    assert rig.venue.acts() == acts
    assert await rig.incidents() == {}
    await rig.reconcile()
    await rig.assert_agreement()


async def test_an_incident_of_an_earlier_process_ends_when_its_cause_is_gone(rig):
    await rig.person.call("private/buy", instrument_name=ETHER, amount=Decimal(1), type="market")
    await rig.reconcile()
    rig.connect(rig.new_reconciler())
    await rig.reconcile("start")
    assert set(await rig.incidents()) == {f"foreign_position {ETHER}"}
    await rig.person.call("private/close_position", instrument_name=ETHER, type="market")
    rig.connect(rig.new_reconciler())
    await rig.reconcile("start")
    assert await rig.incidents() == {}


async def test_an_unsettled_look_ends_no_incident(rig):
    await rig.person.call("private/buy", instrument_name=ETHER, amount=Decimal(1), type="market")
    await rig.reconcile()
    await rig.person.call("private/buy", instrument_name=ETHER, amount=Decimal(1), type="market")
    run = await rig.reconciler.run_once("too soon")
    assert run.is_unsettled
    incident = (await rig.incidents())[f"foreign_position {ETHER}"]
    await rig.reconcile()
    assert (await rig.incidents())[f"foreign_position {ETHER}"].incident_id == incident.incident_id


@pytest.mark.parametrize("label", ["", "mine", "vg", "vg-1-1"])
async def test_a_foreign_order_is_told_of_and_left_alone(rig, label):
    order = await rest_by_hand(rig, **({"label": label} if label else {}))
    run = await rig.reconcile()
    assert run.drifts == (f"foreign order {order['order_id']} in {LINEAR}",)
    assert set(await rig.incidents()) == {f"foreign_order {order['order_id']}"}
    assert [one.order_id for one in rig.resting()] == [order["order_id"]]
    await rig.person.call("private/cancel", order_id=order["order_id"])
    await rig.reconcile()
    assert await rig.incidents() == {}
    assert rig.venue.acts() == []


async def test_an_order_of_ours_that_the_ledger_does_not_know_is_cancelled_and_told(rig):
    order = await rest_by_hand(rig, label="vg-s-77-1")
    run = await rig.reconcile()
    assert run.remedies == (f"unrecorded order {order['order_id']} cancelled",)
    assert rig.resting() == []
    rows = rig.sql("SELECT subject, message FROM incidents WHERE kind = 'unrecorded_order'")
    assert rows == [(order["order_id"], rows[0][1])]
    assert "vg-s-77-1" in rows[0][1]
    assert rig.ledger.next_intent_id() > 77, "its number is never handed out again"
    await rig.reconcile()
    assert await rig.incidents() == {}


async def test_an_unrecorded_order_that_cannot_be_cancelled_stays_one_incident(rig):
    order = await rest_by_hand(rig, label="vg-s-77-1")
    rig.venue.refuse("private/cancel", 10029, "not_owner_of_order", times=2)
    for _ in range(2):
        assert (await rig.reconcile()).is_unsettled
    assert (await rig.incidents())[f"unrecorded_order {order['order_id']}"].count == 2


def place_under_the_same_label(rig, request, order_type, **terms):
    form = OrderForm(
        instrument_name=LINEAR,
        direction=BUY,
        order_type=order_type,
        amount=Decimal("0.01"),
        label=request.params["label"],
        **terms,
    )
    rig.venue.exchange.engine.place(form, now_ms=rig.clock.now_ms(), connection_id=None)


@pytest.mark.fault("E22")
async def test_two_orders_under_the_label_of_an_order_in_doubt_are_told_and_stay_told(rig):
    """Only a second writer can have done that. FAULTS E22."""

    def twins(request):
        for price in (90_000, 90_100):
            place_under_the_same_label(rig, request, OrderType.LIMIT, price=Decimal(price))

    rig.account.put = lambda event: None  # the stream says nothing of them
    rig.venue.before("private/buy", twins)
    rig.venue.refuse("private/buy", 13028, "temporarily_unavailable")
    outcome = await rig.desk.enter(await rig.approved(), instrument_name=LINEAR, author=AUTHOR)
    assert isinstance(outcome, Unknown)
    await rig.reconcile()
    incident = (await rig.incidents())["duplicate_label vg-s-1-1"]
    for order in rig.venue.exchange.books.labelled("vg-s-1-1"):
        assert order.order_id in incident.message
    await rig.reconcile()
    assert "duplicate_label vg-s-1-1" in await rig.incidents()


@pytest.mark.fault("E22")
async def test_of_two_filled_orders_under_one_label_both_count(rig):
    """The worst case is what is assumed: the trade is as large as both, and so is its stop."""
    rig.venue.before(
        "private/buy",
        lambda request: place_under_the_same_label(rig, request, OrderType.MARKET),
    )
    trade = await rig.enter()
    await rig.reconcile()
    await rig.reconcile()
    assert (await rig.trade(trade.trade_id)).open_amount == LOT[LINEAR] + Decimal("0.01")
    await rig.assert_agreement()


@pytest.mark.parametrize("name", [LINEAR, INVERSE])
async def test_a_position_turned_round_by_hand_closes_the_trade_and_leaves_the_rest_alone(
    rig, name
):
    trade = await rig.enter(name, SELL)
    await rig.person.call(
        "private/buy", instrument_name=name, amount=trade.amount * 2, type="market"
    )
    await rig.reconcile()
    closed = await rig.trade(trade.trade_id)
    assert not closed.is_open
    assert rig.position(name) == trade.amount
    await rig.reconcile()
    assert set(await rig.incidents()) == {f"foreign_position {name}"}
    assert rig.resting() == []
    rows = await rig.rows(trade.trade_id)
    assert all(row.status.is_final for row in rows.values())
    assert Role.CLOSE not in rows
    await rig.assert_agreement(**{name: trade.amount})


async def test_a_foreign_fill_asks_for_a_pass(rig):
    await rig.person.call("private/buy", instrument_name=ETHER, amount=Decimal(1), type="market")
    await rig.until(lambda: "foreign fill" in rig.requested)
