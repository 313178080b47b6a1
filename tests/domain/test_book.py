from decimal import Decimal

import pytest

from vigil.domain.book import Book, Level


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
