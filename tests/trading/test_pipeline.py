"""One strategy's life, event by event, with small strategies that want what they are told."""

from collections.abc import Mapping, Sequence
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from vigil.domain.instrument import Instrument, Kind
from vigil.domain.market import Candle, Ticker
from vigil.domain.order import Direction, OrderStatus, OrderType, OwnOrder, Role
from vigil.domain.standing import AnalysisState
from vigil.domain.trade import Trade, TradeStatus
from vigil.trading.closures import Closure, ClosureKind
from vigil.trading.pipeline import (
    CLOSE_REST_MS,
    CLOSE_REST_MS_MAX,
    DAY_MS,
    CloseTrade,
    InstrumentChanged,
    OwnOrderChanged,
    PlaceEntry,
    QuoteSeen,
    StrategyState,
    Surroundings,
    TightenStop,
    TradeChanged,
    analysis_state,
    step,
)
from vigil.trading.risk import Reason
from vigil.trading.signal import (
    NO_DECISION,
    Checkpoint,
    Decision,
    Enter,
    Exit,
    Limits,
    MoveStop,
    OpenPosition,
    Strategy,
    WarmStart,
)

BUY, SELL = Direction.BUY, Direction.SELL
NAME = "BTC_USDC-PERPETUAL"
DAY = 19_675
NOON_MS = DAY * DAY_MS + DAY_MS // 2
MIDNIGHT_MS = (DAY + 1) * DAY_MS
LIMITS = Limits(cooldown_ms=300_000, daily_trades_max=3)
INSTRUMENT = Instrument(
    instrument_name=NAME,
    kind=Kind.FUTURE,
    is_linear=True,
    base_currency="BTC",
    quote_currency="USDC",
    settlement_currency="USDC",
    contract_size=D("0.0001"),
    min_trade_amount=D("0.0001"),
    tick_size=D("0.5"),
)
CHECKPOINT = Checkpoint(name="rsi", value="31", wanted="< 35", is_passed=True)


class Wishing:
    """A strategy that answers every quote with the same decision, and remembers what it saw."""

    instrument_name = NAME
    limits = LIMITS
    trade_size_usd: D | None = D(500)
    is_flattened_on_stop = False
    warm_start: WarmStart | None = None

    def __init__(self, decision: Decision = NO_DECISION) -> None:
        self.decision = decision
        self.seen: list[OpenPosition | None] = []

    def on_history(self, candles: Sequence[Candle]) -> None: ...

    def on_ticker(self, ticker: Ticker, position: OpenPosition | None) -> Decision:
        self.seen.append(position)
        return self.decision

    def snapshot(self) -> dict[str, Any]:
        return {}

    def restore(self, snapshot: Mapping[str, Any]) -> None: ...


def wishing(*intents) -> Strategy:
    return Wishing(Decision(intents=intents))


def enter(direction=BUY, **changes):
    return Enter(
        **{
            "direction": direction,
            "notional_usd": D(500),
            "stop_loss_percent": D("0.5"),
            "take_profit_percent": D(1),
            "reason": "rsi",
        }
        | changes
    )


def quote(at_ms=NOON_MS):
    return QuoteSeen(
        ticker=Ticker(
            instrument_name=NAME,
            timestamp_ms=at_ms,
            mark_price=D(50_000),
            index_price=D(50_000),
            best_bid_price=D(49_999),
            best_ask_price=D(50_001),
        )
    )


def trade(trade_id="t1", side=BUY, **changes):
    return Trade(
        **{
            "trade_id": trade_id,
            "strategy_id": "s1",
            "strategy_name": "Razor",
            "instrument_name": NAME,
            "side": side,
            "entry_order_id": "o1",
            "entry_price": D(50_000),
            "amount": D("0.01"),
            "entry_time_ms": NOON_MS,
            "status": TradeStatus.OPEN,
            "open_amount": D("0.01"),
            "stop_loss": D(49_750) if side is BUY else D(50_250),
            "take_profit": None,
        }
        | changes
    )


