"""A scripted exchange on a real socket, and the recorded payloads."""

import asyncio
import heapq
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from vigil.clock import SystemClock
from vigil.deribit.reading import Reader

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT.parent / "shared" / "deribit" / "recorded"
# A ceiling for what is waited for: by far more than a slow machine needs.
PATIENCE_S = 45.0


class Refusal:
    """An error answer."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        self.error = {"code": code, "message": message}
        if data is not None:
            self.error["data"] = data


class NoAnswer:
    """The exchange says nothing."""


class ScriptedExchange:
    """Answers calls as told, over real WebSockets, and remembers what was asked.

    `answers` maps a method to a value, a Refusal, NoAnswer, or a function of the parameters (which
    may be a coroutine function) that returns one of these.
    """

    def __init__(self) -> None:
        self.sockets: list[ServerConnection] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.token_life_s = 900
        tokens = itertools.count(1)
        self.answers: dict[str, Any] = {
            "public/auth": lambda params: {
                "access_token": f"access-{next(tokens)}",
                "refresh_token": f"refresh-{next(tokens)}",
                "expires_in": self.token_life_s,
                "scope": "connection account:read trade:read_write wallet:read",
                "token_type": "bearer",
            },
            "public/set_heartbeat": "ok",
            "public/test": {"version": "1.2.26"},
            "public/get_time": lambda _: SystemClock().now_ms(),
            "public/subscribe": lambda params: params["channels"][::-1],
            "private/subscribe": lambda params: params["channels"][::-1],
            "public/unsubscribe": lambda params: params["channels"],
        }
        self.url = ""

    def asked_for(self, method: str) -> list[dict[str, Any]]:
        return [params for name, params in self.asked if name == method]

    async def handle(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        try:
            async with asyncio.TaskGroup() as tasks:
                async for frame in socket:
                    tasks.create_task(self._answer(socket, json.loads(frame)))
        except* ConnectionClosed:
            pass

    async def _answer(self, socket: ServerConnection, request: dict[str, Any]) -> None:
        method, params = request["method"], request["params"]
        self.asked.append((method, params))
        answer = self.answers.get(method, Refusal(-32601, "Method not found"))
        if callable(answer) and answer is not NoAnswer:
            answer = answer(params)
            if asyncio.iscoroutine(answer):
                answer = await answer
        if answer is NoAnswer:
            return
        body = {"error": answer.error} if isinstance(answer, Refusal) else {"result": answer}
        await socket.send(
            json.dumps({"jsonrpc": "2.0", "id": request["id"], **body, "testnet": True})
        )

    async def push(self, channel: str, data: Any) -> None:
        params = {"channel": channel, "data": data}
        await self.say({"jsonrpc": "2.0", "method": "subscription", "params": params})

    async def say(self, message: Any) -> None:
        frame = message if isinstance(message, (str, bytes)) else json.dumps(message)
        await self.sockets[-1].send(frame, text=True)


@pytest.fixture
async def exchange() -> AsyncIterator[ScriptedExchange]:
    scripted = ScriptedExchange()
    async with serve(
        scripted.handle, "127.0.0.1", 0, compression=None, close_timeout=0.2
    ) as server:
        port = server.sockets[0].getsockname()[1]
        scripted.url = f"ws://127.0.0.1:{port}/ws/api/v2"
        yield scripted


@pytest.fixture
def refusal() -> type[Refusal]:
    return Refusal


@pytest.fixture
def no_answer() -> type[NoAnswer]:
    return NoAnswer


@pytest.fixture
def until() -> Callable[..., Any]:
    async def wait(condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE_S
        while not (result := condition()):
            assert time.monotonic() < deadline, "the condition never came true"
            await asyncio.sleep(0.005)
        return result

    return wait


class KeptSecret:
    """Like pydantic's SecretStr."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "**********"

    def get_secret_value(self) -> str:
        return self._value


@pytest.fixture
def secret() -> type[KeptSecret]:
    return KeptSecret


