"""One order against the amounts offered to it: fills, fees, position, cash, transaction log.

Source: Deribit API v2, user trades and transaction log; fees are rate x notional, on cash at once,
while futures profit stays in the session until settlement.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from vigil.domain.money import round_settlement
from vigil.paper.account.books import Books
from vigil.paper.account.margin import figures, notional
from vigil.paper.account.orders import LogRow, OrderState, PaperOrder, PaperTrade
from vigil.paper.account.positions import apply_fill
from vigil.paper.market.market import Level, Market
from vigil.paper.market.tape import PublicTrade


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """An order after an attempt to fill it, and the fills that were made."""

    order: PaperOrder
    trades: tuple[PaperTrade, ...] = ()


def execute(
    order: PaperOrder,
    offers: Iterable[Level],
    books: Books,
    markets: Mapping[str, Market],
    *,
    now_ms: int,
    is_maker: bool = False,
) -> Execution:
    """Fill an order from `offers`, best first, and book each fill.

    A reduce-only order is first cut down to what the position still allows, so that it never turns
    the position; one that has nothing left to reduce ends cancelled. The order itself is left to
    the caller to keep, in the state it has after all fills.
    """
    market = markets[order.instrument_name]
    trades = []
    for price, available in offers:
        order = _within_position(order, books)
        amount = min(available, order.remaining)
        if not amount or not order.is_live:
            break
        order, trade = _fill(order, price, amount, books, market, now_ms=now_ms, is_maker=is_maker)
        trades.append(trade)
        _log(trade, books, markets)
    if trades:
        order = _within_position(order, books)
    return Execution(order=order, trades=tuple(trades))


def _within_position(order: PaperOrder, books: Books) -> PaperOrder:
    if not order.reduce_only or order.state is OrderState.FILLED:
        return order
    allowed = books.position(order.instrument_name).reducible_by(order.direction)
    if order.remaining <= allowed:
        return order
    amount = order.filled_amount + allowed
    if allowed:
        return replace(order, amount=amount)
    if order.filled_amount:
        return replace(order, amount=amount, state=OrderState.FILLED)
    return replace(order, state=OrderState.CANCELLED)


def _fill(
    order: PaperOrder,
    price: Decimal,
    amount: Decimal,
    books: Books,
    market: Market,
    *,
    now_ms: int,
    is_maker: bool,
) -> tuple[PaperOrder, PaperTrade]:
    listing = market.listing
    instrument, currency = listing.instrument, listing.currency
    effect = apply_fill(
        listing.contract, books.position(listing.name), order.direction, amount, price
    )
    rate = instrument.maker_commission if is_maker else instrument.taker_commission
    fee = round_settlement(rate * notional(listing, amount, price))
    order = _with_fill(order, amount, price)
    number = books.next_number("trade", listing.id_prefix)
    trade = PaperTrade(
        trade_id=f"{listing.id_prefix}{number}",
        number=number,
        trade_seq=books.next_number("trade_seq", listing.name),
        order_id=order.order_id,
        label=order.label,
        instrument_name=listing.name,
        direction=order.direction,
        amount=amount,
        price=price,
        fee=fee,
        fee_currency=currency,
        profit_loss=effect.profit_loss,
        timestamp_ms=now_ms,
        is_maker=is_maker,
        state=order.state,
        order_type=order.order_type,
        mark_price=market.mark_price,
        index_price=market.index_price,
        tick_direction=market.tick_direction_of(price),
        post_only=order.post_only,
        reduce_only=order.reduce_only,
        closed_amount=effect.closed_amount,
    )
    books.positions[listing.name] = effect.position
    books.book_cash(currency, fee=fee, profit_loss=effect.profit_loss)
    books.add_trade(trade)
    market.record_trade(_as_public(trade))
    return order, trade


def _with_fill(order: PaperOrder, amount: Decimal, price: Decimal) -> PaperOrder:
    filled = order.filled_amount + amount
    return replace(
        order,
        filled_amount=filled,
        parts=(*order.parts, (amount, price)),
        state=OrderState.FILLED if filled == order.amount else OrderState.OPEN,
    )


def _as_public(trade: PaperTrade) -> PublicTrade:
    return PublicTrade(
        trade_id=trade.trade_id,
        trade_seq=trade.trade_seq,
        instrument_name=trade.instrument_name,
        timestamp_ms=trade.timestamp_ms,
        direction=trade.direction.opposite if trade.is_maker else trade.direction,
        price=trade.price,
        amount=trade.amount,
        mark_price=trade.mark_price,
        index_price=trade.index_price,
        tick_direction=trade.tick_direction,
    )


def _log(trade: PaperTrade, books: Books, markets: Mapping[str, Market]) -> None:
    """Write the trade's row; one that crosses zero gives a closing and an opening row.

    The fee is split by amount, so that the rows of one trade add up to it.
    """
    position = books.position(trade.instrument_name)
    closed, opened = trade.closed_amount, trade.amount - trade.closed_amount
    account = figures(trade.fee_currency, books, markets)
    open_fee = round_settlement(trade.fee * opened / trade.amount)
    size_before_opening = position.size - trade.direction.sign * opened
    rows = (
        ("close", closed, size_before_opening, trade.fee - open_fee, trade.profit_loss, open_fee),
        ("open", opened, position.size, open_fee, Decimal(0), Decimal(0)),
    )
    for word, amount, size, fee, cashflow, still_to_pay in rows:
        if not amount:
            continue
        books.add_row(
            LogRow(
                user_seq=books.next_number("user_seq"),
                timestamp_ms=trade.timestamp_ms,
                currency=trade.fee_currency,
                instrument_name=trade.instrument_name,
                side=f"{word} {trade.direction.value}",
                amount=amount,
                price=trade.price,
                position=size,
                commission=fee,
                cashflow=cashflow,
                change=-fee,
                balance=account.balance + still_to_pay,
                equity=account.equity + still_to_pay,
                mark_price=trade.mark_price,
                index_price=trade.index_price,
                trade_id=trade.trade_id,
                order_id=trade.order_id,
                is_maker=trade.is_maker,
            )
        )