def closed(known, at_ms=NOON_MS + 1_000):
    return replace(known, status=TradeStatus.CLOSED, open_amount=D(0), exit_time_ms=at_ms)


def order(intent_id=1, status=OrderStatus.PENDING, role=Role.ENTRY, trade_id=None):
    return OwnOrder(
        label=f"vg-s1-{intent_id}-1",
        intent_id=intent_id,
        attempt=1,
        strategy_id="s1",
        strategy_name="Razor",
        role=role,
        trade_id=trade_id or f"t{intent_id}",
        instrument_name=NAME,
        direction=BUY,
        order_type=OrderType.MARKET,
        amount=D("0.01"),
        created_ms=NOON_MS,
        valid_until_ms=NOON_MS + 4_000,
        status=status,
    )


def state(**changes):
    return StrategyState(
        **{"instrument": INSTRUMENT, "limits": LIMITS, "is_paused": False, "day": DAY} | changes
    )


def react(known, event, strategy=None, *, now_ms=NOON_MS, trading_refusal=None):
    around = Surroundings(now_ms=now_ms, trading_refusal=trading_refusal)
    return step(known, strategy or Wishing(), event, around)


def live(known, *events, now_ms=NOON_MS):
    """The state after several events, none of which the strategy answers."""
    for event in events:
        known = react(known, event, now_ms=now_ms).state
    return known


# --- quotes and wishes


def test_a_wish_that_risk_approves_becomes_an_entry():
    result = react(state(), quote(), wishing(enter()))
    (command,) = result.commands
    assert isinstance(command, PlaceEntry)
    assert command.approved.amount == D("0.0099")
    assert result.refusals == ()


def test_a_quote_alone_leads_to_nothing():
    result = react(state(), quote(), wishing())
    assert (result.commands, result.refusals) == ((), ())
    assert result.state.ticker == quote().ticker


def test_a_second_wish_in_one_decision_meets_the_first_as_an_entry_at_work():
    result = react(state(), quote(), wishing(enter(BUY), enter(SELL), enter(BUY)))
    assert [type(command) for command in result.commands] == [PlaceEntry]
    assert [refusal.reason for refusal in result.refusals] == [Reason.ORDER_IN_DOUBT] * 2


def test_a_refused_wish_does_not_stand_in_the_way_of_the_next():
    result = react(state(), quote(), wishing(enter(notional_usd=D("NaN")), enter()))
    assert [type(command) for command in result.commands] == [PlaceEntry]
    assert [refusal.reason for refusal in result.refusals] == [Reason.BAD_INTENT]


@pytest.mark.parametrize(
    ("known", "around", "reason"),
    [
        pytest.param({}, {"trading_refusal": "halted"}, Reason.TRADING_NOT_ALLOWED, id="halted"),
        pytest.param({"is_paused": True}, {}, Reason.PAUSED, id="paused"),
        pytest.param({"trade": trade()}, {}, Reason.POSITION_OPEN, id="in a position"),
        pytest.param({"entry": order()}, {}, Reason.ORDER_IN_DOUBT, id="entry sent"),
        pytest.param(
            {"entry": order(status=OrderStatus.IN_DOUBT)},
            {},
            Reason.ORDER_IN_DOUBT,
            id="entry in doubt",
        ),
        pytest.param(
            {"entry": order(status=OrderStatus.FILLED)},
            {},
            Reason.ORDER_IN_DOUBT,
            id="entry filled, its trade not seen yet",
        ),
        pytest.param({"last_exit_ms": NOON_MS - 1}, {}, Reason.COOLDOWN, id="resting"),
        pytest.param({"trades_today": 3}, {}, Reason.DAILY_TRADES, id="enough for today"),
        pytest.param({}, {"now_ms": NOON_MS + 9_000}, Reason.STALE_DATA, id="old quote"),
    ],
)
def test_no_entry_while_something_stands_against_it(known, around, reason):
    result = react(state(**known), quote(), wishing(enter()), **around)
    assert result.commands == ()
    assert [refusal.reason for refusal in result.refusals] == [reason]


