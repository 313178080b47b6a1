"""Channels in use: their names, and what arrives on them as domain events."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from vigil.deribit import wire, wire_account, wire_market
from vigil.domain.events import (
    ExchangeEvent,
    FillsReceived,
    InstrumentStateReceived,
    OrderReceived,
    PortfolioReceived,
    TickerReceived,
)

# Without these a session would trade blind.
PRIVATE_CHANNELS = ("user.orders.any.any.raw", "user.trades.any.any.raw", "user.portfolio.any")

PLATFORM_STATE = "platform_state"

INSTRUMENT_STATE = "instrument.state.any.any"

# What every session asks for: also locks and maintenance, which concern every order, and what is
# suspended or ends.
SESSION_CHANNELS = (*PRIVATE_CHANNELS, "user.lock", PLATFORM_STATE, INSTRUMENT_STATE)

DEFAULT_TICKER_INTERVAL = "100ms"
DEFAULT_BOOK_INTERVAL = "100ms"

# The exchange advises at most this many channels in one call, and one call costs the same for all.
_CHANNELS_PER_CALL = 500

# A channel of a whole book has these many words; groups and depths are said in two more.
_WHOLE_BOOK_WORDS = 3


def ticker_channels(
    instrument_names: Iterable[str], interval: str = DEFAULT_TICKER_INTERVAL
) -> tuple[str, ...]:
    """The ticker channel of each instrument."""
    return tuple(f"ticker.{name}.{interval}" for name in instrument_names)


def book_channels(
    instrument_names: Iterable[str], interval: str = DEFAULT_BOOK_INTERVAL
) -> tuple[str, ...]:
    """The channel of the whole book of each instrument."""
    return tuple(f"book.{name}.{interval}" for name in instrument_names)


def is_book(channel: str) -> bool:
    """Whether a channel speaks of a book, which `book_feed` follows."""
    return channel.startswith("book.")


def is_whole_book(channel: str) -> bool:
    """Whether a book channel tells the whole book by its changes, and not only its best levels."""
    return channel.count(".") == _WHOLE_BOOK_WORDS - 1


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

    Books are not read here: what they say depends on what was said before.

    Raises: wire.Unreadable, when it is not understood.
    """
    if channel.startswith("ticker."):
        return (TickerReceived(ticker=wire.to_ticker(data)),)
    if channel.startswith("user.orders."):
        return tuple(OrderReceived(order=order) for order in wire.to_orders(data))
    if channel.startswith("user.trades."):
        fills = wire.to_fills(data)
        return (FillsReceived(fills=fills),) if fills else ()
    if channel == PLATFORM_STATE:
        return (wire_market.to_platform_state(data),)
    if channel.startswith("user.portfolio."):
        return (PortfolioReceived(summary=wire_account.to_account_summary(data)),)
    if channel == "user.lock":
        return (wire_account.to_lock_event(data),)
    if channel.startswith("user.changes."):
        return _changes_of(data)
    if channel.startswith("instrument.state."):
        return (InstrumentStateReceived(state=wire_market.to_instrument_state(data)),)
    return ()


def _changes_of(data: msgspec.Raw) -> tuple[ExchangeEvent, ...]:
    """Orders before fills, as the two channels of their own usually come."""
    changes = wire.to_changes(data)
    orders = tuple(OrderReceived(order=order) for order in changes.orders)
    return (*orders, FillsReceived(fills=changes.fills)) if changes.fills else orders


# Channels that no session asks for yet: how their names begin, and what they say.
_OTHER_CHANNELS: tuple[tuple[str, Callable[[msgspec.Raw], object]], ...] = (
    ("quote.", wire_market.to_quote),
    ("trades.", wire_market.to_public_trades),
    ("chart.trades.", wire_market.to_candle),
    ("perpetual.", wire_market.to_funding_now),
)


def to_value(channel: str, data: msgspec.Raw) -> object | None:
    """What a notification of a channel says that makes no event; None for one that nobody knows.

    Raises: wire.Unreadable, when it is not understood.
    """
    for beginning, read in _OTHER_CHANNELS:
        if channel.startswith(beginning):
            return read(data)
    return None
