import json
from decimal import Decimal

import pytest
from msgspec.structs import replace

from vigil.domain.trade import TradeStatus
from vigil.errors import Misconfigured, OutcomeUnknown, Rejected, Transient
from vigil.telemetry.status import (
    HealthStatus,
    Readiness,
    StateFileProblem,
    StateFileRefused,
)
from vigil.web.api import ROUTES


def exact(response):
    return json.loads(response.content, parse_float=Decimal)


async def test_health_counts_strategies_where_the_operator_looks_for_them(client):
    response = await client.get("/health")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    health = response.json()
    assert health["services"]["strategies"] == {"total": 2, "active": 1}
    assert health["status"] == "healthy"
    assert health["uptime"] == 93784.5
    assert health["services"]["websocket"]["connected"] is True
    assert health["services"]["database"]["ok"] is True
    assert health["services"]["reconciliation"]["outcome"] == "clean"
    assert health["system"]["memory"] == {"rssBytes": 52_428_800}
    assert health["timestamp"].endswith("Z")
    assert health["stateFileProblem"] is None


@pytest.mark.parametrize(
    ("status", "code"),
    [
        pytest.param(HealthStatus.HEALTHY, 200, id="healthy"),
        pytest.param(HealthStatus.DEGRADED, 200, id="degraded is alive"),
        pytest.param(HealthStatus.UNHEALTHY, 503, id="unhealthy"),
    ],
)
async def test_health_answers_503_only_when_unhealthy(client, operations, status, code):
    operations.report = replace(operations.report, status=status, reasons=("because",))
    response = await client.get("/health")
    assert response.status_code == code
    assert response.json()["reasons"] == ["because"]


async def test_health_shows_where_the_state_file_is_broken(client, operations):
    problem = StateFileProblem(
        path="state/backend-state.json",
        line=7,
        column=15,
        field="activeStrategies[0].status",
        reason="expected active, paused or stopped",
        fix="correct the word",
    )
    operations.report = replace(operations.report, state_file_problem=problem)
    shown = (await client.get("/health")).json()["stateFileProblem"]
    assert (shown["line"], shown["column"]) == (7, 15)
    assert shown["field"] == "activeStrategies[0].status"


async def test_ready_says_what_is_awaited(client, operations):
    assert (await client.get("/ready")).status_code == 200
    operations.ready = Readiness(is_ready=False, reason="first reconcile")
    response = await client.get("/ready")
    assert response.status_code == 503
    assert response.json() == {"ready": False, "reason": "first reconcile"}


async def test_strategy_status_lists_wanted_actual_and_why(client):
    strategies = (await client.get("/api/strategy/status")).json()["strategies"]
    assert [item["id"] for item in strategies] == ["razor-btc", "razor-eth"]
    first = strategies[0]
    assert (first["status"], first["analysisState"]) == ("active", "position_open")
    assert first["trade"]["id"] == "t2"
    assert first["checkpoints"] == [
        {"name": "rsi", "value": "31.2", "wanted": "< 35", "passed": True}
    ]
    assert first["refusal"] == "platform_locked: trading on btc_usdc is locked"


@pytest.mark.parametrize("key", ["id", "strategyId"])
async def test_start_and_stop_change_what_is_wanted(client, operations, bearer, key):
    response = await client.post("/api/strategy/start", json={key: "razor-eth"}, headers=bearer)
    assert response.status_code == 200
    assert response.json()["strategy"]["status"] == "active"
    response = await client.post("/api/strategy/stop", json={key: "razor-eth"}, headers=bearer)
    assert response.json()["strategy"]["status"] == "stopped"
    assert operations.statuses["razor-eth"].is_running is False


async def test_unknown_strategy_is_404_and_names_the_known_ones(client, bearer):
    response = await client.post("/api/strategy/start", json={"id": "rzor"}, headers=bearer)
    assert response.status_code == 404
    error = response.json()["error"]
    assert error["code"] == "unknown_strategy"
    assert "razor-btc, razor-eth" in error["message"]


