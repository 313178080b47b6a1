"""One price index: its present price, and what it is delivered at when something expires.

Markets look at it when they are looked at themselves. `version` counts its moves and
`price_version` those that changed the price: they tell who has to reckon anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from vigil.domain.money import round_nearest
from vigil.paper.market.delivery_price import (
    DAY_MS,
    WINDOW_MS,
    DeliveryWindow,
    expiry_before,
    next_expiry_ms,
)

_CENT = Decimal("0.01")
_DELIVERIES_MAX = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The price at which everything on one index was delivered."""

    index_name: str
    expires_ms: int
    price: Decimal


class Index:
    """One index.

    Args:
        now_ms: When it had that price.
        quantum: What its prices are rounded to.
    """

    def __init__(self, name: str, price: Decimal, now_ms: int, *, quantum: Decimal = _CENT) -> None:
        self.name = name
        self.price = round_nearest(price, quantum)
        self.now_ms = now_ms
        self.quantum = quantum
        self.version = self.price_version = 0
        self._due_ms = next_expiry_ms(now_ms)
        self.deliveries: dict[int, Decimal] = {}
        self.window: DeliveryWindow | None = None

    def move(self, price: Decimal, now_ms: int) -> list[Delivery]:
        """Take a new price. Returns the deliveries that fell due since the last one, oldest first.

        Where the exchange was not there to see the last half hour, its last price counts.
        """
        price = round_nearest(price, self.quantum)
        due: list[Delivery] = []
        if now_ms >= self._due_ms - WINDOW_MS:
            due = self._deliver(now_ms)
            self._follow_window(price, now_ms)
            self._due_ms = next_expiry_ms(now_ms)
        if price != self.price:
            self.price = price
            self.price_version += 1
        self.now_ms = max(now_ms, self.now_ms)
        self.version += 1
        return due

    def restore(
        self, *, now_ms: int, window: DeliveryWindow | None, deliveries: Mapping[int, Decimal]
    ) -> None:
        """Take back what was kept."""
        self.now_ms, self.window = now_ms, window
        self.deliveries = dict(deliveries)
        self._due_ms = next_expiry_ms(now_ms)
        self.version += 1

    @property
    def estimated_delivery_price(self) -> Decimal:
        """What the next expiry would be delivered at: the price itself until the last half hour."""
        if self.window is None:
            return self.price
        return round_nearest(self.window.estimate(), self.quantum)

    def delivery_price(self, expires_ms: int) -> Decimal:
        """What an expiry was delivered at, or would be now."""
        known = self.deliveries.get(expires_ms)
        if known is not None:
            return known
        if self.window is not None and self.window.expiry_ms == expires_ms:
            return self.estimated_delivery_price
        return self.price

    def _deliver(self, now_ms: int) -> list[Delivery]:
        due = []
        expires_ms = next_expiry_ms(self.now_ms)
        earliest_ms = expiry_before(now_ms) - _DELIVERIES_MAX * DAY_MS
        expires_ms = max(expires_ms, earliest_ms)
        while expires_ms <= now_ms:
            price = self.price
            if self.window is not None and self.window.expiry_ms == expires_ms:
                price = self.window.final()
            price = round_nearest(price, self.quantum)
            self.deliveries[expires_ms] = price
            due.append(Delivery(index_name=self.name, expires_ms=expires_ms, price=price))
            self.window = None
            expires_ms += DAY_MS
        return due

    def _follow_window(self, price: Decimal, now_ms: int) -> None:
        expires_ms = next_expiry_ms(now_ms)
        if now_ms < expires_ms - WINDOW_MS:
            return
        if self.window is None:
            self.window = DeliveryWindow(
                expiry_ms=expires_ms, last_ms=self.now_ms, last_price=self.price
            )
        self.window = self.window.with_price(price, now_ms)
