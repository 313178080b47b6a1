"""Which instruments and how many rows a reading or cancelling call means.

Source: Deribit API v2, `currency`, `kind` and `count` of the account's methods.
"""

from collections.abc import Iterator

from vigil.domain.instrument import Kind
from vigil.paper.account.orders import PaperOrder
from vigil.paper.account.shelf import Window, visible
from vigil.paper.market.instruments import CURRENCIES
from vigil.paper.methods.calls import Call
from vigil.paper.refusals import Refusal, invalid_param

COUNT_MAX = 1000
KINDS = ("any", "combo", *(kind.value for kind in Kind))


def read_count(call: Call, default: int) -> int:
    """How many rows, at most 1000. Raises: Refusal."""
    count = call.params.integer("count", default, least=1)
    if count > COUNT_MAX:
        raise invalid_param("count", f"value must be <= {COUNT_MAX}")
    return count


def read_kind(call: Call) -> str:
    """The kind of instrument asked for; `any` when none is named. Raises: Refusal."""
    return call.params.choice("kind", KINDS, "any")


def read_currencies(call: Call) -> list[str]:
    """One currency, a list of them, or `any`. Raises: Refusal."""
    try:
        named = call.params.texts("currency")
    except Refusal:
        return [call.currency("any")]
    known = CURRENCIES | call.exchange.books.cash.keys()
    if not named or not all(name.upper() in known for name in named):
        raise invalid_param("currency", "invalid currency")
    return [name.upper() for name in named]


def read_window(call: Call, recent_ms: int) -> Window:
    """The recent records, or the archive when `historical` is asked for. Raises: Refusal."""
    return visible(
        call.now_ms,
        recent_ms,
        is_historical=call.params.flag("historical"),
        archive_delay_ms=call.exchange.switches.archive_delay_ms,
    )


def is_in(call: Call, instrument_name: str, currency: str, kind: str = "any") -> bool:
    """Whether an instrument is settled in `currency` and of that kind; `any` matches all."""
    listing = call.exchange.catalogue.by_name[instrument_name]
    its_kind = listing.instrument.kind.value
    is_kind = kind in ("any", its_kind) or (kind == "combo" and its_kind.endswith("_combo"))
    return is_kind and currency in ("any", listing.currency)


def names_in(call: Call, currency: str, kind: str = "any") -> list[str]:
    """Every instrument there is or was, settled in that currency and of that kind."""
    return [name for name in call.exchange.catalogue.by_name if is_in(call, name, currency, kind)]


def live_orders_in(call: Call, currency: str) -> Iterator[PaperOrder]:
    """Live orders settled in a currency and of the kind asked for. Raises: Refusal."""
    kind = read_kind(call)
    return (
        order
        for order in call.exchange.books.live_orders()
        if is_in(call, order.instrument_name, currency, kind)
    )
