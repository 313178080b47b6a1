"""Money and positions that come and go without an order: transfers, corrections, shared losses.

Nothing of this happens by itself here; tests and the fault menu make it happen.
Source: Deribit API v2, types of the transaction log; automatic deleveraging of `user.liquidation`.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from vigil.domain.money import ZERO, round_settlement
from vigil.domain.order import Direction, OrderType
from vigil.paper.account.books import Books
from vigil.paper.account.log_rows import LiquidationNotice, LogRow, SettlementRow
from vigil.paper.account.orders import OrderState, PaperOrder, PaperTrade
from vigil.paper.account.positions import apply_fill
from vigil.paper.account.transaction_log import trade_premium, write_change
from vigil.paper.market.market import Market
from vigil.paper.matching.execution import book_fill, execute
from vigil.paper.matching.records import next_order_id


class Transfers:
    """What others do to the account's cash and positions. Amounts are signed: added to it."""

    def __init__(self, books: Books, markets: Mapping[str, Market]) -> None:
        self._books, self._markets = books, markets

    def transfer(self, currency: str, amount: Decimal, *, now_ms: int) -> LogRow:
        """Move cash from (negative: to) a subaccount."""
        details: dict[str, str | int] = {
            "transfer_type": "subaccount",
            "other_user_id": 27,
            "other_user": "Subaccount",
        }
        return self._change("transfer", currency, amount, now_ms, details)

    def deposit(self, currency: str, amount: Decimal, *, now_ms: int) -> LogRow:
        """Cash arrives from a wallet."""
        return self._change("deposit", currency, amount, now_ms, {"deposit_type": "wallet"})

    def withdraw(self, currency: str, amount: Decimal, *, now_ms: int) -> LogRow:
        """Cash of that (positive) amount leaves for a wallet."""
        return self._change("withdrawal", currency, -amount, now_ms, {"addr": "paper"})

    def correct(self, currency: str, amount: Decimal, *, now_ms: int, note: str = "") -> LogRow:
        """The exchange sets right what it got wrong, such as a busted trade."""
        return self._change("correction", currency, amount, now_ms, {"note": note})

    def socialise(self, currency: str, loss: Decimal, *, now_ms: int) -> LogRow:
        """Let the account pay a (positive) part of somebody else's bankruptcy."""
        is_correction = self._books.switches.insurance_is_correction
        row = self._change(
            "correction" if is_correction else "bankruptcy",
            currency,
            -loss,
            now_ms,
            {"note": "socialized loss"},
        )
        session = self._books.cash[currency].session_rpl
        self._books.add_settlement(
            SettlementRow(
                row_id=self._books.next_number("settlement"),
                row_type="bankruptcy",
                timestamp_ms=now_ms,
                currency=currency,
                session_profit_loss=round_settlement(session),
                session_bankruptcy=ZERO,
                funded=ZERO,
                socialized=loss,
                session_tax=-loss,
                session_tax_rate=round_settlement(loss / session) if session > 0 else ZERO,
            )
        )
        return row

    def adl(
        self,
        instrument_name: str,
        direction: Direction,
        amount: Decimal,
        *,
        now_ms: int,
        price: Decimal | None = None,
    ) -> LogRow:
        """Give the account a part of a bankrupt position, at its bankruptcy price or at mark.

        Neither an order nor a user trade tells of it: only the log, under a type of its own, and
        `user.liquidation`. There is no fee.
        """
        market = self._markets[instrument_name]
        listing, price = market.listing, market.mark_price if price is None else price
        before = self._books.position(instrument_name)
        effect = apply_fill(listing.contract, before, direction, amount, price)
        premium = trade_premium(listing, direction.sign, amount, price)
        book_fill(self._books, listing, effect, premium=ZERO, fee=ZERO)
        self._books.notice_liquidation(
            LiquidationNotice(
                state="adl_transfer_received",
                timestamp_ms=now_ms,
                currency=listing.currency,
                instrument_name=instrument_name,
                direction=direction.value,
                amount=amount,
                price=price,
            )
        )
        return write_change(
            "adl_transfer",
            listing.currency,
            premium,
            self._books,
            self._markets,
            now_ms=now_ms,
            instrument_name=instrument_name,
            side=f"{'close' if effect.closed_amount else 'open'} {direction.value}",
            amount=amount,
            price=price,
            position=effect.position.size,
            cashflow=premium if listing.contract.is_option else effect.profit_loss,
            mark_price=market.mark_price,
            index_price=market.index_price,
        )

    def block_trade(
        self,
        instrument_name: str,
        direction: Direction,
        amount: Decimal,
        price: Decimal,
        *,
        now_ms: int,
    ) -> PaperTrade:
        """Book what was agreed on with somebody outside the book: a user trade without an order."""
        market = self._markets[instrument_name]
        order = PaperOrder(
            order_id="",
            instrument_name=instrument_name,
            direction=direction,
            order_type=OrderType.LIMIT,
            amount=amount,
            price=price,
            state=OrderState.OPEN,
            creation_timestamp_ms=now_ms,
            last_update_timestamp_ms=now_ms,
        )
        order = replace(order, order_id=next_order_id(order, market.listing, self._books))
        (trade,) = execute(
            order,
            [(price, amount)],
            self._books,
            self._markets,
            now_ms=now_ms,
            block_trade_id=f"BLOCK-{self._books.next_number('block')}",
        ).trades
        return trade

    def _change(
        self,
        row_type: str,
        currency: str,
        amount: Decimal,
        now_ms: int,
        details: dict[str, str | int],
    ) -> LogRow:
        return write_change(
            row_type,
            currency,
            amount,
            self._books,
            self._markets,
            now_ms=now_ms,
            details=details,
        )
