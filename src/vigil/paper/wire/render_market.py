"""Public market data to wire objects: instruments, tickers, quotes, trades, summaries.

Source: recorded payloads and the object shapes of the API reference.
"""

from decimal import Decimal
from typing import Any

from vigil.domain.instrument import Kind
from vigil.domain.money import ZERO, round_nearest
from vigil.paper.account.fees import BLOCK_COMMISSION
from vigil.paper.market.instruments import Catalogue, Listing
from vigil.paper.market.market import BookState, Market
from vigil.paper.market.tape import PublicTrade

_CENT = Decimal("0.01")
_SHOWN = Decimal("0.0001")  # of changes, volumes and option marks
_GREEK = Decimal("0.00001")
_PERCENT = Decimal(100)
_OPTION_BLOCK_MIN = 25
# Source: change log 2023-10-03.
_LIQUIDATION_UNTOLD_MS = 3_600_000

# The part of each book that is nobody's here: large where much is traded.
_OPEN_INTEREST_USD = Decimal("1132329370.0")
_OPEN_INTEREST_COINS = Decimal("459.3409")


def instrument(listing: Listing, state: BookState = BookState.OPEN) -> dict[str, Any]:
    """An instrument object."""
    item = listing.instrument
    kind = "linear" if item.is_linear else "reversed"
    wire = {
        "price_index": item.price_index,
        "kind": item.kind,
        "instrument_name": item.instrument_name,
        "maker_commission": item.maker_commission,
        "taker_commission": item.taker_commission,
        "instrument_type": kind,
        "expiration_timestamp": item.expiration_timestamp_ms,
        "creation_timestamp": listing.creation_timestamp_ms,
        "is_active": state not in (BookState.DELIVERED, BookState.ARCHIVIZED, BookState.INACTIVE),
        "state": state,
        "tick_size": item.tick_size,
        "tick_size_steps": [
            {"above_price": step.above_price, "tick_size": step.tick_size}
            for step in item.tick_size_steps
        ],
        "contract_size": item.contract_size,
        "instrument_id": listing.instrument_id,
        "min_trade_amount": item.min_trade_amount,
        "block_trade_commission": BLOCK_COMMISSION,
        "block_trade_min_trade_amount": 25 if item.is_linear else 200_000,
        "block_trade_tick_size": _CENT,
        "settlement_currency": item.settlement_currency,
        "settlement_period": listing.settlement_period,
        "base_currency": item.base_currency,
        "counter_currency": listing.counter_currency,
        "quote_currency": item.quote_currency,
        "rfq": False,
        "lot_size": 1,
    }
    if listing.strike is not None:
        return wire | {
            "option_type": "call" if listing.is_call else "put",
            "strike": listing.strike,
            "block_trade_commission": item.taker_commission,
            "block_trade_min_trade_amount": _OPTION_BLOCK_MIN,
            "block_trade_tick_size": item.tick_size,
        }
    return wire | {
        "max_leverage": item.max_leverage,
        "max_non_default_leverage": 5,
        "future_type": kind,
        "max_liquidation_commission": _CENT,
    }


def ticker(market: Market, now_ms: int, *, missing: Decimal | None) -> dict[str, Any]:
    """A ticker object.

    Args:
        missing: The price where a side of the book is empty.
    """
    best_bid, best_ask = market.best_bid, market.best_ask
    wire: dict[str, Any] = {
        "timestamp": now_ms,
        "state": market.state,
        "stats": _stats(market),
        "index_price": market.index_price,
        "instrument_name": market.listing.name,
        "last_price": market.last_price if market.has_traded else None,
        "settlement_price": market.settlement_price,
        "min_price": market.min_price,
        "max_price": market.max_price,
        "open_interest": open_interest(market.listing),
        "mark_price": _shown_mark(market),
        "best_ask_price": best_ask[0] if best_ask else missing,
        "best_ask_amount": best_ask[1] if best_ask else ZERO,
        "best_bid_price": best_bid[0] if best_bid else missing,
        "best_bid_amount": best_bid[1] if best_bid else ZERO,
        "estimated_delivery_price": market.estimated_delivery_price,
    }
    if market.delivery_price is not None:
        wire["delivery_price"] = market.delivery_price
    if market.listing.is_perpetual:
        wire["interest_value"] = market.interest_value
        wire["current_funding"] = market.current_funding
        wire["funding_8h"] = market.funding_8h
    if market.listing.strike is not None:
        wire |= _option_fields(market)
    return wire


def quote(market: Market, now_ms: int, *, missing: Decimal | None) -> dict[str, Any]:
    """Best bid and ask; see `ticker`."""
    best_bid, best_ask = market.best_bid, market.best_ask
    return {
        "timestamp": now_ms,
        "instrument_name": market.listing.name,
        "best_bid_price": best_bid[0] if best_bid else missing,
        "best_bid_amount": best_bid[1] if best_bid else ZERO,
        "best_ask_price": best_ask[0] if best_ask else missing,
        "best_ask_amount": best_ask[1] if best_ask else ZERO,
    }


