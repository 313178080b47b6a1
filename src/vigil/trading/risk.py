"""May it? Every wish to open a position passes here, and comes out as a verdict.

`review` is the only place that makes an `Approved`, and execution accepts nothing else. Reasons
are stable words that people grep and dashboards count.
"""

from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

from vigil.domain.instrument import Instrument, Kind
from vigil.domain.market import Ticker
from vigil.domain.order import Direction
from vigil.trading.closures import Closure
from vigil.trading.protection import Bracket, bracket
from vigil.trading.signal import Enter, Limits

# Beyond this a notional is a slip of somebody's keyboard, or of somebody's arithmetic.
NOTIONAL_USD_MAX = Decimal(1_000_000_000)

# A quote older than this is no basis for an entry. Tickers come at least once a second while the
# market is open; three times that allows for one lost heartbeat of the feed.
TICKER_AGE_MS_MAX = 3_000


class Reason(StrEnum):
    """Why an entry was refused."""

    TRADING_NOT_ALLOWED = "trading_not_allowed"
    LOCKS_UNREAD = "locks_unread"
    MAINTENANCE = "maintenance"
    PLATFORM_LOCKED = "platform_locked"
    ACCOUNT_LOCKED = "account_locked"
    NOT_RECONCILED = "not_reconciled"
    PAUSED = "paused"
    POSITION_OPEN = "position_open"
    ORDER_IN_DOUBT = "order_in_doubt"
    COOLDOWN = "cooldown"
    REJECTED_BEFORE = "rejected_before"
    DAILY_TRADES = "daily_trades"
    STALE_DATA = "stale_data"
    MARKET_CLOSED = "market_closed"
    INSTRUMENT_ENDED = "instrument_ended"
    NO_PRICE = "no_price"
    BAD_INTENT = "bad_intent"
    AMOUNT = "amount"


class Approved(Struct, frozen=True, kw_only=True):
    """An entry that may be sent as it stands. Only `review` makes one."""

    direction: Direction
    amount: Decimal
    reference_price: Decimal
    bracket: Bracket
    reason: str


class Refused(Struct, frozen=True, kw_only=True):
    """An entry that may not be sent, and why."""

    reason: Reason
    detail: str


class RiskView(Struct, frozen=True, kw_only=True):
    """All that a review looks at.

    Args:
        now_ms: Exchange time.
        trading_refusal: Why nobody may open anything now; None when trading is allowed.
        has_open_trade: The strategy already holds a position.
        has_working_entry: An entry of it is sent and not settled, or in doubt; counts as filled.
        in_doubt: Directions in which some order on the instrument, whoever's, is in doubt: until
            it is settled its whole size counts as filled.
        closure: Why the exchange takes no orders on the instrument now; None when it does.
        waited_ms: How long ago the quote arrived here, by our own clock alone.
        retry_ms: Until when it rests because its last entries came to nothing.
        trades_today: Opened since 00:00 UTC, entries in doubt included.
    """

    instrument: Instrument
    limits: Limits
    ticker: Ticker
    now_ms: int
    trading_refusal: str | None
    is_paused: bool
    has_open_trade: bool
    has_working_entry: bool
    last_exit_ms: int | None
    retry_ms: int | None
    trades_today: int
    in_doubt: frozenset[Direction] = frozenset()
    closure: Closure | None = None
    waited_ms: int = 0


def cooldown_until_ms(limits: Limits, last_exit_ms: int | None) -> int | None:
    """When the rest after the last trade ends; None when there was none."""
    return None if last_exit_ms is None else last_exit_ms + limits.cooldown_ms


def review(intent: Enter, view: RiskView) -> Approved | Refused:
    """Judge an entry: who may trade, how often, on what data, and how much."""
    return (
        _refuse_by_standing(view)
        or _refuse_by_doubt(intent, view)
        or _refuse_by_frequency(view)
        or refuse_by_market(
            view.instrument, view.ticker, now_ms=view.now_ms, waited_ms=view.waited_ms
        )
        or _refuse_by_shape(intent)
        or _size(intent, view)
    )


def _refuse_by_standing(view: RiskView) -> Refused | None:
    if view.trading_refusal is not None:
        return Refused(reason=Reason.TRADING_NOT_ALLOWED, detail=view.trading_refusal)
    if view.closure is not None:
        return Refused(reason=Reason(view.closure.kind), detail=view.closure.detail)
    if view.is_paused:
        return Refused(reason=Reason.PAUSED, detail="the strategy is paused")
    if view.has_open_trade:
        return Refused(reason=Reason.POSITION_OPEN, detail="a trade is open")
    if view.has_working_entry:
        return Refused(reason=Reason.ORDER_IN_DOUBT, detail="an entry is not settled yet")
    return None


def _refuse_by_doubt(intent: Enter, view: RiskView) -> Refused | None:
    if intent.direction in view.in_doubt:
        detail = f"a {intent.direction.value} order on the instrument is in doubt"
        return Refused(reason=Reason.ORDER_IN_DOUBT, detail=detail)
    return None


