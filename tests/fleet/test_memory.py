"""The checkpoint: what is put in comes out, and what is strange is left out."""

import pytest

from rig import LINEAR, desired, wanted
from vigil.fleet.checkpoint import Checkpoint
from vigil.fleet.memory import checkpoint_of, standings_in


def checkpoint(rig, **changes):
    facts = {
        "saved_ms": 1_000,
        "build": "0.1.0",
        "epoch": 3,
        "sessions": rig.client.epoch,
        "last_reconciled_ms": None,
    }
    return checkpoint_of(rig.fleet, **(facts | changes))


async def test_a_running_strategy_is_kept_with_its_state_its_trade_and_its_memory(rig):
    await rig.reconcile()
    await rig.fleet.apply(desired(wanted("a"), wanted("b", status="stopped")))
    await rig.fleet.start()
    await rig.until(lambda: rig.fleet.executor("a") and rig.fleet.executor("a").standing())
    trade = await rig.enter(strategy_id="a")
    await rig.until(lambda: rig.fleet.executor("a") and rig.fleet.executor("a").state.trade)
    kept = checkpoint(rig, last_reconciled_ms=77)
    assert (kept["version"], kept["savedAt"], kept["build"], kept["epoch"]) == (
        1,
        1_000,
        "0.1.0",
        3,
    )
    assert (kept["connection"], kept["lastReconciliation"]) == ({"sessions": 1}, 77)
    assert kept["strategies"]["b"] == {"name": "Scripted", "status": "stopped"}
    strategy = kept["strategies"]["a"]
    assert (strategy["name"], strategy["status"]) == ("Scripted", "active")
    assert (strategy["analysisState"], strategy["tradeId"]) == ("position_open", trade.trade_id)
    assert strategy["tradesToday"] == 1
    assert strategy["memory"] == rig.fleet.executor("a")._strategy.snapshot()


async def test_what_is_saved_is_handed_to_the_next_process(rig, tmp_path):
    await rig.reconcile()
    await rig.fleet.apply(desired(wanted("a")))
    await rig.fleet.start()
    await rig.until(lambda: rig.fleet.executor("a") and rig.fleet.executor("a").standing())
    file = Checkpoint(tmp_path / "checkpoint.json", clock=rig.clock)
    file.save(checkpoint(rig))
    standings = standings_in(file.load())
    assert set(standings) == {"a"}
    fresh = rig.new_fleet(standings)
    await rig.supervisor.remove_child("strategy:a")
    rig.fleet = fresh
    rig.connect(rig.reconciler)
    await fresh.apply(desired(wanted("a")))
    await fresh.start()
    await rig.until(lambda: fresh.executor("a") and fresh.executor("a").standing())
    assert fresh.executor("a")._strategy.restored == standings["a"]["memory"]
    assert fresh.instrument_names() == {LINEAR}


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(None, id="none"),
        pytest.param({}, id="empty"),
        pytest.param({"strategies": None}, id="no strategies"),
        pytest.param({"strategies": [1, 2]}, id="a list"),
        pytest.param({"strategies": {"a": None}}, id="no standing"),
        pytest.param({"strategies": {"a": {"name": "Razor"}}}, id="no memory"),
        pytest.param({"strategies": {"a": {"memory": "text"}}}, id="a memory that is none"),
    ],
)
def test_a_strange_checkpoint_is_no_memory_and_no_error(found):
    assert standings_in(found) == {}


def test_one_strange_standing_does_not_spoil_the_others():
    good = {"memory": {"seen": 1}}
    assert standings_in({"strategies": {"a": good, "b": 3}}) == {"a": good}
