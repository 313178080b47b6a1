"""A trade is what its fills make it: whatever their order, however they were split."""

from decimal import Decimal as D
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from vigil.domain.instrument import contract_of
from vigil.domain.money import SETTLEMENT_QUANTUM
from vigil.domain.order import Direction, Fill
from vigil.domain.trade import (
    ExitReason,
    FillShare,
    PnlSource,
    Trade,
    TradeStatus,
    close_at_estimate,
    settle,
)

BUY, SELL = Direction.BUY, Direction.SELL
LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"
STEP = {LINEAR: D("0.0001"), INVERSE: D(10)}
ENTRY_MS = 1_000


def fill(n, direction, amount, price, *, fee="0", at_ms=None, name=LINEAR, **changes):
    return Fill(
        **{
            "trade_id": f"f{n}",
            "order_id": f"o{n}",
            "label": "",
            "instrument_name": name,
            "direction": direction,
            "amount": D(amount),
            "price": D(price),
            "fee": D(fee),
            "fee_currency": contract_of(name).settlement_currency,
            "timestamp_ms": ENTRY_MS + n if at_ms is None else at_ms,
            "trade_seq": n,
        }
        | changes
    )


def entry(n, trade, amount, price, **changes):
    one = fill(n, trade.side, amount, price, name=trade.instrument_name, **changes)
    return FillShare(fill=one, amount=one.amount, is_entry=True)


def exit_(n, trade, amount, price, *, reason=None, of=None, **changes):
    of = of or amount
    one = fill(n, trade.side.opposite, of, price, name=trade.instrument_name, **changes)
    return FillShare(fill=one, amount=D(amount), is_entry=False, reason=reason)


def trade(side=BUY, name=LINEAR, **changes):
    return Trade(
        **{
            "trade_id": "t1",
            "strategy_name": "Razor",
            "instrument_name": name,
            "side": side,
            "entry_order_id": "o1",
            "entry_price": D(100),
            "amount": D(10),
            "entry_time_ms": ENTRY_MS,
            "status": TradeStatus.OPEN,
            "open_amount": D(10),
            "stop_loss": D(90),
        }
        | changes
    )


@st.composite
def histories(draw, *, is_closed=None):
    """A fresh trade, and the shares of its entries and exits, in the order they happened."""
    name = draw(st.sampled_from([LINEAR, INVERSE]))
    fresh = trade(draw(st.sampled_from(Direction)), name)
    price = st.decimals(min_value=1_000, max_value=200_000, places=1)
    fee = st.decimals(min_value="-0.01", max_value="0.01", places=8)
    step = STEP[name]
    times = iter(sorted(draw(st.lists(st.integers(0, 50), min_size=10, max_size=10))))
    shares = []
    lots = draw(st.lists(st.integers(1, 500), min_size=1, max_size=4))
    for n, lot in enumerate(lots):
        at_ms = ENTRY_MS + next(times)
        shares.append(entry(n, fresh, lot * step, draw(price), fee=draw(fee), at_ms=at_ms))
    left = sum(lots)
    for n in range(len(lots), len(lots) + draw(st.integers(1 if is_closed else 0, 4))):
        if not left:
            break
        lot = draw(st.integers(1, left))
        left -= lot
        foreign = draw(st.integers(0, 50))
        at_ms = ENTRY_MS + next(times)
        shares.append(
            exit_(
                n,
                fresh,
                lot * step,
                draw(price),
                of=(lot + foreign) * step,
                fee=draw(fee),
                at_ms=at_ms,
                reason=draw(st.sampled_from(ExitReason)),
            )
        )
    if is_closed and left:
        at_ms = ENTRY_MS + next(times)
        shares.append(exit_(99, fresh, left * step, draw(price), fee=draw(fee), at_ms=at_ms))
    return fresh, shares


def entries_of(shares):
    return [share for share in shares if share.is_entry]


def exits_of(shares):
    return [share for share in shares if not share.is_entry]


@given(history=histories())
def test_settling_twice_is_settling_once(history):
    fresh, shares = history
    once = settle(fresh, shares)
    assert settle(once, shares) == once


@given(history=histories(), data=st.data())
def test_the_order_in_which_fills_are_heard_of_does_not_matter(history, data):
    fresh, shares = history
    assert settle(fresh, data.draw(st.permutations(shares))) == settle(fresh, shares)


