"""Order books as the exchange tells them: whole ones by their changes, groups as they are.

A whole book begins with a snapshot; every change after it names the one before. As long as the
chain holds, the book is the exchange's; once it breaks nobody knows the book, and only a new
snapshot ends that. What an action says about a level is its state afterwards, so a level to delete
that is not there, or a new one that is, needs no special care.
Source: Deribit API v2, the book channels; its changelog of November 2020.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec
from msgspec import Struct

from vigil.deribit.decoding import Unreadable, count, decode, decoder, number, time_ms
from vigil.deribit.shapes_market import BookEventShape, OrderBookShape
from vigil.domain.book import Book, Level
from vigil.domain.money import ZERO

_event = decoder(BookEventShape)
_order_book = decoder(OrderBookShape)

_ACTIONS = frozenset({"new", "change", "delete"})


class BookEvent(Struct, frozen=True, kw_only=True):
    """A snapshot of a whole book, or changes to it. A level of no amount is gone.

    Args:
        prev_change_id: Of the event before; None for a snapshot.
    """

    instrument_name: str
    timestamp_ms: int
    change_id: int
    prev_change_id: int | None
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]

    @property
    def is_snapshot(self) -> bool:
        """Whether it stands on its own."""
        return self.prev_change_id is None


class Gap(Struct, frozen=True):
    """The book is unknown from here on."""

    reason: str


def to_book_event(raw: msgspec.Raw) -> BookEvent:
    """What the channel of a whole book says."""
    shape = decode(_event, raw)
    match shape.type:
        case "snapshot":
            prev_change_id = None
        case "change":
            if shape.prev_change_id is None:
                raise Unreadable("a change to a book that names none before it")
            prev_change_id = count(shape.prev_change_id)
        case other:
            raise Unreadable(f"book event {other[:64]!r}")
    return BookEvent(
        instrument_name=shape.instrument_name,
        timestamp_ms=time_ms(shape.timestamp),
        change_id=count(shape.change_id),
        prev_change_id=prev_change_id,
        bids=_levels_of_actions(shape.bids),
        asks=_levels_of_actions(shape.asks),
    )


def to_book(raw: msgspec.Raw) -> Book:
    """The best levels of a book, of a question or of a grouped channel.

    Raises: Unreadable, also when it is crossed.
    """
    shape = decode(_order_book, raw)
    return _book(
        shape.instrument_name,
        time_ms(shape.timestamp),
        count(shape.change_id),
        [Level(number(price), _amount(amount)) for price, amount in shape.bids],
        [Level(number(price), _amount(amount)) for price, amount in shape.asks],
        is_whole=False,
    )


def follow(book: Book | None, event: BookEvent) -> Book | Gap | None:
    """The book after an event; None when the event changes nothing.

    Without a book only a snapshot helps. What is older than the book is old news.
    """
    if book is None and not event.is_snapshot:
        return None
    if book is not None and event.change_id <= book.change_id:
        return None
    if book is None or event.is_snapshot:
        return _begun(event)
    if event.prev_change_id != book.change_id:
        return Gap(f"change {event.prev_change_id} was missed, {book.change_id} was the last")
    after = Book(
        instrument_name=event.instrument_name,
        timestamp_ms=event.timestamp_ms,
        change_id=event.change_id,
        bids=tuple(_changed(book.bids, event.bids, is_falling=True)),
        asks=tuple(_changed(book.asks, event.asks, is_falling=False)),
    )
    return Gap("crossed") if after.is_crossed else after


def _begun(event: BookEvent) -> Book | Gap:
    try:
        return _book(
            event.instrument_name,
            event.timestamp_ms,
            event.change_id,
            event.bids,
            event.asks,
            is_whole=True,
        )
    except Unreadable as error:
        return Gap(str(error))


def _book(
    instrument_name: str,
    timestamp_ms: int,
    change_id: int,
    bids: Iterable[Level],
    asks: Iterable[Level],
    *,
    is_whole: bool,
) -> Book:
    """A book out of levels in any order."""
    bids = sorted((level for level in bids if level.amount), key=_price, reverse=True)
    asks = sorted((level for level in asks if level.amount), key=_price)
    for side in (bids, asks):
        if len({level.price for level in side}) != len(side):
            raise Unreadable("a price stands twice in a book")
    book = Book(
        instrument_name=instrument_name,
        timestamp_ms=timestamp_ms,
        change_id=change_id,
        bids=tuple(bids),
        asks=tuple(asks),
        is_whole=is_whole,
    )
    if book.is_crossed:
        raise Unreadable("a book is crossed")
    return book


def _changed(
    side: tuple[Level, ...], changes: Iterable[Level], *, is_falling: bool
) -> Sequence[Level]:
    if not changes:
        return side
    levels = list(side)
    rank = _price_below_zero if is_falling else _price
    for change in changes:
        at = bisect_left(levels, rank(change), key=rank)
        is_there = at < len(levels) and levels[at].price == change.price
        if not change.amount:
            if is_there:
                del levels[at]
        elif is_there:
            levels[at] = change
        else:
            levels.insert(at, change)
    return levels


def _price(level: Level) -> Decimal:
    return level.price


def _price_below_zero(level: Level) -> Decimal:
    return -level.price


def _levels_of_actions(actions: Iterable[tuple[str, Decimal, Decimal]]) -> tuple[Level, ...]:
    levels = []
    for action, price, amount in actions:
        if action not in _ACTIONS:
            raise Unreadable(f"book action {action[:64]!r}")
        left = _amount(amount)
        levels.append(Level(number(price), ZERO if action == "delete" else left))
    return tuple(levels)


def _amount(value: Decimal) -> Decimal:
    if value.is_signed() and value:
        raise Unreadable("an amount below zero in a book")
    return number(value)
