"""One instrument's prices, book and tape."""

import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.domain.money import is_multiple
from vigil.domain.order import Direction, Trigger
from vigil.paper.market.board import board
from vigil.paper.market.index import Index
from vigil.paper.market.instruments import PERPETUALS
from vigil.paper.market.market import BookState, Market
from vigil.paper.market.tape import PublicTrade

D = Decimal
NOW_MS = 1_795_000_000_000
DAY_MS = 86_400_000
PRICES = {"btc_usd": D(95_000), "btc_usdc": D(95_000), "xrp_usdc": D("2.3")}
QUANTA = {"xrp_usdc": D("0.00001")}
LISTINGS = {
    item.name: item
    for item in (*PERPETUALS, *board(NOW_MS, PRICES))
    if item.instrument.price_index in PRICES
}
FUTURE, OPTION, PUT = "BTC-25DEC26", "BTC-25DEC26-100000-C", "BTC-25DEC26-90000-P"
LINEAR_OPTION = "BTC_USDC-27NOV26-95000-C"


def market(name, price=None, **options):
    listing = LISTINGS[name]
    index_name = listing.instrument.price_index
    index = Index(
        index_name, price or PRICES[index_name], NOW_MS,
        quantum=QUANTA.get(index_name, D("0.01")),
    )  # fmt: skip
    return Market(listing, index, premium=D("0.00005"), **options)


def trade(m, price, **changes):
    return PublicTrade(
        **{
            "trade_id": "7", "trade_seq": 1, "instrument_name": m.listing.name,
            "timestamp_ms": NOW_MS, "direction": Direction.BUY, "price": D(price),
            "amount": m.listing.instrument.min_trade_amount, "mark_price": m.mark_price,
            "index_price": m.index_price, "tick_direction": m.tick_direction_of(D(price)),
        }
        | changes
    )  # fmt: skip


class TestPrices:
    def test_a_perpetual_stands_a_premium_above_its_index(self):
        assert market("BTC-PERPETUAL").mark_price == D("95004.75")

    def test_a_future_stands_above_its_index_and_meets_it_at_expiry(self):
        m = market(FUTURE)
        expires_ms = m.listing.expires_ms
        marks = []
        for now_ms in (NOW_MS, NOW_MS + 10 * DAY_MS, expires_ms - DAY_MS, expires_ms):
            m.index.move(D(95_000), now_ms)
            marks.append(m.mark_price)
        assert marks == sorted(marks, reverse=True)
        assert marks[0] > D(95_100)
        assert marks[-1] == 95_000

    def test_in_the_last_half_hour_a_future_follows_the_average(self):
        m = market(FUTURE)
        expires_ms = m.listing.expires_ms
        m.index.move(D(95_000), expires_ms - 1_800_000)
        m.index.move(D(97_000), expires_ms - 900_000)
        assert m.estimated_delivery_price == 96_000
        assert abs(m.mark_price - 96_000) < 1

    @pytest.mark.parametrize("name", [OPTION, PUT, LINEAR_OPTION])
    def test_an_option_is_worth_what_the_model_says_in_its_own_unit(self, name):
        m = market(name)
        quote = m.option_quote
        in_usd = m.mark_price * (1 if m.listing.contract.is_linear else quote.underlying_price)
        assert 0 < in_usd < 95_000
        assert quote.volatility_of(m.mark_price) == pytest.approx(quote.volatility, abs=0.002)
        assert (quote.greeks.delta > 0) is m.listing.is_call
        assert m.min_price < m.mark_price < m.max_price

    def test_the_recorded_option_band_is_ours(self):
        m = market(OPTION)
        assert m.max_price - m.mark_price <= D("0.03")
        assert m.max_price - m.mark_price > D("0.0294")  # rounded down to its tick of 0.0005

    @pytest.mark.parametrize("name", sorted(LISTINGS))
    def test_what_may_be_ordered_is_on_tick(self, name):
        m = market(name)
        instrument = m.listing.instrument
        levels = [*m.bids, *m.asks, (m.min_price, None), (m.max_price, None)]
        for price, amount in levels:
            assert price > 0
            assert is_multiple(price, instrument.tick_at(price)), price
            assert amount is None or instrument.refusal_of_amount(amount) is None

    def test_nothing_is_reckoned_until_somebody_looks(self):
        m = market(OPTION)
        m.index.move(D(96_000), NOW_MS + 1)
        assert m._version == -1
        before = m.mark_price
        m.index.move(D(99_000), NOW_MS + 2)
        assert m.mark_price > before

    def test_references_are_mark_index_and_last(self):
        m = market("BTC-PERPETUAL")
        m.record_trade(trade(m, "94000"))
        assert m.reference(Trigger.INDEX) == 95_000
        assert m.reference(Trigger.MARK) == m.mark_price
        assert m.reference(Trigger.LAST) == 94_000

    def test_prices_of_the_past_are_those_of_their_time(self):
        future = market(FUTURE)
        assert future.price_at(D(95_000), future.listing.expires_ms) == 95_000
        assert future.price_at(D(95_000), NOW_MS) > 95_100


