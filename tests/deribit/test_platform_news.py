import json
from typing import Any

import msgspec
import pytest

from vigil.deribit import wire_market
from vigil.deribit.platform_news import PlatformNews
from vigil.deribit.wire import Unreadable
from vigil.domain.events import PlatformStateReceived


def raw(**said: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(said).encode())


def test_each_index_is_told_once_and_then_when_it_changes() -> None:
    news = PlatformNews()
    frames = [
        ("btc_usd", False),
        ("eth_usd", False),
        ("btc_usd", False),
        ("btc_usd", True),
        ("btc_usd", True),
        ("eth_usd", False),
        ("btc_usd", False),
        ("btc_usd", True),
    ]
    told = [
        (state.price_index, state.is_locked)
        for index, locked in frames
        for state in news.take(raw(price_index=index, locked=locked))
    ]
    assert told == [
        ("btc_usd", False),
        ("eth_usd", False),
        ("btc_usd", True),
        ("btc_usd", False),
        ("btc_usd", True),
    ]


def test_a_repetition_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    news = PlatformNews()
    frame = raw(price_index="btc_usd", locked=False)
    assert news.take(frame)

    def read_again(_: msgspec.Raw) -> PlatformStateReceived:
        raise AssertionError("read again")

    monkeypatch.setattr(wire_market, "to_platform_state", read_again)
    for _ in range(1_000):
        assert news.take(frame) == ()


def test_the_same_in_other_words_is_no_news() -> None:
    news = PlatformNews()
    assert news.take(raw(price_index="btc_usd", locked=False))
    assert news.take(raw(price_index="btc_usd", locked=False, reasons=[])) == ()
    assert news.take(raw(price_index="btc_usd", locked=True, reasons=["x"]))
    assert news.take(raw(price_index="btc_usd", locked=False))


def test_maintenance_is_told() -> None:
    (state,) = PlatformNews().take(raw(maintenance=True))
    assert (state.is_maintenance, state.price_index) == (True, None)


def test_indices_without_number_do_not_fill_the_memory_and_are_told() -> None:
    news = PlatformNews()
    for at in range(3_000):
        assert news.take(raw(price_index=f"i{at}", locked=False))
    assert news.take(raw(price_index="i2999", locked=False))
    assert news.take(raw(price_index="i1", locked=False)) == ()


def test_what_cannot_be_read_is_loud_and_forgets_nothing() -> None:
    news = PlatformNews()
    news.take(raw(price_index="btc_usd", locked=True))
    with pytest.raises(Unreadable):
        news.take(raw(price_index="btc_usd", locked="sealed"))
    assert news.take(raw(price_index="btc_usd", locked=True)) == ()
