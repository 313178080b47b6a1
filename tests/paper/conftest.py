"""A venue with prices moved by hand, and a real server around one."""

import asyncio
import contextlib
import itertools
import json
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest

from vigil.clock import SystemClock
from vigil.paper.faults.interference import Faults
from vigil.paper.notify.publishing import Push
from vigil.paper.reactions import HangUp
from vigil.paper.refusals import Refusal
from vigil.paper.server import PaperServer
from vigil.paper.session.credits import Limits, Pool, PoolName
from vigil.paper.session.keys import CLIENT_ID, CLIENT_SECRET
from vigil.paper.venue import Changes, Venue
from vigil.paper.wire.framing import Request

LINEAR, INVERSE, ETHER = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL", "ETH_USDC-PERPETUAL"
NOW_MS = 1_795_000_000_000
RECORDED = Path(__file__).resolve().parents[2].parent / "shared" / "deribit" / "recorded"
# A ceiling for what is waited for: by far more than a slow machine needs.
PATIENCE_S = 45.0

# Time stands still at a desk unless it waits, so that no pool would ever refill.
ROOMY = Limits().with_pools(
    {name: Pool(cost=1, capacity=10**9, refill_per_s=1) for name in PoolName}
)


class Desk:
    """A person at the paper exchange: calls methods, moves prices, hears notifications."""

    def __init__(self, **venue_options):
        self.now_ms = NOW_MS
        venue_options.setdefault("limits", ROOMY)
        self.venue = Venue(now_ms=self.now_ms, **venue_options)
        self.heard = []
        self.hang_ups = []
        self.connection_id = self.connect()
        self.log_in()

    def connect(self):
        numbers = self.venue.sessions.by_connection
        number = max(numbers, default=0) + 1
        self.venue.connect(number)
        return number

    def connect_and_log_in(self):
        number = self.connect()
        self.log_in(number)
        return number

    def log_in(self, connection_id=None):
        return self.call(
            "public/auth",
            connection_id,
            grant_type="client_credentials",
            client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET,
        )

    def call(self, method, connection_id=None, /, **params):
        """The result; a refusal is raised."""
        params = {k: Decimal(str(v)) if isinstance(v, float) else v for k, v in params.items()}
        reaction = self.venue.receive(
            connection_id or self.connection_id, Request(method=method, params=params), self.now_ms
        )
        self._hear(reaction.before + reaction.after)
        if isinstance(reaction.answer, Refusal):
            raise reaction.answer
        return reaction.answer

    def refusal(self, method, connection_id=None, /, **params):
        with pytest.raises(Refusal) as caught:
            self.call(method, connection_id, **params)
        return caught.value

    def buy(self, instrument_name=LINEAR, **params):
        return self.call("private/buy", instrument_name=instrument_name, **params)

    def sell(self, instrument_name=LINEAR, **params):
        return self.call("private/sell", instrument_name=instrument_name, **params)

    def move(self, price, index_name=None):
        """Move bitcoin, both indexes of it, or one named index."""
        for name in (index_name,) if index_name else ("btc_usd", "btc_usdc"):
            self._hear(self.venue.set_price(name, Decimal(price), self.now_ms))

    def wait(self, ms):
        self.now_ms += ms
        self._hear(self.venue.tick(self.now_ms, ms / 1000))

    def subscribe(self, *channels, connection_id=None):
        return self.call("private/subscribe", connection_id, channels=list(channels))

    def order(self, order_id):
        return self.call("private/get_order_state", order_id=order_id)

    def by_label(self, label, currency="any"):
        return self.call("private/get_order_state_by_label", currency=currency, label=label)

    def open_orders(self):
        return self.call("private/get_open_orders")

    def position(self, instrument_name=LINEAR):
        return self.call("private/get_position", instrument_name=instrument_name)

    def trades(self, instrument_name=LINEAR):
        page = self.call(
            "private/get_user_trades_by_instrument",
            instrument_name=instrument_name,
            sorting="asc",
            count=1000,
        )
        assert not page["has_more"]
        return page["trades"]

    def summary(self, currency="USDC"):
        return self.call("private/get_account_summary", currency=currency)

    def changes(self) -> Changes | None:
        return self.venue.drain_changes(self.now_ms)

    def on(self, channel):
        """Data heard on a channel so far, and forget it."""
        data = [m["params"]["data"] for _, m in self.heard if m["params"].get("channel") == channel]
        self.heard = [item for item in self.heard if item[1]["params"].get("channel") != channel]
        return data

    def market(self, instrument_name=LINEAR):
        return self.venue.exchange.markets[instrument_name]

    def _hear(self, outgoing):
        for item in outgoing:
            match item:
                case Push(connection_ids=numbers, message=message):
                    self.heard.extend((number, message) for number in numbers)
                case HangUp():
                    self.hang_ups.append(item)


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def make_desk():
    return Desk


class WireClient:
    """A client over a real WebSocket that knows nothing of the server's code."""

    def __init__(self, socket):
        self.socket = socket
        self.notifications = []
        self._ids = itertools.count(1)

    async def send(self, method, /, **params):
        request_id = next(self._ids)
        message = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
        await self.socket.send_str(json.dumps(message))
        return request_id

    async def request(self, method, /, **params):
        """The whole reply, as an object."""
        return await self.reply_to(await self.send(method, **params))

    async def call(self, method, /, **params):
        reply = await self.request(method, **params)
        assert "error" not in reply, reply
        return reply["result"]

    async def reply_to(self, request_id, timeout_s=PATIENCE_S):
        async with asyncio.timeout(timeout_s):
            while True:
                message = await self.receive()
                if message.get("id") == request_id:
                    return message
                self.notifications.append(message)

    async def receive(self):
        return json.loads(await self.socket.receive_str())

    async def wait_for(self, channel, timeout_s=PATIENCE_S):
        """The next data on a channel."""
        async with asyncio.timeout(timeout_s):
            while True:
                for message in self.notifications:
                    if message.get("params", {}).get("channel") == channel:
                        self.notifications.remove(message)
                        return message["params"]["data"]
                self.notifications.append(await self.receive())

    async def log_in(self):
        return await self.call(
            "public/auth",
            grant_type="client_credentials",
            client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET,
        )


@pytest.fixture
async def server():
    venue = Venue(now_ms=SystemClock().now_ms())
    server = PaperServer(venue, SystemClock(), tick_interval_s=0.01, faults=Faults())
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def dial(server):
    """Opens WebSocket clients on the server; logged in unless told otherwise."""
    async with aiohttp.ClientSession() as session, contextlib.AsyncExitStack() as sockets:

        async def close(socket):
            with contextlib.suppress(TimeoutError):  # a server may be made not to hear
                async with asyncio.timeout(0.3):
                    await socket.close()

        async def connect(*, log_in=True):
            socket = await session.ws_connect(server.websocket_url)
            sockets.push_async_callback(close, socket)
            client = WireClient(socket)
            if log_in:
                await client.log_in()
            return client

        yield connect


@pytest.fixture
def recorded():
    """Reads a recorded payload; the test is skipped where the recordings are not at hand."""
    if not RECORDED.is_dir():
        pytest.skip(f"recorded payloads are not at {RECORDED}")

    def read(name):
        return json.loads((RECORDED / name).read_text())

    return read


@pytest.fixture(scope="session")
def make_desk_once():
    """The same for hypothesis, which must not be given a fixture of each function."""
    return Desk
