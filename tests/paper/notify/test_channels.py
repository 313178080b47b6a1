from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.paper.market.instruments import PERPETUALS, Catalogue
from vigil.paper.notify.channels import Topic, parse_channel

LINEAR = "BTC_USDC-PERPETUAL"
DATED = msgspec.structs.replace(PERPETUALS[0].instrument, instrument_name="BTC-25DEC26")
FUTURE = replace(PERPETUALS[0], instrument=DATED, settlement_period="month")
CATALOGUE = Catalogue((*PERPETUALS, FUTURE))
words = st.sampled_from(
    ["ticker", "book", "user", "trades", "orders", "portfolio", "chart", "none", "any", "future",
     "USDC", "usdc", "raw", "100ms", "10", "1D", LINEAR, "btc_usd", "platform_state", ""]
)  # fmt: skip


@given(st.lists(words, max_size=6).map(".".join))
def test_any_name_is_a_topic_or_none(name):
    assert isinstance(parse_channel(name, CATALOGUE), Topic | None)


@pytest.mark.parametrize(
    "name",
    [
        "ticker.X.raw", f"ticker.{LINEAR}", f"ticker.{LINEAR}.1s", f"book.{LINEAR}.none.7.100ms",
        f"book.{LINEAR}.none.10.raw", "user.orders.future.DOGE.raw", "user.orders.moon.any.raw",
        "perpetual.BTC-25DEC26.raw", "user.portfolio.doge", f"chart.trades.{LINEAR}.7", "deribit_price_index.doge", "user", "",
    ],
)  # fmt: skip
def test_a_name_that_is_almost_right_is_none(name):
    assert parse_channel(name, CATALOGUE) is None


def test_a_dated_future_has_the_other_channels():
    assert parse_channel("ticker.BTC-25DEC26.raw", CATALOGUE)


def test_linear_instruments_belong_to_their_settlement_currency():
    topic = parse_channel("user.orders.future.USDC.raw", CATALOGUE)
    assert topic.covers(CATALOGUE.by_name[LINEAR])
    assert not topic.covers(CATALOGUE.by_name["BTC-PERPETUAL"])
