"""Channels in use: their names, and what arrives on them as domain events."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from vigil.deribit import wire
from vigil.domain.events import (
    ExchangeEvent,
    FillsReceived,
    OrderReceived,
    PortfolioReceived,
    TickerReceived,
)

PRIVATE_CHANNELS = ("user.orders.any.any.raw", "user.trades.any.any.raw", "user.portfolio.any")

DEFAULT_TICKER_INTERVAL = "100ms"

# The exchange advises at most this many channels in one call, and one call costs the same for all.
_CHANNELS_PER_CALL = 500


def ticker_channels(
    instrument_names: Iterable[str], interval: str = DEFAULT_TICKER_INTERVAL
) -> tuple[str, ...]:
    """The ticker channel of each instrument."""
    return tuple(f"ticker.{name}.{interval}" for name in instrument_names)


def is_private(channel: str) -> bool:
    """Whether a channel speaks of the account, so that a frame lost on it must be asked for."""
    return channel.startswith("user.")


def subscribe_calls(channels: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Methods and channels of the fewest calls that subscribe to all of these."""
    for method, names in (
        ("private/subscribe", [name for name in channels if is_private(name)]),
        ("public/subscribe", [name for name in channels if not is_private(name)]),
    ):
        for start in range(0, len(names), _CHANNELS_PER_CALL):
            yield method, names[start : start + _CHANNELS_PER_CALL]


def to_events(channel: str, data: msgspec.Raw) -> tuple[ExchangeEvent, ...]:
    """What a notification says; empty for channels that nobody asked for.

    Raises: wire.Unreadable, when it is not understood.
    """
    if channel.startswith("ticker."):
        return (TickerReceived(ticker=wire.to_ticker(data)),)
    if channel.startswith("user.orders."):
        return tuple(OrderReceived(order=order) for order in wire.to_orders(data))
    if channel.startswith("user.trades."):
        fills = wire.to_fills(data)
        return (FillsReceived(fills=fills),) if fills else ()
    if channel.startswith("user.portfolio."):
        return (PortfolioReceived(summary=wire.to_account_summary(data)),)
    return ()
