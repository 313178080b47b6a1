"""Public market data has the fields and types of recorded payloads of its kind."""

import json

import pytest

from vigil.paper.wire import framing

LINEAR, INVERSE, FUTURE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL", "BTC-25DEC26"
OPTION, LINEAR_OPTION = "BTC-25DEC26-100000-C", "BTC_USDC-27NOV26-95000-C"

# Fields of the object reference that no recording of that kind shows.
INSTRUMENT_FIELDS = {"state", "lot_size", "rfq"}


def kind_of(value):
    """JSON's own types: a number is a number."""
    if isinstance(value, bool) or value is None:
        return type(value)
    return float if isinstance(value, int | float) else type(value)


def assert_like(ours, *theirs, also=frozenset(), may_lack=frozenset()):
    """Each field of ours is in a recording with the same type, and none of theirs is missing."""
    ours = json.loads(framing.encode(ours))
    seen = {name: {kind_of(t[name]) for t in theirs if name in t} for t in theirs for name in t}
    for name, value in ours.items():
        assert name in seen or name in also, f"{name} is in no recording"
        if name in seen:
            assert kind_of(value) in seen[name], f"{name}: {value!r}"
    common = set.intersection(*(set(t) for t in theirs))
    assert common - may_lack <= set(ours), common - may_lack - set(ours)


def data_of(document):
    return document["params"]["data"]


class TestInstruments:
    def test_futures(self, desk, recorded):
        theirs = [
            recorded("nautilus/http_get_instrument.json")["result"],
            *recorded("fastmm/get_instruments_future.json")["result"],
            recorded("gec/get_instrument_linear_perpetual.json")["result"],
        ]
        listed = desk.call("public/get_instruments", currency="any", kind="future")
        assert {item["settlement_period"] for item in listed} >= {"perpetual", "week", "month"}
        for ours in listed:
            assert_like(ours, *theirs, also=INSTRUMENT_FIELDS)

    def test_options(self, desk, recorded):
        theirs = recorded("gec/get_instrument_inverse_option.json")["result"]
        for ours in desk.call("public/get_instruments", currency="any", kind="option"):
            assert_like(ours, theirs, also=INSTRUMENT_FIELDS)

    def test_an_inverse_option_has_the_recorded_units(self, desk, recorded):
        theirs = recorded("gec/get_instrument_inverse_option.json")["result"]
        ours = json.loads(
            framing.encode(desk.call("public/get_instrument", instrument_name=OPTION))
        )
        for name in (
            "contract_size", "min_trade_amount", "tick_size", "tick_size_steps", "quote_currency",
            "counter_currency", "settlement_currency", "price_index", "maker_commission",
        ):  # fmt: skip
            assert ours[name] == theirs[name], name


class TestTickers:
    def test_perpetuals(self, desk, recorded):
        theirs = [
            data_of(recorded(name))
            for name in ("nautilus/ws_ticker.json", "fastmm/ticker_perp.json")
        ]
        for name in (INVERSE, LINEAR):
            ours = desk.call("public/ticker", instrument_name=name)
            assert_like(ours, *theirs)
            assert_like(ours["stats"], *(data["stats"] for data in theirs))
        assert_like(ours, data_of(recorded("observatory/ticker_linear.json")), also={"stats"})

    def test_options(self, desk, recorded):
        theirs = data_of(recorded("crypto-msg-parser/ticker_option_100ms.json"))
        desk.buy(OPTION, amount=1, type="market")
        ours = desk.call("public/ticker", instrument_name=OPTION)
        assert_like(ours, theirs)
        assert_like(ours["stats"], theirs["stats"], also={"volume_usd"})
        assert_like(ours["greeks"], theirs["greeks"])
        assert ours["mark_price"].as_tuple().exponent >= -4

    def test_an_option_that_nobody_traded_has_nulls_where_the_exchange_has(self, desk):
        ours = desk.call("public/ticker", instrument_name=LINEAR_OPTION)
        assert ours["last_price"] is None
        assert {ours["stats"][name] for name in ("high", "low", "price_change")} == {None}

    def test_a_dated_future_has_no_funding_and_says_its_delivery_price_once_it_has_one(self, desk):
        ours = desk.call("public/ticker", instrument_name=FUTURE)
        assert not {"current_funding", "funding_8h", "interest_value", "delivery_price"} & set(ours)
        desk.market(FUTURE).delivery_price = desk.market(FUTURE).index_price
        ours = desk.call("public/ticker", instrument_name=FUTURE)
        assert ours["delivery_price"] == 95_000

    def test_order_books(self, desk, recorded):
        theirs = recorded("crypto-msg-parser/http_ticker_perpetual.json")["result"]
        ours = desk.call("public/get_order_book", instrument_name=INVERSE)
        assert_like(ours, theirs, also={"interest_value"})
        assert len(ours["bids"]) == 5


