"""What the paper exchange lists: domain instruments with the facts only the wire needs.

Source: recorded get_instrument payloads; ticks, contract sizes and fees as seen in production in
September 2026 (PROTOCOL of the exchange, instruments and fees).
"""

from dataclasses import dataclass
from decimal import Decimal

from vigil.domain.instrument import Contract, Instrument, Kind, contract_of

MAKER_COMMISSION = Decimal("0.00015")
TAKER_COMMISSION = Decimal("0.00035")
CURRENCIES = ("BTC", "ETH", "USDC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One listed instrument.

    Args:
        id_prefix: Put before order and trade ids; empty for BTC.
        counter_currency: Currency that prices are quoted in.
    """

    instrument: Instrument
    instrument_id: int
    creation_timestamp_ms: int
    id_prefix: str
    counter_currency: str

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


def _perpetual(
    name: str,
    *,
    contract_size: str,
    tick_size: str,
    instrument_id: int,
    creation_timestamp_ms: int,
) -> Listing:
    contract = contract_of(name)
    base, _, quote = name.removesuffix("-PERPETUAL").partition("_")
    currency = contract.settlement_currency
    return Listing(
        instrument=Instrument(
            instrument_name=name,
            kind=Kind.FUTURE,
            is_linear=contract.is_linear,
            base_currency=base,
            quote_currency=quote or "USD",
            settlement_currency=currency,
            contract_size=Decimal(contract_size),
            min_trade_amount=Decimal(contract_size),
            tick_size=Decimal(tick_size),
            maker_commission=MAKER_COMMISSION,
            taker_commission=TAKER_COMMISSION,
            price_index=f"{base}_{quote or 'usd'}".lower(),
        ),
        instrument_id=instrument_id,
        creation_timestamp_ms=creation_timestamp_ms,
        id_prefix="" if currency == "BTC" else f"{currency}-",
        counter_currency=quote or "USD",
    )


LISTINGS = (
    _perpetual(
        "BTC-PERPETUAL",
        contract_size="10",
        tick_size="0.5",
        instrument_id=124972,
        creation_timestamp_ms=1_534_167_754_000,
    ),
    _perpetual(
        "BTC_USDC-PERPETUAL",
        contract_size="0.0001",
        tick_size="0.1",
        instrument_id=196046,
        creation_timestamp_ms=1_663_667_690_000,
    ),
    _perpetual(
        "ETH_USDC-PERPETUAL",
        contract_size="0.001",
        tick_size="0.05",
        instrument_id=206431,
        creation_timestamp_ms=1_663_667_690_000,
    ),
)
LISTING_BY_NAME = {listing.name: listing for listing in LISTINGS}
INDEX_NAMES = tuple(dict.fromkeys(listing.instrument.price_index for listing in LISTINGS))
