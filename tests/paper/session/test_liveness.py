"""The heartbeat's times."""

import random

import pytest

from vigil.paper.session.liveness import Pulse


def beats(pulse, until_ms, *, is_busy=False, answers=True):
    """When what was sent, in steps of a tenth of a second."""
    sent = []
    for now_ms in range(0, until_ms + 1, 100):
        pulse.is_busy = pulse.is_busy or is_busy
        kinds = pulse.beat(now_ms)
        if kinds:
            sent.append((now_ms, kinds))
            if answers:
                pulse.answer()
    return sent


@pytest.mark.parametrize("seed", range(20))
def test_an_idle_socket_is_asked_first_after_twelve_seconds_then_every_ten_and_a_half(seed):
    sent = beats(Pulse.starting(10, 0, random.Random(seed)), 57_000)
    times = [now_ms for now_ms, _ in sent]
    assert 12_000 <= times[0] <= 12_700
    assert all(10_600 <= b - a <= 10_800 for a, b in zip(times, times[1:], strict=False))
    assert {kinds for _, kinds in sent} == {("heartbeat", "test_request")}


def test_a_busy_socket_is_asked_five_times_in_57_seconds_and_gets_no_heartbeat():
    sent = beats(Pulse.starting(10, 0, random.Random(1)), 57_000, is_busy=True)
    assert [kinds for _, kinds in sent] == [("test_request",)] * 5


def test_being_busy_counts_once():
    pulse = Pulse.starting(10, 0, random.Random(1))
    pulse.is_busy = True
    assert [kinds for _, kinds in beats(pulse, 24_000)] == [
        ("test_request",), ("heartbeat", "test_request"),
    ]  # fmt: skip


def test_who_does_not_answer_is_mute_after_ten_seconds():
    pulse = Pulse.starting(10, 0, random.Random(1))
    ((asked_ms, _),) = beats(pulse, 13_000, answers=False)
    assert not pulse.is_mute(asked_ms + 9_999)
    assert pulse.is_mute(asked_ms + 10_000)
    pulse.answer()
    assert not pulse.is_mute(asked_ms + 60_000)


def test_a_longer_interval_is_kept():
    pulse = Pulse.starting(30, 0, random.Random(1))
    assert 32_000 <= beats(pulse, 40_000)[0][0] <= 32_700


def test_a_clock_that_was_set_back_delays_nobodys_end():
    pulse = Pulse.starting(10, 0, random.Random(1))
    asked_ms = 20_000
    assert "test_request" in pulse.beat(asked_ms)
    back_ms = asked_ms - 3_600_000
    assert not pulse.is_mute(back_ms)
    assert pulse.is_mute(back_ms + 10_000)