class TestChannels:
    def test_books(self, desk, recorded):
        for name, files in (
            (INVERSE, ("fastmm/book_perp_snapshot.json", "fastmm/book_perp_change_1.json")),
            (LINEAR, (None, "observatory/book_linear_change.json")),
        ):
            channel = f"book.{name}.100ms"
            desk.subscribe(channel)
            desk.move(96_000)
            for ours, theirs in zip(desk.on(channel), files, strict=False):
                if theirs is not None:
                    data = data_of(recorded(theirs))
                    assert_like(ours, data)
                    for side in ("bids", "asks"):
                        mine = json.loads(framing.encode(ours[side]))
                        shapes = [[kind_of(item) for item in row] for row in data[side]]
                        assert all([kind_of(i) for i in row] in shapes for row in mine)
            desk.move(95_000)

    @pytest.mark.parametrize(
        ("channel", "name"),
        [
            (f"book.{INVERSE}.none.20.100ms", "crypto-msg-parser/book_perpetual_none_20_100ms.json"),
            (f"book.{INVERSE}.none.10.100ms", "nautilus/ws_book_grouped_snapshot.json"),
            (f"book.{LINEAR}.none.20.100ms", "observatory/book_linear_grouped.json"),
            (f"quote.{INVERSE}", "crypto-msg-parser/quote_perpetual.json"),
            (f"chart.trades.{INVERSE}.1", "crypto-msg-parser/chart_trades_perpetual_1.json"),
            (f"perpetual.{LINEAR}.100ms", "observatory/perpetual_linear.json"),
            (f"ticker.{OPTION}.100ms", "crypto-msg-parser/ticker_option_100ms.json"),
        ],
    )  # fmt: skip
    def test_messages(self, desk, recorded, channel, name):
        desk.buy(OPTION, amount=1, type="market")
        desk.subscribe(channel)
        assert_like(desk.on(channel)[0], data_of(recorded(name)))

    @pytest.mark.parametrize(
        ("instrument", "name", "also"),
        [
            (INVERSE, "fastmm/trades_perp.json", set()),
            (INVERSE, "nautilus/ws_trades.json", set()),
            (INVERSE, "crypto-msg-parser/trades_perpetual_raw.json", {"contracts"}),
            (FUTURE, "crypto-msg-parser/trades_future_raw.json", {"contracts"}),
        ],
    )
    def test_trades(self, desk, recorded, instrument, name, also):
        channel = f"trades.{instrument}.raw"
        desk.subscribe(channel)
        desk.buy(instrument, amount=1000, type="market")
        theirs = data_of(recorded(name))
        lacking = {field for row in theirs for field in row if field.startswith("starbase")}
        for ours in desk.on(channel)[0]:
            assert_like(ours, *theirs, also=also, may_lack=lacking)


class TestHistory:
    def test_pages_of_trades(self, desk, recorded):
        desk.buy("ETH-PERPETUAL", amount=5, type="market")
        ours = desk.call(
            "public/get_last_trades_by_instrument", instrument_name="ETH-PERPETUAL", count=1000
        )
        theirs = recorded("nautilus/http_get_last_trades.json")["result"]
        assert_like(ours, theirs)
        assert_like(ours["trades"][0], *theirs["trades"])
        assert ours["trades"][0]["trade_id"].startswith("ETH-")

    def test_charts(self, desk, recorded):
        ours = desk.call(
            "public/get_tradingview_chart_data", instrument_name=INVERSE, resolution="1",
            start_timestamp=desk.now_ms - 300_000, end_timestamp=desk.now_ms,
        )  # fmt: skip
        assert_like(ours, recorded("nautilus/http_get_tradingview_chart_data.json")["result"])

    def test_book_summaries(self, desk, recorded):
        theirs = recorded("crypto-msg-parser/http_book_summary_future.json")["result"][0]
        desk.buy(FUTURE, amount=100, type="market")
        (ours,) = desk.call("public/get_book_summary_by_instrument", instrument_name=FUTURE)
        assert_like(ours, theirs)

    def test_expirations(self, desk, recorded):
        ours = desk.call("public/get_expirations", currency="any", kind="any")
        theirs = recorded("nautilus/http_get_expirations_any.json")["result"]
        assert_like(ours, theirs)
        assert ours["future"][-1] == "PERPETUAL"
