"""Domain records to wire objects; the only place that knows the fields of what we send.

Source: recorded payloads and the object shapes of the API reference, for the names and for which of
them are absent when.
"""

from decimal import Decimal
from typing import Any

from vigil.domain.instrument import NEVER_EXPIRES_MS
from vigil.domain.money import ZERO, round_nearest
from vigil.domain.pnl import average_price
from vigil.paper.account import margin
from vigil.paper.account.books import Books
from vigil.paper.account.orders import LIMIT_TYPES, LogRow, OrderState, PaperOrder, PaperTrade
from vigil.paper.account.positions import COIN_QUANTUM, entry_price, floating_pnl
from vigil.paper.market.instruments import LISTING_BY_NAME, Listing
from vigil.paper.market.market import Market
from vigil.paper.market.tape import PublicTrade

USER_ID = 10_580
USERNAME = "vigil-paper"
_CENT = Decimal("0.01")
_LINEAR_QUANTUM = Decimal("0.0001")


def order(item: PaperOrder) -> dict[str, Any]:
    """An order object."""
    listing = LISTING_BY_NAME[item.instrument_name]
    wire: dict[str, Any] = {
        "label": item.label,
        "price": item.price,
        "user_id": USER_ID,
        "amount": item.amount,
        "direction": item.direction,
        "time_in_force": item.time_in_force,
        "instrument_name": item.instrument_name,
        "web": False,
        "api": True,
        "order_id": item.order_id,
        "creation_timestamp": item.creation_timestamp_ms,
        "replaced": item.is_replaced,
        "last_update_timestamp": item.last_update_timestamp_ms,
        "post_only": item.post_only,
        "reject_post_only": item.reject_post_only,
        "reduce_only": item.reduce_only,
        "mmp": False,
        "contracts": listing.instrument.contracts(item.amount),
        "order_state": item.state,
        "order_type": item.order_type,
        "is_liquidation": False,
        "risk_reducing": item.reduce_only,
    }
    if item.waits_for_trigger:
        if item.order_type not in LIMIT_TYPES:
            wire["price"] = "market_price"
    else:
        wire["filled_amount"] = item.filled_amount
        average = average_price(listing.contract, item.parts)
        wire["average_price"] = _shown_price(listing, average)
    if item.trigger is not None:
        wire |= {
            "trigger": item.trigger,
            "trigger_price": item.trigger_price,
            "triggered": item.state is OrderState.TRIGGERED or item.trigger_order_id is not None,
        }
    if item.oto_order_ids:
        wire["oto_order_ids"] = list(item.oto_order_ids)
        wire["trigger_fill_condition"] = item.fill_condition
        if item.is_primary_otoco:
            wire["is_primary_otoco"] = True
    if item.primary_order_id is not None:
        wire["is_secondary_oto"] = True
    optional = {
        "trigger_order_id": item.trigger_order_id,
        "oco_ref": item.oco_ref,
        "primary_order_id": item.primary_order_id,
        "cancel_reason": item.cancel_reason,
    }
    return wire | {name: value for name, value in optional.items() if value is not None}


def trade(item: PaperTrade) -> dict[str, Any]:
    """A user trade object."""
    return {
        "label": item.label,
        "timestamp": item.timestamp_ms,
        "state": item.state,
        "price": item.price,
        "user_id": USER_ID,
        "amount": item.amount,
        "direction": item.direction,
        "index_price": item.index_price,
        "instrument_name": item.instrument_name,
        "trade_seq": item.trade_seq,
        "api": True,
        "mark_price": item.mark_price,
        "order_id": item.order_id,
        "matching_id": None,
        "tick_direction": item.tick_direction,
        "profit_loss": item.profit_loss,
        "post_only": item.post_only,
        "reduce_only": item.reduce_only,
        "self_trade": False,
        "mmp": False,
        "contracts": LISTING_BY_NAME[item.instrument_name].instrument.contracts(item.amount),
        "trade_id": item.trade_id,
        "fee_currency": item.fee_currency,
        "fee": item.fee,
        "order_type": item.order_type,
        "risk_reducing": item.reduce_only,
        "liquidity": "M" if item.is_maker else "T",
    }


def public_trade(item: PublicTrade) -> dict[str, Any]:
    """A trade as everybody sees it."""
    return {
        "timestamp": item.timestamp_ms,
        "price": item.price,
        "amount": item.amount,
        "direction": item.direction,
        "index_price": item.index_price,
        "instrument_name": item.instrument_name,
        "trade_seq": item.trade_seq,
        "mark_price": item.mark_price,
        "tick_direction": item.tick_direction,
        "trade_id": item.trade_id,
        "contracts": LISTING_BY_NAME[item.instrument_name].instrument.contracts(item.amount),
    }


def position(books: Books, market: Market) -> dict[str, Any]:
    """A position object; flat is size 0 and direction `zero`."""
    listing, mark = market.listing, market.mark_price
    held = books.position(listing.name)
    size = abs(held.size)
    # The session has not been settled yet, so the floating profit is the whole one.
    floating = floating_pnl(listing.contract, held, mark)
    size_currency = round_nearest(margin.coins(listing, held.size, mark), COIN_QUANTUM)
    return {
        "size": held.size,
        "kind": listing.instrument.kind,
        "maintenance_margin": _shown_margin(margin.maintenance_margin(listing, size, mark)),
        "initial_margin": _shown_margin(margin.initial_margin(listing, size, mark)),
        "direction": held.side or "zero",
        "index_price": market.index_price,
        "instrument_name": listing.name,
        "settlement_price": market.settlement_price,
        "mark_price": mark,
        "interest_value": ZERO,
        "delta": size_currency,
        "average_price": _shown_price(listing, entry_price(listing.contract, held)),
        "floating_profit_loss": floating,
        "realized_profit_loss": held.realized_profit_loss,
        "total_profit_loss": floating,
        "realized_funding": ZERO,
        "leverage": listing.instrument.max_leverage,
        "size_currency": size_currency,
    }