class TestBook:
    def test_an_option_below_its_tick_has_no_bids_and_nothing_reaches_the_missing_side(self):
        m = market(PUT)
        m.index.move(D(140_000), m.listing.expires_ms - DAY_MS)
        assert m.mark_price < m.listing.instrument.tick_size
        assert m.bids == []
        assert m.best_bid is None
        assert m.asks
        assert m.best_opposite(Direction.SELL) == 0
        assert m.takeable(Direction.SELL, D("0.0001")) == []

    def test_own_orders_are_seen_but_not_taken(self):
        own = [(Direction.BUY, D("94990"), D(50)), (Direction.SELL, D("95500"), D(70))]
        m = market("BTC-PERPETUAL", own_orders=lambda _name: own)
        plain = market("BTC-PERPETUAL")
        best = plain.best_bid[0]
        own.append((Direction.BUY, best, D(30)))
        own.append((Direction.BUY, best + D("0.5"), D(10)))
        assert m.best_bid == (best + D("0.5"), 10)
        assert dict(m.bids)[best] == plain.best_bid[1] + 30
        assert dict(m.asks)[D("95500")] == 70
        assert [p for p, _ in m.asks] == sorted(p for p, _ in m.asks)
        assert [p for p, _ in m.bids] == sorted((p for p, _ in m.bids), reverse=True)
        assert m.best_opposite(Direction.SELL) == best
        assert m.takeable(Direction.SELL, D(1)) == plain.bids

    def test_a_delivered_book_is_empty(self):
        m = market(FUTURE)
        m.state = BookState.DELIVERED
        assert (m.bids, m.asks, m.best_bid, m.best_ask) == ([], [], None, None)
        assert m.takeable(Direction.BUY, D(10**9)) == []

    def test_changes_of_state_are_told_once(self):
        told = []
        m = market(FUTURE, on_state=told.append)
        m.state = BookState.LOCKED
        m.state = BookState.LOCKED
        assert told == [FUTURE]

    def test_deeper_levels_hold_more_and_change_in_time(self):
        m = market("BTC-PERPETUAL")
        before = list(m.asks)
        assert before[-1][1] > before[0][1]
        for _ in range(10):
            m.redraw(random.Random(1))
        assert m.asks != before
        assert [price for price, _ in m.asks] == [price for price, _ in before]

    def test_weights_survive_a_restart_and_those_of_another_shape_are_forgotten(self):
        m, again = market("BTC-PERPETUAL"), market("BTC-PERPETUAL")
        m.redraw(random.Random(1))
        assert m.asks
        again.restore(weights=m.weights, settlement_price=D(1), last_price=D(2))
        assert (again.bids, again.asks) == (m.bids, m.asks)
        assert (again.settlement_price, again.last_price) == (1, 2)
        again.restore(weights=((1, 2), (3,)), settlement_price=D(1), last_price=D(2))
        assert (again.bids, again.asks) == (m.bids, m.asks)

    @given(st.decimals("0.2", 10, places=5))
    def test_a_cheap_coin_has_a_whole_book(self, price):
        m = market("XRP_USDC-PERPETUAL", price=price)
        assert m.best_bid[0] < m.best_ask[0]
        assert abs(m.mark_price / m.index_price - 1) < D("0.001")


class TestTape:
    def test_a_trade_is_remembered_and_told_of_once(self):
        told = []
        m = market("BTC_USDC-PERPETUAL", on_trade=told.append)
        m.record_trade(trade(m, "95000"))
        m.record_trade(trade(m, "95001"))
        assert told == ["BTC_USDC-PERPETUAL"]
        assert len(m.tape.drain()) == 2
        assert m.tape.drain() == []
        m.record_trade(trade(m, "95001"))
        assert len(told) == 2
        assert m.tape.volume == D("0.0003")

    def test_options_count_volume_in_coin_and_carry_their_volatility(self):
        m = market(OPTION)
        assert not m.has_traded
        m.record_trade(trade(m, m.best_ask[0], amount=D(2)))
        assert m.has_traded
        assert m.tape.volume == 2
        assert m.tape.volume_usd == 2 * m.last_price * 95_000
        assert m.tape.trades[0].iv > D(100) * D(repr(m.option_quote.volatility)) - 1
        assert m.high == m.low == m.last_price

    def test_a_perpetual_remembers_the_extremes_of_mark(self):
        m = market("BTC-PERPETUAL")
        for price in (96_000, 94_000, 95_000):
            m.index.move(D(price), NOW_MS)
            m.move()
        assert (m.low, m.high) == (D("94004.70"), D("96004.80"))
