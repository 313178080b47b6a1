"""An order at the exchange: the form it came on, its record, and one execution of it."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from vigil.domain.money import ZERO
from vigil.domain.order import Direction, OrderType, TimeInForce, Trigger

TRIGGER_TYPES = frozenset(
    {OrderType.STOP_MARKET, OrderType.STOP_LIMIT, OrderType.TAKE_MARKET, OrderType.TAKE_LIMIT}
)
STOP_TYPES = frozenset({OrderType.STOP_MARKET, OrderType.STOP_LIMIT})
LIMIT_TYPES = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.TAKE_LIMIT})
IMMEDIATE = frozenset({TimeInForce.IMMEDIATE_OR_CANCEL, TimeInForce.FILL_OR_KILL})


class OrderState(StrEnum):
    """An order's state on the wire. Partly filled orders are `open`."""

    OPEN = "open"
    UNTRIGGERED = "untriggered"
    TRIGGERED = "triggered"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


class LinkedType(StrEnum):
    """How orders of one request depend on each other."""

    OTO = "one_triggers_other"
    OCO = "one_cancels_other"
    OTOCO = "one_triggers_one_cancels_other"


class FillCondition(StrEnum):
    """How much of an order must fill before the orders linked to it react."""

    FIRST_HIT = "first_hit"
    COMPLETE_FILL = "complete_fill"
    INCREMENTAL = "incremental"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderForm:
    """An order as asked for, syntactically right; `admission` decides whether it may enter.

    Args:
        price: For limit kinds; None for market kinds.
        linked: Secondary orders, of the same instrument.
    """

    instrument_name: str
    direction: Direction
    order_type: OrderType
    amount: Decimal
    label: str = ""
    price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GOOD_TIL_CANCELLED
    post_only: bool = False
    reject_post_only: bool = False
    reduce_only: bool = False
    trigger: Trigger | None = None
    trigger_price: Decimal | None = None
    valid_until_ms: int | None = None
    linked_type: LinkedType | None = None
    fill_condition: FillCondition = FillCondition.FIRST_HIT
    linked: tuple["OrderForm", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperOrder:
    """An order's record. Amounts in the instrument's own unit.

    Args:
        price: Limit, or the band bound of a market order; None while a market kind waits for its
            trigger (the wire says `"market_price"`).
        parts: What filled, as (amount, price).
        is_pending: A secondary that waits for its primary; it has an `OTO-` id until then.
        activated_amount: Of a pending secondary: how much of it was placed already.
        connection_id: The connection that it came through, for cancel-on-disconnect; None over
            HTTP and after a restart of the exchange.
    """

    order_id: str
    instrument_name: str
    direction: Direction
    order_type: OrderType
    amount: Decimal
    state: OrderState
    creation_timestamp_ms: int
    last_update_timestamp_ms: int
    label: str = ""
    price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GOOD_TIL_CANCELLED
    post_only: bool = False
    reject_post_only: bool = False
    reduce_only: bool = False
    trigger: Trigger | None = None
    trigger_price: Decimal | None = None
    filled_amount: Decimal = ZERO
    parts: tuple[tuple[Decimal, Decimal], ...] = ()
    is_replaced: bool = False
    cancel_reason: str | None = None
    trigger_order_id: str | None = None
    oco_ref: str | None = None
    primary_order_id: str | None = None
    oto_order_ids: tuple[str, ...] = ()
    is_primary_otoco: bool = False
    is_pending: bool = False
    activated_amount: Decimal = ZERO
    fill_condition: FillCondition | None = None
    connection_id: int | None = None

    @property
    def remaining(self) -> Decimal:
        """What may still fill."""
        return self.amount - self.filled_amount

    @property
    def is_live(self) -> bool:
        """Whether it rests: may still fill, fire or be cancelled."""
        return self.state in (OrderState.OPEN, OrderState.UNTRIGGERED)

    @property
    def waits_for_trigger(self) -> bool:
        """Whether a reference price has to reach its trigger price first."""
        return self.order_type in TRIGGER_TYPES

    @property
    def is_immediate(self) -> bool:
        """Whether what does not fill at once is cancelled."""
        return self.order_type is OrderType.MARKET or self.time_in_force in IMMEDIATE


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTrade:
    """One execution of one of the account's orders.

    Args:
        number: The number inside `trade_id`, for paging by id.
        profit_loss: Of the part that closed a position, in settlement currency.
        state: The order's state after this trade.
        tick_direction: 0 plus, 1 zero-plus, 2 minus, 3 zero-minus.
        closed_amount: The part that closed a position; the rest opened one.
    """

    trade_id: str
    number: int
    trade_seq: int
    order_id: str
    label: str
    instrument_name: str
    direction: Direction
    amount: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    profit_loss: Decimal
    timestamp_ms: int
    is_maker: bool
    state: OrderState
    order_type: OrderType
    mark_price: Decimal
    index_price: Decimal
    tick_direction: int
    post_only: bool
    reduce_only: bool
    closed_amount: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """One row of the transaction log: the opening or the closing part of a trade.

    Args:
        side: `open buy`, `open sell`, `close buy` or `close sell`.
        position: Signed size after the row.
        change: Effect on cash: minus the commission.
        cashflow: Session profit that the row realised; reaches cash at settlement.
    """

    user_seq: int
    timestamp_ms: int
    currency: str
    instrument_name: str
    side: str
    amount: Decimal
    price: Decimal
    position: Decimal
    commission: Decimal
    cashflow: Decimal
    change: Decimal
    balance: Decimal
    equity: Decimal
    mark_price: Decimal
    index_price: Decimal
    trade_id: str
    order_id: str
    is_maker: bool
    row_type: str = "trade"
