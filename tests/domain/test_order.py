"""The life of an order: news comes late, twice and out of order, and the end is the same."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.domain.order import Direction, OrderStatus, advance

S = OrderStatus
statuses = st.sampled_from(OrderStatus)
news = st.lists(statuses, min_size=1, max_size=6)


def after(seen):
    known = seen[0]
    for status in seen[1:]:
        known = advance(known, status)
    return known


def essence(status):
    """Failed and rejected say the same: it never reached the book. Which of the two was heard
    last is the one thing that may depend on the order of the news."""
    return "absent" if status in (S.FAILED, S.REJECTED) else status


@given(seen=news, data=st.data())
def test_the_same_news_in_any_order_ends_the_same(seen, data):
    shuffled = data.draw(st.permutations(seen))
    assert essence(after(seen)) == essence(after(shuffled))


@given(seen=news)
def test_news_heard_twice_changes_nothing(seen):
    doubled = [status for status in seen for _ in range(2)]
    assert after(doubled) == after(seen)
    assert essence(after(seen + seen)) == essence(after(seen))


@given(known=statuses, seen=statuses)
def test_the_status_after_news_is_one_of_the_two(known, seen):
    assert advance(known, seen) in (known, seen)


@given(known=statuses, seen=st.lists(statuses, max_size=5))
def test_a_life_never_goes_back_to_a_status_it_has_left(known, seen):
    lived = [known]
    for status in seen:
        moved = advance(lived[-1], status)
        if moved is not lived[-1]:
            assert essence(moved) == essence(lived[-1]) or moved not in lived
            lived.append(moved)


@pytest.mark.parametrize(
    ("known", "seen", "expected"),
    [
        pytest.param(S.PENDING, S.OPEN, S.OPEN, id="acknowledged"),
        pytest.param(S.PENDING, S.IN_DOUBT, S.IN_DOUBT, id="unanswered"),
        pytest.param(S.PENDING, S.REJECTED, S.REJECTED, id="refused"),
        pytest.param(S.IN_DOUBT, S.FAILED, S.FAILED, id="proven absent"),
        pytest.param(S.IN_DOUBT, S.FILLED, S.FILLED, id="found filled"),
        pytest.param(S.FILLED, S.OPEN, S.FILLED, id="acknowledgement overtaken by the fill"),
        pytest.param(S.OPEN, S.IN_DOUBT, S.OPEN, id="reply lost after the notification"),
        pytest.param(S.FILLED, S.IN_DOUBT, S.FILLED, id="reply lost after the fill"),
        pytest.param(S.CANCELLED, S.PARTIALLY_FILLED, S.CANCELLED, id="partial fill told late"),
        pytest.param(S.CANCELLED, S.FILLED, S.FILLED, id="filled before the cancel arrived"),
        pytest.param(S.UNTRIGGERED, S.TRIGGERED, S.TRIGGERED, id="a stop fires"),
        pytest.param(S.TRIGGERED, S.OPEN, S.TRIGGERED, id="its order rests under the same label"),
        pytest.param(S.TRIGGERED, S.FILLED, S.FILLED, id="its order fills"),
        pytest.param(S.TRIGGERED, S.CANCELLED, S.CANCELLED, id="its order is cancelled"),
        pytest.param(S.FAILED, S.OPEN, S.OPEN, id="alive after all, resting"),
        pytest.param(S.FAILED, S.UNTRIGGERED, S.UNTRIGGERED, id="alive after all, a stop"),
        pytest.param(S.REJECTED, S.FILLED, S.FILLED, id="alive after all, filled"),
        pytest.param(S.FAILED, S.IN_DOUBT, S.FAILED, id="doubt does not undo a proof"),
        pytest.param(S.REJECTED, S.PENDING, S.REJECTED, id="nor does its own commit"),
        pytest.param(S.PENDING, S.UNKNOWN, S.PENDING, id="told in a strange word"),
        pytest.param(S.IN_DOUBT, S.UNKNOWN, S.IN_DOUBT, id="a strange word resolves no doubt"),
        pytest.param(S.OPEN, S.UNKNOWN, S.OPEN, id="a strange word ends nothing"),
        pytest.param(S.FAILED, S.UNKNOWN, S.FAILED, id="a strange word revives nothing"),
        pytest.param(S.UNKNOWN, S.PENDING, S.PENDING, id="anything is better than a strange word"),
    ],
)
def test_life_moves_on_only(known, seen, expected):
    assert advance(known, seen) is expected


def test_an_order_in_a_strange_state_is_in_none_of_ours():
    assert not (S.UNKNOWN.is_final or S.UNKNOWN.is_resting or S.UNKNOWN.is_unproven)


@pytest.mark.parametrize("status", OrderStatus)
def test_a_filled_order_stays_filled(status):
    assert advance(S.FILLED, status) is S.FILLED


@pytest.mark.parametrize("status", [S.FAILED, S.REJECTED])
def test_evidence_of_life_beats_evidence_of_absence_whichever_comes_first(status):
    for alive in (S.UNTRIGGERED, S.OPEN, S.PARTIALLY_FILLED, S.TRIGGERED, S.CANCELLED, S.FILLED):
        assert {after(order) for order in permutations((status, alive))} == {alive}


@pytest.mark.parametrize("status", OrderStatus)
def test_a_status_is_at_most_one_of_unproven_resting_and_final(status):
    assert status.is_unproven + status.is_resting + status.is_final <= 1


def test_a_triggered_stop_is_still_at_work():
    assert not S.TRIGGERED.is_final
    assert not S.TRIGGERED.is_resting
    assert not S.TRIGGERED.is_unproven


@pytest.mark.parametrize("status", [S.FILLED, S.CANCELLED, S.REJECTED, S.FAILED])
def test_only_ends_are_final(status):
    assert status.is_final


@pytest.mark.parametrize("direction", Direction)
def test_the_opposite_undoes_a_direction(direction):
    assert direction.opposite.opposite is direction
    assert direction.sign + direction.opposite.sign == 0


def test_buying_is_positive():
    assert Direction.BUY.sign == 1
