"""Methods that read what happened to money: transaction log, settlement history, wallet.

Source: Deribit API v2, transaction log with its query words, settlement history, wallet methods.
"""

from collections.abc import Callable
from decimal import Decimal
from itertools import islice
from typing import Any

from vigil.domain.instrument import Kind
from vigil.paper.account import summaries
from vigil.paper.account.log_rows import LogRow, SettlementRow
from vigil.paper.account.shelf import Window
from vigil.paper.methods.calls import Call, Methods
from vigil.paper.methods.market import read_public_currency
from vigil.paper.methods.selection import read_count
from vigil.paper.refusals import invalid_param
from vigil.paper.wire import render_account
from vigil.paper.wire.params import TIMESTAMP_MS_MAX
from vigil.paper.wire.render import USER_ID, USERNAME

_LOG_COUNT, _LOG_COUNT_MAX = 100, 250
_SETTLEMENT_COUNT = 20
_WALLET_COUNT = 10
_SETTLEMENT_TYPES = ("settlement", "delivery", "bankruptcy")


# -- transaction log -------------------------------------------------------------------------------


def _transaction_log(call: Call) -> dict[str, Any]:
    """Newest first; `continuation` is the row to go on below."""
    params, currency = call.params, call.currency()
    window = Window(
        start_ms=params.timestamp("start_timestamp"), end_ms=params.timestamp("end_timestamp")
    )
    params.integer("subaccount_id", USER_ID)
    words = params.text("query", "").replace(",", " ").lower().split()
    count = params.integer("count", _LOG_COUNT, least=1)
    if count > _LOG_COUNT_MAX:
        raise invalid_param("count", f"value must be <= {_LOG_COUNT_MAX}")
    below = params.integer("continuation", 2**63)
    found = (
        row
        for row in call.exchange.books.log_rows.newest_first(window)
        if row.currency == currency
        and row.number < below
        and all(_is_about(call, row, word) for word in words)
    )
    page = list(islice(found, count + 1))
    rows = [render_account.log_row(row, call.exchange.catalogue) for row in page[:count]]
    return {"logs": rows, "continuation": rows[-1]["id"] if len(page) > count else None}


def _is_about(call: Call, row: LogRow, word: str) -> bool:
    """Whether a query word fits a row: its type, role, side, kind, or part of its instrument."""
    if row.row_type == word or word in row.side.split():
        return True
    match word:
        case "maker" | "taker":
            return row.is_maker is (word == "maker") and row.is_maker is not None
        case "liquidation":
            return row.liquidation is not None
        case "option" | "future":
            return row.instrument_name is not None and (
                call.exchange.catalogue.by_name[row.instrument_name].instrument.kind is Kind(word)
            )
        case _:
            return row.instrument_name is not None and word in row.instrument_name.lower()


# -- settlement history ----------------------------------------------------------------------------


def _settlements_by_instrument(call: Call) -> dict[str, Any]:
    name = call.market().listing.name
    return _settlements(call, lambda row: row.instrument_name == name)


def _settlements_by_currency(call: Call) -> dict[str, Any]:
    currency = call.currency()
    return _settlements(call, lambda row: row.currency == currency)


def _last_settlements_by_instrument(call: Call) -> dict[str, Any]:
    """Everybody's, as far as anybody knows of them here: the account's own."""
    return _settlements_by_instrument(call)


def _last_settlements_by_currency(call: Call) -> dict[str, Any]:
    currency = read_public_currency(call, default=None)
    return _settlements(call, lambda row: currency in ("any", row.currency))


