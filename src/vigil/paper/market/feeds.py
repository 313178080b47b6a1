"""Which prices drive which index: one walk for each coin, whatever it is quoted in.

Recorded prices come before walks, and drive the other indexes of their coin too. An index that
nothing is known of starts where its tick makes sense.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from vigil.paper.market.feed import PriceWalk
from vigil.paper.market.instruments import Listing
from vigil.paper.market.regimes import Regime, regime_walk
from vigil.paper.market.walk import Walk

START_PRICES = {
    "btc": Decimal(95_000),
    "eth": Decimal(3_300),
    "sol": Decimal(180),
    "xrp": Decimal("2.3"),
}
_TICKS_A_PRICE = 20_000
_DEAR = 100
_DECIMALS_MIN = 2
_DIGITS = 6  # of cheaper coins


def start_prices(listings: Iterable[Listing]) -> dict[str, Decimal]:
    """Where the indexes of some instruments start; options do not count where futures do."""
    prices: dict[str, Decimal] = {}
    for listing in sorted(listings, key=lambda item: item.strike is not None):
        index_name = listing.instrument.price_index
        known = START_PRICES.get(_coin_of(index_name))
        guessed = listing.strike or listing.instrument.tick_size * _TICKS_A_PRICE
        prices.setdefault(index_name, known or guessed)
    return prices


def build_walks(
    listings: Iterable[Listing],
    *,
    seed: int,
    regime: Regime | None = None,
    recorded: Mapping[str, Walk] | None = None,
) -> dict[str, Walk]:
    """A walk for every index of some instruments, by index name."""
    recorded = recorded or {}
    by_coin = {_coin_of(name): walk for name, walk in recorded.items()}
    walks: dict[str, Walk] = {}
    for index_name, price in start_prices(listings).items():
        coin = _coin_of(index_name)
        if index_name in recorded:
            walks[index_name] = recorded[index_name]
        elif coin in by_coin:
            walks[index_name] = by_coin[coin]
        else:
            walks[index_name] = by_coin[coin] = _walk(coin, price, seed, regime)
    return walks


def _walk(coin: str, price: Decimal, seed: int, regime: Regime | None) -> Walk:
    decimals = _DECIMALS_MIN if price >= _DEAR else _DIGITS - 1 - price.adjusted()
    if regime is None:
        return PriceWalk(seed=seed, index_name=coin, start_price=price, decimals=decimals)
    return regime_walk(
        seed=seed, index_name=coin, start_price=price, regime=regime, decimals=decimals
    )


def _coin_of(index_name: str) -> str:
    return index_name.partition("_")[0]
