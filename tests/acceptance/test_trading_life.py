"""A trade's life with everything real: processes, sockets, disk, signals, another client."""

import asyncio
import signal
import time
from decimal import Decimal
from typing import Any

import pytest
from processes import eventually, strategy

pytestmark = pytest.mark.slow

BTC = "BTC_USDC-PERPETUAL"


async def protection_of(account: Any) -> tuple[list[Any], list[Any]]:
    orders = await account.open_orders()
    stops = [order for order in orders if order["order_type"] == "stop_market"]
    targets = [order for order in orders if order["order_type"] == "limit"]
    return stops, targets


async def open_position(vigil: Any, account: Any, *strategies: Any) -> Any:
    vigil.write_state(*(strategies or (strategy("eager"),)))
    vigil.start()
    await vigil.ready()
    await vigil.reaches("eager", "position_open")
    (trade,) = await vigil.trades(status="open")
    return trade


async def test_a_trade_opens_with_its_stop_and_target_resting_at_the_exchange(
    vigil: Any, account: Any
) -> None:
    trade = await open_position(vigil, account)
    health = await vigil.get("/health")
    assert health["services"]["strategies"] == {"total": 1, "active": 1}
    assert health["status"] == "healthy", health
    stops, targets = await protection_of(account)
    assert [(s["trigger_price"], s["amount"], s["reduce_only"]) for s in stops] == [
        (trade["stopLoss"], trade["amount"], True)
    ]
    assert [(t["price"], t["amount"], t["reduce_only"]) for t in targets] == [
        (trade["takeProfit"], trade["amount"], True)
    ]
    assert await account.position(BTC) == trade["amount"]


async def test_a_trade_inserted_by_hand_is_found_to_be_an_orphan_and_closed(
    vigil: Any, account: Any
) -> None:
    vigil.write_state(strategy("eager", status="paused"))
    vigil.start()
    await vigil.ready()
    vigil.sql(
        "INSERT INTO trades (id, strategy_name, instrument, side, entry_order_id, entry_price,"
        " amount, stop_loss, take_profit, entry_time, status) VALUES ('test_orphan','Razor',"
        f"'{BTC}','buy','test',95000,0.01,94500,95500,{int(time.time())}000,'open')"
    )

    async def closed() -> Any:
        trades = await vigil.trades(limit=1)
        return trades[0] if trades and trades[0]["status"] == "closed" else None

    trade = await eventually(closed, what="the orphan is closed")
    assert trade["id"] == "test_orphan"
    assert trade["pnlSource"] == "estimate"
    assert trade["exitReason"] == "manual"
    expected = Decimal("0.01") * (trade["exitPrice"] - 95000)
    assert trade["pnl"] == expected.quantize(Decimal("0.00000001"))
    log = vigil.text()
    assert "[Reconciliation] ORPHAN TRADE DETECTED trade_id=test_orphan" in log
    assert "[Reconciliation] Closed orphan trade" in log


async def test_an_orphan_beside_a_real_trade_leaves_the_real_one_alone(
    vigil: Any, account: Any
) -> None:
    real = await open_position(vigil, account)
    vigil.sql(
        "INSERT INTO trades (id, strategy_name, instrument, side, entry_order_id, entry_price,"
        " amount, stop_loss, take_profit, entry_time, status) VALUES ('test_orphan','Razor',"
        f"'{BTC}','buy','test',95000,0.01,94500,95500,{int(time.time())}000,'open')"
    )

    async def closed() -> Any:
        return [one for one in await vigil.trades(status="closed") if one["id"] == "test_orphan"]

    await eventually(closed, what="the orphan is closed")
    (still,) = await vigil.trades(status="open")
    assert (still["id"], still["amount"]) == (real["id"], real["amount"])
    stops, targets = await protection_of(account)
    assert len(stops) == len(targets) == 1
    assert await account.position(BTC) == real["amount"]


@pytest.mark.parametrize("instrument", [BTC, "BTC-PERPETUAL"])
async def test_a_position_closed_by_hand_is_booked_with_the_exchanges_own_figures(
    vigil: Any, account: Any, instrument: str
) -> None:
    # A long rest after the trade, so that the next one does not disturb the count of fills.
    trade = await open_position(
        vigil, account, strategy("eager", instrument=instrument, cooldownMinutes=0.1)
    )
    await account.call("private/close_position", instrument_name=instrument, type="market")

    async def closed() -> Any:
        return [one for one in await vigil.trades(status="closed") if one["id"] == trade["id"]]

    (booked,) = await eventually(closed, what="the trade is closed")
    fills = await account.fills(instrument)
    entries = [fill for fill in fills if fill["timestamp"] <= trade["entryTime"]]
    exits = [fill for fill in fills if fill["direction"] == "sell"]
    assert booked["exitReason"] == "manual"
    assert booked["pnlSource"] == "fills"
    own = entries + exits
    assert booked["pnl"] == sum(f["profit_loss"] for f in own) - sum(f["fee"] for f in own)
    await vigil.reaches("eager", "cooldown")
    await vigil.logged("before=cooldown")

    async def no_leftover() -> bool:
        labels = {order["label"] for order in await account.open_orders()}
        rows = vigil.sql(f"SELECT label FROM orders WHERE trade_id = '{trade['id']}'")
        return not labels & {row[0] for row in rows}

    await eventually(no_leftover, what="the closed trade's stop and target are gone")


