import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from vigil.clock import SystemClock
from vigil.deribit.book_feed import BookFeed
from vigil.deribit.listening import Listener
from vigil.deribit.novelties import Novelties
from vigil.deribit.wire import Unreadable
from vigil.domain.events import (
    AccountLockReceived,
    BookGapped,
    OrderReceived,
    PlatformStateReceived,
)
from vigil.domain.order import OrderStatus

Make = Callable[..., dict[str, Any]]


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


@pytest.fixture
def listener() -> Listener:
    async def call(method: str, params: Mapping[str, Any]) -> msgspec.Raw:
        raise AssertionError(f"{method} {params}")

    return Listener(
        BookFeed(carried=tuple, call=call, clock=SystemClock(), look_s=1.0), Novelties()
    )


def test_a_strange_word_is_told_once_and_the_order_passed_on(
    listener: Listener, order_json: Make
) -> None:
    with capture_logs() as logs:
        for order_id in ("1", "2"):
            order = order_json(order_id=order_id, order_state="dreaming", order_type="limit")
            (event,) = listener.take("user.orders.any.any.raw", raw(order))
            assert isinstance(event, OrderReceived)
            assert event.order.status is OrderStatus.UNKNOWN
        listener.take("user.orders.any.any.raw", raw(order_json(order_type="dreaming")))
    told = [(log["event"], log["field"], log["word"]) for log in logs]
    assert told == [
        ("word.unknown", "order_state", "dreaming"),
        ("word.unknown", "order_type", "dreaming"),
    ]


def test_a_vocabulary_without_end_is_not_told(listener: Listener, order_json: Make) -> None:
    with capture_logs() as logs:
        for at in range(1_200):
            listener.take("user.orders.any.any.raw", raw(order_json(order_type=f"t{at}")))
    assert len(logs) == 1_000


def test_the_platform_is_heard_when_it_changes(listener: Listener) -> None:
    unlocked = raw({"price_index": "btc_usd", "locked": False})
    assert listener.take("platform_state", unlocked) == (
        PlatformStateReceived(price_index="btc_usd", is_locked=False),
    )
    assert listener.take("platform_state", unlocked) == ()


def test_a_lock_of_the_account_is_heard(listener: Listener) -> None:
    assert listener.take("user.lock", raw({"currency": "ALL", "locked": True})) == (
        AccountLockReceived(currency="ALL", is_locked=True),
    )
    with pytest.raises(Unreadable):
        listener.take("user.lock", raw({"currency": "ALL", "locked": "perhaps"}))


def test_a_book_that_cannot_be_read_is_gapped_and_not_an_error(listener: Listener) -> None:
    (event,) = listener.take("book.A.100ms", raw({}))
    assert isinstance(event, BookGapped)
    assert event.instrument_name == "A"


def test_changes_bring_their_orders_before_their_fills(
    listener: Listener, order_json: Make, fill_json: Make
) -> None:
    changes = {"instrument_name": "A", "orders": [order_json()], "trades": [fill_json()]}
    kinds = [
        type(event).__name__ for event in listener.take("user.changes.any.any.raw", raw(changes))
    ]
    assert kinds == ["OrderReceived", "FillsReceived"]
    assert listener.take("user.changes.any.any.raw", raw({"instrument_name": "A"})) == ()
