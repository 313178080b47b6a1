"""Own trades, read to the end.

The exchange keeps them in two stores, the recent and the archive, and hands them out in pages.
Pages by time overlap, and what comes twice counts once; where a whole page lies in one millisecond
time cannot move on, and the id of a trade does.

An answer without trades may be the truth, or an error told as an empty list: one source cannot tell
them apart. Whoever would close a trade because no fill is found must ask a second source as well.
"""

from collections.abc import Mapping
from typing import Any

from vigil.deribit import wire
from vigil.deribit.asking import PAGES_MAX, Asker
from vigil.domain.instrument import contract_of
from vigil.domain.order import Fill
from vigil.errors import Rejected

ORDER_NOT_FOUND = 10004
PAGE_COUNT = 1_000

# Own trades stay in the recent store for 24 hours; older ones are in the archive, which lags. An
# hour of overlap covers the lag at the seam. Source: Deribit, accessing historical trades.
_RECENT_MS = 23 * 3_600_000

_BY_ID = "private/get_user_trades_by_currency"
_BY_TIME = "private/get_user_trades_by_currency_and_time"


class FillReader(Asker):
    """Questions about own trades."""

    async def fills_since(self, currency: str, start_ms: int, end_ms: int) -> tuple[Fill, ...]:
        """Every own fill of a settlement currency from `start_ms` to `end_ms`, oldest first.

        Complete or not at all, but for what the exchange itself has not yet moved to its archive.
        The recent store is read before the archive, so that a fill moving between the two in the
        meantime is seen at least once.
        """
        found = await self._fills_of_currency(currency, start_ms, end_ms, is_historical=False)
        if start_ms < self.exchange_now_ms() - _RECENT_MS:
            old = await self._fills_of_currency(currency, start_ms, end_ms, is_historical=True)
            found = _joined(found, old)
        return in_order(found)

    async def fills_of_order(self, order_id: str) -> tuple[Fill, ...]:
        """Every fill of one order, oldest first, from the recent store and the archive."""
        found: dict[str, Fill] = {}
        for is_historical in (False, True):
            params = {"order_id": order_id, "sorting": "asc", "historical": is_historical}
            try:
                raw = await self._ask("private/get_user_trades_by_order", params)
            except Rejected as error:
                if error.code != ORDER_NOT_FOUND:
                    raise
                continue
            fills = wire.to_fills(raw)
            if any(fill.order_id != order_id for fill in fills):
                raise wire.Unreadable(f"asked for the fills of {order_id}, told of another order")
            found = _joined(found, _by_id(fills))
        return in_order(found)

    async def _fills_of_currency(
        self, currency: str, start_ms: int, end_ms: int, *, is_historical: bool
    ) -> dict[str, Fill]:
        """All pages of one store, by trade id."""
        question = {
            "currency": currency,
            "end_timestamp": end_ms,
            "historical": is_historical,
            "count": PAGE_COUNT,
            "sorting": "asc",
        }
        method, start = _BY_TIME, {"start_timestamp": start_ms}
        found: dict[str, Fill] = {}
        for _ in range(PAGES_MAX):
            page, has_more = wire.to_fill_page(await self._ask(method, {**question, **start}))
            if len(page) > PAGE_COUNT or len({fill.trade_id for fill in page}) != len(page):
                raise wire.Unreadable("a page of own trades is too long, or tells a trade twice")
            for fill in page:
                if not (
                    start_ms <= fill.timestamp_ms <= end_ms
                    and is_of_currency(fill.instrument_name, currency)
                ):
                    raise wire.Unreadable(f"own trade {fill.trade_id} was not asked for")
            known = len(found)
            found = _joined(found, _by_id(page))
            if not has_more:
                return found
            if not page or page[-1].timestamp_ms < page[0].timestamp_ms:
                raise wire.Unreadable("a page of own trades is empty or not in order")
            if len(found) == known:
                raise wire.Unreadable("own trades do not end, and their pages do not move on")
            method, start = _next_start(page)
        raise wire.Unreadable(f"own trades fill more than {PAGES_MAX} pages")


def _next_start(page: tuple[Fill, ...]) -> tuple[str, dict[str, Any]]:
    """Where the page after this one begins: the method that can begin there, and its parameter."""
    last = page[-1]
    if page[0].timestamp_ms == last.timestamp_ms:
        return _BY_ID, {"start_id": last.trade_id}
    return _BY_TIME, {"start_timestamp": last.timestamp_ms}


def is_of_currency(instrument_name: str, currency: str) -> bool:
    """Whether an instrument is one of those that the exchange lists under a currency.

    Derivatives are listed under what they settle in; spot has no dash, and belongs to both coins.
    """
    if currency == "any":
        return True
    if "-" not in instrument_name:
        return currency in instrument_name.split("_")
    return contract_of(instrument_name).settlement_currency == currency


def in_order(found: Mapping[str, Fill]) -> tuple[Fill, ...]:
    """Fills, oldest first."""
    return tuple(sorted(found.values(), key=lambda fill: (fill.timestamp_ms, fill.trade_seq)))


def _by_id(fills: tuple[Fill, ...]) -> dict[str, Fill]:
    return {fill.trade_id: fill for fill in fills}


def _joined(known: dict[str, Fill], others: Mapping[str, Fill]) -> dict[str, Fill]:
    """Both, when they say the same of every trade that both have."""
    for trade_id, fill in others.items():
        before = known.get(trade_id)
        if before is not None and _facts(before) != _facts(fill):
            raise wire.Unreadable(f"own trade {trade_id} is told in two ways")
    return {**known, **others}


def _facts(fill: Fill) -> tuple[object, ...]:
    """What two stores must agree upon; the archive may leave out the rest."""
    return (fill.order_id, fill.instrument_name, fill.direction, fill.amount, fill.price, fill.fee)
