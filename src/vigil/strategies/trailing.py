"""Where the stop of an open position should move to: break-even, then trailing.

The strategy shows each mark price while it holds a position and gets back an intent, rarely. It
asks only for stops that are closer than the one in force, by a step worth an edit, and does not
repeat itself while the answer to an earlier wish may still be under way.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct

from vigil.trading.signal import Exit, MoveStop, OpenPosition

BREAK_EVEN_AT = Decimal("0.5")
TRAILING_FROM = Decimal("0.6")
# A trailing stop follows the best price at one ATR, so that the noise of a candle does not hit it,
# but at no less than 40 % of the way to the target, and no more than the 60 % at which it begins.
TRAILING_DISTANCE_MIN = Decimal("0.4")
TRAILING_DISTANCE_MAX = TRAILING_FROM
# Break-even pays for both trades: 0.05 % taker fee each. Source: Deribit fees, perpetuals.
ROUND_TRIP_FEES = Decimal("0.001")
# … but keeps a quarter of the way between stop and market when the target is closer than that.
BREAK_EVEN_GAIN_MAX = Decimal("0.25")
STEP_MIN = Decimal("0.0005")
REPEAT_AFTER_MS = 10_000


class StopRules(Struct, frozen=True, kw_only=True):
    """What the configuration says about an open position's stop.

    Args:
        stop_loss_percent: Where a position without a stop gets one, percent of its entry price.
        take_profit_percent: Where the target is thought of when the position has none.
        break_even: At half the way to the target the stop goes to the entry price plus fees.
        trailing: From 60 % of the way it follows the best mark price.
    """

    stop_loss_percent: Decimal
    take_profit_percent: Decimal
    break_even: bool
    trailing: bool


class StopTrail:
    """Remembers the best mark price of the open position and what it asked for last."""

    __slots__ = ("_asked_at_ms", "_asked_price", "_held", "_peak_price", "_rules")

    def __init__(self, rules: StopRules) -> None:
        self._rules = rules
        # The position's identity, so that a new one starts with a new peak.
        self._held: tuple[str, int] | None = None
        self._peak_price = Decimal(0)
        self._asked_price: Decimal | None = None
        self._asked_at_ms = 0

    def forget(self) -> None:
        """There is no position."""
        self._held = None

    def progress(self, position: OpenPosition) -> Decimal:
        """The best share of the way to the target so far; negative when it only lost."""
        gain = position.side.sign * (self._peak_price - position.entry_price)
        return gain / self._target_distance(position)

    def follow(
        self, position: OpenPosition, *, mark_price: Decimal, timestamp_ms: int, atr: float | None
    ) -> MoveStop | Exit | None:
        """Look at a mark price and say where the stop should go, if anywhere.

        Args:
            position: The strategy's own open position.
            mark_price: The exchange's, which triggers stops as well.
            timestamp_ms: Exchange time of the mark price.
            atr: Average true range of the strategy's candles, in the unit of the price.

        A position without a stop gets the configured one; when the price is already beyond that,
        it is closed instead.
        """
        sign = position.side.sign
        held = (position.side.value, position.entry_time_ms)
        if held != self._held:
            self._held, self._peak_price, self._asked_price = held, mark_price, None
        elif sign * (mark_price - self._peak_price) > 0:
            self._peak_price = mark_price
        wish = self._wish(position, atr)
        if wish is None:
            return None
        is_beyond = sign * (mark_price - wish.stop_price) <= 0
        if is_beyond and position.stop_loss is not None:
            # An earlier edit did not get through and the price came back; the old stop stands.
            return None
        if not self._is_worth_asking(position, wish.stop_price, timestamp_ms):
            return None
        self._asked_price, self._asked_at_ms = wish.stop_price, timestamp_ms
        if is_beyond:
            return Exit(reason="no stop in force and the price is beyond where it belongs")
        return wish

    def snapshot(self) -> dict[str, Any]:
        """Peak and last wish, as JSON values."""
        return {
            "held": None if self._held is None else list(self._held),
            "peakPrice": str(self._peak_price),
            "askedPrice": None if self._asked_price is None else str(self._asked_price),
            "askedAtMs": self._asked_at_ms,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take a snapshot back.

        Raises: ArithmeticError, KeyError, TypeError or ValueError, when it is none.
        """
        held, asked = snapshot["held"], snapshot["askedPrice"]
        if held is not None:
            side, entry_time_ms = held
            held = (str(side), int(entry_time_ms))
        peak_price = Decimal(snapshot["peakPrice"])
        asked_price = None if asked is None else Decimal(asked)
        asked_at_ms = int(snapshot["askedAtMs"])
        self._held, self._peak_price = held, peak_price
        self._asked_price, self._asked_at_ms = asked_price, asked_at_ms

    def _wish(self, position: OpenPosition, atr: float | None) -> MoveStop | None:
        """The closest stop that the rules give for the best price so far."""
        sign, entry_price = position.side.sign, position.entry_price
        distance = self._target_distance(position)
        gain = sign * (self._peak_price - entry_price)
        if self._rules.trailing and gain >= TRAILING_FROM * distance:
            gap = Decimal(0) if atr is None else Decimal(atr)
            gap = max(gap, TRAILING_DISTANCE_MIN * distance)
            gap = min(gap, TRAILING_DISTANCE_MAX * distance)
            return MoveStop(stop_price=self._peak_price - sign * gap, reason="trailing")
        if self._rules.break_even and gain >= BREAK_EVEN_AT * distance:
            fees = min(ROUND_TRIP_FEES * entry_price, BREAK_EVEN_GAIN_MAX * distance)
            return MoveStop(stop_price=entry_price + sign * fees, reason="break-even")
        if position.stop_loss is None:
            loss = entry_price * self._rules.stop_loss_percent / 100
            return MoveStop(stop_price=entry_price - sign * loss, reason="no stop in force")
        return None

    def _is_worth_asking(
        self, position: OpenPosition, stop_price: Decimal, timestamp_ms: int
    ) -> bool:
        sign, step = position.side.sign, STEP_MIN * position.entry_price
        if position.stop_loss is not None and sign * (stop_price - position.stop_loss) < step:
            return False
        if self._asked_price is None or abs(timestamp_ms - self._asked_at_ms) >= REPEAT_AFTER_MS:
            return True
        return sign * (stop_price - self._asked_price) >= step

    def _target_distance(self, position: OpenPosition) -> Decimal:
        if position.take_profit is not None and position.take_profit != position.entry_price:
            return abs(position.take_profit - position.entry_price)
        return position.entry_price * self._rules.take_profit_percent / 100
