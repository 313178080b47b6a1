"""Every recorded payload, and shapes of our own, through the reader that gets them in production;
then the same payloads bent in every way that a payload can be bent."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigil.deribit import book, channels, session, wire, wire_account, wire_market
from vigil.deribit.jsonrpc import (
    ErrorReply,
    Malformed,
    Notification,
    Reply,
    ServerRequest,
    decode_frame,
    encode_request,
)
from vigil.deribit.order_form import encode_edit, encode_order
from vigil.deribit.wire import Unreadable
from vigil.domain.book import Book
from vigil.domain.order import Order, OrderRequest, OrderStatus, OrderType

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "deribit" / "recorded"

Read = Callable[[msgspec.Raw], Any]


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def order_page(payload: msgspec.Raw) -> Any:
    return wire.to_order_page(payload, rows_max=1_000)


# What a result is, by the name of the method that answered with it: a payload's name has it in it.
# The first that fits is taken, so the narrower stand first.
RESULTS: tuple[tuple[str, tuple[Read, ...]], ...] = (
    (
        "account_summaries",
        (wire_account.to_account_summaries, wire_account.to_account_id, wire_account.to_terms),
    ),
    ("account_summary", (wire_account.to_account_summary, wire_account.to_terms)),
    ("book_summary", (wire_market.to_book_summaries,)),
    ("order_book|http_ticker", (book.to_book, wire.to_ticker)),
    ("ticker", (wire.to_ticker,)),
    ("expirations", (wire_market.to_expirations,)),
    ("get_instruments", (wire_market.to_instruments,)),
    ("get_instrument", (wire_market.to_instrument,)),
    ("chart", (wire_market.to_candles,)),
    ("last_trades", (wire_market.to_public_trade_page,)),
    ("get_time", (wire.to_server_time_ms,)),
    ("http_test|test_ok|hello", (wire_market.to_version,)),
    ("status", (wire_market.to_platform_status,)),
    ("heartbeat_ok|_on_disconnect_ok", (wire.is_ok,)),
    ("cancel_on_disconnect", (wire_account.to_cancel_on_disconnect,)),
    ("subscribe", (wire.to_channels,)),
    ("auth", (session.to_grant,)),
    ("settlement_history", (wire_account.to_settlement_page,)),
    ("transaction_log", (wire_account.to_log_page,)),
    ("trigger_order_history", (wire_account.to_trigger_page,)),
    ("order_history", (order_page,)),
    ("user_trades|trades_response", (wire.to_fill_page,)),
    ("trades_by_order", (wire.to_fills,)),
    ("user_locks", (wire_account.to_locks,)),
    ("get_positions", (wire.to_positions,)),
    ("position", (wire.to_position,)),
    ("cancel_all", (wire.to_cancelled,)),
    ("open_orders|by_label", (wire.to_orders,)),
    ("cancel_response|order_state|market_sell_order", (wire.to_order,)),
    ("order|buy|sell|edit|close", (wire.to_placed,)),
)


def readers_of_result(name: str) -> tuple[Read, ...] | None:
    return next((read for pattern, read in RESULTS if re.search(pattern, name)), None)


def reader_of_channel(channel: str) -> Read:
    if channels.is_book(channel):
        return book.to_book_event if channels.is_whole_book(channel) else book.to_book
    if channel.startswith(("ticker.", "user.", "platform_state")) and not channel.startswith(
        ("user.liquidation", "platform_state.")
    ):
        return lambda data: channels.to_events(channel, data)
    return lambda data: channels.to_value(channel, data)


def recorded_files() -> list[Path]:
    return sorted(RECORDED.glob("*/*.json*")) if RECORDED.is_dir() else []


def messages_of(path: Path) -> Iterator[bytes]:
    """The messages of a file as frames; a bare result is wrapped."""
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    for line in lines:
        message = json.loads(line)
        if isinstance(message, list) and "response" in message[0]:  # an HTTP exchange
            yield message[0]["response"]["body"].encode()
        elif not isinstance(message, dict) or "jsonrpc" not in message:
            yield b'{"jsonrpc":"2.0","id":1,"result":' + line.encode() + b"}"
        else:
            yield line.encode()


def parts_of(path: Path) -> Iterator[tuple[tuple[Read, ...], msgspec.Raw]]:
    """The payloads of a file, each with the readers that get it."""
    for frame in messages_of(path):
        message = decode_frame(frame)
        assert not isinstance(message, Malformed), message
        if isinstance(message, Notification):
            yield (reader_of_channel(message.channel),), message.data
        elif isinstance(message, Reply):
            readers = readers_of_result(path.name)
            assert readers is not None, f"{path.name} has no reader: name it in RESULTS"
            yield readers, message.result
        else:
            assert isinstance(message, ErrorReply | ServerRequest)
            yield (), msgspec.Raw(b"null")


def test_there_are_recorded_payloads() -> None:
    if not RECORDED.is_dir():
        pytest.skip(f"recorded payloads are not at {RECORDED}")
    assert len(recorded_files()) > 70


@pytest.mark.parametrize(
    "path", recorded_files(), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_a_recorded_payload_is_read(path: Path) -> None:
    for readers, payload in parts_of(path):
        for read in readers:
            assert read(payload) not in (None, ()) or bytes(payload) == b"[]"


# --- shapes that were not recorded: made after the exchange's own tables of fields

OPTION = "BTC-25DEC26-76000-C"
ORDER = {
    "order_id": "74365704227",
    "order_state": "open",
    "order_type": "limit",
    "instrument_name": "BTC-PERPETUAL",
    "direction": "buy",
    "time_in_force": "good_til_cancelled",
    "label": "",
    "user_id": 10580,
    "amount": 1.0e1,
    "filled_amount": 0.0,
    "contracts": 1.0,
    "price": 6.4e4,
    "average_price": 0.0,
    "creation_timestamp": 1765505266849,
    "last_update_timestamp": 1765505266849,
    "post_only": False,
    "reduce_only": False,
    "api": True,
    "web": False,
    "replaced": False,
    "mmp": False,
    "risk_reducing": False,
    "is_liquidation": False,
}
FILL = {
    "trade_id": "208465104",
    "trade_seq": 123024306,
    "order_id": "74365704227",
    "label": "",
    "instrument_name": "BTC-PERPETUAL",
    "direction": "sell",
    "timestamp": 1765505266849,
    "price": 9.2037e4,
    "amount": 10,
    "contracts": 1.0,
    "fee": -5.0e-8,
    "fee_currency": "BTC",
    "profit_loss": None,
    "liquidity": "M",
    "state": "filled",
    "order_type": "limit",
    "mark_price": 92035.41,
    "index_price": 92035.22,
    "tick_direction": 0,
    "matching_id": None,
    "self_trade": False,
    "api": False,
    "starbase_match_id": 225046781992378368,
    "starbase_timestamp": 1789344933994718924,
}
POSITION = {
    "instrument_name": "BTC-PERPETUAL",
    "kind": "future",
    "direction": "sell",
    "size": -10.0,
    "size_currency": -0.000108652,
    "average_price": 91701.5,
    "mark_price": 92035.41,
    "index_price": 92035.22,
    "settlement_price": 90484.97,
    "floating_profit_loss": -4.0e-7,
    "total_profit_loss": -4.0e-7,
    "realized_profit_loss": 0.0,
    "interest_value": 0.2738695181418799,
    "leverage": 50,
    "estimated_liquidation_price": None,
}
SUMMARY = {
    "currency": "BTC",
    "balance": 10.00295099,
    "equity": 10.00295059,
    "available_funds": 10.00295059,
    "margin_balance": 10.00295059,
    "initial_margin": 0.0,
    "maintenance_margin": 0,
    "session_rpl": -4.0e-7,
    "session_upl": 0.0,
    "margin_model": "segregated_sm",
    "cross_collateral_enabled": False,
}
LIMITS = {
    "limits_per_currency": False,
    "non_matching_engine": {"rate": 20, "burst": 100},
    "matching_engine": {
        "trading": {"total": {"rate": 5, "burst": 20}},
        "spot": {"rate": 5.0, "burst": 2.0e1},
        "cancel_all": {"rate": 5, "burst": 20},
    },
}
LOG_ROW = {
    "id": 1,
    "user_seq": 1,
    "currency": "USDC",
    "timestamp": 1765505266849,
    "type": "delivery",
    "change": -1.0e-8,
    "balance": 5,
    "info": None,
    "side": "close sell",
    "instrument_name": OPTION,
}

SHAPES: dict[str, tuple[Read, Any]] = {
    "an order": (wire.to_order, ORDER),
    "an order waiting": (
        wire.to_order,
        {
            key: value
            for key, value in ORDER.items()
            if key not in ("filled_amount", "average_price")
        }
        | {
            "order_id": "USDC-SLMB-19641",
            "order_state": "untriggered",
            "order_type": "stop_market",
            "price": "market_price",
            "trigger": "mark_price",
            "trigger_price": 60000,
            "trigger_reference_price": 64000.5,
            "triggered": False,
        },
    ),
    "an order that a trailing stop placed": (
        wire.to_order,
        ORDER
        | {
            "order_type": "market",
            "original_order_type": "trailing_stop",
            "trigger_order_id": "ETH-TSMS-250756",
            "trigger_offset": 5.5,
        },
    ),
    "an order on volatility": (
        wire.to_order,
        ORDER | {"instrument_name": OPTION, "advanced": "implv", "implv": 65.5, "amount": 0.1},
    ),
    "a linked order": (
        wire.to_order,
        ORDER
        | {
            "order_id": "OTO-80332",
            "is_secondary_oto": True,
            "primary_order_id": "74365704227",
            "oco_ref": "7",
            "trigger_fill_condition": "first_hit",
        },
    ),
    "a quote": (
        wire.to_order,
        ORDER
        | {"quote": True, "quote_id": "1", "quote_set_id": "1", "mmp_group": "g", "mmp": True},
    ),
    "an order liquidated": (
        wire.to_order,
        ORDER
        | {
            "order_type": "liquidation",
            "is_liquidation": True,
            "order_state": "filled",
            "web": True,
        },
    ),
    "an order of 2020": (
        wire.to_order,
        {key: value for key, value in ORDER.items() if key not in ("mmp", "risk_reducing")}
        | {"max_show": 10, "profit_loss": 0, "commission": 0, "stop_price": 1, "triggered": False},
    ),
    "an order on a combo": (
        wire.to_order,
        ORDER | {"instrument_name": "BTC-CS-25DEC26-70000_75000", "price": -0.0125},
    ),
    "orders": (wire.to_orders, [ORDER, ORDER | {"order_id": "2"}]),
    "a page of orders": (order_page, {"orders": [ORDER], "continuation": "x"}),
    "orders cancelled": (
        wire.to_cancelled,
        [
            {"instrument_name": "BTC-PERPETUAL", "type": "limit", "result": [ORDER]},
            {"currency": "ETH", "type": "trigger", "error": {"code": 10041, "message": "x"}},
        ],
    ),
    "an order placed": (wire.to_placed, {"order": ORDER, "trades": [FILL]}),
    "fills": (wire.to_fills, [FILL]),
    "a fill of an option": (
        wire.to_fills,
        [
            FILL
            | {"instrument_name": OPTION, "iv": 66.1, "underlying_price": 92000.5, "amount": 0.1}
        ],
    ),
    "a fill of spot": (
        wire.to_fills,
        [FILL | {"trade_id": "BTC_USDC-7", "instrument_name": "BTC_USDC", "fee_currency": "USDC"}],
    ),
    "a fill within a block": (wire.to_fills, [FILL | {"block_trade_id": "154", "block_rfq_id": 7}]),
    "the fill of a combo": (
        wire.to_fills,
        [
            FILL
            | {
                "instrument_name": "BTC-FS-25DEC26_PERP",
                "combo_id": "BTC-FS-25DEC26_PERP",
                "combo_trade_id": 43,
                "price": -12.5,
                "legs": [FILL],
            }
        ],
    ),
    "a fill in a liquidation": (
        wire.to_fills,
        [FILL | {"order_type": "liquidation", "liquidation": "MT"}],
    ),
    "a page of fills": (wire.to_fill_page, {"trades": [FILL], "has_more": True}),
    "changes": (
        wire.to_changes,
        {
            "instrument_name": "BTC-PERPETUAL",
            "orders": [ORDER],
            "trades": [FILL],
            "positions": [POSITION],
        },
    ),
    "a position": (wire.to_position, POSITION),
    "a short option": (
        wire.to_positions,
        [
            POSITION
            | {"instrument_name": OPTION, "kind": "option", "size": 0.3, "average_price_usd": 53.2}
        ],
    ),
    "a ticker of an option": (
        wire.to_ticker,
        {
            "instrument_name": OPTION,
            "timestamp": 1765505266849,
            "state": "open",
            "mark_price": 0.05,
            "index_price": 92035.22,
            "best_bid_price": None,
            "best_bid_amount": 0.0,
            "best_ask_price": 0.0,
            "best_ask_amount": 0.0,
            "last_price": None,
            "stats": {"high": None, "low": None, "price_change": None, "volume": 0.0},
            "greeks": {"delta": 0.5, "gamma": 0.0, "vega": 1.0, "theta": -1.0, "rho": 0.1},
            "mark_iv": 65.5,
        },
    ),
    "a summary": (wire_account.to_account_summary, SUMMARY),
    "summaries": (wire_account.to_account_summaries, {"id": 10, "summaries": [SUMMARY]}),
    "terms": (
        wire_account.to_terms,
        SUMMARY
        | {
            "id": 10580,
            "limits": LIMITS,
            "fees": [
                {
                    "index_name": "btc_usd",
                    "kind": "future",
                    "value": {"default": {"type": "fixed", "maker": -1.0e-4, "taker": 5.0e-4}},
                }
            ],
        },
    ),
    "terms above all currencies": (
        wire_account.to_terms,
        {
            "id": 10580,
            "fees": {"btc_usd": {"option": {"maker_fee": 3.0e-4, "taker_fee": 3.0e-4}}},
            "summaries": [SUMMARY, SUMMARY | {"limits": LIMITS}],
        },
    ),
    "a page of the log": (wire_account.to_log_page, {"logs": [LOG_ROW], "continuation": None}),
    "a page of settlements": (
        wire_account.to_settlement_page,
        {
            "settlements": [
                {
                    "type": "bankruptcy",
                    "timestamp": 1550475692526,
                    "funded": 0,
                    "socialized": 0.001,
                    "session_bankruptcy": 0,
                    "session_tax": 0,
                },
                {
                    "type": "delivery",
                    "timestamp": 1550475692527,
                    "instrument_name": OPTION,
                    "position": 0.1,
                    "profit_loss": -1.0e-3,
                    "session_profit_loss": None,
                },
            ],
            "continuation": "none",
        },
    ),
    "a page of triggers": (
        wire_account.to_trigger_page,
        {
            "entries": [
                {
                    "timestamp": 1555918941451,
                    "trigger_order_id": "SLIS-103",
                    "instrument_name": "BTC-PERPETUAL",
                    "order_state": "rejected:reduce_direction",
                    "price": "market_price",
                    "order_id": None,
                }
            ],
            "continuation": None,
        },
    ),
    "locks": (wire_account.to_locks, [{"currency": "ALL", "locked": True, "message": "x"}]),
    "a lock": (wire_account.to_lock_event, {"currency": "BTC", "locked": False}),
    "cancel on disconnect": (
        wire_account.to_cancel_on_disconnect,
        {"scope": "account", "enabled": False},
    ),
    "an instrument of spot": (
        wire_market.to_instrument,
        {
            "instrument_name": "BTC_USDC",
            "kind": "spot",
            "base_currency": "BTC",
            "quote_currency": "USDC",
            "contract_size": 1.0e-4,
            "min_trade_amount": 1.0e-4,
            "tick_size": 1,
            "tick_size_steps": None,
            "maker_commission": None,
            "expiration_timestamp": None,
        },
    ),
    "instruments": (
        wire_market.to_instruments,
        [
            {
                "instrument_name": "BTC-CS-25DEC26-70000_75000",
                "kind": "option_combo",
                "base_currency": "BTC",
                "quote_currency": "BTC",
                "settlement_currency": "BTC",
                "instrument_type": "reversed",
                "contract_size": 1,
                "min_trade_amount": 0.1,
                "tick_size": 0.0001,
                "tick_size_steps": [{"above_price": 0.005, "tick_size": 0.0005}],
                "max_leverage": 1,
                "expiration_timestamp": 1798185600000,
            }
        ],
    ),
    "candles": (
        wire_market.to_candles,
        {"status": "ok", "ticks": [1], "open": [1], "high": [2], "low": [0.5], "close": [1.5]},
    ),
    "a candle": (
        wire_market.to_candle,
        {"tick": 1, "open": 1, "high": 2, "low": 0.5, "close": 1.5, "volume": 0, "cost": 0},
    ),
    "trades": (
        wire_market.to_public_trade_page,
        {
            "trades": [
                {
                    "trade_id": "1",
                    "trade_seq": 1,
                    "instrument_name": OPTION,
                    "timestamp": 1,
                    "direction": "buy",
                    "price": 0.05,
                    "amount": 0.1,
                    "iv": 65.5,
                    "block_trade_id": "7",
                    "block_trade_leg_count": 2,
                    "combo_trade_id": 43,
                    "liquidation": "T",
                }
            ],
            "has_more": False,
        },
    ),
    "the state of an instrument": (
        wire_market.to_instrument_state,
        {"instrument_name": "BTC-25DEC26", "state": "hibernating", "timestamp": 1},
    ),
    "the platform": (wire_market.to_platform_state, {"price_index": "btc_usd", "locked": False}),
    "maintenance": (wire_market.to_platform_state, {"maintenance": True, "reasons": []}),
    "the status": (
        wire_market.to_platform_status,
        {"locked": "partial", "locked_indices": ["btc_usd"]},
    ),
    "a book": (
        book.to_book,
        {
            "instrument_name": OPTION,
            "timestamp": 1,
            "change_id": 1,
            "bids": [],
            "asks": [[0.05, 0.1]],
        },
    ),
    "a change of a book": (
        book.to_book_event,
        {
            "type": "change",
            "instrument_name": "BTC-PERPETUAL",
            "timestamp": 1,
            "change_id": 2,
            "prev_change_id": 1,
            "bids": [["new", 1, 1]],
            "asks": [["delete", 2, 0.0]],
        },
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_of_the_exchanges_tables_is_read(name: str) -> None:
    read, value = SHAPES[name]
    assert read(raw(value)) not in (None, ())


def test_every_reader_of_ours_is_shown_a_payload() -> None:
    shown = {read for read, _ in SHAPES.values()} | {
        read for _, readers in RESULTS for read in readers
    }
    through_channels = {"to_quote", "to_public_trades", "to_funding_now"}
    names = {getattr(read, "__name__", "") for read in shown} | through_channels
    missing = {
        name
        for module in (wire, wire_account, wire_market, book)
        for name in dir(module)
        if name.startswith("to_") and name not in names
    }
    assert missing <= {"to_order_page", "to_count"}


# --- what we also send


def test_what_we_ask_for_comes_back_as_the_recorded_order_says(recorded: Any, member: Any) -> None:
    """Digit for digit: the request that we would encode for the recorded order."""
    for name in (
        "nautilus/ws_order_buy_response.json",
        "nautilus/ws_order_stop_market_no_filled_amount.json",
    ):
        result = json.loads(bytes(member(recorded(name), "result")), parse_float=Decimal)["order"]
        order, _ = wire.to_placed(member(recorded(name), "result"))
        assert order.order_type is not None
        asked = OrderRequest(
            instrument_name=order.instrument_name,
            direction=order.direction,
            order_type=order.order_type,
            amount=order.amount,
            label=order.label,
            price=order.price,
            trigger_price=order.trigger_price,
            trigger=order.trigger,
            time_in_force=order.time_in_force,
            reduce_only=order.reduce_only,
            post_only=result["post_only"],
        )
        sent = json.loads(
            encode_request(1, "private/buy", encode_order(asked)), parse_float=Decimal
        )
        renamed = {"type": "order_type"}
        for field, value in sent["params"].items():
            assert result[renamed.get(field, field)] == value, field
        edit = encode_edit(
            order.order_id,
            amount=order.amount,
            price=order.price,
            trigger_price=order.trigger_price,
            valid_until_ms=None,
        )
        for field, value in edit.items():
            assert result[field] == value, field


def test_the_channels_that_we_ask_for_are_spelled_as_recorded(recorded: Any, member: Any) -> None:
    def channel_of(name: str) -> str:
        return str(json.loads(bytes(member(recorded(name), "params", "channel"))))

    assert channel_of("roq/user_orders_ioc_filled.json") in channels.PRIVATE_CHANNELS
    (ticker,) = channels.ticker_channels(["BTC-PERPETUAL"])
    assert channel_of("fastmm/ticker_perp.json") == ticker
    (whole,) = channels.book_channels(["BTC-PERPETUAL"])
    assert channel_of("fastmm/book_perp_snapshot.json") == whole
    acknowledged = wire.to_channels(member(recorded("roq/subscribe_platform_state.json"), "result"))
    assert set(acknowledged) <= set(channels.SESSION_CHANNELS)


# --- bent payloads

NOVELTIES = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        -1,
        1.5,
        10**400,
        "",
        "a word of tomorrow",
        "NaN",
        "Infinity",
        "-sNaN123",
        "1e-999999",
        "market_price",
        [],
        [None],
        {},
        {"rate": 1, "burst": 2},
    ]
)


def paths_into(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    members: Any = ()
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value[:3])
    for key, member in members:
        yield from paths_into(member, (*path, key))


def bend(value: Any, path: tuple[str | int, ...], how: str, novelty: Any) -> Any:
    if not path:
        return novelty
    bent = json.loads(json.dumps(value))
    at = bent
    for step in path[:-1]:
        at = at[step]
    if how == "drop":
        del at[path[-1]]
    elif how == "add" and isinstance(at, dict):
        at["a field of tomorrow"] = novelty
    else:
        at[path[-1]] = novelty
    return bent


def payloads() -> list[tuple[str, Read, Any]]:
    own = [(name, read, value) for name, (read, value) in SHAPES.items()]
    for path in recorded_files():
        for readers, payload in parts_of(path):
            own += [(path.name, read, json.loads(bytes(payload))) for read in readers]
    return own


PAYLOADS = payloads()


@settings(max_examples=600)
@given(data=st.data())
def test_a_bent_payload_is_a_value_or_unreadable(data: st.DataObject) -> None:
    _, read, value = data.draw(st.sampled_from(PAYLOADS), label="payload")
    for _ in range(data.draw(st.integers(1, 3), label="bends")):
        paths = list(paths_into(value))
        path = data.draw(st.sampled_from(paths), label="where")
        how = data.draw(st.sampled_from(("drop", "replace", "add")), label="how")
        value = bend(value, path, how, data.draw(NOVELTIES, label="to what"))
    with contextlib.suppress(Unreadable):
        sound(read(raw(value)))


@settings(max_examples=400)
@given(data=st.data())
def test_torn_and_swapped_bytes_are_a_value_or_unreadable(data: st.DataObject) -> None:
    _, read, value = data.draw(st.sampled_from(PAYLOADS), label="payload")
    text = bytearray(json.dumps(value).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        if data.draw(st.booleans()):
            del text[at : at + data.draw(st.integers(1, 9))]
        else:
            text[at:at] = data.draw(st.binary(min_size=1, max_size=6))
    with contextlib.suppress(Unreadable):
        sound(read(msgspec.Raw(bytes(text))))


def sound(value: Any) -> None:
    """Whatever was read holds what the rest of the house relies on."""
    if isinstance(value, tuple | list | frozenset):
        for item in value:
            sound(item)
    elif isinstance(value, dict):
        for item in value.values():
            sound(item)
    elif isinstance(value, Decimal):
        assert value.is_finite()
        assert len(format(value, "f")) < 500
    elif isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            sound(getattr(value, field))
    elif isinstance(value, int) and not isinstance(value, bool):
        assert abs(value) < 2**63


@pytest.mark.parametrize("name", sorted(SHAPES))
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="deep"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, id="deep objects"),
        pytest.param(b"9" * 1_000_000, id="a huge integer"),
        pytest.param(b"1e999999999999", id="a huge exponent"),
        pytest.param(b"NaN", id="NaN"),
        pytest.param(b'"\\ud800"', id="a lone surrogate"),
        pytest.param(b"\xff\xfe", id="no UTF-8"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_monsters_are_refused(name: str, text: bytes) -> None:
    read, _ = SHAPES[name]
    with pytest.raises(Unreadable):
        read(msgspec.Raw(text))


def test_a_number_of_a_hundred_digits_in_a_long_answer_is_refused() -> None:
    text = json.dumps([ORDER] * 10).replace('"amount": 10.0', '"amount": 1.' + "1" * 100_000, 1)
    with pytest.raises(Unreadable, match="digits"):
        wire.to_orders(msgspec.Raw(text.encode()))


def test_of_two_fields_with_one_name_the_last_counts() -> None:
    text = json.dumps(ORDER).encode()[:-1] + b', "order_state": "cancelled"}'
    assert wire.to_order(msgspec.Raw(text)).status is OrderStatus.CANCELLED


def test_what_the_hot_path_reads_has_its_types() -> None:
    order = wire.to_order(raw(ORDER))
    assert isinstance(order, Order)
    assert order.order_type is OrderType.LIMIT
    assert isinstance(book.to_book(raw(SHAPES["a book"][1])), Book)
