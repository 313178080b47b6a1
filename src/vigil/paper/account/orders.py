"""An order at the exchange: the form it came on, its record, and one execution of it."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from vigil.domain.money import ZERO
from vigil.domain.order import Direction, OrderType, TimeInForce, Trigger

STOP_TYPES = frozenset({OrderType.STOP_MARKET, OrderType.STOP_LIMIT})
TAKE_TYPES = frozenset({OrderType.TAKE_MARKET, OrderType.TAKE_LIMIT})
# These protect a position: they fire when the price goes against the order's own direction.
PROTECTIVE_TYPES = STOP_TYPES | {OrderType.TRAILING_STOP}
TRIGGER_TYPES = PROTECTIVE_TYPES | TAKE_TYPES
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


class Origin(StrEnum):
    """Where an order was given."""

    API = "api"
    WEB = "web"
    MOBILE = "mobile"


class Advanced(StrEnum):
    """What the price of an option's order is named in, when not in its coin."""

    USD = "usd"
    IMPLIED_VOLATILITY = "implv"


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
        price: For limit kinds; None for market kinds. With `advanced` it is named in that unit
            until admission reckons it in coin.
        trigger_offset: Of a trailing stop: how far behind the best price it follows.
        display_amount: Of an iceberg: what others see of it.
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
    trigger_offset: Decimal | None = None
    display_amount: Decimal | None = None
    mmp: bool = False
    advanced: Advanced | None = None
    advanced_price: Decimal | None = None
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
        trigger_price: Of a trailing stop: where it stands now, `trigger_offset` behind the best.
        trigger_reference_price: Of a trailing stop: the reference when it was placed.
        original_order_type: What it was placed as, when it became something else.
        advanced_price: The price as it was named, in USD or as a volatility in percent.
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
    trigger_offset: Decimal | None = None
    trigger_reference_price: Decimal | None = None
    display_amount: Decimal | None = None
    mmp: bool = False
    original_order_type: OrderType | None = None
    origin: Origin = Origin.API
    is_liquidation: bool = False
    advanced: Advanced | None = None
    advanced_price: Decimal | None = None
    is_auto_replaced: bool = False

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
        liquidation: Who was liquidated by it: maker `M`, taker `T` or both `MT`.
        block_trade_id: Of one agreed on outside the book, which no order stands for.
        iv, underlying_price: Of an option: volatility that the price implies, in percent, and the
            forward it is reckoned on.
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
    liquidation: str | None = None
    block_trade_id: str | None = None
    origin: Origin = Origin.API
    mmp: bool = False
    iv: Decimal | None = None
    underlying_price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerEnd:
    """How a trigger order ended, for the trigger order history.

    Args:
        order: As it was at its end.
        outcome: `triggered`, `cancelled`, or `rejected:` with the reason.
        spawned_order_id, spawned_price: Of the order that it became; None when there is none.
    """

    number: int
    timestamp_ms: int
    order: PaperOrder
    outcome: str
    spawned_order_id: str | None = None
    spawned_price: Decimal | None = None
