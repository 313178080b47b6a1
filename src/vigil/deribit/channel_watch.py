"""Watched channels on which nothing comes: ask for the market itself, and revive what is dead.

A channel can die while the session and all other channels live; the strategy then sees a market
that does not move. What the exchange sent last is compared with what it answers when asked.
Source: Deribit, public/ticker and public/get_order_book; public/unsubscribe before another
public/subscribe.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

import msgspec
import structlog

from vigil.clock import Clock
from vigil.deribit import book, wire
from vigil.deribit.channels import is_book
from vigil.deribit.jsonrpc import Notification
from vigil.deribit.quiet_channels import QuietChannels
from vigil.deribit.session import Deadlines
from vigil.domain.book import Book
from vigil.domain.market import Ticker
from vigil.errors import OutcomeUnknown, Rejected, Transient

_log = structlog.get_logger(__name__)

# The whole market may fall silent at once; so many are asked about in one look.
_ASKED_MAX = 20


class ChannelWatch:
    """Watches the tickers and the books of one session.

    Args:
        latest: The last notification of each channel, kept by the session.
        watched: The ticker and book channels that the session carries now.
        book_of: The book of a channel, as followed; None while it is unknown.
        call: Makes one call on the session's socket.
        on_revival: Told of every channel that was subscribed anew.
    """

    def __init__(
        self,
        *,
        latest: Mapping[str, Notification],
        watched: Callable[[], tuple[str, ...]],
        book_of: Callable[[str], Book | None],
        call: Callable[[str, Mapping[str, Any]], Awaitable[msgspec.Raw]],
        clock: Clock,
        deadlines: Deadlines,
        on_revival: Callable[[str], None],
    ) -> None:
        self._latest = latest
        self._watched = watched
        self._book_of = book_of
        self._call = call
        self._clock = clock
        self._deadlines = deadlines
        self._on_revival = on_revival
        self._quiet = QuietChannels(deadlines.quiet_s)

    async def run(self) -> NoReturn:
        """Look every second. Raises: Transient, when a channel stays dead."""
        while True:
            await self._clock.sleep(self._deadlines.watch_s)
            due = self._quiet.look(self._watched(), self._latest, self._clock.elapsed_s())
            if due:
                await self._inquire(due[:_ASKED_MAX])

    async def _inquire(self, channels: tuple[str, ...]) -> None:
        moved: dict[str, Notification | None] = {}
        for channel in channels:
            last = self._latest.get(channel)
            try:
                if await self._has_moved(channel, last):
                    moved[channel] = last
                else:
                    self._quiet.found_quiet(channel, self._clock.elapsed_s())
            except (Transient, OutcomeUnknown, Rejected) as error:
                # Nothing is known, and the next look is soon.
                _log.warning("channel.not_asked", channel=channel, reason=str(error))
                self._quiet.found_quiet(channel, self._clock.elapsed_s())
        if not moved:
            return
        await self._clock.sleep(self._deadlines.grace_s)
        for channel, last in moved.items():
            if channel in self._watched() and self._latest.get(channel) is last:
                await self._revive(channel)

    async def _has_moved(self, channel: str, last: Notification | None) -> bool:
        """Whether the market is another than the channel last said; true when it said nothing."""
        instrument_name = channel.split(".")[1]
        if is_book(channel):
            return await self._has_book_moved(channel, instrument_name)
        now = wire.to_ticker(
            await self._call("public/ticker", {"instrument_name": instrument_name})
        )
        if not now.is_open:
            return False  # a closed market has nothing to say, however its prices stand
        if last is None:
            return True
        try:
            before = wire.to_ticker(last.data)
        except wire.Unreadable:
            return True
        return _prices(now) != _prices(before)

    async def _has_book_moved(self, channel: str, instrument_name: str) -> bool:
        """Whether the best levels are others; a book that is unknown is begun anew by its feed."""
        params = {"instrument_name": instrument_name, "depth": 1}
        answer = await self._call("public/get_order_book", params)
        known = self._book_of(channel)
        if known is None or not wire.to_ticker(answer).is_open:
            return False
        now = book.to_book(answer)
        return (now.best_bid, now.best_ask) != (known.best_bid, known.best_ask)

    async def _revive(self, channel: str) -> None:
        """End the subscription and begin it again: a second one alone sends nothing."""
        if not self._quiet.found_dead(channel, self._clock.elapsed_s()):
            raise Transient(f"channel {channel} stays silent though it was subscribed anew")
        _log.warning("channel.silent", channel=channel, action="subscribing it anew")
        await self._call("public/unsubscribe", {"channels": [channel]})
        await self._call("public/subscribe", {"channels": [channel]})
        self._on_revival(channel)


def _prices(ticker: Ticker) -> tuple[object, ...]:
    return (
        ticker.mark_price,
        ticker.index_price,
        ticker.best_bid_price,
        ticker.best_ask_price,
        ticker.is_open,
    )
