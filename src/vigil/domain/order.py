"""Orders: what we ask, what rests at the exchange, and one execution of it."""

from decimal import Decimal
from enum import StrEnum

from msgspec import Struct


class Direction(StrEnum):
    """Of an order or a fill; a trade's side is the direction that opened it."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for buy, -1 for sell."""
        return 1 if self is Direction.BUY else -1

    @property
    def opposite(self) -> "Direction":
        """The direction that undoes this one."""
        return Direction.SELL if self is Direction.BUY else Direction.BUY


class OrderType(StrEnum):
    """Deribit's order types."""

    LIMIT = "limit"
    MARKET = "market"
    STOP_LIMIT = "stop_limit"
    STOP_MARKET = "stop_market"
    TAKE_LIMIT = "take_limit"
    TAKE_MARKET = "take_market"
    MARKET_LIMIT = "market_limit"
    TRAILING_STOP = "trailing_stop"
    LIQUIDATION = "liquidation"


class Trigger(StrEnum):
    """The reference price that fires a trigger order."""

    MARK = "mark_price"
    INDEX = "index_price"
    LAST = "last_price"


class TimeInForce(StrEnum):
    """How long an order may rest."""

    GOOD_TIL_CANCELLED = "good_til_cancelled"
    GOOD_TIL_DAY = "good_til_day"
    FILL_OR_KILL = "fill_or_kill"
    IMMEDIATE_OR_CANCEL = "immediate_or_cancel"


class Role(StrEnum):
    """Why an order of ours exists."""

    ENTRY = "entry"
    STOP = "stop"
    TARGET = "target"
    CLOSE = "close"


class OrderStatus(StrEnum):
    """An order's life, ours and the exchange's in one table.

    `pending` is committed to the ledger and perhaps sent; `in_doubt` is sent and unanswered;
    `failed` is proven never to have reached the book. Doubt is a state, not an error. `unknown` is
    what the exchange said in a word that we do not know: the order exists, and is neither resting
    nor ended as far as anybody here can tell.
    """

    UNKNOWN = "unknown"
    PENDING = "pending"
    IN_DOUBT = "in_doubt"
    UNTRIGGERED = "untriggered"
    OPEN = "open"
    PARTIALLY_FILLED = "partially_filled"
    TRIGGERED = "triggered"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether the exchange will never fill this order again."""
        return self in _FINAL

    @property
    def is_unproven(self) -> bool:
        """Whether the exchange has not yet been heard about this order."""
        return self in (OrderStatus.PENDING, OrderStatus.IN_DOUBT)

    @property
    def is_resting(self) -> bool:
        """Whether the exchange holds the order now."""
        return self in (OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED, OrderStatus.UNTRIGGERED)


# A triggered stop is not final: the order that it spawned is still at work under the same label.
_FINAL = frozenset(
    {
        OrderStatus.FILLED,
        OrderStatus.CANCELLED,
        OrderStatus.REJECTED,
        OrderStatus.FAILED,
    }
)

# How far along its life a status is. News of a lower rank is old news and is ignored: replies and
# notifications overtake each other. The one way back is evidence of life after a wrong proof of
# absence, from failed or rejected to what the exchange really holds. A status that we cannot read
# is no news at all, and any news is better than it.
_RANK = {
    OrderStatus.UNKNOWN: -1,
    OrderStatus.PENDING: 0,
    OrderStatus.IN_DOUBT: 1,
    OrderStatus.FAILED: 2,
    OrderStatus.REJECTED: 2,
    OrderStatus.UNTRIGGERED: 3,
    OrderStatus.OPEN: 4,
    OrderStatus.PARTIALLY_FILLED: 5,
    OrderStatus.TRIGGERED: 6,
    OrderStatus.CANCELLED: 7,
    OrderStatus.FILLED: 8,
}


def advance(known: OrderStatus, seen: OrderStatus) -> OrderStatus:
    """The status after news: the later of the two in an order's life."""
    return seen if _RANK[seen] >= _RANK[known] else known


class LinkedOrder(Struct, frozen=True, kw_only=True):
    """A secondary order that the exchange places when the primary fills.

    Args:
        price: For limit kinds; None for stop_market.
        trigger_price: For stop and take kinds.
    """

    direction: Direction
    order_type: OrderType
    amount: Decimal
    label: str
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    trigger: Trigger | None = None
    reduce_only: bool = True


