"""Whatever is traded and however prices move: positions equal summed fills, and cash adds up."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from vigil.domain.instrument import contract_of
from vigil.domain.order import Direction
from vigil.domain.pnl import gross_pnl
from vigil.paper.refusals import Refusal

D = Decimal
LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"
NAMES = st.sampled_from((LINEAR, INVERSE))
PRICES = st.integers(min_value=93_800, max_value=96_200)

order = st.fixed_dictionaries(
    {
        "instrument_name": NAMES,
        "side": st.sampled_from(("buy", "sell")),
        "lots": st.integers(min_value=1, max_value=400),
        "type": st.sampled_from(("market", "limit", "stop_market")),
        "price": PRICES,
        "reduce_only": st.booleans(),
        "bracket": st.booleans(),
    }
)
steps = st.lists(
    st.one_of(order, PRICES, st.just("cancel_all"), st.just("close_all")), min_size=1, max_size=30
)


def place(desk, side, instrument_name, lots, price, bracket, **params):
    amount = D(lots) * (10 if instrument_name == INVERSE else D("0.001"))
    if params["type"] == "limit":
        params["price"] = D(price)
    if params["type"] == "stop_market":
        params |= {"trigger": "mark_price", "trigger_price": D(price)}
    if bracket:
        other = "sell" if side == "buy" else "buy"
        away = 300 if side == "buy" else -300
        secondary = {"direction": other, "amount": amount, "reduce_only": True}
        params |= {
            "linked_order_type": "one_triggers_one_cancels_other",
            "otoco_config": [
                secondary
                | {
                    "type": "stop_market",
                    "trigger": "mark_price",
                    "trigger_price": D(price - away),
                },
                secondary | {"type": "limit", "price": D(price + away)},
            ],
        }
    desk.call(f"private/{side}", instrument_name=instrument_name, amount=amount, **params)


def take(desk, step):
    try:
        match step:
            case dict():
                place(desk, **step)
            case int():
                desk.move(step)
            case "cancel_all":
                desk.call("private/cancel_all")
            case _:
                for name in (LINEAR, INVERSE):
                    desk.call("private/close_position", instrument_name=name, type="market")
    except Refusal:
        pass


def value_of_fills(name, trades, mark):
    """Profit of all fills at mark, each against mark, without any notion of a position."""
    contract = contract_of(name)
    return sum(
        (
            gross_pnl(contract, Direction(t["direction"]), t["amount"], t["price"], mark)
            for t in trades
        ),
        D(0),
    )


def check(desk, start):
    for name, currency in ((LINEAR, "USDC"), (INVERSE, "BTC")):
        trades = desk.trades(name)
        ids = [trade["trade_id"] for trade in trades]
        assert len(ids) == len(set(ids))
        signed = sum(
            (t["amount"] if t["direction"] == "buy" else -t["amount"] for t in trades), D(0)
        )
        assert desk.position(name)["size"] == signed
        fees = sum((trade["fee"] for trade in trades), D(0))
        summary = desk.summary(currency)
        assert summary["balance"] == start[currency] - fees
        assert summary["session_rpl"] == sum((trade["profit_loss"] for trade in trades), D(0))
        true_equity = (
            start[currency] - fees + value_of_fills(name, trades, desk.market(name).mark_price)
        )
        assert abs(summary["equity"] - true_equity) <= D("1e-8") * (len(trades) + 2)
        rows = [row for row in desk.venue.exchange.books.log if row.currency == currency]
        assert sum((row.change for row in rows), D(0)) == -fees
        assert sum((row.cashflow for row in rows), D(0)) == summary["session_rpl"]
        if rows:
            assert rows[-1].balance == summary["balance"]
            assert rows[-1].position == signed
        for item in desk.venue.exchange.books.orders.values():
            assert 0 <= item.filled_amount <= item.amount
            filled = sum((t["amount"] for t in trades if t["order_id"] == item.order_id), D(0))
            assert item.instrument_name != name or item.filled_amount == filled
        market = desk.market(name)
        for resting in desk.venue.exchange.books.live_orders(name):
            if not resting.waits_for_trigger:
                assert (
                    not market.takeable(resting.direction, resting.price) or resting.filled_amount
                )


@settings(max_examples=150, deadline=None)
@given(steps)
def test_positions_equal_summed_fills_and_cash_and_profit_are_conserved(make_desk_once, history):
    desk = make_desk_once()
    start = {currency: desk.summary(currency)["balance"] for currency in ("USDC", "BTC")}
    for step in history:
        take(desk, step)
        check(desk, start)


@settings(max_examples=100, deadline=None)
@given(steps)
def test_a_reduce_only_order_never_turns_a_position(make_desk_once, history):
    desk = make_desk_once()
    for step in history:
        before = {name: desk.position(name)["size"] for name in (LINEAR, INVERSE)}
        count = len(desk.venue.exchange.books.trades)
        take(desk, step)
        for trade in desk.venue.exchange.books.trades[count:]:
            size = before[trade.instrument_name]
            after = size + trade.direction.sign * trade.amount
            if trade.reduce_only:
                assert abs(after) < abs(size)
                assert size * after >= 0
            before[trade.instrument_name] = after
