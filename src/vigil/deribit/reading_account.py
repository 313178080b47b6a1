"""Positions, cash, margin, locks and the account's records."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from vigil.deribit import wire, wire_account
from vigil.deribit.asking import Asker
from vigil.deribit.reading_fills import is_of_currency
from vigil.domain.account_log import LogEntry, Settlement
from vigil.domain.portfolio import (
    AccountLock,
    AccountSummary,
    AccountTerms,
    Position,
)

# Source: Deribit API v2, private/get_transaction_log and private/get_settlement_history.
_LOG_PAGE_COUNT = 250
_SETTLEMENT_PAGE_COUNT = 1_000


class AccountReader(Asker):
    """Questions about what the account holds and what happened to it."""

    async def positions(self) -> tuple[Position, ...]:
        """The account's net positions in all currencies; flat ones are left out.

        No position may be the truth, or an error told as an empty list: whoever would close a
        trade for it must ask a second source as well.
        """
        raw = await self._ask("private/get_positions", {"currency": "any"})
        positions = wire.to_positions(raw)
        if len({position.instrument_name for position in positions}) != len(positions):
            raise wire.Unreadable("a position is listed twice")
        return tuple(position for position in positions if position.size)

    async def position(self, instrument_name: str) -> Position:
        """The net position in one instrument, flat or not."""
        params = {"instrument_name": instrument_name}
        position = wire.to_position(await self._ask("private/get_position", params))
        if position.instrument_name != instrument_name:
            raise wire.Unreadable(
                f"asked for the position in {instrument_name}, told of {position.instrument_name}"
            )
        return position

    async def account_id(self) -> str:
        """The exchange's number of the account that the key belongs to."""
        return wire_account.to_account_id(await self._ask("private/get_account_summaries", {}))

    async def account_summaries(self) -> tuple[AccountSummary, ...]:
        """Cash and margin in every currency."""
        raw = await self._ask("private/get_account_summaries", {})
        return wire_account.to_account_summaries(raw)

    async def account_summary(self, currency: str) -> AccountSummary:
        """Cash and margin in one currency."""
        raw = await self._ask("private/get_account_summary", {"currency": currency})
        summary = wire_account.to_account_summary(raw)
        if summary.currency != currency:
            raise wire.Unreadable(f"asked for {currency}, told of {summary.currency}")
        return summary

    async def account_terms(self, currency: str) -> AccountTerms:
        """The account's rate limits, and its fees where they differ from the instruments' own."""
        params = {"currency": currency, "extended": True}
        return wire_account.to_terms(await self._ask("private/get_account_summary", params))

    async def account_locks(self) -> tuple[AccountLock, ...]:
        """Whether the account is locked, by currency."""
        return wire_account.to_locks(await self._ask("private/get_user_locks", {}))

    async def cancel_on_disconnect(self, scope: str = "connection") -> bool:
        """Whether orders die with their connection.

        `connection` speaks of this one, `account` of those opened from now on.
        """
        raw = await self._ask("private/get_cancel_on_disconnect", {"scope": scope})
        told, is_enabled = wire_account.to_cancel_on_disconnect(raw)
        if told != scope:
            raise wire.Unreadable(f"asked for the scope {scope}, told of {told[:64]!r}")
        return is_enabled

    async def transaction_log(
        self, currency: str, start_ms: int, end_ms: int
    ) -> tuple[LogEntry, ...]:
        """Every movement of cash in a currency from `start_ms` to `end_ms`, oldest first."""
        question = {
            "currency": currency,
            "start_timestamp": start_ms,
            "end_timestamp": end_ms,
            "count": _LOG_PAGE_COUNT,
        }
        entries = await self._all_pages(
            "private/get_transaction_log",
            question,
            wire_account.to_log_page,
            key=lambda entry: entry.entry_id,
        )
        for entry in entries:
            if currency not in (entry.currency, "any"):
                raise wire.Unreadable(f"asked for the log of {currency}, told of {entry.currency}")
            if not start_ms <= entry.timestamp_ms <= end_ms:
                raise wire.Unreadable(f"log entry {entry.entry_id} lies outside what was asked for")
        return _in_sequence(entries)

    async def settlements(
        self, currency: str, *, since_ms: int, settlement_type: str | None = None
    ) -> tuple[Settlement, ...]:
        """Settlements and deliveries of a settlement currency since `since_ms`, oldest first.

        `settlement_type` narrows it to `settlement`, `delivery` or `bankruptcy`.
        """
        # `search_start_timestamp` would be the newest of interest; without it now is.
        question: dict[str, Any] = {"currency": currency, "count": _SETTLEMENT_PAGE_COUNT}
        if settlement_type is not None:
            question["type"] = settlement_type
        rows = await self._all_pages(
            "private/get_settlement_history_by_currency",
            question,
            wire_account.to_settlement_page,
            key=lambda row: row,
            is_enough=lambda page: all(row.timestamp_ms < since_ms for row in page),
        )
        for row in rows:
            name = row.instrument_name
            if name is not None and not is_of_currency(name, currency):
                raise wire.Unreadable(f"asked for settlements in {currency}, told of {name}")
        recent = [row for row in rows if row.timestamp_ms >= since_ms]
        return tuple(sorted(recent, key=lambda row: row.timestamp_ms))


def _in_sequence(entries: Iterable[LogEntry]) -> tuple[LogEntry, ...]:
    """Oldest first.

    Raises: Unreadable, when two entries claim one place.
    """
    ordered = sorted(entries, key=lambda entry: (entry.user_seq, entry.entry_id))
    for before, after in pairwise(ordered):
        if before.user_seq == after.user_seq and before.currency == after.currency:
            raise wire.Unreadable(f"two log entries are number {before.user_seq}")
    return tuple(ordered)
