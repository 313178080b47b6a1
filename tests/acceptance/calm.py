"""After many disturbances: waiting until all is quiet, and what has to agree then."""

import time
from collections import Counter
from decimal import Decimal
from typing import Any

from processes import PaperAccount, eventually, strategy

BTC, ETH, INVERSE = "BTC_USDC-PERPETUAL", "ETH_USDC-PERPETUAL", "BTC-PERPETUAL"

STRATEGIES = (
    strategy("a", instrument=BTC, cooldownMinutes=0.02),
    strategy("b", instrument=BTC, cooldownMinutes=0.03, tradeSize=300),
    strategy("c", instrument=ETH, cooldownMinutes=0.02),
    strategy("d", instrument=INVERSE, cooldownMinutes=0.02),
)


async def come_to_rest(vigil: Any, *, told: frozenset[str] = frozenset()) -> None:
    """Everything runs and nobody wants anything new: two clean passes, and health.

    Args:
        told: Of health's reasons those that may stand yet, because it takes longer to be over them.
    """
    vigil.write_state(*({**one, "status": "paused"} for one in STRATEGIES))
    await vigil.ready()
    healed_ms = time.time_ns() // 1_000_000

    async def quiet() -> bool:
        runs = (await vigil.get("/api/reconciliation/runs"))["runs"]
        health = await vigil.get("/health")
        working = (await vigil.get("/api/orders"))["orders"]
        return bool(
            {reason.partition(":")[0] for reason in health["reasons"]} <= told
            and len(runs) >= 2
            # Passes of before the last disturbance know nothing of it.
            and all(
                run["outcome"] == "clean" and run["startedTime"] > healed_ms for run in runs[:2]
            )
            and all(order["status"] in {"untriggered", "open"} for order in working)
        )

    try:
        await eventually(quiet, what="two clean passes", within_s=90)
    except AssertionError:
        print(await vigil.get("/health"), vigil.text()[-4000:], sep="\n")
        raise


async def check_agreement(vigil: Any, account: PaperAccount) -> None:
    venue_fills = [fill for name in (BTC, ETH, INVERSE) for fill in await account.fills(name)]
    ledger_fills = vigil.sql("SELECT trade_id, unassigned_amount, label FROM fills")
    ours = {fill["trade_id"] for fill in venue_fills if fill.get("label", "").startswith("vg-")}
    booked = [row[0] for row in ledger_fills]
    assert len(booked) == len(set(booked)), "a fill was booked twice"
    assert ours <= set(booked), "a fill of ours is missing in the ledger"
    loose = [row for row in ledger_fills if row[2].startswith("vg-") and row[1] != "0"]
    assert not loose, "a fill of ours belongs to no trade"

    # One intent, one order: no label was ever used for two orders that filled as entries.
    entries: dict[str, set[str]] = {}
    roles = dict(vigil.sql("SELECT label, role FROM orders"))
    for fill in venue_fills:
        if roles.get(fill.get("label", "")) == "entry":
            entries.setdefault(fill["label"], set()).add(fill["order_id"])
    assert all(len(orders) == 1 for orders in entries.values())
    trades = await vigil.trades(limit=1000)
    assert len(entries) == len(trades), "an entry without its trade, or a trade without its entry"

    sizes: Counter[str] = Counter()
    for trade in trades:
        if trade["status"] == "open":
            sign = 1 if trade["side"] == "buy" else -1
            sizes[trade["instrument"]] += sign * trade["openAmount"]
        else:
            assert trade["exitReason"], trade
            assert trade["pnlSource"] in {"fills", "estimate"}, trade
    orders = await account.open_orders()
    stops = Counter(order["label"] for order in orders if order["order_type"] == "stop_market")
    for name in (BTC, ETH, INVERSE):
        foreign = await account.position(name) - sizes[name]
        held = sum(
            (fill["amount"] if fill["direction"] == "buy" else -fill["amount"])
            for fill in venue_fills
            if fill["instrument_name"] == name
        )
        assert await account.position(name) == held
        # Opened before a trade of ours the other way, it shows as a part of that trade missing.
        open_ids = [t["id"] for t in trades if t["instrument"] == name and t["status"] == "open"]
        subjects = ", ".join(f"'{subject}'" for subject in (name, *open_ids))
        incidents = vigil.sql(
            "SELECT 1 FROM incidents WHERE kind IN ('foreign_position', 'size_unexplained')"
            f" AND resolved_ms IS NULL AND subject IN ({subjects})"
        )
        assert bool(incidents) == (foreign != 0), f"{name}: {foreign} foreign, told: {incidents}"
    for trade in trades:
        if trade["status"] == "open":
            labels = vigil.sql(
                f"SELECT label FROM orders WHERE trade_id = '{trade['id']}' AND role = 'stop'"
            )
            assert sum(stops[row[0]] for row in labels) == 1, f"{trade['id']} has no stop"
    # What an entry spent on closing a position of the person's, no execution can close again.
    spent = vigil.sql(
        "SELECT s.trade_id FROM account_log AS l JOIN fills AS f USING (currency, trade_id)"
        " JOIN trade_fills AS s ON s.fill_seq = f.seq"
        " WHERE s.is_entry = 1 AND l.side LIKE 'close%'"
    )
    estimates = {trade["id"] for trade in trades if trade["pnlSource"] == "estimate"}
    estimates -= {row[0] for row in spent}
    assert not estimates, "the exchange kept its books, so every exit has its fills"
    assert sum((trade["fees"] for trade in trades), Decimal(0)) > 0
