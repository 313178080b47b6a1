"""A venue that is asked for anything, and a plain book beside it that says what must hold after.

Requests go the way that real ones go: written as JSON, read by `parse_frame`, answered, written
again. Which parameters a method knows is learned by watching which it asks for, so that a new
method or parameter is fuzzed from the day it exists.
"""

import json
import random
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import mutation
from mutation import Text
from rounds import within_bounds

from vigil.paper.account.books import Logged, OrderChanged, Traded
from vigil.paper.market.market import Market
from vigil.paper.notify.publishing import Push
from vigil.paper.reactions import HangUp, Reaction
from vigil.paper.refusals import Refusal
from vigil.paper.session.credits import Limits, Pool, PoolName
from vigil.paper.session.keys import CLIENT_ID, CLIENT_SECRET, READER_ID, READER_SECRET
from vigil.paper.switches import Switches
from vigil.paper.venue import METHODS, Venue
from vigil.paper.wire import framing
from vigil.paper.wire.framing import Request, parse_frame

NOW_MS = 1_795_000_000_000
ZERO = Decimal(0)

# Pools that never run dry: whoever is out of credits is heard no more.
ROOMY = Limits().with_pools(
    {name: Pool(cost=1, capacity=10**9, refill_per_s=1) for name in PoolName}
)

# Parameters that each method was seen to look for, of all venues of this run.
known: dict[str, set[str]] = defaultdict(set)

_STRAY = ("instrument_name", "currency", "kind", "count", "access_token", "nothing", "")

# Longer than anybody waits, and a settlement or an expiry within.
_WAITS_MS = (1, 100, 1_000, 1_000, 61_000, 31 * 60_000, 8 * 3_600_000, 26 * 3_600_000)

_ORDER_TYPES = (
    "limit", "limit", "limit", "market", "stop_limit", "stop_market", "take_limit", "take_market",
    "market_limit", "trailing_stop",
)  # fmt: skip

# What a linked order brings with it when it is written as it should be.
_SECONDARIES = {
    "one_triggers_other": ("stop_market",),
    "one_cancels_other": ("stop_limit",),
    "one_triggers_one_cancels_other": ("limit", "stop_market"),
}


class Watched(dict[str, Any]):
    """Parameters that remember which of them a method looked for."""

    method = ""

    def get(self, name: str, default: Any = None) -> Any:
        known[self.method].add(name)
        return super().get(name, default)


