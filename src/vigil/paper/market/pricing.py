"""What an instrument is worth when its index is there: marks, forwards, bands.

Perpetuals stand a fixed premium above the index, dated futures an annual basis that decays to
nothing at expiry, options at their Black-76 value on that forward.
Source: Deribit API v2, tickers; bands derived from recorded tickers and market orders.
"""

from decimal import Decimal

from vigil.domain.instrument import Instrument
from vigil.domain.money import round_nearest
from vigil.paper.market.instruments import Listing
from vigil.paper.market.options import (
    YEAR_MS,
    Greeks,
    implied_volatility,
    option_greeks,
    option_value,
    smile_volatility,
)

# Limit orders outside mark +- these are refused, and a market order stops there. A share of mark
# for futures; for options a share of the underlying (in coin: that many hundredths of one).
# Source: derived from recorded market orders, price against mark; the option's from its ticker.
PERPETUAL_BAND = Decimal("0.015")
FUTURE_BAND = Decimal("0.03")
OPTION_BAND = Decimal("0.03")

ANNUAL_BASIS = Decimal("0.06")

_CENT = Decimal("0.01")
_COIN_PRICE = Decimal("0.000001")  # of option marks in coin
_TEN = Decimal(10)


def price_quantum(instrument: Instrument) -> Decimal:
    """What marks are rounded to: cents as recorded, finer where the tick is finer still."""
    if not instrument.is_linear and instrument.quote_currency == instrument.base_currency:
        return _COIN_PRICE
    return _CENT if instrument.tick_size >= _CENT else instrument.tick_size / _TEN


def years_left(listing: Listing, now_ms: int) -> float:
    """Time to expiry in years; never negative."""
    return max(listing.expires_ms - now_ms, 0) / YEAR_MS


def forward_price(listing: Listing, index_price: Decimal, now_ms: int) -> Decimal:
    """The future of the same expiry, unrounded."""
    left_ms = max(listing.expires_ms - now_ms, 0)
    return index_price * (1 + ANNUAL_BASIS * left_ms / YEAR_MS)


def future_mark(listing: Listing, index_price: Decimal, now_ms: int, premium: Decimal) -> Decimal:
    """Mark of a perpetual or a dated future."""
    if listing.is_perpetual:
        worth = index_price * (1 + premium)
    else:
        worth = forward_price(listing, index_price, now_ms)
    return round_nearest(worth, price_quantum(listing.instrument))


class OptionQuote:
    """An option's value at one moment.

    Args:
        index_price: Or what stands for it in the last half hour.
        quantum: What the price of the underlying is rounded to.
    """

    def __init__(
        self, listing: Listing, index_price: Decimal, now_ms: int, *, quantum: Decimal
    ) -> None:
        assert listing.strike is not None
        self._listing = listing
        self.underlying_price = round_nearest(forward_price(listing, index_price, now_ms), quantum)
        self._forward = float(self.underlying_price)
        self._strike = float(listing.strike)
        self._years = years_left(listing, now_ms)
        self._is_coin = not listing.contract.is_linear
        self.volatility = smile_volatility(
            forward=self._forward, strike=self._strike, years=self._years
        )

    @property
    def mark_price(self) -> Decimal:
        """In coin for inverse options, else in the quote currency."""
        return self.price_at(self.volatility)

    def price_at(self, volatility: float) -> Decimal:
        """What the option is worth at a volatility, in the unit of its mark price."""
        value = option_value(
            forward=self._forward,
            strike=self._strike,
            years=self._years,
            volatility=volatility,
            is_call=self._listing.is_call,
        )
        shown = value / self._forward if self._is_coin else value
        quantum = price_quantum(self._listing.instrument)
        return round_nearest(Decimal(repr(shown)), quantum)

    @property
    def greeks(self) -> Greeks:
        """Sensitivities in the quote currency of the underlying."""
        return option_greeks(
            forward=self._forward,
            strike=self._strike,
            years=self._years,
            volatility=self.volatility,
            is_call=self._listing.is_call,
        )

    def volatility_of(self, price: Decimal | None) -> float:
        """The volatility that a price implies; 0 where there is no price or none gives it."""
        if price is None:
            return 0.0
        value = float(price) * (self._forward if self._is_coin else 1.0)
        return implied_volatility(
            value=value,
            forward=self._forward,
            strike=self._strike,
            years=self._years,
            is_call=self._listing.is_call,
        )

    @property
    def band(self) -> Decimal:
        """How far from mark an order may be priced."""
        return OPTION_BAND if self._is_coin else OPTION_BAND * self.underlying_price