def _settlements(call: Call, is_wanted: Callable[[SettlementRow], bool]) -> dict[str, Any]:
    """Newest first; `continuation` is text to hand back as it is."""
    params = call.params
    wanted_type = params.choice("type", ("", *_SETTLEMENT_TYPES), "")
    latest_ms = params.timestamp_or_none("search_start_timestamp") or TIMESTAMP_MS_MAX
    count = read_count(call, _SETTLEMENT_COUNT)
    continuation = params.text("continuation", "")
    if continuation and not continuation.isdigit():
        raise invalid_param("continuation")
    below = int(continuation) if continuation else 2**63
    found = (
        row
        for row in reversed(call.exchange.books.settlements)
        if row.row_id < below
        and row.timestamp_ms <= latest_ms
        and wanted_type in ("", row.row_type)
        and is_wanted(row)
    )
    page = list(islice(found, count + 1))
    return {
        "settlements": [render_account.settlement(row) for row in page[:count]],
        "continuation": str(page[count - 1].row_id) if len(page) > count else None,
    }


# -- wallet ----------------------------------------------------------------------------------------


def _deposits(call: Call) -> dict[str, Any]:
    return _wallet(
        call,
        "deposit",
        lambda row: {
            "address": "paper",
            "amount": row.change,
            "currency": row.currency,
            "received_timestamp": row.timestamp_ms,
            "state": "completed",
            "transaction_id": None,
            "updated_timestamp": row.timestamp_ms,
        },
    )


def _withdrawals(call: Call) -> dict[str, Any]:
    return _wallet(
        call,
        "withdrawal",
        lambda row: {
            "address": "paper",
            "amount": -row.change,
            "confirmed_timestamp": row.timestamp_ms,
            "created_timestamp": row.timestamp_ms,
            "currency": row.currency,
            "fee": Decimal(0),
            "id": row.row_id,
            "priority": Decimal(1),
            "state": "completed",
            "transaction_id": None,
            "updated_timestamp": row.timestamp_ms,
        },
    )


def _transfers(call: Call) -> dict[str, Any]:
    return _wallet(
        call,
        "transfer",
        lambda row: {
            "amount": abs(row.change),
            "created_timestamp": row.timestamp_ms,
            "currency": row.currency,
            "direction": "income" if row.change > 0 else "payment",
            "id": row.row_id,
            "other_side": "Subaccount",
            "state": "confirmed",
            "type": "subaccount",
            "updated_timestamp": row.timestamp_ms,
        },
    )


def _wallet(call: Call, row_type: str, shown: Callable[[LogRow], dict[str, Any]]) -> dict[str, Any]:
    """Rows of one type as the wallet shows them, newest first."""
    currency, count = call.currency(), read_count(call, _WALLET_COUNT)
    offset = call.params.integer("offset", 0)
    rows = [
        row
        for row in reversed(call.exchange.books.log)
        if row.row_type == row_type and row.currency == currency
    ]
    return {"count": len(rows), "data": [shown(row) for row in rows[offset : offset + count]]}


def _subaccounts(call: Call) -> list[dict[str, Any]]:
    """The one account there is."""
    main: dict[str, Any] = {
        "id": USER_ID,
        "username": USERNAME,
        "system_name": USERNAME,
        "email": "paper@example.com",
        "type": "main",
        "is_password": True,
        "login_enabled": True,
        "receive_notifications": False,
        "security_keys_enabled": False,
        "security_keys_assignments": [],
    }
    if call.params.flag("with_portfolio"):
        books, markets = call.exchange.books, call.exchange.markets
        main["portfolio"] = {
            currency.lower(): summaries.portfolio(currency, books, markets)
            for currency in books.cash
        }
    return [main]


MONEY_METHODS: Methods = {
    "private/get_transaction_log": _transaction_log,
    "private/get_settlement_history_by_instrument": _settlements_by_instrument,
    "private/get_settlement_history_by_currency": _settlements_by_currency,
    "public/get_last_settlements_by_instrument": _last_settlements_by_instrument,
    "public/get_last_settlements_by_currency": _last_settlements_by_currency,
    "private/get_deposits": _deposits,
    "private/get_withdrawals": _withdrawals,
    "private/get_transfers": _transfers,
    "private/get_subaccounts": _subaccounts,
}
