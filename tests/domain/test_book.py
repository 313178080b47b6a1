from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.domain.book import Book, Level, average_price
from vigil.domain.order import Direction


def book(bids: list[int], asks: list[int]) -> Book:
    return Book(
        instrument_name="BTC-PERPETUAL",
        timestamp_ms=1,
        change_id=1,
        bids=tuple(Level(Decimal(price), Decimal(1)) for price in bids),
        asks=tuple(Level(Decimal(price), Decimal(2)) for price in asks),
    )


@pytest.mark.parametrize(
    ("bids", "asks", "is_crossed"),
    [
        ([9], [10], False),
        ([10], [10], True),
        ([11], [10], True),
        ([], [10], False),
        ([9], [], False),
        ([], [], False),
    ],
)
def test_a_book_is_crossed_when_somebody_bids_what_somebody_asks(
    bids: list[int], asks: list[int], is_crossed: bool
) -> None:
    assert book(bids, asks).is_crossed is is_crossed


def test_the_best_of_an_empty_side_is_nobody() -> None:
    assert book([], []).best_bid is None
    assert book([], []).best_ask is None
    best = book([9, 8], [10, 11])
    assert best.best_bid == Level(Decimal(9), Decimal(1))
    assert best.best_ask == Level(Decimal(10), Decimal(2))


def test_buying_takes_what_is_asked() -> None:
    one = book([9], [10])
    assert one.taken_by(Direction.BUY) == one.asks
    assert one.taken_by(Direction.SELL) == one.bids


def test_the_average_price_of_taking_an_amount() -> None:
    asks = book([], [10, 20]).asks
    assert average_price(asks, Decimal(2)) == 10
    assert average_price(asks, Decimal(4)) == 15
    assert average_price(asks, Decimal(5)) is None
    assert average_price((), Decimal(1)) is None


@given(
    st.lists(st.tuples(st.integers(1, 99), st.integers(1, 9)), min_size=1, max_size=8),
    st.integers(1, 72),
)
def test_an_average_lies_among_the_prices_taken(levels: list[tuple[int, int]], amount: int) -> None:
    side = [Level(Decimal(price), Decimal(size)) for price, size in levels]
    found = average_price(side, Decimal(amount))
    if sum(size for _, size in levels) < amount:
        assert found is None
    else:
        prices = [price for price, _ in levels]
        assert found is not None
        assert min(prices) <= found <= max(prices)
