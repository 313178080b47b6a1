import pytest

from vigil.domain.account_log import TriggerRecord


@pytest.mark.parametrize(
    ("state", "is_rejected"),
    [
        ("new", False),
        ("triggered", False),
        ("cancelled", False),
        ("rejected", True),
        ("rejected:reduce_direction", True),
        ("", False),
    ],
)
def test_a_trigger_may_fire_into_a_refusal(state, is_rejected):
    record = TriggerRecord(
        trigger_order_id="SLIS-103",
        timestamp_ms=1,
        instrument_name="BTC-PERPETUAL",
        state=state,
    )
    assert record.is_rejected is is_rejected
