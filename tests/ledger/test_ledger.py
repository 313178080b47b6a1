"""The ledger as its callers and a person at the shell see it."""

import asyncio
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigil.ledger import ledger as ledger_module
from vigil.ledger.ledger import Ledger
from vigil.ledger.runs import ReconciliationRun
from vigil.ledger.storage import InLoopStorage

BY_HAND = (
    "INSERT INTO trades (id, strategy_name, instrument, side, entry_order_id, entry_price, "
    "amount, stop_loss, take_profit, entry_time, status) VALUES ('test_orphan','Razor',"
    "'BTC_USDC-PERPETUAL','buy','test',95000,0.01,94500,95500,1732200000000,'open')"
)


def insert_through_connection(path, statement):
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def insert_through_shell(path, statement):
    subprocess.run(["sqlite3", str(path), statement], check=True, capture_output=True, timeout=30)


@pytest.mark.parametrize(
    "insert",
    [
        pytest.param(insert_through_connection, id="second connection"),
        pytest.param(
            insert_through_shell,
            id="sqlite3 shell",
            marks=pytest.mark.skipif(not shutil.which("sqlite3"), reason="no sqlite3 shell here"),
        ),
    ],
)
async def test_a_trade_inserted_by_hand_while_we_run_is_seen_and_can_be_closed(
    insert, ledger, path, make
):
    await ledger.commit_orders(make.bracket())
    await asyncio.to_thread(insert, path, BY_HAND)
    (trade,) = (await ledger.open_trades()).trades
    assert trade.trade_id == "test_orphan"
    assert trade.strategy_id is None
    assert (trade.entry_price, trade.amount) == (Decimal(95_000), Decimal("0.01"))
    assert (trade.stop_loss, trade.take_profit) == (Decimal(94_500), Decimal(95_500))
    closed = await ledger.close_estimated(
        "test_orphan", mark_price=Decimal(96_000), now_ms=1_732_200_060_000, cause="reconciler"
    )
    assert (closed.pnl, closed.is_open) == (Decimal(10), False)
    assert (await ledger.open_trades()).trades == ()


async def test_a_busy_writer_beside_us_loses_nothing_and_costs_us_nothing(ledger, path, make):
    stop = threading.Event()
    inserted = 0

    def crowd():
        nonlocal inserted
        connection = sqlite3.connect(path, isolation_level=None, timeout=20)
        while not stop.wait(0.002):  # SQLite's locks are not fair: who never pauses starves others
            connection.execute(BY_HAND.replace("test_orphan", f"crowd-{inserted}"))
            inserted += 1
        connection.close()

    thread = threading.Thread(target=crowd)
    thread.start()
    try:
        for n in range(1, 30):
            await ledger.commit_orders([make.entry(n)])
    finally:
        stop.set()
        await asyncio.to_thread(thread.join)
    assert len(await ledger.working_orders()) == 29
    assert len((await ledger.open_trades()).trades) == inserted > 0


async def test_open_trades_come_whole_and_in_order_over_many_pages(ledger, path, monkeypatch):
    monkeypatch.setattr(ledger_module, "OPEN_TRADES_PAGE", 7)
    connection = sqlite3.connect(path)
    for n in range(30):
        connection.execute(BY_HAND.replace("test_orphan", f"t{n:02}"))
    connection.execute("UPDATE trades SET status = 'closed' WHERE id IN ('t03', 't14', 't29')")
    connection.commit()
    connection.close()
    expected = [f"t{n:02}" for n in range(30) if n not in (3, 14, 29)]
    assert [trade.trade_id for trade in (await ledger.open_trades()).trades] == expected


async def test_the_loop_is_not_held_while_many_open_trades_are_read(ledger, path):
    connection = sqlite3.connect(path)
    connection.executemany(
        BY_HAND.replace("'test_orphan'", "?"), [(f"t{n}",) for n in range(5_000)]
    )
    connection.commit()
    connection.close()
    beats = 0
    task = asyncio.create_task(ledger.open_trades())
    while not task.done():
        beats += 1
        await asyncio.sleep(0)
    assert len(task.result().trades) == 5_000
    assert beats > 5_000 / ledger_module.OPEN_TRADES_PAGE


