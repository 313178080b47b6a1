"""Every kind of drift: found where it is, not found where it is not, and gone once mended."""

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from vigil.domain.instrument import contract_of
from vigil.domain.order import (
    Direction,
    Fill,
    Order,
    OrderStatus,
    OrderType,
    OwnOrder,
    Role,
)
from vigil.domain.portfolio import Position
from vigil.domain.trade import Trade, TradeStatus
from vigil.reconcile.compare import LOG_WAIT_MS, compare, is_mass
from vigil.reconcile.drift import (
    Crossed,
    ForeignOrder,
    ForeignPosition,
    Leftover,
    Misfit,
    Naked,
    Orphan,
    Silent,
    Stillborn,
    Unexplained,
    Unfilled,
    Unprotectable,
    Unreadable,
    Unrecorded,
    Unsettled,
    Vanished,
)
from vigil.reconcile.exits import LooseFill
from vigil.reconcile.readings import SETTLE_MS, ExchangeReading, LedgerReading, Record

BUY, SELL = Direction.BUY, Direction.SELL
LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"
NOW_MS = 1_000_000
LONG_AGO_MS = NOW_MS - 600_000
MARK = D(50_000)
LOT = {LINEAR: D("0.01"), INVERSE: D(100)}

PROTECTIVE_TYPE = {Role.STOP: OrderType.STOP_MARKET, Role.TARGET: OrderType.LIMIT}


def trade(trade_id="t1", name=LINEAR, side=BUY, lots=1, **changes):
    amount = lots * LOT[name]
    return Trade(
        **{
            "trade_id": trade_id,
            "strategy_id": "s",
            "strategy_name": "Razor",
            "instrument_name": name,
            "side": side,
            "entry_order_id": "o",
            "entry_price": MARK,
            "amount": amount,
            "entry_time_ms": LONG_AGO_MS,
            "status": TradeStatus.OPEN,
            "open_amount": amount,
            "stop_loss": MARK - side.sign * 500,
            "take_profit": MARK + side.sign * 500,
        }
        | changes
    )


def row(role, owner, number=1, **changes):
    """The ledger's row of an order that belongs to trade `owner`."""
    status = OrderStatus.UNTRIGGERED if role is Role.STOP else OrderStatus.OPEN
    return OwnOrder(
        **{
            "label": f"vg-{role.value}.{owner.trade_id}-{number}-1",
            "intent_id": number,
            "attempt": 1,
            "strategy_id": "s",
            "strategy_name": "Razor",
            "role": role,
            "trade_id": owner.trade_id,
            "instrument_name": owner.instrument_name,
            "direction": owner.side if role is Role.ENTRY else owner.side.opposite,
            "order_type": PROTECTIVE_TYPE.get(role, OrderType.MARKET),
            "amount": owner.open_amount,
            "created_ms": LONG_AGO_MS,
            "valid_until_ms": LONG_AGO_MS + 4_000,
            "status": status,
            "price": owner.take_profit if role is Role.TARGET else None,
            "trigger_price": owner.stop_loss if role is Role.STOP else None,
            "reduce_only": role is not Role.ENTRY,
        }
        | changes
    )


def at_exchange(own, **changes):
    """The exchange's view of the order of a row."""
    return Order(
        **{
            "order_id": f"x-{own.label}",
            "label": own.label,
            "instrument_name": own.instrument_name,
            "direction": own.direction,
            "order_type": own.order_type,
            "status": own.status,
            "amount": own.amount,
            "filled_amount": D(0),
            "creation_timestamp_ms": LONG_AGO_MS,
            "last_update_timestamp_ms": LONG_AGO_MS,
            "price": own.price,
            "trigger_price": own.trigger_price,
            "reduce_only": own.reduce_only,
        }
        | changes
    )


def foreign_order(name=LINEAR, label="", **changes):
    return at_exchange(row(Role.TARGET, trade("nobody", name)), label=label, **changes)


def loose(name, lots, direction, at_ms=NOW_MS - 60_000, fill_id="f1"):
    fill = Fill(
        trade_id=fill_id,
        order_id="web",
        label="",
        instrument_name=name,
        direction=direction,
        amount=lots * LOT[name],
        price=MARK,
        fee=D(0),
        fee_currency=contract_of(name).settlement_currency,
        timestamp_ms=at_ms,
        trade_seq=at_ms,
    )
    return LooseFill(fill=fill, amount=fill.amount)


