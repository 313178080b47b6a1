"""What a strategy sees and what it may want.

A strategy is handed quotes and its own open position and answers with a `Decision`: intents, and
the checkpoints that explain them. It holds no client, no clock and no disk; whatever it must
remember over a restart it gives out in `snapshot` and takes back in `restore`.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from msgspec import Struct

from vigil.domain.market import Candle, Ticker
from vigil.domain.order import Direction


class Enter(Struct, frozen=True, kw_only=True):
    """Open a position of at most `notional_usd`, protected from its first moment.

    Args:
        stop_loss_percent: Distance of the stop from the entry price, percent of it, positive.
        take_profit_percent: Distance of the target; None for no target.
    """

    direction: Direction
    notional_usd: Decimal
    stop_loss_percent: Decimal
    take_profit_percent: Decimal | None
    reason: str


class MoveStop(Struct, frozen=True, kw_only=True):
    """Move the open position's stop to `stop_price`; it may only come closer, never loosen."""

    stop_price: Decimal
    reason: str


class Exit(Struct, frozen=True, kw_only=True):
    """Close the open position at market."""

    reason: str


Intent = Enter | MoveStop | Exit


class Checkpoint(Struct, frozen=True, kw_only=True):
    """One condition of a decision, as people read it: `rsi 31.2 wanted < 35`."""

    name: str
    value: str
    wanted: str
    is_passed: bool


class Decision(Struct, frozen=True, kw_only=True):
    """What the strategy wants now, and why. Empty when there is nothing new to say."""

    intents: tuple[Intent, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()


NO_DECISION = Decision()


class OpenPosition(Struct, frozen=True, kw_only=True):
    """The strategy's own open trade, as far as it needs to know it."""

    side: Direction
    entry_price: Decimal
    amount: Decimal
    entry_time_ms: int
    stop_loss: Decimal | None
    take_profit: Decimal | None


class Limits(Struct, frozen=True, kw_only=True):
    """What a strategy's configuration says about how often it may trade.

    Args:
        cooldown_ms: Rest after a trade closed.
        daily_trades_max: Trades opened per UTC day.
    """

    cooldown_ms: int
    daily_trades_max: int


class WarmStart(Struct, frozen=True, kw_only=True):
    """History a strategy would like at its start.

    Args:
        resolution: As the exchange's chart data names it: minutes as text, or `1D`.
        timeframe_ms: Length of one candle.
        count: Number of closed candles.
    """

    resolution: str
    timeframe_ms: int
    count: int


class Strategy(Protocol):
    """One running strategy: a deterministic function of what it was shown.

    Built as `Class(parameters)` with the validated instance of its parameter model.
    """

    @property
    def instrument_name(self) -> str:
        """The instrument it watches and trades."""
        ...

    @property
    def limits(self) -> Limits:
        """Its own limits, which risk enforces."""
        ...

    @property
    def trade_size_usd(self) -> Decimal | None:
        """Notional of one entry in USD, to be checked against the minimum; None when it varies."""
        ...

    @property
    def is_flattened_on_stop(self) -> bool:
        """Whether stopping it closes its position; else the position stays, protected."""
        ...

    @property
    def warm_start(self) -> WarmStart | None:
        """History wanted before the first quote; None when no chart resolution fits."""
        ...

    def on_history(self, candles: Sequence[Candle]) -> None:
        """Take closed candles, oldest first, that precede the first quote."""
        ...

    def on_ticker(self, ticker: Ticker, position: OpenPosition | None) -> Decision:
        """Look at a quote and say what is wanted."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """All it must remember, as JSON values."""
        ...

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take back a snapshot.

        Raises: ValueError, when the snapshot is not one of this strategy's with these parameters.
        """
        ...
