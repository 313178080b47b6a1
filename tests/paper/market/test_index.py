"""An index and what it is delivered at."""

from decimal import Decimal

from vigil.paper.market.delivery_price import DAY_MS, WINDOW_MS
from vigil.paper.market.index import Delivery, Index

D = Decimal
EXPIRY = 1_766_736_000_000  # 26 December 2025, 08:00 UTC


def index(at_ms, price="100"):
    return Index("btc_usd", D(price), at_ms)


def test_prices_are_rounded_and_move_the_version():
    btc = index(EXPIRY - DAY_MS // 2)
    assert btc.move(D("101.238"), btc.now_ms + 100) == []
    assert btc.price == D("101.24")
    assert btc.version == 1


def test_the_estimate_is_the_price_until_the_last_half_hour_and_then_lags():
    btc = index(EXPIRY - WINDOW_MS - 1000)
    btc.move(D(110), EXPIRY - WINDOW_MS - 500)
    assert btc.estimated_delivery_price == 110
    btc.move(D(110), EXPIRY - WINDOW_MS)
    btc.move(D(130), EXPIRY - WINDOW_MS // 2)
    assert btc.estimated_delivery_price == 120
    assert btc.delivery_price(EXPIRY) == 120
    assert btc.delivery_price(EXPIRY + DAY_MS) == 130  # that one's half hour has not begun


def test_at_the_expiry_the_average_is_delivered_and_kept():
    btc = index(EXPIRY - WINDOW_MS)
    btc.move(D(100), EXPIRY - WINDOW_MS + 1)
    btc.move(D(200), EXPIRY - WINDOW_MS // 2)
    estimate = btc.estimated_delivery_price
    (delivery,) = btc.move(D(900), EXPIRY + 50)
    assert delivery == Delivery(index_name="btc_usd", expires_ms=EXPIRY, price=D(150))
    assert estimate == 150
    assert btc.delivery_price(EXPIRY) == 150
    assert btc.window is None
    assert btc.estimated_delivery_price == 900


def test_expiries_that_nobody_saw_are_delivered_at_the_last_price():
    btc = index(EXPIRY - DAY_MS // 2)
    due = btc.move(D(500), EXPIRY + 2 * DAY_MS + 1)
    assert [d.expires_ms for d in due] == [EXPIRY, EXPIRY + DAY_MS, EXPIRY + 2 * DAY_MS]
    assert {d.price for d in due} == {D(100)}


def test_a_window_survives_a_restart():
    btc = index(EXPIRY - WINDOW_MS)
    btc.move(D(100), EXPIRY - WINDOW_MS + 1)
    btc.move(D(200), EXPIRY - WINDOW_MS // 2)
    again = index(btc.now_ms, "200")
    again.restore(now_ms=btc.now_ms, window=btc.window, deliveries={})
    assert again.move(D(900), EXPIRY + 50) == btc.move(D(900), EXPIRY + 50)