class SteppedClock:
    """Wall time and loop time that pass only when a test lets them, step by step."""

    def __init__(self) -> None:
        self.loop_s = 1_000.0
        self.skew_ms = 0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = itertools.count()

    def now_ms(self) -> int:
        return round(self.loop_s * 1000) + self.skew_ms

    def elapsed_s(self) -> float:
        return self.loop_s

    async def sleep(self, delay_s: float) -> None:
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.loop_s + delay_s, next(self._number), wake))
        await wake

    async def advance(self, delay_s: float) -> None:
        """Let time pass, and everybody whose time has come do what they can."""
        end_s = self.loop_s + delay_s
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= end_s:
            due_s, _, wake = heapq.heappop(self._sleepers)
            self.loop_s = max(self.loop_s, due_s)
            if not wake.done():
                wake.set_result(None)
                await self._settle()
        self.loop_s = end_s
        await self._settle()

    async def _settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
def stepped_clock() -> SteppedClock:
    return SteppedClock()


class ScriptedReader(Reader):
    """Questions answered as told, without a socket.

    `answers` maps a method to a value, an exception, a list of these to be used up one by one
    (`Turns`), or a function of the parameters.
    """

    NOW_MS = 1_800_000_000_000

    def __init__(self, **answers: Any) -> None:
        self.answers = {f"private/{name}": answer for name, answer in answers.items()}
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def exchange_now_ms(self) -> int:
        return self.NOW_MS

    async def _ask(self, method: str, params: Mapping[str, Any]) -> msgspec.Raw:
        self.asked.append((method, dict(params)))
        answer = self.answers[method]
        if isinstance(answer, Turns):
            answer = answer.pop(0)
        if callable(answer):
            answer = answer(params)
        if isinstance(answer, Exception):
            raise answer
        return msgspec.Raw(json.dumps(answer).encode())


class Turns(list[Any]):
    """Answers to be given one after the other."""


@pytest.fixture
def turns() -> type[Turns]:
    return Turns


@pytest.fixture
def scripted() -> type[ScriptedReader]:
    return ScriptedReader


@pytest.fixture
def recorded() -> Callable[[str], bytes]:
    if not RECORDED.is_dir():
        pytest.skip(f"recorded payloads are not at {RECORDED}")
    return lambda name: (RECORDED / name).read_bytes()


@pytest.fixture
def member() -> Callable[..., msgspec.Raw]:
    """One member of a JSON document, as the undecoded text that `wire` is handed."""

    def pick(document: bytes, *path: str | int) -> msgspec.Raw:
        raw = msgspec.Raw(document)
        for step in path:
            if isinstance(step, int):
                raw = msgspec.json.decode(raw, type=list[msgspec.Raw])[step]
            else:
                raw = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])[step]
        return raw

    return pick


@pytest.fixture
def order_json() -> Callable[..., dict[str, Any]]:
    def make(**changes: Any) -> dict[str, Any]:
        return {
            "label": "vg-a-1-1",
            "price": 95000.5,
            "amount": 0.01,
            "direction": "buy",
            "time_in_force": "good_til_cancelled",
            "instrument_name": "BTC_USDC-PERPETUAL",
            "order_id": "USDC-1",
            "creation_timestamp": 1767978363493,
            "last_update_timestamp": 1767978363493,
            "filled_amount": 0.0,
            "average_price": 0.0,
            "reduce_only": False,
            "order_state": "open",
            "order_type": "limit",
        } | changes

    return make


@pytest.fixture
def fill_json() -> Callable[..., dict[str, Any]]:
    def make(**changes: Any) -> dict[str, Any]:
        return {
            "trade_id": "USDC-7",
            "trade_seq": 70,
            "order_id": "USDC-1",
            "label": "vg-a-1-1",
            "instrument_name": "BTC_USDC-PERPETUAL",
            "direction": "buy",
            "timestamp": 1767978363494,
            "price": 95000.5,
            "amount": 0.01,
            "fee": 0.3325,
            "fee_currency": "USDC",
            "liquidity": "T",
            "order_type": "limit",
            "state": "filled",
        } | changes

    return make


@pytest.fixture
def recorded_frames() -> list[tuple[str, bytes]]:
    """Every recorded message as one frame, named by its file."""
    if not RECORDED.is_dir():
        pytest.skip(f"recorded payloads are not at {RECORDED}")
    frames = []
    for path in sorted(RECORDED.glob("*/*.json*")):
        texts = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        for text in texts:
            message = json.loads(text)
            if isinstance(message, list):  # an HTTP exchange, the message inside as text
                text = message[0]["response"]["body"]  # noqa: PLW2901
            elif "jsonrpc" not in message:  # a bare result
                text = json.dumps({"jsonrpc": "2.0", "id": 1, "result": message})  # noqa: PLW2901
            frames.append((path.name, text.encode()))
    return frames
