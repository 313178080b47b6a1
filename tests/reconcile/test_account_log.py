"""The transaction log as a sequence: whole, adding up, and never other than it was. FAULTS E37, I5."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from vigil.domain.account_log import LogEntry
from vigil.reconcile.account_log import BrokenChain, Gap, audit, regression

NOW_MS = 1_732_200_000_000


def entry(user_seq, change="1", balance=None, currency="USDC", **changes):
    """An entry of a log in which every entry adds one, so that balances follow from numbers."""
    return replace(
        LogEntry(
            entry_id=user_seq + 50_000,
            user_seq=user_seq,
            currency=currency,
            timestamp_ms=NOW_MS + user_seq,
            entry_type="trade",
            change=D(change),
            balance=D(user_seq if balance is None else balance),
            instrument_name="BTC_USDC-PERPETUAL",
            trade_id=f"USDC-{user_seq}",
        ),
        **changes,
    )


def gap(after, before, currency="USDC"):
    return Gap(
        currency=currency,
        after_seq=after,
        before_seq=before,
        from_ms=NOW_MS + after,
        until_ms=NOW_MS + before,
    )


@pytest.mark.parametrize(
    ("entries", "findings"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([entry(7)], [], id="one entry says nothing of those before it"),
        pytest.param([entry(1), entry(2), entry(3)], [], id="whole"),
        pytest.param([entry(3), entry(1), entry(2)], [], id="in any order"),
        pytest.param([entry(1), entry(2), entry(2), entry(3)], [], id="told twice"),
        pytest.param([entry(1), entry(3)], [gap(1, 3)], id="one missing"),
        pytest.param([entry(1), entry(4), entry(5), entry(9)], [gap(1, 4), gap(5, 9)], id="two"),
        pytest.param(
            [entry(1), entry(2, currency="BTC"), entry(3, balance="2")],
            [],
            id="one sequence over the currencies",
        ),
        pytest.param(
            [entry(1), entry(2), entry(1, currency="BTC"), entry(2, currency="BTC")],
            [],
            id="a sequence for each currency",
        ),
        pytest.param(
            [entry(1), entry(2, currency="BTC"), entry(4)], [gap(1, 4)], id="a gap in both readings"
        ),
    ],
)
def test_a_gap_is_what_no_reading_of_the_numbers_explains(entries, findings):
    assert list(audit(entries)) == findings


@pytest.mark.parametrize(
    ("second", "is_broken"),
    [
        pytest.param(entry(2, "1", "2"), False, id="adds up"),
        pytest.param(entry(2, "-0.5", "0.5"), False, id="less"),
        pytest.param(entry(2, "0", "1"), False, id="nothing moved"),
        pytest.param(entry(2, "1", "2.00000001"), False, id="the last digit may be rounded"),
        pytest.param(entry(2, "1", "2.00000002"), True, id="more than rounding"),
        pytest.param(entry(2, "1", "1"), True, id="a change without effect"),
    ],
)
def test_each_balance_is_the_one_before_and_its_change(second, is_broken):
    found = audit([entry(1, balance="1"), second])
    assert [type(finding) for finding in found] == ([BrokenChain] if is_broken else [])


def test_a_balance_is_compared_within_its_own_currency():
    entries = [entry(1, balance="1"), entry(2, "5", "900", "BTC"), entry(3, "1", "2")]
    assert audit(entries) == ()


def test_a_finding_says_what_to_look_for():
    assert str(gap(7, 9)) == "transaction log of USDC: entries 8 to 8 are missing"
    (broken,) = audit([entry(1), entry(2, "1", "5")])
    assert str(broken) == (
        "transaction log of USDC: entry 2 leaves 5, the one before it and its change make 2"
    )


@given(
    currencies=st.lists(st.sampled_from(["BTC", "ETH", "USDC"]), min_size=1, max_size=30),
    is_shared=st.booleans(),
    data=st.data(),
)
def test_of_a_log_that_adds_up_only_what_is_left_out_inside_is_found(currencies, is_shared, data):
    """Whichever way `user_seq` counts, and whatever is left out."""
    log, counts, cash = [], {}, {}
    for number, currency in enumerate(currencies, start=1):
        counts[currency] = counts.get(currency, 0) + 1
        change = D(data.draw(st.integers(-(10**9), 10**9))) / 10**8
        cash[currency] = cash.get(currency, D(0)) + change
        user_seq = number if is_shared else counts[currency]
        log.append(entry(user_seq, change, cash[currency], currency))
    assert audit(log) == ()
    out = data.draw(st.integers(0, len(log) - 1))
    lost = log[out]
    others = [one.currency for one in log]
    is_inside = lost.currency in others[:out] and lost.currency in others[out + 1 :]
    found = audit(log[:out] + log[out + 1 :])
    assert (found != ()) is is_inside or (is_shared and found != ())
    if is_inside and not any(
        one.user_seq == lost.user_seq and one.currency != lost.currency for one in log
    ):
        assert any(isinstance(finding, Gap) for finding in found)


TAIL = entry(5)


@pytest.mark.parametrize(
    ("read", "words"),
    [
        pytest.param([TAIL], None, id="nothing new"),
        pytest.param([TAIL, entry(6), entry(7)], None, id="it went on"),
        pytest.param([replace(TAIL, equity=D(9), info="x")], None, id="told in other words"),
        pytest.param([], "is gone; the exchange shows nothing since", id="wiped"),
        pytest.param(
            [entry(1), entry(2)], "is gone; the exchange shows entries up to 2", id="back"
        ),
        pytest.param([replace(TAIL, change=D(2))], "reads otherwise", id="another change"),
        pytest.param([replace(TAIL, balance=D(2))], "reads otherwise", id="another balance"),
        pytest.param([replace(TAIL, trade_id="X")], "reads otherwise", id="another trade"),
        pytest.param([replace(TAIL, timestamp_ms=1)], "reads otherwise", id="another time"),
        pytest.param([replace(TAIL, entry_type="deposit")], "reads otherwise", id="another type"),
    ],
)
def test_history_only_ever_grows(read, words):
    why = regression(TAIL, read)
    assert why is None if words is None else words in why
