"""The steps that books can be gathered into, by coin.

Source: Deribit API v2, `book.{instrument}.{group}.{depth}.{interval}`.
"""

from collections.abc import Mapping
from decimal import Decimal

from vigil.domain.money import ZERO
from vigil.paper.market.instruments import Listing

# What one unit of a group is worth in price, and the groups as channels name them.
_GROUPS: Mapping[str, tuple[Decimal, tuple[str, ...]]] = {
    "BTC": (Decimal(1), ("1", "2", "5", "10")),
    "ETH": (Decimal("0.01"), ("5", "10", "25", "100", "250")),
}


def groups_of(listing: Listing) -> tuple[str, ...]:
    """The groups that an instrument's book can be had in."""
    if listing.strike is not None:
        return ("none",)
    _, groups = _GROUPS.get(listing.instrument.base_currency, (ZERO, ()))
    return ("none", *groups)


def group_step(listing: Listing, group: str) -> Decimal:
    """The price step of a group other than `none`."""
    unit, _ = _GROUPS[listing.instrument.base_currency]
    return unit * int(group)
