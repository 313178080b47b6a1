"""Request credits: which pool a request draws on, what it costs, and what is left.

Pure: told the time, never asks for it. An account has one set of pools for all its keys, sockets
and HTTP calls; callers who are not logged in have one for their address.
Source: Deribit API v2, rate limits; the `limits` object as recorded in December 2025.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

_ADDRESSES_MAX = 1024


class PoolName(StrEnum):
    """The pools of one payer."""

    DEFAULT = "default"
    INSTRUMENTS = "get_instruments"
    INSTRUMENTS_SOCKET = "get_instruments over a socket"
    SUBSCRIBE = "subscribe"
    TRANSACTION_LOG = "get_transaction_log"
    MOVE_POSITIONS = "move_positions"
    TRADING = "trading"
    SPOT = "spot"
    CANCEL_ALL = "cancel_all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A pool's figures, in credits.

    Args:
        cost: Of one request.
        capacity: What a full pool holds.
        refill_per_s: What comes back, steadily.
    """

    cost: int
    capacity: int
    refill_per_s: int

    @classmethod
    def of_rate(cls, rate: int, burst: int) -> Self:
        """A pool counted in requests: `rate` per second, `burst` at once."""
        return cls(cost=1, capacity=burst, refill_per_s=rate)

    @property
    def rate(self) -> int:
        """Requests per second that can be kept up."""
        return self.refill_per_s // self.cost

    @property
    def burst(self) -> int:
        """Requests that a full pool pays for."""
        return self.capacity // self.cost


