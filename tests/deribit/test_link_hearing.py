"""What a session makes of what it hears and is answered, over a real socket."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from vigil.clock import SystemClock
from vigil.deribit.client import DeribitClient
from vigil.deribit.credits import Credits, Pool, Rate
from vigil.deribit.link import DeribitLink, Unheard
from vigil.deribit.session import ApiKey, Deadlines
from vigil.deribit.throttle import Throttle
from vigil.deribit.wire import Unreadable
from vigil.domain.events import (
    BookGapped,
    BookReceived,
    ExchangeEvent,
    FillsReceived,
    OrderReceived,
    PlatformStateReceived,
)
from vigil.domain.order import OrderStatus
from vigil.errors import Transient

Make = Callable[..., dict[str, Any]]

ORDERS, FILLS = "user.orders.any.any.raw", "user.trades.any.any.raw"
BOOK = "book.X.100ms"


class Ears:
    """A session on the scripted exchange, and what it heard."""

    def __init__(self, exchange: Any, secret: Any) -> None:
        clock = SystemClock()
        unlimited = dict.fromkeys(Pool, Rate(per_s=1e6, burst=1e6))
        throttle = Throttle(clock, Credits(unlimited, now_s=clock.elapsed_s()))
        self.client = DeribitClient(clock, call_timeout_s=2, throttle=throttle)
        self.events: list[ExchangeEvent] = []
        self.unheard: list[Unheard] = []
        self._clock = clock
        self._url = exchange.url
        self._key = ApiKey(client_id="the-id", secret=secret("the-secret"))
        self.running: asyncio.Task[Any] | None = None

    def start(self, deadlines: Deadlines | None = None) -> asyncio.Task[Any]:
        link = DeribitLink(
            self.client,
            url=self._url,
            key=self._key,
            clock=self._clock,
            dice=random.Random(1),
            sink=self.events.append,
            on_unreadable=self.unheard.append,
            deadlines=deadlines or Deadlines(call_s=2, dial_s=2, watch_s=0.05),
        )
        self.running = asyncio.ensure_future(link.run())
        return self.running

    async def stop(self) -> None:
        if self.running is not None:
            self.running.cancel()
            await asyncio.wait([self.running])

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
async def ears(exchange: Any, secret: Any) -> AsyncIterator[Ears]:
    made = Ears(exchange, secret)
    yield made
    await made.stop()


def snapshot(change_id: int) -> dict[str, Any]:
    return {
        "type": "snapshot",
        "instrument_name": "X",
        "timestamp": 1,
        "change_id": change_id,
        "bids": [["new", 9, 1]],
        "asks": [["new", 10, 1]],
    }


def change(prev: int, change_id: int) -> dict[str, Any]:
    return snapshot(change_id) | {
        "type": "change",
        "prev_change_id": prev,
        "bids": [["change", 9, 7]],
        "asks": [],
    }


# --- books


@pytest.mark.fault("N14")
async def test_a_book_with_a_gap_is_unknown_until_it_was_begun_anew(
    exchange: Any, ears: Ears, until: Any
) -> None:
    assert await ears.client.watch_books(["X"]) == (BOOK,)
    ears.start()
    await until(lambda: ears.client.is_live)
    assert BOOK in exchange.asked_for("public/subscribe")[0]["channels"]
    await exchange.push(BOOK, snapshot(10))
    await exchange.push(BOOK, change(10, 15))
    await exchange.push(BOOK, change(16, 20))
    await exchange.push(BOOK, change(20, 25))
    await until(lambda: exchange.asked_for("public/subscribe")[1:])
    assert [type(event) for event in ears.events[1:]] == [BookReceived, BookReceived, BookGapped]
    assert exchange.asked_for("public/unsubscribe") == [{"channels": [BOOK]}]
    await exchange.push(BOOK, change(25, 27))
    await exchange.push(BOOK, snapshot(30))
    await exchange.push(BOOK, change(30, 31))
    await until(lambda: len(ears.of(BookReceived)) == 4)
    assert [event.book.change_id for event in ears.of(BookReceived)] == [10, 15, 30, 31]
    assert len(ears.of(BookGapped)) == 1
    assert ears.client.is_live


async def test_books_are_watched_and_left_while_a_session_lasts(
    exchange: Any, ears: Ears, until: Any
) -> None:
    ears.start()
    await until(lambda: ears.client.is_live)
    assert await ears.client.watch_books(["X", "Y"]) == ()
    assert exchange.asked_for("public/subscribe")[-1] == {
        "channels": [BOOK, "book.Y.100ms"],
    }
    assert await ears.client.watch_books(["Y"]) == ()
    assert exchange.asked_for("public/unsubscribe") == [{"channels": [BOOK]}]
    assert ears.client.carried_books == ("book.Y.100ms",)


async def test_a_book_that_stays_unknown_ends_the_session(
    exchange: Any, ears: Ears, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vigil.deribit.book_feed._SNAPSHOT_S", 0.02)
    await ears.client.watch_books(["X"])
    with pytest.raises(Transient, match="in vain"):
        await ears.start()
    assert len(exchange.asked_for("public/unsubscribe")) == 5


@pytest.mark.fault("N15")
async def test_a_book_channel_that_died_is_subscribed_anew(
    exchange: Any, ears: Ears, until: Any
) -> None:
    """A still book sends nothing, so only the market itself tells a dead channel from it."""
    still = {
        "instrument_name": "X",
        "timestamp": 2,
        "change_id": 11,
        "bids": [[9, 1]],
        "asks": [[10, 1]],
        "mark_price": 9.5,
        "index_price": 9.5,
        "state": "open",
    }
    exchange.answers["public/get_order_book"] = still
    await ears.client.watch_books(["X"])
    ears.start(deadlines=Deadlines(quiet_s=0.1, grace_s=0.02, watch_s=0.02))
    await until(lambda: ears.client.is_live)
    await exchange.push(BOOK, snapshot(10))
    await until(lambda: len(exchange.asked_for("public/get_order_book")) == 2)
    assert exchange.asked_for("public/unsubscribe") == []
    closed = still | {"bids": [], "asks": [], "state": "inactive"}
    exchange.answers["public/get_order_book"] = closed
    await until(lambda: len(exchange.asked_for("public/get_order_book")) == 4)
    assert exchange.asked_for("public/unsubscribe") == [], "a closed market owes nobody a book"
    exchange.answers["public/get_order_book"] = still | {"bids": [[9, 7]]}
    await until(lambda: exchange.asked_for("public/subscribe")[1:])
    assert exchange.asked_for("public/unsubscribe") == [{"channels": [BOOK]}]
    await exchange.push(BOOK, snapshot(15) | {"bids": [["new", 9, 7]]})
    await until(lambda: len(ears.of(BookReceived)) == 2)
    assert ears.of(BookGapped) == []


# --- words, and what is no word


@pytest.mark.fault("E34")
async def test_a_strange_word_is_heard_kept_and_told_once(
    exchange: Any, ears: Ears, until: Any, order_json: Make
) -> None:
    ears.start()
    await until(lambda: ears.client.is_live)
    strange = order_json(order_state="dreaming", novelty={"deep": [1]}, cancel_reason="full moon")
    del strange["average_price"]
    with capture_logs() as logs:
        await exchange.push(ORDERS, strange)
        await exchange.push(ORDERS, strange)
        await until(lambda: len(ears.of(OrderReceived)) == 2)
    order = ears.of(OrderReceived)[0].order
    assert (order.status, order.cancel_reason) == (OrderStatus.UNKNOWN, "full moon")
    assert [log["word"] for log in logs if log["event"] == "word.unknown"] == [
        "dreaming",
        "full moon",
    ]
    assert ears.unheard == []


@pytest.mark.fault("E34")
@pytest.mark.parametrize("field", ["order_id", "instrument_name", "direction", "amount"])
async def test_an_order_without_what_matters_is_asked_for_instead(
    exchange: Any, ears: Ears, until: Any, order_json: Make, field: str
) -> None:
    ears.start()
    await until(lambda: ears.client.is_live)
    await exchange.push(ORDERS, order_json(**{field: None}))
    await until(lambda: ears.unheard)
    assert ears.unheard[0].channel == ORDERS
    assert ears.of(OrderReceived) == []


@pytest.mark.fault("N13")
async def test_monsters_are_reported_and_the_session_goes_on(
    exchange: Any, ears: Ears, until: Any, order_json: Make, fill_json: Make
) -> None:
    ears.start()
    await until(lambda: ears.client.is_live)

    def frame(data: str) -> str:
        params = f'{{"channel":"{ORDERS}","data":{data}}}'
        return f'{{"jsonrpc":"2.0","method":"subscription","params":{params}}}'

    order = json.dumps(order_json(amount=0))
    monsters = [
        frame("[" * 20_000 + "]" * 20_000),
        frame(order.replace('"amount": 0', '"amount": 1e99999999')),
        frame(order.replace('"amount": 0', '"amount": ' + "9" * 500_000)),
        frame(order.replace('"amount": 0', '"amount": NaN')),
        frame(order.replace('"vg-a-1-1"', '"\\ud800"')),
        frame('{"a":' * 5_000 + "1" + "}" * 5_000),
        frame(order)[:-9],
        "[]",
        "",
    ]
    for at, monster in enumerate(monsters):
        await exchange.say(monster)
        await until(lambda at=at: len(ears.unheard) == at + 1)
    await exchange.push(FILLS, [fill_json()])
    await until(lambda: ears.of(FillsReceived))
    assert ears.client.is_live
    assert ears.of(OrderReceived) == []


async def test_the_platform_is_heard_when_it_changes(exchange: Any, ears: Ears, until: Any) -> None:
    ears.start()
    await until(lambda: ears.client.is_live)
    assert "platform_state" in exchange.asked_for("public/subscribe")[0]["channels"]
    assert "user.lock" in exchange.asked_for("private/subscribe")[0]["channels"]
    for locked in (False, False, True, True, False):
        await exchange.push("platform_state", {"price_index": "btc_usd", "locked": locked})
    await exchange.push("platform_state", {"maintenance": True})
    await until(lambda: len(ears.of(PlatformStateReceived)) == 4)
    assert [event.is_locked for event in ears.of(PlatformStateReceived)] == [
        False,
        True,
        False,
        False,
    ]


async def test_a_session_needs_no_channel_of_locks(exchange: Any, ears: Ears, until: Any) -> None:
    exchange.answers["private/subscribe"] = lambda params: [
        name for name in params["channels"] if name != "user.lock"
    ]
    exchange.answers["public/subscribe"] = []
    ears.start()
    await until(lambda: ears.client.is_live)


# --- answers


@pytest.mark.fault("E21")
@pytest.mark.parametrize(
    "pages",
    [
        pytest.param([{"trades": [], "has_more": True}], id="partial"),
        pytest.param([{"trades": []}], id="does not say whether there is more"),
        pytest.param([None], id="null"),
    ],
)
async def test_a_page_that_does_not_add_up_is_no_answer(
    exchange: Any, ears: Ears, until: Any, pages: list[Any]
) -> None:
    ears.start()
    await until(lambda: ears.client.is_live)
    exchange.answers["private/get_user_trades_by_currency_and_time"] = lambda _: pages[0]
    with pytest.raises(Unreadable):
        await ears.client.fills_since("USDC", 0, 2)


@pytest.mark.fault("E21")
async def test_a_log_whose_continuation_repeats_is_no_log(
    exchange: Any, ears: Ears, until: Any
) -> None:
    ears.start()
    await until(lambda: ears.client.is_live)
    row = {
        "id": 1,
        "user_seq": 1,
        "currency": "BTC",
        "timestamp": 5,
        "type": "trade",
        "change": 1,
        "balance": 1,
    }
    exchange.answers["private/get_transaction_log"] = {"logs": [row], "continuation": 1}
    with pytest.raises(Unreadable):
        await ears.client.transaction_log("BTC", 0, 9)


@pytest.mark.fault("E22")
async def test_two_orders_under_one_label_are_both_found(
    exchange: Any, ears: Ears, until: Any, order_json: Make
) -> None:
    ears.start()
    await until(lambda: ears.client.is_live)
    exchange.answers |= {
        "private/get_open_orders_by_label": [order_json()],
        "private/get_order_state_by_label": [order_json(), order_json(order_id="USDC-2")],
        "private/get_order_history_by_currency": {"orders": [], "continuation": None},
        "private/get_user_trades_by_currency_and_time": {"trades": [], "has_more": False},
    }
    findings = await ears.client.search_label("USDC", "vg-a-1-1", since_ms=0)
    assert [order.order_id for order in findings.orders] == ["USDC-1", "USDC-2"]