def _refuse_by_frequency(view: RiskView) -> Refused | None:
    until_ms = cooldown_until_ms(view.limits, view.last_exit_ms)
    if until_ms is not None and view.now_ms < until_ms:
        left_s = (until_ms - view.now_ms) / 1000
        return Refused(reason=Reason.COOLDOWN, detail=f"{left_s:.0f} s of cooldown left")
    if view.retry_ms is not None and view.now_ms < view.retry_ms:
        left_s = (view.retry_ms - view.now_ms) / 1000
        detail = f"the last entry came to nothing, {left_s:.0f} s until another is sent"
        return Refused(reason=Reason.REJECTED_BEFORE, detail=detail)
    if view.trades_today >= view.limits.daily_trades_max:
        detail = f"{view.trades_today} trades today, {view.limits.daily_trades_max} allowed"
        return Refused(reason=Reason.DAILY_TRADES, detail=detail)
    return None


def refuse_by_market(
    instrument: Instrument, ticker: Ticker, *, now_ms: int, waited_ms: int = 0
) -> Refused | None:
    """Judge the market alone: whether it is one, whether it is open, whether we see it as it is.

    Args:
        now_ms: Exchange time.
        waited_ms: How long ago the quote arrived here, by our own clock alone.
    """
    if not instrument.is_active or now_ms >= instrument.expiration_timestamp_ms:
        detail = f"{instrument.instrument_name} has expired, or is traded no longer"
        return Refused(reason=Reason.INSTRUMENT_ENDED, detail=detail)
    if not ticker.is_open:
        return Refused(reason=Reason.MARKET_CLOSED, detail="the instrument is not open")
    if waited_ms > TICKER_AGE_MS_MAX:
        detail = f"quote came {waited_ms} ms ago, {TICKER_AGE_MS_MAX} allowed"
        return Refused(reason=Reason.STALE_DATA, detail=detail)
    age_ms = abs(ticker.age_ms(now_ms))
    if age_ms > TICKER_AGE_MS_MAX:
        detail = f"quote is {age_ms} ms off, {TICKER_AGE_MS_MAX} allowed"
        return Refused(reason=Reason.STALE_DATA, detail=detail)
    return None


def _refuse_by_shape(intent: Enter) -> Refused | None:
    for name, value in (
        ("notional_usd", intent.notional_usd),
        ("stop_loss_percent", intent.stop_loss_percent),
        ("take_profit_percent", intent.take_profit_percent),
    ):
        if value is None and name == "take_profit_percent":
            continue
        if not isinstance(value, Decimal) or not value.is_finite() or value <= 0:
            return Refused(reason=Reason.BAD_INTENT, detail=f"{name} {value!r} is not positive")
    if intent.notional_usd > NOTIONAL_USD_MAX:
        detail = f"{intent.notional_usd} USD is more than {NOTIONAL_USD_MAX} USD"
        return Refused(reason=Reason.BAD_INTENT, detail=detail)
    below = (
        intent.stop_loss_percent
        if intent.direction is Direction.BUY
        else intent.take_profit_percent or Decimal(0)
    )
    if below >= 100:
        return Refused(reason=Reason.BAD_INTENT, detail="stop or target lies at or below zero")
    return None


def _size(intent: Enter, view: RiskView) -> Approved | Refused:
    ticker, instrument = view.ticker, view.instrument
    if instrument.kind is not Kind.FUTURE:
        # A premium or a spread says nothing about the notional, and what is bought of combos and
        # of spot is no position in them: each would need a rule of its own.
        detail = f"only futures and perpetuals are sized by notional, not {instrument.kind}s"
        return Refused(reason=Reason.BAD_INTENT, detail=detail)
    is_buy = intent.direction is Direction.BUY
    price = ticker.best_ask_price if is_buy else ticker.best_bid_price
    if price is None or not price.is_finite() or price <= 0:
        return Refused(reason=Reason.NO_PRICE, detail="nobody quotes the side to take")
    amount = instrument.amount_for_notional(intent.notional_usd, price)
    problem = instrument.refusal_of_amount(amount)
    if problem is not None:
        detail = f"{intent.notional_usd} USD at {price}: {problem}"
        return Refused(reason=Reason.AMOUNT, detail=detail)
    protection = bracket(
        instrument,
        intent.direction,
        price,
        stop_loss_percent=intent.stop_loss_percent,
        take_profit_percent=intent.take_profit_percent,
    )
    if price in (protection.stop_price, protection.target_price):
        detail = f"stop or target is closer to {price} than one tick"
        return Refused(reason=Reason.BAD_INTENT, detail=detail)
    return Approved(
        direction=intent.direction,
        amount=amount,
        reference_price=price,
        bracket=protection,
        reason=intent.reason,
    )