def instrument(listing: Listing) -> dict[str, Any]:
    """An instrument object."""
    item = listing.instrument
    kind = "linear" if item.is_linear else "reversed"
    return {
        "price_index": item.price_index,
        "kind": item.kind,
        "instrument_name": item.instrument_name,
        "max_leverage": item.max_leverage,
        "maker_commission": item.maker_commission,
        "taker_commission": item.taker_commission,
        "instrument_type": kind,
        "expiration_timestamp": NEVER_EXPIRES_MS,
        "creation_timestamp": listing.creation_timestamp_ms,
        "is_active": True,
        "state": "open",
        "tick_size": item.tick_size,
        "tick_size_steps": [
            {"above_price": step.above_price, "tick_size": step.tick_size}
            for step in item.tick_size_steps
        ],
        "contract_size": item.contract_size,
        "instrument_id": listing.instrument_id,
        "min_trade_amount": item.min_trade_amount,
        "future_type": kind,
        "max_liquidation_commission": Decimal("0.01"),
        "max_non_default_leverage": 5,
        "block_trade_commission": Decimal("0.00025"),
        "block_trade_min_trade_amount": 200_000 if not item.is_linear else 25,
        "block_trade_tick_size": Decimal("0.01"),
        "settlement_currency": item.settlement_currency,
        "settlement_period": "perpetual",
        "base_currency": item.base_currency,
        "counter_currency": listing.counter_currency,
        "quote_currency": item.quote_currency,
        "rfq": False,
        "lot_size": 1,
    }


def ticker(market: Market, now_ms: int) -> dict[str, Any]:
    """A ticker object of a perpetual."""
    change = (market.mark_price / market.open_price - 1) * 100
    return {
        "timestamp": now_ms,
        "state": "open",
        "stats": {
            "high": market.high,
            "low": market.low,
            "price_change": round_nearest(change, _LINEAR_QUANTUM),
            "volume": round_nearest(market.volume, _LINEAR_QUANTUM),
            "volume_usd": round_nearest(market.volume_usd, _CENT),
            "volume_notional": round_nearest(market.volume_usd, _CENT),
        },
        "index_price": market.index_price,
        "instrument_name": market.listing.name,
        "last_price": market.last_price,
        "settlement_price": market.settlement_price,
        "min_price": market.min_price,
        "max_price": market.max_price,
        "open_interest": Decimal("1132329370.0"),
        "mark_price": market.mark_price,
        "interest_value": ZERO,
        "best_ask_price": market.best_ask[0],
        "best_ask_amount": market.best_ask[1],
        "best_bid_price": market.best_bid[0],
        "best_bid_amount": market.best_bid[1],
        "estimated_delivery_price": market.index_price,
        "current_funding": ZERO,
        "funding_8h": ZERO,
    }


def quote(market: Market, now_ms: int) -> dict[str, Any]:
    """Best bid and ask."""
    return {
        "timestamp": now_ms,
        "instrument_name": market.listing.name,
        "best_bid_price": market.best_bid[0],
        "best_bid_amount": market.best_bid[1],
        "best_ask_price": market.best_ask[0],
        "best_ask_amount": market.best_ask[1],
    }


def log_row(item: LogRow) -> dict[str, Any]:
    """A row of the transaction log."""
    listing = LISTING_BY_NAME[item.instrument_name]
    return {
        "id": item.user_seq,
        "user_id": USER_ID,
        "username": USERNAME,
        "user_seq": item.user_seq,
        "currency": item.currency,
        "timestamp": item.timestamp_ms,
        "type": item.row_type,
        "instrument_name": item.instrument_name,
        "side": item.side,
        "amount": item.amount,
        "contracts": listing.instrument.contracts(item.amount),
        "position": item.position,
        "price": item.price,
        "price_currency": listing.counter_currency,
        "mark_price": item.mark_price,
        "index_price": item.index_price,
        "commission": item.commission,
        "cashflow": item.cashflow,
        "change": item.change,
        "balance": item.balance,
        "equity": item.equity,
        "profit_as_cashflow": False,
        "interest_pl": ZERO,
        "trade_id": item.trade_id,
        "order_id": item.order_id,
        "user_role": "maker" if item.is_maker else "taker",
        "fee_role": "maker" if item.is_maker else "taker",
        "fee_balance": ZERO,
        "info": "Source: api",
    }


def _shown_price(listing: Listing, price: Decimal | None) -> Decimal:
    """Averages are shown with two decimals (inverse) or four (linear); 0 when there is none."""
    if price is None:
        return ZERO
    return round_nearest(price, _LINEAR_QUANTUM if listing.instrument.is_linear else _CENT)


def _shown_margin(value: Decimal) -> Decimal:
    return round_nearest(value, COIN_QUANTUM)
