import itertools
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigil.deribit.book import BookEvent, Gap, follow, to_book, to_book_event
from vigil.deribit.wire import Unreadable
from vigil.domain.book import Book, Level


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def levels(*pairs: tuple[int, int]) -> tuple[Level, ...]:
    return tuple(Level(Decimal(price), Decimal(amount)) for price, amount in pairs)


def snapshot(change_id: int, bids: Any = ((9, 1),), asks: Any = ((10, 1),)) -> BookEvent:
    return BookEvent(
        instrument_name="A",
        timestamp_ms=1,
        change_id=change_id,
        prev_change_id=None,
        bids=levels(*bids),
        asks=levels(*asks),
    )


def change(prev: int, change_id: int, bids: Any = (), asks: Any = ()) -> BookEvent:
    return BookEvent(
        instrument_name="A",
        timestamp_ms=2,
        change_id=change_id,
        prev_change_id=prev,
        bids=levels(*bids),
        asks=levels(*asks),
    )


def begun(event: BookEvent) -> Book:
    book = follow(None, event)
    assert isinstance(book, Book)
    return book


# --- what arrives


def test_the_recorded_book_and_its_changes_chain(recorded: Any, member: Any) -> None:
    book: Book | Gap | None = None
    for name in ("snapshot", "change_1", "change_2"):
        data = member(recorded(f"fastmm/book_perp_{name}.json"), "params", "data")
        assert book is None or isinstance(book, Book)
        book = follow(book, to_book_event(data))
    assert isinstance(book, Book)
    assert book.change_id == 118850970615
    assert book.best_bid == Level(Decimal("76914.0"), Decimal("1.0002E+6"))
    assert book.best_ask == Level(Decimal("76914.5"), Decimal("999990.0"))
    prices = [level.price for level in book.bids]
    assert prices == sorted(prices, reverse=True)
    assert Decimal("76899.0") not in prices  # came with one change and went with the next
    assert Level(Decimal("38457.0"), Decimal("20.0")) in book.bids


def test_two_recorded_messages_that_are_not_neighbours_are_a_gap(
    recorded: Any, member: Any
) -> None:
    first, then = (
        to_book_event(
            member(
                recorded(f"crypto-msg-parser/book_perpetual_100ms_{name}.json"), "params", "data"
            )
        )
        for name in ("snapshot", "change")
    )
    assert isinstance(follow(begun(first), then), Gap)


@pytest.mark.parametrize(
    "name",
    [
        "crypto-msg-parser/book_perpetual_none_20_100ms.json",
        "nautilus/ws_book_grouped_snapshot.json",
        "observatory/book_linear_grouped.json",
    ],
)
def test_a_recorded_group_is_a_book_of_its_best_levels(
    recorded: Any, member: Any, name: str
) -> None:
    book = to_book(member(recorded(name), "params", "data"))
    assert not book.is_whole
    assert book.best_bid is not None
    assert book.best_ask is not None
    assert book.best_bid.price < book.best_ask.price


EVENT = {
    "type": "change",
    "instrument_name": "A",
    "timestamp": 1,
    "change_id": 2,
    "prev_change_id": 1,
    "bids": [["new", 1, 1]],
    "asks": [["delete", 2, 0.0]],
}


@pytest.mark.parametrize(
    "bent",
    [
        {"type": "delta"},
        {"type": None},
        {"prev_change_id": None},
        {"bids": [["replace", 1, 1]]},
        {"bids": [["new", 1, -1]]},
        {"bids": [["new", "NaN", 1]]},
        {"bids": [[1, 1]]},
        {"asks": None},
        {"change_id": -2},
    ],
    ids=str,
)
def test_an_event_that_cannot_be_read_is_loud(bent: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        to_book_event(raw(EVENT | bent))


def test_a_level_deleted_has_no_amount_whatever_it_says() -> None:
    event = to_book_event(raw(EVENT | {"asks": [["delete", 2, 7], ["change", 3, 0]]}))
    assert [level.amount for level in event.asks] == [0, 0]


# --- following


def test_without_a_snapshot_there_is_no_book() -> None:
    assert follow(None, change(1, 2, bids=[(9, 1)])) is None


def test_changes_are_applied_in_order_of_price() -> None:
    book = begun(snapshot(10, bids=[(9, 1), (7, 1)], asks=[(10, 1), (12, 1)]))
    after = follow(
        book, change(10, 55, bids=[(8, 2), (7, 0), (9, 5)], asks=[(11, 3), (10, 0), (99, 1)])
    )
    assert isinstance(after, Book)
    assert after.bids == levels((9, 5), (8, 2))
    assert after.asks == levels((11, 3), (12, 1), (99, 1))
    assert after.change_id == 55


@pytest.mark.parametrize(
    ("bids", "expected"),
    [
        pytest.param([(5, 0)], [(9, 1)], id="deleting what is not there"),
        pytest.param([(9, 3)], [(9, 3)], id="new where there is one"),
        pytest.param([(9, 0)], [], id="the last of a side"),
        pytest.param([(9, 0), (9, 2)], [(9, 2)], id="gone and back in one message"),
        pytest.param([], [(9, 1)], id="nothing"),
    ],
)
def test_an_action_says_how_a_level_is_afterwards(bids: Any, expected: Any) -> None:
    after = follow(begun(snapshot(1)), change(1, 2, bids=bids))
    assert isinstance(after, Book)
    assert after.bids == levels(*expected)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(change(5, 9, bids=[(8, 8)]), id="of before the snapshot"),
        pytest.param(change(9, 10, bids=[(8, 8)]), id="the snapshot's own"),
        pytest.param(snapshot(9), id="an older snapshot"),
        pytest.param(snapshot(10), id="the same snapshot"),
    ],
)
def test_old_news_changes_nothing(event: BookEvent) -> None:
    assert follow(begun(snapshot(10)), event) is None


