"""Channel names: `ticker.BTC-PERPETUAL.100ms` to the topic it stands for.

A name that stands for nothing is None; the venue leaves it out of its answer without an error, as
the exchange was seen to do.
"""

from dataclasses import dataclass
from typing import Any

from vigil.domain.instrument import Kind
from vigil.paper.market.charts import RESOLUTION_MINUTES
from vigil.paper.market.instruments import CURRENCIES, Catalogue, Listing
from vigil.paper.notify.groups import groups_of

INTERVALS = ("raw", "100ms", "agg2")
DEPTHS = ("1", "10", "20")
_KINDS = ("any", "combo", *(kind.value for kind in Kind))
_INDEX_FAMILIES = (
    "deribit_price_index",
    "deribit_price_statistics",
    "deribit_volatility_index",
    "estimated_expiration_price",
)
_USER_FAMILIES = ("user.orders", "user.trades", "user.changes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """What a channel is about.

    Args:
        family: The channel's first words.
        instrument_name: None when the channel names kind and currency, or neither.
        kind, currency: `any` matches all.
        interval: How events are gathered; `raw` where the channel has none.
        detail: What else the name says: index, resolution, or number of levels.
    """

    family: str
    instrument_name: str | None = None
    kind: str = "any"
    currency: str = "any"
    interval: str = "raw"
    detail: str = ""

    @property
    def is_private(self) -> bool:
        """Whether it needs a login and `private/subscribe`."""
        return self.family.startswith("user.")

    @property
    def needs_login(self) -> bool:
        """Whether it is a public channel that only accounts may have unaggregated."""
        return self.family in ("ticker", "book", "trades", "perpetual") and self.interval == "raw"

    def covers(self, listing: Listing) -> bool:
        """Whether events of that instrument belong to it."""
        if self.instrument_name is not None:
            return self.instrument_name == listing.name
        return self.kind in ("any", listing.instrument.kind.value) and self.currency in (
            "any",
            listing.currency,
        )


def parse_channel(name: str, catalogue: Catalogue) -> Topic | None:
    """The topic of a channel; None when there is no such channel."""
    match name.split("."):
        case [("ticker" | "trades") as family, instrument, interval]:
            return _of_instrument(catalogue, family, instrument, interval=interval)
        case ["perpetual", instrument, interval]:
            listing = catalogue.by_name.get(instrument)
            if listing is None or not listing.is_perpetual:
                return None
            return _of_instrument(catalogue, "perpetual", instrument, interval=interval)
        case ["book", instrument, interval]:
            return _of_instrument(catalogue, "book", instrument, interval=interval)
        case ["book", instrument, group, depth, ("100ms" | "agg2") as interval]:
            listing = catalogue.by_name.get(instrument)
            if listing is None or depth not in DEPTHS or group not in groups_of(listing):
                return None
            detail = f"{group}.{depth}"
            return _of_instrument(
                catalogue, "book_window", instrument, interval=interval, detail=detail
            )
        case [("quote" | "incremental_ticker") as family, instrument]:
            return _of_instrument(catalogue, family, instrument)
        case ["chart", "trades", instrument, resolution]:
            if resolution not in RESOLUTION_MINUTES:
                return None
            return _of_instrument(catalogue, "chart.trades", instrument, detail=resolution)
        case ["trades", kind, currency, interval]:
            return _of_kind(catalogue, "trades", kind, currency, interval)
        case ["instrument", ("state" | "creation") as word, kind, currency]:
            return _of_kind(catalogue, f"instrument.{word}", kind, currency, "raw")
        case [family, index] if family in _INDEX_FAMILIES and index in catalogue.index_names:
            return Topic(family=family, detail=index)
        case ["markprice", "options", index] if index in catalogue.index_names:
            return Topic(family="markprice.options", detail=index)
        case ["platform_state"] | ["platform_state", "public_methods_state"]:
            return Topic(family=name)
        case ["user", _, *_] as parts:
            return _parse_user_channel(parts, catalogue)
        case _:
            return None


def _parse_user_channel(parts: list[str], catalogue: Catalogue) -> Topic | None:
    match parts:
        case ["user", "portfolio", currency] if currency.upper() in (*catalogue.currencies, "ANY"):
            upper = currency.upper()
            return Topic(family="user.portfolio", currency="any" if upper == "ANY" else upper)
        case ["user", ("lock" | "liquidation") as word]:
            return Topic(family=f"user.{word}")
        case ["user", word, instrument, interval] if f"user.{word}" in _USER_FAMILIES:
            return _of_instrument(catalogue, f"user.{word}", instrument, interval=interval)
        case ["user", word, kind, currency, interval] if f"user.{word}" in _USER_FAMILIES:
            return _of_kind(catalogue, f"user.{word}", kind, currency, interval)
        case _:
            return None


def _of_instrument(
    catalogue: Catalogue, family: str, instrument_name: str, **parts: Any
) -> Topic | None:
    if instrument_name not in catalogue.by_name:
        return None
    if parts.get("interval", "raw") not in INTERVALS:
        return None
    return Topic(family=family, instrument_name=instrument_name, **parts)


def _of_kind(
    catalogue: Catalogue, family: str, kind: str, currency: str, interval: str
) -> Topic | None:
    if kind not in _KINDS or interval not in INTERVALS:
        return None
    if currency not in ("any", *catalogue.currencies, *CURRENCIES):
        return None
    return Topic(family=family, kind=kind, currency=currency, interval=interval)
