"""Reading the account: positions, transaction log."""

import pytest

LINEAR, INVERSE = "BTC_USDC-PERPETUAL", "BTC-PERPETUAL"


@pytest.fixture
def busy(desk):
    """Six trades on the linear instrument a second apart, one on the inverse one."""
    for i in range(6):
        desk.buy(amount=0.01, type="market", label=f"l{i}")
        desk.now_ms += 1000
    desk.buy(INVERSE, amount=10, type="market", label="inverse")
    return desk


def test_positions_are_of_a_settlement_currency_or_of_all(busy):
    def names(**params):
        return {p["instrument_name"] for p in busy.call("private/get_positions", **params)}

    assert names() == names(currency="any") == {LINEAR, INVERSE}
    assert names(currency="USDC") == {LINEAR}
    assert names(currency="BTC") == {INVERSE}


def test_the_log_is_paged_by_its_sequence_without_a_gap(busy):
    window = {"currency": "USDC", "start_timestamp": 0, "end_timestamp": busy.now_ms}
    first = busy.call("private/get_transaction_log", count=4, **window)
    rest = busy.call(
        "private/get_transaction_log", count=4, continuation=first["continuation"], **window
    )
    sequence = [row["user_seq"] for row in first["logs"] + rest["logs"]]
    assert len(sequence) == 6
    assert sequence == sorted(sequence, reverse=True)
    assert rest["continuation"] is None