@dataclass
class World:
    """Both sides at once: what the ledger believes, and what the exchange holds."""

    trades: list[Trade] = field(default_factory=list)
    proven: set[str] = field(default_factory=set)
    working: list[OwnOrder] = field(default_factory=list)
    loose: list[LooseFill] = field(default_factory=list)
    last_fill_ms: dict[str, int] = field(default_factory=dict)
    short: list[OwnOrder] = field(default_factory=list)
    ended: dict[str, OwnOrder] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    held: dict[str, D] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)
    marks: dict[str, D] = field(default_factory=lambda: {LINEAR: MARK, INVERSE: MARK})

    def add(self, *trades, is_held=True, is_protected=True, is_proven=True):
        """Trades that are what they should be, unless said otherwise."""
        for one in trades:
            self.trades.append(one)
            if is_proven:
                self.proven.add(one.trade_id)
            if is_held:
                self.hold(one.instrument_name, one.signed_open_amount)
            if is_protected:
                for role in (Role.STOP, Role.TARGET):
                    self.rest(row(role, one))
        return self

    def rest(self, own, **changes):
        self.working.append(own)
        self.orders.append(at_exchange(own, **changes))
        return self

    def hold(self, name, size):
        self.held[name] = self.held.get(name, D(0)) + size
        return self

    def readings(self):
        loose_fills = {}
        for one in self.loose:
            loose_fills.setdefault(one.fill.instrument_name, []).append(one)
        ledger = LedgerReading(
            trades=tuple(self.trades),
            with_entry_fills=frozenset(self.proven),
            working=tuple(self.working),
            loose_fills=loose_fills,
            last_fill_ms=self.last_fill_ms,
            short=tuple(self.short),
            ended=self.ended,
            records=self.records,
        )
        exchange = ExchangeReading(
            started_ms=NOW_MS,
            positions={
                name: Position(
                    instrument_name=name,
                    size=size,
                    average_price=MARK if size else None,
                    mark_price=self.marks[name],
                    realized_profit_loss=D(0),
                    floating_profit_loss=D(0),
                )
                for name, size in self.held.items()
            },
            open_orders=tuple(self.orders),
            mark_prices=self.marks,
        )
        return ledger, exchange

    def drifts(self):
        return list(compare(*self.readings()))


@pytest.fixture(params=[LINEAR, INVERSE], ids=["linear", "inverse"])
def name(request):
    return request.param


@pytest.fixture(params=[BUY, SELL], ids=["long", "short"])
def side(request):
    return request.param


# --- no drift


def test_nothing_on_either_side_is_no_drift():
    assert World().drifts() == []


def test_a_trade_that_is_held_and_protected_is_no_drift(name, side):
    assert World().add(trade(name=name, side=side)).drifts() == []


def test_a_flat_position_that_the_exchange_still_lists_is_no_drift(name):
    assert World().hold(name, D(0)).drifts() == []


def test_strategies_share_one_net_position_and_both_sides(name):
    world = World().add(
        trade("t1", name, BUY, 3), trade("t2", name, SELL, 1), trade("t3", name, BUY, 1)
    )
    assert world.held[name] == 3 * LOT[name]
    assert world.drifts() == []


def test_opposite_trades_that_net_to_flat_are_no_drift(name):
    assert World().add(trade("t1", name, BUY), trade("t2", name, SELL)).drifts() == []


def test_a_trade_without_target_is_protected_by_its_stop_alone(name, side):
    held = trade(name=name, side=side, take_profit=None)
    assert World().add(held, is_protected=False).rest(row(Role.STOP, held)).drifts() == []


# --- sizes


def test_a_trade_closed_by_others_is_an_orphan_with_their_fills(name, side):
    gone = trade(name=name, side=side)
    world = World().add(gone, is_held=False)
    world.loose = [loose(name, 1, side.opposite)]
    orphan, *rest = world.drifts()
    assert isinstance(orphan, Orphan)
    assert orphan.trade == gone
    assert orphan.exit.amount == gone.open_amount
    assert rest == []


def test_a_trade_closed_in_part_by_others_is_an_orphan_of_that_part(name, side):
    world = World().add(trade(name=name, side=side, lots=3))
    world.hold(name, -side.sign * LOT[name])
    world.loose = [loose(name, 1, side.opposite)]
    (orphan,) = world.drifts()
    assert isinstance(orphan, Orphan)
    assert orphan.exit.amount == LOT[name]


def test_a_trade_that_is_not_held_and_that_no_fill_explains_has_vanished(name, side):
    gone = trade(name=name, side=side)
    assert World().add(gone, is_held=False).drifts() == [Vanished(trade=gone)]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"at_ms": LONG_AGO_MS - 1}, id="before its entry"),
        pytest.param({"is_adding": True}, id="of the wrong direction"),
        pytest.param({"is_elsewhere": True}, id="of another instrument"),
    ],
)
def test_a_fill_that_cannot_have_closed_a_trade_does_not_explain_it(name, side, changes):
    gone = trade(name=name, side=side)
    world = World().add(gone, is_held=False)
    elsewhere = INVERSE if name == LINEAR else LINEAR
    world.loose = [
        loose(
            elsewhere if changes.get("is_elsewhere") else name,
            1,
            side if changes.get("is_adding") else side.opposite,
            changes.get("at_ms", NOW_MS - 60_000),
        )
    ]
    assert world.drifts() == [Vanished(trade=gone)]


def test_a_part_that_is_missing_and_that_no_fill_explains_is_told(name, side):
    held = trade(name=name, side=side, lots=3)
    world = World().add(held).hold(name, -side.sign * LOT[name])
    assert world.drifts() == [Unexplained(trade=held, missing_amount=LOT[name])]


def test_what_is_left_of_an_unexplained_trade_is_protected(name, side):
    held = trade(name=name, side=side, lots=3)
    world = World().add(held, is_protected=False).hold(name, -side.sign * LOT[name])
    assert Naked(trade=held) in world.drifts()


def test_a_position_that_no_trade_explains_is_foreign(name, side):
    size = side.sign * LOT[name]
    assert World().hold(name, size).drifts() == [ForeignPosition(instrument_name=name, size=size)]


