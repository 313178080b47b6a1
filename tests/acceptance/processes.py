"""Whole processes: a paper exchange and Vigil on it, watched and disturbed as a person would.

Nothing here reaches into a process. What happens is seen over HTTP, in files and in logs, and done
by signals, by edits, and by a second client on the same exchange account.
"""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import orjson

# Whoever is run with this ends with the test run, even when that is killed.
TIED = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []

CLIENT_ID = "vigil-paper"
PATIENCE_S = 40.0

# A strategy package as a user would install it: one file, one class, one entry point. Eager enters
# whenever it may; Faulty breaks on its third quote.
PLUGIN = """
    from decimal import Decimal
    from vigil.domain.order import Direction
    from vigil.strategies.parameters import Number, StrategyParameters
    from vigil.trading.signal import Checkpoint, Decision, Enter, Limits

    class EagerParameters(StrategyParameters):
        trade_size: Number = Decimal(500)
        stop_loss_percent: Number = Decimal(2)
        take_profit_percent: Number = Decimal(4)
        cooldown_minutes: Number = Decimal("0.05")

    class Eager:
        Parameters = EagerParameters
        warm_start = None

        def __init__(self, parameters):
            self.parameters = parameters
            self.seen = 0

        @property
        def instrument_name(self):
            return self.parameters.instrument

        @property
        def trade_size_usd(self):
            return self.parameters.trade_size

        @property
        def is_flattened_on_stop(self):
            return self.parameters.on_stop == "flatten"

        @property
        def limits(self):
            return Limits(
                cooldown_ms=int(self.parameters.cooldown_minutes * 60_000), daily_trades_max=1000
            )

        def on_history(self, candles):
            pass

        def on_ticker(self, ticker, position):
            self.seen += 1
            if position is not None:
                return Decision()
            return Decision(
                intents=(
                    Enter(
                        direction=Direction.BUY,
                        notional_usd=self.parameters.trade_size,
                        stop_loss_percent=self.parameters.stop_loss_percent,
                        take_profit_percent=self.parameters.take_profit_percent,
                        reason="eager",
                    ),
                ),
                checkpoints=(
                    Checkpoint(name="seen", value=str(self.seen), wanted="any", is_passed=True),
                ),
            )

        def snapshot(self):
            return {"seen": self.seen}

        def restore(self, snapshot):
            self.seen = int(snapshot["seen"])

    class Faulty(Eager):
        def on_ticker(self, ticker, position):
            self.seen += 1
            if self.seen >= 3:
                raise RuntimeError("faulty on purpose")
            return Decision()
"""


# Below those that the kernel hands out by itself, or one could be gone before it is listened on.
_PORTS = random.Random(os.getpid()).sample(range(20_000, 32_000), 12_000)


def free_port() -> int:
    """One that nobody listens on, and that this process names only once."""
    while True:
        port = _PORTS.pop()
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Process:
    """A vigil command in a process of its own, its log in a file."""

    def __init__(self, arguments: list[str], *, env: dict[str, str], log: Path) -> None:
        self.arguments = arguments
        self.env = env
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert self._process is None or self._process.poll() is not None, "runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*TIED, sys.executable, "-m", "vigil", *self.arguments],
                env=self.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        assert self._process is not None
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def close(self) -> None:
        if self.is_running:
            self.kill()


async def eventually(
    look: Callable[[], Awaitable[Any]], *, what: str, within_s: float = PATIENCE_S
) -> Any:
    """The first true value that `look` returns; a connection that is refused counts as not yet.

    The loop's time is asked, which passes over what the machine kept from everybody: see `steady`.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    last: Any = None
    while loop.time() < deadline:
        try:
            last = await look()
        except (httpx.TransportError, httpx.TimeoutException) as error:
            last = repr(error)
        else:
            if last:
                return last
        await asyncio.sleep(0.1)
    raise AssertionError(f"never within {within_s} s: {what}; last seen: {last!r}")


class PaperAccount:
    """Another client of the same account, over HTTP, as a person in the exchange's web page."""

    def __init__(self, port: int, secret: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}/api/v2",
            auth=(CLIENT_ID, secret),
            trust_env=False,
            timeout=5,
        )

    async def call(self, method: str, **params: Any) -> Any:
        reply = await self._http.get(f"/{method}", params=params)
        answer = json.loads(reply.text, parse_float=_decimal, parse_int=_decimal)
        assert "error" not in answer, answer
        return answer["result"]

    async def position(self, instrument: str) -> Any:
        return (await self.call("private/get_position", instrument_name=instrument))["size"]

    async def open_orders(self) -> Any:
        return await self.call("private/get_open_orders")

    async def fills(self, instrument: str) -> Any:
        result = await self.call(
            "private/get_user_trades_by_instrument",
            instrument_name=instrument,
            count=1000,
            sorting="asc",
        )
        assert not result["has_more"]
        return result["trades"]

    async def close(self) -> None:
        await self._http.aclose()