def test_an_entry_in_doubt_counts_as_one_of_the_days_trades():
    known = state(trades_today=2, entry=order(status=OrderStatus.IN_DOUBT))
    assert known.trades_on(NOON_MS) == 3
    assert state(entry=order()).trades_on(MIDNIGHT_MS) == 1


def test_the_strategy_sees_its_own_open_position_and_nothing_of_others():
    strategy = Wishing()
    react(state(), quote(), strategy)
    react(state(trade=trade(open_amount=D("0.004"), take_profit=D(51_000))), quote(), strategy)
    assert strategy.seen == [
        None,
        OpenPosition(
            side=BUY,
            entry_price=D(50_000),
            amount=D("0.004"),
            entry_time_ms=NOON_MS,
            stop_loss=D(49_750),
            take_profit=D(51_000),
        ),
    ]


def test_checkpoints_stay_until_the_next_decision_explains_itself():
    known = react(state(), quote(), Wishing(Decision(checkpoints=(CHECKPOINT,)))).state
    assert known.checkpoints == (CHECKPOINT,)
    assert react(known, quote()).state.checkpoints == (CHECKPOINT,)


# --- stops


@pytest.mark.parametrize(
    ("side", "wanted", "moved_to"),
    [
        pytest.param(BUY, "49900", "49900", id="long, closer"),
        pytest.param(BUY, "49900.3", "49900.5", id="long, to the nearest tick"),
        pytest.param(BUY, "49750", None, id="long, where it is"),
        pytest.param(BUY, "49750.2", None, id="long, rounds to where it is"),
        pytest.param(BUY, "49700", None, id="long, looser"),
        pytest.param(SELL, "50100", "50100", id="short, closer"),
        pytest.param(SELL, "50250", None, id="short, where it is"),
        pytest.param(SELL, "50300", None, id="short, looser"),
        pytest.param(BUY, "NaN", None, id="not a number"),
        pytest.param(BUY, "Infinity", None, id="infinite"),
        pytest.param(SELL, "0", None, id="zero"),
        pytest.param(SELL, "-1", None, id="negative"),
    ],
)
def test_a_stop_is_moved_closer_or_not_at_all(side, wanted, moved_to):
    held = trade(side=side)
    intent = MoveStop(stop_price=D(wanted), reason="trailing")
    result = react(state(trade=held), quote(), wishing(intent))
    if moved_to is None:
        assert result.commands == ()
    else:
        assert result.commands == (
            TightenStop(trade=held, stop_price=D(moved_to), reason="trailing"),
        )


def test_without_a_position_there_is_no_stop_to_move_and_nothing_to_close():
    intents = MoveStop(stop_price=D(1), reason="x"), Exit(reason="x")
    assert react(state(), quote(), wishing(*intents)).commands == ()


@given(
    side=st.sampled_from(Direction),
    wanted=st.lists(st.integers(98_000, 102_000).map(lambda halves: D(halves) / 2), max_size=4),
)
def test_several_moves_in_one_decision_never_loosen_one_another(side, wanted):
    intents = [MoveStop(stop_price=price, reason="trailing") for price in wanted]
    result = react(state(trade=trade(side=side)), quote(), wishing(*intents))
    stops = [command.stop_price * side.sign for command in result.commands]
    assert stops == sorted(set(stops))


def test_a_stop_that_rounds_to_zero_is_no_stop():
    held = trade(side=SELL, stop_loss=None)
    intent = MoveStop(stop_price=D("0.1"), reason="trailing")
    assert react(state(trade=held), quote(), wishing(intent)).commands == ()


# --- closing


def test_an_exit_closes_the_open_trade_even_when_nothing_may_be_opened():
    held = trade()
    known = state(trade=held, is_paused=True, trades_today=9)
    result = react(known, quote(), wishing(Exit(reason="done")), trading_refusal="halted")
    assert result.commands == (CloseTrade(trade=held, reason="done"),)


def test_an_exit_makes_no_room_for_an_entry_in_the_same_decision():
    result = react(state(trade=trade()), quote(), wishing(Exit(reason="turn"), enter(SELL)))
    assert [type(command) for command in result.commands] == [CloseTrade]
    assert [refusal.reason for refusal in result.refusals] == [Reason.POSITION_OPEN]


