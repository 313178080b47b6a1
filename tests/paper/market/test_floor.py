"""All markets together: what is listed, delivered, archived and kept."""

import random
from dataclasses import replace
from decimal import Decimal

import pytest
from msgspec.structs import replace as struct_replace

from vigil.paper.market.delivery_price import DAY_MS, next_expiry_ms
from vigil.paper.market.floor import Floor, InstrumentListed, StateChanged
from vigil.paper.market.instruments import PERPETUALS
from vigil.paper.market.market import BookState
from vigil.paper.market.recording import TickScript

D = Decimal
NOW_MS = 1_795_000_000_000 - 2 * DAY_MS  # a Monday
EXPIRY = next_expiry_ms(NOW_MS)
PRICES = {
    "btc_usd": D(95_000), "btc_usdc": D(95_000), "eth_usd": D(3_300), "eth_usdc": D(3_300),
    "sol_usdc": D(180), "xrp_usdc": D("2.3"),
}  # fmt: skip


def floor(now_ms=NOW_MS, **options):
    return Floor(
        **{
            "now_ms": now_ms, "listings": PERPETUALS, "walks": {}, "start_prices": PRICES,
            "premium": D("0.00005"), "dice": random.Random(1), "own_orders": lambda _name: (),
        }
        | options
    )  # fmt: skip


def pass_expiry(place, now_ms):
    """What clearing does at eight o'clock."""
    for name, index in place.indexes.by_name.items():
        place.indexes.move(name, index.price, now_ms)
    for market in place.markets.values():
        if market.listing.expires_ms <= now_ms and market.state is BookState.OPEN:
            market.delivery_price = market.estimated_delivery_price
            market.state = BookState.DELIVERED
    place.list_new(now_ms)


def keep(place, names=()):
    """What a state file holds of a floor."""
    return {
        "now_ms": max(index.now_ms for index in place.indexes.by_name.values()),
        "born_ms": place.indexes.born_ms,
        "born_prices": dict(place.indexes.born_prices),
        "prices": place.indexes.prices,
        "walks": place.indexes.walk_snapshots(),
        "listings": place.drain_listings(),
        "deliveries": place.indexes.drain_deliveries(),
        "windows": place.indexes.windows(),
        "minutes": place.indexes.drain_minutes(),
        "states": place.market_states(names),
    }


def test_perpetuals_are_listed_without_the_dated_when_so_asked():
    plain = floor(lists_expiries=False)
    assert set(plain.markets) == {listing.name for listing in PERPETUALS}
    assert set(floor().markets) > set(plain.markets)


def test_new_expiries_are_listed_as_old_ones_go_and_everybody_hears_of_it():
    place = floor()
    before = set(place.catalogue.by_name)
    expired = [n for n, item in place.catalogue.by_name.items() if item.expires_ms == EXPIRY]
    assert expired
    pass_expiry(place, EXPIRY)
    fresh = set(place.catalogue.by_name) - before
    assert fresh
    news = place.drain_news()
    assert {n.listing.name for n in news if isinstance(n, InstrumentListed)} == fresh
    assert {n.instrument_name for n in news if isinstance(n, StateChanged)} == set(expired)
    assert all(place.markets[name].state is BookState.DELIVERED for name in expired)
    assert place.markets[expired[0]].delivery_price is not None
    ids = [item.instrument_id for item in place.catalogue.listings]
    assert len(set(ids)) == len(ids)
    assert place.drain_news() == []


def test_nothing_is_listed_twice_and_the_delivered_are_archived_a_day_later():
    place = floor()
    expired = [n for n, item in place.catalogue.by_name.items() if item.expires_ms == EXPIRY]
    pass_expiry(place, EXPIRY)
    count = len(place.markets)
    place.list_new(EXPIRY + 5000)
    assert len(place.markets) == count
    pass_expiry(place, EXPIRY + DAY_MS)
    assert all(place.markets[name].state is BookState.ARCHIVIZED for name in expired)
    assert expired[0] in place.catalogue.by_name


