"""What the exchange writes down about money: transaction log, settlement history, liquidations.

Source: Deribit API v2, transaction log and settlement rows; recorded log with trades of options, a
settlement, a deposit and a transfer.
"""

from dataclasses import dataclass
from decimal import Decimal

from vigil.domain.money import ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """One row of the transaction log: one effect on the cash of one currency.

    Args:
        user_seq: The row's place in the account's own sequence.
        side: `open buy`, `close sell`, …; of a settlement `long` or `short`; `-` without a side.
        position: Signed size after the row.
        change: Effect on cash.
        cashflow: Session profit that a trade of a future realised, which reaches cash at
            settlement; of an option what was paid or received for it.
        row_id: Unique over all currencies; 0 in rows of old state files, whose `user_seq` is.
        price_currency: None stands for what the instrument is quoted in.
        interest_pl, total_interest_pl: Funding, of the row's instrument and of the whole session.
        liquidation: Which side of the trade was liquidated.
        note: Plain text about the row.
        details: The same as an object.
    """

    user_seq: int
    timestamp_ms: int
    currency: str
    change: Decimal
    balance: Decimal
    equity: Decimal
    cashflow: Decimal
    row_type: str = "trade"
    row_id: int = 0
    instrument_name: str | None = None
    side: str = "-"
    amount: Decimal | None = None
    price: Decimal | None = None
    position: Decimal | None = None
    commission: Decimal | None = ZERO
    mark_price: Decimal | None = None
    index_price: Decimal | None = None
    settlement_price: Decimal | None = None
    session_rpl: Decimal | None = None
    session_upl: Decimal | None = None
    interest_pl: Decimal | None = None
    total_interest_pl: Decimal | None = None
    trade_id: str | None = None
    order_id: str | None = None
    is_maker: bool | None = None
    liquidation: str | None = None
    note: str | None = None
    details: dict[str, str | int] | None = None

    @property
    def number(self) -> int:
        """The row's own number, rising with time; what paging goes by."""
        return self.row_id or self.user_seq


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementRow:
    """One row of the settlement history. All but a bankruptcy concern one instrument.

    Args:
        row_id: Its number, rising with time; what paging goes by.
        row_type: `settlement`, `delivery` or `bankruptcy`.
        position: Signed size that was settled or delivered.
        profit_loss: Of what was open, since the settlement before.
        session_profit_loss: Of the whole session, as it went to cash.
        funded: What the insurance fund paid.
        socialized: What other accounts paid.
        session_tax: What this account paid for others.
    """

    row_id: int
    row_type: str
    timestamp_ms: int
    currency: str
    session_profit_loss: Decimal
    instrument_name: str | None = None
    position: Decimal | None = None
    index_price: Decimal | None = None
    mark_price: Decimal | None = None
    profit_loss: Decimal | None = None
    funding: Decimal | None = None
    funded: Decimal | None = None
    session_bankruptcy: Decimal | None = None
    session_tax: Decimal | None = None
    session_tax_rate: Decimal | None = None
    socialized: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidationNotice:
    """What `user.liquidation` says: a step of a liquidation, or a position moved by it.

    Args:
        state: `liquidation_started`, `liquidation_completed`, `adl_transfer`,
            `adl_transfer_received` and the like.
        amount: In the instrument's unit.
    """

    state: str
    timestamp_ms: int
    currency: str
    instrument_name: str | None = None
    direction: str | None = None
    amount: Decimal = ZERO
    price: Decimal | None = None
    commission: Decimal = ZERO
