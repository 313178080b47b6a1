import asyncio
import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from vigil.deribit.book_feed import BookFeed
from vigil.domain.events import BookGapped, BookReceived
from vigil.errors import Transient

CHANNEL = "book.A.100ms"


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def snapshot(change_id: int, name: str = "A") -> msgspec.Raw:
    return raw(
        {
            "type": "snapshot",
            "instrument_name": name,
            "timestamp": 1,
            "change_id": change_id,
            "bids": [["new", 9, 1]],
            "asks": [["new", 10, 1]],
        }
    )


def change(prev: int, change_id: int) -> msgspec.Raw:
    return raw(
        {
            "type": "change",
            "instrument_name": "A",
            "timestamp": 1,
            "change_id": change_id,
            "prev_change_id": prev,
            "bids": [["new", 8, change_id]],
            "asks": [],
        }
    )


class RunOut(Exception):
    """The test's time is over."""


class Seconds:
    """Time that passes only by sleeping, for as long as a test wants."""

    def __init__(self) -> None:
        self.at_s = 100.0
        self.until_s = 100.0

    def now_ms(self) -> int:
        return int(self.at_s * 1000)

    def elapsed_s(self) -> float:
        return self.at_s

    async def sleep(self, delay_s: float) -> None:
        if self.at_s + delay_s > self.until_s:
            raise RunOut
        self.at_s += delay_s
        await asyncio.sleep(0)


class Session:
    """The session's socket, and the feed on it."""

    def __init__(self) -> None:
        self.clock = Seconds()
        self.calls: list[tuple[float, str, list[str]]] = []
        self.carried: tuple[str, ...] = (CHANNEL,)
        self.answer: Exception | None = None
        self.brings_snapshot = False
        self.events: list[BookReceived | BookGapped] = []
        self.change_id = 0
        self.feed = BookFeed(
            carried=lambda: self.carried, call=self.call, clock=self.clock, look_s=1.0
        )

    async def call(self, method: str, params: Mapping[str, Any]) -> msgspec.Raw:
        self.calls.append((self.clock.at_s - 100, method, params["channels"]))
        if self.answer is not None:
            raise self.answer
        if self.brings_snapshot and method == "public/subscribe":
            self.change_id += 1_000
            self.take(snapshot(self.change_id))
        return raw(params["channels"])

    def take(self, data: msgspec.Raw, channel: str = CHANNEL) -> None:
        self.events += self.feed.take(channel, data)

    async def pass_s(self, seconds: float) -> None:
        self.clock.until_s = self.clock.at_s + seconds
        with pytest.raises(RunOut):
            await self.feed.run()

    @property
    def kinds(self) -> list[type]:
        return [type(event) for event in self.events]


async def test_a_book_is_told_with_every_change() -> None:
    session = Session()
    session.take(snapshot(1))
    session.take(change(1, 5))
    session.take(change(1, 5))
    last = session.events[-1]
    assert session.kinds == [BookReceived, BookReceived]
    assert isinstance(last, BookReceived)
    assert last.book.change_id == 5
    await session.pass_s(300)
    assert session.calls == []


async def test_a_gap_is_said_at_once_and_the_channel_begun_anew() -> None:
    session = Session()
    session.brings_snapshot = True
    session.take(snapshot(1))
    session.take(change(3, 5))
    assert session.kinds == [BookReceived, BookGapped]
    session.take(change(5, 6))
    assert session.kinds == [BookReceived, BookGapped]
    await session.pass_s(10)
    assert session.calls == [
        (1.0, "public/unsubscribe", [CHANNEL]),
        (1.0, "public/subscribe", [CHANNEL]),
    ]
    assert session.kinds == [BookReceived, BookGapped, BookReceived]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(raw({"type": "change"}), id="unreadable"),
        pytest.param(snapshot(2, name="B"), id="of another instrument"),
        pytest.param(msgspec.Raw(b"\xff"), id="no text"),
    ],
)
async def test_what_cannot_be_read_leaves_the_book_unknown(data: msgspec.Raw) -> None:
    session = Session()
    session.take(snapshot(1))
    session.take(data)
    assert session.kinds == [BookReceived, BookGapped]
    assert session.events[-1].instrument_name == "A"  # type: ignore[union-attr]
    session.take(change(1, 5))
    assert session.kinds == [BookReceived, BookGapped]


async def test_a_snapshot_that_never_comes_is_asked_for() -> None:
    session = Session()
    await session.pass_s(6)
    assert [method for _, method, _ in session.calls] == ["public/unsubscribe", "public/subscribe"]


async def test_attempts_grow_apart_and_end_the_session() -> None:
    session = Session()
    session.clock.until_s = 100 + 1_000
    with pytest.raises(Transient, match="in vain"):
        await session.feed.run()
    at_s = [when_s for when_s, method, _ in session.calls if method == "public/subscribe"]
    assert len(at_s) == 5
    gaps = [then - first for first, then in zip(at_s, at_s[1:], strict=False)]
    assert gaps == sorted(gaps)
    assert session.clock.at_s < 100 + 200


async def test_a_book_that_keeps_breaking_ends_the_session_too() -> None:
    session = Session()
    session.brings_snapshot = True
    session.take(snapshot(1))
    with pytest.raises(Transient, match="in vain"):
        for _ in range(50):
            session.take(change(77, 78_000_000))
            session.clock.until_s = session.clock.at_s + 20
            try:
                await session.feed.run()
            except RunOut:
                continue


async def test_a_book_that_held_for_a_while_has_its_attempts_back() -> None:
    session = Session()
    session.brings_snapshot = True
    session.take(snapshot(1))
    for _ in range(20):
        session.take(change(77, 78_000_000))
        await session.pass_s(120)
    assert session.kinds.count(BookReceived) == 21


async def test_a_call_that_fails_is_an_attempt_like_any_other() -> None:
    session = Session()
    session.take(snapshot(1))
    session.take(change(3, 5))
    session.answer = Transient("settlement")
    await session.pass_s(10)
    session.answer = None
    session.brings_snapshot = True
    await session.pass_s(60)
    assert session.kinds == [BookReceived, BookGapped, BookReceived]


async def test_a_book_nobody_watches_any_more_is_forgotten() -> None:
    session = Session()
    session.take(snapshot(1))
    session.carried = ()
    await session.pass_s(60)
    assert session.calls == []
    session.take(change(1, 5))
    assert session.kinds == [BookReceived]


async def test_groups_need_no_chain_and_never_go_back() -> None:
    session = Session()

    def window(change_id: int) -> msgspec.Raw:
        return raw(
            {
                "instrument_name": "A",
                "timestamp": 1,
                "change_id": change_id,
                "bids": [[9, 1]],
                "asks": [[10, 1]],
            }
        )

    session.carried = ("book.A.none.20.100ms",)
    for change_id in (5, 900, 7, 900, 901):
        session.take(window(change_id), "book.A.none.20.100ms")
    shown = [event.book.change_id for event in session.events if isinstance(event, BookReceived)]
    assert shown == [5, 900, 901]
    await session.pass_s(60)
    assert session.calls == []
