"""Rate-limit credits: how many calls the exchange will take now, and for whom they are kept.

The exchange counts calls per account in pools that refill with time; a call that finds its pool
empty ends the session. Every call of ours is counted here first, by the same rules and a little
more strictly: the account's web page spends the same credits, and calls sent apart may arrive
together. What a call may take depends on its lane, so that whatever wishes pile up, a cancel still
goes out. Levels are kept in requests, since within a pool every request costs the same.
Source: Deribit, rate limits: 500 credits of 50 000 refilled at 10 000/s are 1 of 100 at 20/s.
"""

from collections.abc import Mapping
from enum import IntEnum, StrEnum

from msgspec import Struct

from vigil.domain.order import OrderRequest, OrderType
from vigil.domain.portfolio import RateLimit


class Lane(IntEnum):
    """Whose call it is; the lower goes first."""

    REDUCE = 0  # cancels, and closing what is held
    PROTECT = 1  # stops and targets; and the session's own upkeep, without which none of it works
    ENTRY = 2
    QUERY = 3


class Pool(StrEnum):
    """What a call is counted against."""

    DEFAULT = "default"
    INSTRUMENTS = "get_instruments"
    SUBSCRIBE = "subscribe"
    TRANSACTION_LOG = "get_transaction_log"
    TRADING = "trading"
    CANCEL_ALL = "cancel_all"


class Rate(Struct, frozen=True, kw_only=True):
    """Requests per second in the long run, and how many at once."""

    per_s: float
    burst: float


# What every account is given, until its own limits are read. Where sources disagree, the lower.
LOWEST_TIER: Mapping[Pool, Rate] = {
    Pool.DEFAULT: Rate(per_s=20, burst=100),
    Pool.INSTRUMENTS: Rate(per_s=0.1, burst=5),
    Pool.SUBSCRIBE: Rate(per_s=3.3, burst=10),
    Pool.TRANSACTION_LOG: Rate(per_s=1, burst=8),
    Pool.TRADING: Rate(per_s=5, burst=20),
    Pool.CANCEL_ALL: Rate(per_s=5, burst=20),
}

_POOL_OF = {
    "public/get_instruments": Pool.INSTRUMENTS,
    "public/subscribe": Pool.SUBSCRIBE,
    "private/subscribe": Pool.SUBSCRIBE,
    "private/get_transaction_log": Pool.TRANSACTION_LOG,
    "private/cancel_all": Pool.CANCEL_ALL,
    **dict.fromkeys(
        (
            "private/buy",
            "private/sell",
            "private/edit",
            "private/edit_by_label",
            "private/cancel",
            "private/cancel_by_label",
            "private/cancel_all_by_currency",
            "private/cancel_all_by_currency_pair",
            "private/cancel_all_by_instrument",
            "private/cancel_all_by_kind_or_type",
            "private/close_position",
        ),
        Pool.TRADING,
    ),
}

# Left to the web page and to the jitter of the road: a fifth of every burst, a tenth of every rate.
# A new process cannot know what the last one spent. One that kept these rules left as much, and a
# process takes half a second to end and begin, in which a little comes back.
USED_OF_RATE = 0.9
_USED_AND_FRESH = (0.8, 0.3)

# The log is read for all currencies at every start, and then rarely: with half of it left alone, a
# start that follows another at once finds what it needs.
_USED_AND_FRESH_OF_LOG = (0.5, 0.5)

# What each lane must leave in the pool, as a part of what we use of it. In the pools that are not
# named hardly anything competes, so nothing is kept there.
_NOTHING_KEPT = (0.0, 0.0, 0.0, 0.0)
_KEPT_FROM = {
    Pool.DEFAULT: (0.0, 0.0, 0.0, 0.05),
    Pool.TRADING: (0.0, 0.1, 0.25, 1.0),
}

_PROTECTIVE = frozenset(
    {
        OrderType.STOP_LIMIT,
        OrderType.STOP_MARKET,
        OrderType.TAKE_LIMIT,
        OrderType.TAKE_MARKET,
        OrderType.TRAILING_STOP,
    }
)


def pool_of(method: str) -> Pool:
    """The pool that a call of `method` is counted against."""
    return _POOL_OF.get(method, Pool.DEFAULT)


def lane_of(request: OrderRequest) -> Lane:
    """Whose order it is: one that only reduces, one that protects, or an entry."""
    if not request.reduce_only:
        return Lane.ENTRY
    return Lane.PROTECT if request.order_type in _PROTECTIVE else Lane.REDUCE


def _used_and_fresh(pool: Pool) -> tuple[float, float]:
    """Which part of a burst we use at all, and which part a fresh process may count on."""
    return _USED_AND_FRESH_OF_LOG if pool is Pool.TRANSACTION_LOG else _USED_AND_FRESH


