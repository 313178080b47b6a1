"""Option values: Black-76 on the forward without discounting, and the volatility a price implies.

All in floats and in the quote unit of the forward (USD, USDC): marks are rounded at the edge, where
they become `Decimal`. Volatilities are fractions a year, times are years.
Source: Deribit API v2, option tickers; checked against a recorded one to its last digit.
"""

import math
from dataclasses import dataclass

YEAR_MS = 365 * 86_400_000

_DAYS_A_YEAR = 365
_VOLATILITY_MIN, _VOLATILITY_MAX = 0.001, 5.0
_STEPS_MAX = 60
_PRICE_TOLERANCE = 1e-7  # of the forward


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeks:
    """Sensitivities as tickers show them.

    Args:
        delta: To the forward, per unit.
        gamma: Of delta, per unit of the forward.
        vega: Per percentage point of volatility.
        theta: Per day.
        rho: Per percentage point of interest.
    """

    delta: float
    gamma: float
    vega: float
    theta: float
    rho: float


def option_value(
    *, forward: float, strike: float, years: float, volatility: float, is_call: bool
) -> float:
    """The undiscounted value; at or after expiry, what it pays."""
    spread = volatility * math.sqrt(years) if years > 0 else 0.0
    if spread <= 0:
        return max(forward - strike if is_call else strike - forward, 0.0)
    d1 = math.log(forward / strike) / spread + spread / 2
    d2 = d1 - spread
    if is_call:
        value = forward * _below(d1) - strike * _below(d2)
    else:
        value = strike * _below(-d2) - forward * _below(-d1)
    return max(value, 0.0)


def option_greeks(
    *, forward: float, strike: float, years: float, volatility: float, is_call: bool
) -> Greeks:
    """The sensitivities; at or after expiry only delta is left."""
    spread = volatility * math.sqrt(years) if years > 0 else 0.0
    if spread <= 0:
        pays = forward > strike if is_call else forward < strike
        delta = (1.0 if is_call else -1.0) if pays else 0.0
        return Greeks(delta=delta, gamma=0.0, vega=0.0, theta=0.0, rho=0.0)
    d1 = math.log(forward / strike) / spread + spread / 2
    d2 = d1 - spread
    density = math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
    rho = strike * years * (_below(d2) if is_call else -_below(-d2))
    return Greeks(
        delta=_below(d1) if is_call else _below(d1) - 1,
        gamma=density / (forward * spread),
        vega=forward * density * math.sqrt(years) / 100,
        theta=-forward * density * volatility / (2 * math.sqrt(years)) / _DAYS_A_YEAR,
        rho=rho / 100,
    )


def implied_volatility(
    *, value: float, forward: float, strike: float, years: float, is_call: bool
) -> float:
    """The volatility at which an option is worth `value`; 0 where none gives it.

    Newton's steps where vega carries them, halving of the bracket where it does not.
    """
    intrinsic = max(forward - strike if is_call else strike - forward, 0.0)
    if years <= 0 or value <= intrinsic or value >= (forward if is_call else strike):
        return 0.0
    low, high = _VOLATILITY_MIN, _VOLATILITY_MAX
    guess = 0.5
    for _ in range(_STEPS_MAX):
        priced = option_value(
            forward=forward, strike=strike, years=years, volatility=guess, is_call=is_call
        )
        error = priced - value
        if abs(error) < _PRICE_TOLERANCE * forward:
            break
        low, high = (low, guess) if error > 0 else (guess, high)
        vega = 100 * (
            option_greeks(
                forward=forward, strike=strike, years=years, volatility=guess, is_call=is_call
            ).vega
        )
        step = guess - error / vega if vega > 1e-12 * forward else low
        guess = step if low < step < high else (low + high) / 2
    return guess


def smile_volatility(*, forward: float, strike: float, years: float) -> float:
    """A fixed smile for each expiry: puts a little dearer, wings dear, steeper the nearer it is."""
    at_the_money = 0.42 + 0.08 / (1 + 10 * max(years, 0.0))
    moneyness = math.log(strike / forward) / math.sqrt(max(years, 1 / 365))
    smile = at_the_money - 0.03 * moneyness + 0.10 * moneyness * moneyness
    return min(max(smile, 0.2), 2.0)


def _below(deviations: float) -> float:
    """The normal distribution's share below so many standard deviations."""
    return math.erfc(-deviations / math.sqrt(2)) / 2