async def test_kill_9_with_an_open_position_resumes_the_same_trade(
    vigil: Any, account: Any
) -> None:
    trade = await open_position(vigil, account)
    before = await protection_of(account)
    vigil.kill()
    assert await protection_of(account) == before, "protection rests at the exchange meanwhile"
    vigil.start()
    await vigil.ready()
    await vigil.reaches("eager", "position_open")
    (resumed,) = await vigil.trades(status="open")
    assert resumed["id"] == trade["id"]
    assert resumed["entryTime"] == trade["entryTime"]
    await asyncio.sleep(1)  # time in which a second entry would be sent
    buys = [fill for fill in await account.fills(BTC) if fill["direction"] == "buy"]
    assert {fill["order_id"] for fill in buys} == {trade["entryOrderId"]}
    stops, targets = await protection_of(account)
    assert [order["order_id"] for order in stops + targets] == [
        order["order_id"] for order in before[0] + before[1]
    ]


async def test_cooldown_and_daily_count_survive_kill_9(vigil: Any, account: Any) -> None:
    trade = await open_position(vigil, account, strategy("eager", cooldownMinutes=5))
    await account.call("private/close_position", instrument_name=BTC, type="market")
    before = await vigil.reaches("eager", "cooldown")
    vigil.kill()
    vigil.start()
    await vigil.ready()
    after = await vigil.reaches("eager", "cooldown")
    assert after["dailyTrades"] == before["dailyTrades"] == 1
    assert after["cooldownUntilTime"] == before["cooldownUntilTime"]
    assert [one["id"] for one in await vigil.trades()] == [trade["id"]]


async def test_a_restarted_exchange_is_found_again_without_restarting_vigil(
    vigil: Any, account: Any, paper: Any
) -> None:
    trade = await open_position(vigil, account)
    pid = vigil.pid
    paper.kill()
    await vigil.logged("connection.lost")

    async def told() -> bool:
        return (await vigil.get("/health"))["status"] == "degraded"

    await eventually(told, what="/health says degraded")
    paper.start()

    async def again() -> bool:
        health = await vigil.get("/health")
        return health["status"] == "healthy" and health["services"]["websocket"]["epoch"] >= 2

    await eventually(again, what="/health is healthy on a second session")
    assert vigil.pid == pid and vigil.is_running
    (still,) = await vigil.trades(status="open")
    assert still["id"] == trade["id"]
    assert await account.position(BTC) == trade["amount"]
    stops, targets = await protection_of(account)
    assert len(stops) == len(targets) == 1


@pytest.mark.parametrize("what", ["all", "stop"])
async def test_protection_cancelled_by_hand_is_restored_as_a_pair(
    vigil: Any, account: Any, what: str
) -> None:
    trade = await open_position(vigil, account)
    stops, _ = await protection_of(account)
    if what == "all":
        await account.call("private/cancel_all")
    else:
        await account.call("private/cancel", order_id=stops[0]["order_id"])

    async def protected() -> bool:
        stops, targets = await protection_of(account)
        return bool(
            len(stops) == len(targets) == 1
            and stops[0]["trigger_price"] == trade["stopLoss"]
            and targets[0]["price"] == trade["takeProfit"]
        )

    await eventually(protected, what="stop and target rest again")
    assert "Restoring missing protection" in vigil.text()


async def test_sigterm_stops_in_order_and_leaves_the_stops_at_the_exchange(
    vigil: Any, account: Any
) -> None:
    await open_position(vigil, account)
    before = await protection_of(account)
    assert vigil.stop() == 0
    assert await protection_of(account) == before
    log = vigil.text()
    steps = [
        "refusing HTTP requests",
        "stopping the reconciler",
        "stopping strategies",
        "saving the checkpoint",
        "closing the Deribit session",
        "vigil.stopped",
    ]
    places = [log.rindex(step) for step in steps]
    assert places == sorted(places)
    checkpoint = (vigil.state_dir / "checkpoint.json").read_text()
    assert '"position_open"' in checkpoint


async def test_two_signals_stop_at_once_with_the_checkpoint_saved(vigil: Any, account: Any) -> None:
    await open_position(vigil, account)
    vigil.signal(signal.SIGINT)
    vigil.signal(signal.SIGTERM)
    assert vigil.wait(10) == 0
    assert (vigil.state_dir / "checkpoint.json").exists()
