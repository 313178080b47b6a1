from decimal import Decimal

import pytest
from msgspec.structs import replace

from vigil.deribit.order_form import encode_edit, encode_order
from vigil.domain.order import (
    Direction,
    LinkedOrder,
    OrderRequest,
    OrderType,
    TimeInForce,
    Trigger,
)

STOP = LinkedOrder(
    direction=Direction.SELL,
    order_type=OrderType.STOP_MARKET,
    amount=Decimal("0.01"),
    label="vg-a-2-1",
    trigger_price=Decimal(94500),
    trigger=Trigger.MARK,
)
TARGET = LinkedOrder(
    direction=Direction.SELL,
    order_type=OrderType.LIMIT,
    amount=Decimal("0.01"),
    label="vg-a-3-1",
    price=Decimal(96000),
)
ENTRY = OrderRequest(
    instrument_name="BTC_USDC-PERPETUAL",
    direction=Direction.BUY,
    order_type=OrderType.MARKET,
    amount=Decimal("0.01"),
    label="vg-a-1-1",
    valid_until_ms=1_767_978_363_493,
    linked=(STOP, TARGET),
)


def test_an_entry_carries_its_stop_and_target_as_a_bracket() -> None:
    assert encode_order(ENTRY) == {
        "instrument_name": "BTC_USDC-PERPETUAL",
        "amount": Decimal("0.01"),
        "type": "market",
        "label": "vg-a-1-1",
        "reduce_only": False,
        "valid_until": 1_767_978_363_493,
        "linked_order_type": "one_triggers_one_cancels_other",
        "trigger_fill_condition": "first_hit",
        "otoco_config": [
            {
                "amount": Decimal("0.01"),
                "direction": "sell",
                "type": "stop_market",
                "label": "vg-a-2-1",
                "reduce_only": True,
                "trigger_price": Decimal(94500),
                "trigger": "mark_price",
            },
            {
                "amount": Decimal("0.01"),
                "direction": "sell",
                "type": "limit",
                "label": "vg-a-3-1",
                "reduce_only": True,
                "price": Decimal(96000),
            },
        ],
    }


@pytest.mark.parametrize(
    ("linked", "is_pair", "expected"),
    [
        pytest.param((STOP,), False, "one_triggers_other", id="one secondary"),
        pytest.param((STOP, TARGET), False, "one_triggers_one_cancels_other", id="bracket"),
        pytest.param((STOP,), True, "one_cancels_other", id="pair"),
        pytest.param((), False, None, id="alone"),
    ],
)
def test_the_number_of_linked_orders_decides_their_kind(
    linked: tuple[LinkedOrder, ...], is_pair: bool, expected: str | None
) -> None:
    params = encode_order(replace(ENTRY, linked=linked, linked_one_cancels=is_pair))
    assert params.get("linked_order_type") == expected
    assert ("otoco_config" in params) is bool(linked)


@pytest.mark.parametrize(
    "order_type",
    [OrderType.MARKET, OrderType.STOP_MARKET, OrderType.TAKE_MARKET, OrderType.TRAILING_STOP],
)
def test_market_kinds_carry_no_time_in_force(order_type: OrderType) -> None:
    request = replace(
        ENTRY, order_type=order_type, time_in_force=TimeInForce.GOOD_TIL_CANCELLED, linked=()
    )
    params = encode_order(request)
    assert "time_in_force" not in params
    assert "post_only" not in params


def test_a_limit_order_says_whether_it_is_post_only_either_way() -> None:
    limit = replace(
        ENTRY,
        order_type=OrderType.LIMIT,
        price=Decimal("95000.5"),
        time_in_force=TimeInForce.IMMEDIATE_OR_CANCEL,
        linked=(),
    )
    params = encode_order(limit)
    assert params["post_only"] is False
    assert params["time_in_force"] == "immediate_or_cancel"
    assert params["price"] == Decimal("95000.5")
    assert encode_order(replace(limit, post_only=True))["post_only"] is True


def test_an_edit_names_only_what_changes() -> None:
    assert encode_edit(
        "USDC-1",
        amount=Decimal("0.02"),
        price=None,
        trigger_price=Decimal(94600),
        valid_until_ms=5,
    ) == {
        "order_id": "USDC-1",
        "amount": Decimal("0.02"),
        "trigger_price": Decimal(94600),
        "valid_until": 5,
    }
