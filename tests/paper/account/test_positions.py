from decimal import Decimal

import pytest

from vigil.domain.instrument import contract_of
from vigil.domain.order import Direction
from vigil.paper.account.positions import (
    PaperPosition,
    apply_fill,
    entry_price,
    floating_pnl,
    session_price,
    settled,
    total_pnl,
    with_funding,
)

D = Decimal
BUY, SELL = Direction.BUY, Direction.SELL


def held(instrument_name, *fills):
    """The position and the last fill's effect."""
    position, effect = PaperPosition(instrument_name=instrument_name), None
    for direction, amount, price in fills:
        effect = apply_fill(contract_of(instrument_name), position, direction, D(amount), D(price))
        position = effect.position
    return position, effect


@pytest.mark.parametrize(
    ("name", "fills", "profit_loss", "realized"),
    [
        pytest.param(
            "BTC-PERPETUAL",
            [(SELL, "10", "91701.5"), (BUY, "10", "92037")],
            "-0.00000040",
            "-3.97E-7",
            id="recorded inverse round trip",
        ),
        pytest.param(
            "BTC_USDC-PERPETUAL",
            [(BUY, "0.001", "20563"), (SELL, "0.001", "20694")],
            "0.131",
            "0.131",
            id="recorded linear close",
        ),
    ],
)
def test_closing_profit_equals_the_recorded_figure(name, fills, profit_loss, realized):
    position, effect = held(name, *fills)
    assert position.size == 0
    assert effect.profit_loss == D(profit_loss)
    assert position.realized_profit_loss == D(realized)


@pytest.mark.parametrize(
    ("direction", "amount", "entry", "mark", "expected"),
    [
        pytest.param(BUY, "40", "112585.87", "109266.97", "-0.000010792", id="recorded long"),
        pytest.param(SELL, "10", "8932", "8932.46", "-5.8E-8", id="recorded short"),
        pytest.param(BUY, "40", "109351.31", "109266.97", "-2.82E-7", id="since settlement"),
    ],
)
def test_floating_profit_of_an_inverse_position_equals_the_recorded_figure(
    direction, amount, entry, mark, expected
):
    position, _ = held("BTC-PERPETUAL", (direction, amount, entry))
    # The exchange's own sign of the short example is reckoned with size -10.
    assert floating_pnl(contract_of("BTC-PERPETUAL"), position, D(mark)) == D(expected)


def test_average_of_an_inverse_position_is_harmonic():
    position, _ = held("BTC-PERPETUAL", (BUY, "10", "50000"), (BUY, "10", "100000"))
    average = entry_price(contract_of("BTC-PERPETUAL"), position)
    assert average.quantize(D("0.01")) == D("66666.67")


def test_average_of_a_linear_position_is_arithmetic():
    position, _ = held("BTC_USDC-PERPETUAL", (BUY, "1", "100"), (BUY, "3", "200"))
    assert entry_price(contract_of("BTC_USDC-PERPETUAL"), position) == D(175)


def test_a_partial_close_keeps_the_average():
    position, _ = held(
        "BTC_USDC-PERPETUAL", (BUY, "1", "100"), (BUY, "3", "200"), (SELL, "2", "500")
    )
    assert position.size == 2
    assert entry_price(contract_of("BTC_USDC-PERPETUAL"), position) == D(175)


def test_a_fill_that_crosses_zero_closes_the_old_side_and_opens_the_new_one():
    position, effect = held("BTC_USDC-PERPETUAL", (BUY, "1", "100"), (SELL, "3", "110"))
    assert effect.closed_amount == 1
    assert effect.profit_loss == 10
    assert position.size == -2
    assert entry_price(contract_of("BTC_USDC-PERPETUAL"), position) == D(110)


def test_many_small_fills_are_folded_without_moving_the_average():
    fills = [(BUY, "0.001", str(90_000 + i)) for i in range(200)]
    position, _ = held("BTC_USDC-PERPETUAL", *fills)
    assert len(position.parts) <= 64
    average = entry_price(contract_of("BTC_USDC-PERPETUAL"), position)
    assert abs(average - D("90099.5")) < D("1e-12")


class TestSessions:
    """After a settlement the session's profit starts from its price; the average stays."""

    @pytest.mark.parametrize("name", ["BTC_USDC-PERPETUAL", "BTC-25DEC26-76000-C"])
    def test_profit_is_told_against_settlement_and_against_average(self, name):
        contract = contract_of(name)
        position, _ = held(name, (BUY, "2", "100"))
        position = settled(position, D(110))
        assert entry_price(contract, position) == 100
        assert (floating_pnl(contract, position, D(115)), total_pnl(contract, position, D(115))) == (
            10, 30,
        )  # fmt: skip
        effect = apply_fill(contract, position, SELL, D(1), D(120))
        assert (effect.profit_loss, effect.average_profit_loss) == (10, 20)
        assert effect.position.session_rpl == effect.position.realized_profit_loss == 10

    def test_what_is_bought_after_a_settlement_counts_from_its_own_price(self):
        contract = contract_of("BTC_USDC-PERPETUAL")
        position, _ = held("BTC_USDC-PERPETUAL", (BUY, "1", "100"))
        position = apply_fill(contract, settled(position, D(110)), BUY, D(1), D(130)).position
        assert entry_price(contract, position) == 115
        assert session_price(contract, position) == 120
        assert floating_pnl(contract, position, D(130)) == 20

    def test_a_turned_position_forgets_the_settlement(self):
        contract = contract_of("BTC_USDC-PERPETUAL")
        position, _ = held("BTC_USDC-PERPETUAL", (BUY, "1", "100"))
        position = apply_fill(contract, settled(position, D(110)), SELL, D(3), D(120)).position
        assert session_price(contract, position) == entry_price(contract, position) == 120
        assert position.session_rpl == 10

    def test_an_inverse_position_floats_as_recorded_since_settlement(self):
        contract = contract_of("BTC-PERPETUAL")
        position, _ = held("BTC-PERPETUAL", (BUY, "40", "112585.87"))
        position = settled(position, D("109351.31"))
        assert floating_pnl(contract, position, D("109266.97")) == D("-2.82E-7")
        assert total_pnl(contract, position, D("109266.97")) == D("-0.000010792")

    def test_settlement_ends_the_sessions_figures(self):
        position, _ = held("BTC_USDC-PERPETUAL", (BUY, "2", "100"), (SELL, "1", "150"))
        position = with_funding(position, D("-0.5"))
        assert (position.session_rpl, position.realized_funding) == (D("49.5"), D("-0.5"))
        position = settled(position, D(140))
        assert position.session_rpl == position.realized_funding == 0
        assert position.realized_profit_loss == 0
        assert position.size == 1
