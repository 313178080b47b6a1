"""Account summaries, portfolios and chart columns: figures gathered over many records.

Source: Deribit API v2, account summary (recorded) and chart data (recorded).
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from vigil.domain.money import ZERO, round_settlement
from vigil.paper.account.books import Books
from vigil.paper.account.margin import (
    Figures,
    figures,
    liquidation_price,
    option_greek,
    position_delta,
)
from vigil.paper.market.market import Market
from vigil.paper.wire.render import USER_ID, USERNAME

_CREATED_MS = 1_687_352_432_143
_GREEKS = {
    "options_delta_map": "delta",
    "options_gamma_map": "gamma",
    "options_vega_map": "vega",
    "options_theta_map": "theta",
}
_DELTAS, _RATIOS = "delta_total_map", "estimated_liquidation_ratio_map"

_OWNER: dict[str, Any] = {
    "id": USER_ID,
    "username": USERNAME,
    "system_name": USERNAME,
    "email": "paper@example.com",
    "type": "main",
    "login_enabled": True,
    "security_keys_enabled": False,
    "mmp_enabled": False,
    "referrer_id": None,
    "creation_timestamp": _CREATED_MS,
    "interuser_transfers_enabled": False,
    "self_trading_reject_mode": "cancel_maker",
    "self_trading_extended_to_subaccounts": False,
    "block_rfq_self_match_prevention": True,
    "fee_group": "default",
    "change_margin_model_api_limit": {"timeframe": 3_600_000, "rate": 5},
    "trading_products_details": [
        {"product": product, "enabled": True, "overwriteable": False}
        for product in ("perpetual", "futures", "options")
    ],
    "receive_notifications": False,
    "mandatory_tfa": False,
    "disable_kyc_verification": False,
}
_IN_SUMMARIES = (
    "id",
    "username",
    "system_name",
    "email",
    "type",
    "login_enabled",
    "security_keys_enabled",
    "mmp_enabled",
    "referrer_id",
    "creation_timestamp",
    "interuser_transfers_enabled",
    "self_trading_reject_mode",
    "self_trading_extended_to_subaccounts",
    "block_rfq_self_match_prevention",
)


def portfolio(currency: str, books: Books, markets: Mapping[str, Market]) -> dict[str, Any]:
    """One currency's figures, as `user.portfolio` and the summaries carry them.

    The sums over currencies that cross margin shows are left out: each currency stands for itself.
    """
    account = figures(currency, books, markets)
    shown = {
        "balance": account.balance,
        "equity": account.equity,
        "margin_balance": account.margin_balance,
        "initial_margin": account.initial_margin,
        "maintenance_margin": account.maintenance_margin,
        "projected_initial_margin": account.initial_margin,
        "projected_maintenance_margin": account.maintenance_margin,
        "session_rpl": account.session_rpl,
        "session_upl": account.session_upl,
        "total_pl": account.futures_pl + account.options_pl,
        "futures_pl": account.futures_pl,
        "futures_session_rpl": account.futures_session_rpl,
        "futures_session_upl": account.futures_session_upl,
        "options_pl": account.options_pl,
        "options_session_rpl": account.options_session_rpl,
        "options_session_upl": account.options_session_upl,
        "options_value": account.options_value,
        "delta_total": account.delta_total,
        "projected_delta_total": account.delta_total,
    }
    rounded = {name: round_settlement(value) for name, value in shown.items()}
    available = rounded["margin_balance"] - rounded["initial_margin"]
    return {
        "currency": currency,
        **rounded,
        "available_funds": available,
        "available_withdrawal_funds": max(min(available, rounded["balance"]), ZERO),
        **_sensitivities(account, books, markets),
        "margin_model": "segregated_sm",
        "portfolio_margining_enabled": False,
        "cross_collateral_enabled": False,
        "spot_reserve": ZERO,
        "additional_reserve": ZERO,
        "locked_balance": ZERO,
        "fee_balance": ZERO,
    }


def _sensitivities(
    account: Figures, books: Books, markets: Mapping[str, Market]
) -> dict[str, Decimal | dict[str, Decimal]]:
    """Greeks of options and deltas of everything, by index and summed; and how near the end is.

    `estimated_liquidation_ratio` is the estimated liquidation price over the index price.
    """
    maps: dict[str, dict[str, Decimal]] = {name: {} for name in (*_GREEKS, _DELTAS, _RATIOS)}
    for name in books.active_names():
        market, position = markets[name], books.position(name)
        if market.listing.currency != account.currency or not position.size:
            continue
        index_name = market.listing.instrument.price_index
        parts = {_DELTAS: position_delta(market, position)}
        price = liquidation_price(account, market, position)
        if price is not None:
            parts[_RATIOS] = price / market.index_price
        if market.listing.contract.is_option:
            for key, greek in _GREEKS.items():
                parts[key] = position.size * option_greek(market, greek)
        for key, value in parts.items():
            known = ZERO if key == _RATIOS else maps[key].get(index_name, ZERO)
            maps[key][index_name] = round_settlement(known + value)
    sums: dict[str, Decimal | dict[str, Decimal]] = {
        key.removesuffix("_map"): sum(maps[key].values(), ZERO) for key in _GREEKS
    }
    sums["estimated_liquidation_ratio"] = max(maps[_RATIOS].values(), default=ZERO)
    return sums | maps


def account_summary(
    currency: str,
    books: Books,
    markets: Mapping[str, Market],
    limits: Mapping[str, Any],
    *,
    is_extended: bool,
) -> dict[str, Any]:
    """`private/get_account_summary`; `limits` as the account's pools are."""
    summary = portfolio(currency, books, markets) | {"limits": limits}
    return user(books, markets) | summary if is_extended else summary


def account_summaries(
    books: Books, markets: Mapping[str, Market], limits: Mapping[str, Any]
) -> dict[str, Any]:
    """`private/get_account_summaries`: the owner as recorded, and every currency of the account."""
    owner = user(books, markets)
    return {name: owner[name] for name in _IN_SUMMARIES} | {
        "summaries": [
            account_summary(currency, books, markets, limits, is_extended=False)
            for currency in books.cash
        ]
    }


def user(books: Books, markets: Mapping[str, Market]) -> dict[str, Any]:
    """The account's owner, as extended summaries show it."""
    return _OWNER | {
        "self_trading_reject_mode": books.switches.self_trading_reject_mode,
        "fees": _fees(markets),
    }


def _fees(markets: Mapping[str, Market]) -> list[dict[str, Any]]:
    """Commissions by index and kind of instrument. Source: change log 2025-12-16, a list."""
    rates: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
    for market in markets.values():
        item = market.listing.instrument
        kind = "perpetual" if market.listing.is_perpetual else item.kind.value
        rates[item.price_index, kind] = (item.maker_commission, item.taker_commission)
    return [
        {
            "index_name": index_name,
            "kind": kind,
            "value": {"default": {"type": "relative", "maker": maker, "taker": taker}},
        }
        for (index_name, kind), (maker, taker) in rates.items()
    ]
