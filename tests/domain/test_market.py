"""Market snapshots carry the exchange's time, and their age is told by ours."""

from decimal import Decimal as D

import pytest

from vigil.domain.market import InstrumentState, Ticker


@pytest.mark.parametrize(
    ("made_ms", "now_ms", "age_ms"),
    [
        pytest.param(1_000, 1_250, 250, id="some time ago"),
        pytest.param(1_000, 1_000, 0, id="just now"),
        pytest.param(1_000, 900, -100, id="from the future, when clocks disagree"),
    ],
)
def test_age_is_signed(made_ms, now_ms, age_ms):
    ticker = Ticker(
        instrument_name="BTC-PERPETUAL",
        timestamp_ms=made_ms,
        mark_price=D(60_000),
        index_price=D(60_000),
    )
    assert ticker.age_ms(now_ms) == age_ms


@pytest.mark.parametrize(
    ("state", "is_open"),
    [
        ("open", True),
        ("started", True),
        ("locked", False),
        ("settlement", False),
        ("delivered", False),
        ("a word of tomorrow", False),
        ("", False),
    ],
)
def test_only_a_word_that_says_so_means_open(state, is_open):
    assert InstrumentState(instrument_name="BTC-25DEC26", state=state).is_open is is_open
