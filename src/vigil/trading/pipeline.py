"""One strategy's life as a function: what it knows, and an event, give what it does.

Signal, risk and execution meet here. Nothing in this module waits, reads a clock or writes; the
executor feeds it and carries out the commands.
"""

from decimal import Decimal
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from vigil.domain.instrument import Instrument
from vigil.domain.market import Ticker
from vigil.domain.order import Direction, OrderStatus, OwnOrder, Role
from vigil.domain.standing import AnalysisState
from vigil.domain.trade import Trade
from vigil.trading.closures import Closure
from vigil.trading.protection import is_tighter
from vigil.trading.risk import Approved, Refused, RiskView, cooldown_until_ms, review
from vigil.trading.signal import (
    Checkpoint,
    Enter,
    Exit,
    Limits,
    MoveStop,
    OpenPosition,
    Strategy,
)

DAY_MS = 86_400_000

# What the exchange rejects once it rejects again at once: no funds, a closed book, a limit. The
# same goes for what never arrived, or was taken and found nobody to trade with. Each in a row
# doubles the rest, up to the cap.
REJECTION_REST_MS = 5_000
REJECTION_REST_MS_MAX = 600_000
_DOUBLINGS_MAX = 10

# A close that was refused, or could not be sent, leaves the next word to the reconciler, which was
# asked to look. Wishing again at every quote would be a storm, and so would be asking a locked
# exchange every two seconds: each failure in a row doubles the rest, up to the cap. One that was
# carried out rests as well: its fills may still be on their way, and until they are booked the
# trade looks as open as before.
CLOSE_REST_MS = 2_000
CLOSE_REST_MS_MAX = 60_000


class StrategyState(Struct, frozen=True, kw_only=True):
    """What one strategy knows of itself beside its indicators.

    Args:
        trade: Its open trade.
        entry: Its entry that is sent and not settled, or in doubt.
        close: The order that is to close its trade, while it is sent and not settled, or filled
            and its fills not booked.
        close_retry_ms: Exchange time before which no further close is sent after the last.
        close_failures: Closes of the trade in a row that failed.
        closed_trade_id: Its last trade; news of that one's orders is old news.
        last_exit_ms: Exchange time at which its last trade closed.
        rejections: Entries in a row that were rejected, or ended without a fill.
        retry_ms: Exchange time before which no further entry is sent because of them.
        day: UTC day number of `trades_today`.
    """

    instrument: Instrument
    limits: Limits
    is_paused: bool
    trade: Trade | None = None
    entry: OwnOrder | None = None
    close: OwnOrder | None = None
    close_retry_ms: int | None = None
    close_failures: int = 0
    closed_trade_id: str | None = None
    last_exit_ms: int | None = None
    rejections: int = 0
    retry_ms: int | None = None
    day: int = 0
    trades_today: int = 0
    ticker: Ticker | None = None
    checkpoints: tuple[Checkpoint, ...] = ()

    def trades_on(self, now_ms: int) -> int:
        """Trades opened on the UTC day of `now_ms`, an unsettled entry counted as one."""
        settled = self.trades_today if self.day == now_ms // DAY_MS else 0
        return settled + (self.entry is not None)


class QuoteSeen(Struct, frozen=True, kw_only=True):
    """A quote of the strategy's instrument.

    Args:
        arrived_s: Loop time at which it came; None when it did not come by the stream.
    """

    ticker: Ticker
    arrived_s: float | None = None


class TradeChanged(Struct, frozen=True, kw_only=True):
    """The ledger booked something on a trade of this strategy."""

    trade: Trade


class OwnOrderChanged(Struct, frozen=True, kw_only=True):
    """An order of this strategy moved on in its life."""

    order: OwnOrder


class InstrumentChanged(Struct, frozen=True, kw_only=True):
    """The exchange describes the strategy's instrument in another way than before."""

    instrument: Instrument


StrategyEvent = QuoteSeen | TradeChanged | OwnOrderChanged | InstrumentChanged


class PlaceEntry(Struct, frozen=True, kw_only=True):
    """Commit and send an approved entry."""

    approved: Approved


class TightenStop(Struct, frozen=True, kw_only=True):
    """Record the new stop of the open trade, then move it at the exchange."""

    trade: Trade
    stop_price: Decimal
    reason: str


class CloseTrade(Struct, frozen=True, kw_only=True):
    """Close the open trade at market."""

    trade: Trade
    reason: str


Command = PlaceEntry | TightenStop | CloseTrade


