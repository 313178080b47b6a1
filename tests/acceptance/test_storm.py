"""Many disturbances in a row, drawn from a seed; then quiet; then everything must agree.

`VIGIL_STORM_S` makes it longer, `VIGIL_STORM_SEED` repeats one.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from processes import PaperAccount, eventually, strategy

STORM_S = float(os.environ.get("VIGIL_STORM_S", "25"))
SEED = int(os.environ.get("VIGIL_STORM_SEED", "0")) or random.randrange(1, 10**6)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(STORM_S + 150)]

BTC, ETH, INVERSE = "BTC_USDC-PERPETUAL", "ETH_USDC-PERPETUAL", "BTC-PERPETUAL"


class Storm:
    """What a bad day brings, one thing at a time."""

    def __init__(self, vigil: Any, paper: Any, account: PaperAccount, dice: random.Random) -> None:
        self.vigil, self.paper, self.account, self.dice = vigil, paper, account, dice
        self.thrown: Counter[str] = Counter()

    async def throw(self) -> None:
        name = self.dice.choice(
            [
                "kill_vigil",
                "kill_vigil",
                "restart_vigil",
                "kill_exchange",
                "freeze_exchange",
                "freeze_vigil",
                "close_by_hand",
                "close_by_hand",
                "cancel_protection",
                "trade_by_hand",
            ]
        )
        self.thrown[name] += 1
        await getattr(self, name)()

    async def kill_vigil(self) -> None:
        self.vigil.kill()
        await asyncio.sleep(self.dice.uniform(0, 0.5))
        self.vigil.start()

    async def restart_vigil(self) -> None:
        self.vigil.signal(signal.SIGTERM)
        await asyncio.to_thread(self.vigil.wait, 30)
        self.vigil.start()

    async def kill_exchange(self) -> None:
        self.paper.kill()
        await asyncio.sleep(self.dice.uniform(0, 0.5))
        self.paper.start()

    async def freeze_exchange(self) -> None:
        await self._freeze(self.paper)

    async def freeze_vigil(self) -> None:
        await self._freeze(self.vigil)

    async def _freeze(self, process: Any) -> None:
        process.signal(signal.SIGSTOP)
        await asyncio.sleep(self.dice.uniform(0.2, 2))
        process.signal(signal.SIGCONT)

    async def close_by_hand(self) -> None:
        instrument = self.dice.choice([BTC, ETH, INVERSE])
        await self._as_a_person("private/close_position", instrument_name=instrument, type="market")

    async def cancel_protection(self) -> None:
        await self._as_a_person("private/cancel_all")

    async def trade_by_hand(self) -> None:
        instrument, amount = self.dice.choice([(BTC, "0.001"), (ETH, "0.01"), (INVERSE, "20")])
        direction = self.dice.choice(["buy", "sell"])
        await self._as_a_person(
            f"private/{direction}", instrument_name=instrument, amount=amount, type="market"
        )

    async def _as_a_person(self, method: str, **params: Any) -> None:
        try:
            await self.account.call(method, **params)
        except (AssertionError, OSError, ValueError) as refusal:
            self.thrown[f"refused: {method}"] += 1
            del refusal
        except Exception as error:
            if "httpx" not in type(error).__module__:
                raise


async def test_after_a_storm_ledger_and_exchange_agree(
    vigil: Any, paper: Any, account: PaperAccount
) -> None:
    dice = random.Random(SEED)
    print(f"VIGIL_STORM_SEED={SEED}")
    active = [
        strategy("a", instrument=BTC, cooldownMinutes=0.02),
        strategy("b", instrument=BTC, cooldownMinutes=0.03, tradeSize=300),
        strategy("c", instrument=ETH, cooldownMinutes=0.02),
        strategy("d", instrument=INVERSE, cooldownMinutes=0.02),
    ]
    vigil.write_state(*active)
    vigil.start()
    await vigil.ready()
    storm = Storm(vigil, paper, account, dice)
    until = time.monotonic() + STORM_S
    while time.monotonic() < until:
        await storm.throw()
        await asyncio.sleep(dice.uniform(0.2, 2.5))
    # Heal: everything runs, and nobody wants anything new.
    vigil.write_state(*({**one, "status": "paused"} for one in active))
    await vigil.ready()
    healed_ms = time.time_ns() // 1_000_000

    async def quiet() -> bool:
        runs = (await vigil.get("/api/reconciliation/runs"))["runs"]
        health = await vigil.get("/health")
        working = (await vigil.get("/api/orders"))["orders"]
        return bool(
            health["status"] == "healthy"
            and len(runs) >= 2
            # Passes of before the last disturbance know nothing of it.
            and all(
                run["outcome"] == "clean" and run["startedTime"] > healed_ms for run in runs[:2]
            )
            and all(order["status"] in {"untriggered", "open"} for order in working)
        )

    print(dict(storm.thrown))
    await eventually(quiet, what=f"two clean passes\n{vigil.text()[-4000:]}", within_s=90)
    await check_agreement(vigil, account)


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
    estimates = [trade["id"] for trade in trades if trade["pnlSource"] == "estimate"]
    assert not estimates, "the exchange kept its books, so every exit has its fills"
    assert sum((trade["fees"] for trade in trades), Decimal(0)) > 0
