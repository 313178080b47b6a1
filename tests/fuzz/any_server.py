"""A paper exchange on a port that is sent anything: broken HTTP, broken WebSockets, faults armed.

The requests are written by hand and read by hand, so that no library mends or refuses them.
"""

import asyncio
import base64
import contextlib
import json
import logging
import random
import re
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

import corpus
import mutation
from aiohttp.http_exceptions import HttpProcessingError
from any_venue import ROOMY, AnyVenue

from vigil.clock import SystemClock
from vigil.paper.faults.entry import REQUIRED, Kind, Param
from vigil.paper.faults.menu import ARMING_PARAMS, MENU
from vigil.paper.server import PaperServer
from vigil.paper.session.keys import CLIENT_ID, CLIENT_SECRET
from vigil.paper.venue import Venue

# What is torn often leaves the server waiting for the rest; honest requests are waited for longer.
_HEARD_S, _ANSWER_S = 0.15, 5.0
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_OPENING = (
    "GET /ws/api/v2 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@contextlib.asynccontextmanager
async def opened(dice: random.Random) -> AsyncIterator["AnyServer"]:
    """A server for a while, and a look at what it complained of."""
    clock = SystemClock()
    venue = Venue(now_ms=clock.now_ms(), seed=dice.randrange(10**6), limits=ROOMY)
    server = PaperServer(venue, clock, tick_interval_s=0.01, has_control=True)
    complaints = _Complaints(level=logging.ERROR)
    for name in ("asyncio", "aiohttp.server", "aiohttp.web", "aiohttp.internal"):
        logging.getLogger(name).addHandler(complaints)
    await server.start()
    try:
        yield AnyServer(dice, server, complaints.told)
    finally:
        await server.stop()
        for name in ("asyncio", "aiohttp.server", "aiohttp.web", "aiohttp.internal"):
            logging.getLogger(name).removeHandler(complaints)
    assert complaints.told == []


class _Complaints(logging.Handler):
    """Keeps what a library could not cope with."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        # What is no HTTP has been answered with 400, and who has gone wants no answer.
        if isinstance(error, HttpProcessingError | ConnectionError):
            return
        self.told.append(logging.Formatter().format(record))


class AnyServer:
    """Someone who means no good, at the port of one server."""

    def __init__(self, dice: random.Random, server: PaperServer, complaints: list[str]) -> None:
        self.dice = dice
        self.server = server
        self.complaints = complaints
        self._asker = AnyVenue(random.Random(dice.random()))

    # -- HTTP ----------------------------------------------------------------------------------

    async def ask(self) -> None:
        """One request over HTTP, broken or not."""
        raw = self._request()
        await self._put(mutation.torn(self.dice, raw) if self.dice.random() < 0.6 else raw)

    async def command(self) -> None:
        """One request to the control endpoint."""
        path, body = self._command()
        data = mutation.written(body)
        raw = _post(path, data, "Host: 127.0.0.1")
        await self._put(mutation.torn(self.dice, raw) if self.dice.random() < 0.2 else raw)

    async def is_alive(self) -> None:
        """With all faults taken back, an honest request is answered."""
        clear = _post("/control/disarm", b'{"all": true}', "Host: 127.0.0.1")
        cleared = await self._exchange(clear, ends=0)
        assert b" 200 OK" in cleared, cleared
        for _ in range(3):
            count = (
                b"GET /control/counters HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            )
            said = await self._exchange(count, ends=0)
            assert b" 200 OK" in said, said

    # -- WebSocket -----------------------------------------------------------------------------

    async def talk(self) -> None:
        """A connection with some good and some bad frames, cut at a random place."""
        frames = [_masked(0x81, self._login())]
        frames += [_masked(0x81, self._message()) for _ in range(self.dice.randrange(1, 12))]
        if self.dice.random() < 0.3:
            payload = self.dice.randbytes(self.dice.randrange(150))
            frames.append(_masked(self.dice.randrange(256), payload))
        stream = b"".join(frames)
        if self.dice.random() < 0.5:
            stream = mutation.torn(self.dice, stream)
        opening = _OPENING.encode()
        if self.dice.random() < 0.1:
            opening = mutation.torn(self.dice, opening)
        await self._put(opening + stream)

    # -- plumbing ------------------------------------------------------------------------------

    async def _put(self, raw: bytes) -> None:
        self._judge(raw, await self._exchange(raw, answer_s=_HEARD_S))

    async def _exchange(
        self, raw: bytes, *, answer_s: float = _ANSWER_S, ends: float = 0.2
    ) -> bytes:
        """Send in pieces, perhaps say that this was all, and take what comes, if anything does."""
        said = b""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(answer_s):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
                try:
                    for piece in mutation.split(self.dice, raw):
                        if writer.transport.is_closing():
                            break
                        writer.write(piece)
                        await asyncio.sleep(0)
                    if self.dice.random() < ends:
                        writer.write_eof()
                    while chunk := await reader.read(65_536):
                        said += chunk
                finally:
                    writer.transport.abort()
        return said

    def _judge(self, raw: bytes, said: bytes) -> None:
        for status in _STATUS.findall(said):
            # 503 is what a fault of the menu answers, 500 is nobody's wish.
            is_meant = status[:1] in b"1234" or status == b"503"
            assert is_meant, "\n".join((str(raw), *self.complaints))
        assert self.server._task is not None
        assert not self.server._task.done(), raw
        head, _, body = said.partition(b"\r\n\r\n")
        is_json = b"application/json" in head and said.count(b"HTTP/1.1 ") == 1
        is_json = is_json and not self.server.faults.arms.hits  # or a fault may have spoilt it
        length = re.search(rb"Content-Length: (\d+)", head)
        if is_json and length is not None and len(body) == int(length[1]):
            json.loads(body)

    def _request(self) -> bytes:
        asker = self._asker
        method = self.dice.choice(corpus.methods())
        params = asker.params(method)
        login = self.dice.choice(
            (
                "",
                "Authorization: Basic "
                + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode(),
                "Authorization: Basic " + self.dice.choice(("YTpi", "x", "====", "/w==")),
                "Authorization: Bearer " + self.dice.choice(("", "x", "a b")),
                "Authorization: deri-hmac-sha256 "
                + self.dice.choice(("", "id=a", "id=vigil-paper,ts=²,sig=x,nonce=n", "ts=1,=,,")),
                "Authorization: \xff",
                "Host: elsewhere",
            )
        )
        if self.dice.random() < 0.5:
            query = urlencode(
                {
                    name: value if isinstance(value, str) else mutation.written(value).decode()
                    for name, value in params.items()
                },
                errors="replace",
            )
            path = self.dice.choice((f"/api/v2/{method}", f"/api/v2/{quote(method, safe='')}"))
            head = f"GET {path}?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            return (head + (f"{login}\r\n" if login else "") + "\r\n").encode("latin-1", "replace")
        message: Any = {"jsonrpc": "2.0", "id": 3, "method": method, "params": params}
        if self.dice.random() < 0.5:
            message = mutation.bent(self.dice, message)
        path = self.dice.choice((f"/api/v2/{method}", "/api/v2", "/api/v2/", "/api/v2/%00"))
        return _post(path, mutation.written(message), login)

    def _command(self) -> tuple[str, Any]:
        if self.dice.random() < 0.1:
            chosen = self.dice.choice(({"all": True}, {"id": 1}, {"id": -1}, {}, [], {"id": 1.5}))
            return "/control/disarm", chosen
        fault = self.dice.choice(list(MENU.values()))
        body: dict[str, Any] = {"fault": fault.name}
        path = self.dice.choice(("/control/arm", "/control/do", "/control/do"))
        own = fault.params + (ARMING_PARAMS if path == "/control/arm" else ())
        for param in own:
            if param.default is REQUIRED or self.dice.random() < 0.25:
                body[param.name] = fitting(self.dice, self._asker, param)
        if self.dice.random() < 0.3:
            return path, mutation.bent(self.dice, body)
        return path, body

    def _login(self) -> bytes:
        grant = {
            "grant_type": "client_credentials",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
        }
        message = {"jsonrpc": "2.0", "id": 1, "method": "public/auth", "params": grant}
        return json.dumps(message).encode()

    def _message(self) -> bytes:
        asker, dice = self._asker, self.dice
        method = dice.choice((*corpus.methods(), "private/buy", "private/subscribe"))
        params = asker.params(method)
        if method.endswith("/subscribe"):
            params["channels"] = [asker._channel() for _ in range(8)]
        message: Any = {"jsonrpc": "2.0", "id": 3, "method": method, "params": params}
        if dice.random() < 0.3:
            message = mutation.bent(dice, message)
        return mutation.written(message)


def fitting(dice: random.Random, asker: AnyVenue, param: Param) -> Any:
    """A value of the menu's own kind, within its bounds or just beyond."""
    makers = asker._makers
    if dice.random() < 0.05:
        return mutation.novelty(dice)
    match param.kind:
        case Kind.CHOICE:
            return dice.choice(param.choices)
        case Kind.FLAG:
            return dice.random() < 0.5
        case Kind.TEXT if param.name in makers:
            return makers[param.name](asker)
        case Kind.TEXT if param.name == "price_index":
            return dice.choice(("btc_usd", "btc_usdc", "eth_usd", "x"))
        case Kind.TEXT if param.name == "direction":
            return dice.choice(("buy", "sell"))
        case Kind.TEXT if param.name == "method":
            return dice.choice(("*", "private/*", "private/buy", "public/*", "x"))
        case Kind.TEXT if param.name == "channel":
            return dice.choice(("*", "user.*", "book.*", "x"))
        case Kind.TEXT:
            return dice.choice(("", "x", "mine", "[", "*", "a,b", "10010", "BTC", "error"))
        case Kind.SECONDS:
            return dice.choice((0, Decimal("0.01"), Decimal("0.1"), 1))
        case _:
            least = int(param.least) if param.least is not None else -5
            most = int(param.most) if param.most is not None else 10**9
            return dice.choice((least, least + 1, least - 1, 10, most, most + 1, "0.5"))


def _post(path: str, body: bytes, header: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
    if not header.startswith("Host"):
        head += "Host: 127.0.0.1\r\n"
    return (head + (f"{header}\r\n" if header else "") + "\r\n").encode("latin-1") + body


def _masked(first: int, payload: bytes) -> bytes:
    """A client's frame; a mask of zeros leaves the payload to be read in a failure."""
    size = len(payload)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 2**16:
        head = bytes((first, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0x80 | 127)) + size.to_bytes(8, "big")
    return head + bytes(4) + payload
