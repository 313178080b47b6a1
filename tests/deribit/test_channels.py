from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from vigil.deribit.channels import (
    PRIVATE_CHANNELS,
    is_book,
    is_whole_book,
    subscribe_calls,
    ticker_channels,
    to_events,
    to_value,
)
from vigil.deribit.wire import Unreadable
from vigil.domain.events import (
    AccountLockReceived,
    FillsReceived,
    InstrumentStateReceived,
    OrderReceived,
    PlatformStateReceived,
    PortfolioReceived,
)
from vigil.domain.market import FundingNow, InstrumentState, Quote

Make = Callable[..., dict[str, Any]]


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def test_raw_orders_come_one_by_one_and_aggregated_ones_together(order_json: Make) -> None:
    one, other = order_json(), order_json(order_id="USDC-2")
    (event,) = to_events("user.orders.any.any.raw", raw(one))
    assert isinstance(event, OrderReceived)
    events = to_events("user.orders.any.any.100ms", raw([one, other]))
    assert [event.order.order_id for event in events if isinstance(event, OrderReceived)] == [
        "USDC-1",
        "USDC-2",
    ]


def test_fills_come_as_one_event(fill_json: Make) -> None:
    (event,) = to_events("user.trades.any.any.raw", raw([fill_json(), fill_json(trade_id="2")]))
    assert isinstance(event, FillsReceived)
    assert len(event.fills) == 2
    assert to_events("user.trades.any.any.raw", raw([])) == ()


def test_a_portfolio_notification_is_a_summary_of_one_currency() -> None:
    figures = dict.fromkeys(
        ("balance", "equity", "available_funds", "initial_margin", "maintenance_margin"), 1.5
    )
    (event,) = to_events("user.portfolio.any", raw({"currency": "USDC", **figures}))
    assert isinstance(event, PortfolioReceived)
    assert event.summary.currency == "USDC"


def test_a_channel_nobody_asked_for_says_nothing() -> None:
    assert to_events("announcements", raw({"title": "x"})) == ()
    assert to_value("announcements", raw({"title": "x"})) is None


def test_the_platform_and_the_account_say_when_they_are_locked() -> None:
    (platform,) = to_events("platform_state", raw({"price_index": "btc_usd", "locked": True}))
    assert platform == PlatformStateReceived(price_index="btc_usd", is_locked=True)
    (account,) = to_events("user.lock", raw({"currency": "BTC", "locked": False}))
    assert account == AccountLockReceived(currency="BTC", is_locked=False)


def test_an_instrument_says_how_it_goes_on_in_the_exchanges_own_word() -> None:
    data = {"instrument_name": "X", "state": "hibernating", "timestamp": 7}
    (event,) = to_events("instrument.state.any.any", raw(data))
    state = InstrumentState(instrument_name="X", state="hibernating", timestamp_ms=7)
    assert event == InstrumentStateReceived(state=state)


@pytest.mark.parametrize(
    ("channel", "data", "kind"),
    [
        ("quote.X", {"instrument_name": "X", "timestamp": 1, "best_bid_price": 0}, Quote),
        ("trades.X.raw", [], tuple),
        ("perpetual.X.100ms", {"interest": 0, "index_price": 1, "timestamp": 1}, FundingNow),
    ],
)
def test_channels_that_make_no_event_are_read_all_the_same(
    channel: str, data: Any, kind: type
) -> None:
    assert isinstance(to_value(channel, raw(data)), kind)
    assert to_events(channel, raw(data)) == ()
    with pytest.raises(Unreadable):
        to_value(channel, raw({"channel": "of nonsense"}))


@pytest.mark.parametrize(
    ("channel", "is_whole"),
    [
        ("book.BTC-PERPETUAL.100ms", True),
        ("book.BTC_USDC-PERPETUAL.raw", True),
        ("book.XRP_USDC-30JUN23-0d625-C.agg2", True),
        ("book.BTC-PERPETUAL.none.20.100ms", False),
        ("book.ETH-PERPETUAL.5.1.agg2", False),
    ],
)
def test_a_whole_book_is_known_by_its_channel(channel: str, is_whole: bool) -> None:
    assert is_book(channel)
    assert is_whole_book(channel) is is_whole


def test_an_order_that_cannot_be_read_is_not_dropped_silently(order_json: Make) -> None:
    with pytest.raises(Unreadable):
        to_events("user.orders.any.any.raw", raw(order_json(direction="sideways")))


def test_a_thousand_channels_need_three_calls() -> None:
    tickers = ticker_channels([f"I{i}" for i in range(700)])
    calls = list(subscribe_calls((*PRIVATE_CHANNELS, *tickers)))
    assert [(method, len(names)) for method, names in calls] == [
        ("private/subscribe", 3),
        ("public/subscribe", 500),
        ("public/subscribe", 200),
    ]
    assert list(subscribe_calls(())) == []
