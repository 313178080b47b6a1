"""Cancelling: by what, which, how many, and what the detailed answer looks like."""

from decimal import Decimal

import pytest

LINEAR, INVERSE, ETHER = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL", "ETH_USDC-PERPETUAL"
STOP = {"type": "stop_market", "trigger": "mark_price", "trigger_price": 96000}


@pytest.fixture
def six(desk):
    """Orders of many sorts on three instruments."""
    desk.buy(amount=0.01, price=94900, label="a")
    desk.buy(amount=0.01, **STOP, label="b")
    desk.buy(amount=0.01, type="trailing_stop", trigger="mark_price", trigger_offset=500, label="c")
    desk.buy(
        amount=0.01, type="take_limit", trigger="mark_price", trigger_price=94000, price=94100,
        label="d",
    )  # fmt: skip
    desk.buy(INVERSE, amount=10, price=94000, label="a")
    desk.buy(ETHER, amount=0.01, price=3290, label="e")
    return desk


def left(desk):
    return [order["label"] for order in desk.open_orders()]


@pytest.mark.parametrize(
    ("method", "params", "remaining"),
    [
        ("cancel_all", {}, ""),
        ("cancel_all", {"freeze_quotes": True}, ""),
        ("cancel_all_by_currency", {"currency": "USDC"}, "a"),
        ("cancel_all_by_currency", {"currency": "USDC", "kind": "option"}, "abcdae"),
        ("cancel_all_by_currency", {"currency": "USDC", "type": "trailing_stop"}, "abdae"),
        ("cancel_all_by_currency", {"currency": "USDC", "type": "take"}, "abcae"),
        ("cancel_all_by_currency", {"currency": "USDC", "type": "stop"}, "acdae"),
        ("cancel_all_by_currency_pair", {"currency_pair": "btc_usdc"}, "ae"),
        ("cancel_all_by_currency_pair", {"currency_pair": "btc_usdc", "type": "limit"}, "bcdae"),
        ("cancel_all_by_currency_pair", {"currency_pair": "btc_usd", "kind": "future"}, "abcde"),
        ("cancel_all_by_instrument", {"instrument_name": LINEAR, "include_combos": True}, "ae"),
        ("cancel_all_by_instrument", {"instrument_name": LINEAR, "type": "trigger_all"}, "aae"),
        ("cancel_all_by_kind_or_type", {"currency": "any"}, ""),
        ("cancel_all_by_kind_or_type", {"currency": ["BTC", "ETH"]}, "abcde"),
        ("cancel_all_by_kind_or_type", {"currency": ["BTC", "USDC"], "kind": "future"}, ""),
        ("cancel_all_by_kind_or_type", {"currency": "USDC", "kind": "combo"}, "abcdae"),
        ("cancel_by_label", {"label": "a"}, "bcde"),
        ("cancel_by_label", {"label": "a", "currency": "BTC"}, "abcde"),
        ("cancel_by_label", {"label": "nobody"}, "abcdae"),
    ],
)
def test_each_way_takes_what_it_says_and_counts_it(six, method, params, remaining):
    assert six.call(f"private/{method}", **params) == 6 - len(remaining)
    assert sorted(left(six)) == sorted(remaining)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("cancel_all_by_currency", {}),
        ("cancel_all_by_currency", {"currency": "DOGE"}),
        ("cancel_all_by_currency_pair", {"currency_pair": "btc_doge"}),
        ("cancel_all_by_instrument", {"instrument_name": "BTC"}),
        ("cancel_all_by_kind_or_type", {}),
        ("cancel_all_by_kind_or_type", {"currency": []}),
        ("cancel_all_by_kind_or_type", {"currency": ["DOGE"]}),
        ("cancel_all_by_kind_or_type", {"currency": "any", "type": "everything"}),
        ("cancel_all", {"detailed": "yes"}),
        ("cancel_all", {"freeze_quotes": "yes"}),
        ("cancel_by_label", {}),
    ],
)
def test_what_cannot_be_understood_cancels_nothing(six, method, params):
    assert six.refusal(f"private/{method}", **params).code == -32602
    assert len(left(six)) == 6


def test_the_detailed_answer_groups_by_instrument_and_sort_like_the_recorded_one(six, recorded):
    groups = six.call("private/cancel_all", detailed=True)
    found = {(group["instrument_name"], group["type"]): len(group["result"]) for group in groups}
    assert found == {
        (LINEAR, "limit"): 1, (LINEAR, "trigger"): 3, (INVERSE, "limit"): 1, (ETHER, "limit"): 1
    }  # fmt: skip
    (example,) = recorded("gocryptotrader/cancel_all_detailed.json")["result"]
    for group in groups:
        assert group.keys() == example.keys()
        for order in group["result"]:
            assert order["cancel_reason"] == example["result"][0]["cancel_reason"]
    # Spot orders have neither; the maximum shown is called otherwise since June 2025.
    only_old = {"is_rebalance", "max_show"}
    assert example["result"][0].keys() - only_old <= groups[0]["result"][0].keys()


def test_a_pair_is_counted_as_the_orders_that_were_asked_for(desk):
    desk.sell(
        amount=0.01, price=96000, linked_order_type="one_cancels_other",
        otoco_config=[{"direction": "sell", "type": "stop_market", "trigger": "mark_price",
                       "trigger_price": Decimal(94000)}],
    )  # fmt: skip
    assert desk.call("private/cancel_all") == 2


def test_secondaries_go_with_their_primary_and_are_not_counted(desk):
    desk.buy(
        amount=0.01, price=94900, linked_order_type="one_triggers_other",
        otoco_config=[{"direction": "sell", "type": "limit", "price": 96000}],
    )  # fmt: skip
    assert desk.call("private/cancel_all") == 1
    assert desk.call("private/cancel_all") == 0


class TestClosePosition:
    def test_at_market(self, desk):
        desk.sell(amount=0.01, type="market")
        result = desk.call("private/close_position", instrument_name=LINEAR, type="market")
        assert (result["order"]["direction"], result["order"]["reduce_only"]) == ("buy", True)
        assert desk.position()["size"] == 0

    def test_at_a_limit(self, desk):
        desk.buy(amount=0.01, type="market")
        close = {"instrument_name": LINEAR, "type": "limit"}
        order = desk.call("private/close_position", price=95500, **close)["order"]
        assert (order["order_state"], order["price"]) == ("open", 95500)
        desk.move(95600)
        assert desk.position()["size"] == 0

    @pytest.mark.parametrize(
        ("params", "code"),
        [
            ({"type": "limit", "price": 95500.05}, -32602),
            ({"type": "limit"}, -32602),
            ({"type": "limit", "price": 93000}, 10005),
            ({"type": "stop_market"}, -32602),
            ({}, -32602),
        ],
    )
    def test_a_wrong_close_is_refused(self, desk, params, code):
        desk.buy(amount=0.01, type="market")
        assert desk.refusal("private/close_position", instrument_name=LINEAR, **params).code == code
        assert desk.position()["size"] == Decimal("0.01")
