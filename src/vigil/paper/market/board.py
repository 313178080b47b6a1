"""The board: which dated futures and options are listed at a time, and at which strikes.

A modest set around the price. It is asked for at the exchange's birth and after every expiry; what
is listed already keeps its place, so that only the new ones are added.
Source: Deribit API v2, instrument naming and strikes, seen lists of instruments.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache

from vigil.domain.money import round_nearest
from vigil.paper.market.delivery_price import DAY_MS, expiry_before
from vigil.paper.market.expiries import Expiry, Schedule, listed_expiries
from vigil.paper.market.instruments import UNDERLYINGS, Listing, dated_future, option

# Ids of instruments that come and go; the newest on the exchange were above half a million.
FIRST_ID = 512_000

_NONE = Schedule()
_STRIKE_GAP = {"day": Decimal("0.01"), "week": Decimal("0.025"), "month": Decimal("0.06")}
_AGE_MS = {"day": 2 * DAY_MS, "week": 14 * DAY_MS, "month": 90 * DAY_MS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What is listed on one underlying.

    Args:
        strikes: How many on each expiry; calls and puts at every one.
    """

    pair: str
    futures: Schedule
    options: Schedule = _NONE
    strikes: int = 0


OFFERS = (
    Offer(
        pair="BTC",
        futures=Schedule(weeks=2, months=2, quarters=2),
        options=Schedule(days=1, weeks=1, quarters=1),
        strikes=7,
    ),
    Offer(
        pair="ETH",
        futures=Schedule(weeks=2, months=2, quarters=2),
        options=Schedule(weeks=1, quarters=1),
        strikes=5,
    ),
    Offer(
        pair="BTC_USDC",
        futures=Schedule(weeks=1, months=1),
        options=Schedule(weeks=1, months=1),
        strikes=5,
    ),
    Offer(pair="ETH_USDC", futures=Schedule(weeks=1)),
    Offer(pair="XRP_USDC", futures=Schedule(), options=Schedule(months=1), strikes=5),
)


def board(
    now_ms: int, prices: Mapping[str, Decimal], first_id: int = FIRST_ID
) -> tuple[Listing, ...]:
    """What is listed at a time.

    Args:
        prices: Of indexes; offers on an index that is not there are left out.
        first_id: Of the first instrument; the others count up.
    """
    known = tuple(
        (offer, prices[UNDERLYINGS[offer.pair].index_name])
        for offer in OFFERS
        if UNDERLYINGS[offer.pair].index_name in prices
    )
    return _board(expiry_before(now_ms), known, first_id)


def strikes_around(price: Decimal, gap: Decimal, count: int) -> tuple[Decimal, ...]:
    """An odd number of round strikes about `gap` of the price apart, the middle one nearest it."""
    step = _round_step(price * gap)
    middle = round_nearest(price, step)
    strikes = (middle + offset * step for offset in range(-(count // 2), count // 2 + 1))
    return tuple(strike for strike in strikes if strike > 0)


@lru_cache(maxsize=16)
def _board(
    day_ms: int, offers: Iterable[tuple[Offer, Decimal]], first_id: int
) -> tuple[Listing, ...]:
    listed: list[Listing] = []
    for offer, price in offers:
        underlying = UNDERLYINGS[offer.pair]
        for expiry in listed_expiries(day_ms, offer.futures):
            listed.append(
                dated_future(
                    underlying,
                    expiry,
                    instrument_id=first_id + len(listed),
                    creation_timestamp_ms=_created_ms(expiry, day_ms),
                )
            )
        for expiry in listed_expiries(day_ms, offer.options):
            for strike, is_call in _grid(expiry, price, offer.strikes):
                listed.append(
                    option(
                        underlying,
                        expiry,
                        strike,
                        is_call=is_call,
                        instrument_id=first_id + len(listed),
                        creation_timestamp_ms=_created_ms(expiry, day_ms),
                    )
                )
    return tuple(listed)


def _grid(expiry: Expiry, price: Decimal, count: int) -> Iterator[tuple[Decimal, bool]]:
    for strike in strikes_around(price, _STRIKE_GAP[expiry.period], count):
        yield strike, True
        yield strike, False


def _created_ms(expiry: Expiry, day_ms: int) -> int:
    """A plausible time of listing: some days ahead of the expiry, but not in the future."""
    return min(expiry.expires_ms - _AGE_MS[expiry.period], day_ms) + 10_000


def _round_step(size: Decimal) -> Decimal:
    """The step of 1, 2 or 5 times a power of ten that is nearest to `size` from below."""
    power = Decimal(1).scaleb(size.adjusted())
    leading = (size / power).quantize(Decimal("0.000001"), ROUND_HALF_EVEN)
    factor = next(factor for factor in (5, 2, 1) if leading >= factor or factor == 1)
    return factor * power
