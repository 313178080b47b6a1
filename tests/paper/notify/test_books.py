"""Books as they are told: ids, changes, groups, own orders, stale events."""

from decimal import Decimal

import pytest

from vigil.paper.switches import Switches

D = Decimal
LINEAR, INVERSE, ETHER = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL", "ETH-PERPETUAL"
OPTION = "BTC-25DEC26-100000-C"


class Client:
    """Keeps a book from its messages, as clients do."""

    def __init__(self):
        self.sides = {"bids": {}, "asks": {}}
        self.change_id = None
        self.dropped = 0

    def take(self, message):
        if message["type"] == "snapshot":
            self.sides = {s: {p: a for _, p, a in message[s]} for s in self.sides}
        elif message["change_id"] <= self.change_id:
            self.dropped += 1
            return
        else:
            assert message["prev_change_id"] == self.change_id
            for side, held in self.sides.items():
                for action, price, amount in message[side]:
                    assert (price in held) is (action != "new")
                    if action == "delete":
                        del held[price]
                    else:
                        held[price] = amount
        self.change_id = message["change_id"]


def sides_of(market):
    return {"bids": dict(market.bids), "asks": dict(market.asks)}


class TestChain:
    def test_ids_jump_and_are_shared_by_all_books(self, desk):
        channels = [f"book.{name}.100ms" for name in (LINEAR, INVERSE, ETHER)]
        desk.subscribe(*channels)
        for price in (95_100, 95_200, 95_300):
            desk.move(price)
        ids = [m["change_id"] for c in channels[:2] for m in desk.on(c)]
        assert len(set(ids)) == len(ids)
        steps = [b - a for a, b in zip(sorted(ids), sorted(ids)[1:], strict=False)]
        assert max(steps) > 1

    def test_a_book_has_one_id_over_every_channel_and_method(self, desk):
        desk.subscribe(f"book.{LINEAR}.100ms", f"book.{LINEAR}.none.10.100ms")
        desk.on(f"book.{LINEAR}.none.10.100ms")
        desk.move(95_100)
        told = desk.on(f"book.{LINEAR}.100ms")[-1]["change_id"]
        assert desk.on(f"book.{LINEAR}.none.10.100ms")[-1]["change_id"] == told
        for _ in range(2):
            book = desk.call("public/get_order_book", instrument_name=LINEAR)
            assert book["change_id"] == told

    def test_a_still_book_says_nothing(self, desk):
        desk.subscribe(f"book.{OPTION}.100ms")
        assert len(desk.on(f"book.{OPTION}.100ms")) == 1
        desk.venue.publisher.tick(desk.now_ms)
        assert desk.on(f"book.{OPTION}.100ms") == []

    @pytest.mark.parametrize("name", [LINEAR, INVERSE, OPTION])
    def test_changes_lead_to_the_real_book(self, desk, name):
        channel = f"book.{name}.100ms"
        desk.subscribe(channel)
        client = Client()
        for price in ("95010.5", "96000", "91000", "95001", "99999"):
            desk.move(price)
            desk.now_ms += 60_000
        for message in desk.on(channel):
            client.take(message)
        assert client.sides == sides_of(desk.market(name))

    def test_a_stale_event_follows_the_snapshot_and_must_be_dropped(self, make_desk):
        desk = make_desk(switches=Switches(late_book_events=True))
        channel = f"book.{INVERSE}.100ms"
        desk.subscribe(channel)
        desk.move(95_100)
        client = Client()
        for message in desk.on(channel):
            client.take(message)
        assert client.dropped == 1
        assert client.sides == sides_of(desk.market(INVERSE))