def test_a_position_larger_than_the_trades_is_foreign_by_the_difference(name, side):
    world = World().add(trade(name=name, side=side)).hold(name, side.sign * 2 * LOT[name])
    assert world.drifts() == [ForeignPosition(instrument_name=name, size=side.sign * 2 * LOT[name])]


def test_a_position_turned_round_closes_the_trade_and_is_foreign_beyond_it(name, side):
    gone = trade(name=name, side=side)
    world = World().add(gone).hold(name, -side.sign * 3 * LOT[name])
    assert world.drifts() == [
        Vanished(trade=gone),
        ForeignPosition(instrument_name=name, size=-side.sign * 2 * LOT[name]),
    ]


def test_of_two_trades_the_one_whose_exit_has_filled_is_gone(name, side):
    """Its fills do not show yet, and the older trade beside it is held."""
    held = trade("held", name, side, entry_time_ms=LONG_AGO_MS)
    gone = trade("gone", name, side, entry_time_ms=LONG_AGO_MS + 1)
    world = World().add(held).add(gone, is_held=False, is_protected=False)
    filled = {"status": OrderStatus.FILLED, "filled_amount": gone.open_amount}
    world.short = [row(Role.ENTRY, held, **filled), row(Role.CLOSE, gone, **filled)]
    assert world.drifts() == [Vanished(trade=gone)]


def test_the_trade_without_evidence_vanishes_and_not_the_real_one_beside_it(name, side):
    real = trade("real", name, side, entry_time_ms=LONG_AGO_MS)
    by_hand = trade("by_hand", name, side, strategy_id=None, entry_time_ms=LONG_AGO_MS + 1)
    world = World().add(real)
    world.add(by_hand, is_held=False, is_protected=False, is_proven=False)
    assert world.drifts() == [Vanished(trade=by_hand)]


@pytest.mark.parametrize("entry_time_ms", [1, LONG_AGO_MS, NOW_MS - 3_000, NOW_MS + 90_000_000])
def test_whatever_time_a_person_gave_the_row_it_is_the_one_that_vanishes(name, side, entry_time_ms):
    real = trade("real", name, side)
    by_hand = trade("by_hand", name, side, strategy_id=None, entry_time_ms=entry_time_ms)
    world = World().add(real)
    world.add(by_hand, is_held=False, is_protected=False, is_proven=False)
    assert world.drifts() == [Vanished(trade=by_hand)]


def test_a_row_by_hand_on_the_other_side_vanishes_beside_the_real_trade(name, side):
    by_hand = trade("by_hand", name, side.opposite, strategy_id=None)
    world = World().add(trade("real", name, side))
    world.add(by_hand, is_held=False, is_protected=False, is_proven=False)
    assert world.drifts() == [Vanished(trade=by_hand)]


def test_a_real_close_beside_a_row_by_hand_goes_to_the_real_trade(name, side):
    real = trade("real", name, side, entry_time_ms=LONG_AGO_MS + 1)
    by_hand = trade("by_hand", name, side, strategy_id=None)
    world = World().add(real, is_held=False, is_protected=False)
    world.add(by_hand, is_held=False, is_protected=False, is_proven=False)
    world.loose = [loose(name, 1, side.opposite)]
    orphan, vanished = world.drifts()
    assert isinstance(orphan, Orphan)
    assert orphan.trade == real
    assert vanished == Vanished(trade=by_hand)


def test_a_reduction_by_others_takes_the_oldest_of_several_trades(name, side):
    older = trade("older", name, side, entry_time_ms=LONG_AGO_MS)
    newer = trade("newer", name, side, entry_time_ms=LONG_AGO_MS + 1)
    world = World().add(newer, older).hold(name, -side.sign * LOT[name])
    world.loose = [loose(name, 1, side.opposite)]
    (orphan,) = world.drifts()
    assert orphan.trade == older


def test_a_reduction_by_others_leaves_trades_of_the_other_side_alone(name, side):
    mine, against = trade("mine", name, side), trade("against", name, side.opposite, 2)
    world = World().add(mine, against).hold(name, -side.sign * LOT[name])
    world.loose = [loose(name, 1, side.opposite)]
    (orphan,) = world.drifts()
    assert orphan.trade == mine


def test_instruments_are_compared_each_for_itself():
    gone, kept = trade("gone", LINEAR), trade("kept", INVERSE)
    world = World().add(gone, is_held=False).add(kept)
    assert world.drifts() == [Vanished(trade=gone)]


# --- what was there before us


@dataclass
class Shared:
    """Others hold `others` lots the other way, from before our trade of three lots."""

    name: str
    side: Direction
    others: int
    is_held_by_us: bool = True

    @property
    def trade(self):
        return trade(name=self.name, side=self.side, lots=3)

    def world(self, record=None, **changes):
        world = World().add(self.trade, is_held=self.is_held_by_us)
        world.hold(self.name, self.foreign)
        world.last_fill_ms[self.name] = LONG_AGO_MS
        if record is None:
            record = self.record(**changes)
        world.records[self.name] = record
        return world

    @property
    def foreign(self):
        return -self.side.sign * self.others * LOT[self.name]

    def record(self, **changes):
        held = self.foreign + (self.trade.signed_open_amount if self.is_held_by_us else D(0))
        known = {"position": held, "complete_ms": NOW_MS - 1, "is_explained": True}
        return Record(**(known | changes))


