"""The account's records: every movement of cash, settlements, liquidations, what fired.

Words in them stay the exchange's own: a word that we do not know must not hide the record.
"""

from decimal import Decimal

from msgspec import Struct

from vigil.domain.order import Direction


class LogEntry(Struct, frozen=True, kw_only=True):
    """One row of the transaction log, all money in `currency`.

    A trade that crosses zero makes two entries with one `trade_id`: one closes, one opens.

    Args:
        entry_id: The exchange's, unique.
        user_seq: Counts the account's entries; a gap means that an entry was not shown.
        entry_type: The exchange's own word: `trade`, `settlement`, `delivery`, `transfer` …
        change: Effect on cash.
        balance: Cash after the entry.
        cashflow: For futures the session's profit realised, which reaches cash at settlement.
        amount: In the instrument's unit.
        position: Net position after the entry, in the instrument's unit.
        side: The exchange's own words: `open buy`, `close sell`, `long`, `short`; empty for none.
        interest_pl: Funding since the entry before.
        total_interest_pl: Funding since the last settlement.
        info: What the exchange adds in words, as JSON text; empty when nothing.
    """

    entry_id: int
    user_seq: int
    currency: str
    timestamp_ms: int
    entry_type: str
    change: Decimal
    balance: Decimal
    cashflow: Decimal | None = None
    equity: Decimal | None = None
    instrument_name: str | None = None
    side: str = ""
    amount: Decimal | None = None
    contracts: Decimal | None = None
    position: Decimal | None = None
    price: Decimal | None = None
    price_currency: str | None = None
    mark_price: Decimal | None = None
    index_price: Decimal | None = None
    settlement_price: Decimal | None = None
    commission: Decimal | None = None
    session_rpl: Decimal | None = None
    session_upl: Decimal | None = None
    interest_pl: Decimal | None = None
    total_interest_pl: Decimal | None = None
    trade_id: str | None = None
    order_id: str | None = None
    is_profit_cashflow: bool = False
    info: str = ""


class Settlement(Struct, frozen=True, kw_only=True):
    """A daily settlement, a delivery or a bankruptcy, all money in the settlement currency.

    Args:
        settlement_type: The exchange's own word: `settlement`, `delivery`, `bankruptcy`.
        position: In the instrument's unit, signed.
        profit_loss: Since the position was entered.
        session_profit_loss: Since the settlement before, which is what moved to cash.
        funding: Of perpetuals, since the settlement before.
    """

    settlement_type: str
    timestamp_ms: int
    instrument_name: str | None
    position: Decimal | None = None
    mark_price: Decimal | None = None
    index_price: Decimal | None = None
    profit_loss: Decimal | None = None
    session_profit_loss: Decimal | None = None
    funding: Decimal | None = None
    socialized: Decimal | None = None


class TriggerRecord(Struct, frozen=True, kw_only=True):
    """What became of a trigger order at one moment.

    Args:
        trigger_order_id: Of the order that waited.
        order_id: Of the order that it placed, when it did.
        state: The exchange's own word: `new`, `triggered`, `cancelled`, `rejected:` and a reason.
        request: Its own word for what happened, such as `trigger:order` or `cancel`.
        trigger: Its own word for the reference price; `index` and `index_price` both occur.
    """

    trigger_order_id: str
    timestamp_ms: int
    instrument_name: str
    state: str
    request: str = ""
    order_id: str | None = None
    direction: Direction | None = None
    amount: Decimal | None = None
    price: Decimal | None = None
    trigger: str = ""
    trigger_price: Decimal | None = None
    label: str = ""
