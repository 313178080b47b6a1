"""The transaction log judged as a sequence: is it whole, does it add up, and is it still the same?

The log is the exchange's own record of every movement of cash, numbered by `user_seq`, so it can be
checked like any sequenced feed. What comes in is what the ledger kept of it and what was read now;
what leaves are findings for people. Nothing is concluded about positions here.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

from msgspec import Struct

from vigil.domain.account_log import LogEntry
from vigil.domain.money import SETTLEMENT_QUANTUM, decimal_text


class Gap(Struct, frozen=True, kw_only=True):
    """Entries that must exist, by their number, and were not shown.

    Args:
        from_ms: Of the entry before them.
        until_ms: Of the entry after them.
    """

    currency: str
    after_seq: int
    before_seq: int
    from_ms: int
    until_ms: int

    @property
    def subject(self) -> str:
        """Which gap it is."""
        return f"{self.currency} {self.after_seq}"

    def __str__(self) -> str:
        return (
            f"transaction log of {self.currency}: entries {self.after_seq + 1} to "
            f"{self.before_seq - 1} are missing"
        )


class BrokenChain(Struct, frozen=True, kw_only=True):
    """An entry whose balance is not the balance before it and its own change.

    Args:
        from_ms: Of the entry before it.
        until_ms: Its own time.
    """

    currency: str
    user_seq: int
    expected: Decimal
    balance: Decimal
    from_ms: int
    until_ms: int

    @property
    def subject(self) -> str:
        """Which entry it is."""
        return f"{self.currency} {self.user_seq}"

    def __str__(self) -> str:
        return (
            f"transaction log of {self.currency}: entry {self.user_seq} leaves "
            f"{decimal_text(self.balance)}, the one before it and its change make "
            f"{decimal_text(self.expected)}"
        )


Finding = Gap | BrokenChain


def audit(entries: Sequence[LogEntry]) -> tuple[Finding, ...]:
    """What is wrong with a stretch of the log, all its currencies together.

    `user_seq` may count the account's entries or those of each currency: the documentation leaves
    it open. So a jump within a currency is a gap only when the numbers between are not those of
    entries in other currencies either.
    Source: Deribit API v2, `private/get_transaction_log`.
    """
    by_currency: dict[str, dict[int, LogEntry]] = defaultdict(dict)
    for entry in entries:
        by_currency[entry.currency][entry.user_seq] = entry
    known = sorted({entry.user_seq for entry in entries})
    findings: list[Finding] = []
    for currency, numbered in sorted(by_currency.items()):
        in_order = [numbered[user_seq] for user_seq in sorted(numbered)]
        for before, after in pairwise(in_order):
            between = bisect_left(known, after.user_seq) - bisect_right(known, before.user_seq)
            if between < after.user_seq - before.user_seq - 1:
                findings.append(
                    Gap(
                        currency=currency,
                        after_seq=before.user_seq,
                        before_seq=after.user_seq,
                        from_ms=before.timestamp_ms,
                        until_ms=after.timestamp_ms,
                    )
                )
                continue  # what is missing explains the balance
            expected = before.balance + after.change
            # Balance and change are each rounded by the exchange, so the last digit may be off.
            if abs(expected - after.balance) > SETTLEMENT_QUANTUM:
                findings.append(
                    BrokenChain(
                        currency=currency,
                        user_seq=after.user_seq,
                        expected=expected,
                        balance=after.balance,
                        from_ms=before.timestamp_ms,
                        until_ms=after.timestamp_ms,
                    )
                )
    return tuple(findings)


def regression(tail: LogEntry, read: Sequence[LogEntry]) -> str | None:
    """Why the exchange's history is not the one that we know; None when it still is.

    Args:
        tail: The newest entry that the ledger has of a currency.
        read: All of the currency's entries from the time of `tail` on, as read now.

    A log is only ever added to. When its last known entry is gone or says something else, the
    account was wiped, rolled back or exchanged, and its silence about our positions proves nothing.
    """
    found = next((entry for entry in read if entry.user_seq == tail.user_seq), None)
    if found is None:
        newest = max((entry.user_seq for entry in read), default=None)
        shown = "nothing since" if newest is None else f"entries up to {newest}"
        return (
            f"entry {tail.user_seq} of the {tail.currency} transaction log is gone; "
            f"the exchange shows {shown}"
        )
    if _substance(found) != _substance(tail):
        return f"entry {tail.user_seq} of the {tail.currency} transaction log reads otherwise now"
    return None


def _substance(entry: LogEntry) -> tuple[object, ...]:
    return (
        entry.timestamp_ms,
        entry.entry_type,
        entry.instrument_name,
        entry.change,
        entry.balance,
        entry.trade_id,
    )