@pytest.mark.fault("E12")
@pytest.mark.parametrize("others", [1, 3, 5], ids=["less", "as much", "more"])
def test_a_position_from_before_our_trade_the_other_way_is_foreign_by_the_log(name, side, others):
    shared = Shared(name, side, others)
    assert shared.world().drifts() == [ForeignPosition(instrument_name=name, size=shared.foreign)]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"is_explained": False}, id="it tells of what we do not know"),
        pytest.param({"ended_flat": frozenset({"t1"})}, id="it tells that all was closed"),
        pytest.param({"position": D(12_345)}, id="it ends at another position"),
        pytest.param({"position": None, "complete_ms": None}, id="it cannot be believed"),
    ],
)
@pytest.mark.parametrize(("others", "kind"), [(1, Unexplained), (3, Vanished)])
def test_without_the_logs_word_what_is_short_is_ours(name, side, others, kind, changes):
    drifts = Shared(name, side, others).world(**changes).drifts()
    assert [type(drift) for drift in drifts] == [kind]


def test_a_row_by_hand_is_not_held_because_the_log_tells_of_no_end(name, side):
    shared = Shared(name, side, 1)
    world = shared.world()
    by_hand = trade("by_hand", name, side, strategy_id=None)
    world.add(by_hand, is_held=False, is_protected=False, is_proven=False)
    assert world.drifts() == [
        Vanished(trade=by_hand),
        ForeignPosition(instrument_name=name, size=shared.foreign),
    ]


def test_what_others_took_of_us_since_is_booked_and_the_rest_of_them_is_foreign(name, side):
    shared = Shared(name, side, 2)
    world = shared.world()
    world.hold(name, -side.sign * LOT[name])
    world.records[name] = replace(world.records[name], position=world.held[name])
    world.loose = [loose(name, 1, side.opposite)]
    orphan, *_ = world.drifts()
    assert isinstance(orphan, Orphan)
    assert orphan.exit.amount == LOT[name]
    mend(world, orphan)
    assert [type(drift) for drift in world.drifts() if not isinstance(drift, Misfit)] == [
        ForeignPosition
    ]


@pytest.mark.parametrize(
    ("age_ms", "kind"), [(LOG_WAIT_MS - 1, Unsettled), (LOG_WAIT_MS, Unexplained)]
)
def test_the_log_is_waited_for_where_a_part_is_missing_but_not_for_ever(name, side, age_ms, kind):
    shared = Shared(name, side, 1)
    world = shared.world(is_explained=False, complete_ms=NOW_MS - age_ms - 1)
    world.last_fill_ms[name] = NOW_MS - age_ms
    assert [type(drift) for drift in world.drifts()] == [kind]


# --- protection


def test_a_trade_without_a_resting_stop_is_naked(name, side):
    bare = trade(name=name, side=side)
    assert World().add(bare, is_protected=False).drifts() == [Naked(trade=bare)]


def test_a_target_alone_protects_nothing(name, side):
    bare = trade(name=name, side=side)
    world = World().add(bare, is_protected=False).rest(row(Role.TARGET, bare))
    assert world.drifts() == [Naked(trade=bare)]


def test_the_stop_of_one_trade_does_not_protect_another(name, side):
    guarded, bare = trade("t1", name, side), trade("t2", name, side)
    world = World().add(guarded).add(bare, is_protected=False)
    assert world.drifts() == [Naked(trade=bare)]


@pytest.mark.parametrize(
    ("distance", "is_crossed"),
    [
        pytest.param(D("0.5"), False, id="one tick before the stop"),
        pytest.param(D(0), True, id="at the stop"),
        pytest.param(D(-1_000), True, id="far beyond the stop"),
    ],
)
def test_a_naked_trade_whose_stop_is_already_passed_is_closed_instead(
    name, side, distance, is_crossed
):
    bare = trade(name=name, side=side)
    mark = bare.stop_loss + side.sign * distance
    world = World(marks={name: mark}).add(bare, is_protected=False)
    expected = Crossed(trade=bare, mark_price=mark) if is_crossed else Naked(trade=bare)
    assert world.drifts() == [expected]


def test_a_stop_that_rests_where_it_belongs_is_left_to_fire_by_itself(name, side):
    held = trade(name=name, side=side)
    assert World(marks={name: held.stop_loss}).add(held).drifts() == []


def test_a_stop_that_rests_too_far_away_when_its_place_is_passed_is_a_crossing(name, side):
    held = trade(name=name, side=side)
    mark = held.stop_loss
    world = World(marks={name: mark}).add(held, is_protected=False)
    world.rest(row(Role.STOP, held), trigger_price=held.stop_loss - side.sign * 200)
    assert world.drifts() == [Crossed(trade=held, mark_price=mark)]


def test_a_trade_for_which_nobody_set_a_stop_is_told(name, side):
    bare = trade(name=name, side=side, stop_loss=None)
    assert World().add(bare, is_protected=False).drifts() == [Unprotectable(trade=bare)]


@pytest.mark.parametrize(
    "changes",
    [{"amount": D(1_000)}, {"trigger_price": D(1)}, {"amount": D("0.005"), "trigger_price": D(1)}],
    ids=["size", "price", "both"],
)
def test_a_stop_of_the_wrong_size_or_price_is_a_misfit(name, side, changes):
    held = trade(name=name, side=side, take_profit=None)
    stop = row(Role.STOP, held)
    world = World().add(held, is_protected=False).rest(stop, **changes)
    (misfit,) = world.drifts()
    assert misfit == Misfit(trade=held, order=at_exchange(stop, **changes), role=Role.STOP)