@given(history=histories(is_closed=True), data=st.data())
def test_the_sequence_of_fills_within_one_instant_does_not_change_the_money(history, data):
    fresh, shares = history
    numbers = data.draw(st.permutations(range(len(shares))))
    at_once = [
        replace(share, fill=replace(share.fill, timestamp_ms=ENTRY_MS, trade_seq=number))
        for number, share in zip(numbers, shares, strict=True)
    ]
    one, other = settle(fresh, at_once), settle(fresh, at_once[::-1])
    assert one == other
    apart = settle(fresh, [replace(s, fill=replace(s.fill, timestamp_ms=ENTRY_MS)) for s in shares])
    assert (one.amount, one.open_amount, one.status) == (
        apart.amount,
        apart.open_amount,
        apart.status,
    )
    # Sums of inexact quotients in another order may differ in the last of 28 digits.
    assert abs(one.pnl - apart.pnl) <= SETTLEMENT_QUANTUM * len(shares)
    assert abs(one.fees - apart.fees) < D("1e-20")
    assert abs(one.exit_price - apart.exit_price) < D("1e-18")


@given(history=histories())
def test_the_open_amount_is_what_entered_less_what_left(history):
    fresh, shares = history
    settled = settle(fresh, shares)
    entered = sum(share.amount for share in entries_of(shares))
    left = sum(share.amount for share in exits_of(shares))
    assert settled.amount == entered
    assert settled.open_amount == entered - left
    assert settled.signed_open_amount == fresh.side.sign * (entered - left)
    assert settled.is_open is (entered > left)
    assert (settled.exit_time_ms is None) is settled.is_open
    assert (settled.exit_reason is None) is settled.is_open
    assert (settled.pnl is None) is (left == 0)


@given(history=histories(is_closed=True))
def test_profit_is_the_cash_that_went_in_and_out_less_the_fees(history):
    """Reckoned here from cash flows alone, with no entry price and no average."""
    fresh, shares = history
    settled = settle(fresh, shares)
    sign = fresh.side.sign
    if fresh.instrument_name == LINEAR:
        flow = sum(
            (-sign if share.is_entry else sign) * share.amount * share.fill.price
            for share in shares
        )
    else:
        flow = sum(
            (sign if share.is_entry else -sign) * share.amount / share.fill.price
            for share in shares
        )
    fees = sum(share.fill.fee * share.amount / share.fill.amount for share in shares)
    # Each exit is booked in eight decimals, as the exchange does.
    tolerance = SETTLEMENT_QUANTUM * len(exits_of(shares)) / 2 + D("1e-15")
    assert abs(settled.pnl - (flow - fees)) <= tolerance
    assert abs(settled.fees - fees) < D("1e-20")
    assert settled.pnl_source is PnlSource.FILLS


@given(history=histories(is_closed=True), data=st.data())
def test_a_fill_split_in_parts_settles_as_one(history, data):
    fresh, shares = history
    at = data.draw(st.integers(0, len(shares) - 1))
    whole, step = shares[at], STEP[fresh.instrument_name]
    parts = data.draw(st.lists(st.integers(0, int(whole.amount / step)), max_size=3))
    cuts = sorted({0, *parts, int(whole.amount / step)})
    pieces = []
    for n, (start, end) in enumerate(zip(cuts, cuts[1:], strict=False)):
        amount = (end - start) * step
        piece = replace(
            whole.fill,
            trade_id=f"{whole.fill.trade_id}-{n}",
            amount=amount,
            fee=whole.fill.fee * amount / whole.fill.amount,
        )
        pieces.append(replace(whole, fill=piece, amount=amount))
    split = settle(fresh, [*shares[:at], *pieces, *shares[at + 1 :]])
    one = settle(fresh, shares)
    assert (split.amount, split.open_amount, split.status) == (
        one.amount,
        one.open_amount,
        one.status,
    )
    assert (split.exit_time_ms, split.exit_reason) == (one.exit_time_ms, one.exit_reason)
    assert abs(split.entry_price - one.entry_price) < D("1e-18")
    assert abs(split.fees - one.fees) < D("1e-20")
    assert abs(split.pnl - one.pnl) <= SETTLEMENT_QUANTUM * (len(pieces) + len(shares))


