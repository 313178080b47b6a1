import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.deribit import wire
from vigil.deribit.wire import Unreadable
from vigil.domain.order import Direction, OrderStatus, OrderType, StrangeWord, Trigger
from vigil.errors import OutcomeUnknown

Make = Callable[..., dict[str, Any]]


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


TICKER = {
    "instrument_name": "BTC_USDC-PERPETUAL",
    "timestamp": 1790133840887,
    "state": "open",
    "mark_price": 86778.14,
    "index_price": 86744.11,
    "best_bid_price": 86775.9,
    "best_bid_amount": 0.0645,
    "best_ask_price": 86778.0,
    "best_ask_amount": 0.3001,
}


# --- tickers


def test_a_ticker_keeps_every_digit() -> None:
    text = json.dumps(TICKER | {"mark_price": 0}).replace(
        '"mark_price": 0', '"mark_price": 86778.123456789012345678'
    )
    ticker = wire.to_ticker(msgspec.Raw(text.encode()))
    assert ticker.mark_price == Decimal("86778.123456789012345678")


@pytest.mark.parametrize("empty", [None, 0, 0.0], ids=["null", "zero", "zero as a float"])
def test_a_missing_side_of_the_book_is_none(empty: float | None) -> None:
    ticker = wire.to_ticker(raw(TICKER | {"best_bid_price": empty, "best_bid_amount": empty}))
    assert ticker.best_bid_price is None
    assert ticker.best_bid_amount is None
    assert ticker.best_ask_price == Decimal("86778.0")


@pytest.mark.parametrize(
    ("state", "is_open"),
    [("open", True), ("locked", False), ("settlement", False), ("a new state", False)],
)
def test_only_an_open_book_counts_as_open(state: str, is_open: bool) -> None:
    assert wire.to_ticker(raw(TICKER | {"state": state})).is_open is is_open


def test_a_ticker_without_a_state_does_not_count_as_open() -> None:
    assert not wire.to_ticker(raw({k: v for k, v in TICKER.items() if k != "state"})).is_open


# --- orders


@pytest.mark.parametrize(
    ("state", "filled", "status"),
    [
        pytest.param("open", 0.0, OrderStatus.OPEN, id="resting"),
        pytest.param("open", 0.004, OrderStatus.PARTIALLY_FILLED, id="partly filled"),
        pytest.param("filled", 0.01, OrderStatus.FILLED, id="filled"),
        pytest.param("cancelled", 0.004, OrderStatus.CANCELLED, id="cancelled with fills"),
        pytest.param("rejected", 0.0, OrderStatus.REJECTED, id="rejected"),
        pytest.param("untriggered", None, OrderStatus.UNTRIGGERED, id="waiting trigger"),
        pytest.param("triggered", None, OrderStatus.TRIGGERED, id="fired trigger"),
    ],
)
def test_an_order_state_and_its_fills_make_a_status(
    order_json: Make, state: str, filled: float | None, status: OrderStatus
) -> None:
    order = wire.to_order(raw(order_json(order_state=state, filled_amount=filled)))
    assert order.status is status
    assert order.filled_amount == Decimal(str(filled or 0))