@pytest.mark.parametrize(
    ("resting_lots", "filled_lots", "is_misfit"),
    [
        pytest.param(2, 0, False, id="untouched"),
        pytest.param(3, 1, False, id="what is left of it fits"),
        pytest.param(2, 1, True, id="too little is left of it"),
        pytest.param(3, 0, True, id="larger than the trade"),
    ],
)
def test_a_target_must_have_left_what_the_trade_has_open(
    name, side, resting_lots, filled_lots, is_misfit
):
    held = trade(name=name, side=side, lots=2)
    target = row(Role.TARGET, held)
    world = World().add(held, is_protected=False).rest(row(Role.STOP, held))
    world.rest(target, amount=resting_lots * LOT[name], filled_amount=filled_lots * LOT[name])
    kinds = [(type(drift), drift.role) for drift in world.drifts()]
    assert kinds == ([(Misfit, Role.TARGET)] if is_misfit else [])


def test_a_second_stop_of_one_trade_is_a_leftover(name, side):
    held = trade(name=name, side=side)
    second = row(Role.STOP, held, number=2)
    world = World().add(held).rest(second)
    assert [type(drift) for drift in world.drifts()] == [Leftover]


@pytest.mark.parametrize("is_at_work", [True, False], ids=["its order rests", "no order is left"])
def test_a_stop_that_has_just_fired_is_awaited_and_then_taken_for_unfilled(name, side, is_at_work):
    """Its amount is what it set out to close; the trade has less open with each of its fills."""
    held = trade(name=name, side=side, take_profit=None)
    for age_ms, expected in ((SETTLE_MS - 1, Unsettled), (SETTLE_MS, Unfilled)):
        stop = row(Role.STOP, held, status=OrderStatus.TRIGGERED, heard_ms=NOW_MS - age_ms)
        world = World().add(held, is_protected=False)
        if is_at_work:
            world.rest(
                stop,
                status=OrderStatus.PARTIALLY_FILLED,
                amount=3 * LOT[name],
                filled_amount=2 * LOT[name],
            )
        else:
            world.working.append(stop)
        assert [type(drift) for drift in world.drifts()] == [expected]


@pytest.mark.fault("E34")
@pytest.mark.parametrize(
    ("age_ms", "mark_price", "kind"),
    [
        pytest.param(SETTLE_MS - 1, None, Unsettled, id="just now"),
        pytest.param(SETTLE_MS - 1, MARK, Unsettled, id="just now and far from it"),
        pytest.param(SETTLE_MS, MARK, Unreadable, id="for a while"),
        pytest.param(SETTLE_MS, None, Crossed, id="for a while, and the price is beyond it"),
    ],
)
def test_a_stop_whose_state_is_a_strange_word_is_told_of_and_trusted_until_it_should_have_fired(
    name, side, age_ms, mark_price, kind
):
    held = trade(name=name, side=side)
    world = World().add(held, is_protected=False)
    changed = {"status": OrderStatus.UNKNOWN, "last_update_timestamp_ms": NOW_MS - age_ms}
    world.rest(row(Role.STOP, held), **changed)
    world.rest(row(Role.TARGET, held))
    world.marks[name] = held.stop_loss if mark_price is None else mark_price
    (drift,) = world.drifts()
    assert isinstance(drift, kind)


@pytest.mark.fault("E20")
@pytest.mark.parametrize("age_ms", [SETTLE_MS - 1, SETTLE_MS])
@pytest.mark.parametrize("when", ["created_ms", "heard_ms"])
def test_a_stop_that_was_just_placed_is_not_missing_because_a_list_lacks_it(
    name, side, age_ms, when
):
    held = trade(name=name, side=side)
    world = World().add(held, is_protected=False)
    world.working.append(row(Role.STOP, held, **{when: NOW_MS - age_ms}))
    drifts = world.drifts()
    if age_ms < SETTLE_MS:
        assert [type(drift) for drift in drifts] == [Unsettled]
    else:
        assert [type(drift) for drift in drifts] == [Naked, Silent]


# --- orders


@pytest.mark.parametrize("role", [Role.STOP, Role.TARGET, Role.CLOSE])
def test_an_order_of_a_trade_that_is_no_longer_open_is_left_over(name, side, role):
    own = row(role, trade("closed", name, side))
    world = World().rest(own)
    assert world.drifts() == [Leftover(order=at_exchange(own))]


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("age_ms", [SETTLE_MS - 1, SETTLE_MS])
@pytest.mark.parametrize("news", ["its end", "a fill"])
def test_an_order_that_ended_while_the_exchange_was_read_is_no_stranger(
    name, side, role, age_ms, news
):
    """The list is a moment older than what the ledger has heard since."""
    heard_ms = NOW_MS - age_ms if news == "its end" else 0
    own = row(role, trade("over", name, side), status=OrderStatus.FILLED, heard_ms=heard_ms)
    world = World(orders=[at_exchange(own, status=OrderStatus.OPEN)], ended={own.label: own})
    if news == "a fill":
        world.last_fill_ms[name] = NOW_MS - age_ms
    is_settled = age_ms >= SETTLE_MS
    assert world.drifts() == ([Leftover(order=world.orders[0])] if is_settled else [])


