"""Which part of which fill belongs to a trade."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from vigil.domain.order import Direction, OrderType, Role
from vigil.domain.trade import ExitReason, FillShare, PnlSource, TradeStatus
from vigil.ledger.booking import (
    Candidate,
    Estimate,
    clamp,
    close_reason,
    exit_reason,
    open_amount,
    opened_by,
    rebuild,
    share_out,
)


def candidate(fill, order, free=None):
    return Candidate(fill=fill, order=order, free_amount=fill.amount if free is None else free)


@pytest.fixture(scope="session")
def opened(make):
    """`T1` as its first entry fill, of 0.01, opens it."""
    return opened_by(make.entry(), make.fill(1, make.entry()), make.bracket())


def test_a_trade_is_opened_with_the_protection_committed_beside_its_entry(opened):
    assert (opened.stop_loss, opened.take_profit) == (Decimal(94_500), Decimal(95_900))
    assert (opened.trade_id, opened.strategy_id) == ("T1", "razor-1")
    assert opened.entry_order_id == "ID-vg-razor-1-1-1"


def test_a_replaced_stop_is_the_one_that_counts(make):
    newer = make.stop(9, trigger_price=Decimal(94_800))
    trade = opened_by(make.entry(), make.fill(1, make.entry()), (*make.bracket(), newer))
    assert trade.stop_loss == Decimal(94_800)


def test_a_take_kind_target_is_read_from_its_trigger(make):
    take = make.target(order_type=OrderType.TAKE_MARKET, price=None, trigger_price=Decimal(96_000))
    trade = opened_by(make.entry(), make.fill(1, make.entry()), (make.entry(), take))
    assert trade.take_profit == Decimal(96_000)


@pytest.mark.parametrize(
    ("role", "reason", "is_liquidation", "expected"),
    [
        (Role.STOP, None, False, ExitReason.SL_HIT),
        (Role.TARGET, None, False, ExitReason.TP_HIT),
        (Role.CLOSE, None, False, ExitReason.STRATEGY_STOP),
        (Role.CLOSE, "emergency", False, ExitReason.EMERGENCY),
        (Role.CLOSE, "user_request", False, ExitReason.STRATEGY_STOP),
        (Role.STOP, "manual", False, ExitReason.SL_HIT),
        (Role.STOP, None, True, ExitReason.LIQUIDATION),
        (Role.CLOSE, "emergency", True, ExitReason.LIQUIDATION),
    ],
)
def test_exit_reason_follows_the_order_that_closed(make, role, reason, is_liquidation, expected):
    order = make.close(role=role, reason=reason)
    assert exit_reason(order, make.fill(1, order, is_liquidation=is_liquidation)) is expected


def test_only_a_close_carries_an_exit_reason(make):
    assert close_reason(make.close(reason="emergency")) == "emergency"
    assert close_reason(make.close(reason="too late")) is None
    assert close_reason(make.stop(reason="emergency")) is None


def test_exits_stop_at_the_open_amount_in_the_order_they_happened(make, opened):
    entry = candidate(make.fill(1, make.entry()), make.entry())
    target = candidate(make.fill(2, make.target(), amount=Decimal("0.006")), make.target())
    stop = candidate(make.fill(3, make.stop(), amount=Decimal("0.01")), make.stop())
    shares = share_out(opened, [stop, target, entry], [])
    assert [(share.fill.trade_id, share.amount, share.reason) for share in shares] == [
        ("USDC-1", Decimal("0.01"), None),
        ("USDC-2", Decimal("0.006"), ExitReason.TP_HIT),
        ("USDC-3", Decimal("0.004"), ExitReason.SL_HIT),
    ]


def test_what_other_trades_took_of_a_fill_is_not_given_again(make, opened):
    entry = candidate(make.fill(1, make.entry()), make.entry())
    stop = candidate(make.fill(2, make.stop()), make.stop(), free=Decimal("0.003"))
    shares = share_out(opened, [entry, stop], [])
    assert open_amount(opened, shares) == Decimal("0.007")


def test_a_fill_in_the_wrong_direction_is_no_evidence(make, opened):
    backwards = make.fill(1, make.stop(), direction=Direction.BUY)
    assert share_out(opened, [candidate(backwards, make.stop())], []) == ()


def test_assigned_exits_come_before_our_own_orders(make, opened):
    assigned = FillShare(
        fill=make.fill(9), amount=Decimal("0.01"), is_entry=False, reason=ExitReason.MANUAL
    )
    entry = candidate(make.fill(1, make.entry()), make.entry())
    stop = candidate(make.fill(2, make.stop()), make.stop())
    shares = share_out(opened, [entry, stop], [assigned])
    assert [share.fill.trade_id for share in shares] == ["USDC-1", "USDC-9"]


def test_a_named_entry_that_was_smaller_than_claimed_cuts_the_exits_assigned_to_it(make, opened):
    claimed = replace(opened, amount=Decimal("0.05"))
    assigned = FillShare(
        fill=make.fill(9, amount=Decimal("0.05")), amount=Decimal("0.05"), is_entry=False
    )
    entry = candidate(make.fill(1, make.entry()), None)
    shares = share_out(claimed, [entry], [assigned])
    after = rebuild(claimed, shares, None)
    assert (after.amount, after.open_amount, after.is_open) == (Decimal("0.01"), 0, False)


@pytest.mark.parametrize(
    ("wanted", "free", "expected"),
    [
        pytest.param("0.005", "0.02", "0.005", id="all of it fits"),
        pytest.param("0.02", "0.02", "0.01", id="more than is open"),
        pytest.param("0.01", "0.004", "0.004", id="more than is left of the fill"),
        pytest.param("0.01", "0", None, id="nothing left"),
    ],
)
def test_a_share_is_cut_to_what_there_is_room_for(make, opened, wanted, free, expected):
    share = FillShare(fill=make.fill(5), amount=Decimal(wanted), is_entry=False)
    fitting = clamp(opened, [], share, Decimal(free))
    assert (None if fitting is None else fitting.amount) == (expected and Decimal(expected))


class TestEstimate:
    estimate = Estimate(mark_price=Decimal(94_000), at_ms=20_000)

    def shares(self, make, *exits):
        entry = FillShare(fill=make.fill(1, make.entry()), amount=Decimal("0.01"), is_entry=True)
        return [entry, *exits]

    def exit(self, make, amount, number=2):
        return FillShare(
            fill=make.fill(number, make.stop(), price=Decimal(94_500)),
            amount=Decimal(amount),
            is_entry=False,
            reason=ExitReason.SL_HIT,
        )

    def test_without_exits_the_trade_is_closed_at_mark_and_says_so(self, make, opened):
        after = rebuild(opened, self.shares(make), self.estimate)
        assert (after.status, after.pnl_source) == (TradeStatus.CLOSED, PnlSource.ESTIMATE)
        assert after.pnl == Decimal(-10) - Decimal("0.475")

    def test_a_part_explained_by_fills_is_not_estimated(self, make, opened):
        after = rebuild(opened, self.shares(make, self.exit(make, "0.004")), self.estimate)
        assert after.pnl_source is PnlSource.ESTIMATE
        fees = Decimal("0.475") + Decimal("0.475") * 4 / 10
        assert after.pnl == Decimal("0.004") * -500 + Decimal("0.006") * -1000 - fees

    def test_fills_that_explain_all_of_it_replace_it(self, make, opened):
        estimated = rebuild(opened, self.shares(make), self.estimate)
        shares = self.shares(make, self.exit(make, "0.01"))
        after = rebuild(estimated, shares, self.estimate)
        assert after.pnl_source is PnlSource.FILLS
        assert after.pnl == Decimal("0.01") * -500 - 2 * Decimal("0.475")
        assert after == rebuild(opened, shares, None)

    def test_an_entry_after_it_opens_the_trade_again(self, make, opened):
        late = FillShare(
            fill=make.fill(8, make.entry(), timestamp_ms=30_000),
            amount=Decimal("0.01"),
            is_entry=True,
        )
        assert rebuild(opened, self.shares(make, late), self.estimate).is_open


def test_a_closing_by_other_evidence_than_fills_stands(make, opened):
    closed = replace(
        opened,
        status=TradeStatus.CLOSED,
        open_amount=Decimal(0),
        pnl=Decimal(3),
        pnl_source=PnlSource.SETTLEMENT,
        exit_reason=ExitReason.DELIVERY,
    )
    entry = FillShare(fill=make.fill(1, make.entry()), amount=Decimal("0.01"), is_entry=True)
    assert rebuild(closed, [entry], None) == closed


@given(data=st.data())
def test_splitting_and_shuffling_fills_changes_nothing_but_the_shares(data, make, opened):
    """Split fills equal one: same instant, same price, fee in proportion."""

    def parts(order, weights, number):
        total, unit = Decimal("0.01"), Decimal("0.475")
        whole = sum(weights)
        return [
            candidate(
                make.fill(
                    number * 10 + index,
                    order,
                    timestamp_ms=10_000 + number,
                    amount=total * weight / whole,
                    fee=unit * weight / whole,
                ),
                order,
            )
            for index, weight in enumerate(weights)
        ]

    weights = [[1, 1], [1, 3], [2, 5, 1], [1, 1, 1, 1], [4]]  # eighths stay exact
    entries = parts(make.entry(), data.draw(st.sampled_from(weights)), 1)
    exits = parts(make.stop(), data.draw(st.sampled_from(weights)), 2)
    whole = [*parts(make.entry(), [1], 1), *parts(make.stop(), [1], 2)]
    split = data.draw(st.permutations([*entries, *exits]))
    one = rebuild(opened, share_out(opened, whole, []), None)
    many = rebuild(opened, share_out(opened, split, []), None)
    assert many == one
    assert not many.is_open
