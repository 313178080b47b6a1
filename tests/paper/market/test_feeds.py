"""Which prices drive which index."""

from decimal import Decimal

from vigil.paper.market.board import board
from vigil.paper.market.feed import PriceWalk
from vigil.paper.market.feeds import build_walks, start_prices
from vigil.paper.market.instruments import PERPETUALS
from vigil.paper.market.listing_file import load_listings
from vigil.paper.market.recording import TickScript
from vigil.paper.market.regimes import Regime

D = Decimal


def test_the_ordinary_feed_is_the_walk_it_always_was():
    walks = build_walks(PERPETUALS, seed=1)
    known = PriceWalk(seed=1, index_name="btc", start_price=D(95_000))
    ether = PriceWalk(seed=1, index_name="eth", start_price=D(3_300))
    assert [walks["btc_usd"].advance(0.1) for _ in range(50)] == [
        known.advance(0.1) for _ in range(50)
    ]
    assert walks["eth_usdc"].advance(1) == ether.advance(1)


def test_indexes_of_one_coin_share_a_walk_and_coins_do_not():
    walks = build_walks(PERPETUALS, seed=1)
    assert walks["btc_usd"] is walks["btc_usdc"]
    assert walks["eth_usd"] is walks["eth_usdc"]
    assert len({id(walk) for walk in walks.values()}) == 4


def test_a_recording_drives_every_index_of_its_coin():
    script = TickScript([D(1000), D(2000)])
    walks = build_walks(PERPETUALS, seed=1, recorded={"btc_usd": script})
    assert walks["btc_usd"] is walks["btc_usdc"] is script
    assert walks["eth_usd"] is not script


def test_a_regime_replaces_the_ordinary_walk():
    quiet = build_walks(PERPETUALS, seed=1, regime=Regime.QUIET)["btc_usd"]
    prices = [quiet.advance(60) for _ in range(100)]
    assert max(prices) / min(prices) < D("1.005")


def test_an_unknown_coin_starts_where_its_tick_makes_sense(tmp_path):
    path = tmp_path / "i.json"
    path.write_text(
        '{"instrument_name": "ALGO_USDC-PERPETUAL", "kind": "future", "base_currency": "ALGO",'
        '"quote_currency": "USDC", "price_index": "algo_usdc", "instrument_id": 1,'
        '"contract_size": 1, "min_trade_amount": 1, "tick_size": 0.00001, "maker_commission": 0,'
        '"taker_commission": 0, "creation_timestamp": 1, "expiration_timestamp": 32503708800000}'
    )
    listings = load_listings(path)
    assert start_prices(listings) == {"algo_usdc": D("0.2")}
    price = build_walks(listings, seed=1)["algo_usdc"].advance(10)
    assert D("0.1") < price < D("0.4")
    assert price.as_tuple().exponent <= -5


def test_options_alone_start_their_index_at_a_strike():
    options = [i for i in board(1_795_000_000_000, {"btc_usd": D(95_000)}) if i.strike]
    assert start_prices(options) == {"btc_usd": D(95_000)}
