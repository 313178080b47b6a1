"""ccxt's Deribit client, as it is, believes that it talks to Deribit.

Nothing of it is changed but the address. What it cannot do on the paper exchange, a user of ours
could not either.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import ccxt
import ccxt.pro
import pytest

from vigil.paper.server import PaperServer
from vigil.paper.session.keys import CLIENT_ID, CLIENT_SECRET

INVERSE, LINEAR = "BTC/USD:BTC", "BTC/USDC:USDC"


@pytest.fixture
async def client(paper: PaperServer) -> AsyncIterator[Any]:
    client = ccxt.pro.deribit({"apiKey": CLIENT_ID, "secret": CLIENT_SECRET})
    _point(client, paper)
    await client.load_markets()
    yield client
    await client.close()


def _point(client: Any, paper: PaperServer) -> None:
    root = f"http://{paper.host}:{paper.port}"
    client.urls["api"] = {"rest": root, "ws": paper.websocket_url}


async def _soon(call: Awaitable[Any]) -> Any:
    async with asyncio.timeout(10):
        return await call


class TestMarkets:
    async def test_every_family_is_listed_with_its_units(self, client: Any) -> None:
        markets = client.markets.values()
        assert {(m["type"], m["linear"]) for m in markets if m["contract"]} == {
            ("swap", False),
            ("swap", True),
            ("future", False),
            ("future", True),
            ("option", False),
            ("option", True),
        }
        inverse, linear = client.market(INVERSE), client.market(LINEAR)
        assert (inverse["id"], inverse["contractSize"], inverse["settle"]) == (
            "BTC-PERPETUAL",
            10,
            "BTC",
        )
        assert (linear["id"], linear["settle"]) == ("BTC_USDC-PERPETUAL", "USDC")

    @pytest.mark.parametrize(
        "ask",
        [
            lambda c: c.fetch_time(),
            lambda c: c.fetch_status(),
            lambda c: c.fetch_currencies(),
            lambda c: c.fetch_ticker(INVERSE),
            lambda c: c.fetch_tickers(None, {"currency": "BTC"}),
            lambda c: c.fetch_order_book(LINEAR, 20),
            lambda c: c.fetch_ohlcv(INVERSE, "1m", limit=10),
            lambda c: c.fetch_funding_rate(INVERSE),
            lambda c: c.fetch_open_interest(INVERSE),
            lambda c: c.fetch_option_chain("BTC"),
            lambda c: c.fetch_trading_fees(),
            lambda c: c.fetch_volatility_history("BTC"),
            lambda c: c.fetch_balance(),
            lambda c: c.fetch_accounts(),
            lambda c: c.fetch_deposit_withdraw_fees(),
        ],
        ids=lambda ask: ask.__code__.co_names[0],
    )
    async def test_it_can_ask(self, client: Any, ask: Callable[[Any], Awaitable[Any]]) -> None:
        assert await _soon(ask(client))

    @pytest.mark.parametrize(
        "ask",
        [
            lambda c: c.fetch_trades(INVERSE),
            lambda c: c.fetch_positions(),
            lambda c: c.fetch_funding_rate_history(INVERSE),
            lambda c: c.fetch_liquidations(INVERSE),
            lambda c: c.fetch_my_liquidations(INVERSE),
            lambda c: c.fetch_deposits("BTC"),
            lambda c: c.fetch_withdrawals("BTC"),
            lambda c: c.fetch_transfers("BTC"),
        ],
        ids=lambda ask: ask.__code__.co_names[0],
    )
    async def test_it_can_ask_for_what_may_not_be(
        self, client: Any, ask: Callable[[Any], Awaitable[Any]]
    ) -> None:
        assert isinstance(await _soon(ask(client)), list)

    async def test_an_option_has_greeks(self, client: Any) -> None:
        option = next(s for s, m in client.markets.items() if m["option"])
        greeks = await _soon(client.fetch_greeks(option))
        assert 0 <= abs(greeks["delta"]) <= 1


class TestOrders:
    @pytest.mark.parametrize("symbol", [INVERSE, LINEAR])
    async def test_an_order_is_created_edited_found_and_cancelled(
        self, client: Any, symbol: str
    ) -> None:
        least = client.market(symbol)["limits"]["amount"]["min"]
        price = (await client.fetch_ticker(symbol))["bid"] * 0.995
        order = await _soon(client.create_order(symbol, "limit", "buy", 10 * least, price))
        assert order["status"] == "open"
        edited = await _soon(
            client.edit_order(order["id"], symbol, "limit", "buy", 20 * least, price * 0.999)
        )
        assert edited["id"] == order["id"]
        assert edited["amount"] == pytest.approx(20 * least)
        assert [o["id"] for o in await client.fetch_open_orders(symbol)] == [order["id"]]
        assert (await client.fetch_order(order["id"], symbol))["status"] == "open"
        assert (await client.cancel_order(order["id"], symbol))["status"] == "canceled"
        assert await client.fetch_open_orders(symbol) == []

    @pytest.mark.parametrize("symbol", [INVERSE, LINEAR])
    async def test_a_fill_is_seen_from_every_side(self, client: Any, symbol: str) -> None:
        least = client.market(symbol)["limits"]["amount"]["min"]
        order = await _soon(client.create_order(symbol, "market", "buy", 10 * least))
        assert order["status"] == "closed"
        assert order["filled"] == pytest.approx(10 * least)
        trades = await client.fetch_my_trades(symbol)
        assert sum(trade["amount"] for trade in trades) == pytest.approx(10 * least)
        assert all(trade["fee"]["cost"] > 0 for trade in trades)
        position = await client.fetch_position(symbol)
        assert position["side"] == "long"
        assert position["unrealizedPnl"] is not None
        assert order["id"] in {o["id"] for o in await client.fetch_closed_orders(symbol)}
        assert await client.fetch_order_trades(order["id"])

    @pytest.mark.parametrize(
        ("kind", "price_share", "params"),
        [
            ("limit", 0.999, {"postOnly": True}),
            ("limit", 0.999, {"timeInForce": "GTC"}),
            ("limit", 0.999, {"timeInForce": "IOC"}),
            ("limit", 0.999, {"timeInForce": "FOK"}),
            ("limit", 0.999, {"timeInForce": "GTD"}),
            ("market", None, {"stopLossPrice": 0.99, "side": "sell"}),
            ("market", None, {"takeProfitPrice": 1.01, "side": "sell"}),
            ("limit", 0.999, {"stopLossPrice": 0.995, "side": "sell"}),
            ("limit", 1.009, {"takeProfitPrice": 1.01, "side": "sell"}),
            ("market", None, {"trailingAmount": 0.005, "side": "sell"}),
            ("market", None, {"stopLossPrice": 1.01}),
            ("market", None, {"stopLossPrice": 0.99, "side": "sell", "reduceOnly": True}),
        ],
        ids=str,
    )
    async def test_every_order_type_it_supports(
        self, client: Any, kind: str, price_share: float | None, params: dict[str, Any]
    ) -> None:
        await client.create_order(INVERSE, "market", "buy", 100)
        last = (await client.fetch_ticker(INVERSE))["last"]
        params = dict(params)
        side = params.pop("side", "buy")
        for name in ("stopLossPrice", "takeProfitPrice", "trailingAmount"):
            if name in params:
                params[name] = float(client.price_to_precision(INVERSE, last * params[name]))
        price = last * price_share if price_share else None
        order = await _soon(client.create_order(INVERSE, kind, side, 50, price, params))
        assert order["id"]
        assert order["side"] == side
        assert order["amount"] == 50

    async def test_cancel_all_leaves_nothing(self, client: Any) -> None:
        price = (await client.fetch_ticker(INVERSE))["bid"] * 0.995
        for step in range(3):
            await client.create_order(INVERSE, "limit", "buy", 10, price - 10 * step)
        await _soon(client.cancel_all_orders(INVERSE))
        assert await client.fetch_open_orders(INVERSE) == []

    async def test_parallel_calls_are_all_served(self, client: Any) -> None:
        answers = await _soon(asyncio.gather(*(client.fetch_balance() for _ in range(10))))
        assert len(answers) == 10


class TestExceptions:
    @pytest.mark.parametrize(
        ("expected", "call"),
        [
            (ccxt.InsufficientFunds, lambda c, _: c.create_order(INVERSE, "market", "buy", 10**9)),
            (ccxt.OrderNotFound, lambda c, _: c.cancel_order("12345", INVERSE)),
            (ccxt.InvalidOrder, lambda c, p: c.create_order(INVERSE, "limit", "buy", 10, 2 * p)),
            (
                ccxt.BadRequest,
                lambda c, p: c.private_get_buy(
                    {"instrument_name": "BTC-PERPETUAL", "amount": 10, "price": p + 0.13}
                ),
            ),
            (ccxt.BadRequest, lambda c, _: c.public_get_ticker({"instrument_name": "NO-SUCH"})),
        ],
        ids=lambda value: getattr(value, "__name__", "call"),
    )
    async def test_our_refusals_become_its_exceptions(
        self, client: Any, expected: type[Exception], call: Callable[[Any, float], Awaitable[Any]]
    ) -> None:
        last = (await client.fetch_ticker(INVERSE))["last"]
        with pytest.raises(expected):
            await _soon(call(client, last))

    async def test_a_wrong_key_is_an_authentication_error(self, paper: PaperServer) -> None:
        client = ccxt.pro.deribit({"apiKey": CLIENT_ID, "secret": "wrong"})
        _point(client, paper)
        try:
            with pytest.raises(ccxt.AuthenticationError):
                await _soon(client.fetch_balance())
        finally:
            await client.close()


class TestStreams:
    @pytest.mark.parametrize(
        "watch",
        [
            lambda c: c.watch_ticker(INVERSE),
            lambda c: c.watch_tickers([INVERSE, LINEAR]),
            lambda c: c.watch_bids_asks([INVERSE]),
            lambda c: c.watch_trades(INVERSE),
            lambda c: c.watch_ohlcv(INVERSE, "1m"),
            lambda c: c.watch_balance(),
        ],
        ids=lambda watch: watch.__code__.co_names[0],
    )
    async def test_it_can_watch(self, client: Any, watch: Callable[[Any], Awaitable[Any]]) -> None:
        assert await _soon(watch(client))

    @pytest.mark.parametrize("symbol", [INVERSE, LINEAR])
    async def test_its_book_stays_whole_over_changes(self, client: Any, symbol: str) -> None:
        for _ in range(10):
            book = await _soon(client.watch_order_book(symbol))
            assert book["bids"][0][0] < book["asks"][0][0]

    async def test_a_fill_arrives_on_the_streams(self, client: Any) -> None:
        async with asyncio.TaskGroup() as tasks:
            orders = tasks.create_task(_soon(client.watch_orders(INVERSE)))
            trades = tasks.create_task(_soon(client.watch_my_trades(INVERSE)))
            while not (orders.done() and trades.done()):
                await client.create_order(INVERSE, "market", "buy", 10)
                await asyncio.sleep(0.3)
        assert orders.result()[-1]["symbol"] == INVERSE
        assert trades.result()[-1]["side"] == "buy"


class TestBlocking:
    async def test_the_blocking_client_works_as_well(self, paper: PaperServer) -> None:
        client = ccxt.deribit({"apiKey": CLIENT_ID, "secret": CLIENT_SECRET})
        _point(client, paper)

        def talk() -> tuple[str, float]:
            order = client.create_order(LINEAR, "market", "sell", 0.01)
            return order["status"], client.fetch_balance()["USDC"]["total"]

        status, total = await asyncio.to_thread(talk)
        client.session.close()
        assert status == "closed"
        assert total > 0
