"""One order against the amounts offered to it: fills, fees, position, cash, transaction log.

Source: Deribit API v2, user trades and transaction log; fees and option premiums are on cash at
once, while futures profit stays in the session until settlement.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from vigil.paper.account.books import Books
from vigil.paper.account.fees import trade_fee
from vigil.paper.account.orders import OrderState, PaperOrder, PaperTrade
from vigil.paper.account.positions import FillEffect, apply_fill
from vigil.paper.account.transaction_log import trade_premium, write_trade
from vigil.paper.market.depth import Level
from vigil.paper.market.instruments import Listing
from vigil.paper.market.market import Market
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
    block_trade_id: str | None = None,
) -> Execution:
    """Fill an order from `offers`, best first, and book each fill.

    A reduce-only order is first cut down to what the position still allows, so that it never turns
    the position; one that has nothing left to reduce ends cancelled. The order itself is left to
    the caller to keep, in the state it has after all fills.

    Args:
        block_trade_id: Of what was agreed on outside the book, and is only booked.
    """
    market = markets[order.instrument_name]
    trades = []
    for price, available in offers:
        order = _within_position(order, books)
        amount = min(available, order.remaining)
        if not amount or not order.is_live:
            break
        order, trade, effect = _fill(
            order,
            price,
            amount,
            books,
            market,
            now_ms=now_ms,
            is_maker=is_maker,
            block_trade_id=block_trade_id,
        )
        trades.append(trade)
        write_trade(trade, books, markets, session_profit_loss=effect.profit_loss)
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
    block_trade_id: str | None,
) -> tuple[PaperOrder, PaperTrade, FillEffect]:
    listing = market.listing
    is_option = listing.contract.is_option
    effect = apply_fill(
        listing.contract, books.position(listing.name), order.direction, amount, price
    )
    fee = trade_fee(
        listing,
        amount,
        price,
        market.index_price,
        is_maker=is_maker,
        is_liquidation=order.is_liquidation,
        is_block=block_trade_id is not None,
    )
    is_since_settlement = books.switches.trade_profit_since_settlement
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
        fee_currency=listing.currency,
        profit_loss=effect.profit_loss if is_since_settlement else effect.average_profit_loss,
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
        liquidation=("M" if is_maker else "T") if order.is_liquidation else None,
        block_trade_id=block_trade_id,
        origin=order.origin,
        mmp=order.mmp,
        iv=market.iv_of(price) if is_option else None,
        underlying_price=market.option_quote.underlying_price if is_option else None,
    )
    premium = trade_premium(listing, order.direction.sign, amount, price)
    book_fill(books, listing, effect, premium=premium, fee=fee)
    books.add_trade(trade)
    market.record_trade(_as_public(trade))
    return order, trade, effect


def book_fill(
    books: Books, listing: Listing, effect: FillEffect, *, premium: Decimal, fee: Decimal
) -> None:
    """Keep what a fill did to the position, and pay for it: fee, premium, session profit."""
    books.positions[listing.name] = effect.position
    if listing.contract.is_option:
        profit = {"options_session_rpl": effect.profit_loss}
    else:
        profit = {"session_rpl": effect.profit_loss}
    books.book_cash(listing.currency, change=premium - fee, **profit)


def _with_fill(order: PaperOrder, amount: Decimal, price: Decimal) -> PaperOrder:
    filled = order.filled_amount + amount
    parts, part = order.parts, amount
    if parts and parts[-1][1] == price:  # a resting order fills at one price, maybe for weeks
        part += parts[-1][0]
        parts = parts[:-1]
    return replace(
        order,
        filled_amount=filled,
        parts=(*parts, (part, price)),
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
        liquidation=trade.liquidation,
        block_trade_id=trade.block_trade_id,
    )
