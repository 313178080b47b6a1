"""Rows of the ledger's tables, to and from domain values.

Decoders take what `queries/columns.sql` lists, in that order. Only trades can hold what a person
wrote by hand: a trade that cannot be read is told by its column, as `UnreadableRow`, and breaks
nothing else.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, TypeVar

from msgspec import Struct

from vigil.domain.instrument import contract_of
from vigil.domain.money import ZERO, decimal_text
from vigil.domain.order import Direction, Fill, OrderStatus, OrderType, OwnOrder, Role
from vigil.domain.trade import ExitReason, FillShare, PnlSource, Trade, TradeStatus

Row = tuple[Any, ...]
E = TypeVar("E", bound=StrEnum)


class UnreadableRow(Struct, frozen=True, kw_only=True):
    """A row of `trades` that is no trade, and why."""

    trade_id: str
    column: str
    why: str

    def __str__(self) -> str:
        return f"trade {self.trade_id} cannot be read: {self.column} {self.why}; correct the row"


def _by_value(kind: type[E]) -> Mapping[str, E]:
    """Members by text; a dictionary answers several times faster than calling the enum."""
    return {member.value: member for member in kind}


_DIRECTIONS = _by_value(Direction)
_TRADE_STATUSES = _by_value(TradeStatus)
_EXIT_REASONS = _by_value(ExitReason)
_PNL_SOURCES = _by_value(PnlSource)


def order_row(order: OwnOrder) -> Row:
    """The columns `order` of an own order, all but when it was heard of."""
    return (
        order.label,
        order.intent_id,
        order.attempt,
        order.strategy_id,
        order.strategy_name,
        order.role.value,
        order.trade_id,
        order.instrument_name,
        order.direction.value,
        order.order_type.value,
        decimal_text(order.amount),
        order.created_ms,
        order.valid_until_ms,
        order.status.value,
        _text(order.price),
        _text(order.trigger_price),
        int(order.reduce_only),
        order.parent_label,
        order.order_id,
        decimal_text(order.filled_amount),
        order.reason,
    )


def order_news(order: OwnOrder) -> dict[str, Any]:
    """The columns of an own order that news of it may change, and its label."""
    return {
        "label": order.label,
        "status": order.status.value,
        "amount": decimal_text(order.amount),
        "price": _text(order.price),
        "trigger_price": _text(order.trigger_price),
        "filled_amount": decimal_text(order.filled_amount),
        "order_id": order.order_id,
        "reason": order.reason,
    }


def order_from(row: Row) -> OwnOrder:
    """An own order from the columns `order`."""
    return OwnOrder(
        label=row[0],
        intent_id=row[1],
        attempt=row[2],
        strategy_id=row[3],
        strategy_name=row[4],
        role=Role(row[5]),
        trade_id=row[6],
        instrument_name=row[7],
        direction=_DIRECTIONS[row[8]],
        order_type=OrderType(row[9]),
        amount=Decimal(row[10]),
        created_ms=row[11],
        valid_until_ms=row[12],
        status=OrderStatus(row[13]),
        price=_decimal(row[14]),
        trigger_price=_decimal(row[15]),
        reduce_only=bool(row[16]),
        parent_label=row[17],
        order_id=row[18],
        filled_amount=Decimal(row[19]),
        reason=row[20],
        heard_ms=row[21],
    )


def fill_currency(fill: Fill) -> str:
    """The currency within which the exchange keeps `trade_id` unique."""
    return contract_of(fill.instrument_name).settlement_currency


def fill_row(fill: Fill, *, own_label: str | None) -> dict[str, Any]:
    """The columns of a fill."""
    return {
        "currency": fill_currency(fill),
        "trade_id": fill.trade_id,
        "order_id": fill.order_id,
        "label": fill.label,
        "instrument": fill.instrument_name,
        "direction": fill.direction.value,
        "amount": decimal_text(fill.amount),
        "price": decimal_text(fill.price),
        "fee": decimal_text(fill.fee),
        "fee_currency": fill.fee_currency,
        "timestamp_ms": fill.timestamp_ms,
        "trade_seq": fill.trade_seq,
        "order_type": fill.order_type,
        "mark_price": _text(fill.mark_price),
        "index_price": _text(fill.index_price),
        "is_maker": int(fill.is_maker),
        "is_liquidation": int(fill.is_liquidation),
        "own_label": own_label,
    }


def fill_from(row: Row) -> Fill:
    """A fill from the columns `fill`."""
    return Fill(
        trade_id=row[0],
        order_id=row[1],
        label=row[2],
        instrument_name=row[3],
        direction=_DIRECTIONS[row[4]],
        amount=Decimal(row[5]),
        price=Decimal(row[6]),
        fee=Decimal(row[7]),
        fee_currency=row[8],
        timestamp_ms=row[9],
        trade_seq=row[10],
        order_type=row[11],
        mark_price=_decimal(row[12]),
        index_price=_decimal(row[13]),
        is_maker=bool(row[14]),
        is_liquidation=bool(row[15]),
    )


def share_from(row: Row) -> FillShare:
    """A share from `fill_seq, amount, is_entry, reason, source` and the columns `fill`."""
    return FillShare(
        fill=fill_from(row[5:]),
        amount=Decimal(row[1]),
        is_entry=bool(row[2]),
        reason=None if row[3] is None else _EXIT_REASONS[row[3]],
    )


def trade_row(trade: Trade) -> dict[str, Any]:
    """The columns of a trade, as far as the domain knows them."""
    return {
        "id": trade.trade_id,
        "strategy_name": trade.strategy_name,
        "instrument": trade.instrument_name,
        "side": trade.side.value,
        "entry_order_id": trade.entry_order_id,
        "entry_price": decimal_text(trade.entry_price),
        "amount": decimal_text(trade.amount),
        "entry_time": trade.entry_time_ms,
        "status": trade.status.value,
        "open_amount": decimal_text(trade.open_amount),
        "strategy_id": trade.strategy_id,
        "stop_loss": _text(trade.stop_loss),
        "take_profit": _text(trade.take_profit),
        "exit_price": _text(trade.exit_price),
        "exit_time": trade.exit_time_ms,
        "exit_reason": trade.exit_reason,
        "pnl": _text(trade.pnl),
        "pnl_currency": None if trade.pnl is None else trade.settlement_currency,
        "pnl_source": trade.pnl_source,
        "fees": decimal_text(trade.fees),
        "funding": decimal_text(trade.funding),
    }


def trade_from(row: Row) -> Trade | UnreadableRow:
    """A trade from the columns `trade`, or what is wrong with the row."""
    try:
        return _trade(row)
    except (InvalidOperation, KeyError, TypeError, ValueError) as error:
        return _explain(row, error)


def trades_from(
    rows: Sequence[Row],
) -> tuple[list[Trade], list[UnreadableRow]]:
    """Trades and unreadable rows, from rows that start with `seq`."""
    trades: list[Trade] = []
    unreadable: list[UnreadableRow] = []
    for row in rows:
        found = trade_from(row[1:])
        if isinstance(found, Trade):
            trades.append(found)
        else:
            unreadable.append(found)
    return trades, unreadable


def _trade(row: Row) -> Trade:
    (
        trade_id,
        strategy_name,
        instrument_name,
        side,
        entry_order_id,
        entry_price,
        amount_text,
        entry_time_ms,
        status,
        open_amount,
        strategy_id,
        stop_loss,
        take_profit,
        exit_price,
        exit_time_ms,
        exit_reason,
        pnl,
        pnl_source,
        fees,
        funding,
    ) = row
    amount = _positive(amount_text)
    is_open = _TRADE_STATUSES[status] is TradeStatus.OPEN
    if open_amount is None:
        still_open = amount if is_open else ZERO
    else:
        still_open = _finite(open_amount)
        if not 0 <= still_open <= amount:
            raise ValueError("open_amount is not within 0 and amount")
    return Trade(
        trade_id=trade_id,
        strategy_name=strategy_name,
        instrument_name=instrument_name,
        side=_DIRECTIONS[side],
        entry_order_id=entry_order_id,
        entry_price=_positive(entry_price),
        amount=amount,
        entry_time_ms=entry_time_ms,
        status=_TRADE_STATUSES[status],
        open_amount=still_open,
        strategy_id=strategy_id,
        stop_loss=None if stop_loss is None else _positive(stop_loss),
        take_profit=None if take_profit is None else _positive(take_profit),
        exit_price=None if exit_price is None else _finite(exit_price),
        exit_time_ms=exit_time_ms,
        exit_reason=None if exit_reason is None else _EXIT_REASONS[exit_reason],
        pnl=None if pnl is None else _finite(pnl),
        pnl_source=None if pnl_source is None else _PNL_SOURCES[pnl_source],
        fees=ZERO if fees == "0" else _finite(fees),
        funding=ZERO if funding == "0" else _finite(funding),
    )


def _finite(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError("is not a decimal number") from None
    if not value.is_finite():
        raise ValueError("is not a finite number")
    return value


def _positive(text: str) -> Decimal:
    value = _finite(text)
    if value <= 0:
        raise ValueError("is not positive")
    return value


# The columns of a trade that can be misread: position, name, decoder.
_TRADE_CHECKS = (
    (3, "side", _DIRECTIONS.__getitem__),
    (5, "entry_price", _positive),
    (6, "amount", _positive),
    (8, "status", _TRADE_STATUSES.__getitem__),
    (11, "stop_loss", _positive),
    (12, "take_profit", _positive),
    (13, "exit_price", _finite),
    (15, "exit_reason", _EXIT_REASONS.__getitem__),
    (16, "pnl", _finite),
    (17, "pnl_source", _PNL_SOURCES.__getitem__),
    (18, "fees", _finite),
    (19, "funding", _finite),
)


def _explain(row: Row, error: Exception) -> UnreadableRow:
    """Find the column that `_trade` stumbled over; slow, for the rare bad row."""
    for position, column, decode in _TRADE_CHECKS:
        if row[position] is None:
            continue
        try:
            decode(row[position])
        except (InvalidOperation, KeyError, TypeError, ValueError) as cause:
            why = str(cause) if type(cause) is ValueError else "is not a known value"
            return UnreadableRow(trade_id=row[0], column=column, why=f"{row[position]!r}: {why}")
    return UnreadableRow(trade_id=row[0], column="open_amount", why=f"{row[9]!r}: {error}")


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)