@pytest.mark.parametrize(
    ("name", "side", "amount", "entry_price", "exit_price", "gross"),
    [
        pytest.param(LINEAR, BUY, "0.01", "95000", "95500", "5.00", id="linear long wins"),
        pytest.param(LINEAR, BUY, "0.01", "95000", "94500", "-5.00", id="linear long loses"),
        pytest.param(LINEAR, SELL, "0.01", "95000", "94500", "5.00", id="linear short wins"),
        pytest.param(LINEAR, SELL, "0.001", "20563", "20694", "-0.131", id="linear short loses"),
        pytest.param(INVERSE, BUY, "1000", "50000", "62500", "0.00400000", id="inverse long wins"),
        pytest.param(
            INVERSE, BUY, "1000", "50000", "40000", "-0.00500000", id="inverse long loses"
        ),
        pytest.param(
            INVERSE, SELL, "10", "91701.5", "92037", "-4.0E-7", id="inverse short, as recorded"
        ),
        pytest.param(
            INVERSE, SELL, "1000", "50000", "40000", "0.00500000", id="inverse short wins"
        ),
    ],
)
def test_profit_is_to_the_last_digit_and_net_of_both_fees(
    name, side, amount, entry_price, exit_price, gross
):
    fresh = trade(side, name)
    shares = [
        entry(1, fresh, amount, entry_price, fee="0.00000006"),
        exit_(2, fresh, amount, exit_price, fee="0.00000005"),
    ]
    settled = settle(fresh, shares)
    assert settled.fees == D("0.00000011")
    assert settled.pnl == D(gross) - D("0.00000011")
    assert settled.exit_price == D(exit_price)
    assert settled.status is TradeStatus.CLOSED


def test_a_rebate_adds_to_the_profit():
    fresh = trade()
    shares = [entry(1, fresh, "1", "100", fee="-0.5"), exit_(2, fresh, "1", "100", fee="-0.25")]
    assert settle(fresh, shares).pnl == D("0.75")


def test_a_partial_exit_keeps_the_trade_open_and_books_its_part():
    fresh = trade()
    shares = [entry(1, fresh, "10", "100", fee="1"), exit_(2, fresh, "4", "110", fee="0.5")]
    settled = settle(fresh, shares)
    assert settled.is_open
    assert settled.open_amount == 6
    assert settled.amount == 10
    assert settled.pnl == D(40) - D("1.5")
    assert settled.exit_price == 110
    assert (settled.exit_time_ms, settled.exit_reason) == (None, None)


def test_the_last_fill_says_when_and_why_a_trade_ended():
    fresh = trade()
    shares = [
        exit_(3, fresh, "6", "90", reason=ExitReason.SL_HIT),
        entry(1, fresh, "10", "100"),
        exit_(2, fresh, "4", "110", reason=ExitReason.TP_HIT),
    ]
    settled = settle(fresh, shares)
    assert settled.exit_reason is ExitReason.SL_HIT
    assert settled.exit_time_ms == ENTRY_MS + 3
    assert settled.exit_price == D(98)


def test_an_exit_without_a_reason_was_made_by_hand():
    fresh = trade()
    settled = settle(fresh, [entry(1, fresh, "1", "100"), exit_(2, fresh, "1", "100")])
    assert settled.exit_reason is ExitReason.MANUAL


def test_entry_fills_say_when_at_what_price_and_how_much():
    fresh = trade(name=INVERSE, entry_price=D(7), amount=D(7), entry_time_ms=7)
    settled = settle(fresh, [entry(5, fresh, "10", "200"), entry(4, fresh, "10", "100")])
    assert settled.entry_time_ms == ENTRY_MS + 4
    assert settled.amount == settled.open_amount == 20
    assert abs(settled.entry_price - D(400) / 3) < D("1e-20")


def test_a_trade_inserted_by_hand_keeps_its_own_entry():
    by_hand = trade(entry_price=D(95_000), amount=D("0.01"), open_amount=D("0.01"))
    settled = settle(by_hand, [exit_(2, by_hand, "0.01", "95100", fee="0.1")])
    assert (settled.entry_price, settled.entry_time_ms) == (D(95_000), ENTRY_MS)
    assert settled.pnl == D("0.9")
    assert not settled.is_open


def test_no_fills_change_nothing():
    assert settle(trade(), []) == trade()


def test_a_share_of_a_fill_takes_its_share_of_the_fee():
    one = fill(1, SELL, "10", "100", fee="0.05")
    share = FillShare(fill=one, amount=D(4), is_entry=False)
    assert share.fee == D("0.02")


@given(amount=st.integers(1, 1_000), fee=st.decimals(-1, 1, places=8), data=st.data())
def test_shares_of_one_fill_pay_its_whole_fee_between_them(amount, fee, data):
    one = fill(1, SELL, amount, "100", fee=fee)
    first = data.draw(st.integers(1, amount))
    shares = [FillShare(fill=one, amount=D(first), is_entry=False)]
    if first < amount:
        shares.append(FillShare(fill=one, amount=D(amount - first), is_entry=False))
    assert abs(sum(share.fee for share in shares) - fee) < D("1e-25")


