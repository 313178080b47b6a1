"""Where a price stands in the market: inside the band, in the way of others, one tick inside.

Source: Deribit API v2, price bands and post-only orders.
"""

from decimal import Decimal

from vigil.domain.order import Direction
from vigil.paper.market.market import Market
from vigil.paper.refusals import Refusal, post_only_reject


def is_outside_band(market: Market, direction: Direction, price: Decimal) -> bool:
    """Whether a buy is priced above the band, or a sell below it."""
    if direction is Direction.BUY:
        return price > market.max_price
    return price < market.min_price


def check_band(market: Market, direction: Direction, price: Decimal) -> None:
    """A buy may not be priced above the band, nor a sell below it. Raises: Refusal."""
    if not is_outside_band(market, direction, price):
        return
    if direction is Direction.BUY:
        raise Refusal(10007, f"price_too_high {market.max_price}")
    raise Refusal(10005, f"price_too_low {market.min_price}")


def would_take(market: Market, direction: Direction, price: Decimal) -> bool:
    """Whether a limit order at `price` meets an order of the book."""
    best = market.best_opposite(direction)
    return price >= best if direction is Direction.BUY else price <= best


def slid_price(
    market: Market, direction: Direction, price: Decimal | None, *, reject: bool
) -> Decimal:
    """A post-only price, moved to one tick inside when it would take.

    Raises: Refusal 11054 instead, when `reject` is set, or there is no price one tick inside.
    """
    assert price is not None
    if not would_take(market, direction, price):
        return price
    if reject:
        raise post_only_reject()
    inside = inside_price(market, direction)
    if inside is None:
        raise post_only_reject()
    return inside


def inside_price(market: Market, direction: Direction) -> Decimal | None:
    """One tick inside the best of the other side; None where there is no price so low."""
    best, instrument = market.best_opposite(direction), market.listing.instrument
    inside = best - direction.sign * instrument.tick_at(best)
    if direction is Direction.SELL:  # where ticks grow, one small tick up is none of the large
        inside = instrument.round_price_up(inside)
    return inside if inside > 0 else None
