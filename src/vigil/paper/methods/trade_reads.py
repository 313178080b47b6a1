"""Methods that read the account's own trades.

Trades are recent for a day. After that they are in the archive alone, once it has indexed them.
Source: Deribit API v2, user trades and their paging; accessing historical trades and orders.
"""

from itertools import islice
from typing import Any

from vigil.paper.account.shelf import RECENT_TRADES_MS
from vigil.paper.account.trade_records import TradeRange
from vigil.paper.methods.calls import Call, Methods
from vigil.paper.methods.selection import names_in, read_count, read_kind, read_window
from vigil.paper.refusals import invalid_param
from vigil.paper.wire import render
from vigil.paper.wire.params import TIMESTAMP_MS_MAX

_TRADES_COUNT = 10
_LAST = 2**63
_SORTINGS = ("asc", "desc", "default")


def _trades_by_currency(call: Call) -> dict[str, Any]:
    names = names_in(call, call.currency("any"), read_kind(call))
    first, last = _id_number(call, "start_id", 0), _id_number(call, "end_id", _LAST)
    return _trades(call, names, numbers=(first, last))


def _trades_by_currency_and_time(call: Call) -> dict[str, Any]:
    _require_times(call)
    return _trades_by_currency(call)


def _trades_by_instrument(call: Call) -> dict[str, Any]:
    name = call.market().listing.name
    first, last = call.params.integer("start_seq", 0), call.params.integer("end_seq", _LAST)
    return _trades(call, [name], seqs=(first, last))


def _trades_by_instrument_and_time(call: Call) -> dict[str, Any]:
    _require_times(call)
    return _trades_by_instrument(call)


def _trades(
    call: Call,
    names: list[str],
    *,
    numbers: tuple[int, int] = (0, _LAST),
    seqs: tuple[int, int] = (0, _LAST),
) -> dict[str, Any]:
    """Newest first unless ascending order is asked for; `has_more` when `count` cut it."""
    params = call.params
    count = read_count(call, _TRADES_COUNT)
    sorting = params.choice("sorting", _SORTINGS, "default")
    start_ms = params.timestamp_or_none("start_timestamp") or 0
    end_ms = params.timestamp_or_none("end_timestamp") or TIMESTAMP_MS_MAX
    wanted = TradeRange(
        window=read_window(call, RECENT_TRADES_MS).within(start_ms, end_ms),
        first_number=numbers[0],
        last_number=numbers[1],
        first_seq=seqs[0],
        last_seq=seqs[1],
    )
    found = call.exchange.books.trade_records.select(names, wanted, is_ascending=sorting == "asc")
    page = list(islice(found, count + 1))
    return {
        "trades": [render.trade(trade, call.exchange.catalogue) for trade in page[:count]],
        "has_more": len(page) > count,
    }


def _trades_by_order(call: Call) -> list[dict[str, Any]]:
    """An array, oldest first unless descending order is asked for."""
    window = read_window(call, RECENT_TRADES_MS)
    sorting = call.params.choice("sorting", _SORTINGS, "default")
    trades = [
        trade
        for trade in call.exchange.books.trades_of(call.params.text("order_id"))
        if window.start_ms <= trade.timestamp_ms <= window.end_ms
    ]
    ordered = reversed(trades) if sorting == "desc" else trades
    return [render.trade(trade, call.exchange.catalogue) for trade in ordered]


def _id_number(call: Call, name: str, default: int) -> int:
    """The number inside a trade id such as `USDC-208000001`."""
    text = call.params.text_or_none(name)
    if text is None:
        return default
    number = text.rpartition("-")[2]
    if not number.isascii() or not number.isdigit():
        raise invalid_param(name)
    return int(number)


def _require_times(call: Call) -> None:
    call.params.timestamp("start_timestamp")
    call.params.timestamp("end_timestamp")


TRADE_METHODS: Methods = {
    "private/get_user_trades_by_currency": _trades_by_currency,
    "private/get_user_trades_by_currency_and_time": _trades_by_currency_and_time,
    "private/get_user_trades_by_instrument": _trades_by_instrument,
    "private/get_user_trades_by_instrument_and_time": _trades_by_instrument_and_time,
    "private/get_user_trades_by_order": _trades_by_order,
}