@pytest.mark.parametrize(
    "change",
    [
        {"direction": "zero"},
        {"direction": None},
        {"instrument_name": ""},
        {"instrument_name": None},
        {"amount": None},
        {"amount": "much"},
        {"amount": "NaN"},
        {"amount": -0.01},
        {"amount": 0.0},
        {"order_id": None},
        {"order_id": ""},
        {"price": [1]},
        {"price": True},
        {"last_update_timestamp": -1},
        {"creation_timestamp": 1.5},
    ],
    ids=str,
)
def test_an_order_without_what_matters_is_loud(order_json: Make, change: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        wire.to_order(raw(order_json(**change)))


@pytest.mark.parametrize(
    ("field", "word"),
    [
        ("order_state", "halted_by_comet"),
        ("order_state", "in_doubt"),
        ("order_state", "partially_filled"),
        ("order_type", "iceberg_next"),
        ("time_in_force", "good_til_full_moon"),
        ("trigger", "moon_price"),
        ("cancel_reason", "moonrise"),
        ("price", "moon_price"),
    ],
)
def test_a_strange_word_is_kept_and_hides_nothing_else(
    order_json: Make, field: str, word: str
) -> None:
    order = wire.to_order(raw(order_json(**{field: word})))
    assert order.strange_words == (StrangeWord(field, word),)
    plain = wire.to_order(raw(order_json()))
    kept = ("order_id", "label", "instrument_name", "direction", "amount", "filled_amount")
    assert all(getattr(order, name) == getattr(plain, name) for name in kept)


def test_an_order_in_a_strange_state_is_neither_resting_nor_ended(order_json: Make) -> None:
    for state in ("halted_by_comet", "", None):
        order = wire.to_order(raw(order_json(order_state=state, filled_amount=0.01)))
        assert order.status is OrderStatus.UNKNOWN
        assert not (order.status.is_final or order.status.is_resting or order.status.is_unproven)
        assert order.strange_words


def test_strange_words_stand_where_a_known_one_would(order_json: Make) -> None:
    order = wire.to_order(
        raw(
            order_json(order_type="a", time_in_force="b", trigger="c", cancel_reason="d", price="e")
        )
    )
    assert (order.order_type, order.time_in_force, order.trigger, order.price) == (None,) * 4
    assert order.cancel_reason == "d"
    assert [word.word for word in order.strange_words] == ["a", "b", "c", "d", "e"]


def test_an_order_in_known_words_has_none_that_are_strange(order_json: Make) -> None:
    known = order_json(trigger="mark_price", cancel_reason="order_overlap", price="market_price")
    assert wire.to_order(raw(known)).strange_words == ()


def test_an_order_of_a_strange_state_hides_none_beside_it(order_json: Make) -> None:
    orders = wire.to_orders(raw([order_json(order_state="?"), order_json(order_id="USDC-2")]))
    assert [order.status for order in orders] == [OrderStatus.UNKNOWN, OrderStatus.OPEN]


def test_a_long_strange_word_is_cut(order_json: Make) -> None:
    (word,) = wire.to_order(raw(order_json(order_type="x" * 9_999))).strange_words
    assert len(word.word) == 64


@pytest.mark.parametrize("number", ["1e999999", "1e-999999", "1e33", "0e-999999"])
def test_a_number_beyond_all_measure_is_refused_before_it_can_be_written_out(
    order_json: Make, number: str
) -> None:
    text = json.dumps(order_json(amount=0)).replace('"amount": 0', f'"amount": {number}')
    with pytest.raises(Unreadable):
        wire.to_order(msgspec.Raw(text.encode()))


def test_what_was_not_understood_leaves_the_outcome_unknown(order_json: Make) -> None:
    assert issubclass(Unreadable, OutcomeUnknown)


@pytest.mark.parametrize("number", ["10", "10.0", "1.0e1", '"10"'])
def test_one_number_in_all_its_spellings_is_one_amount(order_json: Make, number: str) -> None:
    text = json.dumps(order_json(amount=0)).replace('"amount": 0', f'"amount": {number}')
    assert wire.to_order(msgspec.Raw(text.encode())).amount == 10


def test_times_may_come_in_scientific_notation(order_json: Make) -> None:
    text = json.dumps(order_json(creation_timestamp=0)).replace(
        '"creation_timestamp": 0', '"creation_timestamp": 1.767978363493e12'
    )
    assert wire.to_order(msgspec.Raw(text.encode())).creation_timestamp_ms == 1767978363493


def test_unknown_fields_are_ignored(order_json: Make) -> None:
    plain = wire.to_order(raw(order_json()))
    assert wire.to_order(raw(order_json(starbase_order_id=1, novelty={"deep": [1]}))) == plain


def test_orders_come_as_an_array_or_alone(order_json: Make) -> None:
    one = order_json()
    assert wire.to_orders(raw(one)) == wire.to_orders(raw([one]))
    assert wire.to_orders(raw([])) == ()


# --- fills, positions, summaries, instruments, candles


@pytest.mark.parametrize(
    ("change", "is_liquidation"),
    [
        pytest.param({}, False, id="ordinary"),
        pytest.param({"order_type": "liquidation"}, True, id="by order type"),
        pytest.param({"liquidation": "T", "liquidity": "T"}, True, id="our side"),
        pytest.param({"liquidation": "MT", "liquidity": "M"}, True, id="both sides"),
        pytest.param({"liquidation": "M", "liquidity": "T"}, False, id="the other side"),
        pytest.param({"liquidation": "M", "liquidity": None}, False, id="side unknown"),
    ],
)
def test_a_liquidation_counts_only_when_it_is_ours(
    fill_json: Make, change: dict[str, Any], is_liquidation: bool
) -> None:
    (fill,) = wire.to_fills(raw([fill_json(**change)]))
    assert fill.is_liquidation is is_liquidation


@pytest.mark.parametrize("field", ["trade_id", "fee", "price", "amount", "trade_seq", "order_id"])
def test_a_fill_without_what_matters_is_loud(fill_json: Make, field: str) -> None:
    fill = fill_json()
    del fill[field]
    with pytest.raises(Unreadable):
        wire.to_fills(raw([fill_json(), fill]))


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 0.0},
        {"amount": -0.01},
        {"trade_id": ""},
        {"order_id": ""},
        {"fee_currency": ""},
        {"direction": "zero"},
        {"price": "market_price"},
        {"trade_seq": -1},
        {"trade_seq": 2**63},
        {"timestamp": 2**60},
    ],
    ids=str,
)
def test_a_fill_that_cannot_be_booked_is_loud(fill_json: Make, change: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        wire.to_fills(raw([fill_json(**change)]))


@pytest.mark.parametrize(
    "change",
    [
        {"combo_id": "BTC-FS-25DEC26_PERP", "combo_trade_id": 43, "price": -12.5},
        {"combo_trade_id": "43", "profit_loss": None, "legs": [{}]},
        {"block_trade_id": "154", "api": "true", "label": None},
        {"fee": -1.0e-8, "liquidity": "X", "order_type": "a word of tomorrow"},
        {"instrument_name": "BTC_USDC", "mark_price": None, "index_price": None},
    ],
    ids=str,
)
def test_fills_of_all_kinds_are_read(fill_json: Make, change: dict[str, Any]) -> None:
    (fill,) = wire.to_fills(raw([fill_json(**change)]))
    assert (fill.trade_id, fill.amount) == ("USDC-7", Decimal("0.01"))
    assert not fill.is_maker


@pytest.mark.parametrize(
    ("direction", "size", "expected"),
    [
        pytest.param("sell", -10.0, -10, id="signed short"),
        pytest.param("sell", 10.0, -10, id="unsigned short"),
        pytest.param("buy", 10.0, 10, id="long"),
        pytest.param("zero", 0.0, 0, id="flat"),
        pytest.param("buy", 0.0, 0, id="flat, with the direction it had"),
    ],
)
def test_direction_gives_a_position_its_sign(direction: str, size: float, expected: int) -> None:
    position = wire.to_position(
        raw(
            {
                "instrument_name": "X",
                "direction": direction,
                "size": size,
                "mark_price": 5,
                "average_price": 4,
            }
        )
    )
    assert position.size == expected
    assert (position.average_price is None) is (expected == 0)


# --- recorded payloads


def test_the_recorded_resting_order_parses(recorded: Any, member: Any) -> None:
    order, fills = wire.to_placed(member(recorded("nautilus/ws_order_buy_response.json"), "result"))
    assert order.order_id == "USDC-104819327443"
    assert order.status is OrderStatus.OPEN
    assert (order.price, order.amount) == (Decimal("2973.55"), Decimal("0.001"))
    assert order.average_price is None
    assert fills == ()


def test_the_recorded_cancellation_parses(recorded: Any, member: Any) -> None:
    order = wire.to_order(member(recorded("nautilus/ws_order_cancel_response.json"), "result"))
    assert order.status is OrderStatus.CANCELLED
    assert order.cancel_reason == "user_request"


def test_the_recorded_waiting_stop_has_no_price_and_no_fills(recorded: Any, member: Any) -> None:
    order, _ = wire.to_placed(
        member(recorded("nautilus/ws_order_stop_market_no_filled_amount.json"), "result")
    )
    assert order.status is OrderStatus.UNTRIGGERED
    assert order.order_type is OrderType.STOP_MARKET
    assert (order.price, order.filled_amount) == (None, 0)
    assert (order.trigger, order.trigger_price) == (Trigger.MARK, Decimal("2228.0"))
    assert order.reduce_only


def test_the_recorded_detailed_cancellation_parses(recorded: Any, member: Any) -> None:
    payload = recorded("gocryptotrader/cancel_all_detailed.json")
    (order,), failures = wire.to_cancelled(member(payload, "result"))
    assert (order.instrument_name, failures) == ("BTC_USDC", ())


def test_what_a_mass_cancellation_did_not_end_is_said(order_json: Make) -> None:
    parts = [
        {"instrument_name": "A", "type": "limit", "result": [order_json()]},
        {"currency": "ETH", "type": "trigger", "error": {"code": 10041, "message": "x"}},
        {"currency": "SOL", "type": "limit"},
    ]
    orders, failures = wire.to_cancelled(raw(parts))
    assert [order.order_id for order in orders] == ["USDC-1"]
    assert [failure.partition(":")[0] for failure in failures] == ["ETH", "SOL"]


def test_a_full_page_of_bare_orders_may_lack_the_rest(order_json: Make) -> None:
    orders = [order_json(order_id=str(i)) for i in range(3)]
    assert len(wire.to_order_page(raw(orders), rows_max=4).rows) == 3
    with pytest.raises(Unreadable, match="more"):
        wire.to_order_page(raw(orders), rows_max=3)
    page = wire.to_order_page(raw({"orders": orders, "continuation": "none"}), rows_max=3)
    assert (len(page.rows), page.continuation) == (3, None)


def test_the_recorded_order_notification_parses(recorded: Any, member: Any) -> None:
    payload = recorded("roq/user_orders_ioc_filled.json")
    (order,) = wire.to_orders(member(payload, "params", "data"))
    assert (order.status, order.average_price) == (OrderStatus.FILLED, Decimal(92037))


def test_the_recorded_changes_parse_member_by_member(recorded: Any, member: Any) -> None:
    data = member(recorded("roq/user_changes_ioc_filled.json"), "params", "data")
    assert wire.to_orders(member(data, "orders"))[0].direction is Direction.BUY
    (fill,) = wire.to_fills(member(data, "trades"))
    assert fill.fee == Decimal("5.0E-8")
    assert not fill.is_maker
    (position,) = wire.to_positions(member(data, "positions"))
    assert position.size == 0
    assert position.realized_profit_loss == Decimal("-3.97E-7")


@pytest.mark.parametrize(
    ("name", "count"),
    [("roq/user_trades_by_currency.json", 1), ("roq/user_trades_by_currency_empty.json", 0)],
)
def test_the_recorded_trade_pages_parse(recorded: Any, member: Any, name: str, count: int) -> None:
    fills, has_more = wire.to_fill_page(member(recorded(name), "result"))
    assert (len(fills), has_more) == (count, False)


def test_the_recorded_maker_fills_parse(recorded: Any) -> None:
    payload = msgspec.Raw(recorded("deribit-http/trades_response.json"))
    fills, _ = wire.to_fill_page(payload)
    assert fills
    assert all(fill.is_maker for fill in fills)
    assert {fill.label for fill in fills} == {"user_trades_test_eth_1"}


def test_the_recorded_order_and_late_cancel_of_2024_parse(recorded: Any, member: Any) -> None:
    placed, _ = recorded("issues/buy_limit_then_cancel_11044.jsonl").splitlines()
    order, fills = wire.to_placed(member(placed, "result"))
    assert (order.label, order.price, fills) == ("", Decimal(64460), ())


def test_the_recorded_market_order_of_2022_parses(recorded: Any) -> None:
    # Numbers came through a library that turned them into strings; the trades in it are cut.
    order = wire.to_order(msgspec.Raw(recorded("issues/linear_market_sell_order_2022.json")))
    assert (order.price, order.average_price) == (Decimal("20387.0"), Decimal("20694.0"))


@pytest.mark.parametrize(
    ("name", "size"),
    [("ex_deribit/get_positions_ok.json", -10), ("ex_deribit/get_position_ok.json", 0)],
)
def test_the_recorded_positions_of_2020_parse(recorded: Any, name: str, size: int) -> None:
    body = json.loads(json.loads(recorded(name))[0]["response"]["body"])["result"]
    (position,) = wire.to_positions(raw(body if isinstance(body, list) else [body]))
    assert position.size == size


def test_the_recorded_option_position_parses(recorded: Any) -> None:
    position = wire.to_position(msgspec.Raw(recorded("issues/option_position_2022.json")))
    assert (position.size, position.average_price) == (1, Decimal("0.0165"))


def test_the_recorded_times_parse(recorded: Any, member: Any) -> None:
    for name in ("fastmm/get_time.json", "nautilus/http_get_time.json"):
        assert wire.to_server_time_ms(member(recorded(name), "result")) > 1_500_000_000_000


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("fastmm/ticker_perp.json", ("params", "data")),
        ("observatory/ticker_linear.json", ("params", "data")),
        ("nautilus/ws_ticker.json", ("params", "data")),
        ("crypto-msg-parser/ticker_option_100ms.json", ("params", "data")),
        ("crypto-msg-parser/http_ticker_perpetual.json", ("result",)),
    ],
)
def test_the_recorded_tickers_parse(
    recorded: Any, member: Any, name: str, path: tuple[str, ...]
) -> None:
    ticker = wire.to_ticker(member(recorded(name), *path))
    assert ticker.is_open
    assert ticker.mark_price > 0


