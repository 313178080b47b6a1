"""Deeds of the exchange as a whole: credits, locks, maintenance, rollback. Pure."""

import copy
from collections.abc import Iterable, Mapping

from vigil.domain.money import ZERO
from vigil.paper.account.books import Books, OrderChanged, Settled, Traded, TriggerEnded, Wiped
from vigil.paper.account.books import Logged as LogWritten
from vigil.paper.exchange import START_BALANCES
from vigil.paper.faults.deed import Deed, Doing, Scene
from vigil.paper.faults.entry import Unfit
from vigil.paper.market.market import BookState, Market
from vigil.paper.reactions import Outgoing
from vigil.paper.session.credits import PoolName

_POOLS = {
    "all": tuple(PoolName),
    "requests": (PoolName.DEFAULT, PoolName.SUBSCRIBE, PoolName.TRANSACTION_LOG),
    "matching": (PoolName.TRADING, PoolName.SPOT, PoolName.CANCEL_ALL),
}


def _drain_credits(scene: Scene) -> Deed:
    pools = _POOLS[scene.values["pool"]]
    for pool in pools:
        scene.venue.purse.account.drain(pool, scene.now_ms)
    return Deed(done={"pools": [pool.value for pool in pools]})


def _lock_platform(scene: Scene) -> Deed:
    venue, index_name = scene.venue, scene.values["price_index"]
    known = scene.exchange.catalogue.index_names
    if index_name is not None and index_name not in known:
        raise Unfit("price_index", f"{index_name} is none of {', '.join(known)}")
    if not scene.values["locked"]:
        return Deed(
            outgoing=venue.operator.unlock_platform(index_name), done=venue.platform.status()
        )
    told = venue.operator.lock_platform(index_name)
    return Deed(
        outgoing=told,
        done=venue.platform.status(),
        undo=lambda _: venue.operator.unlock_platform(index_name),
    )


def _maintenance(scene: Scene) -> Deed:
    venue = scene.venue
    if not scene.values["on"]:
        return Deed(outgoing=venue.operator.end_maintenance(), done={"maintenance": False})
    return Deed(
        outgoing=venue.operator.start_maintenance(),
        done={"maintenance": True},
        undo=lambda _: venue.operator.end_maintenance(),
    )


def _refuse_public(scene: Scene) -> Deed:
    operator, is_on = scene.venue.operator, scene.values["refused"]
    return Deed(
        outgoing=operator.allow_public_requests(is_on=not is_on),
        done=scene.venue.platform.public_methods_state(),
        undo=lambda _: operator.allow_public_requests(is_on=True),
    )


def _slow_matching(scene: Scene) -> Deed:
    queue = scene.venue.queue
    queue.processing_ms = scene.values["processing_ms"]

    def hurry(_: int) -> tuple[Outgoing, ...]:
        queue.processing_ms = 0
        return ()

    return Deed(done={"processing_ms": queue.processing_ms}, undo=hurry)


def _settlement_break(scene: Scene) -> Deed:
    closed = [market for market in scene.markets() if market.state is BookState.OPEN]
    for market in closed:
        market.state = BookState.SETTLEMENT

    def reopen(_: int) -> tuple[Outgoing, ...]:
        _open_again(closed)
        return ()

    return Deed(done={"instruments": [market.listing.name for market in closed]}, undo=reopen)


def _open_again(markets: Iterable[Market]) -> None:
    for market in markets:
        if market.state is BookState.SETTLEMENT:
            market.state = BookState.OPEN


def _remember_exchange(scene: Scene) -> Deed:
    scene.memory.books = copy.deepcopy(scene.exchange.books)
    return Deed(done=_counts(scene.exchange.books))


def _reset_exchange(scene: Scene) -> Deed:
    books = scene.exchange.books
    if scene.values["to"] == "empty":
        balances = {name: START_BALANCES.get(name, ZERO) for name in books.cash}
        wanted = Books(balances, books.switches)
    elif scene.memory.books is None:
        raise Unfit("to", "nothing was remembered; do remember-exchange first")
    else:
        wanted = copy.deepcopy(scene.memory.books)
    # In place, because engine, clearing and notifications all hold these books.
    vars(books).update(vars(wanted))
    books.journal = [
        Wiped(),
        *(OrderChanged(order=order, is_silent=True) for order in books.order_records.everything()),
        *(Traded(trade=trade) for trade in books.trades),
        *(TriggerEnded(end=end) for end in books.trigger_ends.items),
        *(LogWritten(row=row) for row in books.log),
        *(Settled(row=row) for row in books.settlements),
    ]
    return Deed(done=_counts(books), ends_connections=True)


def _counts(books: Books) -> dict[str, int]:
    return {
        "open_orders": books.order_records.live_count(),
        "trades": len(books.trades),
        "log_rows": len(books.log),
    }


PLATFORM_DEEDS: Mapping[str, Doing] = {
    "drain-credits": _drain_credits,
    "lock-platform": _lock_platform,
    "maintenance": _maintenance,
    "refuse-public": _refuse_public,
    "slow-matching": _slow_matching,
    "settlement-break": _settlement_break,
    "remember-exchange": _remember_exchange,
    "reset-exchange": _reset_exchange,
}