async def test_refused_state_file_is_409_with_its_field(client, operations, bearer):
    problem = StateFileProblem(path="s.json", line=3, column=1, field="version", reason="not 1")
    operations.failure = StateFileRefused(problem)
    response = await client.post("/api/strategy/start", json={"id": "razor-btc"}, headers=bearer)
    assert response.status_code == 409
    error = response.json()["error"]
    assert error["field"] == "version"
    assert "s.json:3:1" in error["message"]


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        pytest.param(Transient("busy"), 503, id="transient"),
        pytest.param(Rejected("no"), 409, id="rejected"),
        pytest.param(OutcomeUnknown("sent"), 502, id="outcome unknown"),
        pytest.param(Misconfigured("key"), 409, id="misconfigured"),
        pytest.param(ZeroDivisionError("secret detail"), 500, id="bug"),
    ],
)
async def test_error_families_map_to_statuses(client, operations, bearer, failure, status):
    operations.failure = failure
    response = await client.post("/api/strategy/stop", json={"id": "razor-btc"}, headers=bearer)
    assert response.status_code == status
    assert response.json()["error"]["message"]


async def test_a_bug_shows_no_trace_and_the_server_goes_on(client, operations):
    operations.failure = ZeroDivisionError("secret detail")
    response = await client.get("/health")
    assert response.status_code == 500
    assert "secret detail" not in response.text
    assert "Traceback" not in response.text
    operations.failure = None
    assert (await client.get("/health")).status_code == 200


async def test_money_is_an_exact_number(client):
    trades = exact(await client.get("/api/trades/history"))["trades"]
    assert [trade["id"] for trade in trades] == ["t2", "t1"]
    assert trades[1]["pnl"] == Decimal("4.123456789012345678")
    assert trades[1]["fees"] == Decimal("0.00000001")
    assert trades[1]["pnlCurrency"] == "USDC"
    assert trades[1]["exitReason"] == "tp_hit"
    assert trades[1]["pnlSource"] == "fills"
    assert trades[0]["amount"] == 100
    assert trades[0]["pnl"] is None
    assert trades[0]["pnlCurrency"] == "BTC"
    assert trades[0]["strategyId"] is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param({"status": "open"}, ["t2"], id="by status"),
        pytest.param({"strategy": "razor-btc"}, ["t1"], id="by strategy id"),
        pytest.param({"strategy": "Razor"}, ["t2", "t1"], id="by strategy name"),
        pytest.param({"instrument": "BTC-PERPETUAL"}, ["t2"], id="by instrument"),
        pytest.param({"limit": "1"}, ["t2"], id="limited"),
        pytest.param({"before": "1700000100000"}, ["t1"], id="before excludes its own instant"),
        pytest.param({"status": "closed", "instrument": "BTC-PERPETUAL"}, [], id="all must hold"),
    ],
)
async def test_trade_history_filters(client, query, expected):
    trades = (await client.get("/api/trades/history", params=query)).json()["trades"]
    assert [trade["id"] for trade in trades] == expected


@pytest.mark.parametrize(
    ("query", "field", "fix"),
    [
        pytest.param("status=opne", "status", "closed, open", id="unknown status"),
        pytest.param("limit=0", "limit", "from 1 to 1000", id="one below the least"),
        pytest.param("limit=1001", "limit", "from 1 to 1000", id="one above the most"),
        pytest.param("limit=ten", "limit", "from 1 to 1000", id="no number"),
        pytest.param("limit=", "limit", "from 1 to 1000", id="empty"),
        pytest.param("before=yesterday", "before", "whole number", id="no time"),
        pytest.param("instrument=BTC%0A", "instrument", "text that matches", id="newline"),
        pytest.param("strategy=%3Cscript%3E", "strategy", "text that matches", id="markup"),
        pytest.param("stauts=open", "stauts", "status", id="misspelt name"),
        pytest.param("limit=1&limit=2", "limit", "once", id="given twice"),
    ],
)
async def test_bad_query_value_is_400_and_names_field_and_fix(client, query, field, fix):
    response = await client.get(f"/api/trades/history?{query}")
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["field"] == field
    assert fix in error["fix"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param(b"", "id", id="nothing"),
        pytest.param(b"{}", "id", id="no strategy"),
        pytest.param(b"{", None, id="broken JSON"),
        pytest.param(b"[]", None, id="an array"),
        pytest.param(b'{"id": 7}', "id", id="wrong type"),
        pytest.param(b'{"id": "../../etc"}', "id", id="path"),
        pytest.param(b'{"id": "a", "strategyId": "b"}', "strategyId", id="two strategies"),
        pytest.param(b'{"id": "a", "force": true}', "force", id="unknown key"),
        pytest.param(b'{"id": "\xff"}', None, id="not UTF-8"),
        pytest.param(b'{"id": ' + b"[" * 30_000, "id", id="deeply nested"),
        pytest.param(b'{"' + b"x" * 30_000 + b'": 1}', "x" * 64, id="enormous key"),
    ],
)
async def test_bad_body_is_400_and_names_the_field(client, bearer, body, field):
    response = await client.post("/api/strategy/start", content=body, headers=bearer)
    assert response.status_code == 400
    assert response.json()["error"].get("field") == field
    assert len(response.content) < 1000


