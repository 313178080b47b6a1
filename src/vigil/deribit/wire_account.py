"""Deribit's objects about the account as bytes, and the domain's values.

As `wire`, for what is asked now and then rather than heard all the time.
Source: Deribit API v2, object shapes; recorded payloads.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from vigil.deribit.decoding import (
    Page,
    Unreadable,
    count,
    decode,
    decoder,
    next_page,
    number,
    optional,
    time_ms,
)
from vigil.deribit.shapes_account import (
    CancelOnDisconnectShape,
    FeeShape,
    LockShape,
    LogEntryShape,
    LogPageShape,
    RateLimitShape,
    SettlementPageShape,
    SettlementShape,
    SummariesShape,
    SummaryShape,
    TermsListShape,
    TermsShape,
    TriggerPageShape,
    TriggerRecordShape,
)
from vigil.domain.account_log import LogEntry, Settlement, TriggerRecord
from vigil.domain.events import AccountLockReceived
from vigil.domain.order import Direction
from vigil.domain.portfolio import (
    AccountLock,
    AccountSummary,
    AccountTerms,
    FeeRate,
    RateLimit,
)

_DIRECTIONS = {word.value: word for word in Direction}
# Fees nest by index, kind and what is traded; nothing honest nests deeper.
_FEE_DEPTH_MAX = 5

_summary = decoder(SummaryShape)
_summaries = decoder(SummariesShape)
_terms = decoder(TermsShape)
_terms_list = decoder(TermsListShape)
_rate_limit = decoder(RateLimitShape)
_fee = decoder(FeeShape)
_object = decoder(dict[str, msgspec.Raw])
_array = decoder(list[msgspec.Raw])
_log_page = decoder(LogPageShape)
_settlement_page = decoder(SettlementPageShape)
_trigger_page = decoder(TriggerPageShape)
_lock = decoder(LockShape)
_locks = decoder(list[LockShape])
_cancel_on_disconnect = decoder(CancelOnDisconnectShape)
_decimal = decoder(Decimal)
_text = decoder(str)
_truth = decoder(bool)


def to_account_summary(raw: msgspec.Raw) -> AccountSummary:
    """Cash and margin in one currency, from a summary or a portfolio notification."""
    return _summary_of(decode(_summary, raw))


def to_account_id(raw: msgspec.Raw) -> str:
    """The account's number, out of its summaries."""
    return str(decode(_summaries, raw).id)


def to_account_summaries(raw: msgspec.Raw) -> tuple[AccountSummary, ...]:
    """Cash and margin in every currency of the account."""
    found: dict[str, AccountSummary] = {}
    for shape in decode(_summaries, raw).summaries:
        if shape.currency in found:
            raise Unreadable(f"{shape.currency} is summed up twice")
        found[shape.currency] = _summary_of(shape)
    return tuple(found.values())


def to_terms(raw: msgspec.Raw) -> AccountTerms:
    """Limits and fees, out of one currency's summary or of all summaries.

    All currencies of one account have the same limits.
    """
    if "summaries" in decode(_object, raw):
        above = decode(_terms_list, raw)
        shape = next((one for one in above.summaries if one.limits is not None), TermsShape())
        fees = above.fees if bytes(above.fees) != b"null" else shape.fees
        account_id = above.id
    else:
        shape = decode(_terms, raw)
        fees, account_id = shape.fees, shape.id
    limits = shape.limits or {}
    return AccountTerms(
        account_id=None if account_id is None else str(account_id),
        rate_limits=dict(_rate_limits(limits)),
        fees=tuple(_fee_rates(fees, "", _FEE_DEPTH_MAX)),
        is_limited_per_currency="limits_per_currency" in limits
        and decode(_truth, limits["limits_per_currency"]),
    )


def to_settlement_page(raw: msgspec.Raw) -> Page[Settlement]:
    """One page of settlements, newest first."""
    page = decode(_settlement_page, raw)
    rows = tuple(_settlement_of(shape) for shape in page.settlements)
    return Page(rows, next_page(page.continuation))


def to_trigger_page(raw: msgspec.Raw) -> Page[TriggerRecord]:
    """One page of what became of trigger orders, newest first."""
    page = decode(_trigger_page, raw)
    rows = tuple(_trigger_record_of(shape) for shape in page.entries)
    return Page(rows, next_page(page.continuation))


def to_locks(raw: msgspec.Raw) -> tuple[AccountLock, ...]:
    """Whether the account is locked, by currency."""
    return tuple(
        AccountLock(
            currency=shape.currency, is_locked=shape.locked, message=(shape.message or "")[:300]
        )
        for shape in decode(_locks, raw)
    )


def to_lock_event(raw: msgspec.Raw) -> AccountLockReceived:
    """The account was locked or unlocked."""
    shape = decode(_lock, raw)
    return AccountLockReceived(currency=shape.currency, is_locked=shape.locked)


def to_cancel_on_disconnect(raw: msgspec.Raw) -> tuple[str, bool]:
    """A scope, `connection` or `account`, and whether orders die with their connection there."""
    shape = decode(_cancel_on_disconnect, raw)
    return shape.scope, shape.enabled


def to_log_page(raw: msgspec.Raw) -> Page[LogEntry]:
    """One page of the transaction log, newest first."""
    page = decode(_log_page, raw)
    return Page(tuple(_log_entry_of(shape) for shape in page.logs), next_page(page.continuation))


