"""Positions and money to wire objects: what the account reads and hears beside orders and trades.

Source: recorded positions of futures and of an option, documented transaction log and settlement
history, the reference's fields of `user.liquidation`.
"""

from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any

from vigil.domain.money import ZERO, round_nearest, round_settlement
from vigil.paper.account import margin
from vigil.paper.account.books import Books
from vigil.paper.account.log_rows import LiquidationNotice, LogRow, SettlementRow
from vigil.paper.account.positions import (
    COIN_QUANTUM,
    PaperPosition,
    entry_price,
    floating_pnl,
    total_pnl,
)
from vigil.paper.market.instruments import Catalogue
from vigil.paper.market.market import Market
from vigil.paper.wire.render import USER_ID, USERNAME, shown_price

_CENT = Decimal("0.01")
# Funding figures come as the exchange's floating-point numbers: sixteen significant digits.
_FLOAT_LIKE = Context(prec=16)


def position(
    books: Books, markets: Mapping[str, Market], instrument_name: str, *, is_pushed: bool = False
) -> dict[str, Any]:
    """A position object; flat is size 0 and direction `zero`.

    Pushed ones lack the estimated liquidation price. Source: change log 2021-03-20.
    """
    market, held = markets[instrument_name], books.position(instrument_name)
    listing, mark = market.listing, market.mark_price
    wire: dict[str, Any] = {
        "size": held.size,
        "kind": listing.instrument.kind,
        "maintenance_margin": _shown_coins(margin.maintenance_margin(market, held.size, mark)),
        "initial_margin": _shown_coins(margin.initial_margin(market, held.size, mark)),
        "direction": held.side or "zero",
        "index_price": market.index_price,
        "instrument_name": listing.name,
        "settlement_price": market.settlement_price,
        "mark_price": mark,
        "delta": _shown_coins(margin.position_delta(market, held)),
        "average_price": shown_price(listing, entry_price(listing.contract, held)),
        "floating_profit_loss": floating_pnl(listing.contract, held, mark),
        "realized_profit_loss": _realized(books, held),
        "total_profit_loss": total_pnl(listing.contract, held, mark),
    }
    if listing.contract.is_option:
        return wire | _option_fields(books, market, held, wire)
    wire |= {
        "leverage": listing.instrument.max_leverage,
        "size_currency": _shown_coins(margin.coins(listing, held.size, mark)),
    }
    if listing.is_perpetual:
        wire |= {
            "realized_funding": _shown_coins(held.realized_funding),
            "interest_value": _FLOAT_LIKE.plus(market.interest_value),
        }
    if not is_pushed:
        account = margin.figures(listing.currency, books, markets)
        price = margin.liquidation_price(account, market, held)
        wire["estimated_liquidation_price"] = price and round_nearest(price, _CENT)
    return wire


def log_row(item: LogRow, catalogue: Catalogue) -> dict[str, Any]:
    """A row of the transaction log; what the type does not have is null or absent."""
    wire: dict[str, Any] = {
        "id": item.row_id or item.user_seq,
        "user_id": USER_ID,
        "username": USERNAME,
        "user_seq": item.user_seq,
        "currency": item.currency,
        "timestamp": item.timestamp_ms,
        "type": item.row_type,
        "instrument_name": item.instrument_name,
        "side": item.side,
        "price": item.price,
        "position": item.position,
        "commission": item.commission,
        "cashflow": item.cashflow,
        "change": item.change,
        "balance": item.balance,
        "equity": round_settlement(item.equity),
        "interest_pl": _rounded(item.interest_pl),
        "trade_id": item.trade_id,
        "order_id": item.order_id,
        "fee_balance": ZERO,
        "info": item.details or item.note,
    }
    if item.instrument_name is not None:
        instrument = catalogue.by_name[item.instrument_name].instrument
        wire["price_currency"] = instrument.quote_currency
        if item.amount is not None:
            wire["contracts"] = instrument.contracts(item.amount)
    if item.is_maker is not None:
        role = "maker" if item.is_maker else "taker"
        wire |= {"user_role": role, "fee_role": role, "profit_as_cashflow": False}
    if item.row_type == "settlement":
        wire["info"] = {
            "settlement_price": item.settlement_price,
            "floating_pl": _rounded(item.session_upl),
        }
    optional = {
        "amount": item.amount,
        "mark_price": item.mark_price,
        "index_price": item.index_price,
        "settlement_price": item.settlement_price,
        "session_rpl": _rounded(item.session_rpl),
        "session_upl": _rounded(item.session_upl),
        "total_interest_pl": _rounded(item.total_interest_pl),
    }
    return wire | {name: value for name, value in optional.items() if value is not None}


def settlement(item: SettlementRow) -> dict[str, Any]:
    """A row of the settlement history."""
    optional = {
        "instrument_name": item.instrument_name,
        "position": item.position,
        "index_price": item.index_price,
        "mark_price": item.mark_price,
        "profit_loss": item.profit_loss,
        "funding": _rounded(item.funding),
        "funded": item.funded,
        "session_bankruptcy": item.session_bankruptcy,
        "session_tax": item.session_tax,
        "session_tax_rate": item.session_tax_rate,
        "socialized": item.socialized,
    }
    return {
        "type": item.row_type,
        "timestamp": item.timestamp_ms,
        "session_profit_loss": item.session_profit_loss,
    } | {name: value for name, value in optional.items() if value is not None}


def liquidation(item: LiquidationNotice) -> dict[str, Any]:
    """What `user.liquidation` carries."""
    return {
        "user_id": USER_ID,
        "state": item.state,
        "instrument_name": item.instrument_name,
        "direction": item.direction,
        "amount": item.amount,
        "price": item.price,
        "currency": item.currency,
        "commission": item.commission,
        "timestamp": item.timestamp_ms,
    }


def _option_fields(
    books: Books, market: Market, held: PaperPosition, wire: dict[str, Any]
) -> dict[str, Any]:
    """USD figures are at the present index price, as the average's own time is not kept."""
    in_usd = Decimal(1) if market.listing.contract.is_linear else market.index_price
    return {
        "size": held.size if books.switches.signs_option_sizes else abs(held.size),
        "average_price_usd": round_nearest(wire["average_price"] * in_usd, _CENT),
        "floating_profit_loss_usd": round_nearest(wire["floating_profit_loss"] * in_usd, _CENT),
        "gamma": held.size * margin.option_greek(market, "gamma"),
        "vega": held.size * margin.option_greek(market, "vega"),
        "theta": held.size * margin.option_greek(market, "theta"),
    }


def _realized(books: Books, held: PaperPosition) -> Decimal:
    funding = held.realized_funding if books.switches.realized_profit_has_funding else ZERO
    return held.realized_profit_loss + _shown_coins(funding)


def _shown_coins(value: Decimal) -> Decimal:
    return round_nearest(value, COIN_QUANTUM)


def _rounded(value: Decimal | None) -> Decimal | None:
    return None if value is None else round_settlement(value)
