"""The order books of one session: every book followed, and a lost one begun anew.

A book whose chain breaks is unknown at once, and is said to be. Only a new snapshot ends that, and
only a subscription that was ended first brings one.
Source: Deribit, book channels; a second subscription without an end of the first sends nothing.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

import msgspec
import structlog

from vigil.clock import Clock
from vigil.deribit.book import Gap, follow, to_book, to_book_event
from vigil.deribit.channels import is_whole_book
from vigil.deribit.decoding import Unreadable
from vigil.domain.book import Book
from vigil.domain.events import BookGapped, BookReceived
from vigil.errors import OutcomeUnknown, Rejected, Transient

_log = structlog.get_logger(__name__)

# Snapshots of 131 books came within 0.6 s of one subscription.
_SNAPSHOT_S = 3.0

# A book that was lost again so often, each time within this while, is none to rely on, and
# neither is its session.
_REVIVALS_MAX = 5
_PROVEN_S = 60.0


class _Revival(msgspec.Struct):
    count: int
    due_s: float
    last_s: float


class BookFeed:
    """Follows the books of one session, and subscribes anew what is lost.

    Args:
        carried: The book channels that the session carries now.
        call: Makes one call on the session's socket.
        look_s: How often to look for what was lost.
    """

    def __init__(
        self,
        *,
        carried: Callable[[], tuple[str, ...]],
        call: Callable[[str, Mapping[str, Any]], Awaitable[msgspec.Raw]],
        clock: Clock,
        look_s: float,
    ) -> None:
        self._look_s = look_s
        self._carried = carried
        self._call = call
        self._clock = clock
        self._books: dict[str, Book] = {}
        self._revivals: dict[str, _Revival] = {}

    def take(self, channel: str, data: msgspec.Raw) -> tuple[BookReceived | BookGapped, ...]:
        """What a notification of a book channel means; nothing when it changes nothing."""
        try:
            return self._read(channel, data)
        except Unreadable as error:
            return self._lose(channel, str(error))

    def book(self, channel: str) -> Book | None:
        """The book that a channel tells, as followed; None while it is unknown."""
        return self._books.get(channel)

    async def run(self) -> NoReturn:
        """Look again and again. Raises: Transient, when a book stays unknown."""
        while True:
            await self._clock.sleep(self._look_s)
            carried = [channel for channel in self._carried() if is_whole_book(channel)]
            for channel in self._revivals.keys() - set(carried):
                del self._revivals[channel]
            for channel in self._books.keys() - set(self._carried()):
                del self._books[channel]
            now_s = self._clock.elapsed_s()
            due = [channel for channel in carried if self._is_due(channel, now_s)]
            if due:
                await self._begin_anew(due, now_s)

    def _read(self, channel: str, data: msgspec.Raw) -> tuple[BookReceived | BookGapped, ...]:
        known = self._books.get(channel)
        if is_whole_book(channel):
            event = to_book_event(data)
            after, name = follow(known, event), event.instrument_name
        else:
            window = to_book(data)
            is_news = known is None or window.change_id > known.change_id
            after, name = window if is_news else None, window.instrument_name
        if name != _instrument_of(channel):
            raise Unreadable(f"the channel tells of {name[:64]!r}")
        match after:
            case Book():
                self._books[channel] = after
                return (BookReceived(book=after),)
            case Gap(reason=reason):
                return self._lose(channel, reason)
            case None:
                return ()

    def _lose(self, channel: str, reason: str) -> tuple[BookGapped, ...]:
        now_s = self._clock.elapsed_s()
        self._books.pop(channel, None)
        revival = self._revivals.get(channel)
        if revival is None or now_s - revival.last_s > _PROVEN_S:
            self._revivals[channel] = _Revival(0, now_s, now_s)
        _log.warning("book.lost", channel=channel, reason=reason)
        return (BookGapped(instrument_name=_instrument_of(channel), reason=reason),)

    def _is_due(self, channel: str, now_s: float) -> bool:
        """Whether a book is unknown and it is time to do something about it."""
        if channel in self._books:
            return False
        revival = self._revivals.get(channel)
        if revival is None:  # newly subscribed: its snapshot is on the way
            self._revivals[channel] = _Revival(0, now_s + _SNAPSHOT_S, now_s)
            return False
        return revival.due_s <= now_s

    async def _begin_anew(self, channels: list[str], now_s: float) -> None:
        for channel in channels:
            revival = self._revivals[channel]
            if revival.count >= _REVIVALS_MAX:
                raise Transient(f"channel {channel} was begun anew {revival.count} times in vain")
            self._revivals[channel] = _Revival(
                revival.count + 1, now_s + _SNAPSHOT_S * 2**revival.count, now_s
            )
        _log.warning("book.begun_anew", channels=channels)
        try:
            await self._call("public/unsubscribe", {"channels": channels})
            await self._call("public/subscribe", {"channels": channels})
        except (Transient, OutcomeUnknown, Rejected) as error:
            # Whether they are subscribed now is unknown; the next look asks again.
            _log.warning("book.not_begun", channels=channels, reason=str(error))


def _instrument_of(channel: str) -> str:
    return channel.split(".")[1]
