"""Which fills of others closed which trade of ours."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from vigil.domain.order import Direction, Fill
from vigil.domain.trade import ExitReason, Trade, TradeStatus
from vigil.reconcile.exits import LooseFill, explain, explain_late

BUY, SELL = Direction.BUY, Direction.SELL
NAME = "BTC-PERPETUAL"


def trade(trade_id, at_ms, amount, side=BUY):
    return Trade(
        trade_id=trade_id,
        strategy_name="Razor",
        instrument_name=NAME,
        side=side,
        entry_order_id="o",
        entry_price=D(50_000),
        amount=D(amount),
        entry_time_ms=at_ms,
        status=TradeStatus.OPEN,
        open_amount=D(amount),
    )


def loose(fill_id, at_ms, amount, direction=SELL, *, of=None, seq=0, is_liquidation=False):
    fill = Fill(
        trade_id=fill_id,
        order_id=f"o-{fill_id}",
        label="",
        instrument_name=NAME,
        direction=direction,
        amount=D(of or amount),
        price=D(50_000),
        fee=D(0),
        fee_currency="BTC",
        timestamp_ms=at_ms,
        trade_seq=seq,
        is_liquidation=is_liquidation,
    )
    return LooseFill(fill=fill, amount=D(amount))


def shared(trades, shortage, fills):
    """The shares as `{trade: [(fill, amount), …]}`."""
    return {
        one.trade.trade_id: [(share.fill.trade_id, int(share.amount)) for share in one.shares]
        for one in explain(trades, D(shortage), fills)
    }


A, B = trade("A", 100, 10), trade("B", 200, 20)


@pytest.mark.parametrize(
    ("trades", "shortage", "fills", "expected"),
    [
        pytest.param([A], 10, [loose("f", 150, 10)], {"A": [("f", 10)]}, id="one fill, one trade"),
        pytest.param([A], 10, [], {}, id="no fills, nothing explained"),
        pytest.param([], 10, [loose("f", 150, 10)], {}, id="no trades, nothing explained"),
        pytest.param([A], 10, [loose("f", 99, 10)], {}, id="a fill from before the entry"),
        pytest.param(
            [A], 10, [loose("f", 100, 10)], {"A": [("f", 10)]}, id="in the entry's own millisecond"
        ),
        pytest.param([A], 10, [loose("f", 150, 10, BUY)], {}, id="a fill that adds"),
        pytest.param(
            [A], 4, [loose("f", 150, 10)], {"A": [("f", 4)]}, id="no more than is missing"
        ),
        pytest.param(
            [A], 10, [loose("f", 150, 4)], {"A": [("f", 4)]}, id="no more than the fill has"
        ),
        pytest.param(
            [A],
            10,
            [loose("f", 150, 4, of=50)],
            {"A": [("f", 4)]},
            id="no more than is loose of the fill",
        ),
        pytest.param(
            [A],
            10,
            [loose("g", 160, 7), loose("f", 150, 3)],
            {"A": [("f", 3), ("g", 7)]},
            id="several fills, told in the order they happened",
        ),
        pytest.param(
            [A],
            10,
            [loose("old", 150, 10), loose("new", 900, 10)],
            {"A": [("new", 10)]},
            id="the newest reduction explains",
        ),
        pytest.param(
            [A],
            10,
            [loose("old", 150, 10), loose("new", 900, 6)],
            {"A": [("old", 4), ("new", 6)]},
            id="an older one only for what the newest leaves",
        ),
        pytest.param(
            [A],
            10,
            [loose("first", 150, 10, seq=1), loose("second", 150, 10, seq=2)],
            {"A": [("second", 10)]},
            id="within a millisecond the sequence tells which is newer",
        ),
        pytest.param(
            [A, B], 10, [loose("f", 300, 10)], {"A": [("f", 10)]}, id="the oldest trade first"
        ),
        pytest.param(
            [A, B],
            25,
            [loose("f", 300, 25)],
            {"A": [("f", 10)], "B": [("f", 15)]},
            id="one fill over two trades",
        ),
        pytest.param(
            [A, B],
            30,
            [loose("f", 150, 10), loose("g", 300, 20)],
            {"A": [("f", 10)], "B": [("g", 20)]},
            id="each trade by fills after its entry",
        ),
        pytest.param(
            [B, A],
            10,
            [loose("f", 300, 10)],
            {"B": [("f", 10)]},
            id="the order of closing is the caller's",
        ),
        pytest.param(
            [B, A],
            20,
            [loose("f", 150, 20)],
            {"A": [("f", 10)]},
            id="a trade not yet opened is passed over",
        ),
        pytest.param(
            [trade("S", 100, 10, SELL)],
            10,
            [loose("f", 150, 10, SELL), loose("g", 140, 10, BUY)],
            {"S": [("g", 10)]},
            id="a short is closed by buying",
        ),
        pytest.param([A], 0, [loose("f", 150, 10)], {}, id="nothing is missing"),
    ],
)
def test_fills_are_shared_out(trades, shortage, fills, expected):
    assert shared(trades, shortage, fills) == expected


def test_the_newest_reduction_explains_also_beside_a_trade_that_nothing_explains():
    """A was closed by hand at 190; B, opened at 200, never was at the exchange."""
    fills = [loose("earlier", 150, 10), loose("closing", 190, 10)]
    assert shared([A, B], 30, fills) == {"A": [("closing", 10)]}


@pytest.mark.parametrize(
    ("is_liquidation", "reason"), [(True, ExitReason.LIQUIDATION), (False, ExitReason.MANUAL)]
)
def test_the_mark_of_a_liquidation_says_why(is_liquidation, reason):
    (exit_,) = explain([A], D(10), [loose("f", 150, 10, is_liquidation=is_liquidation)])
    assert [share.reason for share in exit_.shares] == [reason]
    assert exit_.amount == 10
    assert not any(share.is_entry for share in exit_.shares)


fill_lists = st.lists(
    st.builds(
        loose,
        st.integers().map("f{}".format),
        st.integers(0, 50),
        st.integers(1, 30),
        st.sampled_from(Direction),
        seq=st.integers(0, 10**6),
    ),
    max_size=6,
    unique_by=(lambda one: one.fill.trade_id, lambda one: one.fill.trade_seq),
)


@st.composite
def positions(draw):
    """Open trades of one side, oldest first, and a shortage they could have."""
    side = draw(st.sampled_from(Direction))
    lots = draw(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 30)), max_size=4))
    trades = [trade(f"t{n}", at_ms, lot, side) for n, (at_ms, lot) in enumerate(sorted(lots))]
    total = sum(lot for _, lot in lots)
    return trades, draw(st.integers(0, total))


@given(position=positions(), fills=fill_lists)
def test_nothing_is_closed_that_is_not_missing_open_and_paid_for_by_a_fill(position, fills):
    trades, shortage = position
    exits = explain(trades, D(shortage), fills)
    shares = [(one.trade, share) for one in exits for share in one.shares]
    assert sum(share.amount for _, share in shares) <= shortage
    for one in exits:
        assert 0 < one.amount <= one.trade.open_amount
    for available in fills:
        taken = [s.amount for _, s in shares if s.fill.trade_id == available.fill.trade_id]
        assert sum(taken) <= available.amount
    for closed, share in shares:
        assert share.amount > 0
        assert share.fill.direction is closed.side.opposite
        assert share.fill.timestamp_ms >= closed.entry_time_ms
    order = [closed.trade_id for closed in trades]
    assert [one.trade.trade_id for one in exits] == sorted(
        {closed.trade_id for closed, _ in shares}, key=order.index
    )


@given(position=positions(), fills=fill_lists, data=st.data())
def test_the_order_in_which_fills_are_read_does_not_matter(position, fills, data):
    trades, shortage = position
    shuffled = data.draw(st.permutations(fills))
    assert shared(trades, shortage, shuffled) == shared(trades, shortage, fills)


@given(lot=st.integers(1, 30), fills=fill_lists, data=st.data())
def test_a_single_trade_is_explained_as_far_as_fills_reach(lot, fills, data):
    only = trade("t", 20, lot)
    shortage = data.draw(st.integers(0, lot))
    exits = explain([only], D(shortage), fills)
    useful = [f for f in fills if f.fill.direction is SELL and f.fill.timestamp_ms >= 20]
    assert sum(one.amount for one in exits) == min(shortage, sum(f.amount for f in useful))
    taken = {share.fill.trade_id: share.amount for one in exits for share in one.shares}
    newest_first = sorted(useful, key=lambda f: (-f.fill.timestamp_ms, -f.fill.trade_seq))
    for newer, older in zip(newest_first, newest_first[1:], strict=False):
        if older.fill.trade_id in taken:
            assert taken[newer.fill.trade_id] == newer.amount


def test_fills_after_an_estimate_are_none_of_its_trade():
    """The exchange held nothing of it any more; who sold later sold something else."""
    estimated = replace(A, open_amount=D(0), exit_time_ms=200)
    later = loose("later", 201, 10)
    assert explain_late(estimated, (), [later]) is None
    found = explain_late(estimated, (), [loose("in time", 150, 4), later])
    assert found is not None
    assert [(share.fill.trade_id, share.amount) for share in found.shares] == [("in time", 4)]
