"""Methods that anybody may call: time, status, currencies, instruments, tickers, books.

Source: Deribit API v2, market data and supporting methods.
"""

from typing import Any

from vigil.domain.instrument import Kind
from vigil.paper.market.expiries import expiry_name
from vigil.paper.market.instruments import CURRENCIES, Listing
from vigil.paper.market.market import EMPTY_STATES, Market
from vigil.paper.methods.calls import Call, Methods
from vigil.paper.methods.selection import is_in
from vigil.paper.refusals import Refusal, invalid_param
from vigil.paper.wire import render_market

VERSION = "1.2.26"
_DEPTHS = (1, 5, 10, 20, 50, 100, 1000, 10_000)
_COIN_NAMES = {
    "BTC": "Bitcoin",
    "ETH": "Ethereum",
    "USDC": "USD Coin",
    "SOL": "Solana",
    "XRP": "XRP",
}
_STABLE = ("USDC", "USDT")
_KINDS = [kind.value for kind in Kind]


def _get_time(call: Call) -> int:
    return call.now_ms


def _test(call: Call) -> dict[str, str]:
    """The answer to a heartbeat's `test_request`, too."""
    if call.session.pulse is not None:
        call.session.pulse.answer()
    if call.params.text("expected_result", "") == "exception":
        raise Refusal(-32000, "exception")
    return {"version": VERSION}


def _hello(call: Call) -> dict[str, str]:
    call.params.text("client_name")
    call.params.text("client_version")
    return {"version": VERSION}


def _status(call: Call) -> dict[str, Any]:
    return call.exchange.platform.status()


def _currencies(call: Call) -> list[dict[str, Any]]:
    return [
        {
            "currency": currency,
            "currency_long": _COIN_NAMES.get(currency, currency),
            "coin_type": "ETHER" if currency in _STABLE else currency,
            "network_currency": "ETH" if currency in _STABLE else currency,
            "min_confirmations": 1,
            "min_withdrawal_fee": 0,
            "withdrawal_fee": 0,
            "network_fee": 0,
            "apr": 0,
            "withdrawal_priorities": [],
            "fee_precision": 8,
            "decimals": 6 if currency in _STABLE else 8,
            "in_cross_collateral_pool": False,
        }
        for currency in _known_currencies(call)
    ]


def _known_currencies(call: Call) -> list[str]:
    """What instruments are settled in, and the coins that they are on."""
    catalogue = call.exchange.catalogue
    coins = (listing.instrument.base_currency for listing in catalogue.listings)
    return list(dict.fromkeys((*catalogue.currencies, *coins)))


def read_public_currency(call: Call, *, default: str | None = "any") -> str:
    """A currency that there is, whether the account has it or not, or `any`. Raises: Refusal."""
    value = call.params.text("currency", default)
    if value == "any" or value.upper() in (*CURRENCIES, *_known_currencies(call)):
        return value if value == "any" else value.upper()
    raise invalid_param("currency", "invalid currency")


def _instruments(call: Call) -> list[dict[str, Any]]:
    """By expiry, futures before options; what has expired only when it is asked for."""
    currency = read_public_currency(call)
    kind = call.params.choice("kind", (*_KINDS, "any"), "any")
    wants_expired = call.params.flag("expired")
    found = [
        market
        for name, market in call.exchange.markets.items()
        if (market.state in EMPTY_STATES) is wants_expired and is_in(call, name, currency, kind)
    ]
    found.sort(key=_place_in_list)
    return [render_market.instrument(market.listing, market.state) for market in found]


def _place_in_list(market: Market) -> tuple[Any, ...]:
    listing = market.listing
    is_option = listing.strike is not None
    return (
        is_option,
        listing.expires_ms,
        listing.instrument.price_index,
        listing.strike or 0,
        not listing.is_call,
        listing.instrument_id,
    )


def _instrument(call: Call) -> dict[str, Any]:
    market = call.market()
    return render_market.instrument(market.listing, market.state)


def _contract_size(call: Call) -> dict[str, Any]:
    return {"contract_size": call.market().listing.instrument.contract_size}