async def test_a_commit_that_was_cancelled_half_way_can_be_read_again(ledger, make):
    task = asyncio.create_task(ledger.commit_orders(make.bracket()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await ledger.working_orders() == make.bracket()


async def test_figures_for_the_start_count_only_the_strategys_own(ledger, path, make):
    await ledger.commit_orders([make.entry(1), make.stop(), make.entry(5, trade_id="T5")])
    await ledger.apply_fills([make.fill(1, make.entry(1)), make.fill(2, make.entry(5))])
    await ledger.apply_fills([make.fill(3, make.stop())])
    await asyncio.to_thread(insert_through_connection, path, BY_HAND)
    assert await ledger.trades_opened_since("razor-1", 10_002) == 1
    assert await ledger.trades_opened_since("razor-1", 0) == 2
    assert await ledger.trades_opened_since("grid-1", 0) == 0
    assert await ledger.last_exit("razor-1") == ("T1", 10_003)
    assert await ledger.last_exit("grid-1") is None


async def test_the_newest_fill_of_each_instrument_is_known(ledger, make):
    assert await ledger.last_fill_ms_by_instrument() == {}
    await ledger.apply_fills(
        [
            make.fill(5),
            make.fill(3, instrument_name="ETH_USDC-PERPETUAL"),
            make.fill(9, instrument_name="BTC-PERPETUAL"),
        ]
    )
    assert await ledger.last_fill_ms_by_instrument() == {
        "BTC-PERPETUAL": 10_009,
        "BTC_USDC-PERPETUAL": 10_005,
        "ETH_USDC-PERPETUAL": 10_003,
    }


async def test_shares_of_trades_without_fills_are_empty(ledger, make):
    await ledger.commit_orders([make.entry()])
    await ledger.apply_fills([make.fill(1, make.entry())])
    shares = await ledger.shares_of(["T1", "T9"])
    assert [share.is_entry for share in shares["T1"]] == [True]
    assert shares["T9"] == ()


async def test_the_same_trouble_is_one_incident_until_it_is_resolved(ledger):
    first = await ledger.raise_incident(
        kind="foreign_order", subject="USDC-1", severity="warning", message="seen",
        detail={"amount": "0.01"},
    )  # fmt: skip
    again = await ledger.raise_incident(
        kind="foreign_order", subject="USDC-1", severity="error", message="still there"
    )
    other = await ledger.raise_incident(kind="foreign_order", severity="warning", message="x")
    assert (again.incident_id, again.count, again.severity) == (first.incident_id, 2, "error")
    assert again.opened_ms == first.opened_ms < again.last_ms
    assert await ledger.open_incidents() == (again, other)
    seen = await ledger.acknowledge_incident(first.incident_id)
    assert seen.acknowledged_ms is not None
    resolved = await ledger.resolve_incident("foreign_order", "USDC-1")
    assert resolved.resolved_ms is not None
    assert await ledger.resolve_incident("foreign_order", "USDC-1") is None
    assert await ledger.open_incidents() == (other,)
    new = await ledger.raise_incident(
        kind="foreign_order", subject="USDC-1", severity="warning", message="back"
    )
    assert new.incident_id not in (first.incident_id, other.incident_id)


async def test_passes_are_kept_newest_first(ledger):
    runs = [
        ReconciliationRun(
            started_ms=n, finished_ms=n + 5, trigger="interval", outcome="ok", open_trades=n,
            drifts=("one", "two"), remedies=("done",), is_unsettled=n == 2,
        )
        for n in (1, 2, 3)
    ]  # fmt: skip
    ids = [await ledger.record_reconciliation(run) for run in runs]
    newest, before = await ledger.reconciliation_runs(2)
    assert (newest.run_id, before.run_id) == (ids[2], ids[1])
    assert (before.drifts, before.remedies) == (("one", "two"), ("done",))
    assert before.is_unsettled


async def test_the_version_of_sqlite_is_told(ledger):
    assert ledger.sqlite_version == sqlite3.sqlite_version
    assert ledger.has_wal_reset_race is (sqlite3.sqlite_version_info < (3, 51, 3))


async def test_both_storages_keep_the_same_ledger(path, clock, make, open_ledger):
    for open_storage in (InLoopStorage.open, ledger_module.AioSqliteStorage.open):
        ledger = await open_ledger(open_storage=open_storage)
        n = ledger.next_intent_id()
        await ledger.commit_orders([make.entry(n, trade_id=f"T{n}")])
        await ledger.apply_fills([make.fill(n, make.entry(n))])
        await ledger.close()
    ledger = await open_ledger()
    assert [trade.trade_id for trade in (await ledger.open_trades()).trades] == ["T1", "T2"]


WRITER = """
import asyncio, sys
from msgspec.structs import replace
from decimal import Decimal
from pathlib import Path
from vigil.clock import SystemClock
from vigil.domain.order import Direction, OrderType, OwnOrder, Role
from vigil.ledger.ledger import Ledger

ORDER = OwnOrder(
    label="", intent_id=1, attempt=1, strategy_id="s", strategy_name="S", role=Role.ENTRY,
    trade_id="T", instrument_name="BTC-PERPETUAL", direction=Direction.BUY,
    order_type=OrderType.MARKET, amount=Decimal(10), created_ms=1, valid_until_ms=2,
)

async def main():
    ledger = await Ledger.open(
        Path(sys.argv[1]), environment="paper", account="acc", clock=SystemClock()
    )
    print("open", flush=True)
    while True:
        pair = [ledger.next_intent_id(), ledger.next_intent_id()]
        labels = [f"vg-s-{n}-1" for n in pair]
        parents = [None, labels[0]]
        await ledger.commit_orders(
            [replace(ORDER, label=label, intent_id=n, parent_label=parent)
             for label, n, parent in zip(labels, pair, parents)]
        )
        print(pair[1], flush=True)

asyncio.run(main())
"""


@settings(max_examples=8, deadline=None)
@given(acknowledged=st.integers(0, 40))
def test_kill_9_loses_no_acknowledged_intent(acknowledged, tmp_path_factory):
    """Short form: the writer is killed after some acknowledgements, wherever it then is."""
    path = tmp_path_factory.mktemp("killed") / "trades.db"
    last = 0
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout.readline() == "open\n"
        for _ in range(acknowledged):
            last = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        for line in writer.stdout:
            if line.endswith("\n"):
                last = int(line)
    assert writer.returncode == -signal.SIGKILL

    async def reopen():
        from vigil.clock import SystemClock

        ledger = await Ledger.open(
            path, environment="paper", account="acc", clock=SystemClock(),
            open_storage=InLoopStorage.open,
        )  # fmt: skip
        orders = await ledger.working_orders()
        following = ledger.next_intent_id()
        await ledger.close()
        return [order.intent_id for order in orders], following

    found, following = asyncio.run(reopen())
    assert found == list(range(1, len(found) + 1)), "a hole, or one commit half there"
    assert len(found) >= last
    assert len(found) % 2 == 0
    assert following == len(found) + 1
    assert asyncio.run(reopen()) == (found, following)