async def test_positions_show_ledger_beside_exchange_and_null_for_unread(client):
    known, unread = exact(await client.get("/api/positions"))["positions"]
    assert (known["ledgerSize"], known["exchange"]["size"], known["equal"]) == (-100, -100, True)
    assert known["exchange"]["floatingProfitLoss"] == Decimal("-0.00000011")
    assert (unread["exchange"], unread["equal"]) == (None, None)


async def test_orders_show_role_and_trigger(client):
    (order,) = exact(await client.get("/api/orders"))["orders"]
    assert (order["role"], order["triggerPrice"]) == ("stop", Decimal("95500.5"))
    assert order["validUntilTime"] == 1_700_000_105_000


async def test_reconcile_answers_with_the_run_and_runs_list_it_newest_first(client, bearer):
    for _ in range(3):
        response = await client.post("/api/reconcile", headers=bearer)
        assert response.status_code == 200
        assert response.json()["reconciliation"]["outcome"] == "remedied"
    runs = (await client.get("/api/reconciliation/runs?limit=2")).json()["runs"]
    assert [run["id"] for run in runs] == [3, 2]


async def test_unknown_route_is_404_and_wrong_method_405(client):
    response = await client.get("/api/nothing")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"
    response = await client.get("/api/reconcile")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert (await client.post("/health")).status_code == 405
    assert (await client.head("/health")).status_code == 200


async def test_body_above_the_cap_is_413(client, bearer):
    response = await client.post("/api/strategy/start", content=b" " * 65_537, headers=bearer)
    assert response.status_code == 413
    response = await client.post("/api/strategy/start", content=b" " * 65_536, headers=bearer)
    assert response.status_code == 400


async def test_compressed_body_is_refused_unread(client, bearer):
    headers = {**bearer, "Content-Encoding": "gzip"}
    response = await client.post("/api/strategy/start", content=b"\x1f\x8b", headers=headers)
    assert response.status_code == 415


async def test_a_handler_that_hangs_is_answered_504(serve, operations, bearer):
    import httpx

    operations.is_stuck = True
    async with serve(handler_s=0.05) as server, httpx.AsyncClient(base_url=server.url) as client:
        response = await client.post("/api/reconcile", headers=bearer)
    assert response.status_code == 504


async def test_page_lists_every_route_and_escapes_what_it_shows(client, operations):
    operations.report = replace(operations.report, reasons=("<script>alert(1)</script>",))
    response = await client.get("/")
    assert response.headers["content-type"].startswith("text/html")
    assert "<script" not in response.text
    assert "&lt;script&gt;" in response.text
    for route in ROUTES:
        assert f"<td>{route.path}</td>" in response.text


async def test_openapi_describes_every_route_and_no_other(client):
    document = (await client.get("/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    described = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    assert described == {(route.method, route.path) for route in ROUTES}
    for route in ROUTES:
        operation = document["paths"][route.path][route.method.lower()]
        assert ("security" in operation) is route.is_command


async def test_openapi_resolves_every_reference_and_calls_money_a_number(client):
    document = (await client.get("/openapi.json")).json()
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    for reference in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert reference in schemas
    assert schemas["TradeShape"]["properties"]["amount"]["type"] == "number"
    names = {item["name"] for item in document["paths"]["/api/trades/history"]["get"]["parameters"]}
    assert names == {"status", "strategy", "instrument", "limit", "before"}
    assert schemas["TradeStatus"]["enum"] == sorted(TradeStatus)


async def test_replies_have_exactly_the_described_fields(client):
    document = (await client.get("/openapi.json")).json()
    for route in ROUTES:
        if route.is_command or route.path in ("/", "/openapi.json"):
            continue
        reply = (await client.get(route.path)).json()
        schema = document["components"]["schemas"][route.reply.__name__]
        assert set(reply) == set(schema["properties"])
