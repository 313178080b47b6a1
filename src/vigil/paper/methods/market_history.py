"""Methods that look back: trades of everybody, candles, funding, delivery prices, volatility.

Source: Deribit API v2, market data methods; recorded pages of trades and chart data.
"""

import heapq
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import Any

from vigil.domain.money import round_nearest
from vigil.paper.account.funding import EIGHT_HOURS_MS, HOUR_MS, FundingMeter
from vigil.paper.market.chart_columns import chart_columns
from vigil.paper.market.charts import RESOLUTION_MINUTES
from vigil.paper.market.delivery_price import DAY_MS
from vigil.paper.market.market import Market
from vigil.paper.market.options import smile_volatility
from vigil.paper.market.tape import PublicTrade
from vigil.paper.methods.calls import Call, Methods
from vigil.paper.methods.market import read_index, read_public_currency
from vigil.paper.methods.selection import KINDS, is_in, read_count
from vigil.paper.refusals import invalid_param
from vigil.paper.wire import render_market
from vigil.paper.wire.params import TIMESTAMP_MS_MAX

_TRADES_COUNT = 10
_SORTINGS = ("asc", "desc", "default")
_DELIVERIES_COUNT = 10
_FUNDING_CHARTS_MS = {"8h": EIGHT_HOURS_MS, "24h": DAY_MS, "1m": 31 * DAY_MS}
_MARK_STEP_MINUTES = 5
_VOLATILITY_YEARS = 30 / 365
_VOLATILITY_RESOLUTIONS_S = {"1": 1, "60": 60, "3600": 3600, "43200": 43_200, "1D": 86_400}
_VOLATILITY_ROWS = 1000
_HUNDREDTH = Decimal("0.01")


# -- trades ----------------------------------------------------------------------------------------


def _trades_by_instrument(call: Call) -> dict[str, Any]:
    market = call.market()
    first, last = call.params.integer("start_seq", 0), call.params.integer("end_seq", 2**63)
    is_from_start = call.params.has("start_seq") or call.params.has("start_timestamp")
    return _page(
        call,
        [market],
        lambda trade: first <= trade.trade_seq <= last,
        is_from_start=is_from_start,
    )


def _trades_by_instrument_and_time(call: Call) -> dict[str, Any]:
    _require_times(call)
    return _trades_by_instrument(call)


def _trades_by_currency(call: Call) -> dict[str, Any]:
    currency = read_public_currency(call, default=None)
    kind = call.params.choice("kind", KINDS, "any")
    first, last = _trade_number(call, "start_id"), _trade_number(call, "end_id")
    markets = [m for name, m in call.exchange.markets.items() if is_in(call, name, currency, kind)]
    return _page(
        call,
        markets,
        lambda trade: (
            (first is None or trade.number >= first) and (last is None or trade.number <= last)
        ),
        is_from_start=first is not None or call.params.has("start_timestamp"),
    )


def _trades_by_currency_and_time(call: Call) -> dict[str, Any]:
    _require_times(call)
    return _trades_by_currency(call)


def _page(
    call: Call,
    markets: Iterable[Market],
    is_wanted: Callable[[PublicTrade], bool],
    *,
    is_from_start: bool,
) -> dict[str, Any]:
    """Trades of some markets together.

    `count` takes the newest, newest first, unless ascending order is asked for: then it takes the
    oldest where the call says where to begin, else the newest, and both oldest first.
    """
    params = call.params
    count = read_count(call, _TRADES_COUNT)
    sorting = params.choice("sorting", _SORTINGS, "default")
    start_ms = params.timestamp_or_none("start_timestamp") or 0
    end_ms = params.timestamp_or_none("end_timestamp") or TIMESTAMP_MS_MAX
    tapes = [market.tape.trades for market in markets if market.tape.trades]
    is_ascending = sorting == "asc" and is_from_start
    merged: Iterable[PublicTrade] = (
        heapq.merge(*tapes, key=_place_in_time)
        if is_ascending
        else heapq.merge(*map(reversed, tapes), key=_place_in_time, reverse=True)
    )
    found = (t for t in merged if start_ms <= t.timestamp_ms <= end_ms and is_wanted(t))
    page = list(islice(found, count + 1))
    shown = page[:count]
    if sorting == "asc" and not is_ascending:
        shown.reverse()
    catalogue = call.exchange.catalogue
    return {
        "trades": [render_market.public_trade(trade, catalogue, call.now_ms) for trade in shown],
        "has_more": len(page) > count,
    }


def _place_in_time(trade: PublicTrade) -> tuple[int, int]:
    return trade.timestamp_ms, trade.number


def _trade_number(call: Call, name: str) -> int | None:
    """The number inside a trade id such as `USDC-208000001`. Raises: Refusal."""
    text = call.params.text_or_none(name)
    if text is None:
        return None
    number = text.rpartition("-")[2]
    if not number.isdecimal():
        raise invalid_param(name)
    return int(number)


# -- candles and marks -----------------------------------------------------------------------------


def _chart_data(call: Call) -> dict[str, Any]:
    market = call.market()
    start_ms, end_ms = _require_times(call)
    resolution = call.params.choice("resolution", RESOLUTION_MINUTES)
    chart = call.exchange.charts[market.listing.instrument.price_index]
    return chart_columns(market, chart, start_ms, end_ms, RESOLUTION_MINUTES[resolution])