class AnyVenue:
    """One venue from its opening on, with some connections, asked by dice."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.now_ms = NOW_MS + dice.randrange(86_400_000)
        switches = {
            name: not default
            for name, default in _flags().items()
            if dice.random() < 0.15 and name != "refuses_missing_id"
        }
        if dice.random() < 0.3:
            switches["self_trading_reject_mode"] = "reject_taker"
        self.venue = Venue(
            now_ms=self.now_ms,
            seed=dice.randrange(10**6),
            limits=ROOMY,
            token_lifetime_s=dice.choice((900, 10**7)),
            switches=Switches(**switches),
            lists_expiries=dice.random() < 0.7,
        )
        self.connections: list[int] = []
        self.tokens: list[str] = ["no token"]
        self.order_ids: list[str] = ["74000000001"]
        self.labels: list[str] = ["", "mine"]
        self.told: list[dict[str, Any]] = []
        self.balance = {c: cash.balance for c, cash in self.venue.exchange.books.cash.items()}
        self.held: dict[str, Decimal] = defaultdict(Decimal)
        self.filled: dict[str, Decimal] = defaultdict(Decimal)
        self._last_number = 0
        for _ in range(dice.randrange(1, 4)):
            self.connect()

    # -- doings --------------------------------------------------------------------------------

    def step(self) -> None:
        """Something happens; then all that must hold is looked at."""
        act = self.dice.choices(
            (
                self.ask,
                self.order,
                self.ask_bent,
                self.ask_over_http,
                self.wait,
                self.come_and_go,
                self.move,
                self.log_in,
            ),
            (40, 40, 25, 8, 8, 3, 4, 8),
        )[0]
        act()
        self.look()

    def connect(self) -> None:
        self._last_number += 1
        number = self._last_number
        self.venue.connect(number)
        self.connections.append(number)
        self.log_in(number)
        channels = ["user.changes.any.any.raw", *(self._channel() for _ in range(6))]
        self._send(number, "private/subscribe", {"channels": channels})

    def log_in(self, number: int | None = None) -> None:
        is_reader = self.dice.random() < 0.1
        grant = {
            "grant_type": "client_credentials",
            "client_id": READER_ID if is_reader else CLIENT_ID,
            "client_secret": READER_SECRET if is_reader else CLIENT_SECRET,
        }
        self._send(self._somebody() if number is None else number, "public/auth", grant)

    def subscribe_to_all(self) -> None:
        """One channel of every family."""
        channels = [self._channel(pattern) for pattern in CHANNELS]
        self.log_in()
        self._send(self._somebody(), "private/subscribe", {"channels": channels})

    def come_and_go(self) -> None:
        if len(self.connections) > 4 or (self.connections and self.dice.random() < 0.4):
            number = self.dice.choice(self.connections)
            self.connections.remove(number)
            self._hear(self.venue.disconnect(number, self.now_ms))
        self.connect()

    def wait(self) -> None:
        ms = self.dice.choice(_WAITS_MS)
        self.now_ms += ms
        self._hear(self.venue.tick(self.now_ms, ms / 1000))

    def move(self) -> None:
        market = self.dice.choice(list(self.venue.exchange.markets.values()))
        factor = Decimal(self.dice.choice((700, 980, 995, 1_005, 1_020, 1_400))) / 1_000
        price = (market.index_price * factor).quantize(market.index_price)
        self._hear(self.venue.set_price(market.listing.instrument.price_index, price, self.now_ms))

    def order(self) -> None:
        method = self.dice.choice(("private/buy", "private/sell"))
        self._send(self._somebody(), method, self._order())

    def ask(self) -> None:
        method = self.dice.choice(tuple(METHODS))
        self._send(self._somebody(), method, self.params(method))

    def ask_bent(self) -> None:
        """The same after something went wrong with it."""
        method = self.dice.choice(tuple(METHODS))
        message = {
            "jsonrpc": "2.0",
            "id": self.dice.choice((7, "seven", 0, -1)),
            "method": method,
            "params": self.params(method),
        }
        frame = mutation.written(mutation.bent(self.dice, message))
        if self.dice.random() < 0.2:
            frame = mutation.torn(self.dice, frame)
        self._carry(self._somebody(), frame)

    def ask_over_http(self) -> None:
        """With parameters that are text, as in a query."""
        method = self.dice.choice(tuple(METHODS))
        params = {
            name: value if isinstance(value, str) else mutation.written(value).decode()
            for name, value in self.params(method).items()
        }
        watched = Watched(params)
        watched.method = method
        request = Request(method=method, params=watched, is_text=True)
        reaction = self.venue.receive_alone(
            request,
            self.now_ms,
            access_token=self.dice.choice((None, *self.tokens[-4:])),
            key=self.dice.choice((None, self.venue.sessions.keys.find(CLIENT_ID))),
        )
        self._conclude(reaction, request)

    # -- what is asked for ---------------------------------------------------------------------

    def params(self, method: str) -> dict[str, Any]:
        """Parameters of a method: most that it knows, each as it should be or nearly so."""
        names = sorted(known[method]) or list(_STRAY)
        share = self.dice.choice((0.3, 0.6, 0.9))
        chosen = [name for name in names if self.dice.random() < share]
        if "access_token" in chosen and self.dice.random() < 0.95:
            chosen.remove("access_token")
        if self.dice.random() < 0.1:
            chosen.append(self.dice.choice(_STRAY))
        if method in ("private/buy", "private/sell") and self.dice.random() < 0.8:
            return self._order()
        return {name: self.value(name) for name in chosen}

    def value(self, name: str) -> Any:
        """A value for a parameter: nearly always one that fits its name."""
        if self.dice.random() < 0.04:
            return mutation.novelty(self.dice)
        make = self._makers.get(name)
        if make is not None:
            return make(self)
        return self.dice.choice((True, False, True, False, 1, "1", "all", None))

    def _order(self) -> dict[str, Any]:
        """An order that has a chance: its size and price are of its market."""
        market = self.dice.choice(list(self.venue.exchange.markets.values()))
        params = {
            "instrument_name": market.listing.name,
            "label": self.dice.choice((*self.labels[-5:], "mine", f"l{self.dice.randrange(99)}")),
            **self._terms(market, self.dice.choice(_ORDER_TYPES)),
        }
        for name in sorted(known["private/buy"] - {"access_token", "contracts"}):
            if name not in params and self.dice.random() < 0.04:
                params[name] = self.value(name)
        if self.dice.random() < 0.15:
            linked = self.dice.choice(tuple(_SECONDARIES))
            params["linked_order_type"] = linked
            params["otoco_config"] = [
                {
                    **self._terms(market, order_type),
                    "direction": self.dice.choice(("buy", "sell")),
                    "reduce_only": self.dice.random() < 0.5,
                }
                for order_type in _SECONDARIES[linked]
            ]
        if self.dice.random() < 0.05:
            params.pop(self.dice.choice(sorted(params)))
        return params

    def _terms(self, market: Market, order_type: str) -> dict[str, Any]:
        """Type, size and prices, in what the market's instrument allows."""
        instrument = market.listing.instrument
        tick, mark = instrument.tick_size, market.mark_price

        def near() -> Decimal:
            ticks = mark * self.dice.randrange(985, 1_016) / 1_000 / tick
            return max(ticks.to_integral_value(), Decimal(1)) * tick

        lots = self.dice.choice((1, 1, 2, 10, 300, 3_000, 10**5))
        terms: dict[str, Any] = {"type": order_type, "amount": instrument.min_trade_amount * lots}
        if order_type in ("limit", "stop_limit", "take_limit"):
            terms["price"] = near()
        if order_type.startswith(("stop", "take")):
            terms["trigger_price"] = near()
        if order_type == "trailing_stop":
            terms["trigger_offset"] = tick * self.dice.randrange(1, 500)
        if order_type.startswith(("stop", "take", "trailing")):
            terms["trigger"] = self.dice.choice(("mark_price", "index_price", "last_price"))
        return terms

    def _secondaries(self) -> list[Any]:
        """Linked orders as anybody may write them."""
        fields = ("type", "amount", "price", "trigger", "trigger_price", "label", "reduce_only")
        return [
            {name: self.value(name) for name in fields if self.dice.random() < 0.5}
            for _ in range(self.dice.randrange(4))
        ]

    def _channel(self, pattern: str | None = None) -> str:
        listed = list(self.venue.exchange.markets)
        words = {
            "i": lambda: self.dice.choice(listed),
            "p": lambda: self.dice.choice(("raw", "100ms", "agg2")),
            "k": lambda: self.dice.choice(("any", "future", "option", "spot", "combo")),
            "c": lambda: self.dice.choice(("any", "BTC", "ETH", "USDC", "btc")),
            "x": lambda: self.dice.choice(sorted(self.venue.exchange.catalogue.index_names)),
        }
        pattern = pattern or self.dice.choice(CHANNELS)
        return ".".join(words[w]() if w in words else w for w in pattern.split("."))

    def _moment(self) -> int:
        return self.dice.choice(
            (0, self.now_ms, self.now_ms - 1, self.now_ms - 3_600_000, self.now_ms + 86_400_000, 1)
        )

    _makers: dict[str, Callable[["AnyVenue"], Any]] = {
        "instrument_name": lambda v: v.dice.choice([*v.venue.exchange.catalogue.by_name, "NO-SUCH"]),
        "index_name": lambda v: v.dice.choice(
            [*v.venue.exchange.catalogue.index_names, "no_such"]
        ),
        "currency": lambda v: v.dice.choice(
            ("BTC", "USDC", "ETH", "any", "btc", "SOL", "XXX", ["BTC", "USDC"], [])
        ),
        "currency_pair": lambda v: v.dice.choice(("btc_usd", "btc_usdc", "eth_usd", "x")),
        "kind": lambda v: v.dice.choice(("any", "future", "option", "spot", "future_combo", "x")),
        "type": lambda v: v.dice.choice(
            (*_ORDER_TYPES, "all", "trigger_all", "stop", "take", "settlement", "delivery")
        ),
        "amount": lambda v: v.dice.choice(
            (10, 100, Decimal("0.1"), Decimal("0.0001"), 1, 0, -10, Text("1e18"), Text("1e-18"))
        ),
        "contracts": lambda v: v.dice.choice((1, 10, Decimal("0.5"), 0, -1, Text("1e18"))),
        "price": lambda v: v.dice.choice(
            (95_000, Decimal("0.05"), Decimal("94999.5"), 0, -1, Text("1e18"), "market_price")
        ),
        "trigger_price": lambda v: v.dice.choice((95_000, 94_000, 96_000, 0, -1, Text("1e-18"))),
        "trigger_offset": lambda v: v.dice.choice((1, 100, Decimal("0.5"), 0, -1, Text("1e18"))),
        "display_amount": lambda v: v.dice.choice((10, 1, Decimal("0.001"), 0, -1)),
        "trigger": lambda v: v.dice.choice(("mark_price", "index_price", "last_price", "x")),
        "advanced": lambda v: v.dice.choice(("usd", "implv", "x")),
        "label": lambda v: v.dice.choice(v.labels),
        "order_id": lambda v: v.dice.choice(v.order_ids),
        "time_in_force": lambda v: v.dice.choice(
            ("good_til_cancelled", "good_til_day", "fill_or_kill", "immediate_or_cancel", "x")
        ),
        "linked_order_type": lambda v: v.dice.choice(
            ("one_triggers_other", "one_cancels_other", "one_triggers_one_cancels_other", "x")
        ),
        "trigger_fill_condition": lambda v: v.dice.choice(
            ("first_hit", "complete_fill", "incremental", "x")
        ),
        "otoco_config": lambda v: v._secondaries(),
        "valid_until": lambda v: v.dice.choice((v.now_ms - 1, v.now_ms, v.now_ms + 1_000, 0)),
        "count": lambda v: v.dice.choice((1, 2, 10, 1_000, 0, -1, 1_001, Text("1e1"))),
        "offset": lambda v: v.dice.choice((0, 1, 10, -1, 10**18)),
        "depth": lambda v: v.dice.choice((1, 5, 10, 10_000, 0, -1, 3)),
        "continuation": lambda v: v.dice.choice(("", "none", "1", 1, 0, -1, "xY", 10**18)),
        "channels": lambda v: [v._channel() for _ in range(v.dice.randrange(6))],
        "interval": lambda v: v.dice.choice((10, 30, 0, 9, 3_600, 10**12)),
        "resolution": lambda v: v.dice.choice(("1", "60", "1D", "7", 1, 60, "8h", "24h", "1m")),
        "length": lambda v: v.dice.choice(("8h", "24h", "1m", "x")),
        "scope": lambda v: v.dice.choice(
            ("connection", "account", "session:a", "expires:1 trade:read", "expires:x", "ip:*", "x")
        ),
        "grant_type": lambda v: v.dice.choice(
            ("client_credentials", "client_signature", "refresh_token", "x")
        ),
        "client_id": lambda v: v.dice.choice((CLIENT_ID, READER_ID, "x")),
        "client_secret": lambda v: v.dice.choice((CLIENT_SECRET, READER_SECRET, "x")),
        "refresh_token": lambda v: v.dice.choice(v.tokens),
        "access_token": lambda v: v.dice.choice(v.tokens[-6:]),
        "sorting": lambda v: v.dice.choice(("asc", "desc", "default", "x")),
        "expected_result": lambda v: v.dice.choice(("exception", "x")),
        "query": lambda v: v.dice.choice(("trade", "settlement", "liquidation", "x", "")),
        **dict.fromkeys(
            ("start_timestamp", "end_timestamp", "search_start_timestamp", "timestamp"),
            lambda v: v._moment(),
        ),
        **dict.fromkeys(
            ("start_id", "end_id"), lambda v: v.dice.choice(("208000001", "x", 1, "BTC-1", "ETH-2"))
        ),
        **dict.fromkeys(("start_seq", "end_seq"), lambda v: v.dice.choice((1, 123_000_001, -1))),
    }  # fmt: skip

    # -- what must hold ------------------------------------------------------------------------

    def look(self) -> None:
        """The log adds up, positions are summed fills, nothing is filled beyond its amount."""
        books = self.venue.exchange.books
        changes = self.venue.drain_changes(self.now_ms)
        for entry in changes.entries if changes is not None else ():
            match entry:
                case Logged(row=row):
                    self.balance[row.currency] = self.balance.get(row.currency, ZERO) + row.change
                    assert row.balance == self.balance[row.currency], row
                    if row.row_type == "delivery":
                        self.held.pop(row.instrument_name or "")
                case Traded(trade=trade):
                    assert trade.amount > 0, trade
                    assert trade.price.is_finite(), trade
                    self.held[trade.instrument_name] += trade.direction.sign * trade.amount
                    self.filled[trade.order_id] += trade.amount
                case OrderChanged(order=order):
                    assert 0 <= order.filled_amount <= order.amount, order
                    self.order_ids = [*self.order_ids[-30:], order.order_id]
                    self.labels = [*self.labels[-20:], order.label]
        for currency, balance in self.balance.items():
            assert books.cash[currency].balance == balance, currency
        for name, position in books.positions.items():
            assert position.size == self.held[name], name
        for order in books.live_orders():
            assert order.filled_amount == self.filled[order.order_id], order

    # -- plumbing ------------------------------------------------------------------------------

    def _somebody(self) -> int:
        if not self.connections:
            self.connect()
        return self.dice.choice(self.connections)

    def _send(self, number: int, method: str, params: dict[str, Any]) -> Any:
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return self._carry(number, mutation.written(message))

    def _carry(self, number: int, frame: bytes) -> Any:
        with within_bounds(len(frame)):
            try:
                request = parse_frame(frame)
            except Refusal as refusal:
                return self._conclude(Reaction(answer=refusal), None)
            watched = Watched(request.params)
            watched.method = request.method if request.method in METHODS else ""
            request = Request(method=request.method, params=watched, request_id=request.request_id)
            reaction = self.venue.receive(number, request, self.now_ms)
            return self._conclude(reaction, request)

    def _conclude(self, reaction: Reaction, request: Request | None) -> Any:
        while (waiting := reaction.waiting) is not None:
            self._hear(reaction.before + reaction.after)
            self.now_ms = max(self.now_ms, waiting.ticket.due_ms)
            reaction = self.venue.resume(waiting, self.now_ms)
        self._hear(reaction.before + reaction.after)
        answer = reaction.answer
        reply = framing.reply(
            request.request_id if request else None, answer, received_us=1, spent_us=1
        )
        told = json.loads(self.venue.wording.reply(reply), parse_constant=_no_constant)
        assert ("error" in told) is isinstance(answer, Refusal)
        self.told.append(told)
        if request is not None and "access_token" in str(told.get("result")):
            result = told["result"]
            self.tokens = [*self.tokens[-8:], result["access_token"], result["refresh_token"]]
        return told.get("result", told.get("error"))

    def _hear(self, outgoing: Any) -> None:
        for item in outgoing:
            match item:
                case Push(connection_ids=numbers, message=message):
                    payload = self.venue.wording.push(message)
                    told = json.loads(payload, parse_constant=_no_constant)
                    assert numbers
                    self.told.append(told)
                case HangUp(connection_id=number):
                    if number in self.connections:
                        self.connections.remove(number)
                        self._hear(self.venue.disconnect(number, self.now_ms))


CHANNELS = (
    "ticker.i.p", "incremental_ticker.i", "book.i.p", "book.i.none.10.100ms", "book.i.5.20.agg2",
    "quote.i", "trades.i.p", "trades.k.c.p", "chart.trades.i.1", "chart.trades.i.1D",
    "perpetual.i.p", "deribit_price_index.x", "deribit_price_statistics.x",
    "deribit_volatility_index.x", "estimated_expiration_price.x", "markprice.options.x",
    "instrument.state.k.c", "instrument.creation.k.c", "platform_state",
    "platform_state.public_methods_state", "user.orders.i.p", "user.orders.k.c.p",
    "user.trades.i.p", "user.trades.k.c.p", "user.changes.i.p", "user.changes.k.c.p",
    "user.portfolio.c", "user.lock", "user.liquidation", "user.access_log", "no.such",
)  # fmt: skip


def _flags() -> dict[str, bool]:
    return {
        name: field.default
        for name, field in Switches.__dataclass_fields__.items()
        if isinstance(field.default, bool)
    }


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")
