"""The market and the platform: instruments, prices, books, funding."""

import structlog

from vigil.deribit import book, wire, wire_market
from vigil.deribit.asking import PAGES_MAX, Asker
from vigil.domain.book import Book
from vigil.domain.instrument import Instrument
from vigil.domain.market import (
    BookSummary,
    Candle,
    PlatformStatus,
    PublicTrade,
    Ticker,
)

_log = structlog.get_logger(__name__)

_TRADE_PAGE_COUNT = 1_000


class MarketReader(Asker):
    """Questions that anybody may ask."""

    async def instrument(self, instrument_name: str) -> Instrument:
        """One instrument. Rejected when there is none of that name."""
        params = {"instrument_name": instrument_name}
        instrument = wire_market.to_instrument(await self._ask("public/get_instrument", params))
        if instrument.instrument_name != instrument_name:
            raise wire.Unreadable(
                f"asked for {instrument_name}, told of {instrument.instrument_name}"
            )
        return instrument

    async def instruments(
        self, currency: str, *, is_expired: bool = False
    ) -> tuple[Instrument, ...]:
        """All instruments of a currency; `any` for all currencies.

        Args:
            is_expired: Only those that expired, instead of only those that did not.
        """
        params = {"currency": currency, "expired": is_expired}
        known, strange = wire_market.to_instruments(
            await self._ask("public/get_instruments", params)
        )
        if strange:
            _log.warning("instruments.left_out", currency=currency, reasons=sorted(strange)[:10])
        return known

    async def ticker(self, instrument_name: str) -> Ticker:
        """The market of one instrument now."""
        params = {"instrument_name": instrument_name}
        ticker = wire.to_ticker(await self._ask("public/ticker", params))
        if ticker.instrument_name != instrument_name:
            raise wire.Unreadable(f"asked for {instrument_name}, told of {ticker.instrument_name}")
        return ticker

    async def order_book(self, instrument_name: str, *, depth: int) -> Book:
        """The best levels of a book now; `depth` 1, 5, 10, 20, 50, 100, 1 000 or 10 000."""
        params = {"instrument_name": instrument_name, "depth": depth}
        found = book.to_book(await self._ask("public/get_order_book", params))
        if found.instrument_name != instrument_name:
            raise wire.Unreadable(f"asked for {instrument_name}, told of {found.instrument_name}")
        return found

    async def book_summaries(self, currency: str) -> tuple[BookSummary, ...]:
        """Every market of a currency in short, some seconds old."""
        raw = await self._ask("public/get_book_summary_by_currency", {"currency": currency})
        return wire_market.to_book_summaries(raw)

    async def public_trades(
        self, instrument_name: str, start_ms: int, end_ms: int
    ) -> tuple[PublicTrade, ...]:
        """Every trade of anybody in an instrument from `start_ms` to `end_ms`, oldest first."""
        found: dict[str, PublicTrade] = {}
        question = {
            "instrument_name": instrument_name,
            "end_timestamp": end_ms,
            "count": _TRADE_PAGE_COUNT,
            "sorting": "asc",
        }
        start = {"start_timestamp": start_ms}
        for _ in range(PAGES_MAX):
            raw = await self._ask("public/get_last_trades_by_instrument", {**question, **start})
            page, has_more = wire_market.to_public_trade_page(raw)
            known = len(found)
            found |= {trade.trade_id: trade for trade in page}
            for trade in page:
                if (
                    trade.instrument_name != instrument_name
                    or not start_ms <= trade.timestamp_ms <= end_ms
                ):
                    raise wire.Unreadable(f"trade {trade.trade_id} was not asked for")
            if not has_more:
                return tuple(sorted(found.values(), key=lambda trade: trade.trade_seq))
            if len(found) == known:
                raise wire.Unreadable("trades do not end, and their pages do not move on")
            start = {"start_seq": max(trade.trade_seq for trade in page)}
        raise wire.Unreadable(f"trades fill more than {PAGES_MAX} pages")

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
        raw = await self._ask("public/get_tradingview_chart_data", params)
        return wire_market.to_candles(raw)

    async def expirations(self, currency: str, kind: str) -> dict[str, tuple[str, ...]]:
        """Expiry dates as in instrument names, by kind."""
        params = {"currency": currency, "kind": kind}
        return wire_market.to_expirations(await self._ask("public/get_expirations", params))

    async def platform_status(self) -> PlatformStatus:
        """Locks of trading in force."""
        return wire_market.to_platform_status(await self._ask("public/status", {}))

    async def server_time_ms(self) -> int:
        """Exchange time, milliseconds since the epoch."""
        return wire.to_server_time_ms(await self._ask("public/get_time", {}))
