"""Liquidation: what the exchange does while maintenance margin exceeds the margin balance.

In rounds a second apart it cancels the account's orders and closes a part of each position with
orders of its own, until the margin suffices again. What is left owing at the end is paid by the
insurance fund.
Source: Deribit knowledge base, liquidations; user trades and `user.liquidation` of the reference.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Protocol

from vigil.domain.money import ZERO, round_settlement, round_up
from vigil.domain.order import OrderType, TimeInForce
from vigil.paper.account.books import Books
from vigil.paper.account.log_rows import LiquidationNotice, SettlementRow
from vigil.paper.account.margin import Figures, figures, maintenance_margin
from vigil.paper.account.orders import OrderState, PaperOrder
from vigil.paper.account.positions import PaperPosition
from vigil.paper.account.transaction_log import write_change
from vigil.paper.market.market import BookState, Market
from vigil.paper.matching.execution import Execution, execute

ROUND_MS = 1_000

# Of what is left of a position, in one round.
_SHARE = Decimal("0.25")


class Canceller(Protocol):
    """What liquidation needs of the matching engine."""

    def cancel(self, order_id: str, reason: str, *, now_ms: int) -> PaperOrder:
        """Cancel a live order."""
        ...


class Liquidator:
    """Watches the margin of every currency with positions.

    Args:
        engine: Asked to cancel the account's own orders.
    """

    def __init__(self, books: Books, markets: Mapping[str, Market], engine: Canceller) -> None:
        self._books, self._markets, self._engine = books, markets, engine

    def watch(self, now_ms: int) -> None:
        """Begin, go on with, or end the liquidation of every currency where it is due."""
        held: dict[str, bool] = {}
        for name, position in self._books.positions.items():
            if position.size:
                market = self._markets[name]
                currency, is_open = market.listing.currency, market.state is BookState.OPEN
                held[currency] = is_open or held.get(currency, False)
        for currency, cash in tuple(self._books.cash.items()):
            is_running = cash.liquidation_ms is not None
            # Nothing to close, or nowhere to do it.
            if not held.get(currency, is_running):
                continue
            account = figures(currency, self._books, self._markets)
            if account.maintenance_margin <= account.margin_balance:
                if is_running:
                    self._cancel_orders(currency, now_ms)
                    self._schedule(currency, None)
            elif cash.liquidation_ms is None or now_ms >= cash.liquidation_ms:
                self._schedule(currency, now_ms + ROUND_MS)
                self._round(account, now_ms)

    def liquidate(self, instrument_name: str, amount: Decimal, *, now_ms: int) -> Execution:
        """Close that much of a position by a liquidation order, whatever the margin says.

        Orders of the same currency are cancelled first, as in a round.
        """
        self._cancel_orders(self._markets[instrument_name].listing.currency, now_ms)
        return self._step(instrument_name, amount, now_ms)

    def _round(self, account: Figures, now_ms: int) -> None:
        currency = account.currency
        self._cancel_orders(currency, now_ms)
        positions = [
            position
            for name, position in self._books.positions.items()
            if position.size and self._markets[name].listing.currency == currency
        ]
        if not positions:
            self._fund(currency, now_ms)
            self._schedule(currency, None)
            return
        burdens = [position for position in positions if self._needs_margin(position)]
        is_bankrupt = account.margin_balance <= 0
        for position in burdens or positions:
            name = position.instrument_name
            step = self._markets[name].listing.instrument.amount_step
            share = Decimal(1) if is_bankrupt else _SHARE
            amount = min(round_up(abs(position.size) * share, step), abs(position.size))
            if self._markets[name].state is BookState.OPEN:
                self._step(name, amount, now_ms)

    def _needs_margin(self, position: PaperPosition) -> bool:
        market = self._markets[position.instrument_name]
        return maintenance_margin(market, position.size, market.mark_price) > 0

    def _cancel_orders(self, currency: str, now_ms: int) -> None:
        for order in tuple(self._books.live_orders()):
            listing = self._markets[order.instrument_name].listing
            if listing.currency != currency or not self._books.orders[order.order_id].is_live:
                continue
            self._engine.cancel(order.order_id, "autoliquidation", now_ms=now_ms)

    def _step(self, instrument_name: str, amount: Decimal, now_ms: int) -> Execution:
        """One liquidation order: what the book does not take rests until the next round."""
        market, listing = self._markets[instrument_name], self._markets[instrument_name].listing
        side = self._books.position(instrument_name).side
        assert side is not None
        order = PaperOrder(
            order_id=f"{listing.id_prefix}{self._books.next_number('order', listing.id_prefix)}",
            instrument_name=instrument_name,
            direction=side.opposite,
            order_type=OrderType.LIQUIDATION,
            amount=amount,
            price=market.bound(side.opposite),
            time_in_force=TimeInForce.GOOD_TIL_CANCELLED,
            state=OrderState.OPEN,
            creation_timestamp_ms=now_ms,
            last_update_timestamp_ms=now_ms,
            reduce_only=True,
            is_liquidation=True,
        )
        self._notice("liquidation_started", order, now_ms)
        assert order.price is not None
        levels = market.takeable(order.direction, order.price)
        result = execute(order, levels, self._books, self._markets, now_ms=now_ms)
        self._books.put(replace(result.order, last_update_timestamp_ms=now_ms))
        commission = sum((trade.fee for trade in result.trades), ZERO)
        self._notice("liquidation_completed", result.order, now_ms, commission)
        return result

    def _notice(
        self, state: str, order: PaperOrder, now_ms: int, commission: Decimal = ZERO
    ) -> None:
        is_done = state == "liquidation_completed"
        self._books.notice_liquidation(
            LiquidationNotice(
                state=state,
                timestamp_ms=now_ms,
                currency=self._markets[order.instrument_name].listing.currency,
                instrument_name=order.instrument_name,
                direction=order.direction.value,
                amount=order.filled_amount if is_done else order.amount,
                price=order.parts[-1][1] if order.parts else order.price,
                commission=commission,
            )
        )

    def _fund(self, currency: str, now_ms: int) -> None:
        """Nothing is left to close: the insurance fund pays what is owed."""
        account = figures(currency, self._books, self._markets)
        owed = round_settlement(-account.margin_balance)
        if owed <= 0:
            return
        is_correction = self._books.switches.insurance_is_correction
        write_change(
            "correction" if is_correction else "bankruptcy",
            currency,
            owed,
            self._books,
            self._markets,
            now_ms=now_ms,
            note="insurance fund",
        )
        self._books.add_settlement(
            SettlementRow(
                row_id=self._books.next_number("settlement"),
                row_type="bankruptcy",
                timestamp_ms=now_ms,
                currency=currency,
                session_profit_loss=round_settlement(account.session_rpl),
                session_bankruptcy=-owed,
                funded=owed,
                socialized=ZERO,
                session_tax=ZERO,
                session_tax_rate=ZERO,
            )
        )

    def _schedule(self, currency: str, at_ms: int | None) -> None:
        cash = self._books.cash[currency]
        self._books.cash[currency] = replace(cash, liquidation_ms=at_ms)
