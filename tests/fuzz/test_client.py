"""Whatever bytes the exchange sends, the client reads a value or says what it could not read."""

import asyncio
import contextlib
import json
import random
from collections.abc import Callable
from typing import Any

import corpus
import msgspec
import mutation
from rounds import assert_proportionate, rounds, within_bounds
from websockets.exceptions import InvalidHandshake
from websockets.utils import accept_key

from vigil.deribit import book, channels, session, wire, wire_account, wire_market
from vigil.deribit.book import BookEvent, Gap, follow
from vigil.deribit.decoding import Unreadable
from vigil.deribit.jsonrpc import (
    ErrorReply,
    Malformed,
    Notification,
    Reply,
    ServerRequest,
    decode_frame,
)
from vigil.deribit.websocket import Ended, WebSocket
from vigil.domain.book import Book
from vigil.errors import VigilError

Read = Callable[[msgspec.Raw], Any]

READERS: list[Read] = [
    getattr(module, name)
    for module in (wire, wire_account, wire_market, book, session)
    for name in sorted(vars(module))
    if (name.startswith("to_") or name == "is_ok")
    and getattr(module, name).__module__ == module.__name__
    and name != "to_order_page"
]
READERS.append(lambda raw: wire.to_order_page(raw, rows_max=1_000))


def test_any_frame_is_a_message_or_malformed() -> None:
    frames = corpus.frames()
    for dice in rounds("decode_frame"):
        frame = _bent_or_torn(dice, dice.choice(frames), frames)
        with within_bounds(len(frame)):
            message = decode_frame(frame)
        assert isinstance(message, Reply | ErrorReply | Notification | ServerRequest | Malformed)
        assert_proportionate(message, len(frame))


def test_any_notification_is_events_or_unreadable() -> None:
    notifications = corpus.notifications()
    payloads = [data for _, data in notifications]
    for dice in rounds("channels"):
        channel, data = dice.choice(notifications)
        data = _bent_or_torn(dice, data, payloads)
        if dice.random() < 0.1:
            channel = mutation.torn(dice, channel.encode()).decode(errors="replace")
        for read in (channels.to_events, channels.to_value):
            _read(lambda raw, read=read, on=channel: read(on, raw), data)


def test_any_result_is_a_value_or_unreadable() -> None:
    """Every payload goes to those who read it as it was, and now and then to somebody else."""
    payloads = corpus.payloads()
    fitting = [(data, read) for data in payloads for read in READERS if _fits(read, data)]
    assert {read for _, read in fitting} > {wire.to_order, wire_market.to_instruments}
    for dice in rounds("readers"):
        data, read = dice.choice(fitting)
        if dice.random() < 0.1:
            read = dice.choice(READERS)
        _read(read, _bent_or_torn(dice, data, payloads))


def test_a_book_is_whole_or_known_to_be_lost_whatever_comes() -> None:
    events = [
        json.loads(data)
        for channel, data in corpus.notifications()
        if channels.is_book(channel) and channels.is_whole_book(channel)
    ]
    assert events
    for dice in rounds("book"):
        known: Book | None = None
        number = 0
        for _ in range(30):
            number, told = _next_event(dice, number, dice.choice(events))
            data = mutation.written(told)
            if dice.random() < 0.3:
                data = _bent_or_torn(dice, data, [])
            known = _follow(known, data)


def test_any_bytes_on_the_socket_are_messages_or_its_end() -> None:
    asyncio.run(_any_bytes_on_the_socket())


async def _any_bytes_on_the_socket() -> None:
    frames = corpus.frames()
    for dice in rounds("websocket"):
        taken: list[bytes] = []
        stream, expected = _stream(dice, frames)
        is_torn = dice.random() < 0.7
        if is_torn:
            stream = mutation.torn(dice, stream)
        socket = WebSocket("ws://127.0.0.1:1/ws/api/v2", taken.append, message_bytes_max=100_000)
        socket.connection_made(_Transport())
        opening = socket._handshake
        assert opening is not None
        answer = _answer_of(opening)
        if dice.random() < 0.2:
            answer = mutation.torn(dice, answer)
            is_torn = True
        with within_bounds(len(stream)):
            for piece in mutation.split(dice, answer + stream):
                socket.data_received(piece)
        assert sum(map(len, taken)) <= len(stream)
        assert len(socket._parts) < len(answer + stream) + 1
        assert is_torn or taken == expected
        socket.connection_lost(None)
        with contextlib.suppress(Ended, VigilError, InvalidHandshake, OSError):
            await asyncio.wait_for(socket.ended(), 1)