def test_two_exits_in_one_decision_close_once():
    exits = Exit(reason="one"), Exit(reason="two")
    assert len(react(state(trade=trade()), quote(), wishing(*exits)).commands) == 1


@pytest.mark.parametrize(
    "status", [OrderStatus.PENDING, OrderStatus.IN_DOUBT, OrderStatus.OPEN], ids=str
)
def test_no_second_close_while_one_is_not_settled(status):
    known = state(trade=trade())
    close = order(2, status=status, role=Role.CLOSE, trade_id="t1")
    known = live(known, OwnOrderChanged(order=close))
    assert react(known, quote(), wishing(Exit(reason="again"))).commands == ()


@pytest.mark.parametrize("status", [OrderStatus.FAILED, OrderStatus.REJECTED], ids=str)
def test_a_close_that_came_to_nothing_may_be_repeated_after_a_rest(status):
    """Not at the next quote: what was refused once is refused ten times a second."""
    known = state(trade=trade())
    close = order(2, status=status, role=Role.CLOSE, trade_id="t1")
    known = live(known, OwnOrderChanged(order=close))
    again = wishing(Exit(reason="again"))
    soon_ms, later_ms = NOON_MS + CLOSE_REST_MS - 1, NOON_MS + CLOSE_REST_MS
    assert react(known, quote(soon_ms), again, now_ms=soon_ms).commands == ()
    assert len(react(known, quote(later_ms), again, now_ms=later_ms).commands) == 1


def test_closes_that_come_to_nothing_are_repeated_ever_more_rarely():
    known, rests_ms = state(trade=trade()), []
    for intent_id in range(1, 9):
        close = order(intent_id, status=OrderStatus.REJECTED, role=Role.CLOSE, trade_id="t1")
        known = live(known, OwnOrderChanged(order=close))
        rests_ms.append(known.close_retry_ms - NOON_MS)
    assert rests_ms[:4] == [2_000, 4_000, 8_000, 16_000]
    assert rests_ms[-1] == max(rests_ms) == CLOSE_REST_MS_MAX
    over = live(known, TradeChanged(trade=closed(trade())))
    assert (over.close_retry_ms, over.close_failures) == (None, 0)


def test_a_close_that_nobody_took_the_other_side_of_is_repeated_ever_more_rarely():
    """An empty book takes a market order and cancels it, at every quote if it is asked to."""
    known, rests_ms = state(trade=trade()), []
    for intent_id in range(1, 5):
        close = order(intent_id, status=OrderStatus.CANCELLED, role=Role.CLOSE, trade_id="t1")
        known = live(known, OwnOrderChanged(order=close))
        rests_ms.append(known.close_retry_ms - NOON_MS)
    assert rests_ms == [2_000, 4_000, 8_000, 16_000]
    assert react(known, quote(), wishing(Exit(reason="again"))).commands == ()


def test_what_a_close_left_over_is_closed_after_a_short_rest_however_often():
    known = state(trade=trade())
    for left in ("0.006", "0.004", "0.002"):
        part = replace(
            order(2, status=OrderStatus.CANCELLED, role=Role.CLOSE, trade_id="t1"),
            filled_amount=D("0.002"),
        )
        known = live(
            known, OwnOrderChanged(order=part), TradeChanged(trade=trade(open_amount=D(left)))
        )
        assert (known.close, known.close_retry_ms) == (None, NOON_MS + CLOSE_REST_MS)


def test_a_close_that_filled_is_not_sent_again_before_its_fills_are_booked():
    """The order's news comes first; a second close would reduce what others hold."""
    filled = order(2, status=OrderStatus.FILLED, role=Role.CLOSE, trade_id="t1")
    known = live(state(trade=trade()), OwnOrderChanged(order=filled))
    again, later_ms = wishing(Exit(reason="again")), NOON_MS + CLOSE_REST_MS_MAX
    assert react(known, quote(later_ms), again, now_ms=later_ms).commands == ()
    moved = TradeChanged(trade=trade(stop_loss=D(49_800)))
    assert live(known, moved).close == filled, "no news of its fills"
    over = live(known, TradeChanged(trade=closed(trade())))
    assert (over.trade, over.close, over.close_retry_ms) == (None, None, None)


