"""Deribit's objects about the account, field by field, as far as Vigil reads them.

Only `wire_account` uses these. A field without a default is one that we cannot do without; every
other may be missing or null. Fields not named here are ignored.
Source: Deribit API v2, object shapes; recorded payloads.
"""

from decimal import Decimal

import msgspec


class LogEntryShape(msgspec.Struct, gc=False):
    """A row of the transaction log; `info` is an object, a text or null."""

    id: int
    user_seq: int
    currency: str
    timestamp: int
    type: str
    change: Decimal
    balance: Decimal
    cashflow: Decimal | None = None
    equity: Decimal | None = None
    instrument_name: str | None = None
    side: str | None = None
    amount: Decimal | None = None
    contracts: Decimal | None = None
    position: Decimal | None = None
    price: Decimal | None = None
    price_currency: str | None = None
    mark_price: Decimal | None = None
    index_price: Decimal | None = None
    settlement_price: Decimal | None = None
    commission: Decimal | None = None
    session_rpl: Decimal | None = None
    session_upl: Decimal | None = None
    interest_pl: Decimal | None = None
    total_interest_pl: Decimal | None = None
    trade_id: str | int | None = None
    order_id: str | int | None = None
    profit_as_cashflow: bool | None = None
    info: msgspec.Raw = msgspec.Raw(b"null")


class LogPageShape(msgspec.Struct, gc=False):
    """One page of the transaction log, newest first."""

    logs: list[LogEntryShape]
    continuation: int | str | None = None


class SummaryShape(msgspec.Struct, gc=False):
    """Cash and margin in one currency, of a summary and of the portfolio channel."""

    currency: str
    balance: Decimal
    equity: Decimal
    available_funds: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    margin_balance: Decimal | None = None
    session_rpl: Decimal | None = None
    session_upl: Decimal | None = None
    margin_model: str | None = None
    cross_collateral_enabled: bool | None = None


class SummariesShape(msgspec.Struct, gc=False):
    """The account and every currency of it."""

    id: int
    summaries: list[SummaryShape]


class TermsShape(msgspec.Struct, gc=False):
    """Limits and fees, of one summary; both changed their shape over the years."""

    id: int | None = None
    limits: dict[str, msgspec.Raw] | None = None
    fees: msgspec.Raw = msgspec.Raw(b"null")


class TermsListShape(msgspec.Struct, gc=False):
    """Limits and fees, of the answer that has every currency: fees stand above the currencies."""

    id: int | None = None
    fees: msgspec.Raw = msgspec.Raw(b"null")
    summaries: list[TermsShape] = []


class RateLimitShape(msgspec.Struct, gc=False):
    """Calls a second, and at once."""

    rate: Decimal
    burst: Decimal


class FeeShape(msgspec.Struct, gc=False):
    """The innermost object of fees."""

    maker: Decimal | None = None
    taker: Decimal | None = None
    maker_fee: Decimal | None = None
    taker_fee: Decimal | None = None
    type: str | None = None
    fee_type: str | None = None


class SettlementShape(msgspec.Struct, gc=False):
    """A settlement, delivery or bankruptcy."""

    type: str
    timestamp: int
    instrument_name: str | None = None
    position: Decimal | None = None
    mark_price: Decimal | None = None
    index_price: Decimal | None = None
    profit_loss: Decimal | None = None
    session_profit_loss: Decimal | None = None
    funding: Decimal | None = None
    socialized: Decimal | None = None


class SettlementPageShape(msgspec.Struct, gc=False):
    """One page of settlements, newest first."""

    settlements: list[SettlementShape]
    continuation: int | str | None = None


class TriggerRecordShape(msgspec.Struct, gc=False):
    """A moment in the life of a trigger order; `price` may be the word `market_price`."""

    timestamp: int
    instrument_name: str
    trigger_order_id: str | None = None
    stop_order_id: str | None = None
    order_state: str | None = None
    request: str | None = None
    order_id: str | None = None
    direction: str | None = None
    amount: Decimal | None = None
    price: msgspec.Raw = msgspec.Raw(b"null")
    trigger: str | None = None
    trigger_price: Decimal | None = None
    stop_price: Decimal | None = None
    label: str | None = None


class TriggerPageShape(msgspec.Struct, gc=False):
    """One page of trigger records, newest first."""

    entries: list[TriggerRecordShape]
    continuation: int | str | None = None


class LockShape(msgspec.Struct, gc=False):
    """Whether the account is locked in a currency."""

    currency: str
    locked: bool
    message: str | None = None


class CancelOnDisconnectShape(msgspec.Struct, gc=False):
    """Whether orders die with their connection; `scope` is connection or account."""

    scope: str
    enabled: bool
