"""The account as the exchange shows it: net positions and cash."""

from decimal import Decimal

from msgspec import Struct

from vigil.domain.order import Fill, Order


class Position(Struct, frozen=True, kw_only=True):
    """The account's net position in one instrument.

    Args:
        size: Signed, in the instrument's unit; negative is short, zero is flat.
        average_price: None when flat.
    """

    instrument_name: str
    size: Decimal
    average_price: Decimal | None
    mark_price: Decimal
    realized_profit_loss: Decimal
    floating_profit_loss: Decimal


class AccountSummary(Struct, frozen=True, kw_only=True):
    """Cash and margin in one currency, all in that currency.

    Under cross collateral the margin figures are those of the whole account, told in every
    currency: they must not be added up.

    Args:
        balance: Cash; moved by fees, settlement and transfers, not by profit within the day.
        session_rpl: Profit realised since the last settlement, not yet in cash.
        session_upl: Profit not realised since the last settlement.
        margin_model: The exchange's own word, such as `segregated_sm` or `cross_pm`.
    """

    currency: str
    balance: Decimal
    equity: Decimal
    available_funds: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    margin_balance: Decimal | None = None
    session_rpl: Decimal | None = None
    session_upl: Decimal | None = None
    margin_model: str = ""
    is_cross_collateral: bool = False


class RateLimit(Struct, frozen=True, kw_only=True):
    """Calls a second in the long run, and at most at once."""

    rate: int
    burst: int


class FeeRate(Struct, frozen=True, kw_only=True):
    """What a kind of trade costs, as rates on its notional.

    Args:
        scope: What it applies to, from the widest to the narrowest: `btc_usd.future.default`.
        fee_type: The exchange's own word.
    """

    scope: str
    maker: Decimal | None = None
    taker: Decimal | None = None
    fee_type: str = ""


class AccountTerms(Struct, frozen=True, kw_only=True):
    """What the exchange allows and charges this account.

    Args:
        rate_limits: By pool: `non_matching_engine`, `matching_engine.trading.total`,
            `matching_engine.spot`, `matching_engine.cancel_all` …; with limits per currency
            `matching_engine.btc.trading.total` and the like.
        fees: Only where they differ from the instruments' own.
    """

    account_id: str | None
    rate_limits: dict[str, RateLimit]
    fees: tuple[FeeRate, ...] = ()
    is_limited_per_currency: bool = False


class AccountLock(Struct, frozen=True, kw_only=True):
    """Whether the account is locked in a currency; `ALL` stands for every currency."""

    currency: str
    is_locked: bool
    message: str = ""


class AccountChanges(Struct, frozen=True, kw_only=True):
    """All that one event changed in one instrument; the positions are those after it."""

    instrument_name: str
    orders: tuple[Order, ...]
    fills: tuple[Fill, ...]
    positions: tuple[Position, ...]
