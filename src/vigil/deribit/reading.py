"""What the exchange can be asked without changing anything.

The same questions go over the socket (`client`) and over HTTP (`rest`): both say how a call is
made, and inherit what is asked and how answers are put together. An answer that is partial or does
not add up raises; it is never passed on as if it were all there is.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import msgspec

from vigil.deribit import wire
from vigil.domain.instrument import Instrument
from vigil.domain.market import Candle, Ticker
from vigil.domain.order import Fill, Order
from vigil.domain.portfolio import AccountSummary, Position
from vigil.errors import Rejected

_ORDER_NOT_FOUND = 10004

# Own trades stay in the recent store for 24 hours; older ones are in the archive, which lags. An
# hour of overlap covers the lag at the seam. Source: Deribit, accessing historical trades.
_RECENT_MS = 23 * 3_600_000
_PAGE_COUNT = 1_000
_PAGES_MAX = 1_000


class Reader(ABC):
    """Typed questions over some way to make a call.

    Every method raises Transient (not asked, or not now), OutcomeUnknown (no answer, or one that
    we do not understand: `wire.Unreadable`) or Rejected (a definite no, with its code).
    """

    @abstractmethod
    async def _ask(self, method: str, params: Mapping[str, Any]) -> msgspec.Raw:
        """Make one call and return its result, not yet decoded."""

    @abstractmethod
    def exchange_now_ms(self) -> int:
        """The best guess at exchange time."""

    async def open_orders(self) -> tuple[Order, ...]:
        """All resting orders of the account, in all currencies, whoever placed them."""
        return wire.to_orders(await self._ask("private/get_open_orders", {}))

    async def order_state(self, order_id: str) -> Order | None:
        """One order; None when the exchange does not, or no longer, know it."""
        try:
            return wire.to_order(await self._ask("private/get_order_state", {"order_id": order_id}))
        except Rejected as error:
            if error.code == _ORDER_NOT_FOUND:
                return None
            raise

    async def orders_by_label(self, currency: str, label: str) -> tuple[Order, ...]:
        """Orders with this label that the recent store knows, resting or ended, newest last.

        `currency` is the settlement currency: `USDC` for linear instruments.
        """
        params = {"currency": currency, "label": label}
        ended = await self._ask("private/get_order_state_by_label", params)
        resting = await self._ask("private/get_open_orders_by_label", params)
        found = {order.order_id: order for order in wire.to_orders(ended)}
        found |= {order.order_id: order for order in wire.to_orders(resting)}
        return tuple(sorted(found.values(), key=lambda order: order.creation_timestamp_ms))

    async def fills_since(self, currency: str, start_ms: int, end_ms: int) -> tuple[Fill, ...]:
        """Every own fill of a settlement currency from `start_ms` to `end_ms`, oldest first.

        Complete or not at all, but for what the exchange itself has not yet moved to its archive.
        The recent store is read before the archive, so that a fill moving between the two in the
        meantime is seen at least once.
        """
        found = await self._fills(currency, start_ms, end_ms, is_historical=False)
        if start_ms < self.exchange_now_ms() - _RECENT_MS:
            found |= await self._fills(currency, start_ms, end_ms, is_historical=True)
        return _in_order(found)

    async def fills_of_order(self, order_id: str) -> tuple[Fill, ...]:
        """Every fill of one order, oldest first, from the recent store and the archive."""
        found: dict[str, Fill] = {}
        for is_historical in (False, True):
            params = {"order_id": order_id, "sorting": "asc", "historical": is_historical}
            try:
                raw = await self._ask("private/get_user_trades_by_order", params)
            except Rejected as error:
                if error.code != _ORDER_NOT_FOUND:
                    raise
            else:
                found |= {fill.trade_id: fill for fill in wire.to_fills(raw)}
        return _in_order(found)

    async def positions(self) -> tuple[Position, ...]:
        """The account's net positions in all currencies; flat ones are left out."""
        raw = await self._ask("private/get_positions", {"currency": "any"})
        return tuple(position for position in wire.to_positions(raw) if position.size)

    async def account_id(self) -> str:
        """The exchange's number of the account that the key belongs to."""
        return wire.to_account_id(await self._ask("private/get_account_summaries", {}))

    async def account_summaries(self) -> tuple[AccountSummary, ...]:
        """Cash and margin in every currency."""
        return wire.to_account_summaries(await self._ask("private/get_account_summaries", {}))

    async def instrument(self, instrument_name: str) -> Instrument:
        """One instrument. Rejected when there is none of that name."""
        params = {"instrument_name": instrument_name}
        return wire.to_instrument(await self._ask("public/get_instrument", params))

    async def instruments(self, currency: str) -> tuple[Instrument, ...]:
        """All instruments of a currency that are not expired; `any` for all currencies."""
        params = {"currency": currency, "expired": False}
        return wire.to_instruments(await self._ask("public/get_instruments", params))

    async def ticker(self, instrument_name: str) -> Ticker:
        """The market of one instrument now."""
        params = {"instrument_name": instrument_name}
        return wire.to_ticker(await self._ask("public/ticker", params))

    async def candles(
        self, instrument_name: str, *, resolution: str, start_ms: int, end_ms: int
    ) -> tuple[Candle, ...]:
        """Chart data, oldest first; the last candle may still be open.

        `resolution` is minutes as text (`1`, `3`, `5` … `720`), or `1D`.
        """
        params = {
            "instrument_name": instrument_name,
            "resolution": resolution,
            "start_timestamp": start_ms,
            "end_timestamp": end_ms,
        }
        return wire.to_candles(await self._ask("public/get_tradingview_chart_data", params))

    async def server_time_ms(self) -> int:
        """Exchange time, milliseconds since the epoch."""
        return wire.to_server_time_ms(await self._ask("public/get_time", {}))

    async def _fills(
        self, currency: str, start_ms: int, end_ms: int, *, is_historical: bool
    ) -> dict[str, Fill]:
        """All pages of one store, by trade id.

        Pages overlap: each starts in the millisecond where the last one ended, and what comes
        twice counts once. When a whole page lies in one millisecond, time cannot move on, so the
        next page starts from the last id instead.
        """
        found: dict[str, Fill] = {}
        window = {
            "currency": currency,
            "end_timestamp": end_ms,
            "count": _PAGE_COUNT,
            "sorting": "asc",
            "historical": is_historical,
        }
        method = "_and_time"
        start: dict[str, int | str] = {"start_timestamp": start_ms}
        for _ in range(_PAGES_MAX):
            raw = await self._ask(
                f"private/get_user_trades_by_currency{method}", {**window, **start}
            )
            page, has_more = wire.to_fill_page(raw)
            is_news = any(fill.trade_id not in found for fill in page)
            found |= {fill.trade_id: fill for fill in page}
            if not has_more:
                return found
            if not page or page[-1].timestamp_ms < page[0].timestamp_ms:
                raise wire.Unreadable("a page of own trades is empty or not in order")
            last = page[-1]
            if is_news and last.timestamp_ms > page[0].timestamp_ms:
                method, start = "_and_time", {"start_timestamp": last.timestamp_ms}
            elif is_news:
                method, start = "", {"start_id": last.trade_id}
            else:
                raise wire.Unreadable("own trades do not end, and their pages do not move on")
        raise wire.Unreadable(f"own trades fill more than {_PAGES_MAX} pages")


def _in_order(found: Mapping[str, Fill]) -> tuple[Fill, ...]:
    return tuple(sorted(found.values(), key=lambda fill: (fill.timestamp_ms, fill.trade_seq)))
