"""Writing the transaction log: every change of cash in a row, each telling the balance after it.

Within a currency the balance of a row is the one before plus its change. What is written was
already booked; rows that are not trades book and write in one step here.
Source: Deribit API v2, transaction log; recorded rows.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from vigil.domain.money import ZERO, round_settlement
from vigil.paper.account.books import Books
from vigil.paper.account.log_rows import LogRow
from vigil.paper.account.margin import figures
from vigil.paper.account.orders import PaperTrade
from vigil.paper.market.instruments import Listing
from vigil.paper.market.market import Market


def write_trade(
    trade: PaperTrade,
    books: Books,
    markets: Mapping[str, Market],
    *,
    session_profit_loss: Decimal,
) -> None:
    """Write a booked trade's row; one that crosses zero gives a closing and an opening row.

    The fee is split by amount, so that the rows of one trade add up to it. The closing row of a
    future tells the session's profit, which the trade itself may tell against average.
    """
    listing, sign = markets[trade.instrument_name].listing, trade.direction.sign
    opened = trade.amount - trade.closed_amount
    open_fee = round_settlement(trade.fee * opened / trade.amount)
    premium = trade_premium(listing, sign, trade.amount, trade.price)
    open_premium = trade_premium(listing, sign, opened, trade.price)
    position = books.position(trade.instrument_name).size
    parts = (
        (
            "close",
            trade.closed_amount,
            position - sign * opened,
            trade.fee - open_fee,
            premium - open_premium,
        ),
        ("open", opened, position, open_fee, open_premium),
    )
    account = figures(trade.fee_currency, books, markets)
    balance = account.balance - (premium - trade.fee)
    for word, amount, size, fee, paid in parts:
        if not amount:
            continue
        balance += paid - fee
        realised = session_profit_loss if word == "close" else ZERO
        books.add_row(
            LogRow(
                user_seq=books.next_user_seq(trade.fee_currency),
                row_id=books.next_number("log"),
                timestamp_ms=trade.timestamp_ms,
                currency=trade.fee_currency,
                instrument_name=trade.instrument_name,
                side=f"{word} {trade.direction.value}",
                amount=amount,
                price=trade.price,
                position=size,
                commission=fee,
                cashflow=paid if listing.contract.is_option else realised,
                change=paid - fee,
                balance=balance,
                equity=account.equity,
                mark_price=trade.mark_price,
                index_price=trade.index_price,
                interest_pl=ZERO,
                trade_id=trade.trade_id,
                order_id=trade.order_id,
                is_maker=trade.is_maker,
                liquidation=trade.liquidation,
                note="Source: api",
            )
        )


def write_change(
    row_type: str,
    currency: str,
    change: Decimal,
    books: Books,
    markets: Mapping[str, Market],
    *,
    now_ms: int,
    **fields: Any,
) -> LogRow:
    """Change cash and write the row that says so. `fields` are further ones of the row."""
    books.book_cash(currency, change=change)
    account = figures(currency, books, markets)
    row = LogRow(
        user_seq=books.next_user_seq(currency),
        row_id=books.next_number("log"),
        timestamp_ms=now_ms,
        currency=currency,
        row_type=row_type,
        change=change,
        cashflow=change,
        balance=account.balance,
        equity=account.equity,
    )
    row = replace(row, **fields)
    books.add_row(row)
    return row


def trade_premium(listing: Listing, sign: int, amount: Decimal, price: Decimal) -> Decimal:
    """What an option trade adds to cash: negative when buying. Futures cost nothing."""
    return round_settlement(-sign * amount * price) if listing.contract.is_option else ZERO
