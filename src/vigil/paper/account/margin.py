"""Margin and the account's figures, one currency at a time.

Source: Deribit knowledge base, standard margin. Futures on bitcoin: initial 2 %, maintenance 1 %,
each plus 0.005 % per coin of position; sold options: 15 % of the underlying less what they are out
of the money, at least 10 %, plus their mark price, maintenance 7.5 % plus mark price. Bought
options need none: they are paid for. The margin balance is cash and the session's profit of
futures; the value of options only adds to equity, as in the documented account summary.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from vigil.domain.money import ZERO, round_nearest
from vigil.domain.order import Direction
from vigil.paper.account.books import Books
from vigil.paper.account.orders import PaperOrder
from vigil.paper.account.positions import PaperPosition, floating_pnl, option_value, total_pnl
from vigil.paper.market.instruments import Listing
from vigil.paper.market.market import Market


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rates:
    """Margin rates of futures on one coin; both grow by `per_coin`."""

    initial: Decimal
    maintenance: Decimal
    per_coin: Decimal


_RATES = {
    "BTC": _Rates(
        initial=Decimal("0.02"), maintenance=Decimal("0.01"), per_coin=Decimal("0.00005")
    ),
    "ETH": _Rates(
        initial=Decimal("0.02"), maintenance=Decimal("0.01"), per_coin=Decimal("0.000002")
    ),
}
# Other coins are higher; how theirs grows differs by coin and is left out.
_OTHER_RATES = _Rates(initial=Decimal("0.04"), maintenance=Decimal("0.02"), per_coin=ZERO)

_SHORT_OPTION = Decimal("0.15")
_SHORT_OPTION_LEAST = Decimal("0.1")
_SHORT_OPTION_MAINTENANCE = Decimal("0.075")
_GREEK_QUANTUM = Decimal("0.00001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The account in one currency, all in that currency.

    Args:
        futures_pl, options_pl: The session's realised profit, and open profit against average.
    """

    currency: str
    balance: Decimal
    futures_session_rpl: Decimal
    options_session_rpl: Decimal
    futures_session_upl: Decimal = ZERO
    options_session_upl: Decimal = ZERO
    futures_pl: Decimal = ZERO
    options_pl: Decimal = ZERO
    options_value: Decimal = ZERO
    initial_margin: Decimal = ZERO
    maintenance_margin: Decimal = ZERO
    futures_delta: Decimal = ZERO
    options_delta: Decimal = ZERO

    @property
    def session_rpl(self) -> Decimal:
        """The session's realised profit of futures and options."""
        return self.futures_session_rpl + self.options_session_rpl

    @property
    def session_upl(self) -> Decimal:
        """The session's open profit of futures and options."""
        return self.futures_session_upl + self.options_session_upl

    @property
    def margin_balance(self) -> Decimal:
        """What margin is measured against: cash and the session's profit of futures."""
        return self.balance + self.futures_session_rpl + self.futures_session_upl

    @property
    def equity(self) -> Decimal:
        """The margin balance and what options are worth."""
        return self.margin_balance + self.options_value

    @property
    def available_funds(self) -> Decimal:
        """What may still become margin."""
        return self.margin_balance - self.initial_margin

    @property
    def delta_total(self) -> Decimal:
        """Coins that the account gains and loses with."""
        return self.futures_delta + self.options_delta


def coins(listing: Listing, amount: Decimal, price: Decimal) -> Decimal:
    """An amount of a future in base coin."""
    return amount if listing.contract.is_linear else amount / price


def initial_margin(market: Market, size: Decimal, price: Decimal) -> Decimal:
    """Margin needed to hold a signed size, in settlement currency; `price` is the mark price."""
    if market.listing.contract.is_option:
        return max(-size, ZERO) * _short_option_initial(market, price)
    return _future_margin(market.listing, abs(size), price, _rates(market.listing).initial)


def maintenance_margin(market: Market, size: Decimal, price: Decimal) -> Decimal:
    """Margin below which a signed size is liquidated, in settlement currency."""
    if market.listing.contract.is_option:
        return max(-size, ZERO) * _short_option_maintenance(market, price)
    return _future_margin(market.listing, abs(size), price, _rates(market.listing).maintenance)


def working_margin(books: Books, market: Market, extra: Iterable[PaperOrder] = ()) -> Decimal:
    """Initial margin of one instrument's position together with its working orders.

    Futures: of the largest size that they can become. Options: of the largest short size, and the
    premium of what is being bought. Reduce-only orders and orders that wait for a trigger do not
    count; `extra` are orders that are about to enter.
    """
    name, mark = market.listing.name, market.mark_price
    size = books.position(name).size
    bought, sold, premium = ZERO, ZERO, ZERO
    for order in _working(books, name, tuple(extra)):
        if order.direction is Direction.BUY:
            bought += order.remaining
            premium += order.remaining * (mark if order.price is None else order.price)
        else:
            sold += order.remaining
    if market.listing.contract.is_option:
        return initial_margin(market, min(size - sold, ZERO), mark) + premium
    return initial_margin(market, max(size + bought, sold - size, ZERO), mark)


