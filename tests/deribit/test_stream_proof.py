from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from vigil.deribit.stream_proof import StreamProof
from vigil.domain.order import Direction, Order, OrderStatus, OrderType

WITHIN_S = 5.0
ORDER = Order(
    order_id="USDC-1",
    label="vg-a-1-1",
    instrument_name="X",
    direction=Direction.BUY,
    order_type=OrderType.LIMIT,
    status=OrderStatus.OPEN,
    amount=Decimal(1),
    filled_amount=Decimal(0),
    creation_timestamp_ms=1_000,
    last_update_timestamp_ms=1_000,
)
CANCELLED = replace(ORDER, status=OrderStatus.CANCELLED, last_update_timestamp_ms=2_000)


@pytest.mark.parametrize(
    ("story", "overdue"),
    [
        pytest.param([("reply", ORDER)], "USDC-1", id="never told"),
        pytest.param([("reply", ORDER), ("told", ORDER)], None, id="told afterwards"),
        pytest.param([("told", ORDER), ("reply", ORDER)], None, id="told before the reply"),
        pytest.param(
            [("told", ORDER), ("reply", ORDER), ("reply", CANCELLED)],
            "USDC-1",
            id="placing was told, cancelling was not",
        ),
        pytest.param(
            [("told", ORDER), ("reply", ORDER), ("told", CANCELLED), ("reply", CANCELLED)],
            None,
            id="both were told",
        ),
        pytest.param(
            [("reply", CANCELLED), ("told", ORDER)], "USDC-1", id="only what came before it"
        ),
        pytest.param([("reply", ORDER), ("told", CANCELLED)], None, id="only what came after it"),
        pytest.param(
            [("reply", ORDER), ("told", replace(ORDER, order_id="USDC-2"))],
            "USDC-1",
            id="another order",
        ),
        pytest.param([("told", ORDER), ("told", ORDER), ("reply", ORDER)], None, id="told twice"),
        pytest.param([("reply", ORDER), ("forget", ORDER)], None, id="another session"),
    ],
)
def test_the_stream_owes_us_what_the_replies_have_told(
    story: list[tuple[str, Order]], overdue: str | None
) -> None:
    proof = StreamProof()
    for what, order in story:
        match what:
            case "reply":
                proof.expect(order, 10.0)
            case "told":
                proof.heard(order)
            case _:
                proof.forget()
    assert proof.overdue(10.0 + WITHIN_S, WITHIN_S) is None
    assert proof.overdue(10.1 + WITHIN_S, WITHIN_S) == overdue


def test_a_debt_is_as_old_as_its_first_reply() -> None:
    proof = StreamProof()
    proof.expect(ORDER, 10.0)
    proof.expect(CANCELLED, 14.0)
    assert proof.overdue(15.1, WITHIN_S) == "USDC-1"


def test_what_is_remembered_is_bounded() -> None:
    proof: Any = StreamProof()
    for number in range(3_000):
        proof.heard(replace(ORDER, order_id=str(number)))
        proof.expect(replace(CANCELLED, order_id=str(number)), float(number))
    assert len(proof._heard) == len(proof._owed) == 1_000
