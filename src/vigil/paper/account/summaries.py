"""Account summaries, portfolios and chart columns: figures gathered over many records.

Source: Deribit API v2, account summary (recorded) and chart data (recorded).
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from vigil.domain.money import ZERO, round_settlement
from vigil.paper.account.books import Books
from vigil.paper.account.margin import figures
from vigil.paper.exchange import Exchange
from vigil.paper.market.market import Market
from vigil.paper.wire.render import USER_ID, USERNAME

_CREATED_MS = 1_687_352_432_143
_CANDLE_COST_USD = Decimal(250_000)

# The lowest tier, as recorded in December 2025.
_LIMITS = {
    "limits_per_currency": False,
    "non_matching_engine": {"rate": 20, "burst": 100},
    "matching_engine": {
        "trading": {"total": {"rate": 5, "burst": 20}},
        "spot": {"rate": 5, "burst": 20},
        "cancel_all": {"rate": 5, "burst": 20},
        "maximum_quotes": {"rate": 500, "burst": 500},
        "maximum_mass_quotes": {"rate": 10, "burst": 10},
        "guaranteed_mass_quotes": {"rate": 2, "burst": 2},
        "block_rfq_maker": {"rate": 10, "burst": 20},
    },
}


def portfolio(currency: str, books: Books, markets: Mapping[str, Market]) -> dict[str, Any]:
    """One currency's figures, as `user.portfolio` and the summaries carry them."""
    account = figures(currency, books, markets)
    initial = round_settlement(account.initial_margin)
    maintenance = round_settlement(account.maintenance_margin)
    equity = round_settlement(account.equity)
    delta = round_settlement(account.delta_total)
    upl = round_settlement(account.session_upl)
    total = account.session_rpl + upl
    available = equity - initial
    return {
        "currency": currency,
        "balance": account.balance,
        "equity": equity,
        "margin_balance": equity,
        "available_funds": available,
        "available_withdrawal_funds": max(min(available, account.balance), ZERO),
        "initial_margin": initial,
        "maintenance_margin": maintenance,
        "projected_initial_margin": initial,
        "projected_maintenance_margin": maintenance,
        "session_rpl": account.session_rpl,
        "session_upl": upl,
        "total_pl": total,
        "futures_pl": total,
        "futures_session_rpl": account.session_rpl,
        "futures_session_upl": upl,
        "options_pl": ZERO,
        "options_session_rpl": ZERO,
        "options_session_upl": ZERO,
        "options_value": ZERO,
        "options_delta": ZERO,
        "options_gamma": ZERO,
        "options_vega": ZERO,
        "options_theta": ZERO,
        "delta_total": delta,
        "projected_delta_total": delta,
        "margin_model": "segregated_sm",
        "portfolio_margining_enabled": False,
        "cross_collateral_enabled": False,
        "spot_reserve": ZERO,
        "additional_reserve": ZERO,
        "locked_balance": ZERO,
        "fee_balance": ZERO,
    }


def account_summary(
    currency: str, books: Books, markets: Mapping[str, Market], *, is_extended: bool
) -> dict[str, Any]:
    """`private/get_account_summary`."""
    summary = portfolio(currency, books, markets) | {"limits": _LIMITS}
    return user() | summary if is_extended else summary


def user() -> dict[str, Any]:
    """The account's owner, as extended summaries show it."""
    return {
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
    }


def chart(
    exchange: Exchange, market: Market, start_ms: int, end_ms: int, resolution_minutes: int
) -> dict[str, Any]:
    """`public/get_tradingview_chart_data`: parallel arrays, oldest first."""
    name = market.listing.name
    candles = exchange.charts[market.listing.instrument.price_index].candles(
        start_ms, end_ms, resolution_minutes
    )
    closes = [exchange.mark_of(name, candle.close) for candle in candles]
    costs = [_CANDLE_COST_USD * resolution_minutes for _ in candles]
    return {
        "status": "ok" if candles else "no_data",
        "ticks": [candle.start_ms for candle in candles],
        "open": [exchange.mark_of(name, candle.open) for candle in candles],
        "high": [exchange.mark_of(name, candle.high) for candle in candles],
        "low": [exchange.mark_of(name, candle.low) for candle in candles],
        "close": closes,
        "volume": [
            round_settlement(cost / close) for cost, close in zip(costs, closes, strict=True)
        ],
        "cost": costs,
    }
