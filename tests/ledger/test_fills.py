"""Fills become trades."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigil.domain.order import Direction
from vigil.domain.order import OrderStatus as S
from vigil.domain.trade import ExitReason, FillShare, PnlSource, TradeStatus
from vigil.errors import Misconfigured, Transient
from vigil.ledger import fills, intents
from vigil.ledger.trades import load_trade


def manual(fill, amount=None):
    return FillShare(
        fill=fill,
        amount=fill.amount if amount is None else Decimal(amount),
        is_entry=False,
        reason=ExitReason.MANUAL,
    )


@pytest.fixture
async def holding(ledger, make):
    """A ledger with trade `T1` open: 0.03 long in three fills at 95 000."""
    await ledger.commit_orders(make.bracket())
    await ledger.apply_fills([make.fill(n, make.entry()) for n in (1, 2, 3)])
    return ledger


async def only_trade(ledger):
    (trade,) = (await ledger.reports.history()).trades
    return trade


async def test_the_first_entry_fill_opens_the_trade_and_the_next_enlarge_it(ledger, make):
    await ledger.commit_orders(make.bracket())
    first = await ledger.apply_fills([make.fill(1, make.entry())])
    ((before, opened),) = first.changes
    assert before is None
    assert (opened.amount, opened.stop_loss) == (Decimal("0.01"), Decimal(94_500))
    second = await ledger.apply_fills([make.fill(2, make.entry(), price=Decimal(95_100))])
    ((before, after),) = second.changes
    assert before == opened
    assert (after.amount, after.entry_price) == (Decimal("0.02"), Decimal(95_050))
    assert (await ledger.open_trades()).trades == (after,)


async def test_a_fill_proves_that_its_order_lives(ledger, make):
    await ledger.commit_orders(make.bracket())
    await ledger.record_outcome(make.entry().label, S.IN_DOUBT, reason="timeout")
    booking = await ledger.apply_fills([make.fill(1, make.entry())])
    assert [(order.status, order.filled_amount) for order in booking.orders] == [
        (S.PARTIALLY_FILLED, Decimal("0.01"))
    ]
    booking = await ledger.apply_fills([make.fill(n, make.entry()) for n in (2, 3)])
    assert [order.status for order in booking.orders] == [S.FILLED]


async def test_a_fill_seen_twice_counts_once(holding, make):
    again = await holding.apply_fills([make.fill(n, make.entry()) for n in (1, 2, 3)])
    assert (again.new_fills, again.changes, again.orders) == ((), (), ())


async def test_the_same_fill_id_in_another_currency_is_another_fill(ledger, make):
    twin = make.fill(1, instrument_name="BTC-PERPETUAL", fee_currency="BTC")
    booking = await ledger.apply_fills([make.fill(1), twin])
    assert len(booking.new_fills) == 2
    assert await ledger.last_fill_ms_by_instrument() == {
        "BTC-PERPETUAL": 10_001,
        "BTC_USDC-PERPETUAL": 10_001,
    }


async def test_the_stop_closes_the_trade_with_the_profit_of_its_fills(holding, make):
    exits = [make.fill(n, make.stop(), price=Decimal(94_490)) for n in (4, 5, 6)]
    booking = await holding.apply_fills(exits)
    ((_, after),) = booking.changes
    assert (after.status, after.exit_reason) == (TradeStatus.CLOSED, ExitReason.SL_HIT)
    assert after.pnl == 3 * (Decimal("0.01") * -510) - 6 * Decimal("0.475")
    assert (await holding.open_trades()).trades == ()
    assert (await holding.last_exit("razor-1"))[1] == 10_006


async def test_an_exit_that_overtakes_its_entry_waits_for_it(ledger, make):
    await ledger.commit_orders(make.bracket())
    early = await ledger.apply_fills([make.fill(9, make.stop())])
    assert early.unassigned == ((make.fill(9, make.stop()), Decimal("0.01")),)
    booking = await ledger.apply_fills([make.fill(1, make.entry())])
    ((before, after),) = booking.changes
    assert (before, after.is_open) == (None, False)


async def test_a_double_close_leaves_its_excess_unassigned(holding, make):
    stop = [make.fill(n, make.stop()) for n in (4, 5, 6)]
    target = make.fill(7, make.target(), amount=Decimal("0.02"))
    booking = await holding.apply_fills([*stop, target])
    assert booking.unassigned == ((target, Decimal("0.02")),)
    assert (await only_trade(holding)).open_amount == 0
    assert await holding.unassigned_fills(make.instrument, 0) == ((target, Decimal("0.02")),)


async def test_foreign_fills_are_kept_and_belong_to_nobody(holding, make):
    foreign = make.fill(20)
    booking = await holding.apply_fills([foreign])
    assert (booking.changes, booking.unassigned) == ((), ((foreign, Decimal("0.01")),))
    assert await holding.unassigned_fills(None, 0) == ((foreign, Decimal("0.01")),)
    assert await holding.unassigned_fills("BTC-PERPETUAL", 0) == ()
    assert await holding.unassigned_fills(None, foreign.timestamp_ms + 1) == ()


class TestAssignedShares:
    async def test_a_manual_close_books_the_foreign_fill(self, holding, make):
        foreign = make.fill(20, amount=Decimal("0.03"), price=Decimal(95_200), fee=Decimal("1.4"))
        after = await holding.assign_shares("T1", [manual(foreign)], cause="reconciler")
        assert (after.is_open, after.exit_reason) == (False, ExitReason.MANUAL)
        assert after.pnl == Decimal(6) - 3 * Decimal("0.475") - Decimal("1.4")
        assert await holding.unassigned_fills(None, 0) == ()

    async def test_saying_it_twice_changes_nothing(self, holding, make):
        shares = [manual(make.fill(20))]
        once = await holding.assign_shares("T1", shares, cause="reconciler")
        assert await holding.assign_shares("T1", shares, cause="reconciler") == once
        assert len(await holding.changes_of("T1")) == 2

    async def test_one_fill_may_close_two_trades_and_is_never_given_twice(self, holding, make):
        await holding.commit_orders([make.entry(11, trade_id="T2")])
        await holding.apply_fills([make.fill(8, make.entry(11))])
        foreign = make.fill(20, amount=Decimal("0.035"), fee=Decimal("3.5"))
        first = await holding.assign_shares("T1", [manual(foreign)], cause="reconciler")
        second = await holding.assign_shares("T2", [manual(foreign)], cause="reconciler")
        assert (first.is_open, second.open_amount) == (False, Decimal("0.005"))
        assert first.fees + second.fees == 4 * Decimal("0.475") + Decimal("3.5")
        assert await holding.unassigned_fills(None, 0) == ()

    async def test_our_own_late_exit_takes_what_is_left(self, holding, make):
        await holding.assign_shares("T1", [manual(make.fill(20))], cause="reconciler")
        stop = make.fill(21, make.stop(), amount=Decimal("0.03"))
        booking = await holding.apply_fills([stop])
        ((_, after),) = booking.changes
        assert not after.is_open
        assert booking.unassigned == ((stop, Decimal("0.01")),)

    async def test_a_trade_that_is_gone_is_transient(self, ledger, make):
        with pytest.raises(Transient, match="T9"):
            await ledger.assign_shares("T9", [manual(make.fill(1))], cause="reconciler")


class TestEstimate:
    async def test_it_says_so_and_is_replaced_once_by_the_true_fills(self, holding, make):
        estimated = await holding.close_estimated(
            "T1", mark_price=Decimal(94_000), now_ms=50_000, cause="gone from both sources"
        )
        assert (estimated.pnl_source, estimated.exit_price) == (PnlSource.ESTIMATE, 94_000)
        exits = [make.fill(n, make.stop(), price=Decimal(94_500)) for n in (4, 5, 6)]
        await holding.apply_fills(exits[:1])
        assert (await only_trade(holding)).pnl_source is PnlSource.ESTIMATE
        await holding.apply_fills(exits)
        after = await only_trade(holding)
        assert (after.pnl_source, after.exit_reason) == (PnlSource.FILLS, ExitReason.SL_HIT)
        assert after.pnl == Decimal(-15) - 6 * Decimal("0.475")
        assert [change.pnl_source for change in await holding.changes_of("T1")] == [
            None, "estimate", "estimate", "fills",
        ]  # fmt: skip

    async def test_foreign_fills_replace_it_as_well(self, holding, make):
        await holding.close_estimated("T1", mark_price=Decimal(9), now_ms=50_000, cause="gone")
        foreign = make.fill(30, amount=Decimal("0.03"), price=Decimal(95_000))
        after = await holding.assign_shares("T1", [manual(foreign)], cause="found later")
        assert (after.pnl_source, after.exit_price) == (PnlSource.FILLS, Decimal(95_000))

    async def test_a_closed_trade_stays_as_it_is(self, holding, make):
        await holding.apply_fills([make.fill(4, make.stop(), amount=Decimal("0.03"))])
        closed = await only_trade(holding)
        again = await holding.close_estimated("T1", mark_price=Decimal(1), now_ms=1, cause="late")
        assert again == closed


async def test_every_change_of_a_trade_names_its_cause(holding, make):
    await holding.move_stop("T1", Decimal(94_800))
    await holding.apply_fills([make.fill(4, make.target())])
    await holding.close_estimated("T1", mark_price=Decimal(95_000), now_ms=60_000, cause="both")
    changes = await holding.changes_of("T1")
    assert [(change.cause, change.status) for change in changes] == [
        ("fill USDC-1, USDC-2, USDC-3", "open"),
        ("stop moved", "open"),
        ("fill USDC-4", "open"),
        ("both", "closed"),
    ]


async def test_moving_the_stop_of_a_closed_trade_does_nothing(holding, make):
    await holding.apply_fills([make.fill(4, make.stop(), amount=Decimal("0.03"))])
    closed = await only_trade(holding)
    assert await holding.move_stop("T1", Decimal(94_900)) == closed


class TestTradeByHand:
    COLUMNS = (
        "id, strategy_name, instrument, side, entry_order_id, entry_price, amount, entry_time, "
        "status"
    )

    async def insert(self, ledger, values):
        await ledger._storage.transact(
            lambda connection: connection.execute(
                f"INSERT INTO trades ({self.COLUMNS}) VALUES ({values})"
            )
        )

    async def test_fills_of_the_order_it_names_are_its_entry(self, ledger, make):
        entry = make.fill(1, direction=Direction.BUY, order_id="USDC-55")
        await ledger.apply_fills([entry])
        await self.insert(ledger, f"'h','Razor','{make.instrument}','buy','USDC-55',1,5,7,'open'")
        booking = await ledger.apply_fills([entry])
        ((_, after),) = booking.changes
        assert (after.entry_price, after.amount) == (Decimal(95_000), Decimal("0.01"))
        assert after.fees == Decimal("0.475")

    async def test_an_order_in_the_other_direction_is_not(self, ledger, make):
        await self.insert(ledger, f"'h','Razor','{make.instrument}','buy','USDC-55',1,5,7,'open'")
        booking = await ledger.apply_fills([make.fill(1, order_id="USDC-55")])
        assert booking.changes == ()

    async def test_without_entry_fills_its_own_words_stand(self, ledger, make):
        await self.insert(
            ledger, f"'h','Razor','{make.instrument}','buy','test',95000,0.01,7,'open'"
        )
        foreign = make.fill(3, price=Decimal(95_500))
        after = await ledger.assign_shares("h", [manual(foreign)], cause="reconciler")
        assert after.pnl == Decimal(5) - Decimal("0.475")

    async def test_a_row_that_cannot_be_read_is_told_and_its_fills_wait(self, ledger, make):
        await ledger._storage.maintain(
            lambda connection: connection.execute("PRAGMA ignore_check_constraints = ON")
        )
        await self.insert(ledger, f"'bad','Razor','{make.instrument}','buy','U-5','abc',5,7,'open'")
        await self.insert(ledger, f"'good','Razor','{make.instrument}','buy','U-6',1,5,7,'open'")
        found = await ledger.open_trades()
        assert [trade.trade_id for trade in found.trades] == ["good"]
        assert [(row.trade_id, row.column) for row in found.unreadable] == [("bad", "entry_price")]
        entry = make.fill(1, direction=Direction.BUY, order_id="U-5")
        booking = await ledger.apply_fills([entry])
        assert booking.unassigned == ((entry, Decimal("0.01")),)
        with pytest.raises(Misconfigured, match="entry_price 'abc'"):
            await ledger.close_estimated("bad", mark_price=Decimal(1), now_ms=1, cause="x")


def history(make):
    """All that a busy day of two strategies on one instrument brought, in exchange order."""
    other = [
        make.entry(11, trade_id="T2", strategy_id="grid-1", label="vg-grid-1-11-1"),
        make.stop(12, trade_id="T2", strategy_id="grid-1", label="vg-grid-1-12-1",
                  parent_label="vg-grid-1-11-1"),
    ]  # fmt: skip
    orders = [*make.bracket(), make.close(reason="emergency"), *other]
    entry, stop, target, close, entry_2, stop_2 = orders
    events = [
        make.order(entry, "ID-" + entry.label, S.OPEN),
        make.fill(1, entry),
        make.fill(2, entry_2, price=Decimal(95_010), amount=Decimal("0.02")),
        make.fill(3, entry, price=Decimal(95_020), label=""),
        make.fill(4, entry, price=Decimal(95_033)),
        make.order(entry, "ID-" + entry.label, S.FILLED, filled_amount=Decimal("0.03")),
        make.order(stop, "ID-" + stop.label, S.UNTRIGGERED, last_update_timestamp_ms=1_300),
        make.fill(5, target, price=Decimal(95_900)),
        make.fill(6),
        make.fill(7, stop, price=Decimal(94_480), amount=Decimal("0.005")),
        make.fill(8, close, price=Decimal(94_470), amount=Decimal("0.02")),
        make.fill(9, stop_2, price=Decimal(94_400), amount=Decimal("0.02"), is_liquidation=True),
    ]
    return orders, events


@settings(max_examples=150)
@given(data=st.data())
def test_fills_and_orders_in_any_order_and_number_lead_to_the_same_trades(data, make, world):
    orders, events = history(make)

    def outcome(batches):
        world.execute("BEGIN")
        intents.insert(world, orders)
        for batch in batches:
            intents.apply(world, [event for event in batch if hasattr(event, "status")])
            fills.book(world, [event for event in batch if not hasattr(event, "status")], now_ms=1)
        trades = [load_trade(world, trade_id)[0] for trade_id in ("T1", "T2")]
        left = fills.load_unassigned(world, None, 0)
        shares = [fills.load_shares(world, trade_id) for trade_id in ("T1", "T2")]
        world.execute("ROLLBACK")
        return trades, left, shares

    repeats = data.draw(st.lists(st.sampled_from(events), max_size=6))
    shuffled = data.draw(st.permutations([*events, *repeats]))
    batches, rest = [], shuffled
    while rest:
        size = data.draw(st.integers(1, 5))
        batches.append(rest[:size])
        rest = rest[size:]
    trades, left, shares = outcome([*batches, events[-1:]])
    expected_trades, expected_left, expected_shares = outcome([events])
    assert trades == expected_trades
    assert (left, shares) == (expected_left, expected_shares)
    assert [trade.is_open for trade in trades] == [False, False]
    assert [trade.exit_reason for trade in trades] == ["emergency", "liquidation"]
    total = sum(fill.amount for fill in events if not hasattr(fill, "status"))
    shared = sum(share.amount for parts in shares for share in parts)
    assert shared + sum(amount for _, amount in left) == total