class _Level:
    """One pool as far as we know it: requests left at a moment, and how they come back."""

    __slots__ = ("at_s", "capacity", "kept", "left", "per_s")

    def __init__(self, pool: Pool, rate: Rate, *, now_s: float) -> None:
        self.left = rate.burst * _used_and_fresh(pool)[1]
        self.at_s = now_s
        self.adopt(pool, rate)

    def adopt(self, pool: Pool, rate: Rate) -> None:
        self.capacity = max(1.0, rate.burst * _used_and_fresh(pool)[0])
        self.per_s = rate.per_s * USED_OF_RATE
        # However small the pool, one request of each lane must fit.
        self.kept = tuple(
            min(part * self.capacity, self.capacity - 1.0)
            for part in _KEPT_FROM.get(pool, _NOTHING_KEPT)
        )
        self.left = min(self.left, self.capacity)

    def refill(self, now_s: float) -> float:
        left = min(self.left + (now_s - self.at_s) * self.per_s, self.capacity)
        self.left, self.at_s = left, now_s
        return left


class Credits:
    """What is left in every pool. Times are loop seconds and never go back.

    Belongs to the account and not to a session: a new session finds what the last one left.
    """

    def __init__(self, limits: Mapping[Pool, Rate] = LOWEST_TIER, *, now_s: float) -> None:
        self._limits = limits
        self._levels = {pool: _Level(pool, limits[pool], now_s=now_s) for pool in Pool}
        self._adopted: set[Pool] = set()
        self._is_drained = False

    def spend(self, pool: Pool, lane: Lane, now_s: float) -> bool:
        """Take one request's worth, unless it would touch what is kept for a higher lane."""
        level = self._levels[pool]
        if level.refill(now_s) < level.kept[lane] + 1.0:
            return False
        level.left -= 1.0
        return True

    def spend_anyway(self, pool: Pool, now_s: float) -> None:
        """Count a call that has to go out whatever is left, such as a sign of life."""
        level = self._levels[pool]
        level.refill(now_s)
        level.left -= 1.0

    def wait_s(self, pool: Pool, lane: Lane, now_s: float, *, ahead: int = 0) -> float:
        """Seconds until there is enough for `lane`, after `ahead` others; 0 when there is now."""
        level = self._levels[pool]
        lacking = level.kept[lane] + 1.0 + ahead - level.refill(now_s)
        return max(0.0, lacking / level.per_s)

    def left(self, pool: Pool, now_s: float) -> float:
        """Requests left in a pool, what is kept included."""
        return self._levels[pool].refill(now_s)

    def adopt(self, limits: Mapping[Pool, Rate], now_s: float) -> None:
        """Go on with the account's own limits. What was spent stays spent.

        What a fresh process may assume is a part of the true burst, so the first time a larger one
        is learnt, that part of the difference is there as well.
        """
        for pool, rate in limits.items():
            level = self._levels[pool]
            level.refill(now_s)
            if pool not in self._adopted:
                more = max(0.0, rate.burst - self._limits[pool].burst)
                level.left += more * _used_and_fresh(pool)[1]
                self._adopted.add(pool)
            level.adopt(pool, rate)

    def drain(self, now_s: float) -> None:
        """The exchange says that a pool is empty, though we thought otherwise: believe it of all.

        Source: Deribit 10028 too_many_requests, after which the session ends.
        """
        for level in self._levels.values():
            level.refill(now_s)
            level.left = min(level.left, 0.0)
        self._is_drained = True

    def recovery_s(self, now_s: float) -> float:
        """Seconds until a session should be opened again: a half-full pool, once it was drained."""
        if not self._is_drained:
            return 0.0
        level = self._levels[Pool.DEFAULT]
        lacking_s = max(0.0, (level.capacity / 2 - level.refill(now_s)) / level.per_s)
        if not lacking_s:
            self._is_drained = False
        return lacking_s


def limits_of(rate_limits: Mapping[str, RateLimit]) -> dict[Pool, Rate]:
    """What an account's own limits say of our pools; the rest keep theirs.

    Where one of our pools is limited in several ways, as by currency, the strictest counts.
    """
    found: dict[Pool, Rate] = {}
    for name, limit in rate_limits.items():
        pool = _named(name)
        if pool is None or limit.rate <= 0 or limit.burst <= 0:
            continue  # no rate at all would be the end of trading, and is more likely a mistake
        known = found.get(pool)
        per_s, burst = float(limit.rate), float(limit.burst)
        found[pool] = (
            Rate(per_s=per_s, burst=burst)
            if known is None
            else Rate(per_s=min(per_s, known.per_s), burst=min(burst, known.burst))
        )
    return found


def _named(name: str) -> Pool | None:
    """Which pool the exchange means by a name of its own, in this year's words or in old ones."""
    words = name.split(".")
    if words[0] == "non_matching_engine":
        return Pool.DEFAULT
    if words[0] != "matching_engine":
        return None
    if words[-1] == "cancel_all":
        return Pool.CANCEL_ALL
    return Pool.TRADING if len(words) == 1 or "trading" in words else None
