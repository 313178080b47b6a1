"""Methods that read the account: orders, own trades, positions, summaries, transaction log.

The recent store and the archive are one here: `historical` is accepted and changes nothing yet.
Source: Deribit API v2, reading methods and their paging.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from vigil.domain.order import OrderType
from vigil.paper.account import summaries
from vigil.paper.account.margin import initial_margin
from vigil.paper.account.orders import LogRow, PaperOrder, PaperTrade
from vigil.paper.market.instruments import LISTING_BY_NAME
from vigil.paper.methods.calls import Call, Methods
from vigil.paper.methods.trading import KINDS, orders_in
from vigil.paper.refusals import invalid_param, order_not_found
from vigil.paper.wire import render
from vigil.paper.wire.params import TIMESTAMP_MS_MAX

COUNT_MAX = 1000
_LOG_COUNT_MAX = 250
_TRADES_COUNT = 10
_HISTORY_COUNT = 20
_OPEN_TYPES: dict[str, frozenset[OrderType]] = {
    "all": frozenset(OrderType),
    "limit": frozenset({OrderType.LIMIT}),
    "trigger_all": frozenset(
        {
            OrderType.STOP_LIMIT,
            OrderType.STOP_MARKET,
            OrderType.TAKE_LIMIT,
            OrderType.TAKE_MARKET,
            OrderType.TRAILING_STOP,
        }
    ),
    "stop_all": frozenset({OrderType.STOP_LIMIT, OrderType.STOP_MARKET}),
    "stop_limit": frozenset({OrderType.STOP_LIMIT}),
    "stop_market": frozenset({OrderType.STOP_MARKET}),
    "take_all": frozenset({OrderType.TAKE_LIMIT, OrderType.TAKE_MARKET}),
    "take_limit": frozenset({OrderType.TAKE_LIMIT}),
    "take_market": frozenset({OrderType.TAKE_MARKET}),
    "trailing_all": frozenset({OrderType.TRAILING_STOP}),
    "trailing_stop": frozenset({OrderType.TRAILING_STOP}),
}


# -- orders ----------------------------------------------------------------------------------------


def _open_orders(call: Call) -> list[dict[str, Any]]:
    call.params.choice("kind", KINDS, "any")
    return _open_of_type(call, call.exchange.books.live_orders())


def _open_orders_by_currency(call: Call) -> list[dict[str, Any]]:
    call.params.choice("kind", KINDS, "any")
    return _open_of_type(call, orders_in(call, call.currency("any")))


def _open_orders_by_instrument(call: Call) -> list[dict[str, Any]]:
    return _open_of_type(call, call.exchange.books.live_orders(call.market().listing.name))


def _open_orders_by_label(call: Call) -> list[dict[str, Any]]:
    label = call.params.text_or_none("label")
    return [
        render.order(order)
        for order in orders_in(call, call.currency("any"))
        if label is None or order.label == label
    ]


def _open_of_type(call: Call, orders: Iterable[PaperOrder]) -> list[dict[str, Any]]:
    wanted = _OPEN_TYPES[call.params.choice("type", _OPEN_TYPES, "all")]
    return [render.order(order) for order in orders if order.order_type in wanted]


def _order_state(call: Call) -> dict[str, Any]:
    order = call.exchange.books.orders.get(call.params.text("order_id"))
    if order is None:
        raise order_not_found()
    return render.order(order)


def _order_state_by_label(call: Call) -> list[dict[str, Any]]:
    currency, label = call.currency("any"), call.params.text("label", "")
    return [
        render.order(order)
        for order in call.exchange.books.labelled(label)
        if _is_in(order.instrument_name, currency)
    ]


def _order_history_by_currency(call: Call) -> Any:
    currency = call.currency("any")
    call.params.choice("kind", KINDS, "any")
    return _order_history(call, lambda order: _is_in(order.instrument_name, currency))


def _order_history_by_instrument(call: Call) -> Any:
    name = call.market().listing.name
    return _order_history(call, lambda order: order.instrument_name == name)


def _order_history(call: Call, is_wanted: Callable[[PaperOrder], bool]) -> Any:
    """Closed orders, newest first; those that never filled only when asked for."""
    params = call.params
    with_unfilled = params.flag("include_unfilled")
    params.flag("historical")
    params.flag("include_old")
    count = _count(call, _HISTORY_COUNT)
    offset = params.integer("offset", 0)
    if params.has("continuation"):
        text = params.text("continuation")
        if not text.isdigit():
            raise invalid_param("continuation")
        offset = int(text)
    closed = (
        order
        for order in reversed(call.exchange.books.orders.values())
        if not order.is_live and is_wanted(order) and (with_unfilled or order.filled_amount)
    )
    page = list(islice(closed, offset, offset + count + 1))
    orders = [render.order(order) for order in page[:count]]
    if not params.flag("with_continuation"):
        return orders
    return {
        "orders": orders,
        "continuation": str(offset + count) if len(page) > count else None,
    }


# -- own trades ------------------------------------------------------------------------------------


def _trades_by_currency(call: Call) -> dict[str, Any]:
    currency = call.currency("any")
    call.params.choice("kind", KINDS, "any")
    first, last = _id_number(call, "start_id"), _id_number(call, "end_id")
    return _trades(
        call,
        lambda trade: (
            _is_in(trade.instrument_name, currency)
            and (first is None or trade.number >= first)
            and (last is None or trade.number <= last)
        ),
    )


def _trades_by_currency_and_time(call: Call) -> dict[str, Any]:
    _require_times(call)
    return _trades_by_currency(call)


def _trades_by_instrument(call: Call) -> dict[str, Any]:
    name = call.market().listing.name
    first = call.params.integer("start_seq", 0)
    last = call.params.integer("end_seq", 2**63)
    return _trades(
        call, lambda trade: trade.instrument_name == name and first <= trade.trade_seq <= last
    )


def _trades_by_instrument_and_time(call: Call) -> dict[str, Any]:
    _require_times(call)
    return _trades_by_instrument(call)


def _trades(call: Call, is_wanted: Callable[[PaperTrade], bool]) -> dict[str, Any]:
    """Newest first unless ascending order is asked for; `has_more` when `count` cut it."""
    params = call.params
    count = _count(call, _TRADES_COUNT)
    sorting = params.choice("sorting", ("asc", "desc", "default"), "default")
    params.flag("historical")
    start_ms = params.timestamp_or_none("start_timestamp") or 0
    end_ms = params.timestamp_or_none("end_timestamp") or TIMESTAMP_MS_MAX
    trades = call.exchange.books.trades
    found = (
        trade
        for trade in (trades if sorting == "asc" else reversed(trades))
        if start_ms <= trade.timestamp_ms <= end_ms and is_wanted(trade)
    )
    page = list(islice(found, count + 1))
    return {
        "trades": [render.trade(trade) for trade in page[:count]],
        "has_more": len(page) > count,
    }


def _trades_by_order(call: Call) -> list[dict[str, Any]]:
    trades = call.exchange.books.trades_of(call.params.text("order_id"))
    sorting = call.params.choice("sorting", ("asc", "desc", "default"), "default")
    ordered = reversed(trades) if sorting == "desc" else trades
    return [render.trade(trade) for trade in ordered]


# -- positions and money ---------------------------------------------------------------------------


def _position(call: Call) -> dict[str, Any]:
    return render.position(call.exchange.books, call.market())


def _positions(call: Call) -> list[dict[str, Any]]:
    currency = call.currency("any", default="any")
    call.params.choice("kind", KINDS, "any")
    books = call.exchange.books
    return [
        render.position(books, call.exchange.markets[name])
        for name, position in books.positions.items()
        if _is_in(name, currency) and (position.size or call.exchange.switches.lists_flat_positions)
    ]


def _account_summary(call: Call) -> dict[str, Any]:
    is_extended = call.params.flag("extended")
    exchange = call.exchange
    return summaries.account_summary(
        call.currency(), exchange.books, exchange.markets, is_extended=is_extended
    )


def _account_summaries(call: Call) -> dict[str, Any]:
    call.params.flag("extended")
    exchange = call.exchange
    return summaries.user() | {
        "summaries": [
            summaries.account_summary(currency, exchange.books, exchange.markets, is_extended=False)
            for currency in exchange.books.cash
        ]
    }


def _margins(call: Call) -> dict[str, Any]:
    market = call.market()
    margin = initial_margin(
        market.listing, call.params.number("amount"), call.params.number("price")
    )
    return {
        "buy": margin,
        "sell": margin,
        "min_price": market.min_price,
        "max_price": market.max_price,
    }


def _transaction_log(call: Call) -> dict[str, Any]:
    """Newest first; `continuation` is the `user_seq` to go on below."""
    params, currency = call.params, call.currency()
    start_ms, end_ms = params.timestamp("start_timestamp"), params.timestamp("end_timestamp")
    count = params.integer("count", 100, least=1)
    if count > _LOG_COUNT_MAX:
        raise invalid_param("count", f"value must be <= {_LOG_COUNT_MAX}")
    below = params.integer("continuation", 2**63) if params.has("continuation") else 2**63

    def is_wanted(row: LogRow) -> bool:
        in_time = start_ms <= row.timestamp_ms <= end_ms
        return row.currency == currency and in_time and row.user_seq < below

    found = (row for row in reversed(call.exchange.books.log) if is_wanted(row))
    page = list(islice(found, count + 1))
    rows = [render.log_row(row) for row in page[:count]]
    has_more = len(page) > count
    return {"logs": rows, "continuation": rows[-1]["user_seq"] if has_more else None}


def _user_locks(call: Call) -> list[dict[str, Any]]:
    return [{"currency": currency, "locked": False} for currency in call.exchange.books.cash]


# -- parameters ------------------------------------------------------------------------------------


def _count(call: Call, default: int) -> int:
    count = call.params.integer("count", default, least=1)
    if count > COUNT_MAX:
        raise invalid_param("count", f"value must be <= {COUNT_MAX}")
    return count


def _id_number(call: Call, name: str) -> int | None:
    """The number inside a trade id such as `USDC-208000001`."""
    text = call.params.text_or_none(name)
    if text is None:
        return None
    number = text.rpartition("-")[2]
    if not number.isdigit():
        raise invalid_param(name)
    return int(number)


def _require_times(call: Call) -> None:
    call.params.timestamp("start_timestamp")
    call.params.timestamp("end_timestamp")


def _is_in(instrument_name: str, currency: str) -> bool:
    return currency in ("any", LISTING_BY_NAME[instrument_name].currency)


ACCOUNT_METHODS: Methods = {
    "private/get_open_orders": _open_orders,
    "private/get_open_orders_by_currency": _open_orders_by_currency,
    "private/get_open_orders_by_instrument": _open_orders_by_instrument,
    "private/get_open_orders_by_label": _open_orders_by_label,
    "private/get_order_state": _order_state,
    "private/get_order_state_by_label": _order_state_by_label,
    "private/get_order_history_by_currency": _order_history_by_currency,
    "private/get_order_history_by_instrument": _order_history_by_instrument,
    "private/get_user_trades_by_currency": _trades_by_currency,
    "private/get_user_trades_by_currency_and_time": _trades_by_currency_and_time,
    "private/get_user_trades_by_instrument": _trades_by_instrument,
    "private/get_user_trades_by_instrument_and_time": _trades_by_instrument_and_time,
    "private/get_user_trades_by_order": _trades_by_order,
    "private/get_position": _position,
    "private/get_positions": _positions,
    "private/get_account_summary": _account_summary,
    "private/get_account_summaries": _account_summaries,
    "private/get_margins": _margins,
    "private/get_transaction_log": _transaction_log,
    "private/get_user_locks": _user_locks,
}