def test_a_missed_change_is_a_gap() -> None:
    book = begun(snapshot(10))
    assert isinstance(follow(book, change(11, 12, bids=[(8, 1)])), Gap)
    assert isinstance(follow(book, change(3, 12, bids=[(8, 1)])), Gap)


def test_a_new_snapshot_replaces_the_book() -> None:
    after = follow(begun(snapshot(10)), snapshot(20, bids=[(5, 5)]))
    assert isinstance(after, Book)
    assert after.bids == levels((5, 5))


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(change(1, 2, bids=[(10, 1)]), id="a bid at the ask"),
        pytest.param(change(1, 2, asks=[(8, 1)]), id="an ask below the bid"),
        pytest.param(snapshot(2, bids=[(11, 1)]), id="a crossed snapshot"),
        pytest.param(snapshot(2, bids=[(9, 1), (9, 2)]), id="a price twice"),
    ],
)
def test_a_book_that_cannot_be_is_a_gap(event: BookEvent) -> None:
    assert isinstance(follow(begun(snapshot(1)), event), Gap)


def test_a_question_answered_with_a_crossed_book_is_loud(recorded: Any, member: Any) -> None:
    answer = json.loads(
        bytes(member(recorded("crypto-msg-parser/http_ticker_perpetual.json"), "result"))
    )
    assert to_book(raw(answer)).bids[0].amount == 600
    answer["asks"][0][0] = answer["bids"][0][0]
    with pytest.raises(Unreadable, match="crossed"):
        to_book(raw(answer))


# --- whatever is lost, repeated or swapped on the way

SIDE = st.dictionaries(st.integers(1, 6), st.integers(0, 3), max_size=4)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[BookEvent], dict[int, Book]]:
    """A true stream: some subscriptions, each a snapshot and its changes; the truth by change id."""
    events: list[BookEvent] = []
    truth: dict[int, Book] = {}
    change_id = draw(st.integers(1, 50))
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}

    def note(event: BookEvent) -> None:
        events.append(event)
        held = (
            sorted(((p, a) for p, a in bids.items() if a), reverse=True),
            sorted((p, a) for p, a in asks.items() if a),
        )
        truth[event.change_id] = Book(
            instrument_name="A",
            timestamp_ms=event.timestamp_ms,
            change_id=event.change_id,
            bids=levels(*held[0]),
            asks=levels(*held[1]),
        )

    for _ in range(draw(st.integers(1, 3))):
        change_id += draw(st.integers(1, 9))
        note(snapshot(change_id, bids=list(bids.items()), asks=list(asks.items())))
        for _ in range(draw(st.integers(0, 8))):
            new_bids = draw(SIDE)
            new_asks = {price + 10: amount for price, amount in draw(SIDE).items()}
            bids |= new_bids
            asks |= new_asks
            prev, change_id = change_id, change_id + draw(st.integers(1, 9))
            note(change(prev, change_id, bids=new_bids.items(), asks=new_asks.items()))
    return events, truth


@settings(max_examples=300)
@given(histories(), st.data())
def test_a_stream_however_mangled_never_yields_a_false_book(
    history: tuple[list[BookEvent], dict[int, Book]], data: st.DataObject
) -> None:
    """What is shown is the truth of its change id, never goes back, and is taken back at a gap."""
    events, truth = history
    received = mangle(events, data)
    book: Book | None = None
    for event in received:
        after = follow(book, event)
        if isinstance(after, Book):
            assert (after.bids, after.asks) == (
                truth[after.change_id].bids,
                truth[after.change_id].asks,
            )
            assert book is None or after.change_id > book.change_id
            book = after
        elif isinstance(after, Gap):
            book = None
        elif book is not None:
            assert event.change_id <= book.change_id
        else:
            assert not event.is_snapshot


@settings(max_examples=200)
@given(histories())
def test_a_whole_stream_has_no_gap_and_ends_in_the_truth(
    history: tuple[list[BookEvent], dict[int, Book]],
) -> None:
    events, truth = history
    book: Book | None = None
    for event in events:
        after = follow(book, event)
        assert isinstance(after, Book)
        book = after
    assert book is not None
    assert (book.bids, book.asks) == (truth[book.change_id].bids, truth[book.change_id].asks)


@settings(max_examples=200)
@given(histories(), st.data())
def test_a_message_lost_is_noticed_by_the_next_that_comes(
    history: tuple[list[BookEvent], dict[int, Book]], data: st.DataObject
) -> None:
    events, _ = history
    pairs = [
        at
        for at, (lost, then) in enumerate(itertools.pairwise(events))
        if at and not lost.is_snapshot and not then.is_snapshot
    ]
    if not pairs:
        return
    lost_at = data.draw(st.sampled_from(pairs))
    book: Book | None = None
    for event in events[:lost_at]:
        after = follow(book, event)
        assert isinstance(after, Book)
        book = after
    assert isinstance(follow(book, events[lost_at + 1]), Gap)


def mangle(events: Sequence[BookEvent], data: st.DataObject) -> list[BookEvent]:
    received = list(events)
    for _ in range(data.draw(st.integers(0, 4))):
        if not received:
            break
        at = data.draw(st.integers(0, len(received) - 1))
        match data.draw(st.sampled_from(("drop", "repeat", "swap", "delay"))):
            case "drop":
                del received[at]
            case "repeat":
                received.insert(data.draw(st.integers(at, len(received))), received[at])
            case "swap":
                other = data.draw(st.integers(0, len(received) - 1))
                received[at], received[other] = received[other], received[at]
            case _:
                received.append(received.pop(at))
    return received
