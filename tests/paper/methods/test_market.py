"""Instruments, tickers, books, summaries and indexes over their methods."""

import pytest

from vigil.paper.market.delivery_price import next_expiry_ms
from vigil.paper.market.market import BookState

LINEAR, INVERSE, FUTURE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL", "BTC-25DEC26"
OPTION = "BTC-25DEC26-100000-C"


class TestInstruments:
    def test_without_a_currency_there_is_everything(self, desk):
        everything = desk.call("public/get_instruments")
        assert everything == desk.call("public/get_instruments", currency="any")
        assert {item["kind"] for item in everything} == {"future", "option"}
        assert len(everything) == len(desk.venue.exchange.catalogue.listings)

    @pytest.mark.parametrize(
        ("currency", "kind"),
        [
            ("BTC", "future"),
            ("BTC", "option"),
            ("USDC", "option"),
            ("ETH", "future"),
            ("btc", "any"),
        ],
    )
    def test_currency_and_kind_narrow_it(self, desk, currency, kind):
        found = desk.call("public/get_instruments", currency=currency, kind=kind)
        assert found
        assert {item["settlement_currency"] for item in found} == {currency.upper()}
        if kind != "any":
            assert {item["kind"] for item in found} == {kind}

    @pytest.mark.parametrize("kind", ["spot", "future_combo", "option_combo"])
    def test_kinds_that_nobody_lists_are_empty(self, desk, kind):
        assert desk.call("public/get_instruments", currency="any", kind=kind) == []

    def test_futures_come_first_and_both_by_expiry(self, desk):
        rows = [
            (item["kind"] == "option", item["expiration_timestamp"])
            for item in desk.call("public/get_instruments", currency="BTC")
        ]
        assert rows == sorted(rows)

    def test_a_coin_that_nothing_is_settled_in_has_none_and_an_unknown_one_is_refused(self, desk):
        assert desk.call("public/get_instruments", currency="SOL") == []
        refusal = desk.refusal("public/get_instruments", currency="DOGE")
        assert (refusal.code, refusal.data["param"]) == (-32602, "currency")

    @pytest.mark.parametrize(
        ("method", "params"),
        [
            ("public/get_book_summary_by_currency", {}),
            ("public/get_last_trades_by_currency", {}),
            ("public/get_last_settlements_by_currency", {}),
            ("private/get_positions", {}),
            ("private/get_open_orders_by_currency", {}),
            ("private/get_user_trades_by_currency", {}),
            ("private/get_order_history_by_currency", {}),
            ("private/get_transaction_log", {"start_timestamp": 0, "end_timestamp": 1}),
            ("private/cancel_all_by_currency", {}),
        ],
    )
    @pytest.mark.parametrize("currency", ["SOL", "XRP", "USDT", "EURR"])
    def test_every_currency_of_the_exchange_may_be_asked_for(self, desk, method, params, currency):
        answer = desk.call(method, currency=currency, **params)
        assert not any(answer.values() if isinstance(answer, dict) else (answer,))

    def test_the_delivered_are_listed_only_as_expired(self, desk):
        desk.market(FUTURE).state = BookState.DELIVERED
        names = {item["instrument_name"] for item in desk.call("public/get_instruments")}
        assert FUTURE not in names
        (gone,) = desk.call("public/get_instruments", expired=True)
        assert gone["instrument_name"] == FUTURE
        assert (gone["is_active"], gone["state"]) == (False, "delivered")

    def test_tomorrow_there_are_others(self, desk):
        before = {item["instrument_name"] for item in desk.call("public/get_instruments")}
        for _ in range(3):
            desk.now_ms = next_expiry_ms(desk.now_ms)
            desk.wait(1000)
        after = {item["instrument_name"] for item in desk.call("public/get_instruments")}
        assert after - before
        assert before - after

    def test_an_unknown_instrument_is_refused(self, desk):
        refusal = desk.refusal("public/get_instrument", instrument_name="BTC-1JAN20")
        assert refusal.code == -32602


class TestBooks:
    @pytest.mark.parametrize(
        ("asked", "shown"), [(1, 1), (3, 5), (5, 5), (7, 10), (20, 20), (21, 25), (10_001, 25)]
    )
    def test_depth_is_rounded_up_to_what_there_is(self, desk, asked, shown):
        book = desk.call("public/get_order_book", instrument_name=LINEAR, depth=asked)
        assert len(book["bids"]) == len(book["asks"]) == shown

    def test_an_order_book_is_a_ticker_with_levels(self, desk):
        book = desk.call("public/get_order_book", instrument_name=OPTION)
        ticker = desk.call("public/ticker", instrument_name=OPTION)
        assert {name: book[name] for name in ticker} == ticker
        assert set(book) - set(ticker) == {"bids", "asks", "change_id"}
        assert book["bids"][0][0] == ticker["best_bid_price"]

    def test_summaries_cover_a_currency_and_kind(self, desk):
        rows = desk.call("public/get_book_summary_by_currency", currency="BTC", kind="option")
        listed = desk.call("public/get_instruments", currency="BTC", kind="option")
        assert {r["instrument_name"] for r in rows} == {i["instrument_name"] for i in listed}
        assert all({"mark_iv", "underlying_price"} <= set(row) for row in rows)
        everything = desk.call("public/get_book_summary_by_currency", currency="BTC")
        assert len(everything) > len(rows)
        assert desk.refusal("public/get_book_summary_by_currency").code == -32602

    def test_mid_price_lies_between_bid_and_ask(self, desk):
        for row in desk.call("public/get_book_summary_by_currency", currency="any"):
            if row["bid_price"] is None:
                assert row["mid_price"] is None
            else:
                assert row["bid_price"] < row["mid_price"] < row["ask_price"]


class TestExpirations:
    def test_one_currency_or_all_grouped(self, desk):
        grouped = desk.call("public/get_expirations", currency="grouped", kind="any")
        assert set(grouped) == {"btc", "eth", "usdc"}
        one = desk.call("public/get_expirations", currency="BTC", kind="any")
        assert one == {"btc": grouped["btc"]}
        futures = desk.call("public/get_expirations", currency="BTC", kind="future")
        assert futures == {"btc": {"future": grouped["btc"]["future"]}}

    def test_expiries_are_in_order_of_time_and_named_as_in_instruments(self, desk):
        names = desk.call("public/get_expirations", currency="any", kind="option")["option"]
        assert names[:2] == ["19NOV26", "20NOV26"]
        assert desk.refusal("public/get_expirations", currency="any", kind="spot").code == -32602


class TestIndexes:
    def test_names_plain_and_extended(self, desk):
        names = desk.call("public/get_index_price_names")
        assert {"btc_usd", "btc_usdc", "eth_usd"} <= set(names)
        extended = desk.call("public/get_index_price_names", extended=True)
        assert [item["name"] for item in extended] == names

    def test_an_unknown_index_is_refused(self, desk):
        assert desk.refusal("public/get_index_price", index_name="doge_usd").code == -32602


def test_currencies_are_those_of_settlement_and_their_coins(desk):
    rows = desk.call("public/get_currencies")
    assert [row["currency"] for row in rows][:3] == ["BTC", "ETH", "USDC"]
    assert {"SOL", "XRP"} < {row["currency"] for row in rows}
    for row in rows:
        assert {"coin_type", "currency_long", "withdrawal_fee", "min_confirmations"} <= set(row)


def test_contract_sizes_are_those_of_the_instrument(desk):
    for name, size in ((INVERSE, 10), (OPTION, 1)):
        assert desk.call("public/get_contract_size", instrument_name=name) == {
            "contract_size": size
        }
