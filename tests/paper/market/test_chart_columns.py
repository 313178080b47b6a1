"""Candles of instruments made of those of their index."""

from vigil.domain.money import round_settlement
from vigil.paper.market.chart_columns import chart_columns
from vigil.paper.market.charts import MINUTE_MS

PUT, FUTURE, PERPETUAL = "BTC-25DEC26-90000-P", "BTC-25DEC26", "BTC-PERPETUAL"


def columns(desk, name, minutes=3, resolution=1):
    market = desk.market(name)
    chart = desk.venue.exchange.charts["btc_usd"]
    start_ms = desk.now_ms - minutes * MINUTE_MS
    return chart_columns(market, chart, start_ms, desk.now_ms, resolution)


def live(desk):
    for price in (95_000, 96_000, 94_000, 95_500):
        desk.now_ms += 40_000
        desk.move(price)


def test_highs_are_above_lows_for_every_kind(desk):
    live(desk)
    for name in (PUT, FUTURE, PERPETUAL):
        data = columns(desk, name)
        assert data["status"] == "ok"
        for low, opened, closed, high in zip(
            data["low"], data["open"], data["close"], data["high"], strict=True
        ):
            assert low <= opened <= high
            assert low <= closed <= high
        assert any(low < high for low, high in zip(data["low"], data["high"], strict=True))


def test_a_put_falls_when_its_index_rises(desk):
    live(desk)
    perpetual, put = columns(desk, PERPETUAL), columns(desk, PUT)
    rose = perpetual["close"][-1] > perpetual["close"][-2]
    fell = put["close"][-1] < put["close"][-2]
    assert rose
    assert fell


def test_volume_is_cost_over_close(desk):
    live(desk)
    data = columns(desk, PERPETUAL, resolution=1)
    for volume, cost, close in zip(data["volume"], data["cost"], data["close"], strict=True):
        assert volume == round_settlement(cost / close)


def test_nothing_is_told_from_before_an_instrument_was_listed(desk):
    market = desk.market(PUT)
    chart = desk.venue.exchange.charts["btc_usd"]
    born_ms = market.listing.creation_timestamp_ms
    data = chart_columns(market, chart, born_ms - 9 * MINUTE_MS, born_ms - MINUTE_MS, 1)
    assert data == {
        "status": "no_data", "ticks": [], "open": [], "high": [], "low": [], "close": [],
        "volume": [], "cost": [],
    }  # fmt: skip


def test_the_channel_says_what_the_method_says(desk):
    channel = f"chart.trades.{FUTURE}.1"
    desk.subscribe(channel)
    live(desk)
    last = desk.on(channel)[-1]
    data = columns(desk, FUTURE)
    assert last == {n: data["ticks" if n == "tick" else n][-1] for n in last}
