"""Razor: buys a sharp dip inside an uptrend, sells a sharp spike inside a downtrend.

Quotes come in by `on_ticker` and become candles; at each candle's close the indicators take it and
one decision is made, with every condition named in its checkpoints. Long wants all of: RSI below
`rsiOversold`, fast EMA above slow, volatility within its bounds, and neither of the higher
timeframes (5 and 15 candles joined) falling; short is the mirror image. While a position is open
nothing is entered, and each mark price is shown to the trailing stop. Cooldown and daily count are
risk's to enforce (`limits`).

All it has to remember is in `snapshot`; a Razor that is restored and shown the same quotes decides
the same, byte for byte. A snapshot that is older than a few candles loses its indicators at the
first quote, since they would describe another market, unless `on_history` closes the gap first.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from vigil.domain.market import Candle, Ticker
from vigil.domain.order import Direction
from vigil.strategies.candles import quoted_price
from vigil.strategies.parameters import Flag, Number, StrategyParameters, WholeNumber
from vigil.strategies.series import CANDLES_WANTED, EMA_SLOW_PERIOD, TREND_CANDLES, Reading, Series
from vigil.strategies.trailing import BREAK_EVEN_AT, TRAILING_FROM, StopRules, StopTrail
from vigil.trading.signal import (
    NO_DECISION,
    Checkpoint,
    Decision,
    Enter,
    Intent,
    Limits,
    OpenPosition,
    WarmStart,
)

# As many candles as give the slow average of the longest trend its first value, and two aggregates
# more, because the first may lack its beginning and the last its end.
WARM_START_CANDLES = max(TREND_CANDLES) * (EMA_SLOW_PERIOD + 2)
# Source: Deribit, get_tradingview_chart_data, minutes as text.
_RESOLUTION_BY_TIMEFRAME_S = {
    60: "1",
    180: "3",
    300: "5",
    600: "10",
    900: "15",
    1800: "30",
    3600: "60",
}
_TREND_WORDS = {1: "up", -1: "down", 0: "flat", None: "unknown"}
_SNAPSHOT_VERSION = 1


class RazorParameters(StrategyParameters):
    """Razor's part of `config`. Percentages are of a price; `volatility` is percent a candle.

    Args:
        timeframe_s: Length of a candle, seconds.
        trade_size: Notional of a trade, USD.
        cooldown_minutes: Rest after a trade closed; fractions are allowed.
        max_daily_trades: Trades opened per UTC day.
        use_trend_filter: Neither of the two higher timeframes may be against the trade.
        break_even: Half way to the target the stop goes to the entry price plus fees.
        trailing: From 60 % of the way to the target the stop follows the best mark price.
    """

    timeframe_s: WholeNumber = Field(default=60, ge=1, le=3600)
    trade_size: Number = Field(default=Decimal(100), gt=0)
    stop_loss_percent: Number = Field(default=Decimal("0.5"), gt=0, lt=50)
    take_profit_percent: Number = Field(default=Decimal("1.0"), gt=0, lt=50)
    cooldown_minutes: Number = Field(default=Decimal(5), ge=0, le=1_000_000)
    max_daily_trades: WholeNumber = Field(default=150, ge=1)
    rsi_oversold: Number = Field(default=Decimal(35), ge=0, le=100)
    rsi_overbought: Number = Field(default=Decimal(65), ge=0, le=100)
    min_volatility: Number = Field(default=Decimal("0.02"), ge=0)
    max_volatility: Number = Field(default=Decimal("1.5"), gt=0)
    use_trend_filter: Flag = True
    break_even: Flag = True
    trailing: Flag = True

    @field_validator("rsi_overbought")
    @classmethod
    def _above_oversold(cls, value: Decimal, info: ValidationInfo) -> Decimal:
        low = info.data.get("rsi_oversold")
        if low is not None and value <= low:
            raise ValueError(f"must be above rsiOversold, {low}")
        return value

    @field_validator("max_volatility")
    @classmethod
    def _above_minimum(cls, value: Decimal, info: ValidationInfo) -> Decimal:
        low = info.data.get("min_volatility")
        if low is not None and value <= low:
            raise ValueError(f"must be above minVolatility, {low}")
        return value


class Razor:
    """The strategy. Built from validated parameters; see the module for what it does."""

    Parameters = RazorParameters

    def __init__(self, parameters: RazorParameters) -> None:
        self._parameters = parameters
        self._timeframe_ms = parameters.timeframe_s * 1000
        self._series = Series(timeframe_ms=self._timeframe_ms)
        self._stop = self._fresh_stop()

    @property
    def parameters(self) -> RazorParameters:
        """The validated `config` it was built with."""
        return self._parameters

    @property
    def instrument_name(self) -> str:
        """The instrument it watches and trades."""
        return self._parameters.instrument

    @property
    def limits(self) -> Limits:
        """Cooldown and trades per day, which risk enforces."""
        return Limits(
            cooldown_ms=int(self._parameters.cooldown_minutes * 60_000),
            daily_trades_max=self._parameters.max_daily_trades,
        )

    @property
    def trade_size_usd(self) -> Decimal | None:
        """Notional of one entry, USD."""
        return self._parameters.trade_size

    @property
    def is_flattened_on_stop(self) -> bool:
        """Whether `onStop` says to close the position when it is stopped."""
        return self._parameters.on_stop == "flatten"

    @property
    def warm_start(self) -> WarmStart | None:
        """History wanted before the first quote; None when no chart resolution fits."""
        resolution = _RESOLUTION_BY_TIMEFRAME_S.get(self._parameters.timeframe_s)
        if resolution is None:
            return None
        return WarmStart(
            resolution=resolution, timeframe_ms=self._timeframe_ms, count=WARM_START_CANDLES
        )

    def on_history(self, candles: Sequence[Candle]) -> None:
        """Take closed candles, oldest first.

        After `restore` only those count that the snapshot does not cover; when they do not join
        on to it, it makes way for them.
        """
        start_ms = self._series.candles.start_ms
        if start_ms is not None:
            missed = [candle for candle in candles if candle.start_ms >= start_ms]
            if not missed:
                return
            if missed[0].start_ms == start_ms:
                candles = missed
            else:
                self._series = Series(timeframe_ms=self._timeframe_ms)
        for candle in candles:
            if self._series.candles.is_broken_by(candle.start_ms):
                self._series = Series(timeframe_ms=self._timeframe_ms)
            for closed in self._series.candles.follow(candle):
                self._series.take(closed)

    def on_ticker(self, ticker: Ticker, position: OpenPosition | None) -> Decision:
        """Look at a quote; decide on entry at candle close, on the stop at any time."""
        assert ticker.instrument_name == self._parameters.instrument, ticker.instrument_name
        if not ticker.is_open:
            return NO_DECISION
        if self._series.candles.is_broken_by(ticker.timestamp_ms):
            self._series = Series(timeframe_ms=self._timeframe_ms)
        closed = self._series.candles.add(quoted_price(ticker), ticker.timestamp_ms)
        for candle in closed:
            self._series.take(candle)
        if position is not None:
            return self._guard(ticker, position, is_candle_closed=bool(closed))
        self._stop.forget()
        return self._look_for_entry() if closed else NO_DECISION

    def snapshot(self) -> dict[str, Any]:
        """All it must remember, as JSON values."""
        return {
            "version": _SNAPSHOT_VERSION,
            "instrument": self._parameters.instrument,
            "timeframeS": self._parameters.timeframe_s,
            "series": self._series.snapshot(),
            "stop": self._stop.snapshot(),
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take back a snapshot; on an error everything stays as it was.

        Thresholds and sizes may have changed since: they leave no trace in what is remembered.

        Raises: ValueError, when it is of another instrument or timeframe, or damaged.
        """
        for key, own in (
            ("version", _SNAPSHOT_VERSION),
            ("instrument", self._parameters.instrument),
            ("timeframeS", self._parameters.timeframe_s),
        ):
            if snapshot.get(key) != own:
                raise ValueError(f"snapshot has {key} {snapshot.get(key)!r}, not {own!r}")
        series, stop = Series(timeframe_ms=self._timeframe_ms), self._fresh_stop()
        try:
            series.restore(snapshot["series"])
            stop.restore(snapshot["stop"])
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"snapshot is damaged: {error!r}") from error
        self._series, self._stop = series, stop

    def _fresh_stop(self) -> StopTrail:
        return StopTrail(
            StopRules(
                stop_loss_percent=self._parameters.stop_loss_percent,
                take_profit_percent=self._parameters.take_profit_percent,
                break_even=self._parameters.break_even,
                trailing=self._parameters.trailing,
            )
        )

    def _look_for_entry(self) -> Decision:
        reading = self._series.reading()
        if reading is None:
            seen = Checkpoint(
                name="candles",
                value=str(self._series.count),
                wanted=str(CANDLES_WANTED),
                is_passed=False,
            )
            return Decision(checkpoints=(seen,))
        long, short = (_judge(side, reading, self._parameters) for side in Direction)
        # People are shown the side that lacks less, and between equals the one with the trend.
        is_rising = reading.ema_fast > reading.ema_slow
        is_long = long.count(False) < short.count(False) + is_rising
        side, passed = (Direction.BUY, long) if is_long else (Direction.SELL, short)
        checkpoints = _explain(side, reading, self._parameters, passed)
        if not all(passed):
            return Decision(checkpoints=checkpoints)
        reason = ", ".join(f"{one.name} {one.value} {one.wanted}" for one in checkpoints)
        entry = Enter(
            direction=side,
            notional_usd=self._parameters.trade_size,
            stop_loss_percent=self._parameters.stop_loss_percent,
            take_profit_percent=self._parameters.take_profit_percent,
            reason=reason,
        )
        return Decision(intents=(entry,), checkpoints=checkpoints)

    def _guard(self, ticker: Ticker, position: OpenPosition, *, is_candle_closed: bool) -> Decision:
        wish = self._stop.follow(
            position,
            mark_price=ticker.mark_price,
            timestamp_ms=ticker.timestamp_ms,
            atr=self._series.atr.value,
        )
        if wish is None and not is_candle_closed:
            return NO_DECISION
        intents: tuple[Intent, ...] = () if wish is None else (wish,)
        return Decision(intents=intents, checkpoints=self._progress(position))

    def _progress(self, position: OpenPosition) -> tuple[Checkpoint, ...]:
        progress = self._stop.progress(position)
        steps = []
        if self._parameters.break_even:
            steps.append(("breakEven", BREAK_EVEN_AT))
        if self._parameters.trailing:
            steps.append(("trailing", TRAILING_FROM))
        return tuple(
            Checkpoint(
                name=name,
                value=f"{progress:.0%} of the way to the target",
                wanted=f">= {share:.0%}",
                is_passed=progress >= share,
            )
            for name, share in steps
        )