def test_an_entry_that_rests_has_no_trade_yet_and_is_no_leftover(name, side):
    assert World().rest(row(Role.ENTRY, trade("next", name, side))).drifts() == []


@pytest.mark.parametrize("status", [OrderStatus.PENDING, OrderStatus.IN_DOUBT, OrderStatus.OPEN])
def test_the_stop_of_an_entry_that_is_not_settled_is_no_leftover(name, side, status):
    coming = trade("coming", name, side)
    entry = row(Role.ENTRY, coming, status=status)
    world = World(working=[entry])
    world.rest(row(Role.STOP, coming, parent_label=entry.label))
    assert not [drift for drift in world.drifts() if isinstance(drift, Leftover)]


def test_an_order_with_our_label_that_the_ledger_does_not_know_is_unrecorded(name, side):
    stray = at_exchange(row(Role.STOP, trade("stray", name, side)))
    assert World(orders=[stray]).drifts() == [Unrecorded(order=stray)]


@pytest.mark.parametrize("label", ["", "mine", "vg-", "vg-x-1"])
@pytest.mark.parametrize("age_ms", [0, 600_000], ids=["young", "old"])
def test_an_order_without_a_label_of_ours_is_foreign_from_the_start(name, label, age_ms):
    order = foreign_order(name, label, creation_timestamp_ms=NOW_MS - age_ms)
    assert World(orders=[order]).drifts() == [ForeignOrder(order=order)]


@pytest.mark.parametrize(
    ("age_ms", "is_settled"),
    [
        pytest.param(SETTLE_MS, True, id="just settled"),
        pytest.param(SETTLE_MS - 1, False, id="a millisecond too young"),
        pytest.param(-5_000, False, id="made after the reading began"),
    ],
)
def test_a_young_order_of_ours_is_left_for_the_next_pass(name, side, age_ms, is_settled):
    own, stray = (row(Role.STOP, trade(which, name, side)) for which in ("closed", "stray"))
    made_ms = NOW_MS - age_ms
    world = World().rest(own, creation_timestamp_ms=made_ms)
    world.orders.append(at_exchange(stray, creation_timestamp_ms=made_ms))
    kinds = [type(drift) for drift in world.drifts()]
    assert kinds == ([Leftover, Unrecorded] if is_settled else [])


@pytest.mark.parametrize(
    "status",
    [
        OrderStatus.OPEN,
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.UNTRIGGERED,
        OrderStatus.TRIGGERED,
    ],
    ids=str,
)
def test_an_order_that_rests_only_in_the_ledger_is_silent(name, side, status):
    own = row(Role.ENTRY, trade("t9", name, side), status=status)
    assert World(working=[own]).drifts() == [Silent(order=own)]


def test_a_second_live_entry_under_one_label_goes_and_the_first_stays(name, side):
    """FAULTS E22."""
    own = row(Role.ENTRY, trade("t9", name, side), status=OrderStatus.OPEN)
    world = World().rest(own)
    world.orders.append(at_exchange(own, order_id="another"))
    assert world.drifts() == [Leftover(order=world.orders[1])]


def seen(*trades, gone=()):
    """Whether it is a disaster when those of `trades` named by `gone` are not there."""
    ledger = LedgerReading(
        trades=trades,
        with_entry_fills=frozenset(
            one.trade_id for one in trades if one.entry_order_id != "by hand"
        ),
    )
    return is_mass([one for one in trades if one.trade_id in gone], ledger)


NAMES = [LINEAR, INVERSE, "ETH_USDC-PERPETUAL", "ETH-PERPETUAL"]


@pytest.mark.parametrize(
    ("held", "gone", "is_crowd"),
    [
        pytest.param(1, 1, False, id="the only one"),
        pytest.param(2, 1, False, id="one of two"),
        pytest.param(2, 2, True, id="both"),
        pytest.param(4, 2, False, id="half"),
        pytest.param(4, 3, True, id="more than half"),
        pytest.param(4, 0, False, id="none"),
    ],
)
def test_most_positions_gone_at_once_is_a_disaster(held, gone, is_crowd):
    trades = [replace(trade(f"t{n}"), instrument_name=NAMES[n]) for n in range(held)]
    ids = {one.trade_id for one in trades[:gone]}
    assert seen(*trades, gone=ids) is is_crowd
    by_hand = [replace(one, entry_order_id="by hand") for one in trades]
    assert not seen(*by_hand, gone=ids), "what the exchange never showed is not missed"
    beside = [replace(one, trade_id=f"{one.trade_id}b") for one in trades]
    assert not seen(*trades, *beside, gone=ids), "part of each position is there"


def test_an_order_just_committed_is_not_called_silent(name, side):
    own = row(Role.ENTRY, trade("t9", name, side), created_ms=NOW_MS - SETTLE_MS + 1)
    assert World(working=[own]).drifts() == []


def test_a_linked_order_whose_parent_has_ended_never_came_to_life(name, side):
    own = row(
        Role.STOP, trade("t9", name, side), status=OrderStatus.PENDING, parent_label="vg-p-1-1"
    )
    assert World(working=[own]).drifts() == [Stillborn(order=own)]


