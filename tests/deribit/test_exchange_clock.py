import pytest

from vigil.deribit.exchange_clock import ClockReading, Judgement, is_skewed, judge

BELIEVED = ClockReading(exchange_ms=1_000_000, at_s=50.0)


def later(off_ms: int, after_s: float = 10.0) -> ClockReading:
    """A reading that is `off_ms` away from what is believed."""
    return ClockReading(exchange_ms=1_000_000 + round(after_s * 1000) + off_ms, at_s=50.0 + after_s)


def test_a_reading_is_carried_on_by_the_loop_s_time() -> None:
    assert BELIEVED.now_ms(52.5) == 1_002_500


@pytest.mark.parametrize(
    ("off_ms", "judgement"),
    [
        pytest.param(0, Judgement.BELIEVE, id="the same"),
        pytest.param(900, Judgement.BELIEVE, id="drift"),
        pytest.param(-900, Judgement.BELIEVE, id="drift back"),
        pytest.param(1_001, Judgement.ASK_AGAIN, id="a jump"),
        pytest.param(-60_000, Judgement.ASK_AGAIN, id="a jump back"),
    ],
)
def test_a_jump_is_asked_about_before_it_is_used(off_ms: int, judgement: Judgement) -> None:
    assert judge(later(off_ms), believed=BELIEVED, last=None) is judgement


def test_two_readings_that_agree_are_believed() -> None:
    assert judge(later(60_100, 11), believed=BELIEVED, last=later(60_000)) is Judgement.BELIEVE
    assert judge(later(90_000, 11), believed=BELIEVED, last=later(60_000)) is Judgement.ASK_AGAIN
    assert judge(later(10, 11), believed=BELIEVED, last=later(60_000)) is Judgement.BELIEVE


def test_the_first_reading_is_all_there_is() -> None:
    assert judge(later(10**9), believed=None, last=None) is Judgement.BELIEVE


@pytest.mark.parametrize(
    ("skew_ms", "was_skewed", "expected"),
    [
        (500, False, False),
        (501, False, True),
        (-501, False, True),
        (450, True, True),
        (-400, True, False),
    ],
)
def test_skew_begins_above_half_a_second_and_ends_a_little_below(
    skew_ms: int, *, was_skewed: bool, expected: bool
) -> None:
    assert is_skewed(skew_ms, was_skewed=was_skewed) is expected