def _judge(side: Direction, reading: Reading, parameters: RazorParameters) -> tuple[bool, ...]:
    """Which conditions of an entry on that side are met, in the order of `_explain`."""
    sign = side.sign
    if side is Direction.BUY:
        is_stretched = reading.rsi < float(parameters.rsi_oversold)
    else:
        is_stretched = reading.rsi > float(parameters.rsi_overbought)
    low, high = float(parameters.min_volatility), float(parameters.max_volatility)
    passed = (
        is_stretched,
        sign * (reading.ema_fast - reading.ema_slow) > 0,
        low <= reading.volatility <= high,
    )
    if not parameters.use_trend_filter:
        return passed
    # What is not known yet is not against: a fresh series of 15 candles each would wait for hours.
    return passed + tuple(trend != -sign for _, trend in reading.trends)


def _explain(
    side: Direction, reading: Reading, parameters: RazorParameters, passed: tuple[bool, ...]
) -> tuple[Checkpoint, ...]:
    """Every condition of an entry on that side in words, met or not."""
    if side is Direction.BUY:
        name, relation, cross, against = "long", f"< {parameters.rsi_oversold}", ">", "down"
    else:
        name, relation, cross, against = "short", f"> {parameters.rsi_overbought}", "<", "up"
    words = [
        (f"{name} rsi", f"{reading.rsi:.1f}", relation),
        (
            f"{name} emaFast",
            f"{reading.ema_fast:.8g}",
            f"{cross} emaSlow {reading.ema_slow:.8g}",
        ),
        (
            "volatility",
            f"{reading.volatility:.4f} %",
            f"{parameters.min_volatility} to {parameters.max_volatility} %",
        ),
    ]
    if parameters.use_trend_filter:
        words += [
            (f"{name} trend{candles}", _TREND_WORDS[trend], f"not {against}")
            for candles, trend in reading.trends
        ]
    return tuple(
        Checkpoint(name=name, value=value, wanted=wanted, is_passed=is_passed)
        for (name, value, wanted), is_passed in zip(words, passed, strict=True)
    )
