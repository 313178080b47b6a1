from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from vigil.deribit.channels import PRIVATE_CHANNELS, subscribe_calls, ticker_channels, to_events
from vigil.deribit.jsonrpc import (
    ErrorReply,
    Malformed,
    Notification,
    Reply,
    ServerRequest,
    decode_frame,
)
from vigil.deribit.wire import Unreadable
from vigil.domain.events import (
    FillsReceived,
    OrderReceived,
    PortfolioReceived,
    TickerReceived,
)

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
    assert to_events("platform_state", raw({"locked": False})) == ()


def test_an_order_that_cannot_be_read_is_not_dropped_silently(order_json: Make) -> None:
    with pytest.raises(Unreadable):
        to_events("user.orders.any.any.raw", raw(order_json(order_state="novel")))


def test_a_thousand_channels_need_three_calls() -> None:
    tickers = ticker_channels([f"I{i}" for i in range(700)])
    calls = list(subscribe_calls((*PRIVATE_CHANNELS, *tickers)))
    assert [(method, len(names)) for method, names in calls] == [
        ("private/subscribe", 3),
        ("public/subscribe", 500),
        ("public/subscribe", 200),
    ]
    assert list(subscribe_calls(())) == []


def test_every_recorded_message_is_understood(recorded_frames: list[tuple[str, bytes]]) -> None:
    """Frames of channels in use become events; all others are at least well-formed messages."""
    seen = set()
    for name, frame in recorded_frames:
        message = decode_frame(frame)
        assert not isinstance(message, Malformed), name
        if isinstance(message, Notification):
            seen |= {type(event) for event in to_events(message.channel, message.data)}
        else:
            assert isinstance(message, (Reply, ErrorReply, ServerRequest)), name
    assert seen == {TickerReceived, OrderReceived}