def test_a_linked_order_waits_as_long_as_its_parent_is_at_work(name, side):
    owner = trade("t9", name, side)
    parent = row(Role.ENTRY, owner, status=OrderStatus.IN_DOUBT)
    child = row(Role.STOP, owner, status=OrderStatus.PENDING, parent_label=parent.label)
    assert World(working=[parent, child]).drifts() == []


# --- unsettled


def is_unsettled(drifts, name):
    return [type(drift) for drift in drifts if getattr(drift, "instrument_name", "") == name] == [
        Unsettled
    ]


@pytest.mark.parametrize(
    ("age_ms", "is_left"),
    [
        pytest.param(SETTLE_MS, False, id="just settled"),
        pytest.param(SETTLE_MS - 1, True, id="a millisecond too young"),
        pytest.param(-59_999, True, id="ahead by less than clocks differ"),
        pytest.param(-60_000, False, id="ahead by a person's slip"),
    ],
)
def test_a_young_trade_is_left_for_the_next_pass(name, side, age_ms, is_left):
    young = trade(name=name, side=side, entry_time_ms=NOW_MS - age_ms)
    drifts = World().add(young, is_held=False, is_protected=False).drifts()
    assert is_unsettled(drifts, name) is is_left
    assert (Vanished(trade=young) in drifts) is not is_left
    assert not any(isinstance(drift, Naked) for drift in drifts)


@pytest.mark.parametrize(("age_ms", "is_left"), [(SETTLE_MS, False), (SETTLE_MS - 1, True)])
def test_an_instrument_with_a_young_fill_is_left_for_the_next_pass(name, side, age_ms, is_left):
    world = World().add(trade(name=name, side=side), is_held=False)
    world.last_fill_ms = {name: NOW_MS - age_ms}
    assert is_unsettled(world.drifts(), name) is is_left


@pytest.mark.parametrize("status", [OrderStatus.PENDING, OrderStatus.IN_DOUBT], ids=str)
@pytest.mark.parametrize("role", [Role.ENTRY, Role.CLOSE, Role.STOP])
def test_an_instrument_with_an_order_in_doubt_is_left_for_the_next_pass(name, side, status, role):
    world = World().add(trade(name=name, side=side), is_held=False)
    world.working.append(row(role, trade("t2", name, side), status=status))
    assert is_unsettled(world.drifts(), name)


def test_a_foreign_position_is_not_judged_while_an_entry_is_in_doubt(name, side):
    entry = row(Role.ENTRY, trade(name=name, side=side), status=OrderStatus.IN_DOUBT)
    world = World(working=[entry]).hold(name, side.sign * LOT[name])
    assert is_unsettled(world.drifts(), name)


def test_doubt_about_one_instrument_leaves_the_others_judged():
    doubtful = row(Role.ENTRY, trade("t9", INVERSE), status=OrderStatus.IN_DOUBT)
    gone = trade("gone", LINEAR)
    world = World(working=[doubtful]).add(gone, is_held=False).add(trade("kept", INVERSE))
    drifts = world.drifts()
    assert Vanished(trade=gone) in drifts
    assert is_unsettled(drifts, INVERSE)


def test_a_linked_order_waiting_for_its_parent_is_not_in_doubt(name, side):
    owner = trade(name=name, side=side, take_profit=None)
    stop = row(Role.STOP, owner)
    target = row(Role.TARGET, owner, status=OrderStatus.PENDING, parent_label=stop.label)
    world = World(working=[target]).add(owner, is_protected=False).rest(stop)
    assert world.drifts() == []


# --- any readings at all

TOLD_ONLY = (ForeignPosition, ForeignOrder, Unexplained, Unprotectable, Unreadable, Unsettled)
names = st.sampled_from([LINEAR, INVERSE])
times = st.sampled_from([1, LONG_AGO_MS, LONG_AGO_MS + 5, NOW_MS - 500, NOW_MS + 10**8])
settled_times = st.sampled_from([1, LONG_AGO_MS, LONG_AGO_MS + 5, NOW_MS + 10**8])


@st.composite
def worlds(draw, *, when=times, statuses=st.sampled_from(OrderStatus)):
    world = World()
    for number in range(draw(st.integers(0, 4))):
        held = trade(
            f"t{number}",
            draw(names),
            draw(st.sampled_from(Direction)),
            draw(st.integers(1, 3)),
            entry_time_ms=draw(when),
            stop_loss=draw(st.sampled_from([None, MARK - 500, MARK, MARK + 500])),
            take_profit=draw(st.sampled_from([None, MARK + 700])),
        )
        world.add(
            held,
            is_held=draw(st.booleans()),
            is_protected=False,
            is_proven=draw(st.booleans()),
        )
        for role in draw(st.sets(st.sampled_from(Role))):
            own = row(
                role,
                held if draw(st.booleans()) else trade(f"gone{number}", held.instrument_name),
                number + 10,
                status=draw(statuses.filter(lambda status: not status.is_final)),
                parent_label=draw(st.sampled_from([None, "vg-none-1-1", "vg-entry.t0-10-1"])),
                created_ms=draw(when),
            )
            if draw(st.booleans()):
                world.working.append(own)
            if draw(st.booleans()):
                lots = draw(st.integers(1, 3))
                world.orders.append(
                    at_exchange(
                        own,
                        status=OrderStatus.UNTRIGGERED if role is Role.STOP else OrderStatus.OPEN,
                        amount=lots * LOT[held.instrument_name],
                        trigger_price=draw(st.sampled_from([held.stop_loss, D(1), None])),
                        creation_timestamp_ms=draw(when),
                    )
                )
    for name in draw(st.sets(names)):
        world.hold(name, draw(st.integers(-4, 4)) * LOT[name])
        world.last_fill_ms[name] = draw(when.filter(lambda at_ms: at_ms < NOW_MS + 10**8))
    for number in range(draw(st.integers(0, 3))):
        world.loose.append(
            loose(
                draw(names),
                draw(st.integers(1, 3)),
                draw(st.sampled_from(Direction)),
                draw(when),
                f"f{number}",
            )
        )
    if draw(st.booleans()):
        world.orders.append(foreign_order(draw(names)))
    for name in draw(st.sets(names)):
        world.records[name] = Record(
            position=draw(st.sampled_from([None, D(0), world.held.get(name, D(0))])),
            complete_ms=draw(st.sampled_from([None, 1, NOW_MS])),
            is_explained=draw(st.booleans()),
        )
    return world


