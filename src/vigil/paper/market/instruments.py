"""What the paper exchange lists: domain instruments with the facts only the wire needs.

Source: recorded get_instrument payloads; ticks, contract sizes and fees as seen in production in
September 2026, those of linear options as the contract specifications give them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from vigil.domain.instrument import (
    NEVER_EXPIRES_MS,
    Contract,
    Instrument,
    Kind,
    TickStep,
    contract_of,
)
from vigil.domain.money import decimal_text
from vigil.paper.market.expiries import Expiry

MAKER_COMMISSION = Decimal("0.00015")
TAKER_COMMISSION = Decimal("0.00035")
OPTION_COMMISSION = Decimal("0.0003")

# All of the exchange's, whether anything is listed in them here or not: to ask for one is no
# mistake, and answered with nothing.
# Source: Deribit API v2, public/get_currencies.
CURRENCIES = frozenset(
    {"BNB", "BTC", "BUIDL", "ETH", "ETHW", "EURR", "MATIC", "PAXG", "SOL", "STETH", "USDC", "USDE",
     "USDT", "USYC", "XRP"}
)  # fmt: skip
_ACCOUNT_CURRENCIES = ("BTC", "ETH", "USDC")
_INVERSE_OPTION_STEPS = (TickStep(above_price=Decimal("0.005"), tick_size=Decimal("0.0005")),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One listed instrument.

    Args:
        id_prefix: Put before order and trade ids; empty for BTC.
        counter_currency: Currency that the index is in.
        settlement_period: perpetual, month, week or day.
        strike: Of an option, in the counter currency.
        is_call: Of an option.
    """

    instrument: Instrument
    instrument_id: int
    creation_timestamp_ms: int
    id_prefix: str
    counter_currency: str
    settlement_period: str = "perpetual"
    strike: Decimal | None = None
    is_call: bool = False

    @property
    def name(self) -> str:
        """The exchange's name of the instrument."""
        return self.instrument.instrument_name

    @property
    def contract(self) -> Contract:
        """How profit is reckoned."""
        return contract_of(self.name)

    @property
    def currency(self) -> str:
        """Settlement currency: what profit, fees and margin are in."""
        return self.instrument.settlement_currency

    @property
    def is_perpetual(self) -> bool:
        """Whether it never expires."""
        return self.settlement_period == "perpetual"

    @property
    def expires_ms(self) -> int:
        """When it is delivered."""
        return self.instrument.expiration_timestamp_ms


