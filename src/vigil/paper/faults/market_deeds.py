"""Deeds to prices, order books and instruments. Pure."""

from collections.abc import Mapping
from dataclasses import replace as with_changes
from decimal import Decimal

import msgspec

from vigil.paper.faults.deed import Deed, Doing, Scene
from vigil.paper.faults.entry import Unfit
from vigil.paper.market.depth import BookTrouble
from vigil.paper.market.market import BookState, Market
from vigil.paper.reactions import Outgoing

_TROUBLES = {
    "thin": BookTrouble.THIN,
    "empty": BookTrouble.EMPTY,
    "crossed": BookTrouble.CROSSED,
    "far-mark": BookTrouble.AWAY,
    "calm": None,
}


def _change_instrument(scene: Scene) -> Deed:
    market, values = scene.market(), scene.values
    changes = {
        name: values[name]
        for name in ("tick_size", "min_trade_amount", "contract_size")
        if values[name] is not None
    }
    if not changes:
        raise Unfit("tick_size", "name a new tick_size, min_trade_amount or contract_size")
    if "tick_size" in changes:
        changes["tick_size_steps"] = ()
    instrument = msgspec.structs.replace(market.listing.instrument, **changes)
    listing = with_changes(market.listing, instrument=instrument)
    scene.exchange.catalogue.add(listing)
    market.go_on(listing)
    return Deed(done={"instrument_name": listing.name} | changes)


def _suspend_instrument(scene: Scene) -> Deed:
    market = scene.market()
    before, wanted = market.state, BookState(scene.values["state"])
    market.state = wanted

    def take_back(_: int) -> tuple[Outgoing, ...]:
        if market.state is wanted:  # else it was delivered, or closed by somebody else, meanwhile
            # A settlement break that was on then may have ended, and nobody would open it again.
            market.state = BookState.OPEN if before is BookState.SETTLEMENT else before
        return ()

    return Deed(done={"state": wanted.value}, undo=take_back)


def _move_price(scene: Scene) -> Deed:
    name, exchange = scene.values["price_index"], scene.exchange
    if name not in exchange.prices:
        raise Unfit("price_index", f"{name} is none of {', '.join(exchange.prices)}")
    before, price = exchange.prices[name], _wanted_price(scene, exchange.prices[name])
    exchange.set_price(name, price, scene.now_ms)

    def take_back(now_ms: int) -> tuple[Outgoing, ...]:
        exchange.set_price(name, before, now_ms)
        return ()

    return Deed(done={"price_index": name, "price": price, "before": before}, undo=take_back)


def _wanted_price(scene: Scene, before: Decimal) -> Decimal:
    price, percent = scene.values["price"], scene.values["percent"]
    if (price is None) == (percent is None):
        raise Unfit("price", "give a price or a percent, one of them")
    return Decimal(price) if price is not None else before * (100 + percent) / 100


def _disturb_book(scene: Scene) -> Deed:
    market = scene.market()
    market.go_on(market.listing, _TROUBLES[scene.values["how"]])
    _print_there(scene, market)

    def calm(_: int) -> tuple[Outgoing, ...]:
        market.go_on(market.listing)
        return ()

    return Deed(done={"how": scene.values["how"]}, undo=calm)


def _print_there(scene: Scene, market: Market) -> None:
    """Let somebody trade in the book as it is now, so that its last price is of it."""
    index_name = market.listing.instrument.price_index
    scene.exchange.set_price(index_name, scene.exchange.prices[index_name], scene.now_ms)


MARKET_DEEDS: Mapping[str, Doing] = {
    "change-instrument": _change_instrument,
    "suspend-instrument": _suspend_instrument,
    "move-price": _move_price,
    "disturb-book": _disturb_book,
}