def test_what_is_looked_at_by_nobody_costs_nothing_at_a_move():
    place = floor()
    place.indexes.move("btc_usd", D(96_000), NOW_MS + 100)
    dated = place.dated("btc_usd")
    assert dated
    assert all(market._version == -1 for market in dated)


def test_a_kept_floor_comes_back_with_everything():
    place = floor(walks={"btc_usd": TickScript([D(95_000), D(96_000), D(97_000)])})
    for name, price in place.indexes.walk(1).items():
        place.indexes.move(name, price, EXPIRY - 60_000)
    pass_expiry(place, EXPIRY)
    held = "BTC-25DEC26"
    place.markets[held].settlement_price = D(94_321)
    kept = keep(place, [held])
    again = floor(EXPIRY + 1000, walks={"btc_usd": TickScript([D(95_000), D(96_000), D(97_000)])})
    again.restore(**kept)
    assert set(again.markets) == set(place.markets)
    assert again.indexes.prices == place.indexes.prices
    assert again.indexes.walk(1) == {"btc_usd": D(97_000)}
    assert again.markets[held].settlement_price == D(94_321)
    assert {n: m.state for n, m in again.markets.items()} == {
        n: m.state for n, m in place.markets.items()
    }
    assert again.drain_news() == []
    assert again.drain_listings() == ()


def test_after_days_of_absence_all_that_expired_meanwhile_is_there_to_deliver():
    place = floor()
    kept = keep(place)
    later = EXPIRY + 3 * DAY_MS
    again = floor(later)
    again.restore(**kept)
    for name, index in again.indexes.by_name.items():
        again.indexes.move(name, index.price, later)
    due = [m for m in again.markets.values() if m.listing.expires_ms <= later]
    assert due
    assert all(m.state is BookState.OPEN for m in due)
    assert all(m.estimated_delivery_price == m.index.price for m in due)
    again.list_new(later)
    assert any(isinstance(item, InstrumentListed) for item in again.drain_news())


def test_a_state_file_without_listings_keeps_those_of_the_day():
    kept = keep(floor(lists_expiries=False)) | {"listings": ()}
    again = floor()
    before = set(again.markets)
    again.restore(**kept)
    assert set(again.markets) == before


def test_an_instrument_that_expired_long_ago_is_archived_from_the_start():
    old = replace(
        PERPETUALS[0],
        instrument=struct_replace(
            PERPETUALS[0].instrument,
            instrument_name="BTC-27MAR20",
            expiration_timestamp_ms=1_585_296_000_000,
        ),
        settlement_period="month",
    )
    place = floor(listings=(*PERPETUALS, old))
    assert place.markets["BTC-27MAR20"].state is BookState.ARCHIVIZED
    assert place.markets["BTC-27MAR20"].bids == []


@pytest.mark.parametrize(
    ("option", "underlying"),
    [
        ("BTC-25DEC26-100000-C", "BTC-25DEC26"),
        ("XRP_USDC-27NOV26-2d3-C", "SYN.XRP_USDC-27NOV26"),
        ("BTC-25DEC26", ""),
    ],
)
def test_options_name_the_future_of_their_expiry_or_what_stands_for_it(option, underlying):
    assert floor().markets[option].underlying_index == underlying


def test_a_walk_goes_on_from_where_a_hand_moved_its_index_also_after_a_restart():
    def scripted():
        return TickScript([D(95_000), D(95_000), D(95_950), D(95_950), D(95_950)])

    place = floor(walks={"btc_usd": scripted(), "btc_usdc": scripted()})
    place.indexes.shift("btc_usd", D(47_500))
    place.indexes.move("btc_usd", D(47_500), NOW_MS)
    assert place.indexes.walk(1) == {"btc_usd": 47_500, "btc_usdc": 95_000}
    again = floor(walks={"btc_usd": scripted(), "btc_usdc": scripted()})
    again.restore(**keep(place))
    for each in (place, again):
        assert each.indexes.walk(1) == {"btc_usd": 47_975, "btc_usdc": 95_950}
