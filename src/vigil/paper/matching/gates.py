"""Is the book open? What each state of an order book, and a locked index, refuses.

Source: Deribit API v2, order book states since January 2026; platform locks.
"""

from collections.abc import Collection

from vigil.paper.market.market import BookState, Market
from vigil.paper.refusals import refusal_of
from vigil.paper.switches import Switches


def is_trading(market: Market, locked_indexes: Collection[str]) -> bool:
    """Whether orders of that market may fill and fire."""
    is_locked = market.listing.instrument.price_index in locked_indexes
    return market.state is BookState.OPEN and not is_locked


def check_may_enter(market: Market, locked_indexes: Collection[str], switches: Switches) -> None:
    """Whether an order may be placed or edited. Raises: Refusal."""
    if is_trading(market, locked_indexes):
        return
    match market.state:
        case BookState.OPEN | BookState.LOCKED:
            raise refusal_of(switches.locked_code)
        case BookState.SETTLEMENT:
            raise refusal_of(10041)
        case BookState.HALTED:
            raise refusal_of(10012)
        case BookState.DELIVERED | BookState.INACTIVE | BookState.ARCHIVIZED:
            raise refusal_of(switches.closed_book_code)


def check_may_cancel(market: Market, switches: Switches) -> None:
    """Whether an order may be cancelled on request; a locked book allows it. Raises: Refusal."""
    match market.state:
        case BookState.SETTLEMENT:
            raise refusal_of(10041)
        case BookState.HALTED if switches.halted_refuses_cancel:
            raise refusal_of(10012)
        case BookState.DELIVERED | BookState.INACTIVE | BookState.ARCHIVIZED:
            raise refusal_of(switches.closed_book_code)
        case _:
            pass
