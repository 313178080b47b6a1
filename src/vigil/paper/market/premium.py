"""The premium of a perpetual over its index: how it wanders, and with it funding.

It is drawn back to where it belongs within minutes, and strays from there so little that funding
mostly stays zero, but not always.
"""

import math
import random
from decimal import Decimal

from vigil.domain.money import round_nearest

_QUANTUM = Decimal("0.0000001")
_RETURN_SECONDS = 600.0
_STRAY = 0.0001  # standard deviation in the long run, as a fraction of the index


def drifted(
    premium: Decimal, centre: Decimal, market_seconds: float, dice: random.Random
) -> Decimal:
    """The premium some market seconds later."""
    kept = math.exp(-max(market_seconds, 0.0) / _RETURN_SECONDS)
    away = float(premium - centre) * kept
    away += _STRAY * math.sqrt(1 - kept * kept) * dice.gauss(0.0, 1.0)
    return round_nearest(centre + Decimal(repr(away)), _QUANTUM)