@pytest.mark.parametrize(
    "name",
    ["observatory/subscribe_ack_reordered.json", "fastmm/subscribe_partial.json"],
)
def test_the_recorded_acknowledgements_parse(recorded: Any, member: Any, name: str) -> None:
    assert wire.to_channels(member(recorded(name), "result"))


# --- whatever bytes arrive


ORDER_FIELDS = {
    "order_id": "1",
    "instrument_name": "X",
    "direction": "buy",
    "order_type": "limit",
    "order_state": "open",
    "amount": 1,
    "creation_timestamp": 1,
    "last_update_timestamp": 1,
    "price": 1,
    "filled_amount": 0,
}
ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.lists(st.integers(), max_size=2)
    | st.sampled_from(["NaN", "Infinity", "-1e5000", "sNaN", "open", "sell"])
)


@given(st.dictionaries(st.sampled_from(sorted(ORDER_FIELDS)), ANYTHING))
def test_an_order_with_any_field_changed_is_an_order_or_unreadable(
    changes: dict[str, object],
) -> None:
    try:
        order = wire.to_order(raw(ORDER_FIELDS | changes))
    except Unreadable:
        return
    assert order.amount.is_finite()
    assert order.filled_amount.is_finite()


@given(st.dictionaries(st.sampled_from(sorted(TICKER)), ANYTHING))
def test_a_ticker_with_any_field_changed_is_a_ticker_or_unreadable(
    changes: dict[str, object],
) -> None:
    try:
        ticker = wire.to_ticker(raw(TICKER | changes))
    except Unreadable:
        return
    assert ticker.mark_price.is_finite()