_POOLS: Mapping[PoolName, Pool] = {
    PoolName.DEFAULT: Pool(cost=500, capacity=50_000, refill_per_s=10_000),
    PoolName.INSTRUMENTS: Pool(cost=10_000, capacity=500_000, refill_per_s=10_000),
    # The change log of 2025 knows a narrower one for sockets.
    PoolName.INSTRUMENTS_SOCKET: Pool(cost=10_000, capacity=50_000, refill_per_s=1_000),
    PoolName.SUBSCRIBE: Pool(cost=3_000, capacity=30_000, refill_per_s=10_000),
    PoolName.TRANSACTION_LOG: Pool(cost=10_000, capacity=80_000, refill_per_s=10_000),
    PoolName.MOVE_POSITIONS: Pool(cost=100_000, capacity=600_000, refill_per_s=10_000),
    PoolName.TRADING: Pool.of_rate(5, 20),
    PoolName.SPOT: Pool.of_rate(5, 20),
    PoolName.CANCEL_ALL: Pool.of_rate(5, 20),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one account, key, address and connection may do.

    Args:
        pools: By name.
        connections_per_address: WebSockets at a time; one more is refused at its upgrade.
        sessions_per_key: Named sessions; one more drops another.
        queue_length: Matching requests that may wait; one more is refused.
    """

    pools: Mapping[PoolName, Pool] = field(default_factory=lambda: _POOLS)
    connections_per_address: int = 32
    sessions_per_key: int = 16
    queue_length: int = 8

    @classmethod
    def of_tier(cls, tier: int) -> Self:
        """The limits of a tier of seven-day volume, 1 (highest) to 4 (lowest)."""
        trading = TIERS[tier]
        return cls(pools=dict(_POOLS) | {PoolName.TRADING: trading})

    def with_pools(self, pools: Mapping[PoolName, Pool]) -> Self:
        """The same with some pools of other figures."""
        return type(self)(
            pools=dict(self.pools) | dict(pools),
            connections_per_address=self.connections_per_address,
            sessions_per_key=self.sessions_per_key,
            queue_length=self.queue_length,
        )

    def as_object(self) -> dict[str, Any]:
        """The `limits` member of an account summary."""
        pools = self.pools
        return {
            "limits_per_currency": False,
            "non_matching_engine": _rate_of(pools[PoolName.DEFAULT]),
            "matching_engine": {
                "trading": {"total": _rate_of(pools[PoolName.TRADING])},
                "spot": _rate_of(pools[PoolName.SPOT]),
                "cancel_all": _rate_of(pools[PoolName.CANCEL_ALL]),
                "maximum_quotes": {"rate": 500, "burst": 500},
                "maximum_mass_quotes": {"rate": 10, "burst": 10},
                "guaranteed_mass_quotes": {"rate": 2, "burst": 2},
                "block_rfq_maker": {"rate": 10, "burst": 20},
            },
        }


# Above 25, 5 and 1 million USD in seven days, and up to 1 million.
TIERS: Mapping[int, Pool] = {
    1: Pool.of_rate(30, 100),
    2: Pool.of_rate(20, 50),
    3: Pool.of_rate(10, 30),
    4: Pool.of_rate(5, 20),
}

_OWN_POOLS = {
    "public/get_instruments": PoolName.INSTRUMENTS,
    "public/subscribe": PoolName.SUBSCRIBE,
    "private/subscribe": PoolName.SUBSCRIBE,
    "private/get_transaction_log": PoolName.TRANSACTION_LOG,
    "private/move_positions": PoolName.MOVE_POSITIONS,
    "private/cancel_all": PoolName.CANCEL_ALL,
}
_MATCHING = frozenset(
    {
        "private/buy",
        "private/sell",
        "private/edit",
        "private/edit_by_label",
        "private/cancel",
        "private/cancel_by_label",
        "private/cancel_quotes",
        "private/close_position",
        "private/mass_quote",
        "private/execute_block_trade",
        "private/move_positions",
    }
)


def is_matching(method: str) -> bool:
    """Whether a request goes through the matching engine."""
    return method in _MATCHING or method.startswith("private/cancel_all")


def pool_of(method: str, *, is_spot: bool = False, over_socket: bool = False) -> PoolName:
    """The pool that a request draws on.

    Args:
        is_spot: It concerns a spot instrument.
        over_socket: It came through a WebSocket, and those have a pool of their own.
    """
    own = _OWN_POOLS.get(method)
    if own is PoolName.INSTRUMENTS and over_socket:
        return PoolName.INSTRUMENTS_SOCKET
    if own is not None:
        return own
    if is_matching(method):
        return PoolName.SPOT if is_spot else PoolName.TRADING
    return PoolName.DEFAULT


class Credits:
    """What one payer has left. Every pool starts full."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._used: dict[PoolName, _Meter] = {}

    def spend(self, pool: PoolName, now_ms: int) -> bool:
        """Pay for one request; False, with nothing taken, when the pool does not hold its cost."""
        figures = self._limits.pools[pool]
        meter = self._used.get(pool)
        if meter is None:
            meter = self._used[pool] = _Meter(level=figures.capacity * 1000, at_ms=now_ms)
        meter.refill(figures, now_ms)
        if meter.level < figures.cost * 1000:
            return False
        meter.level -= figures.cost * 1000
        return True

    def left(self, pool: PoolName, now_ms: int) -> int:
        """Whole credits in a pool now."""
        figures = self._limits.pools[pool]
        meter = self._used.get(pool)
        if meter is None:
            return figures.capacity
        meter.refill(figures, now_ms)
        return meter.level // 1000

    def drain(self, pool: PoolName, now_ms: int) -> None:
        """Empty a pool, as somebody else on the account would."""
        self._used[pool] = _Meter(level=0, at_ms=now_ms)


class Purse:
    """The account's credits, and those of every address that calls without a login."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.account = Credits(limits)
        self._by_address: dict[str, Credits] = {}

    def of_address(self, address: str) -> Credits:
        """The credits of one address. The one longest unheard of is forgotten when many call."""
        credits_ = self._by_address.pop(address, None) or Credits(self.limits)
        self._by_address[address] = credits_
        while len(self._by_address) > _ADDRESSES_MAX:
            self._by_address.pop(next(iter(self._by_address)))
        return credits_


@dataclass(slots=True, kw_only=True)
class _Meter:
    """A level in thousandths of a credit, so that a millisecond's refill is a whole number."""

    level: int
    at_ms: int

    def refill(self, figures: Pool, now_ms: int) -> None:
        """Add what came back since the last look; a clock set back adds nothing."""
        passed_ms = max(now_ms - self.at_ms, 0)
        self.level = min(self.level + passed_ms * figures.refill_per_s, figures.capacity * 1000)
        self.at_ms = now_ms


def _rate_of(pool: Pool) -> dict[str, int]:
    return {"rate": pool.rate, "burst": pool.burst}
