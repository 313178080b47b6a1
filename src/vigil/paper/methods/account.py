"""Methods that read the account as it stands: positions, summaries, margins, locks.

Source: Deribit API v2, account methods.
"""

from decimal import Decimal
from typing import Any

from vigil.paper.account import summaries
from vigil.paper.account.margin import initial_margin
from vigil.paper.market.market import Market
from vigil.paper.methods.calls import Call, Methods
from vigil.paper.methods.selection import is_in, read_kind
from vigil.paper.refusals import invalid_param
from vigil.paper.wire import render_account


def _position(call: Call) -> dict[str, Any]:
    exchange, name = call.exchange, call.market().listing.name
    return render_account.position(exchange.books, exchange.markets, name)


def _positions(call: Call) -> list[dict[str, Any]]:
    currency, kind = call.currency("any", default="any"), read_kind(call)
    exchange = call.exchange
    return [
        render_account.position(exchange.books, exchange.markets, name)
        for name, position in exchange.books.positions.items()
        if is_in(call, name, currency, kind)
        and (position.size or exchange.switches.lists_flat_positions)
    ]


def _account_summary(call: Call) -> dict[str, Any]:
    is_extended = call.params.flag("extended")
    exchange, currency = call.exchange, call.currency()
    if currency not in exchange.books.cash:
        raise invalid_param("currency", "invalid currency")
    return summaries.account_summary(
        currency,
        exchange.books,
        exchange.markets,
        call.sessions.limits.as_object(),
        is_extended=is_extended,
    )


def _account_summaries(call: Call) -> dict[str, Any]:
    call.params.flag("extended")
    limits = call.sessions.limits.as_object()
    return summaries.account_summaries(call.exchange.books, call.exchange.markets, limits)


def _margins(call: Call) -> dict[str, Any]:
    """What an order of that amount and price would need, by direction."""
    market = call.market()
    amount, price = call.params.number("amount"), call.params.number("price")
    for name, value in (("amount", amount), ("price", price)):
        if value <= 0:
            raise invalid_param(name)
    return {
        "buy": _order_margin(market, amount, price),
        "sell": _order_margin(market, -amount, price),
        "min_price": market.min_price,
        "max_price": market.max_price,
    }


def _order_margin(market: Market, signed_amount: Decimal, price: Decimal) -> Decimal:
    """Initial margin; of an option that is bought, its price."""
    if market.listing.contract.is_option and signed_amount > 0:
        return signed_amount * price
    return initial_margin(market, signed_amount, price)


def _user_locks(call: Call) -> list[dict[str, Any]]:
    return call.exchange.platform.user_locks(call.exchange.books.cash)


ACCOUNT_METHODS: Methods = {
    "private/get_position": _position,
    "private/get_positions": _positions,
    "private/get_account_summary": _account_summary,
    "private/get_account_summaries": _account_summaries,
    "private/get_margins": _margins,
    "private/get_user_locks": _user_locks,
}
