"""The drop copy kept up to date: the transaction log read, judged and stored.

Reading the log is dear (eight calls in a burst, then one a second), so it is done after a session
began and once an interval, one call for each currency. It adds evidence and takes none away: a log
that cannot be read leaves a pass as good as it was without it.
Source: Deribit, rate limits: `private/get_transaction_log` costs 10 000 of 80 000 credits.
"""

import asyncio
from collections.abc import Iterable
from decimal import Decimal
from typing import Protocol

import structlog

from vigil.clock import Clock
from vigil.domain.account_log import LogEntry
from vigil.domain.instrument import contract_of
from vigil.domain.money import ZERO
from vigil.domain.order import OwnOrder
from vigil.domain.portfolio import AccountSummary
from vigil.domain.trade import Trade
from vigil.errors import VigilError
from vigil.ledger.account_log import ACCOUNT_LOG, Searched
from vigil.ledger.ledger import Ledger
from vigil.reconcile.account_log import Finding, Gap, audit, regression
from vigil.reconcile.readings import Record

log = structlog.get_logger(__name__)

# Between two readings, however often sessions come and go.
LOG_SPACING_S = 10.0
LOG_TIMEOUT_S = 10.0

# Each reading goes back over the last by this much: entries of one moment may appear one by one.
LOG_OVERLAP_MS = 60_000

# After a long absence the log is read a day at a time, some days in one reading.
SLICE_MS = 86_400_000
SLICES_MAX = 4

# Of the burst of eight, some are left for others.
CURRENCIES_MAX = 6

# What did not add up is asked for again, for a day, in one call each.
AGAIN_MAX = 2

_INCONSISTENT = frozenset({"account_log_gap", "account_log_balance"})

# Whatever its entry says was held, it is not held after it.
DELIVERY = "delivery"

# An order leaves at most this long before its `valid_until`.
_SENT_BEFORE_MS = 60_000


class LogSource(Protocol):
    """Where the log is read."""

    def exchange_now_ms(self) -> int:
        """The exchange's time as measured now."""
        ...

    async def account_summaries(self) -> tuple[AccountSummary, ...]:
        """Cash in every currency."""
        ...

    async def transaction_log(
        self, currency: str, start_ms: int, end_ms: int
    ) -> tuple[LogEntry, ...]:
        """All entries of a currency in a window of exchange time, oldest first."""
        ...


