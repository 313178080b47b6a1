"""The delivery price: the index averaged over the last half hour before an expiry.

While the window builds, the time that is still to come counts at the present index price, so that
the estimate leads without a jump from the index to the price at which everything is delivered.
Source: Deribit API v2, `estimated_delivery_price`, `estimated_expiration_price`.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

from vigil.domain.money import ZERO

DAY_MS = 86_400_000
EXPIRY_HOUR_MS = 8 * 3_600_000
WINDOW_MS = 30 * 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryWindow:
    """What one index has been worth since the window of an expiry began.

    Args:
        weighted: Sum of price times milliseconds that it held, within the window.
        covered_ms: How much of the window that sum covers.
        last_ms, last_price: The latest price seen, and when.
    """

    expiry_ms: int
    last_ms: int
    last_price: Decimal
    weighted: Decimal = ZERO
    covered_ms: int = 0

    def with_price(self, price: Decimal, now_ms: int) -> "DeliveryWindow":
        """After one more price; the one before it held until now."""
        held = self._held_until(now_ms)
        return replace(
            self,
            weighted=self.weighted + self.last_price * held,
            covered_ms=self.covered_ms + held,
            last_ms=max(now_ms, self.last_ms),
            last_price=price,
        )

    def estimate(self) -> Decimal:
        """The average, with what is left of the window at the latest price; not rounded."""
        left_ms = WINDOW_MS - self.covered_ms
        return (self.weighted + self.last_price * left_ms) / WINDOW_MS

    def final(self) -> Decimal:
        """The average over the whole window, at or after the expiry; not rounded."""
        return self.with_price(self.last_price, max(self.expiry_ms, self.last_ms)).estimate()

    def _held_until(self, now_ms: int) -> int:
        opens_ms = self.expiry_ms - WINDOW_MS
        return max(min(now_ms, self.expiry_ms) - max(self.last_ms, opens_ms), 0)


def next_expiry_ms(now_ms: int) -> int:
    """The first 08:00 UTC after `now_ms`."""
    return expiry_before(now_ms) + DAY_MS


def expiry_before(now_ms: int) -> int:
    """The last 08:00 UTC at or before `now_ms`."""
    return now_ms - (now_ms - EXPIRY_HOUR_MS) % DAY_MS