@given(world=worlds())
def test_any_two_readings_have_an_answer_and_always_the_same(world):
    first = world.drifts()
    assert world.drifts() == first


@given(world=worlds())
def test_no_more_is_closed_than_the_exchange_is_short_of(world):
    drifts = world.drifts()
    for name in (LINEAR, INVERSE):
        trades = {one.trade_id: one for one in world.trades if one.instrument_name == name}
        believed = sum((one.signed_open_amount for one in trades.values()), D(0))
        difference = world.held.get(name, D(0)) - believed
        gone = Counter()
        for drift in drifts:
            match drift:
                case Orphan(exit=exit_) if exit_.trade.trade_id in trades:
                    gone[exit_.trade.trade_id] += exit_.amount
                case Vanished(trade=one) if one.trade_id in trades:
                    gone[one.trade_id] += one.open_amount
                case Unexplained(trade=one, missing_amount=amount) if one.trade_id in trades:
                    gone[one.trade_id] += amount
                case _:
                    continue
        assert all(amount <= trades[one].open_amount for one, amount in gone.items())
        assert sum(gone.values()) <= abs(difference)
        # Only the side that the exchange holds less of can have lost anything.
        assert all(trades[one].side.sign * difference < 0 for one in gone)


@given(world=worlds())
def test_what_belongs_to_others_is_told_of_and_nothing_else(world):
    strangers = {order.order_id for order in world.orders if not order.label}
    for drift in world.drifts():
        order = getattr(drift, "order", None)
        if isinstance(order, Order) and order.order_id in strangers:
            assert isinstance(drift, ForeignOrder)


# --- mending


def mend(world, drift):
    """What each remedy leads to when it succeeds, on both sides."""
    match drift:
        case Orphan(exit=exit_):
            _reduce(world, exit_.trade, exit_.amount)
            taken = {share.fill.trade_id: share.amount for share in exit_.shares}
            left = [
                replace(one, amount=one.amount - taken.get(one.fill.trade_id, D(0)))
                for one in world.loose
            ]
            world.loose = [one for one in left if one.amount]
        case Vanished(trade=gone):
            _reduce(world, gone, gone.open_amount)
        case Crossed(trade=held) | Unfilled(trade=held):
            world.hold(held.instrument_name, -held.signed_open_amount)
            _reduce(world, held, held.open_amount)
            for own in [own for own in world.working if own.trade_id == held.trade_id]:
                _remove_order(world, own.label)
        case Naked(trade=held):
            world.rest(row(Role.STOP, held, number=77))
            if held.take_profit is not None:
                world.rest(row(Role.TARGET, held, number=78))
        case Misfit(trade=held, order=order, role=role):
            amount = held.open_amount + (D(0) if role is Role.STOP else order.filled_amount)
            trigger_price = held.stop_loss if role is Role.STOP else order.trigger_price
            fitted = replace(order, amount=amount, trigger_price=trigger_price)
            world.orders = [fitted if one is order else one for one in world.orders]
        case Leftover(order=order) | Unrecorded(order=order):
            _remove_order(world, order.label)
        case Silent(order=own) | Stillborn(order=own):
            _remove_order(world, own.label)
        case _:
            assert isinstance(drift, TOLD_ONLY)


def _reduce(world, closed, amount):
    left = closed.open_amount - amount
    world.trades = [
        replace(one, open_amount=left) if one.trade_id == closed.trade_id else one
        for one in world.trades
        if one.trade_id != closed.trade_id or left
    ]


def _remove_order(world, label):
    world.orders = [one for one in world.orders if one.label != label]
    world.working = [one for one in world.working if one.label != label]


ROUNDS_MAX = 4


@given(world=worlds(when=settled_times))
@settings(max_examples=200)
def test_once_every_remedy_succeeded_there_is_nothing_left_to_mend(world):
    for _ in range(ROUNDS_MAX):
        drifts = world.drifts()
        if all(isinstance(drift, TOLD_ONLY) for drift in drifts):
            break
        for drift in drifts:
            mend(world, drift)
    left = world.drifts()
    assert [drift for drift in left if not isinstance(drift, TOLD_ONLY)] == []