class TestOwnOrders:
    def test_a_resting_order_shows_in_book_ticker_quote_and_summary(self, desk):
        best = desk.market(LINEAR).best_bid[0]
        price = best + D("0.1")
        desk.subscribe(f"quote.{LINEAR}")
        order = desk.buy(amount=D("0.0123"), price=price, post_only=True)["order"]
        assert order["order_state"] == "open"
        shown = desk.call("public/get_order_book", instrument_name=LINEAR, depth=1)
        assert shown["bids"] == [(price, D("0.0123"))]
        ticker = desk.call("public/ticker", instrument_name=LINEAR)
        assert (ticker["best_bid_price"], ticker["best_bid_amount"]) == (price, D("0.0123"))
        (summary,) = desk.call("public/get_book_summary_by_instrument", instrument_name=LINEAR)
        assert summary["bid_price"] == price
        desk.venue.publisher.tick(desk.now_ms)
        desk.call("private/cancel", order_id=order["order_id"])
        assert desk.market(LINEAR).best_bid[0] == best

    def test_a_raw_book_tells_of_it_at_once_and_a_slower_one_at_the_next_tick(self, desk):
        raw, slow = f"book.{LINEAR}.raw", f"book.{LINEAR}.100ms"
        desk.subscribe(raw, slow)
        desk.on(raw), desk.on(slow)
        price = desk.market(LINEAR).best_bid[0] - D("0.05")
        price = price - price % D("0.1")
        desk.buy(amount=D("0.01"), price=price, post_only=True)
        (change,) = desk.on(raw)
        assert [price in {p for _, p, _ in change["bids"]}] == [True]
        assert desk.on(slow) == []
        desk.wait(100)
        assert desk.on(slow)

    def test_an_iceberg_shows_its_tip(self, desk):
        price = desk.market(LINEAR).best_bid[0] + D("0.1")
        desk.buy(amount=D("0.5"), price=price, post_only=True, display_amount=D("0.1"))
        assert desk.market(LINEAR).best_bid == (price, D("0.1"))

    def test_a_waiting_stop_is_seen_by_nobody(self, desk):
        before = sides_of(desk.market(LINEAR))
        desk.sell(
            amount=D("0.01"), type="stop_limit", price=94_000, trigger="mark_price",
            trigger_price=94_000,
        )  # fmt: skip
        assert sides_of(desk.market(LINEAR)) == before


class TestWindows:
    @pytest.mark.parametrize(
        ("name", "group", "step"),
        [(INVERSE, "1", "1"), (LINEAR, "10", "10"), (ETHER, "5", "0.05"), (ETHER, "250", "2.5")],
    )
    def test_levels_are_gathered_downwards_for_bids_and_upwards_for_asks(
        self, desk, name, group, step
    ):
        channel = f"book.{name}.{group}.20.100ms"
        assert desk.subscribe(channel) == [channel]
        (window,) = desk.on(channel)
        market = desk.market(name)
        for side, levels in (("bids", market.bids), ("asks", market.asks)):
            gathered = window[side]
            assert all(price % D(step) == 0 for price, _ in gathered)
            if len(gathered) < 20:
                assert sum(a for _, a in gathered) == sum(a for _, a in levels)
            away = [price for price, _ in gathered]
            assert away == sorted(away, reverse=side == "bids")
        assert window["bids"][0][0] <= market.best_bid[0]
        assert window["asks"][0][0] >= market.best_ask[0]

    @pytest.mark.parametrize("depth", [1, 10, 20])
    def test_a_window_has_its_depth_and_comes_whole_each_time(self, desk, depth):
        channel = f"book.{INVERSE}.none.{depth}.100ms"
        desk.subscribe(channel)
        desk.move(95_111)
        for window in desk.on(channel):
            assert len(window["bids"]) == len(window["asks"]) == depth

    @pytest.mark.parametrize(
        "channel",
        [
            f"book.{INVERSE}.25.10.100ms", f"book.{ETHER}.1.10.100ms", f"book.{OPTION}.1.10.100ms",
            f"book.{INVERSE}.none.5.100ms", f"book.{INVERSE}.none.10.raw", "book.NO.none.10.100ms",
            "book.SOL_USDC-PERPETUAL.1.10.100ms",
        ],
    )  # fmt: skip
    def test_groups_that_a_coin_does_not_have_are_no_channels(self, desk, channel):
        assert desk.subscribe(channel) == []