def _decimal(text: str) -> Any:
    from decimal import Decimal

    return Decimal(text)


class Vigil(Process):
    """`vigil run` with its state directory and its API."""

    def __init__(self, *, state_dir: Path, port: int, env: dict[str, str]) -> None:
        super().__init__(["run"], env=env, log=state_dir / "vigil.log")
        self.state_dir = state_dir
        self.port = port
        self.api = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10
        )

    async def get(self, path: str) -> Any:
        reply = await self.api.get(path)
        return json.loads(reply.text, parse_float=_decimal)

    async def post(self, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        token = (self.state_dir / "api-token").read_text().strip()
        return await self.api.post(
            path, json=body or {}, headers={"Authorization": f"Bearer {token}"}
        )

    async def ready(self) -> None:
        async def look() -> bool:
            assert self.is_running, self.text()
            return (await self.api.get("/ready")).status_code == 200

        await eventually(look, what="/ready is 200")

    async def strategy(self, strategy_id: str) -> Any:
        statuses = (await self.get("/api/strategy/status"))["strategies"]
        return next((one for one in statuses if one["id"] == strategy_id), None)

    async def reaches(self, strategy_id: str, state: str, within_s: float = PATIENCE_S) -> Any:
        async def look() -> Any:
            status = await self.strategy(strategy_id)
            return status if status and status["analysisState"] == state else None

        return await eventually(
            look, what=f"{strategy_id} is {state}\n{self.text()[-3000:]}", within_s=within_s
        )

    async def trades(self, **query: Any) -> Any:
        query_text = "&".join(f"{key}={value}" for key, value in query.items())
        return (await self.get(f"/api/trades/history?{query_text}"))["trades"]

    async def logged(self, text: str, within_s: float = PATIENCE_S) -> None:
        async def look() -> bool:
            return text in self.text()

        await eventually(look, what=f"the log says {text!r}", within_s=within_s)

    def write_state(self, *strategies: dict[str, Any], **more: Any) -> None:
        document = {"version": 1, "activeStrategies": list(strategies), **more}
        path = self.state_dir / "backend-state.json"
        draft = path.with_suffix(".draft")
        draft.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        draft.rename(path)

    def sql(self, statement: str) -> list[Any]:
        """As a person with the sqlite3 shell would."""
        connection = sqlite3.connect(self.state_dir / "trades.db", timeout=10)
        try:
            with connection:
                return connection.execute(statement).fetchall()
        finally:
            connection.close()


def strategy(strategy_id: str, name: str = "Eager", status: str = "active", **config: Any) -> Any:
    config.setdefault("instrument", "BTC_USDC-PERPETUAL")
    return {"id": strategy_id, "name": name, "status": status, "config": config}


def vigil_env(
    *, state_dir: Path, port: int, paper_port: int, client_id: str, secret: str, plugin: Path
) -> dict[str, str]:
    """The environment of a Vigil on a paper exchange, and nothing of the tester's own."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("VIGIL_")}
    return env | {
        "PYTHONPATH": str(plugin),
        "VIGIL_STATE_DIR": str(state_dir),
        "VIGIL_HTTP_PORT": str(port),
        "VIGIL_DERIBIT_WS_URL": f"ws://127.0.0.1:{paper_port}/ws/api/v2",
        "VIGIL_CLIENT_ID": client_id,
        "VIGIL_CLIENT_SECRET": secret,
        "VIGIL_RECONCILE_INTERVAL_S": "2",
    }
