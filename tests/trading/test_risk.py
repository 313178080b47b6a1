"""Every reason to refuse an entry, at its limit and one step past it."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from vigil.domain.instrument import Instrument, Kind, TickStep
from vigil.domain.market import Ticker
from vigil.domain.order import Direction
from vigil.trading.closures import Closure, ClosureKind
from vigil.trading.risk import (
    TICKER_AGE_MS_MAX,
    Approved,
    Reason,
    Refused,
    RiskView,
    cooldown_until_ms,
    review,
)
from vigil.trading.signal import Enter, Limits

BUY, SELL = Direction.BUY, Direction.SELL
NOW_MS = 1_700_000_000_000
LINEAR = Instrument(
    instrument_name="BTC_USDC-PERPETUAL",
    kind=Kind.FUTURE,
    is_linear=True,
    base_currency="BTC",
    quote_currency="USDC",
    settlement_currency="USDC",
    contract_size=D("0.0001"),
    min_trade_amount=D("0.0001"),
    tick_size=D("0.5"),
)
INVERSE = replace(
    LINEAR,
    instrument_name="BTC-PERPETUAL",
    is_linear=False,
    quote_currency="USD",
    settlement_currency="BTC",
    contract_size=D(10),
    min_trade_amount=D(10),
)
OPTION = replace(
    INVERSE,
    instrument_name="BTC-26JUN26-100000-C",
    kind=Kind.OPTION,
    contract_size=D(1),
    min_trade_amount=D(1),
    tick_size=D("0.0001"),
    tick_size_steps=(TickStep(above_price=D("0.005"), tick_size=D("0.0005")),),
)
LIMITS = Limits(cooldown_ms=300_000, daily_trades_max=3)


def quote(**changes):
    return Ticker(
        **{
            "instrument_name": "BTC_USDC-PERPETUAL",
            "timestamp_ms": NOW_MS,
            "mark_price": D(50_000),
            "index_price": D(50_000),
            "best_bid_price": D(49_999),
            "best_ask_price": D(50_001),
        }
        | changes
    )


def view(**changes):
    return RiskView(
        **{
            "instrument": LINEAR,
            "limits": LIMITS,
            "ticker": quote(),
            "now_ms": NOW_MS,
            "trading_refusal": None,
            "is_paused": False,
            "has_open_trade": False,
            "has_working_entry": False,
            "last_exit_ms": None,
            "retry_ms": None,
            "trades_today": 0,
        }
        | changes
    )


def wish(**changes):
    return Enter(
        **{
            "direction": BUY,
            "notional_usd": D(500),
            "stop_loss_percent": D("0.5"),
            "take_profit_percent": D(1),
            "reason": "rsi",
        }
        | changes
    )


def reason_of(verdict):
    return verdict.reason if isinstance(verdict, Refused) else None


def test_an_entry_with_nothing_against_it_is_approved_with_its_protection():
    verdict = review(wish(), view())
    assert isinstance(verdict, Approved)
    assert verdict.amount == D("0.0099")  # 500 USD at the ask, rounded down to contracts
    assert verdict.reference_price == 50_001
    assert verdict.bracket.stop_price == D(49751)
    assert verdict.bracket.target_price == D(50501)
    assert (verdict.direction, verdict.reason) == (BUY, "rsi")


@pytest.mark.parametrize(
    ("direction", "price"), [(BUY, 50_001), (SELL, 49_999)], ids=["buys at the ask", "sells at bid"]
)
def test_the_price_is_that_of_the_side_to_take(direction, price):
    verdict = review(wish(direction=direction), view())
    assert verdict.reference_price == price


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({}, None, id="nothing against it"),
        pytest.param({"trading_refusal": "halted"}, Reason.TRADING_NOT_ALLOWED, id="halted"),
        pytest.param({"trading_refusal": ""}, Reason.TRADING_NOT_ALLOWED, id="halted, wordless"),
        *(
            pytest.param({"closure": Closure(kind=kind, detail="so")}, Reason(kind), id=kind)
            for kind in ClosureKind
        ),
        pytest.param({"is_paused": True}, Reason.PAUSED, id="paused"),
        pytest.param({"has_open_trade": True}, Reason.POSITION_OPEN, id="holds a position"),
        pytest.param({"has_working_entry": True}, Reason.ORDER_IN_DOUBT, id="entry not settled"),
        pytest.param(
            {"retry_ms": NOW_MS + 1}, Reason.REJECTED_BEFORE, id="last millisecond of its rest"
        ),
        pytest.param({"retry_ms": NOW_MS}, None, id="rested after a rejection"),
        pytest.param(
            {"last_exit_ms": NOW_MS - 299_999}, Reason.COOLDOWN, id="last millisecond of cooldown"
        ),
        pytest.param({"last_exit_ms": NOW_MS - 300_000}, None, id="cooldown just over"),
        pytest.param({"last_exit_ms": NOW_MS + 1}, Reason.COOLDOWN, id="exit ahead of our clock"),
        pytest.param({"trades_today": 2}, None, id="one trade left today"),
        pytest.param({"trades_today": 3}, Reason.DAILY_TRADES, id="none left today"),
        pytest.param({"trades_today": 4}, Reason.DAILY_TRADES, id="more than allowed today"),
        pytest.param({"ticker": quote(is_open=False)}, Reason.MARKET_CLOSED, id="market closed"),
        pytest.param(
            {"instrument": replace(LINEAR, is_active=False)},
            Reason.INSTRUMENT_ENDED,
            id="traded no longer",
        ),
        pytest.param(
            {"instrument": replace(LINEAR, expiration_timestamp_ms=NOW_MS)},
            Reason.INSTRUMENT_ENDED,
            id="just expired",
        ),
        pytest.param(
            {"instrument": replace(LINEAR, expiration_timestamp_ms=NOW_MS + 1)},
            None,
            id="expires next",
        ),
        pytest.param({"waited_ms": TICKER_AGE_MS_MAX}, None, id="arrived just in time"),
        pytest.param(
            {"waited_ms": TICKER_AGE_MS_MAX + 1}, Reason.STALE_DATA, id="arrived too long ago"
        ),
        pytest.param(
            {"ticker": quote(timestamp_ms=NOW_MS - TICKER_AGE_MS_MAX)}, None, id="oldest good quote"
        ),
        pytest.param(
            {"ticker": quote(timestamp_ms=NOW_MS - TICKER_AGE_MS_MAX - 1)},
            Reason.STALE_DATA,
            id="quote one millisecond too old",
        ),
        pytest.param(
            {"ticker": quote(timestamp_ms=NOW_MS + TICKER_AGE_MS_MAX)}, None, id="clocks a bit off"
        ),
        pytest.param(
            {"ticker": quote(timestamp_ms=NOW_MS + TICKER_AGE_MS_MAX + 1)},
            Reason.STALE_DATA,
            id="quote from the future",
        ),
        pytest.param({"ticker": quote(best_ask_price=None)}, Reason.NO_PRICE, id="no ask"),
        pytest.param({"ticker": quote(best_ask_price=D(0))}, Reason.NO_PRICE, id="ask of zero"),
        pytest.param({"ticker": quote(best_ask_price=D(-1))}, Reason.NO_PRICE, id="negative ask"),
        pytest.param({"ticker": quote(best_ask_price=D("NaN"))}, Reason.NO_PRICE, id="ask NaN"),
        pytest.param({"ticker": quote(best_ask_price=D("sNaN"))}, Reason.NO_PRICE, id="ask sNaN"),
        pytest.param({"ticker": quote(best_ask_price=D("Infinity"))}, Reason.NO_PRICE, id="inf"),
        pytest.param({"ticker": quote(best_bid_price=None)}, None, id="the other side is empty"),
    ],
)
def test_the_view_decides_whether_an_entry_may_be_sent(changes, reason):
    assert reason_of(review(wish(), view(**changes))) is reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"notional_usd": D("5.0001")}, None, id="one contract"),
        pytest.param({"notional_usd": D(5)}, Reason.AMOUNT, id="a shade below one contract"),
        pytest.param({"stop_loss_percent": D("99.9")}, None, id="the farthest stop"),
        pytest.param({"stop_loss_percent": D(100)}, Reason.BAD_INTENT, id="stop at zero"),
        pytest.param({"stop_loss_percent": D(101)}, Reason.BAD_INTENT, id="stop below zero"),
        pytest.param({"take_profit_percent": None}, None, id="no target is allowed"),
        pytest.param({"take_profit_percent": D(250)}, None, id="a long may hope for anything"),
    ],
)
def test_the_wish_decides_whether_it_can_be_an_order(changes, reason):
    assert reason_of(review(wish(**changes), view())) is reason


@pytest.mark.parametrize("name", ["notional_usd", "stop_loss_percent", "take_profit_percent"])
@pytest.mark.parametrize(
    "value",
    [D(0), D("-0"), D(-1), D("NaN"), D("sNaN"), D("Infinity"), D("-Infinity"), 1.0, 1, "1", True],
    ids=repr,
)
def test_what_is_no_positive_decimal_is_refused_before_it_is_compared(name, value):
    verdict = review(wish(**{name: value}), view())
    assert reason_of(verdict) is Reason.BAD_INTENT
    assert name in verdict.detail


@pytest.mark.parametrize("name", ["notional_usd", "stop_loss_percent"])
def test_a_missing_size_or_stop_is_refused(name):
    assert reason_of(review(wish(**{name: None}), view())) is Reason.BAD_INTENT


@pytest.mark.parametrize("percent", [D(100), D(150)], ids=["at zero", "below zero"])
def test_a_short_whose_target_lies_at_or_below_zero_is_refused(percent):
    verdict = review(wish(direction=SELL, take_profit_percent=percent), view())
    assert reason_of(verdict) is Reason.BAD_INTENT


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("name", ["stop_loss_percent", "take_profit_percent"])
def test_protection_closer_than_one_tick_is_refused(direction, name):
    verdict = review(wish(direction=direction, **{name: D("0.0001")}), view())
    assert reason_of(verdict) is Reason.BAD_INTENT


@pytest.mark.parametrize("notional_usd", [D("1E+40"), D("9E+999999")], ids=str)
@pytest.mark.parametrize("instrument", [LINEAR, INVERSE], ids=["linear", "inverse"])
def test_a_size_beyond_all_measure_is_refused(instrument, notional_usd):
    verdict = review(wish(notional_usd=notional_usd), view(instrument=instrument))
    assert reason_of(verdict) in (Reason.BAD_INTENT, Reason.AMOUNT)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.FUTURE])
def test_what_is_no_future_is_not_sized_by_notional(kind):
    verdict = review(wish(notional_usd=D(5_000)), view(instrument=replace(LINEAR, kind=kind)))
    assert isinstance(verdict, Refused)
    assert verdict.reason is Reason.BAD_INTENT
    assert "sized by notional" in verdict.detail


def test_an_option_is_never_sized_beyond_its_notional():
    ticker = quote(best_ask_price=D("0.05"), index_price=D(50_000))
    verdict = review(wish(notional_usd=D(5_000)), view(instrument=OPTION, ticker=ticker))
    worth_usd_max = D(5_000)
    assert isinstance(verdict, Refused) or (
        verdict.amount * verdict.reference_price * ticker.index_price <= worth_usd_max
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"last_exit_ms": NOW_MS - 60_000}, "240 s of cooldown left"),
        ({"trades_today": 3}, "3 trades today, 3 allowed"),
        ({"ticker": quote(timestamp_ms=NOW_MS - 4_000)}, "quote is 4000 ms off, 3000 allowed"),
        ({"trading_refusal": "session lost"}, "session lost"),
    ],
    ids=["cooldown", "daily", "stale", "not allowed"],
)
def test_a_refusal_says_the_values_to_act_on(changes, words):
    assert review(wish(), view(**changes)).detail == words


def test_a_refusal_for_its_amount_says_size_price_and_unit():
    verdict = review(wish(notional_usd=D(1)), view())
    assert verdict.reason is Reason.AMOUNT
    assert verdict.detail == "1 USD at 50001: amount 0 BTC is not positive"


def test_who_may_trade_is_asked_before_how_often_and_on_what_data():
    everything_wrong = view(
        trading_refusal="halted",
        is_paused=True,
        has_open_trade=True,
        has_working_entry=True,
        last_exit_ms=NOW_MS,
        trades_today=9,
        ticker=quote(is_open=False, timestamp_ms=0),
    )
    order = []
    cures = {
        Reason.TRADING_NOT_ALLOWED: {"trading_refusal": None},
        Reason.PAUSED: {"is_paused": False},
        Reason.POSITION_OPEN: {"has_open_trade": False},
        Reason.ORDER_IN_DOUBT: {"has_working_entry": False},
        Reason.COOLDOWN: {"last_exit_ms": None},
        Reason.DAILY_TRADES: {"trades_today": 0},
        Reason.MARKET_CLOSED: {"ticker": quote(timestamp_ms=0)},
        Reason.STALE_DATA: {"ticker": quote()},
    }
    seen = everything_wrong
    while isinstance(verdict := review(wish(), seen), Refused):
        order.append(verdict.reason)
        seen = replace(seen, **cures[verdict.reason])
    assert order == list(cures)


@pytest.mark.parametrize(
    ("last_exit_ms", "until_ms"), [(None, None), (0, 300_000), (NOW_MS, NOW_MS + 300_000)]
)
def test_cooldown_runs_from_the_last_exit(last_exit_ms, until_ms):
    assert cooldown_until_ms(LIMITS, last_exit_ms) == until_ms


def test_without_cooldown_the_next_entry_may_follow_at_once():
    limits = Limits(cooldown_ms=0, daily_trades_max=3)
    assert isinstance(review(wish(), view(limits=limits, last_exit_ms=NOW_MS)), Approved)


def test_a_daily_limit_of_zero_allows_nothing():
    limits = Limits(cooldown_ms=0, daily_trades_max=0)
    assert reason_of(review(wish(), view(limits=limits))) is Reason.DAILY_TRADES


numbers = st.decimals(allow_nan=True, allow_infinity=True).filter(
    lambda value: not value.is_finite() or value.adjusted() < 12
)
maybe = st.none() | numbers


@given(
    instrument=st.sampled_from([LINEAR, INVERSE]),
    direction=st.sampled_from(Direction),
    notional_usd=numbers,
    stop=numbers,
    target=maybe,
    bid=maybe,
    ask=maybe,
    age_ms=st.integers(-10_000, 10_000),
    last_exit_ms=st.none() | st.integers(NOW_MS - 600_000, NOW_MS + 600_000),
    trades_today=st.integers(0, 5),
    flags=st.tuples(*[st.booleans()] * 4),
)
def test_every_wish_gets_a_verdict_and_an_approval_breaks_no_limit(
    instrument,
    direction,
    notional_usd,
    stop,
    target,
    bid,
    ask,
    age_ms,
    last_exit_ms,
    trades_today,
    flags,
):
    is_paused, has_trade, has_entry, is_open = flags
    seen = view(
        instrument=instrument,
        is_paused=is_paused,
        has_open_trade=has_trade,
        has_working_entry=has_entry,
        last_exit_ms=last_exit_ms,
        trades_today=trades_today,
        ticker=quote(
            timestamp_ms=NOW_MS - age_ms, is_open=is_open, best_bid_price=bid, best_ask_price=ask
        ),
    )
    intent = wish(
        direction=direction,
        notional_usd=notional_usd,
        stop_loss_percent=stop,
        take_profit_percent=target,
    )
    verdict = review(intent, seen)
    if isinstance(verdict, Refused):
        assert verdict.detail
        return
    assert not (is_paused or has_trade or has_entry)
    assert is_open
    assert abs(age_ms) <= TICKER_AGE_MS_MAX
    assert trades_today < LIMITS.daily_trades_max
    assert last_exit_ms is None or last_exit_ms + LIMITS.cooldown_ms <= NOW_MS
    assert verdict.reference_price == (ask if direction is BUY else bid)
    assert instrument.refusal_of_amount(verdict.amount) is None
    assert instrument.notional_usd(verdict.amount, verdict.reference_price) <= notional_usd
    lost = (verdict.reference_price - verdict.bracket.stop_price) * direction.sign
    assert lost <= verdict.reference_price * stop / 100
