"""Methods that anybody may call: instruments, tickers, books, tapes, charts, status.

Source: Deribit API v2, market data and supporting methods.
"""

from typing import Any

from vigil.domain.instrument import Kind
from vigil.paper.account import summaries
from vigil.paper.market.charts import RESOLUTION_MINUTES
from vigil.paper.market.instruments import CURRENCIES, INDEX_NAMES, LISTINGS
from vigil.paper.methods.calls import Call, Methods
from vigil.paper.refusals import Refusal, invalid_param
from vigil.paper.wire import render
from vigil.paper.wire.params import TIMESTAMP_MS_MAX

VERSION = "1.2.26"
_DEPTHS = (1, 5, 10, 20, 50, 100, 1000, 10_000)
_COIN_NAMES = {"BTC": "Bitcoin", "ETH": "Ethereum", "USDC": "USD Coin"}


def _get_time(call: Call) -> int:
    return call.now_ms


def _test(call: Call) -> dict[str, str]:
    """The answer to a heartbeat's `test_request`, too."""
    call.session.asked_ms = None
    if call.params.text("expected_result", "") == "exception":
        raise Refusal(-32000, "exception")
    return {"version": VERSION}


def _hello(call: Call) -> dict[str, str]:
    call.params.text("client_name")
    call.params.text("client_version")
    return {"version": VERSION}


def _status(_call: Call) -> dict[str, Any]:
    return {"locked": "false", "locked_indices": []}


def _currencies(_call: Call) -> list[dict[str, Any]]:
    return [
        {
            "currency": currency,
            "currency_long": _COIN_NAMES[currency],
            "coin_type": currency,
            "min_confirmations": 1,
            "min_withdrawal_fee": 0,
            "withdrawal_fee": 0,
            "withdrawal_priorities": [],
            "fee_precision": 8,
            "decimals": 6 if currency == "USDC" else 8,
            "in_cross_collateral_pool": False,
        }
        for currency in CURRENCIES
    ]


def _instruments(call: Call) -> list[dict[str, Any]]:
    currency = call.currency("any", default="any")
    kind = call.params.choice("kind", [item.value for item in Kind], Kind.FUTURE.value)
    if call.params.flag("expired") or kind != Kind.FUTURE:
        return []
    return [
        render.instrument(listing) for listing in LISTINGS if currency in ("any", listing.currency)
    ]


def _instrument(call: Call) -> dict[str, Any]:
    return render.instrument(call.market().listing)


def _contract_size(call: Call) -> dict[str, Any]:
    return {"contract_size": call.market().listing.instrument.contract_size}


def _ticker(call: Call) -> dict[str, Any]:
    return render.ticker(call.market(), call.now_ms)


def _order_book(call: Call) -> dict[str, Any]:
    market = call.market()
    wanted = call.params.integer("depth", 5, least=1)
    depth = next((depth for depth in _DEPTHS if depth >= wanted), _DEPTHS[-1])
    return render.ticker(market, call.now_ms) | {
        "change_id": call.exchange.books.next_number("change"),
        "bids": market.bids[:depth],
        "asks": market.asks[:depth],
    }


def _index_price(call: Call) -> dict[str, Any]:
    name = call.params.choice("index_name", INDEX_NAMES)
    price = call.exchange.prices[name]
    return {"index_price": price, "estimated_delivery_price": price}


def _index_price_names(_call: Call) -> list[str]:
    return list(INDEX_NAMES)


def _last_trades(call: Call) -> dict[str, Any]:
    params, market = call.params, call.market()
    count = params.integer("count", 10, least=1)
    first, last = params.integer("start_seq", 0), params.integer("end_seq", 2**63)
    start_ms = params.timestamp_or_none("start_timestamp") or 0
    end_ms = params.timestamp_or_none("end_timestamp") or TIMESTAMP_MS_MAX
    sorting = params.choice("sorting", ("asc", "desc", "default"), "default")
    found = [
        trade
        for trade in market.tape
        if first <= trade.trade_seq <= last and start_ms <= trade.timestamp_ms <= end_ms
    ]
    if sorting != "asc":
        found.reverse()
    return {
        "trades": [render.public_trade(trade) for trade in found[:count]],
        "has_more": len(found) > count,
    }


def _chart_data(call: Call) -> dict[str, Any]:
    params, market = call.params, call.market()
    start_ms, end_ms = params.timestamp("start_timestamp"), params.timestamp("end_timestamp")
    resolution = params.choice("resolution", RESOLUTION_MINUTES)
    if start_ms > end_ms:
        raise invalid_param("start_timestamp")
    return summaries.chart(call.exchange, market, start_ms, end_ms, RESOLUTION_MINUTES[resolution])


MARKET_METHODS: Methods = {
    "public/get_time": _get_time,
    "public/test": _test,
    "public/hello": _hello,
    "public/status": _status,
    "public/get_currencies": _currencies,
    "public/get_instruments": _instruments,
    "public/get_instrument": _instrument,
    "public/get_contract_size": _contract_size,
    "public/ticker": _ticker,
    "public/get_order_book": _order_book,
    "public/get_index_price": _index_price,
    "public/get_index_price_names": _index_price_names,
    "public/get_last_trades_by_instrument": _last_trades,
    "public/get_tradingview_chart_data": _chart_data,
}