def test_a_close_that_filled_and_was_too_small_is_followed_by_another():
    """More of the entry was booked after it was sent."""
    filled = order(2, status=OrderStatus.FILLED, role=Role.CLOSE, trade_id="t1")
    rest = TradeChanged(trade=trade(open_amount=D("0.004")))
    known = live(state(trade=trade()), OwnOrderChanged(order=filled), rest)
    again, later_ms = wishing(Exit(reason="again")), NOON_MS + CLOSE_REST_MS
    assert react(known, quote(), again).commands == ()
    (command,) = react(known, quote(later_ms), again, now_ms=later_ms).commands
    assert command.trade.open_amount == D("0.004")


def test_an_order_in_doubt_refuses_entries_of_its_direction_whoever_sent_it():
    """FAULTS §4.3: while in doubt the full size counts, and nothing is put on top of it."""
    around = Surroundings(now_ms=NOON_MS, in_doubt=frozenset({BUY}))
    refused = step(state(), wishing(enter(BUY)), quote(), around)
    assert [one.reason for one in refused.refusals] == [Reason.ORDER_IN_DOUBT]
    assert refused.commands == ()
    other = step(state(), wishing(enter(SELL)), quote(), around)
    assert len(other.commands) == 1


@pytest.mark.fault("E6", "E31")
def test_where_the_exchange_takes_no_orders_nothing_is_opened_and_leaving_goes_on():
    closure = Closure(kind=ClosureKind.PLATFORM_LOCKED, detail="the platform is locked")
    around = Surroundings(now_ms=NOON_MS, closure=closure)
    refused = step(state(), wishing(enter()), quote(), around)
    assert refused.commands == ()
    (refusal,) = refused.refusals
    assert (refusal.reason, refusal.detail) == (Reason.PLATFORM_LOCKED, "the platform is locked")
    held = state(trade=trade())
    assert len(step(held, wishing(Exit(reason="enough")), quote(), around).commands) == 1


@pytest.mark.fault("N15")
def test_a_quote_that_waited_too_long_is_no_basis_for_an_entry_whatever_it_says_of_itself():
    late = replace(quote(), arrived_s=100.0)
    for now_s, is_refused in ((103.0, False), (103.001, True)):
        result = step(state(), wishing(enter()), late, Surroundings(now_ms=NOON_MS, now_s=now_s))
        reasons = [refusal.reason for refusal in result.refusals]
        assert reasons == ([Reason.STALE_DATA] if is_refused else [])


def test_entries_and_stops_keep_to_the_instrument_as_it_is_now():
    coarser = replace(INSTRUMENT, tick_size=D(25), min_trade_amount=D("0.005"))
    known = live(state(trade=trade()), InstrumentChanged(instrument=coarser))
    moved = react(known, quote(), wishing(MoveStop(stop_price=D(49_760), reason="up")))
    assert moved.commands == (), "rounded to where it is"
    moved = react(known, quote(), wishing(MoveStop(stop_price=D(49_790), reason="up")))
    assert moved.commands[0].stop_price == D(49_800)
    flat = live(state(), InstrumentChanged(instrument=coarser))
    assert react(flat, quote(), wishing(enter(notional_usd=D(240)))).refusals
    (entry,) = react(flat, quote(), wishing(enter())).commands
    assert entry.approved.bracket.stop_price % 25 == 0
    ended = live(state(), InstrumentChanged(instrument=replace(INSTRUMENT, is_active=False)))
    (refusal,) = react(ended, quote(), wishing(enter())).refusals
    assert refusal.reason is Reason.INSTRUMENT_ENDED


# --- trades opened and closed


def test_the_trade_takes_over_the_count_from_the_entry_that_opened_it():
    known = live(state(trades_today=1), OwnOrderChanged(order=order()))
    assert known.trades_on(NOON_MS) == 2
    known = live(known, TradeChanged(trade=trade()))
    assert (known.entry, known.trade) == (None, trade())
    assert known.trades_on(NOON_MS) == 2