def public_trade(
    item: PublicTrade, catalogue: Catalogue, now_ms: int | None = None
) -> dict[str, Any]:
    """A trade as everybody sees it; that it was a liquidation is told an hour later.

    Args:
        now_ms: When somebody looks back at it; None where it is told as it happens.
    """
    wire = {
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
        "contracts": catalogue.by_name[item.instrument_name].instrument.contracts(item.amount),
    }
    if item.iv is not None:
        wire["iv"] = item.iv
    if item.block_trade_id is not None:
        wire |= {"block_trade_id": item.block_trade_id, "block_trade_leg_count": 1}
    is_old = now_ms is not None and now_ms - item.timestamp_ms >= _LIQUIDATION_UNTOLD_MS
    if item.liquidation is not None and is_old:
        wire["liquidation"] = item.liquidation
    return wire


def book_summary(market: Market, now_ms: int) -> dict[str, Any]:
    """A row of the book summaries; prices of an empty side are null there."""
    best_bid, best_ask = market.best_bid, market.best_ask
    instrument, stats = market.listing.instrument, _stats(market)
    is_option = instrument.kind is Kind.OPTION
    wire: dict[str, Any] = {
        "instrument_name": market.listing.name,
        "base_currency": instrument.base_currency,
        "quote_currency": instrument.quote_currency,
        "creation_timestamp": now_ms,
        "high": stats["high"],
        "low": stats["low"],
        "last": market.last_price if market.has_traded else None,
        "bid_price": best_bid[0] if best_bid else None,
        "ask_price": best_ask[0] if best_ask else None,
        "mid_price": (best_bid[0] + best_ask[0]) / 2 if best_bid and best_ask else None,
        "mark_price": market.mark_price,
        "open_interest": open_interest(market.listing),
        "price_change": stats["price_change"],
        "volume": stats["volume"],
        "volume_usd": stats["volume_usd"],
        "estimated_delivery_price": market.estimated_delivery_price,
    }
    if not is_option or instrument.is_linear:
        wire["volume_notional"] = stats["volume_usd"]
    if market.listing.is_perpetual:
        wire["current_funding"] = market.current_funding
        wire["funding_8h"] = market.funding_8h
    if is_option:
        fields = _option_fields(market)
        names = ("mark_iv", "underlying_price", "underlying_index", "interest_rate")
        wire |= {name: fields[name] for name in names}
    return wire


def option_mark(market: Market, now_ms: int) -> dict[str, Any]:
    """An entry of `markprice.options`; there, volatility is a fraction."""
    return {
        "timestamp": now_ms,
        "mark_price": _shown_mark(market),
        "iv": round_nearest(Decimal(repr(market.option_quote.volatility)), _SHOWN),
        "instrument_name": market.listing.name,
    }


def open_interest(listing: Listing) -> Decimal:
    """Contracts that others hold; made up, and the same at all times."""
    if listing.strike is not None:
        contracts = listing.instrument_id * 7919 % 2000
        return contracts * listing.instrument.min_trade_amount
    return _OPEN_INTEREST_COINS if listing.contract.is_linear else _OPEN_INTEREST_USD


def _stats(market: Market) -> dict[str, Any]:
    """Of the time since the start; null where there was no trade."""
    change: Decimal | None = None
    if market.has_traded and market.open_price:
        present = market.mark_price if market.listing.is_perpetual else market.last_price
        change = round_nearest((present / market.open_price - 1) * 100, _SHOWN)
    wire = {
        "high": market.high,
        "low": market.low,
        "price_change": change,
        "volume": round_nearest(market.tape.volume, _SHOWN),
        "volume_usd": round_nearest(market.tape.volume_usd, _CENT),
    }
    if market.listing.strike is None or market.listing.contract.is_linear:
        wire["volume_notional"] = wire["volume_usd"]
    return wire


def _option_fields(market: Market) -> dict[str, Any]:
    quote = market.option_quote
    greeks = quote.greeks
    best_bid, best_ask = market.best_bid, market.best_ask
    return {
        "underlying_price": quote.underlying_price,
        "underlying_index": market.underlying_index,
        "interest_rate": ZERO,
        "mark_iv": _percent(quote.volatility),
        "bid_iv": _percent(quote.volatility_of(best_bid[0] if best_bid else None)),
        "ask_iv": _percent(quote.volatility_of(best_ask[0] if best_ask else None)),
        "greeks": {
            "delta": _greek(greeks.delta),
            "gamma": _greek(greeks.gamma),
            "vega": _greek(greeks.vega),
            "theta": _greek(greeks.theta),
            "rho": _greek(greeks.rho),
        },
    }


def _shown_mark(market: Market) -> Decimal:
    """Marks of options in coin are shown with four decimals, and reckoned with more."""
    mark = market.mark_price
    listing = market.listing
    if listing.strike is not None and not listing.contract.is_linear:
        return round_nearest(mark, _SHOWN)
    return mark


def _percent(volatility: float) -> Decimal:
    return round_nearest(Decimal(repr(volatility)) * _PERCENT, _CENT)


def _greek(value: float) -> Decimal:
    return round_nearest(Decimal(repr(value)), _GREEK)