def _ticker(call: Call) -> dict[str, Any]:
    return render_market.ticker(call.market(), call.now_ms, missing=call.exchange.missing_price)


def _order_book(call: Call) -> dict[str, Any]:
    market = call.market()
    wanted = call.params.integer("depth", 5, least=1)
    depth = next((depth for depth in _DEPTHS if depth >= wanted), _DEPTHS[-1])
    view = call.publisher.book(market.listing.name)
    return _ticker(call) | {"change_id": view.change_id} | view.window(depth)


def _book_summary_by_currency(call: Call) -> list[dict[str, Any]]:
    currency = read_public_currency(call, default=None)
    kind = call.params.choice("kind", (*_KINDS, "any"), "any")
    return [
        render_market.book_summary(market, call.now_ms)
        for name, market in call.exchange.markets.items()
        if market.state not in EMPTY_STATES and is_in(call, name, currency, kind)
    ]


def _book_summary_by_instrument(call: Call) -> list[dict[str, Any]]:
    return [render_market.book_summary(call.market(), call.now_ms)]


def _expirations(call: Call) -> dict[str, Any]:
    """Names of expiries by kind; by currency and kind for one currency, or when `grouped`."""
    currency = call.params.text("currency", "any")
    kind = call.params.choice("kind", ("future", "option", "any"), "any")
    listings = [
        market.listing
        for market in call.exchange.markets.values()
        if market.state not in EMPTY_STATES
    ]
    if currency == "any":
        return _expiries_by_kind(listings, kind)
    wanted = _known_currencies(call)
    if currency != "grouped":
        wanted = [read_public_currency(call)]
    grouped = {
        name.lower(): _expiries_by_kind([i for i in listings if i.currency == name], kind)
        for name in wanted
    }
    return {name: expiries for name, expiries in grouped.items() if any(expiries.values())}


def _expiries_by_kind(listings: list[Listing], kind: str) -> dict[str, list[str]]:
    kinds = ("future", "option") if kind == "any" else (kind,)
    by_kind = {}
    for name in kinds:
        chosen = [item for item in listings if item.instrument.kind == name]
        times = sorted({item.expires_ms for item in chosen if not item.is_perpetual})
        has_perpetual = any(item.is_perpetual for item in chosen)
        by_kind[name] = [expiry_name(time) for time in times] + ["PERPETUAL"] * has_perpetual
    return by_kind


def _index_price(call: Call) -> dict[str, Any]:
    index = call.exchange.floor.indexes.by_name[read_index(call)]
    return {
        "index_price": index.price,
        "estimated_delivery_price": index.estimated_delivery_price,
    }


def read_index(call: Call) -> str:
    """The index asked for. Raises: Refusal."""
    return call.params.choice("index_name", call.exchange.catalogue.index_names)


def _index_price_names(call: Call) -> list[Any]:
    """Names; with more about each when `extended` is asked for."""
    catalogue = call.exchange.catalogue
    if not call.params.flag("extended"):
        return list(catalogue.index_names)
    with_futures = {item.instrument.price_index for item in catalogue.listings if not item.strike}
    with_options = {item.instrument.price_index for item in catalogue.listings if item.strike}
    return [
        {
            "name": name,
            "future_combo_creation_enabled": name in with_futures,
            "option_combo_creation_enabled": name in with_options,
        }
        for name in catalogue.index_names
    ]


MARKET_METHODS: Methods = {
    "public/get_time": _get_time,
    "public/test": _test,
    "public/hello": _hello,
    "public/status": _status,
    "public/get_currencies": _currencies,
    "public/get_instruments": _instruments,
    "public/get_instrument": _instrument,
    "public/get_contract_size": _contract_size,
    "public/get_expirations": _expirations,
    "public/ticker": _ticker,
    "public/get_order_book": _order_book,
    "public/get_book_summary_by_currency": _book_summary_by_currency,
    "public/get_book_summary_by_instrument": _book_summary_by_instrument,
    "public/get_index_price": _index_price,
    "public/get_index_price_names": _index_price_names,
}
