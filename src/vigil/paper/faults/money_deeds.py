"""Deeds to positions and cash that no order of the account explains. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from vigil.domain.money import is_multiple
from vigil.domain.order import Direction
from vigil.paper.account.log_rows import LogRow
from vigil.paper.account.orders import PaperTrade
from vigil.paper.account.positions import apply_fill
from vigil.paper.account.transaction_log import trade_premium, write_change
from vigil.paper.faults.deed import Deed, Doing, Scene
from vigil.paper.faults.entry import Unfit
from vigil.paper.market.market import BookState
from vigil.paper.matching.execution import book_fill
from vigil.paper.reactions import Outgoing

# Inside of it the rate is zero, so a premium has to be that much further out.
# Source: Deribit knowledge base, funding.
_DAMPENER = Decimal("0.00025")


def _transfer(scene: Scene) -> Deed:
    transfers = scene.exchange.clearing.transfers
    return _row(transfers.transfer(scene.currency(), scene.values["amount"], now_ms=scene.now_ms))


def _correct_cash(scene: Scene) -> Deed:
    transfers = scene.exchange.clearing.transfers
    row = transfers.correct(
        scene.currency(), scene.values["amount"], now_ms=scene.now_ms, note="correction"
    )
    return _row(row)


def _socialise_loss(scene: Scene) -> Deed:
    transfers = scene.exchange.clearing.transfers
    return _row(transfers.socialise(scene.currency(), scene.values["amount"], now_ms=scene.now_ms))


def _liquidate(scene: Scene) -> Deed:
    name, _, amount = _held(scene)
    market = scene.exchange.markets[name]
    if market.state is not BookState.OPEN:
        raise Unfit("instrument_name", f"the book of {name} is {market.state.value}")
    scene.exchange.clearing.liquidate(name, amount, scene.now_ms)
    left = scene.exchange.books.position(name).size
    return Deed(done={"instrument_name": name, "position": left})


def _deleverage(scene: Scene) -> Deed:
    name, side, amount = _held(scene)
    row = scene.exchange.clearing.transfers.adl(name, side.opposite, amount, now_ms=scene.now_ms)
    return _row(row)


def _block_trade(scene: Scene) -> Deed:
    values, market = scene.values, scene.market()
    instrument = market.listing.instrument
    price = values["price"] or instrument.round_price(market.mark_price)
    if market.state is not BookState.OPEN:
        raise Unfit("instrument_name", f"the book of {market.listing.name} is {market.state.value}")
    if not is_multiple(values["amount"], instrument.amount_step):
        raise Unfit("amount", f"no multiple of {instrument.amount_step}")
    trade = scene.exchange.clearing.transfers.block_trade(
        market.listing.name,
        Direction(values["direction"]),
        values["amount"],
        price,
        now_ms=scene.now_ms,
    )
    return Deed(done={"trade_id": trade.trade_id, "block_trade_id": trade.block_trade_id})


def _settle(scene: Scene) -> Deed:
    before = len(scene.exchange.books.log)
    scene.exchange.clearing.settle(scene.now_ms)
    return Deed(done={"log_rows": len(scene.exchange.books.log) - before})


def _deliver(scene: Scene) -> Deed:
    market = scene.market()
    if market.listing.is_perpetual:
        raise Unfit("instrument_name", f"{market.listing.name} is a perpetual and never expires")
    if market.state in (BookState.DELIVERED, BookState.ARCHIVIZED):
        raise Unfit("instrument_name", f"{market.listing.name} is {market.state.value} already")
    scene.exchange.clearing.deliver(market.listing.name, scene.now_ms)
    return Deed(done={"delivery_price": market.delivery_price})


def _set_funding(scene: Scene) -> Deed:
    """By the premium of mark over index, which is what makes the rate."""
    market = scene.market()
    if not market.listing.is_perpetual:
        raise Unfit("instrument_name", f"{market.listing.name} is no perpetual")
    rate = scene.values["rate"]
    if rate is None:
        rate = -market.current_funding
    before = market.premium
    premium = rate + _DAMPENER.copy_sign(rate) if rate else Decimal(0)
    name, exchange = market.listing.name, scene.exchange
    exchange.set_premium(name, premium, scene.now_ms)

    def take_back(now_ms: int) -> tuple[Outgoing, ...]:
        exchange.set_premium(name, before, now_ms)
        return ()

    return Deed(done={"rate": market.current_funding}, undo=take_back)


def _bust_trade(scene: Scene) -> Deed:
    """Take a trade back: position, profit and fee, with a row of its own. The trade stays told."""
    trade = _trade(scene)
    exchange = scene.exchange
    market, books = exchange.markets[trade.instrument_name], exchange.books
    listing, back = market.listing, trade.direction.opposite
    effect = apply_fill(
        listing.contract, books.position(listing.name), back, trade.amount, trade.price
    )
    premium = trade_premium(listing, back.sign, trade.amount, trade.price)
    book_fill(books, listing, effect, premium=Decimal(0), fee=Decimal(0))
    row = write_change(
        "correction",
        trade.fee_currency,
        premium + trade.fee,
        books,
        exchange.markets,
        now_ms=scene.now_ms,
        instrument_name=listing.name,
        side=f"{'close' if effect.closed_amount else 'open'} {back.value}",
        amount=trade.amount,
        price=trade.price,
        position=effect.position.size,
        commission=-trade.fee,
        cashflow=premium if listing.contract.is_option else effect.profit_loss,
        trade_id=trade.trade_id,
        order_id=trade.order_id,
        note="trade busted",
    )
    done = replace(_row(row))
    return Deed(done=done.done | {"trade_id": trade.trade_id})


def _trade(scene: Scene) -> PaperTrade:
    trades, trade_id = scene.exchange.books.trades, scene.values["trade_id"]
    for trade in reversed(trades):
        if trade_id in (None, trade.trade_id):
            return trade
    raise Unfit("trade_id", "there is no such trade")


def _held(scene: Scene) -> tuple[str, Direction, Decimal]:
    """The position that is meant: instrument, side, and how much of it."""
    name = scene.market().listing.name
    position = scene.exchange.books.position(name)
    if position.side is None:
        raise Unfit("instrument_name", f"there is no position in {name}")
    size = abs(position.size)
    return name, position.side, min(scene.values["amount"] or size, size)


def _row(row: LogRow) -> Deed:
    return Deed(
        done={
            "user_seq": row.user_seq,
            "type": row.row_type,
            "currency": row.currency,
            "change": row.change,
            "balance": row.balance,
        }
    )


MONEY_DEEDS: Mapping[str, Doing] = {
    "transfer": _transfer,
    "liquidate": _liquidate,
    "deleverage": _deleverage,
    "socialise-loss": _socialise_loss,
    "block-trade": _block_trade,
    "settle": _settle,
    "deliver": _deliver,
    "set-funding": _set_funding,
    "bust-trade": _bust_trade,
    "correct-cash": _correct_cash,
}