def test_further_news_of_the_open_trade_is_not_another_trade():
    known = live(state(), TradeChanged(trade=trade()), TradeChanged(trade=trade(amount=D("0.02"))))
    assert known.trade.amount == D("0.02")
    assert known.trades_on(NOON_MS) == 1


def test_the_rest_begins_when_the_exchange_says_the_trade_ended():
    known = live(state(trade=trade()), TradeChanged(trade=closed(trade())))
    assert known.trade is None
    assert known.last_exit_ms == NOON_MS + 1_000
    before, after = NOON_MS + 300_999, NOON_MS + 301_000
    assert analysis_state(known, before) is AnalysisState.COOLDOWN
    assert analysis_state(replace(known, ticker=quote().ticker), after) is AnalysisState.ANALYZING
    refused = react(known, quote(before), wishing(enter()), now_ms=before)
    assert [refusal.reason for refusal in refused.refusals] == [Reason.COOLDOWN]
    assert react(known, quote(after), wishing(enter()), now_ms=after).commands


def test_a_trade_opened_and_closed_before_we_looked_still_counts():
    known = live(state(entry=order()), TradeChanged(trade=closed(trade())))
    assert (known.trade, known.entry) == (None, None)
    assert known.trades_on(NOON_MS) == 1
    assert known.last_exit_ms == NOON_MS + 1_000


@pytest.mark.parametrize(
    "status", [OrderStatus.REJECTED, OrderStatus.FAILED, OrderStatus.CANCELLED], ids=str
)
def test_an_entry_that_came_to_nothing_is_not_sent_again_at_once_but_ever_later(status):
    known, rests_ms = state(), []
    for intent_id in range(1, 13):
        sent = live(known, OwnOrderChanged(order=order(intent_id)))
        known = live(sent, OwnOrderChanged(order=order(intent_id, status)))
        assert known.entry is None
        rests_ms.append(known.retry_ms - NOON_MS)
    assert rests_ms[:4] == [5_000, 10_000, 20_000, 40_000]
    assert rests_ms[-1] == max(rests_ms) == 600_000
    refused = react(known, quote(), wishing(enter()), now_ms=NOON_MS)
    assert [refusal.reason for refusal in refused.refusals] == [Reason.REJECTED_BEFORE]


def test_a_trade_that_opens_forgives_earlier_rejections():
    known = live(state(), OwnOrderChanged(order=order(1, OrderStatus.REJECTED)))
    opened = live(known, TradeChanged(trade=trade("t2")))
    assert (opened.rejections, opened.retry_ms) == (0, None)


def test_late_news_of_an_older_trade_leaves_the_open_one_alone():
    known = state(trade=trade("t2"), trades_today=2)
    late = TradeChanged(trade=closed(trade("t1"), NOON_MS - 5_000))
    assert live(known, late) == known


def test_late_news_of_an_older_trade_leaves_the_entry_in_doubt_alone():
    known = state(entry=order(2), last_exit_ms=NOON_MS)
    after = live(known, TradeChanged(trade=closed(trade("t1"), NOON_MS - 5_000)))
    assert after.entry == known.entry
    assert after.last_exit_ms == NOON_MS


def test_the_last_exit_never_moves_back():
    known = state(last_exit_ms=NOON_MS)
    after = live(known, TradeChanged(trade=closed(trade("t0"), NOON_MS - 60_000)))
    assert after.last_exit_ms == NOON_MS


def test_an_entry_in_doubt_outlives_the_opening_of_another_trade():
    doubtful = order(9, status=OrderStatus.IN_DOUBT)
    known = live(state(entry=doubtful), TradeChanged(trade=trade("t1")))
    assert known.entry == doubtful


# --- days


def test_a_new_day_starts_with_no_trades():
    known = state(trades_today=3)
    assert known.trades_on(MIDNIGHT_MS - 1) == 3
    assert known.trades_on(MIDNIGHT_MS) == 0
    assert react(known, quote(MIDNIGHT_MS), wishing(enter()), now_ms=MIDNIGHT_MS).commands


