"""What a session hears, as events: `channels` with a memory.

Most notifications stand for themselves. Books go on from what was said before, the platform's state
counts only when it changes, and a word that nobody knows is told once.
"""

import msgspec

from vigil.deribit.book_feed import BookFeed
from vigil.deribit.channels import PLATFORM_STATE, is_book, to_events
from vigil.deribit.novelties import Novelties
from vigil.deribit.platform_news import PlatformNews
from vigil.domain.events import ExchangeEvent, OrderReceived


class Listener:
    """Reads the notifications of one session.

    Args:
        books: Follows the session's books.
        novelties: Told of words that nobody knows.
    """

    def __init__(self, books: BookFeed, novelties: Novelties) -> None:
        self._books = books
        self._novelties = novelties
        self._platform = PlatformNews()

    def take(self, channel: str, data: msgspec.Raw) -> tuple[ExchangeEvent, ...]:
        """What a notification says.

        Raises: wire.Unreadable, when it is not understood; never for a book, which is then unknown
        and said to be.
        """
        if channel.startswith("ticker."):  # nearly all there is
            return to_events(channel, data)
        if channel == PLATFORM_STATE:
            return self._platform.take(data)
        if is_book(channel):
            return self._books.take(channel, data)
        events = to_events(channel, data)
        for event in events:
            if isinstance(event, OrderReceived) and event.order.strange_words:
                self._novelties.note((event.order,))
        return events
