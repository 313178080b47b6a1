"""What comes over an account without an order of its own."""

from decimal import Decimal

import pytest

from vigil.domain.order import Direction

D = Decimal
LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"


@pytest.fixture
def others(desk):
    return desk.venue.exchange.clearing.transfers


def rows(desk, currency="USDC"):
    return desk.call(
        "private/get_transaction_log", currency=currency, start_timestamp=0, end_timestamp=2**46
    )["logs"]


@pytest.mark.parametrize(
    ("what", "amount", "row_type", "change"),
    [
        ("transfer", "-2500", "transfer", "-2500"),
        ("deposit", "0.65", "deposit", "0.65"),
        ("withdraw", "100", "withdrawal", "-100"),
        ("correct", "-0.00000001", "correction", "-0.00000001"),
        ("socialise", "12.5", "bankruptcy", "-12.5"),
    ],
)
def test_cash_moves_and_a_row_says_so(desk, others, what, amount, row_type, change):
    before = desk.summary()
    getattr(others, what)("USDC", D(amount), now_ms=desk.now_ms)
    (row,) = rows(desk)
    assert (row["type"], row["change"], row["cashflow"]) == (row_type, D(change), D(change))
    assert (row["side"], row["instrument_name"], row["position"]) == ("-", None, None)
    after = desk.summary()
    assert after["balance"] == before["balance"] + D(change) == row["balance"]
    assert after["equity"] == row["equity"]


def test_a_transfer_row_is_like_the_documented_one(desk, others, recorded):
    theirs = recorded("docs-examples/get_transaction_log.json")["result"]["logs"][0]
    others.transfer("BTC", D("-2.5"), now_ms=desk.now_ms)
    (ours,) = rows(desk, "BTC")
    assert theirs.keys() <= ours.keys()
    assert {key: ours[key] for key in ("type", "side", "price", "instrument_name", "info")} == {
        key: theirs[key] for key in ("type", "side", "price", "instrument_name", "info")
    }


def test_the_wallet_shows_them(desk, others):
    others.transfer("BTC", D("-0.5"), now_ms=desk.now_ms)
    others.deposit("BTC", D("0.25"), now_ms=desk.now_ms)
    others.withdraw("BTC", D("0.125"), now_ms=desk.now_ms)
    for method, amount in (
        ("get_transfers", "0.5"), ("get_deposits", "0.25"), ("get_withdrawals", "0.125"),
    ):  # fmt: skip
        page = desk.call(f"private/{method}", currency="BTC")
        assert (page["count"], [row["amount"] for row in page["data"]]) == (1, [D(amount)])
        assert desk.call(f"private/{method}", currency="ETH") == {"count": 0, "data": []}


def test_a_socialised_loss_is_in_the_history(desk, others):
    others.socialise("USDC", D("12.5"), now_ms=desk.now_ms)
    page = desk.call("private/get_settlement_history_by_currency", currency="USDC")
    (told,) = page["settlements"]
    assert (told["type"], told["session_tax"], told["socialized"]) == (
        "bankruptcy", D("-12.5"), D("12.5"),
    )  # fmt: skip


class TestDeleveraging:
    def test_a_position_comes_without_order_trade_or_fee(self, desk, others):
        desk.subscribe("user.liquidation")
        before = desk.summary()
        others.adl(LINEAR, Direction.BUY, D(1), now_ms=desk.now_ms, price=D(94_000))
        position = desk.position()
        assert (position["size"], position["average_price"]) == (1, 94_000)
        assert desk.trades() == desk.open_orders() == []
        (row,) = rows(desk)
        assert (row["type"], row["side"], row["position"], row["change"]) == (
            "adl_transfer", "open buy", 1, 0,
        )  # fmt: skip
        (notice,) = desk.on("user.liquidation") or [None]
        assert notice is None or notice["state"] == "adl_transfer_received"
        assert desk.summary()["balance"] == before["balance"]

    def test_it_may_close_what_was_there(self, desk, others):
        desk.buy(INVERSE, amount=1000, type="market")
        rpl = desk.summary("BTC")["session_rpl"]
        others.adl(INVERSE, Direction.SELL, D(400), now_ms=desk.now_ms, price=D(96_000))
        assert desk.position(INVERSE)["size"] == 600
        gained = desk.summary("BTC")["session_rpl"] - rpl
        assert gained == rows(desk, "BTC")[0]["cashflow"] > 0

    def test_an_option_is_paid_for(self, desk, others):
        name = next(
            name for name in desk.venue.exchange.markets
            if name.startswith("BTC-") and name.endswith("-C")
        )  # fmt: skip
        others.adl(name, Direction.SELL, D(2), now_ms=desk.now_ms, price=D("0.05"))
        (row,) = rows(desk, "BTC")
        assert row["change"] == row["cashflow"] == D("0.1")
        assert desk.summary("BTC")["balance"] == D("10.1")