class Catalogue:
    """What is listed, or was: it grows as new expiries come, and forgets the oldest."""

    def __init__(self, listings: Iterable[Listing]) -> None:
        self.by_name: dict[str, Listing] = {}
        for listing in listings:
            self.add(listing)

    def add(self, listing: Listing) -> None:
        """List one more instrument."""
        self.by_name[listing.name] = listing

    def remove(self, name: str) -> None:
        """Forget one."""
        del self.by_name[name]

    @property
    def listings(self) -> tuple[Listing, ...]:
        """Everything, in the order in which it was listed."""
        return tuple(self.by_name.values())

    @property
    def index_names(self) -> tuple[str, ...]:
        """The indexes that instruments follow."""
        return tuple(dict.fromkeys(item.instrument.price_index for item in self.by_name.values()))

    @property
    def currencies(self) -> tuple[str, ...]:
        """Settlement currencies, those of the account first."""
        return tuple(
            dict.fromkeys((*_ACCOUNT_CURRENCIES, *(i.currency for i in self.by_name.values())))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Underlying:
    """What all instruments on one pair share; `quote` is None for inverse ones.

    Args:
        contract_size: Of futures and perpetuals, in the unit of their amounts.
        tick_size: Of the perpetual; dated futures have `future_tick_size`.
        option_contract_size: In coin; inverse options trade tenths of it.
        option_tick_size: In coin for inverse options, else in the quote currency.
    """

    base: str
    quote: str | None
    contract_size: Decimal
    tick_size: Decimal
    future_tick_size: Decimal
    option_contract_size: Decimal = Decimal(1)
    option_tick_size: Decimal = Decimal("0.0001")

    @property
    def pair(self) -> str:
        """How names begin: `BTC`, `BTC_USDC`."""
        return self.base if self.quote is None else f"{self.base}_{self.quote}"

    @property
    def index_name(self) -> str:
        """The index that they follow."""
        return f"{self.base}_{self.quote or 'usd'}".lower()

    @property
    def settlement_currency(self) -> str:
        """What profit is in."""
        return self.quote or self.base

    @property
    def counter_currency(self) -> str:
        """What the index is in."""
        return self.quote or "USD"

    @property
    def id_prefix(self) -> str:
        """Of order and trade ids."""
        return id_prefix_of(self.settlement_currency)


def _underlying(
    pair: str, contract_size: str, tick_size: str, future_tick_size: str, *option: str
) -> Underlying:
    base, _, quote = pair.partition("_")
    option_contract_size, option_tick_size = option or ("1", "0.0001")
    return Underlying(
        base=base,
        quote=quote or None,
        contract_size=Decimal(contract_size),
        tick_size=Decimal(tick_size),
        future_tick_size=Decimal(future_tick_size),
        option_contract_size=Decimal(option_contract_size),
        option_tick_size=Decimal(option_tick_size),
    )


UNDERLYINGS: Mapping[str, Underlying] = {
    item.pair: item
    for item in (
        _underlying("BTC", "10", "0.5", "2.5"),
        _underlying("ETH", "1", "0.05", "0.25"),
        _underlying("BTC_USDC", "0.0001", "0.1", "0.5", "0.01", "5"),
        _underlying("ETH_USDC", "0.001", "0.05", "0.25", "0.1", "0.2"),
        _underlying("SOL_USDC", "0.1", "0.01", "0.05", "10", "0.05"),
        _underlying("XRP_USDC", "1", "0.0001", "0.0005", "1000", "0.0002"),
    )
}


def perpetual(
    underlying: Underlying,
    *,
    instrument_id: int,
    creation_timestamp_ms: int,
    max_leverage: int = 50,
) -> Listing:
    """A perpetual."""
    return Listing(
        instrument=_future(
            underlying,
            f"{underlying.pair}-PERPETUAL",
            tick_size=underlying.tick_size,
            max_leverage=max_leverage,
        ),
        instrument_id=instrument_id,
        creation_timestamp_ms=creation_timestamp_ms,
        id_prefix=underlying.id_prefix,
        counter_currency=underlying.counter_currency,
    )


def dated_future(
    underlying: Underlying, expiry: Expiry, *, instrument_id: int, creation_timestamp_ms: int
) -> Listing:
    """A future that is delivered at an expiry."""
    return Listing(
        instrument=_future(
            underlying,
            f"{underlying.pair}-{expiry.name}",
            tick_size=underlying.future_tick_size,
            max_leverage=25,
            expires_ms=expiry.expires_ms,
        ),
        instrument_id=instrument_id,
        creation_timestamp_ms=creation_timestamp_ms,
        id_prefix=underlying.id_prefix,
        counter_currency=underlying.counter_currency,
        settlement_period=expiry.period,
    )


def option(
    underlying: Underlying,
    expiry: Expiry,
    strike: Decimal,
    *,
    is_call: bool,
    instrument_id: int,
    creation_timestamp_ms: int,
) -> Listing:
    """A European option on the index at an expiry."""
    is_linear = underlying.quote is not None
    size = underlying.option_contract_size
    name = f"{underlying.pair}-{expiry.name}-{strike_text(strike)}-{'C' if is_call else 'P'}"
    return Listing(
        instrument=Instrument(
            instrument_name=name,
            kind=Kind.OPTION,
            is_linear=is_linear,
            base_currency=underlying.base,
            quote_currency=underlying.settlement_currency,
            settlement_currency=underlying.settlement_currency,
            contract_size=size,
            min_trade_amount=size if is_linear else size / 10,
            tick_size=underlying.option_tick_size,
            tick_size_steps=() if is_linear else _INVERSE_OPTION_STEPS,
            maker_commission=OPTION_COMMISSION,
            taker_commission=OPTION_COMMISSION,
            expiration_timestamp_ms=expiry.expires_ms,
            price_index=underlying.index_name,
        ),
        instrument_id=instrument_id,
        creation_timestamp_ms=creation_timestamp_ms,
        id_prefix=underlying.id_prefix,
        counter_currency=underlying.counter_currency,
        settlement_period=expiry.period,
        strike=strike,
        is_call=is_call,
    )


def strike_text(strike: Decimal) -> str:
    """As in names: `76000`, and `0d625` where a strike has decimals."""
    return decimal_text(strike).replace(".", "d")


def id_prefix_of(settlement_currency: str) -> str:
    """What order and trade ids begin with."""
    return "" if settlement_currency == "BTC" else f"{settlement_currency}-"


def _future(
    underlying: Underlying,
    name: str,
    *,
    tick_size: Decimal,
    max_leverage: int,
    expires_ms: int = NEVER_EXPIRES_MS,
) -> Instrument:
    return Instrument(
        instrument_name=name,
        kind=Kind.FUTURE,
        is_linear=underlying.quote is not None,
        base_currency=underlying.base,
        quote_currency=underlying.counter_currency,
        settlement_currency=underlying.settlement_currency,
        contract_size=underlying.contract_size,
        min_trade_amount=underlying.contract_size,
        tick_size=tick_size,
        maker_commission=MAKER_COMMISSION,
        taker_commission=TAKER_COMMISSION,
        max_leverage=max_leverage,
        price_index=underlying.index_name,
        expiration_timestamp_ms=expires_ms,
    )


PERPETUALS = (
    perpetual(UNDERLYINGS["BTC"], instrument_id=124_972, creation_timestamp_ms=1_534_167_754_000),
    perpetual(
        UNDERLYINGS["BTC_USDC"], instrument_id=196_046, creation_timestamp_ms=1_663_667_690_000
    ),
    perpetual(
        UNDERLYINGS["ETH_USDC"], instrument_id=206_431, creation_timestamp_ms=1_663_667_690_000
    ),
    perpetual(UNDERLYINGS["ETH"], instrument_id=124_973, creation_timestamp_ms=1_552_568_454_000),
    perpetual(
        UNDERLYINGS["SOL_USDC"],
        instrument_id=210_838,
        creation_timestamp_ms=1_646_824_342_000,
        max_leverage=25,
    ),
    perpetual(
        UNDERLYINGS["XRP_USDC"],
        instrument_id=210_840,
        creation_timestamp_ms=1_646_824_342_000,
        max_leverage=25,
    ),
)