class Step(Struct, frozen=True, kw_only=True):
    """What one event led to."""

    state: StrategyState
    commands: tuple[Command, ...] = ()
    refusals: tuple[Refused, ...] = ()


class Surroundings(Struct, frozen=True, kw_only=True):
    """What every step looks at beside the event.

    Args:
        now_ms: Exchange time.
        trading_refusal: Why nobody may open anything now; None when trading is allowed.
        in_doubt: Directions of orders in doubt on the strategy's instrument.
        closure: Why the exchange takes no orders on it now; None when it does.
        now_s: Loop time.
    """

    now_ms: int
    trading_refusal: str | None = None
    in_doubt: frozenset[Direction] = frozenset()
    closure: Closure | None = None
    now_s: float = 0.0


def step(
    state: StrategyState, strategy: Strategy, event: StrategyEvent, around: Surroundings
) -> Step:
    """Take one event: the next state, and what is to be done."""
    match event:
        case QuoteSeen(ticker=ticker):
            return _on_quote(replace(state, ticker=ticker), strategy, event, around)
        case InstrumentChanged(instrument=instrument):
            return Step(state=replace(state, instrument=instrument))
        case TradeChanged(trade=trade):
            return Step(state=_with_trade(state, trade))
        case OwnOrderChanged(order=order):
            return Step(state=_with_order(state, order, around.now_ms))
        case _:
            assert_never(event)


def _on_quote(
    state: StrategyState, strategy: Strategy, quote: QuoteSeen, around: Surroundings
) -> Step:
    ticker = quote.ticker
    decision = strategy.on_ticker(ticker, _position(state.trade))
    if decision.checkpoints:
        state = replace(state, checkpoints=decision.checkpoints)
    # Each intent meets what the ones before it led to: at most one command of a kind comes out.
    entry: PlaceEntry | None = None
    stop: TightenStop | None = None
    close: CloseTrade | None = None
    refusals: list[Refused] = []
    for intent in decision.intents:
        match intent:
            case Enter():
                has_entry = state.entry is not None or entry is not None
                verdict = review(intent, _risk_view(state, quote, around, has_entry=has_entry))
                match verdict:
                    case Approved():
                        entry = PlaceEntry(approved=verdict)
                    case Refused():
                        refusals.append(verdict)
                    case _:
                        assert_never(verdict)
            case MoveStop():
                stop = _tightened(state, intent, stop)
            case Exit(reason=reason):
                is_resting = (state.close_retry_ms or 0) > around.now_ms
                if state.trade is not None and state.close is None and not is_resting:
                    close = CloseTrade(trade=state.trade, reason=reason)
            case _:
                assert_never(intent)
    commands = [command for command in (entry, stop, close) if command is not None]
    return Step(state=state, commands=tuple(commands), refusals=tuple(refusals))


def _tightened(
    state: StrategyState, intent: MoveStop, before: TightenStop | None
) -> TightenStop | None:
    """The tighter of `before` and what is wanted now; a stop never loosens."""
    trade = state.trade
    if trade is None or not intent.stop_price.is_finite() or intent.stop_price <= 0:
        return before
    price = state.instrument.round_price(intent.stop_price)
    known = trade if before is None else replace(trade, stop_loss=before.stop_price)
    if price <= 0 or not is_tighter(known, price):
        return before
    return TightenStop(trade=trade, stop_price=price, reason=intent.reason)


def _risk_view(
    state: StrategyState, quote: QuoteSeen, around: Surroundings, *, has_entry: bool
) -> RiskView:
    arrived_s = around.now_s if quote.arrived_s is None else quote.arrived_s
    return RiskView(
        instrument=state.instrument,
        limits=state.limits,
        ticker=quote.ticker,
        now_ms=around.now_ms,
        trading_refusal=around.trading_refusal,
        is_paused=state.is_paused,
        has_open_trade=state.trade is not None,
        has_working_entry=has_entry,
        last_exit_ms=state.last_exit_ms,
        retry_ms=state.retry_ms,
        trades_today=state.trades_on(around.now_ms),
        in_doubt=around.in_doubt,
        closure=around.closure,
        waited_ms=round((around.now_s - arrived_s) * 1000),
    )


def _position(trade: Trade | None) -> OpenPosition | None:
    if trade is None:
        return None
    return OpenPosition(
        side=trade.side,
        entry_price=trade.entry_price,
        amount=trade.open_amount,
        entry_time_ms=trade.entry_time_ms,
        stop_loss=trade.stop_loss,
        take_profit=trade.take_profit,
    )


