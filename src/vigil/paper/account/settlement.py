"""Booking a settlement and a delivery: the session's profit becomes cash, rows say so.

Source: Deribit knowledge base, settlement and expiration; documented settlement row, where the
change is the session's realised profit with funding plus its open profit.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from vigil.domain.money import ZERO, round_settlement
from vigil.domain.pnl import option_payoff
from vigil.paper.account.books import Books
from vigil.paper.account.fees import delivery_fee
from vigil.paper.account.log_rows import SettlementRow
from vigil.paper.account.margin import figures
from vigil.paper.account.positions import PaperPosition, apply_fill, floating_pnl, settled
from vigil.paper.account.transaction_log import write_change
from vigil.paper.market.instruments import Listing
from vigil.paper.market.market import Market


class Settlement:
    """Settles and delivers positions at the prices their markets have."""

    def __init__(self, books: Books, markets: Mapping[str, Market]) -> None:
        self._books, self._markets = books, markets

    def settle(self, currency: str, now_ms: int) -> None:
        """End the session of everything settled in a currency; flat positions are forgotten."""
        held = [
            position
            for name, position in self._books.positions.items()
            if self._markets[name].listing.currency == currency
        ]
        options = [p for p in held if self._market(p).listing.contract.is_option]
        self._summarise_options(currency, options, now_ms)
        funding = sum((p.realized_funding for p in held), ZERO)
        for position in held:
            if not self._market(position).listing.contract.is_option:
                self._settle_future(position, funding, now_ms)
            elif position.size:
                mark = self._market(position).mark_price
                self._books.positions[position.instrument_name] = settled(position, mark)
            else:
                del self._books.positions[position.instrument_name]

    def deliver(self, position: PaperPosition, price: Decimal, now_ms: int) -> None:
        """End a position at the delivery price of its index, without a trade."""
        market, side = self._market(position), position.side
        listing, size = market.listing, position.size
        assert side is not None
        value = _value_at_delivery(listing, price)
        effect = apply_fill(listing.contract, position, side.opposite, abs(size), value)
        fee = delivery_fee(listing, size, price, value)
        del self._books.positions[listing.name]
        if listing.contract.is_option:
            gross = round_settlement(size * value)
            self._books.book_cash(listing.currency, options_session_rpl=effect.profit_loss)
        else:
            gross = round_settlement(effect.position.session_rpl)
            self._books.book_cash(listing.currency, session_rpl=-position.session_rpl)
        write_change(
            "delivery",
            listing.currency,
            gross - fee,
            self._books,
            self._markets,
            now_ms=now_ms,
            instrument_name=listing.name,
            side=f"close {side.opposite.value}",
            amount=abs(size),
            price=value,
            position=ZERO,
            commission=fee,
            cashflow=gross,
            mark_price=value,
            index_price=market.index_price,
            settlement_price=price,
            session_rpl=position.session_rpl,
            session_upl=effect.profit_loss,
        )
        self._books.add_settlement(
            SettlementRow(
                row_id=self._books.next_number("settlement"),
                row_type="delivery",
                timestamp_ms=now_ms,
                currency=listing.currency,
                instrument_name=listing.name,
                index_price=price,
                position=size,
                mark_price=value,
                profit_loss=effect.profit_loss,
                session_profit_loss=gross,
            )
        )

    def _settle_future(self, position: PaperPosition, total_funding: Decimal, now_ms: int) -> None:
        market, mark = self._market(position), self._market(position).mark_price
        listing, rpl = market.listing, position.session_rpl
        floating = floating_pnl(listing.contract, position, mark)
        if position.size:
            self._books.positions[listing.name] = settled(position, mark)
        else:
            del self._books.positions[listing.name]
            if not rpl:
                return
        self._books.book_cash(listing.currency, session_rpl=-rpl)
        change = round_settlement(rpl + floating)
        side = "long" if position.size > 0 else "short"
        write_change(
            "settlement",
            listing.currency,
            change,
            self._books,
            self._markets,
            now_ms=now_ms,
            instrument_name=listing.name,
            side=side if position.size else "-",
            amount=abs(position.size),
            price=mark,
            position=position.size,
            commission=None,
            index_price=market.index_price,
            settlement_price=mark,
            session_rpl=rpl,
            session_upl=floating,
            interest_pl=position.realized_funding,
            total_interest_pl=total_funding,
        )
        self._books.add_settlement(
            SettlementRow(
                row_id=self._books.next_number("settlement"),
                row_type="settlement",
                timestamp_ms=now_ms,
                currency=listing.currency,
                instrument_name=listing.name,
                index_price=market.index_price,
                position=position.size,
                mark_price=mark,
                profit_loss=floating,
                session_profit_loss=change,
                funding=position.realized_funding if listing.is_perpetual else None,
            )
        )

    def _summarise_options(self, currency: str, options: list[PaperPosition], now_ms: int) -> None:
        """Tell the session's profit of all options; their cash has moved already."""
        cash = self._books.cash[currency]
        if not cash.options_session_rpl and not any(position.size for position in options):
            return
        account = figures(currency, self._books, self._markets)
        self._books.cash[currency] = replace(cash, options_session_rpl=ZERO)
        write_change(
            "options_settlement_summary",
            currency,
            ZERO,
            self._books,
            self._markets,
            now_ms=now_ms,
            commission=None,
            session_rpl=cash.options_session_rpl,
            session_upl=account.options_session_upl,
        )

    def _market(self, position: PaperPosition) -> Market:
        return self._markets[position.instrument_name]


def _value_at_delivery(listing: Listing, price: Decimal) -> Decimal:
    """What one unit is worth then: an option what it is in the money by, a future the price."""
    if not listing.contract.is_option:
        return price
    assert listing.strike is not None
    return option_payoff(
        listing.contract, strike=listing.strike, is_call=listing.is_call, delivery_price=price
    )