def test_the_first_trade_of_a_new_day_counts_one():
    known = state(trades_today=3)
    known = live(known, TradeChanged(trade=trade(entry_time_ms=MIDNIGHT_MS)))
    assert (known.day, known.trades_today) == (DAY + 1, 1)


def test_a_trade_held_over_midnight_belongs_to_the_day_it_was_opened():
    held = trade(entry_time_ms=MIDNIGHT_MS - 1)
    known = live(
        state(trades_today=1),
        TradeChanged(trade=held),
        TradeChanged(trade=closed(held, MIDNIGHT_MS + 1)),
    )
    assert known.trades_on(MIDNIGHT_MS - 1) == 2
    assert known.trades_on(MIDNIGHT_MS) == 0


def test_news_of_a_trade_of_yesterday_does_not_forget_todays():
    known = state(day=DAY + 1, trades_today=2)
    known = live(known, TradeChanged(trade=trade("t0", entry_time_ms=MIDNIGHT_MS - 1)))
    assert known.trades_on(MIDNIGHT_MS + 1) == 2


# --- own orders


@pytest.mark.parametrize(
    "status", [OrderStatus.REJECTED, OrderStatus.FAILED, OrderStatus.CANCELLED], ids=str
)
def test_an_entry_that_came_to_nothing_is_forgotten(status):
    known = live(state(entry=order()), OwnOrderChanged(order=order(status=status)))
    assert known.entry is None
    assert known.trades_on(NOON_MS) == 0


@pytest.mark.parametrize(
    "status",
    [OrderStatus.PENDING, OrderStatus.IN_DOUBT, OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED],
    ids=str,
)
def test_an_entry_on_its_way_is_remembered(status):
    known = live(state(), OwnOrderChanged(order=order(status=status)))
    assert known.entry == order(status=status)


@pytest.mark.parametrize(
    ("status", "filled"),
    [(OrderStatus.FILLED, "0.01"), (OrderStatus.CANCELLED, "0.004")],
    ids=["whole", "the rest of it cancelled"],
)
@pytest.mark.parametrize("entry", [order(), None], ids=["known", "first news of it"])
def test_a_filled_entry_is_held_until_its_trade_is_seen(status, filled, entry):
    """The order's news comes before its fills, and in between nothing is opened beside it."""
    ended = replace(order(status=status), filled_amount=D(filled))
    last_exit_ms = ended.valid_until_ms - 10_000
    before = state(entry=entry, last_exit_ms=last_exit_ms)
    known = live(before, OwnOrderChanged(order=ended))
    assert known.entry == ended
    refused = react(known, quote(), wishing(enter()))
    assert [one.reason for one in refused.refusals] == [Reason.ORDER_IN_DOUBT]
    after = live(known, TradeChanged(trade=trade()))
    assert (after.entry, after.retry_ms) == (None, None)


def test_a_filled_entry_from_before_the_last_exit_is_history():
    ended = order(status=OrderStatus.FILLED)
    known = state(last_exit_ms=ended.valid_until_ms)
    assert live(known, OwnOrderChanged(order=ended)) == known


@pytest.mark.parametrize("status", OrderStatus, ids=str)
def test_news_of_the_entry_of_the_open_trade_changes_nothing(status):
    known = state(trade=trade(), trades_today=1)
    assert live(known, OwnOrderChanged(order=order(status=status))) == known


@pytest.mark.parametrize("status", OrderStatus, ids=str)
def test_news_of_another_order_leaves_the_entry_at_work_alone(status):
    known = state(entry=order(5))
    assert live(known, OwnOrderChanged(order=order(4, status=status))) == known


@pytest.mark.parametrize("role", [Role.STOP, Role.TARGET])
@pytest.mark.parametrize("status", OrderStatus, ids=str)
@pytest.mark.parametrize("held", [{}, {"trade": trade(), "trades_today": 1}], ids=["flat", "held"])
def test_protective_orders_are_no_entries(role, status, held):
    known = state(**held)
    news = OwnOrderChanged(order=order(3, status=status, role=role, trade_id="t1"))
    assert live(known, news) == known


