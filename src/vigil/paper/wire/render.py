"""Domain records to wire objects; the only place that knows the fields of what we send.

Source: recorded payloads and the object shapes of the API reference, for the names and for which of
them are absent when.
"""

from decimal import Decimal
from typing import Any

from vigil.domain.money import ZERO, round_nearest, round_settlement
from vigil.domain.order import OrderType
from vigil.domain.pnl import average_price
from vigil.paper.account.orders import (
    LIMIT_TYPES,
    TRIGGER_TYPES,
    OrderState,
    Origin,
    PaperOrder,
    PaperTrade,
    TriggerEnd,
)
from vigil.paper.market.instruments import Catalogue, Listing

USER_ID = 10_580
USERNAME = "vigil-paper"
_CENT = Decimal("0.01")
_LINEAR_QUANTUM = Decimal("0.0001")


def order(item: PaperOrder, catalogue: Catalogue) -> dict[str, Any]:
    """An order object."""
    listing = catalogue.by_name[item.instrument_name]
    wire: dict[str, Any] = {
        "label": item.label,
        "price": item.price,
        "user_id": USER_ID,
        "amount": item.amount,
        "direction": item.direction,
        "time_in_force": item.time_in_force,
        "instrument_name": item.instrument_name,
        "web": item.origin is Origin.WEB,
        "api": item.origin is Origin.API,
        "order_id": item.order_id,
        "creation_timestamp": item.creation_timestamp_ms,
        "replaced": item.is_replaced,
        "last_update_timestamp": item.last_update_timestamp_ms,
        "post_only": item.post_only,
        "reduce_only": item.reduce_only,
        "mmp": item.mmp,
        "contracts": listing.instrument.contracts(item.amount),
        "order_state": item.state,
        "order_type": item.order_type,
        "is_liquidation": item.is_liquidation,
        "risk_reducing": item.reduce_only,
    }
    if item.post_only or item.waits_for_trigger:
        wire["reject_post_only"] = item.reject_post_only
    if item.waits_for_trigger:
        if item.order_type not in LIMIT_TYPES:
            wire["price"] = "market_price"
    else:
        wire["filled_amount"] = item.filled_amount
        average = average_price(listing.contract, item.parts)
        wire["average_price"] = shown_price(listing, average)
    if item.trigger is not None:
        wire |= {
            "trigger": item.trigger,
            "trigger_price": item.trigger_price,
            "triggered": item.state is OrderState.TRIGGERED or item.trigger_order_id is not None,
        }
    if item.display_amount is not None:
        wire["display_amount"] = min(item.display_amount, item.remaining)
        wire["refresh_amount"] = item.display_amount
    if item.advanced is not None:
        wire |= {
            "advanced": item.advanced,
            item.advanced.value: item.advanced_price,
            "auto_replaced": item.is_auto_replaced,
        }
    if item.oto_order_ids:
        wire["oto_order_ids"] = list(item.oto_order_ids)
        wire["trigger_fill_condition"] = item.fill_condition
        if item.is_primary_otoco:
            wire["is_primary_otoco"] = True
    if item.primary_order_id is not None:
        wire["is_secondary_oto"] = True
    if item.origin is Origin.MOBILE:
        wire["mobile"] = True
    optional = {
        "original_order_type": item.original_order_type,
        "trigger_offset": item.trigger_offset,
        "trigger_reference_price": item.trigger_reference_price,
        "trigger_order_id": item.trigger_order_id,
        "oco_ref": item.oco_ref,
        "primary_order_id": item.primary_order_id,
        "cancel_reason": item.cancel_reason,
    }
    return wire | {name: value for name, value in optional.items() if value is not None}


def trade(item: PaperTrade, catalogue: Catalogue) -> dict[str, Any]:
    """A user trade object."""
    wire = {
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
        "api": item.origin is Origin.API,
        "mark_price": item.mark_price,
        "order_id": item.order_id,
        "matching_id": None,
        "tick_direction": item.tick_direction,
        "profit_loss": item.profit_loss,
        "post_only": item.post_only,
        "reduce_only": item.reduce_only,
        "self_trade": False,
        "mmp": item.mmp,
        "contracts": catalogue.by_name[item.instrument_name].instrument.contracts(item.amount),
        "trade_id": item.trade_id,
        "fee_currency": item.fee_currency,
        "fee": item.fee,
        "order_type": item.order_type,
        "risk_reducing": item.reduce_only,
        "liquidity": "M" if item.is_maker else "T",
    }
    if item.iv is not None:
        wire |= {"iv": item.iv, "underlying_price": item.underlying_price}
    if item.block_trade_id is not None:
        wire["block_trade_id"] = item.block_trade_id
    if item.liquidation is not None:
        wire |= {"liquidation": item.liquidation, "order_type": OrderType.LIQUIDATION}
    return wire


def trigger_end(item: TriggerEnd, catalogue: Catalogue) -> dict[str, Any]:
    """An entry of the trigger order history."""
    ended = order(item.order, catalogue)
    kept = ("trigger", "trigger_price", "instrument_name", "direction", "amount", "label")
    linked = ("oco_ref", "is_secondary_oto")
    is_market = item.order.order_type in TRIGGER_TYPES - LIMIT_TYPES
    return {
        "timestamp": item.timestamp_ms,
        "last_update_timestamp": item.order.last_update_timestamp_ms,
        "trigger_order_id": item.order.order_id,
        "order_id": item.spawned_order_id or item.order.order_id,
        "order_state": item.outcome,
        "order_type": OrderType.MARKET if is_market else OrderType.LIMIT,
        "request": "cancel" if item.outcome == "cancelled" else "trigger:order",
        "price": item.spawned_price or ended["price"],
        "trigger_offset": item.order.trigger_offset,
        "post_only": item.order.post_only,
        "reduce_only": item.order.reduce_only,
        "source": item.order.origin,
    } | {name: ended[name] for name in (*kept, *linked) if name in ended}


def shown_price(listing: Listing, price: Decimal | None) -> Decimal:
    """Averages are shown with two decimals (inverse), four (linear), or eight (coin options).

    0 when there is none.
    """
    if price is None:
        return ZERO
    if listing.contract.is_linear:
        return round_nearest(price, _LINEAR_QUANTUM)
    return round_settlement(price) if listing.contract.is_option else round_nearest(price, _CENT)
