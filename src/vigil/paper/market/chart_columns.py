"""An instrument's candles: those of its index, at the prices it had then.

Source: Deribit API v2, `public/get_tradingview_chart_data` and `chart.trades`, recorded: volume in
base coin, cost in quote currency, for inverse instruments too.
"""

from decimal import Decimal
from typing import Any

from vigil.domain.market import Candle
from vigil.domain.money import round_settlement
from vigil.paper.market.charts import MINUTE_MS, Chart
from vigil.paper.market.market import Market

_COST_A_MINUTE = Decimal(250_000)  # of futures; options trade less
_OPTION_COST_A_MINUTE = Decimal(1_000)


def chart_columns(
    market: Market, chart: Chart, start_ms: int, end_ms: int, resolution_minutes: int
) -> dict[str, Any]:
    """Parallel arrays, oldest first; nothing from before the instrument was listed."""
    bucket_ms = resolution_minutes * MINUTE_MS
    born_ms = market.listing.creation_timestamp_ms
    rows = [
        _row(market, candle, bucket_ms)
        for candle in chart.candles(max(start_ms, born_ms), end_ms, resolution_minutes)
    ]
    names = ("ticks", "open", "high", "low", "close", "volume", "cost")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)) if rows else {}
    return {
        "status": "ok" if rows else "no_data",
        **{name: columns.get(name, []) for name in names},
    }


def _row(market: Market, candle: Candle, bucket_ms: int) -> tuple[Any, ...]:
    """One candle. A put is dear where its index is low, so the extremes are sorted anew."""
    time_ms = candle.start_ms
    opened = market.price_at(candle.open, time_ms)
    closed = market.price_at(candle.close, time_ms)
    known = {candle.open: opened, candle.close: closed}  # where extremes often are
    one, other = (
        known[price] if price in known else market.price_at(price, time_ms)
        for price in (candle.high, candle.low)
    )
    is_option = market.listing.strike is not None
    cost = (_OPTION_COST_A_MINUTE if is_option else _COST_A_MINUTE) * (bucket_ms // MINUTE_MS)
    worth = candle.close if is_option else closed
    prices = (opened, one, other, closed)
    return time_ms, opened, max(prices), min(prices), closed, round_settlement(cost / worth), cost