def _mark_price_history(call: Call) -> list[list[Any]]:
    """Of options only, every five minutes; other instruments have none."""
    market = call.market()
    start_ms, end_ms = _require_times(call)
    if market.listing.strike is None:
        return []
    chart = call.exchange.charts[market.listing.instrument.price_index]
    columns = chart_columns(market, chart, start_ms, end_ms, _MARK_STEP_MINUTES)
    return [list(row) for row in zip(columns["ticks"], columns["close"], strict=True)]


def _volatility_index(call: Call) -> dict[str, Any]:
    """Candles of the volatility of thirty days; a fixed smile gives flat ones."""
    read_public_currency(call, default=None)
    start_ms, end_ms = _require_times(call)
    step_s = _VOLATILITY_RESOLUTIONS_S[call.params.choice("resolution", _VOLATILITY_RESOLUTIONS_S)]
    percent = _thirty_day_volatility()
    newest_ms = min(end_ms, call.now_ms)
    step_ms = step_s * 1000
    oldest_ms = max(start_ms, newest_ms - (_VOLATILITY_ROWS - 1) * step_ms)
    begins = range(oldest_ms - oldest_ms % step_ms, newest_ms + 1, step_ms)
    return {"data": [[time_ms, *([percent] * 4)] for time_ms in begins], "continuation": None}


def _historical_volatility(call: Call) -> list[list[Any]]:
    """Hourly, of the last two days; flat as the smile is fixed."""
    read_public_currency(call, default=None)
    now_ms = call.now_ms - call.now_ms % HOUR_MS
    percent = _thirty_day_volatility()
    return [[now_ms - hours * HOUR_MS, percent] for hours in range(48, -1, -1)]


def _thirty_day_volatility() -> Decimal:
    percent = 100 * smile_volatility(forward=1.0, strike=1.0, years=_VOLATILITY_YEARS)
    return round_nearest(Decimal(repr(percent)), _HUNDREDTH)


# -- funding ---------------------------------------------------------------------------------------


def _funding_rate_value(call: Call) -> Decimal:
    meter = _meter(call)
    return meter.value(*_require_times(call))


def _funding_rate_history(call: Call) -> list[dict[str, Any]]:
    """The hours that ended in the window, oldest first."""
    meter = _meter(call)
    start_ms, end_ms = _require_times(call)
    return [
        {
            "timestamp": hour.timestamp_ms,
            "index_price": hour.index_price,
            "prev_index_price": hour.prev_index_price,
            "interest_1h": hour.interest_1h,
            "interest_8h": hour.interest_8h,
        }
        for hour in meter.hours
        if start_ms <= hour.timestamp_ms <= end_ms
    ]


def _funding_chart_data(call: Call) -> dict[str, Any]:
    meter, market = _meter(call), call.market()
    length_ms = _FUNDING_CHARTS_MS[call.params.choice("length", _FUNDING_CHARTS_MS)]
    return {
        "current_interest": market.current_funding,
        "interest_8h": meter.eight_hours,
        "data": [
            {
                "timestamp": hour.timestamp_ms,
                "index_price": hour.index_price,
                "interest_8h": hour.interest_8h,
            }
            for hour in meter.hours
            if hour.timestamp_ms >= call.now_ms - length_ms
        ],
    }


def _meter(call: Call) -> FundingMeter:
    """The funding of a perpetual. Raises: Refusal, for what has none."""
    meter = call.exchange.clearing.meters.get(call.market().listing.name)
    if meter is None:
        raise invalid_param("instrument_name", "not a perpetual")
    return meter


# -- delivery --------------------------------------------------------------------------------------


def _delivery_prices(call: Call) -> dict[str, Any]:
    """Newest first."""
    index = call.exchange.floor.indexes.by_name[read_index(call)]
    offset, count = call.params.integer("offset", 0), read_count(call, _DELIVERIES_COUNT)
    newest_first = sorted(index.deliveries.items(), reverse=True)
    return {
        "data": [
            {"date": _date_text(expires_ms), "delivery_price": price}
            for expires_ms, price in newest_first[offset : offset + count]
        ],
        "records_total": len(newest_first),
    }


def _date_text(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).date().isoformat()


def _require_times(call: Call) -> tuple[int, int]:
    """The window asked for. Raises: Refusal, when a side is missing or it ends before it starts."""
    start_ms = call.params.timestamp("start_timestamp")
    end_ms = call.params.timestamp("end_timestamp")
    if start_ms > end_ms:
        raise invalid_param("start_timestamp")
    return start_ms, end_ms


MARKET_HISTORY_METHODS: Methods = {
    "public/get_last_trades_by_instrument": _trades_by_instrument,
    "public/get_last_trades_by_instrument_and_time": _trades_by_instrument_and_time,
    "public/get_last_trades_by_currency": _trades_by_currency,
    "public/get_last_trades_by_currency_and_time": _trades_by_currency_and_time,
    "public/get_tradingview_chart_data": _chart_data,
    "public/get_mark_price_history": _mark_price_history,
    "public/get_volatility_index_data": _volatility_index,
    "public/get_historical_volatility": _historical_volatility,
    "public/get_funding_rate_value": _funding_rate_value,
    "public/get_funding_rate_history": _funding_rate_history,
    "public/get_funding_chart_data": _funding_chart_data,
    "public/get_delivery_prices": _delivery_prices,
}
