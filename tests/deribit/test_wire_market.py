import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from vigil.deribit import wire_market
from vigil.deribit.wire import Unreadable
from vigil.domain.events import PlatformStateReceived
from vigil.domain.instrument import NEVER_EXPIRES_MS, Kind, TickStep


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def test_an_instrument_of_an_unknown_kind_hides_no_other(
    recorded: Callable[[str], bytes], member: Callable[..., msgspec.Raw]
) -> None:
    listed = json.loads(bytes(member(recorded("fastmm/get_instruments_future.json"), "result")))
    listed[0]["kind"] = "prediction"
    (other,), strange = wire_market.to_instruments(raw(listed))
    assert other.instrument_name == "BTC-25DEC26"
    assert strange == {"kind 'prediction'"}
    with pytest.raises(Unreadable):
        wire_market.to_instrument(raw(listed[0]))


def test_a_chart_with_a_column_too_short_is_loud() -> None:
    chart = {"status": "ok", "ticks": [1, 2], "open": [1, 1], "high": [1, 1], "low": [1, 1]}
    with pytest.raises(Unreadable):
        wire_market.to_candles(raw(chart | {"close": [1]}))
    assert len(wire_market.to_candles(raw(chart | {"close": [1, 1]}))) == 2


def test_a_chart_without_data_is_empty() -> None:
    assert wire_market.to_candles(raw({"status": "no_data", "ticks": []})) == ()


def test_an_instrument_listed_twice_is_loud(
    recorded: Callable[[str], bytes], member: Callable[..., msgspec.Raw]
) -> None:
    listed = json.loads(bytes(member(recorded("fastmm/get_instruments_future.json"), "result")))
    with pytest.raises(Unreadable, match="twice"):
        wire_market.to_instruments(raw([*listed, listed[0] | {"tick_size": 1}]))


OLD = {
    "instrument_name": "BTC-PERPETUAL",
    "kind": "future",
    "base_currency": "BTC",
    "quote_currency": "USD",
    "contract_size": 10,
    "min_trade_amount": 10,
    "tick_size": 0.5,
}


@pytest.mark.parametrize(
    ("name", "kind", "is_linear", "settles_in"),
    [
        ("BTC-PERPETUAL", "future", False, "BTC"),
        ("ETH-9JAN22-3200-C", "option", False, "ETH"),
        ("SOL_USDC-PERPETUAL", "future", True, "USDC"),
        ("BTC_USDC", "spot", True, "USDC"),
    ],
)
def test_an_old_record_leaves_its_family_to_its_name(
    name: str, kind: str, is_linear: bool, settles_in: str
) -> None:
    instrument = wire_market.to_instrument(raw(OLD | {"instrument_name": name, "kind": kind}))
    assert (instrument.is_linear, instrument.settlement_currency) == (is_linear, settles_in)


@pytest.mark.parametrize(
    "change",
    [
        {"tick_size": 0},
        {"tick_size": "NaN"},
        {"contract_size": "-sNaN"},
        {"contract_size": -1},
        {"min_trade_amount": 0.0},
        {"instrument_type": "cubic"},
        {"kind": "prediction"},
        {"max_leverage": "NaN"},
    ],
    ids=str,
)
def test_an_instrument_that_cannot_be_reckoned_with_is_loud(change: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        wire_market.to_instrument(raw(OLD | change))
    assert wire_market.to_instruments(raw([OLD | change]))[0] == ()


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ({"locked": "false"}, (False, False)),
        ({"locked": "partial", "locked_indices": ["btc_usd"]}, (False, True)),
        ({"locked": "partial"}, (False, True)),
        ({"locked": "false", "locked_indices": ["btc_usd"]}, (False, True)),
        ({"locked": "true"}, (True, False)),
        ({"locked": True}, (True, False)),
        ({"locked": False}, (False, False)),
        ({"locked": "sealed"}, (True, False)),
    ],
    ids=str,
)
def test_a_strange_word_for_the_platform_counts_as_locked(
    said: dict[str, Any], heard: tuple[bool, bool]
) -> None:
    status = wire_market.to_platform_status(raw(said))
    assert (status.is_locked, status.is_partly_locked) == heard


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (
            {"price_index": "btc_usd", "locked": True, "reasons": []},
            PlatformStateReceived(price_index="btc_usd", is_locked=True),
        ),
        (
            {"maintenance": True},
            PlatformStateReceived(price_index=None, is_locked=False, is_maintenance=True),
        ),
    ],
)
def test_the_platform_says_lock_or_maintenance(
    said: dict[str, Any], heard: PlatformStateReceived
) -> None:
    assert wire_market.to_platform_state(raw(said)) == heard
    with pytest.raises(Unreadable):
        wire_market.to_platform_state(raw({"price_index": "btc_usd"}))


def test_the_state_of_an_instrument_is_kept_in_its_own_word() -> None:
    state = wire_market.to_instrument_state(raw({"instrument_name": "A", "state": "hibernating"}))
    assert (state.state, state.is_open) == ("hibernating", False)


def test_expirations_of_several_currencies_are_joined() -> None:
    flat = {"future": ["PERPETUAL", "25DEC26"], "option": ["25DEC26"]}
    nested = {"BTC": {"future": ["PERPETUAL"]}, "ETH": {"future": ["PERPETUAL", "25DEC26"]}}
    assert wire_market.to_expirations(raw(flat))["option"] == ("25DEC26",)
    assert wire_market.to_expirations(raw(nested)) == {"future": ("PERPETUAL", "25DEC26")}


def test_a_public_trade_of_no_direction_is_loud() -> None:
    trade = {
        "trade_id": "1",
        "trade_seq": 1,
        "instrument_name": "A",
        "timestamp": 1,
        "direction": "sideways",
        "price": 1,
        "amount": 1,
    }
    with pytest.raises(Unreadable):
        wire_market.to_public_trades(raw([trade]))
    (other,) = wire_market.to_public_trades(raw([trade | {"direction": "buy", "liquidation": "M"}]))
    assert other.is_liquidation


def test_the_recorded_instruments_parse(recorded: Any, member: Any) -> None:
    (perpetual, dated), strange = wire_market.to_instruments(
        member(recorded("fastmm/get_instruments_future.json"), "result")
    )
    assert not strange
    assert not perpetual.is_linear
    assert perpetual.expiration_timestamp_ms == NEVER_EXPIRES_MS
    assert dated.tick_size == Decimal("2.5")
    named = {
        name: wire_market.to_instrument(member(recorded(name), "result"))
        for name in (
            "gec/get_instrument_inverse_option.json",
            "gec/get_instrument_linear_perpetual.json",
            "nautilus/http_get_instrument.json",
        )
    }
    option = named["gec/get_instrument_inverse_option.json"]
    assert option.kind is Kind.OPTION
    assert option.tick_size_steps == (
        TickStep(above_price=Decimal("0.005"), tick_size=Decimal("0.0005")),
    )
    linear = named["gec/get_instrument_linear_perpetual.json"]
    assert linear.is_linear
    assert linear.settlement_currency == "USDC"
    assert linear.amount_unit == "BTC"


def test_the_recorded_chart_parses(recorded: Any, member: Any) -> None:
    candles = wire_market.to_candles(
        member(recorded("nautilus/http_get_tradingview_chart_data.json"), "result")
    )
    assert len(candles) == 5
    assert candles[0].low == Decimal("87451.0")