class OrderRequest(Struct, frozen=True, kw_only=True):
    """One order as we ask for it. `amount` is in the instrument's own unit.

    Args:
        valid_until_ms: Exchange time after which the engine must not start it.
        linked: Secondary orders; one makes a one-cancels-other pair when `linked_one_cancels` is
            set, two make a one-triggers-one-cancels-other bracket.
        linked_one_cancels: The request itself and `linked` cancel each other, at once.
    """

    instrument_name: str
    direction: Direction
    order_type: OrderType
    amount: Decimal
    label: str
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    trigger: Trigger | None = None
    time_in_force: TimeInForce | None = None
    reduce_only: bool = False
    post_only: bool = False
    valid_until_ms: int | None = None
    linked: tuple[LinkedOrder, ...] = ()
    linked_one_cancels: bool = False


class StrangeWord(Struct, frozen=True):
    """A word of the exchange that we do not know, kept as it came, and the field it stood in."""

    field: str
    word: str

    def __str__(self) -> str:
        return f"{self.field} {self.word!r}"


class Order(Struct, frozen=True, kw_only=True):
    """An order as the exchange shows it.

    Args:
        label: Empty when it has none.
        order_type: None when its word is strange.
        price: None for market kinds (the wire says `"market_price"`).
        average_price: None until something filled.
        time_in_force: None when it was not said, or its word is strange.
        trigger: None when it has none, or its word is strange.
        trigger_order_id: The trigger order that spawned this one.
        cancel_reason: The exchange's own word.
        strange_words: What could not be read. With `order_state` among them `status` is `unknown`.
    """

    order_id: str
    label: str
    instrument_name: str
    direction: Direction
    order_type: OrderType | None
    status: OrderStatus
    amount: Decimal
    filled_amount: Decimal
    creation_timestamp_ms: int
    last_update_timestamp_ms: int
    price: Decimal | None = None
    average_price: Decimal | None = None
    time_in_force: TimeInForce | None = None
    reduce_only: bool = False
    trigger: Trigger | None = None
    trigger_price: Decimal | None = None
    trigger_order_id: str | None = None
    primary_order_id: str | None = None
    oco_ref: str | None = None
    cancel_reason: str | None = None
    is_liquidation: bool = False
    strange_words: tuple[StrangeWord, ...] = ()


class Fill(Struct, frozen=True, kw_only=True):
    """One execution of one of the account's orders.

    Args:
        trade_id: The exchange's, unique per currency.
        amount: Positive, in the instrument's unit.
        fee: In `fee_currency`; negative is a rebate.
        label: Empty when the order has none.
        is_liquidation: The exchange closed it, not us.
    """

    trade_id: str
    order_id: str
    label: str
    instrument_name: str
    direction: Direction
    amount: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    timestamp_ms: int
    trade_seq: int
    order_type: str = ""
    mark_price: Decimal | None = None
    index_price: Decimal | None = None
    is_maker: bool = False
    is_liquidation: bool = False


class LabelFindings(Struct, frozen=True, kw_only=True):
    """All that a complete search found under one label; labels are not unique at the exchange.

    Args:
        orders: Oldest first.
        fills: Of those orders or with the label, oldest first.
    """

    orders: tuple[Order, ...]
    fills: tuple[Fill, ...]


class OwnOrder(Struct, frozen=True, kw_only=True):
    """One attempt at one intent of ours, as the ledger holds it from before the wire on.

    Args:
        label: Ours, unique; see `domain.labels`.
        trade_id: The trade it opens, protects or closes; known before the first fill.
        parent_label: For linked secondaries: the order whose fill brings them to life.
        order_id: The exchange's, once heard.
        filled_amount: As the exchange last said, in the instrument's unit.
        reason: Why it was rejected, failed or cancelled.
        heard_ms: Exchange time of the newest news of it that the ledger has; 0 before the first.
    """

    label: str
    intent_id: int
    attempt: int
    strategy_id: str
    strategy_name: str
    role: Role
    trade_id: str
    instrument_name: str
    direction: Direction
    order_type: OrderType
    amount: Decimal
    created_ms: int
    valid_until_ms: int
    status: OrderStatus = OrderStatus.PENDING
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    reduce_only: bool = False
    parent_label: str | None = None
    order_id: str | None = None
    filled_amount: Decimal = Decimal(0)
    reason: str | None = None
    heard_ms: int = 0
