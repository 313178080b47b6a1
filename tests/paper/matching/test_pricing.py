"""Where a price stands: one tick inside the book, at the ends of its tick steps too."""

from decimal import Decimal
from types import SimpleNamespace

import pytest

from vigil.domain.order import Direction
from vigil.paper.matching.pricing import slid_price
from vigil.paper.refusals import Refusal

D = Decimal
# Its ticks are 0.0001 until 0.005, and 0.0005 above.
OPTION = "BTC-25DEC26-100000-C"


@pytest.fixture
def slide(desk):
    def slide(direction, best):
        book = SimpleNamespace(
            best_opposite=lambda _direction: best, listing=desk.market(OPTION).listing
        )
        return slid_price(book, direction, best, reject=False)

    return slide


@pytest.mark.parametrize(
    ("direction", "best", "inside"),
    [
        pytest.param(Direction.SELL, "0.0049", "0.0050", id="up to where ticks grow"),
        pytest.param(Direction.SELL, "0.0050", "0.0055", id="up from there"),
        pytest.param(Direction.SELL, "0.0055", "0.0060", id="up among large ticks"),
        pytest.param(Direction.BUY, "0.0055", "0.0050", id="down to where ticks shrink"),
        pytest.param(Direction.BUY, "0.0050", "0.0049", id="down from there"),
    ],
)
def test_one_tick_inside_is_a_price_on_tick(slide, direction, best, inside):
    assert slide(direction, D(best)) == D(inside)


def test_below_the_least_price_there_is_nothing_to_slide_to(slide):
    with pytest.raises(Refusal) as caught:
        slide(Direction.BUY, D("0.0001"))
    assert caught.value.code == 11054