# -- books -----------------------------------------------------------------------------------------


def _next_event(dice: random.Random, number: int, told: dict[str, Any]) -> tuple[int, Any]:
    """An event that continues the chain, most of the time."""
    before = number
    number += dice.choice((1, 1, 1, 5, 0, -1))
    kind = dice.choice(("snapshot", "change", "change", "change", "change"))
    told = {**told, "type": kind, "change_id": number, "prev_change_id": before}
    if kind == "snapshot":
        del told["prev_change_id"]
    told["bids"] = [_action(dice, 900, 1_003) for _ in range(dice.randrange(6))]
    told["asks"] = [_action(dice, 1_001, 1_100) for _ in range(dice.randrange(6))]
    return number, told


def _action(dice: random.Random, low: int, high: int) -> list[Any]:
    action = dice.choice(("new", "change", "delete"))
    amount = 0 if action == "delete" else dice.choice((1, 0, 10, 0.5))
    return [action, dice.randrange(low, high) / 2, amount]


def _follow(known: Book | None, data: bytes) -> Book | None:
    try:
        event = book.to_book_event(msgspec.Raw(data))
    except Unreadable:
        return None
    assert isinstance(event, BookEvent)
    with within_bounds(len(data)):
        after = follow(known, event)
    match after:
        case Book():
            _assert_sorted(after)
            return after
        case Gap():
            return None
        case None:
            return known


def _assert_sorted(held: Book) -> None:
    bids, asks = [level.price for level in held.bids], [level.price for level in held.asks]
    assert bids == sorted(set(bids), reverse=True)
    assert asks == sorted(set(asks))
    assert not bids or not asks or bids[0] < asks[0]
    assert all(level.amount > 0 for level in (*held.bids, *held.asks))


# -- sockets ---------------------------------------------------------------------------------------


class _Transport(asyncio.Transport):
    """Takes what is written and forgets it."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert len(data) < 200_000

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False


def _answer_of(handshake: Any) -> bytes:
    """What a server answers to this opening request."""
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(handshake.key)}\r\n\r\n"
    ).encode()


def _stream(dice: random.Random, frames: list[bytes]) -> tuple[bytes, list[bytes]]:
    """Messages whole and in fragments, pings between them, now and then a close."""
    stream, messages = b"", []
    for _ in range(dice.randrange(1, 6)):
        message = dice.choice(frames)[: dice.choice((0, 1, 125, 126, 10_000, 70_000))]
        messages.append(message)
        parts = mutation.split(dice, message) if dice.random() < 0.4 else [message]
        for at, part in enumerate(parts):
            is_last = at == len(parts) - 1
            stream += _frame((0x1 if at == 0 else 0x0) | (0x80 if is_last else 0), part)
            if dice.random() < 0.1:
                stream += _frame(0x80 | dice.choice((0x9, 0xA)), dice.randbytes(dice.randrange(9)))
    if dice.random() < 0.2:
        stream += _frame(0x88, dice.choice((b"", b"\x0f\xa0heartbeat close", b"\xff")))
    return stream, messages


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 2**16:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


# -- reading ---------------------------------------------------------------------------------------


def _read(read: Read, data: bytes) -> None:
    with within_bounds(len(data)):
        try:
            value = read(msgspec.Raw(data))
        except Unreadable:
            return
    assert_proportionate(value, len(data))


def _fits(read: Read, data: bytes) -> bool:
    try:
        read(msgspec.Raw(data))
    except Unreadable:
        return False
    return True


def _bent_or_torn(dice: random.Random, data: bytes, others: list[bytes]) -> bytes:
    if dice.random() < 0.35:
        return mutation.torn(dice, data, others)
    other = json.loads(dice.choice(others)) if others and dice.random() < 0.2 else None
    data = mutation.written(mutation.bent(dice, json.loads(data), [other] if other else ()))
    return mutation.torn(dice, data) if dice.random() < 0.1 else data
