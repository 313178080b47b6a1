"""Orders whose answer never came: the exchange is inside the test, and loses what it is told to."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from processes import CLIENT_ID, PaperAccount, Vigil, eventually, free_port, strategy, vigil_env
from steady import MachineClock

from vigil.paper.server import PaperServer
from vigil.paper.session.keys import CLIENT_SECRET
from vigil.paper.venue import Venue

pytestmark = pytest.mark.slow

BTC = "BTC_USDC-PERPETUAL"


@pytest.fixture
async def exchange() -> AsyncIterator[PaperServer]:
    clock = MachineClock()  # Vigil is another process here, and holds the two clocks together
    server = PaperServer(Venue(now_ms=clock.now_ms()), clock)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def account(exchange: PaperServer) -> AsyncIterator[PaperAccount]:
    client = PaperAccount(exchange.port, CLIENT_SECRET)
    yield client
    await client.close()


@pytest.fixture
async def vigil(tmp_path: Path, exchange: PaperServer, plugin: Path) -> AsyncIterator[Vigil]:
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    port = free_port()
    env = vigil_env(
        state_dir=state_dir,
        port=port,
        paper_port=exchange.port,
        client_id=CLIENT_ID,
        secret=CLIENT_SECRET,
        plugin=plugin,
    )
    process = Vigil(state_dir=state_dir, port=port, env=env)
    process.write_state(strategy("eager", cooldownMinutes=10))
    yield process
    process.close()
    await process.api.aclose()


async def entries(account: PaperAccount) -> Any:
    fills = await account.fills(BTC)
    return {fill["order_id"] for fill in fills if fill["direction"] == "buy"}


async def test_kill_9_between_send_and_ack_leaves_exactly_one_order_known_to_the_ledger(
    exchange: PaperServer, account: PaperAccount, vigil: Vigil
) -> None:
    exchange.faults.withhold_replies("private/buy", 1)
    # The stream would tell what the reply does not: cut all connections once the order is in.
    vigil.start()
    await vigil.ready()

    async def applied() -> Any:
        return await entries(account)

    placed = await eventually(applied, what="the entry is at the exchange")
    vigil.kill()
    (row,) = vigil.sql("SELECT status, label FROM orders WHERE role = 'entry'")
    vigil.start()
    await vigil.ready()
    status = await vigil.reaches("eager", "position_open")
    assert status["trade"]["entryOrderId"] in placed
    assert await entries(account) == placed
    (after,) = vigil.sql("SELECT status, label FROM orders WHERE role = 'entry'")
    assert after == ("filled", row[1])
    orders = await account.open_orders()
    assert sorted(order["order_type"] for order in orders) == ["limit", "stop_market"]


async def test_an_ack_that_is_lost_while_running_is_found_by_label(
    exchange: PaperServer, account: PaperAccount, vigil: Vigil
) -> None:
    exchange.faults.withhold_replies("private/buy", 1)
    vigil.start()
    await vigil.ready()
    status = await vigil.reaches("eager", "position_open", within_s=30)
    assert await entries(account) == {status["trade"]["entryOrderId"]}
    assert await account.position(BTC) == status["trade"]["amount"]


async def test_an_order_that_never_arrived_is_proven_absent_before_another_is_sent(
    exchange: PaperServer, account: PaperAccount, vigil: Vigil
) -> None:
    exchange.faults.lose_requests("private/buy", 1)
    vigil.start()
    await vigil.ready()
    await vigil.logged("order.in_doubt", within_s=30)
    await vigil.reaches("eager", "signal_detected")
    assert await entries(account) == set()
    await vigil.logged("order.absent", within_s=30)
    status = await vigil.reaches("eager", "position_open", within_s=30)
    assert await entries(account) == {status["trade"]["entryOrderId"]}
    rows = vigil.sql("SELECT status FROM orders WHERE role = 'entry' ORDER BY seq")
    assert [row[0] for row in rows] == ["failed", "filled"]


async def test_connections_cut_abruptly_heal_without_a_second_entry(
    exchange: PaperServer, account: PaperAccount, vigil: Vigil
) -> None:
    vigil.start()
    await vigil.ready()
    status = await vigil.reaches("eager", "position_open")
    for session in (2, 3, 4):
        exchange.drop_connections()

        async def again(wanted: int = session) -> bool:
            health = await vigil.get("/health")
            return bool(
                health["services"]["websocket"]["epoch"] >= wanted and health["status"] == "healthy"
            )

        await eventually(again, what=f"session {session} is healthy")
    assert await entries(account) == {status["trade"]["entryOrderId"]}
    assert (await vigil.strategy("eager"))["trade"]["id"] == status["trade"]["id"]
