"""Instruments from a file: `get_instrument` objects of the exchange, as recorded.

The file holds an array of them, one of them, or a whole reply with them as its `result`.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from vigil.domain.instrument import NEVER_EXPIRES_MS, Instrument, Kind, TickStep, contract_of
from vigil.errors import Misconfigured
from vigil.paper.market.instruments import Listing, id_prefix_of

_KINDS = (Kind.FUTURE.value, Kind.OPTION.value)


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    """What we need of an instrument object."""

    instrument_name: str
    kind: str
    base_currency: str
    quote_currency: str
    price_index: str
    instrument_id: int
    contract_size: Decimal
    min_trade_amount: Decimal
    tick_size: Decimal
    maker_commission: Decimal
    taker_commission: Decimal
    creation_timestamp: int
    expiration_timestamp: int
    tick_size_steps: tuple[TickStep, ...] = ()
    settlement_currency: str = ""
    counter_currency: str = ""
    settlement_period: str = ""
    max_leverage: int = 50
    strike: Decimal | None = None
    option_type: str | None = None


def load_listings(path: Path) -> tuple[Listing, ...]:
    """The instruments of a file, in its order.

    Raises: Misconfigured, naming the file, the instrument, the field and what to do.
    """
    try:
        document = json.loads(path.read_bytes(), parse_float=Decimal)
    except (OSError, ValueError, RecursionError) as error:
        raise Misconfigured(
            f"instrument file {path} cannot be read: {error}; it must be JSON, an array of "
            "get_instrument objects"
        ) from error
    if isinstance(document, dict) and "result" in document:
        document = document["result"]
    rows = document if isinstance(document, list) else [document]
    return tuple(_listing(path, number, row) for number, row in enumerate(rows, 1))


def _listing(path: Path, number: int, raw: Any) -> Listing:
    where = f"instrument file {path}, instrument {number}"
    if isinstance(raw, Mapping) and isinstance(raw.get("instrument_name"), str):
        where += f" ({raw['instrument_name']})"
    try:
        row = msgspec.convert(raw, _Row, strict=False)
    except msgspec.ValidationError as error:
        raise Misconfigured(
            f"{where}: {error}; give the whole get_instrument object of the exchange"
        ) from error
    _check(where, row)
    contract = contract_of(row.instrument_name)
    currency = row.settlement_currency or contract.settlement_currency
    is_perpetual = row.expiration_timestamp >= NEVER_EXPIRES_MS
    return Listing(
        instrument=Instrument(
            instrument_name=row.instrument_name,
            kind=Kind(row.kind),
            is_linear=contract.is_linear,
            base_currency=row.base_currency,
            quote_currency=row.quote_currency,
            settlement_currency=currency,
            contract_size=row.contract_size,
            min_trade_amount=row.min_trade_amount,
            tick_size=row.tick_size,
            tick_size_steps=row.tick_size_steps,
            maker_commission=row.maker_commission,
            taker_commission=row.taker_commission,
            max_leverage=row.max_leverage,
            expiration_timestamp_ms=row.expiration_timestamp,
            price_index=row.price_index,
        ),
        instrument_id=row.instrument_id,
        creation_timestamp_ms=row.creation_timestamp,
        id_prefix=id_prefix_of(currency),
        counter_currency=row.counter_currency or "USD",
        settlement_period="perpetual" if is_perpetual else row.settlement_period or "month",
        strike=row.strike,
        is_call=row.option_type == "call",
    )


def _check(where: str, row: _Row) -> None:
    if row.kind not in _KINDS:
        raise Misconfigured(
            f"{where}: kind {row.kind!r} is not traded here; leave it out, or use one of "
            + ", ".join(_KINDS)
        )
    for name in ("contract_size", "min_trade_amount", "tick_size"):
        value: Decimal = getattr(row, name)
        if not value.is_finite() or value <= 0:
            raise Misconfigured(f"{where}: {name} is {value}; it must be above 0")
    is_option = row.kind == Kind.OPTION
    if is_option and (row.strike is None or row.strike <= 0):
        raise Misconfigured(f"{where}: strike is {row.strike}; an option needs one above 0")
    if is_option and row.option_type not in ("call", "put"):
        raise Misconfigured(f"{where}: option_type is {row.option_type!r}; it must be call or put")
    if is_option is not contract_of(row.instrument_name).is_option:
        raise Misconfigured(
            f"{where}: kind is {row.kind!r}, but the name says otherwise; names of options end in "
            "-C or -P, those of futures do not"
        )
