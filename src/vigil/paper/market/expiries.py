"""Which expiries are listed at a time, and what they are called.

Everything expires at 08:00 UTC: days, weeks on Fridays, months on the last Friday, quarters on the
last Friday of March, June, September and December.
Source: Deribit API v2, instrument names and expirations, recorded.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from vigil.paper.market.delivery_price import DAY_MS, next_expiry_ms

_FRIDAY = 4
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS_LOOKED_AHEAD = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """One expiry.

    Args:
        expires_ms: 08:00 UTC of its day.
        period: `settlement_period` of its instruments: day, week or month; quarters are months.
    """

    expires_ms: int
    period: str

    @property
    def name(self) -> str:
        """As in instrument names: `6SEP26`."""
        return expiry_name(self.expires_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How many expiries of each length are listed at a time."""

    days: int = 0
    weeks: int = 0
    months: int = 0
    quarters: int = 0


def listed_expiries(now_ms: int, schedule: Schedule) -> tuple[Expiry, ...]:
    """The expiries listed at `now_ms`, soonest first; one day is listed once, by its longest."""
    days = [next_expiry_ms(now_ms) + number * DAY_MS for number in range(_DAYS_LOOKED_AHEAD)]
    fridays = [day for day in days if _date(day).weekday() == _FRIDAY]
    months = [day for day in fridays if _is_last_friday(day)]
    quarters = [day for day in months if _date(day).month % 3 == 0]
    periods = dict.fromkeys(days[: schedule.days], "day")
    periods |= dict.fromkeys(fridays[: schedule.weeks], "week")
    periods |= dict.fromkeys((*months[: schedule.months], *quarters[: schedule.quarters]), "month")
    return tuple(Expiry(expires_ms=day, period=periods[day]) for day in sorted(periods))


def expiry_name(expires_ms: int) -> str:
    """`6SEP26`, without a leading zero."""
    date = _date(expires_ms)
    return f"{date.day}{_MONTHS[date.month - 1]}{date.year % 100:02d}"


def _is_last_friday(day_ms: int) -> bool:
    date = _date(day_ms)
    return (date + timedelta(days=7)).month != date.month


def _date(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)
