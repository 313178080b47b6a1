"""Funding of perpetuals: the rate of the moment, what it adds up to, and its history by the hour.

Funding runs all the time, on the position's value at index. The interest value of an instrument
grows with it since the last settlement, so that what a position received between two readings is
minus size x difference / 28 800 000 (the milliseconds of eight hours).
Source: Deribit knowledge base, funding rate; the interest value derived from recorded tickers.
"""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from vigil.domain.money import ZERO, round_nearest
from vigil.paper.market.instruments import Listing

EIGHT_HOURS_MS = 28_800_000
HOUR_MS = 3_600_000

_DEAD_BAND = Decimal("0.00025")
_CAPS = {"BTC-PERPETUAL": Decimal("0.005"), "ETH-PERPETUAL": Decimal("0.01")}
_CAP = Decimal("0.05")  # of linear perpetuals; taken for all others too
HISTORY_HOURS = 31 * 24
# Fine enough not to be seen in eight decimals, coarse enough that sums stay exact.
_RECEIVED_QUANTUM = Decimal("1e-18")


def funding_rate(instrument_name: str, premium: Decimal) -> Decimal:
    """The rate per eight hours at a premium of mark over index; longs pay when it is positive."""
    cap = _CAPS.get(instrument_name, _CAP)
    rate = max(_DEAD_BAND, premium) + min(-_DEAD_BAND, premium)
    return max(min(rate, cap), -cap)


def received(size: Decimal, interest: Decimal) -> Decimal:
    """What a signed position receives while the interest value grows by `interest`."""
    return round_nearest(-size * interest / EIGHT_HOURS_MS, _RECEIVED_QUANTUM)


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingHour:
    """One hour of a perpetual's funding, told at its end.

    Args:
        paid: Rates added up since the instrument was listed, to measure any window by.
        interest_1h, interest_8h: What was added in the hour, and in the eight hours until its end.
    """

    instrument_name: str
    timestamp_ms: int
    index_price: Decimal
    prev_index_price: Decimal
    interest_1h: Decimal
    interest_8h: Decimal
    paid: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingState:
    """Where a perpetual's funding stands.

    Args:
        born_ms: Where its history begins.
        interest_value: Since the last settlement.
        paid: See `FundingHour`.
        hour_index_price: The index when the present hour began.
    """

    instrument_name: str
    born_ms: int
    last_ms: int
    interest_value: Decimal = ZERO
    paid: Decimal = ZERO
    hour_index_price: Decimal = ZERO


class FundingMeter:
    """One perpetual's funding as time passes.

    Args:
        now_ms: Where it begins, unless `restore` says otherwise.
    """

    def __init__(self, listing: Listing, *, now_ms: int, index_price: Decimal) -> None:
        self._name, self._is_linear = listing.name, listing.contract.is_linear
        self._born_ms = self._last_ms = now_ms
        self._hour_index_price = index_price
        self._paid = ZERO
        self.interest_value = ZERO
        self.hours: list[FundingHour] = []

    @property
    def state(self) -> FundingState:
        """All that `restore` needs beside the hours."""
        return FundingState(
            instrument_name=self._name,
            born_ms=self._born_ms,
            last_ms=self._last_ms,
            interest_value=self.interest_value,
            paid=self._paid,
            hour_index_price=self._hour_index_price,
        )

    def restore(self, state: FundingState, hours: Iterable[FundingHour]) -> None:
        """Take back what was kept."""
        self._born_ms, self._last_ms = state.born_ms, state.last_ms
        self.interest_value, self._paid = state.interest_value, state.paid
        self._hour_index_price = state.hour_index_price
        self.hours = list(hours)[-HISTORY_HOURS:]

    def pass_time(
        self, now_ms: int, rate: Decimal, index_price: Decimal
    ) -> tuple[Decimal, list[FundingHour]]:
        """Let time pass at one rate and index price.

        Returns: By how much the interest value grew, and the hours that ended.
        """
        before = self.interest_value
        ended: list[FundingHour] = []
        earliest_kept_ms = now_ms - HISTORY_HOURS * HOUR_MS
        end_ms = (max(self._last_ms, earliest_kept_ms) // HOUR_MS + 1) * HOUR_MS
        while end_ms <= now_ms:
            self._accrue(end_ms, rate, index_price)
            ended.append(self._close_hour(end_ms, index_price))
            end_ms += HOUR_MS
        self._accrue(now_ms, rate, index_price)
        return self.interest_value - before, ended

    def restart(self) -> None:
        """A settlement: the interest value begins anew."""
        self.interest_value = ZERO

    def value(self, start_ms: int, end_ms: int) -> Decimal:
        """What the rates of a window add up to; where nothing is known, nothing was paid."""
        return self._paid_at(end_ms) - self._paid_at(start_ms)

    @property
    def eight_hours(self) -> Decimal:
        """What was added in the last eight hours."""
        return self._paid - self._paid_at(self._last_ms - EIGHT_HOURS_MS)

    def _accrue(self, until_ms: int, rate: Decimal, index_price: Decimal) -> None:
        elapsed_ms = until_ms - self._last_ms
        if elapsed_ms <= 0:
            return
        self._last_ms = until_ms
        if rate:
            weighted = rate * elapsed_ms
            interest = weighted * index_price if self._is_linear else weighted / index_price
            self.interest_value += interest
            self._paid += weighted / EIGHT_HOURS_MS

    def _close_hour(self, end_ms: int, index_price: Decimal) -> FundingHour:
        paid = self._paid
        hour = FundingHour(
            instrument_name=self._name,
            timestamp_ms=end_ms,
            index_price=index_price,
            prev_index_price=self._hour_index_price,
            interest_1h=paid - self._paid_at(end_ms - HOUR_MS),
            interest_8h=paid - self._paid_at(end_ms - EIGHT_HOURS_MS),
            paid=paid,
        )
        self.hours.append(hour)
        del self.hours[:-HISTORY_HOURS]
        self._hour_index_price = index_price
        return hour

    def _paid_at(self, at_ms: int) -> Decimal:
        """Rates added up until a moment; between two known ones, in proportion to time."""
        if at_ms >= self._last_ms:
            return self._paid
        place = bisect_left(self.hours, at_ms, key=lambda hour: hour.timestamp_ms)
        if place < len(self.hours):
            later_ms, later = self.hours[place].timestamp_ms, self.hours[place].paid
        else:
            later_ms, later = self._last_ms, self._paid
        if place:
            earlier_ms, earlier = self.hours[place - 1].timestamp_ms, self.hours[place - 1].paid
        elif not self.hours or self.hours[0].timestamp_ms - self._born_ms <= HOUR_MS:
            earlier_ms, earlier = self._born_ms, ZERO
        else:  # older hours are forgotten
            earlier_ms, earlier = later_ms - HOUR_MS, later - self.hours[0].interest_1h
        if at_ms <= earlier_ms:
            return earlier
        return earlier + (later - earlier) * (at_ms - earlier_ms) / (later_ms - earlier_ms)
