"""Margin and the account's figures, one currency at a time.

Source: Deribit knowledge base, standard margin: initial 2 %, maintenance 1 %, each plus 0.005 %
per coin of position.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from vigil.domain.money import ZERO
from vigil.domain.order import Direction
from vigil.paper.account.books import Books
from vigil.paper.account.orders import PaperOrder
from vigil.paper.account.positions import floating_pnl
from vigil.paper.market.instruments import Listing
from vigil.paper.market.market import Market

_INITIAL = Decimal("0.02")
_MAINTENANCE = Decimal("0.01")
_PER_COIN = Decimal("0.00005")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The account in one currency, all in that currency."""

    currency: str
    balance: Decimal
    session_rpl: Decimal
    session_upl: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    delta_total: Decimal

    @property
    def equity(self) -> Decimal:
        """Cash and the session's profit, realised or not."""
        return self.balance + self.session_rpl + self.session_upl

    @property
    def available_funds(self) -> Decimal:
        """What may still become margin."""
        return self.equity - self.initial_margin


def notional(listing: Listing, amount: Decimal, price: Decimal) -> Decimal:
    """What fees and margin are reckoned on, in settlement currency."""
    return amount * price if listing.instrument.is_linear else amount / price


def coins(listing: Listing, amount: Decimal, price: Decimal) -> Decimal:
    """An amount in base coin."""
    return amount if listing.instrument.is_linear else amount / price


def initial_margin(listing: Listing, amount: Decimal, price: Decimal) -> Decimal:
    """Margin needed to hold `amount`, in settlement currency."""
    return notional(listing, amount, price) * (_INITIAL + _PER_COIN * coins(listing, amount, price))


def maintenance_margin(listing: Listing, amount: Decimal, price: Decimal) -> Decimal:
    """Margin below which `amount` is liquidated, in settlement currency."""
    rate = _MAINTENANCE + _PER_COIN * coins(listing, amount, price)
    return notional(listing, amount, price) * rate


def exposure(books: Books, instrument_name: str, extra: Iterable[PaperOrder] = ()) -> Decimal:
    """The largest size that the position and its working orders can become.

    Reduce-only orders and orders that wait for a trigger do not count; `extra` are orders that
    are about to enter.
    """
    added = dict.fromkeys(Direction, ZERO)
    extra = tuple(extra)
    entering = {order.order_id for order in extra}
    working = [o for o in books.live_orders(instrument_name) if o.order_id not in entering]
    for order in (*working, *extra):
        if not order.reduce_only and not order.waits_for_trigger:
            added[order.direction] += order.remaining
    size = books.position(instrument_name).size
    return max(size + added[Direction.BUY], -(size - added[Direction.SELL]), ZERO)


def can_afford(books: Books, markets: Mapping[str, Market], order: PaperOrder) -> bool:
    """Whether the account has the initial margin for one more order, or the order adds none."""
    if order.reduce_only or order.waits_for_trigger:
        return True
    market = markets[order.instrument_name]
    before = exposure(books, order.instrument_name)
    after = exposure(books, order.instrument_name, (order,))
    if after <= before:
        return True
    needed = initial_margin(market.listing, after, market.mark_price)
    held = initial_margin(market.listing, before, market.mark_price)
    return figures(market.listing.currency, books, markets).available_funds >= needed - held


def figures(currency: str, books: Books, markets: Mapping[str, Market]) -> Figures:
    """The account in one currency at present mark prices."""
    cash = books.cash[currency]
    upl = initial = maintenance = delta = ZERO
    for name, market in markets.items():
        listing = market.listing
        if listing.currency != currency:
            continue
        position, mark = books.position(name), market.mark_price
        upl += floating_pnl(listing.contract, position, mark)
        initial += initial_margin(listing, exposure(books, name), mark)
        maintenance += maintenance_margin(listing, abs(position.size), mark)
        delta += coins(listing, position.size, mark)
    return Figures(
        currency=currency,
        balance=cash.balance,
        session_rpl=cash.session_rpl,
        session_upl=upl,
        initial_margin=initial,
        maintenance_margin=maintenance,
        delta_total=delta,
    )