def _with_trade(state: StrategyState, trade: Trade) -> StrategyState:
    known = state.trade
    if known is not None and known.trade_id != trade.trade_id:
        return state if not trade.is_open else _opened(state, trade)
    if trade.is_open and known is not None:
        close = state.close
        if close is not None and close.status.is_final and trade.open_amount != known.open_amount:
            close = None  # its fills are booked, and something is left
        return replace(state, trade=trade, close=close)
    if trade.is_open:
        return _opened(state, trade)
    if known is None and state.entry is not None and state.entry.trade_id == trade.trade_id:
        # Opened and closed before we looked: the trade still counts for its day.
        state = _opened(state, trade)
    return replace(
        state,
        trade=None,
        close=None,
        close_retry_ms=None,
        close_failures=0,
        closed_trade_id=trade.trade_id,
        last_exit_ms=max(trade.exit_time_ms or 0, state.last_exit_ms or 0),
    )


def _opened(state: StrategyState, trade: Trade) -> StrategyState:
    """The state with a new trade, counted for the day it was opened on."""
    day = trade.entry_time_ms // DAY_MS
    if day > state.day:
        state = replace(state, day=day, trades_today=1)
    elif day == state.day:
        state = replace(state, trades_today=state.trades_today + 1)
    is_its_entry = state.entry is not None and state.entry.trade_id == trade.trade_id
    # The entry that opened the trade is from now on counted by the trade itself.
    entry = None if is_its_entry else state.entry
    return replace(state, trade=trade, entry=entry, rejections=0, retry_ms=None)


def _with_order(state: StrategyState, order: OwnOrder, now_ms: int) -> StrategyState:
    if order.trade_id == state.closed_trade_id:
        return state
    match order.role:
        case Role.ENTRY:
            return _with_entry(state, order, now_ms)
        case Role.CLOSE:
            return _with_close(state, order, now_ms)
        case Role.STOP | Role.TARGET:
            return state
        case _:
            assert_never(order.role)


def _with_close(state: StrategyState, order: OwnOrder, now_ms: int) -> StrategyState:
    if not order.status.is_final:
        return replace(state, close=order)
    has_filled = order.status is OrderStatus.FILLED or bool(order.filled_amount)
    failures = 0 if has_filled else state.close_failures
    rest_ms = _doubled(CLOSE_REST_MS, failures, at_most=CLOSE_REST_MS_MAX)
    is_known = state.trade is not None and state.trade.trade_id == order.trade_id
    return replace(
        state,
        close=order if order.status is OrderStatus.FILLED and is_known else None,
        close_retry_ms=now_ms + rest_ms,
        close_failures=0 if has_filled else failures + 1,
    )


def _doubled(rest_ms: int, times: int, *, at_most: int) -> int:
    return int(min(rest_ms * 2 ** min(times, _DOUBLINGS_MAX), at_most))


def _without_entry(state: StrategyState, now_ms: int) -> StrategyState:
    rest_ms = _doubled(REJECTION_REST_MS, state.rejections, at_most=REJECTION_REST_MS_MAX)
    retry_ms = now_ms + rest_ms
    return replace(state, entry=None, rejections=state.rejections + 1, retry_ms=retry_ms)


def _with_entry(state: StrategyState, order: OwnOrder, now_ms: int) -> StrategyState:
    known = state.entry
    if known is not None and known.label != order.label:
        return state
    if state.trade is not None and state.trade.trade_id == order.trade_id:
        return state  # already counted as the trade that it opened
    is_filled = order.status is OrderStatus.FILLED or bool(order.filled_amount)
    if order.status.is_final and not is_filled:
        return _without_entry(state, now_ms)
    is_history = order.valid_until_ms <= (state.last_exit_ms or 0)
    if order.status.is_final and known is None and is_history:
        return state  # its trade was opened and closed before this news came
    return replace(state, entry=order)


def analysis_state(state: StrategyState, now_ms: int) -> AnalysisState:
    """What the strategy is doing now; `now_ms` is exchange time."""
    if state.trade is not None:
        return AnalysisState.POSITION_OPEN
    if state.entry is not None:
        return AnalysisState.SIGNAL_DETECTED
    if state.is_paused:
        return AnalysisState.PAUSED
    until_ms = cooldown_until_ms(state.limits, state.last_exit_ms)
    if until_ms is not None and now_ms < until_ms:
        return AnalysisState.COOLDOWN
    if state.ticker is None:
        return AnalysisState.INITIALIZING
    return AnalysisState.ANALYZING