def test_a_fill_told_after_its_trade_was_closed_leaves_no_entry_behind():
    known = live(
        state(entry=order()),
        TradeChanged(trade=trade()),
        TradeChanged(trade=closed(trade())),
        OwnOrderChanged(order=order(status=OrderStatus.FILLED)),
    )
    assert known.entry is None


@pytest.mark.parametrize(
    "status", [OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED, OrderStatus.IN_DOUBT], ids=str
)
def test_an_overtaken_acknowledgement_leaves_no_entry_behind(status):
    known = live(
        state(entry=order()),
        TradeChanged(trade=trade()),
        TradeChanged(trade=closed(trade())),
        OwnOrderChanged(order=order(status=status)),
        OwnOrderChanged(order=order(status=OrderStatus.FILLED)),
    )
    assert known.entry is None


# --- what people see

TICKER = quote().ticker


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        pytest.param({}, AnalysisState.INITIALIZING, id="before the first quote"),
        pytest.param({"ticker": TICKER}, AnalysisState.ANALYZING, id="watching"),
        pytest.param(
            {"ticker": TICKER, "entry": order()}, AnalysisState.SIGNAL_DETECTED, id="entering"
        ),
        pytest.param({"trade": trade()}, AnalysisState.POSITION_OPEN, id="in a position"),
        pytest.param(
            {"trade": trade(), "entry": order(2)},
            AnalysisState.POSITION_OPEN,
            id="a position comes before a doubt",
        ),
        pytest.param(
            {"trade": trade(), "is_paused": True},
            AnalysisState.POSITION_OPEN,
            id="paused, and still protecting",
        ),
        pytest.param({"ticker": TICKER, "is_paused": True}, AnalysisState.PAUSED, id="paused"),
        pytest.param(
            {"ticker": TICKER, "last_exit_ms": NOON_MS - 299_999},
            AnalysisState.COOLDOWN,
            id="last millisecond of rest",
        ),
        pytest.param(
            {"ticker": TICKER, "last_exit_ms": NOON_MS - 300_000},
            AnalysisState.ANALYZING,
            id="rest is over",
        ),
        pytest.param(
            {"last_exit_ms": NOON_MS, "is_paused": True},
            AnalysisState.PAUSED,
            id="paused comes before rest",
        ),
    ],
)
def test_people_are_shown_what_the_strategy_is_doing(known, shown):
    assert analysis_state(state(**known), NOON_MS) is shown


# --- always

events = st.one_of(
    st.just(quote()),
    st.builds(
        lambda n, status: OwnOrderChanged(order=order(n, status=status)),
        st.integers(1, 3),
        st.sampled_from(OrderStatus),
    ),
    st.builds(lambda n: TradeChanged(trade=trade(f"t{n}")), st.integers(1, 3)),
    st.builds(lambda n: TradeChanged(trade=closed(trade(f"t{n}"))), st.integers(1, 3)),
)


@given(
    heard=st.lists(events, max_size=12),
    is_paused=st.booleans(),
    refusal=st.sampled_from([None, "halted"]),
)
def test_whatever_is_heard_nothing_opens_beside_a_position_a_doubt_or_a_halt(
    heard, is_paused, refusal
):
    known, strategy = state(is_paused=is_paused), wishing(enter(), enter(SELL))
    for event in heard:
        before = known
        result = react(known, event, strategy, trading_refusal=refusal)
        known = result.state
        entries = [command for command in result.commands if isinstance(command, PlaceEntry)]
        assert len(entries) <= 1
        if entries:
            assert isinstance(event, QuoteSeen)
            assert (before.trade, before.entry) == (None, None)
            assert not is_paused
            assert refusal is None
            assert before.trades_on(NOON_MS) < LIMITS.daily_trades_max


@given(heard=st.lists(events, max_size=12))
def test_the_same_events_lead_to_the_same_state(heard):
    assert live(state(), *heard) == live(state(), *heard)
