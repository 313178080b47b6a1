"""Past trades, page by page, and what each day brought."""

import sqlite3
from datetime import date
from decimal import Decimal

import pytest

from vigil.domain.trade import TradeStatus
from vigil.ledger.reports import DayResult

DAY_MS = 86_400_000
COLUMNS = (
    "id, strategy_id, strategy_name, instrument, side, entry_order_id, entry_price, amount, "
    "entry_time, status, exit_time, pnl, fees"
)


@pytest.fixture
async def filled(ledger, path):
    """Ten trades a minute apart, the last two of one moment; even ones closed."""
    connection = sqlite3.connect(path)
    for n in range(10):
        entry_ms = DAY_MS + min(n, 8) * 60_000
        is_closed = n % 2 == 0
        row = (
            f"t{n}", "grid-1" if n < 3 else "razor-1", "Grid" if n < 3 else "Razor",
            "BTC-PERPETUAL" if n == 4 else "ETH_USDC-PERPETUAL", "buy", "e", "1", "1", entry_ms,
            "closed" if is_closed else "open", (1 + n // 5) * DAY_MS if is_closed else None,
            f"{n - 3}.5" if is_closed else None, "0.25",
        )  # fmt: skip
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO trades ({COLUMNS}) VALUES ({marks})", row)
    connection.commit()
    connection.close()
    return ledger.reports


def ids(page):
    return [trade.trade_id for trade in page.trades]


async def test_history_is_newest_entry_first(filled):
    assert ids(await filled.history()) == [f"t{n}" for n in reversed(range(10))]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        pytest.param({"status": TradeStatus.OPEN}, ["t9", "t7", "t5", "t3", "t1"], id="status"),
        pytest.param({"strategy": "grid-1"}, ["t2", "t1", "t0"], id="strategy id"),
        pytest.param({"strategy": "Grid"}, ["t2", "t1", "t0"], id="strategy name"),
        pytest.param({"instrument": "BTC-PERPETUAL"}, ["t4"], id="instrument"),
        pytest.param({"strategy": "Grid", "status": TradeStatus.OPEN}, ["t1"], id="both"),
        pytest.param({"before": DAY_MS + 60_000}, ["t0"], id="before a time"),
        pytest.param({"before": "t9"}, [f"t{n}" for n in reversed(range(9))], id="after a trade"),
        pytest.param({"before": "unknown"}, [], id="after an unknown trade"),
        pytest.param({"limit": 0}, ["t9"], id="limit below one"),
    ],
)
async def test_history_filters(filled, filters, expected):
    assert ids(await filled.history(**filters)) == expected


async def test_pages_join_without_gap_or_overlap_while_trades_are_added(filled, path):
    seen, before = [], None
    while True:
        page = await filled.history(limit=3, before=before)
        seen += ids(page)
        if page.next_before is None:
            break
        before = page.next_before
        connection = sqlite3.connect(path)
        connection.execute(
            f"INSERT INTO trades ({COLUMNS}) VALUES ('new {before}', 'x', 'X', 'I', 'buy', 'e', "
            f"'1', '1', {99 * DAY_MS}, 'open', NULL, NULL, '0')"
        )
        connection.commit()
        connection.close()
    assert seen == [f"t{n}" for n in reversed(range(10))]


async def test_days_are_utc_and_currencies_are_never_added_up(filled):
    assert await filled.daily(0) == (
        DayResult(
            day=date(1970, 1, 2), currency="BTC", trades=1, wins=1, pnl=Decimal("1.5"),
            fees=Decimal("0.25"), funding=Decimal(0),
        ),
        DayResult(
            day=date(1970, 1, 2), currency="USDC", trades=2, wins=0, pnl=Decimal(-5),
            fees=Decimal("0.5"), funding=Decimal(0),
        ),
        DayResult(
            day=date(1970, 1, 3), currency="USDC", trades=2, wins=2, pnl=Decimal(9),
            fees=Decimal("0.5"), funding=Decimal(0),
        ),
    )  # fmt: skip
    assert len(await filled.daily(2 * DAY_MS)) == 1
    assert len(await filled.daily(0, strategy="grid-1")) == 1


async def test_counts_are_by_status(filled):
    assert await filled.counts() == {"open": 5, "closed": 5}