def test_a_whole_fill_pays_its_fee_to_the_last_digit():
    one = fill(1, SELL, "3", "100", fee="0.01000001")
    assert FillShare(fill=one, amount=D(3), is_entry=False).fee == D("0.01000001")


def test_closing_more_than_was_open_is_a_bug_and_crashes():
    fresh = trade()
    with pytest.raises(AssertionError, match="beyond its amount"):
        settle(fresh, [entry(1, fresh, "1", "100"), exit_(2, fresh, "1.0001", "100")])


def test_an_entry_fill_heard_of_after_the_close_opens_the_trade_again():
    fresh = trade()
    early = [entry(1, fresh, "5", "100"), exit_(3, fresh, "5", "110")]
    closed = settle(fresh, early)
    assert not closed.is_open
    late = [*early, entry(2, fresh, "5", "101")]
    assert settle(closed, late) == settle(fresh, late)


@pytest.mark.parametrize("side", Direction)
@pytest.mark.parametrize("name", [LINEAR, INVERSE])
def test_an_estimate_earns_what_one_free_fill_at_mark_would(name, side):
    fresh = trade(side, name)
    opened = settle(fresh, [entry(1, fresh, "1000", "50000", fee="0.00000500")])
    estimated = close_at_estimate(opened, mark_price=D(51_000), now_ms=9_999)
    by_fill = settle(
        fresh,
        [
            entry(1, fresh, "1000", "50000", fee="0.00000500"),
            exit_(2, fresh, "1000", "51000"),
        ],
    )
    assert estimated.pnl == by_fill.pnl
    assert estimated.fees == by_fill.fees
    assert estimated.status is TradeStatus.CLOSED
    assert estimated.open_amount == 0
    assert estimated.pnl_source is PnlSource.ESTIMATE
    assert estimated.exit_reason is ExitReason.MANUAL
    assert (estimated.exit_price, estimated.exit_time_ms) == (D(51_000), 9_999)


@given(history=histories(), mark=st.decimals(min_value=1_000, max_value=200_000, places=1))
def test_an_estimate_adds_to_what_partial_exits_have_booked(history, mark):
    fresh, shares = history
    settled = settle(fresh, shares)
    if not settled.is_open:
        return
    estimated = close_at_estimate(settled, mark_price=mark, now_ms=9_999)
    rest = exit_(98, fresh, settled.open_amount, mark, at_ms=9_999)
    assert abs(estimated.pnl - settle(fresh, [*shares, rest]).pnl) < D("1e-20")
    assert estimated.fees == settled.fees


def test_true_fills_replace_an_estimate_and_are_never_added_to_it():
    fresh = trade()
    shares = [entry(1, fresh, "10", "100", fee="1")]
    estimated = close_at_estimate(settle(fresh, shares), mark_price=D(50), now_ms=9_999)
    shares.append(exit_(2, fresh, "10", "120", fee="2", reason=ExitReason.TP_HIT))
    corrected = settle(estimated, shares)
    assert corrected == settle(fresh, shares)
    assert (corrected.pnl, corrected.pnl_source) == (D(197), PnlSource.FILLS)
    assert corrected.exit_reason is ExitReason.TP_HIT


@pytest.mark.parametrize(
    ("name", "currency"), [(LINEAR, "USDC"), (INVERSE, "BTC"), ("ETH-PERPETUAL", "ETH")]
)
def test_cash_of_a_trade_is_in_its_settlement_currency(name, currency):
    assert trade(name=name).settlement_currency == currency


def test_settling_touches_neither_protection_nor_funding():
    fresh = trade(stop_loss=D(91), take_profit=D(120), funding=D("0.5"))
    settled = settle(fresh, [entry(1, fresh, "10", "100"), exit_(2, fresh, "10", "110")])
    assert (settled.stop_loss, settled.take_profit, settled.funding) == (D(91), D(120), D("0.5"))
    assert settled.pnl == 100


def test_every_order_of_four_fills_makes_one_trade():
    fresh = trade(SELL, INVERSE)
    shares = [
        entry(1, fresh, "100", "50000", fee="0.00000100", at_ms=5),
        entry(2, fresh, "50", "50500", fee="0.00000050", at_ms=5),
        exit_(3, fresh, "70", "49000", fee="0.00000071", at_ms=6),
        exit_(4, fresh, "80", "48000", fee="0.00000083", at_ms=6, reason=ExitReason.TP_HIT),
    ]
    assert len({repr(settle(fresh, order)) for order in permutations(shares)}) == 1