def _log_entry_of(shape: LogEntryShape) -> LogEntry:
    return LogEntry(
        entry_id=count(shape.id),
        user_seq=count(shape.user_seq),
        currency=shape.currency,
        timestamp_ms=time_ms(shape.timestamp),
        entry_type=shape.type,
        change=number(shape.change),
        balance=number(shape.balance),
        cashflow=optional(shape.cashflow),
        equity=optional(shape.equity),
        instrument_name=shape.instrument_name,
        side="" if shape.side in (None, "-") else shape.side or "",
        amount=optional(shape.amount),
        contracts=optional(shape.contracts),
        position=optional(shape.position),
        price=optional(shape.price),
        price_currency=shape.price_currency,
        mark_price=optional(shape.mark_price),
        index_price=optional(shape.index_price),
        settlement_price=optional(shape.settlement_price),
        commission=optional(shape.commission),
        session_rpl=optional(shape.session_rpl),
        session_upl=optional(shape.session_upl),
        interest_pl=optional(shape.interest_pl),
        total_interest_pl=optional(shape.total_interest_pl),
        trade_id=_id(shape.trade_id),
        order_id=_id(shape.order_id),
        is_profit_cashflow=bool(shape.profit_as_cashflow),
        # Not yet looked into, so that it may hold bytes that are no text.
        info="" if bytes(shape.info) == b"null" else bytes(shape.info).decode(errors="replace"),
    )


def _id(name: str | int | None) -> str | None:
    return None if name is None else str(name)


def _summary_of(shape: SummaryShape) -> AccountSummary:
    return AccountSummary(
        currency=shape.currency,
        balance=number(shape.balance),
        equity=number(shape.equity),
        available_funds=number(shape.available_funds),
        initial_margin=number(shape.initial_margin),
        maintenance_margin=number(shape.maintenance_margin),
        margin_balance=optional(shape.margin_balance),
        session_rpl=optional(shape.session_rpl),
        session_upl=optional(shape.session_upl),
        margin_model=shape.margin_model or "",
        is_cross_collateral=bool(shape.cross_collateral_enabled),
    )


def _rate_limits(
    limits: Mapping[str, msgspec.Raw], above: str = ""
) -> Iterator[tuple[str, RateLimit]]:
    """Every pool, however deep it lies; before 2024 they were four plain numbers."""
    for name, raw in limits.items():
        text = bytes(raw)
        if text.startswith(b"{"):
            inner = decode(_object, raw)
            if "rate" in inner and "burst" in inner:
                shape = decode(_rate_limit, raw)
                yield above + name, _rate_limit_of(shape.rate, shape.burst)
            elif above.count(".") < _FEE_DEPTH_MAX:
                yield from _rate_limits(inner, f"{above}{name}.")
        elif (burst := limits.get(f"{name}_burst")) is not None:
            yield above + name, _rate_limit_of(decode(_decimal, raw), decode(_decimal, burst))


def _rate_limit_of(rate: Decimal, burst: Decimal) -> RateLimit:
    return RateLimit(rate=count(int(number(rate))), burst=count(int(number(burst))))


def _fee_rates(raw: msgspec.Raw, scope: str, depth_left: int) -> Iterator[FeeRate]:
    """Every fee, whether they come as a list of index and kind or as a map of them.

    Source: Deribit changelog of December 2025, `fees` of the account summary.
    """
    text = bytes(raw)
    if not depth_left:
        raise Unreadable("fees within fees")
    if text.startswith(b"["):
        for item in decode(_array, raw):
            yield from _fee_rates(item, scope, depth_left - 1)
    elif text.startswith(b"{"):
        members = decode(_object, raw)
        names = [
            name
            for field in ("index_name", "kind")
            if field in members and (name := _name(members[field]))
        ]
        scope = ".".join((scope, *names)) if scope else ".".join(names)
        if members.keys() & {"maker", "taker", "maker_fee", "taker_fee"}:
            shape = decode(_fee, raw)
            yield FeeRate(
                scope=scope,
                maker=optional(shape.maker if shape.maker is not None else shape.maker_fee),
                taker=optional(shape.taker if shape.taker is not None else shape.taker_fee),
                fee_type=shape.type or shape.fee_type or "",
            )
            return
        for name, member in members.items():
            inner = scope if name == "value" else f"{scope}.{name}" if scope else name
            if name not in ("index_name", "kind"):
                yield from _fee_rates(member, inner, depth_left - 1)


def _name(raw: msgspec.Raw) -> str:
    return "" if bytes(raw) == b"null" else decode(_text, raw)


def _settlement_of(shape: SettlementShape) -> Settlement:
    return Settlement(
        settlement_type=shape.type,
        timestamp_ms=time_ms(shape.timestamp),
        instrument_name=shape.instrument_name,
        position=optional(shape.position),
        mark_price=optional(shape.mark_price),
        index_price=optional(shape.index_price),
        profit_loss=optional(shape.profit_loss),
        session_profit_loss=optional(shape.session_profit_loss),
        funding=optional(shape.funding),
        socialized=optional(shape.socialized),
    )


def _trigger_record_of(shape: TriggerRecordShape) -> TriggerRecord:
    trigger_order_id = shape.trigger_order_id or shape.stop_order_id
    if not trigger_order_id:
        raise Unreadable("a trigger record of no order")
    is_priced = bytes(shape.price)[:1] not in (b'"', b"n")
    return TriggerRecord(
        trigger_order_id=trigger_order_id,
        timestamp_ms=time_ms(shape.timestamp),
        instrument_name=shape.instrument_name,
        state=shape.order_state or "",
        request=shape.request or "",
        order_id=shape.order_id,
        direction=_DIRECTIONS.get(shape.direction or ""),
        amount=optional(shape.amount),
        price=number(decode(_decimal, shape.price)) if is_priced else None,
        trigger=shape.trigger or "",
        trigger_price=optional(
            shape.trigger_price if shape.trigger_price is not None else shape.stop_price
        ),
        label=shape.label or "",
    )
