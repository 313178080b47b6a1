"""A trade: one round trip of one strategy, from its entry fills to its exit fills.

`settle` recomputes a trade from all fills that belong to it. Because it starts from the whole set
each time, a fill seen twice, late or out of order leads to the same trade.
"""

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from vigil.domain.instrument import contract_of
from vigil.domain.money import ZERO, round_settlement
from vigil.domain.order import Direction, Fill, Role
from vigil.domain.pnl import average_price, gross_pnl


class TradeStatus(StrEnum):
    """A trade is open from its first entry fill until its amount is closed."""

    OPEN = "open"
    CLOSED = "closed"


class ExitReason(StrEnum):
    """Why a trade ended."""

    SL_HIT = "sl_hit"
    TP_HIT = "tp_hit"
    MANUAL = "manual"
    LIQUIDATION = "liquidation"
    DELIVERY = "delivery"
    STRATEGY_STOP = "strategy_stop"
    EMERGENCY = "emergency"


class PnlSource(StrEnum):
    """Where a closed trade's profit comes from."""

    FILLS = "fills"
    SETTLEMENT = "settlement"
    ESTIMATE = "estimate"


class FillShare(Struct, frozen=True, kw_only=True):
    """The part of one fill that belongs to one trade.

    A fill made by another client may close several trades at once; each takes its share, and the
    fee goes with the amount.

    Args:
        amount: At most `fill.amount`.
        is_entry: Whether it opened the trade or closed it.
        reason: For exits: why.
    """

    fill: Fill
    amount: Decimal
    is_entry: bool
    reason: ExitReason | None = None

    @property
    def fee(self) -> Decimal:
        """The share's part of the fill's fee, in the fill's fee currency."""
        if self.amount == self.fill.amount:
            return self.fill.fee
        return self.fill.fee * self.amount / self.fill.amount


class Trade(Struct, frozen=True, kw_only=True):
    """One round trip. Amounts in the instrument's unit, cash in its settlement currency.

    Args:
        strategy_id: None on rows a person inserted by hand.
        amount: What was opened in all.
        open_amount: What is still open.
        pnl: Net of the fees of entry and exit; funding is told apart. None while nothing closed.
        stop_loss: Where protection belongs now, not where it was first.
    """

    trade_id: str
    strategy_name: str
    instrument_name: str
    side: Direction
    entry_order_id: str
    entry_price: Decimal
    amount: Decimal
    entry_time_ms: int
    status: TradeStatus
    open_amount: Decimal
    strategy_id: str | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    exit_price: Decimal | None = None
    exit_time_ms: int | None = None
    exit_reason: ExitReason | None = None
    pnl: Decimal | None = None
    pnl_source: PnlSource | None = None
    fees: Decimal = ZERO
    funding: Decimal = ZERO

    @property
    def is_open(self) -> bool:
        """Whether something of it is still held."""
        return self.status is TradeStatus.OPEN

    @property
    def signed_open_amount(self) -> Decimal:
        """Open amount, positive for long and negative for short."""
        return self.side.sign * self.open_amount

    @property
    def settlement_currency(self) -> str:
        """Currency of `pnl`, `fees` and `funding`."""
        return contract_of(self.instrument_name).settlement_currency


EXIT_REASON_BY_ROLE = {
    Role.STOP: ExitReason.SL_HIT,
    Role.TARGET: ExitReason.TP_HIT,
    Role.CLOSE: ExitReason.STRATEGY_STOP,
}


def settle(trade: Trade, shares: Sequence[FillShare]) -> Trade:
    """The trade as all its fill shares say, each share once, in any order.

    A trade that a person inserted has no entry shares; its own price and amount stand then.
    Profit is reckoned for each exit against the average entry and rounded as the exchange books
    it, so that a trade alone on its instrument equals the exchange's figures to the last digit.
    """
    contract = contract_of(trade.instrument_name)
    ordered = sorted(shares, key=lambda share: (share.fill.timestamp_ms, share.fill.trade_seq))
    entries = [share for share in ordered if share.is_entry]
    exits = [share for share in ordered if not share.is_entry]
    amount, entry_price = trade.amount, trade.entry_price
    if entries:
        amount = sum((share.amount for share in entries), ZERO)
        average = average_price(contract, [(share.amount, share.fill.price) for share in entries])
        assert average is not None
        entry_price = average
    settled = replace(
        trade,
        status=TradeStatus.OPEN,
        exit_price=None,
        exit_time_ms=None,
        exit_reason=None,
        pnl=None,
        pnl_source=None,
        amount=amount,
        entry_price=entry_price,
        entry_time_ms=entries[0].fill.timestamp_ms if entries else trade.entry_time_ms,
        fees=sum((share.fee for share in ordered), ZERO),
        open_amount=amount - sum((share.amount for share in exits), ZERO),
    )
    assert settled.open_amount >= 0, f"trade {trade.trade_id} closed beyond its amount"
    if not exits:
        return settled
    gross = sum(
        (
            round_settlement(
                gross_pnl(contract, trade.side, share.amount, entry_price, share.fill.price)
            )
            for share in exits
        ),
        ZERO,
    )
    settled = replace(
        settled,
        exit_price=average_price(contract, [(share.amount, share.fill.price) for share in exits]),
        pnl=gross - settled.fees,
        pnl_source=PnlSource.FILLS,
    )
    if settled.open_amount:
        return settled
    return replace(
        settled,
        status=TradeStatus.CLOSED,
        exit_time_ms=exits[-1].fill.timestamp_ms,
        exit_reason=exits[-1].reason or ExitReason.MANUAL,
    )


def close_at_estimate(trade: Trade, *, mark_price: Decimal, now_ms: int) -> Trade:
    """The trade closed at mark because no fill explains how it ended; provenance says so."""
    contract = contract_of(trade.instrument_name)
    gross = round_settlement(
        gross_pnl(contract, trade.side, trade.open_amount, trade.entry_price, mark_price)
    )
    booked = ZERO if trade.pnl is None else trade.pnl + trade.fees
    parts = [(trade.open_amount, mark_price)]
    if trade.exit_price is not None:
        parts.append((trade.amount - trade.open_amount, trade.exit_price))
    return replace(
        trade,
        status=TradeStatus.CLOSED,
        open_amount=ZERO,
        exit_price=average_price(contract, parts),
        exit_time_ms=now_ms,
        exit_reason=ExitReason.MANUAL,
        pnl=booked + gross - trade.fees,
        pnl_source=PnlSource.ESTIMATE,
    )