class DropCopy:
    """Reads the log when it is time to.

    Args:
        interval_s: How often it is read while nothing else asks for it.
    """

    def __init__(
        self, *, ledger: Ledger, source: LogSource, clock: Clock, interval_s: float
    ) -> None:
        self._ledger = ledger
        self._source = source
        self._clock = clock
        self._interval_s = max(interval_s, LOG_SPACING_S)
        self._epoch: int | None = None
        self._read_s: float | None = None
        self._is_behind = False
        self._slice_ms = SLICE_MS
        self._suspects: frozenset[Finding] = frozenset()
        self._regressed: dict[str, str] = {}

    @property
    def problem(self) -> str | None:
        """Why the exchange's history is not the one that we know; None while it is."""
        return next(iter(self._regressed.values()), None)

    def is_due(self, epoch: int) -> bool:
        """Whether the log should be read now, in session `epoch`."""
        if self._read_s is None:
            return True
        elapsed_s = self._clock.elapsed_s() - self._read_s
        if elapsed_s < LOG_SPACING_S:
            return False
        return epoch != self._epoch or self._is_behind or elapsed_s >= self._interval_s

    async def read(self, currencies: Iterable[str], *, since_ms: int, epoch: int) -> None:
        """Read what is new in these currencies and in all that hold cash.

        Args:
            since_ms: Exchange time from which on the log matters, should it be read for the first
                time.
        """
        self._read_s, self._epoch, self._is_behind = self._clock.elapsed_s(), epoch, False
        try:
            async with asyncio.timeout(LOG_TIMEOUT_S):
                await self._read(set(currencies), since_ms)
        except VigilError as error:
            log.warning("account_log.unread", reason=str(error))
            self._is_behind = True
        except TimeoutError:
            log.warning("account_log.unread", reason=f"not read within {LOG_TIMEOUT_S:g} s")
            self._is_behind = True
            self._slice_ms = max(self._slice_ms // 2, LOG_OVERLAP_MS)  # it was too much at once
        else:
            self._slice_ms = SLICE_MS

    async def testifies(self, order: OwnOrder, *, from_ms: int) -> bool:
        """Whether the log shows that nothing was executed that could be `order`'s.

        It must have been read from before the order was sent until after `from_ms`, and hold no
        execution in the instrument of which the ledger has no fill.
        """
        sent_ms = order.valid_until_ms - _SENT_BEFORE_MS
        currency = contract_of(order.instrument_name).settlement_currency
        searched = (await self._ledger.account_log.searched(ACCOUNT_LOG)).get(currency)
        if currency in self._regressed or searched is None:
            return False
        if searched.complete_ms < from_ms:
            self._is_behind = True  # somebody waits for the next reading
            return False
        if searched.since_ms > sent_ms:
            return False
        strange = await self._ledger.account_log.trades_without_fill(order.instrument_name, sent_ms)
        if strange:
            log.warning("order.executions_unknown", label=order.label, trades=sorted(strange))
        return not strange

    async def record_of(self, instrument_name: str, *, since_ms: int, until_ms: int) -> Record:
        """What the log says of an instrument, and whether the ledger knows all of it.

        Args:
            since_ms: When the first of our trades there was entered.
            until_ms: How far it should have been read. If not, it soon is.
        """
        log = self._ledger.account_log
        currency = contract_of(instrument_name).settlement_currency
        searched = (await log.searched(ACCOUNT_LOG)).get(currency)
        if currency in self._regressed or searched is None:
            return Record(position=None, complete_ms=None, is_explained=False)
        self._is_behind |= searched.complete_ms < until_ms
        newest = await log.newest_of_instrument(instrument_name, since_ms)
        position = None if newest is None else newest.position
        if newest is not None and newest.entry_type == DELIVERY:
            position = ZERO
        is_whole = searched.since_ms <= since_ms
        return Record(
            position=position,
            complete_ms=searched.complete_ms,
            is_explained=is_whole and not await log.has_strange(instrument_name, since_ms),
            ended_flat=await log.ended_flat(instrument_name),
        )

    async def agrees(self, trade: Trade, held: Decimal, *, from_ms: int) -> bool:
        """Whether the log, read at `from_ms` or later, tells of an end and of the position `held`.

        One that says nothing cannot disagree: because it began after the trade did, or because its
        newest entry in the instrument tells no position. One in which nothing has happened since
        the trade was entered, but executions that are known, tells of no end unless the position
        was closed as a whole.
        """
        record = await self.record_of(
            trade.instrument_name, since_ms=trade.entry_time_ms, until_ms=from_ms
        )
        is_read = record.complete_ms is not None and record.complete_ms >= from_ms
        is_silent = record.tells_of_no_end(trade.trade_id)
        if is_read and not is_silent and record.position in (None, held):
            return True
        self._is_behind = True  # somebody waits for the next reading
        return False

    async def _read(self, in_play: set[str], since_ms: int) -> None:
        summaries = await self._source.account_summaries()
        with_cash = {one.currency for one in summaries if one.balance}
        searched = await self._ledger.account_log.searched(ACCOUNT_LOG)

        # Those that were read least lately come first, so that none waits for ever.
        def age(currency: str) -> tuple[int, str]:
            known = searched.get(currency)
            return (0 if known is None else known.complete_ms, currency)

        in_turn = sorted(in_play | with_cash | searched.keys(), key=age)
        wanted, self._is_behind = in_turn[:CURRENCIES_MAX], len(in_turn) > CURRENCIES_MAX
        # A currency that is new to us begins where the others were left: its entries may be what
        # stands between theirs.
        since_ms = min([since_ms, *(one.complete_ms for one in searched.values())])
        starts_ms = await self._read_again()
        starts_ms += [
            await self._read_currency(currency, searched.get(currency), since_ms)
            for currency in wanted
        ]
        if starts_ms:
            await self._judge(min(starts_ms))
        await self._tell_regressions(wanted)

    async def _read_again(self) -> list[int]:
        """Ask once more for what did not add up lately; from when on it is to be judged again."""
        oldest_ms = self._source.exchange_now_ms() - SLICE_MS
        stretches = {(one.currency, one.from_ms, one.until_ms) for one in self._suspects}
        for incident in await self._ledger.open_incidents():
            if incident.kind in _INCONSISTENT and "from_ms" in incident.detail:
                told = incident.detail
                stretches.add((told["currency"], told["from_ms"], told["until_ms"]))
        lately = sorted(one for one in stretches if one[1] >= oldest_ms)
        for currency, from_ms, until_ms in lately[:AGAIN_MAX]:
            entries = await self._source.transaction_log(currency, from_ms, until_ms)
            await self._ledger.account_log.store(currency, entries)
        return [from_ms for _, from_ms, _ in lately]

    async def _read_currency(self, currency: str, searched: Searched | None, since_ms: int) -> int:
        """Read a currency on from where it was left; from when on."""
        now_ms = self._source.exchange_now_ms()
        known_ms = min(now_ms, since_ms if searched is None else searched.complete_ms)
        start_ms = first_ms = known_ms - LOG_OVERLAP_MS
        tail = await self._ledger.account_log.tail(currency)
        if tail is not None:
            # It must be there, so the first slice goes back to it. Nothing lies between it and
            # where the last reading ended, however long that is.
            start_ms = first_ms = min(start_ms, tail.timestamp_ms)
            known_ms = max(known_ms, tail.timestamp_ms)
            now_ms = max(now_ms, tail.timestamp_ms)
        end_ms = known_ms
        for _ in range(SLICES_MAX):
            end_ms = min(now_ms, end_ms + self._slice_ms)
            entries = await self._source.transaction_log(currency, start_ms, end_ms)
            if tail is not None and (why := regression(tail, entries)) is not None:
                self._regressed[currency] = why
                return first_ms
            self._regressed.pop(currency, None)
            tail = None
            complete = Searched(since_ms=start_ms, complete_ms=end_ms)
            await self._ledger.account_log.store(currency, entries, complete)
            if end_ms >= now_ms:
                return first_ms
            start_ms = end_ms
        self._is_behind = True
        return first_ms

    async def _judge(self, since_ms: int) -> None:
        """Tell people what two readings in a row have found, and when it is no longer so.

        What one has found may just be early.
        """
        findings = audit(await self._ledger.account_log.since(since_ms))
        for finding in findings:
            if finding not in self._suspects:
                self._is_behind = True
                continue
            log.error("account_log.inconsistent", finding=str(finding))
            await self._ledger.raise_incident(
                kind=_kind(finding),
                subject=finding.subject,
                severity="error",
                message=str(finding),
                detail={
                    "currency": finding.currency,
                    "from_ms": finding.from_ms,
                    "until_ms": finding.until_ms,
                },
            )
        self._suspects = frozenset(findings)
        standing = {(_kind(finding), finding.subject) for finding in findings}
        for one in await self._ledger.open_incidents():
            is_judged = one.kind in _INCONSISTENT and one.detail.get("from_ms", 0) >= since_ms
            if is_judged and (one.kind, one.subject) not in standing:
                await self._ledger.resolve_incident(one.kind, one.subject)

    async def _tell_regressions(self, read: Iterable[str]) -> None:
        opened = {
            one.subject
            for one in await self._ledger.open_incidents()
            if one.kind == "history_regressed"
        }
        for currency in read:
            why = self._regressed.get(currency)
            if why is not None:
                log.error("account_log.regressed", reason=why)
                await self._ledger.raise_incident(
                    kind="history_regressed",
                    subject=currency,
                    severity="error",
                    message=f"{why}: the account was wiped or rolled back, or this is another one. "
                    "Until it is clear nothing is closed and nothing opened; if it was reset on "
                    "purpose, move the ledger aside and start anew",
                )
            elif currency in opened:
                await self._ledger.resolve_incident("history_regressed", currency)


def _kind(finding: Finding) -> str:
    return "account_log_gap" if isinstance(finding, Gap) else "account_log_balance"
