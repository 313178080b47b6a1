"""The operator's file: edited by hand, by the API, and broken, under a running Vigil."""

import json
from typing import Any

import pytest
from processes import eventually, strategy

pytestmark = pytest.mark.slow


async def test_a_strategy_started_over_the_api_is_saved_and_runs_again_after_a_restart(
    vigil: Any,
) -> None:
    vigil.write_state(strategy("eager", status="stopped"))
    vigil.start()
    await vigil.ready()
    assert (await vigil.strategy("eager"))["analysisState"] == "stopped"
    reply = await vigil.post("/api/strategy/start", {"id": "eager"})
    assert reply.status_code == 200, reply.text
    saved = json.loads((vigil.state_dir / "backend-state.json").read_text())
    assert saved["activeStrategies"][0]["status"] == "active"
    await vigil.reaches("eager", "position_open")
    assert vigil.stop() == 0
    vigil.start()
    await vigil.ready()
    status = await vigil.reaches("eager", "position_open")
    assert status["running"]


async def test_commands_need_the_token(vigil: Any) -> None:
    vigil.write_state(strategy("eager", status="stopped"))
    vigil.start()
    await vigil.ready()
    for path in ("/api/strategy/start", "/api/strategy/stop", "/api/reconcile"):
        assert (await vigil.api.post(path, json={"id": "eager"})).status_code == 401
    assert (await vigil.strategy("eager"))["analysisState"] == "stopped"


async def test_a_second_strategy_activated_by_hand_runs_within_five_seconds(vigil: Any) -> None:
    second = strategy("second", instrument="ETH_USDC-PERPETUAL")
    vigil.write_state(strategy("eager"), {**second, "status": "stopped"})
    vigil.start()
    await vigil.ready()
    first = await vigil.reaches("eager", "position_open")
    vigil.write_state(strategy("eager"), second)

    async def runs() -> bool:
        return bool((await vigil.strategy("second"))["running"])

    await eventually(runs, what="the second strategy runs", within_s=5)
    await vigil.reaches("second", "position_open")
    still = await vigil.strategy("eager")
    assert still["trade"]["id"] == first["trade"]["id"]


async def test_a_broken_edit_names_line_and_column_and_everything_keeps_running(
    vigil: Any,
) -> None:
    vigil.write_state(strategy("eager"))
    vigil.start()
    await vigil.ready()
    await vigil.reaches("eager", "position_open")
    path = vigil.state_dir / "backend-state.json"
    good = path.read_text()
    path.write_text(good.replace('"status": "active"', '"status": active'))
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "active," in text)

    async def told() -> Any:
        health = await vigil.get("/health")
        return health if health["status"] == "degraded" else None

    health = await eventually(told, what="/health shows the broken file", within_s=5)
    assert health["stateFileProblem"]["line"] == line
    assert health["stateFileProblem"]["column"] > 0
    assert f"backend-state.json:{line}:" in vigil.text()
    assert (await vigil.strategy("eager"))["running"]
    path.write_text(good)

    async def healed() -> bool:
        return (await vigil.get("/health"))["status"] == "healthy"

    await eventually(healed, what="/health is healthy again")


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        pytest.param({"name": "Razzor"}, "name", id="unknown strategy"),
        pytest.param(
            {"config.instrument": "BTC_EUR-PERPETUAL"}, "config.instrument", id="unknown instrument"
        ),
        pytest.param({"config.tradeSize": 1}, "config.tradeSize", id="below the minimum amount"),
        pytest.param({"config.tradeSize": "100"}, "config.tradeSize", id="wrong type"),
        pytest.param({"config.tradeSise": 100}, "config.tradeSise", id="unknown parameter"),
        pytest.param({"colour": "red"}, "colour", id="unknown key"),
    ],
)
async def test_an_edit_that_cannot_work_is_refused_whole_and_the_last_good_stays(
    vigil: Any, edit: dict[str, Any], field: str
) -> None:
    vigil.write_state(strategy("eager"))
    vigil.start()
    await vigil.ready()
    changed = strategy("eager")
    for key, value in edit.items():
        target = changed
        *parents, last = key.split(".")
        for parent in parents:
            target = target[parent]
        target[last] = value
    vigil.write_state(changed)

    async def told() -> Any:
        return (await vigil.get("/health")).get("stateFileProblem")

    problem = await eventually(told, what="/health shows the refusal", within_s=6)
    assert problem["field"] == f"activeStrategies[0].{field}"
    assert problem["line"] and problem["fix"]
    assert (await vigil.strategy("eager"))["running"]


async def test_a_strategy_that_raises_is_restarted_and_the_others_go_on(vigil: Any) -> None:
    vigil.write_state(strategy("faulty", name="Faulty"), strategy("eager"))
    vigil.start()
    await vigil.ready()
    await vigil.reaches("eager", "position_open")

    async def restarted() -> bool:
        return bool((await vigil.strategy("faulty"))["restarts"] >= 2)

    await eventually(restarted, what="the faulty strategy was restarted twice")
    assert "faulty on purpose" in (await vigil.strategy("faulty"))["lastError"]
    eager = await vigil.strategy("eager")
    assert eager["restarts"] == 0
    assert eager["analysisState"] == "position_open"