def can_afford(books: Books, markets: Mapping[str, Market], order: PaperOrder) -> bool:
    """Whether the account has the initial margin for one more order, or the order adds none."""
    if order.reduce_only or order.waits_for_trigger:
        return True
    market = markets[order.instrument_name]
    added = working_margin(books, market, (order,)) - working_margin(books, market)
    if added <= 0:
        return True
    return figures(market.listing.currency, books, markets).available_funds >= added


def figures(currency: str, books: Books, markets: Mapping[str, Market]) -> Figures:
    """The account in one currency at present mark prices."""
    cash = books.cash_of(currency)
    futures_upl = options_upl = futures_total = options_total = value = ZERO
    initial = maintenance = futures_delta = options_delta = ZERO
    for name in books.active_names():
        market = markets[name]
        listing = market.listing
        if listing.currency != currency:
            continue
        position, mark = books.position(name), market.mark_price
        floating = floating_pnl(listing.contract, position, mark)
        total = total_pnl(listing.contract, position, mark)
        if listing.contract.is_option:
            options_upl += floating
            options_total += total
            value += option_value(position, mark)
            options_delta += position_delta(market, position)
        else:
            futures_upl += floating
            futures_total += total
            futures_delta += position_delta(market, position)
        initial += working_margin(books, market)
        maintenance += maintenance_margin(market, position.size, mark)
    return Figures(
        currency=currency,
        balance=cash.balance,
        futures_session_rpl=cash.session_rpl,
        options_session_rpl=cash.options_session_rpl,
        futures_session_upl=futures_upl,
        options_session_upl=options_upl,
        futures_pl=cash.session_rpl + futures_total,
        options_pl=cash.options_session_rpl + options_total,
        options_value=value,
        initial_margin=initial,
        maintenance_margin=maintenance,
        futures_delta=futures_delta,
        options_delta=options_delta,
    )


def position_delta(market: Market, position: PaperPosition) -> Decimal:
    """Coins that a position gains and loses with."""
    if market.listing.contract.is_option:
        return position.size * option_greek(market, "delta")
    return coins(market.listing, position.size, market.mark_price)


def option_greek(market: Market, name: str) -> Decimal:
    """One sensitivity of an option, with the five decimals that tickers show."""
    value: float = getattr(market.option_quote.greeks, name)
    return round_nearest(Decimal(repr(value)), _GREEK_QUANTUM)


def liquidation_price(account: Figures, market: Market, position: PaperPosition) -> Decimal | None:
    """The mark price of a future at which maintenance margin would reach the margin balance.

    Everything else is taken to stand still. None where no price brings it about.
    """
    listing, mark, size = market.listing, market.mark_price, position.size
    if not size or listing.contract.is_option:
        return None
    held = maintenance_margin(market, size, mark)
    spare = account.margin_balance - (account.maintenance_margin - held)
    rate = held / _futures_value(listing, abs(size), mark)
    if listing.contract.is_linear:
        price = (size * mark - spare) / (size - abs(size) * rate)
    else:
        worth = spare + size / mark
        if not worth:
            return None
        price = (size + abs(size) * rate) / worth
    return price if price > 0 else None


def _working(books: Books, instrument_name: str, extra: tuple[PaperOrder, ...]) -> list[PaperOrder]:
    entering = {order.order_id for order in extra}
    resting = [o for o in books.live_orders(instrument_name) if o.order_id not in entering]
    return [o for o in (*resting, *extra) if not o.reduce_only and not o.waits_for_trigger]


def _rates(listing: Listing) -> _Rates:
    return _RATES.get(listing.instrument.base_currency, _OTHER_RATES)


def _futures_value(listing: Listing, amount: Decimal, price: Decimal) -> Decimal:
    return amount * price if listing.contract.is_linear else amount / price


def _future_margin(listing: Listing, amount: Decimal, price: Decimal, rate: Decimal) -> Decimal:
    rate += _rates(listing).per_coin * coins(listing, amount, price)
    return _futures_value(listing, amount, price) * rate


def _short_option_initial(market: Market, price: Decimal) -> Decimal:
    """Of one unit sold: in coin where inverse, in the quote currency where linear."""
    underlying, strike = market.option_quote.underlying_price, market.listing.strike
    assert strike is not None
    beyond = strike - underlying if market.listing.is_call else underlying - strike
    share = max(_SHORT_OPTION - max(beyond, ZERO) / underlying, _SHORT_OPTION_LEAST)
    unit = underlying if market.listing.contract.is_linear else 1
    return max(share * unit + price, _short_option_maintenance(market, price))


def _short_option_maintenance(market: Market, price: Decimal) -> Decimal:
    unit = market.option_quote.underlying_price if market.listing.contract.is_linear else Decimal(1)
    share = _SHORT_OPTION_MAINTENANCE * unit
    if not market.listing.is_call:
        share = max(share, _SHORT_OPTION_MAINTENANCE * price)
    return share + price
