"""Frames of the two conversations that are compared: a ticker, an order, and their replies.

The exchange's side serves both clients alike; the order is the bare client's own, with the same
fields that Vigil sends, so that both put the same work on the wire.
"""

import time
from collections.abc import Callable
from typing import Any

import orjson

INSTRUMENT_NAME = "BTC_USDC-PERPETUAL"
INSTRUMENT_NAMES = (INSTRUMENT_NAME, "BTC-PERPETUAL", "ETH_USDC-PERPETUAL")
TICKER_CHANNEL = f"ticker.{INSTRUMENT_NAME}.100ms"

# Sent by a client that has dealt with an order's reply and is idle again.
NEXT = b'{"jsonrpc":"2.0","id":"next","method":"bench/next"}'

_PRICE = 95_000.0


Take = Callable[[bytes], None]


def request_frame(request_id: int, method: str, params: dict[str, Any]) -> bytes:
    """A call."""
    return orjson.dumps({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})


def ticker_frame(instrument_name: str = INSTRUMENT_NAME) -> bytes:
    """A ticker of now, with the fields that the exchange sends."""
    data = {
        "timestamp": now_ms(),
        "state": "open",
        "stats": {"high": 95439.5, "low": 94514.5, "price_change": -0.46, "volume": 8104.5},
        "index_price": 95000.24,
        "instrument_name": instrument_name,
        "last_price": _PRICE,
        "settlement_price": 95112.17,
        "min_price": 93602.5,
        "max_price": 96418.0,
        "open_interest": 9762.3225,
        "mark_price": 95000.29,
        "current_funding": 0.0,
        "estimated_delivery_price": 95000.24,
        "funding_8h": 1.1e-7,
        "best_ask_price": 95000.5,
        "best_bid_price": _PRICE,
        "best_ask_amount": 9.9,
        "best_bid_amount": 1.2,
    }
    return _notification(f"ticker.{instrument_name}.100ms", data)


def order_frame(request_id: int, ticker: dict[str, Any]) -> bytes:
    """The bare client's order: an entry with its stop and target, as Vigil sends them."""
    price = ticker["best_ask_price"]
    label = f"vg-bench-{request_id}-1"
    amount = 0.01
    secondary = {"amount": amount, "direction": "sell", "reduce_only": True}
    stop = secondary | {
        "type": "stop_market",
        "label": f"{label}s",
        "trigger_price": price * 0.995,
        "trigger": "mark_price",
    }
    target = secondary | {"type": "limit", "label": f"{label}t", "price": price * 1.01}
    params = {
        "instrument_name": ticker["instrument_name"],
        "amount": amount,
        "type": "market",
        "label": label,
        "reduce_only": False,
        "valid_until": ticker["timestamp"] + 5000,
        "linked_order_type": "one_triggers_one_cancels_other",
        "trigger_fill_condition": "first_hit",
        "otoco_config": [stop, target],
    }
    return orjson.dumps(
        {"jsonrpc": "2.0", "id": request_id, "method": "private/buy", "params": params}
    )


def reply_frame(request: dict[str, Any]) -> bytes:
    """The exchange's answer to any request of either client.

    An order is answered as filled, and its executions are never told: it ends there.
    """
    params = request.get("params", {})
    match request["method"]:
        case "private/buy" | "private/sell":
            result: Any = {"order": _filled(request, params), "trades": []}
        case "public/auth":
            result = {
                "access_token": "bench",
                "refresh_token": "bench",
                "expires_in": 31536000,
                "scope": "account:read_write trade:read_write",
                "token_type": "bearer",
            }
        case "public/get_time":
            result = now_ms()
        case "public/subscribe" | "private/subscribe":
            result = params["channels"]
        case "public/status":
            result = {"locked": "false", "locked_indices": []}
        case "private/get_user_locks":
            result = []
        case _:
            result = "ok"
    return orjson.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result})


def now_ms() -> int:
    """Wall time; both ends share the machine's clock."""
    return time.time_ns() // 1_000_000


def _notification(channel: str, data: Any) -> bytes:
    params = {"channel": channel, "data": data}
    return orjson.dumps({"jsonrpc": "2.0", "method": "subscription", "params": params})


def _filled(request: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    at_ms = now_ms()
    return {
        "order_id": f"USDC-{request['id']}",
        "label": params["label"],
        "instrument_name": params["instrument_name"],
        "direction": request["method"].removeprefix("private/"),
        "order_type": params["type"],
        "order_state": "filled",
        "amount": params["amount"],
        "filled_amount": params["amount"],
        "price": "market_price",
        "creation_timestamp": at_ms,
        "last_update_timestamp": at_ms,
        "reduce_only": False,
        "time_in_force": "good_til_cancelled",
        "post_only": False,
        "api": True,
    }
