"""Restart decisions, as tables and properties."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.supervision.restarts import (
    Backoff,
    ChildSpec,
    GiveUp,
    History,
    Intensity,
    Outcome,
    Restart,
    RestartPolicy,
    Stop,
    on_exit,
)


async def nothing() -> None: ...


def spec(**changes) -> ChildSpec:
    return ChildSpec(**({"name": "child", "start": nothing} | changes))


def decide(child, outcome, history=History(), *, ran_s=0.0, now_s=100.0, seed=1):
    rng = random.Random(seed)
    return on_exit(child, history, outcome, ran_s=ran_s, now_s=now_s, rng=rng)


@pytest.mark.parametrize(
    ("policy", "outcome", "expected"),
    [
        (RestartPolicy.PERMANENT, Outcome.FINISHED, Restart),
        (RestartPolicy.PERMANENT, Outcome.CRASHED, Restart),
        (RestartPolicy.PERMANENT, Outcome.MISCONFIGURED, Restart),
        (RestartPolicy.TRANSIENT, Outcome.FINISHED, Stop),
        (RestartPolicy.TRANSIENT, Outcome.CRASHED, Restart),
        (RestartPolicy.TRANSIENT, Outcome.MISCONFIGURED, Restart),
        (RestartPolicy.TEMPORARY, Outcome.FINISHED, Stop),
        (RestartPolicy.TEMPORARY, Outcome.CRASHED, GiveUp),
        (RestartPolicy.TEMPORARY, Outcome.MISCONFIGURED, GiveUp),
    ],
)
def test_policy_decides_which_ends_call_for_a_restart(policy, outcome, expected):
    assert isinstance(decide(spec(restart=policy), outcome), expected)


def test_gives_up_on_one_restart_more_than_intensity_allows():
    child = spec(intensity=Intensity(restarts_max=3, period_s=60.0))
    history = History()
    for at_s in (0.0, 1.0, 2.0):
        decision = decide(child, Outcome.CRASHED, history, now_s=at_s)
        assert isinstance(decision, Restart)
        history = decision.history
    verdict = decide(child, Outcome.CRASHED, history, now_s=3.0)
    assert verdict == GiveUp(reason="crashed after 3 restarts within 60 s")


def test_restarts_older_than_the_period_are_forgiven():
    child = spec(intensity=Intensity(restarts_max=2, period_s=60.0))
    history = History(restarts_s=(0.0, 10.0), failures_in_row=2, restarts=2)
    decision = decide(child, Outcome.CRASHED, history, now_s=60.0)
    assert isinstance(decision, Restart)
    assert decision.history.restarts_s == (10.0, 60.0)
    assert decision.history.restarts == 3


def test_never_gives_up_without_an_intensity():
    history = History()
    for at_s in range(10_001):
        decision = decide(spec(), Outcome.CRASHED, history, now_s=float(at_s))
        assert isinstance(decision, Restart)
        history = decision.history
    assert history.restarts == 10_001
    assert history.restarts_s == ()  # no memory grows for ever


def test_a_settled_run_makes_the_next_failure_the_first():
    history = History(failures_in_row=20, restarts=20)
    child = spec(backoff=Backoff(base_s=1.0, cap_s=64.0, settled_s=60.0))
    unsettled = decide(child, Outcome.CRASHED, history, ran_s=59.9)
    settled = decide(child, Outcome.CRASHED, history, ran_s=60.0)
    assert unsettled.history.failures_in_row == 21
    assert settled.history.failures_in_row == 1
    assert settled.delay_s <= 1.0


def test_misconfiguration_is_retried_slowly_and_is_not_counted_as_a_storm():
    child = spec(intensity=Intensity(restarts_max=1, period_s=3600.0))
    history = History(failures_in_row=1)
    for at_s in range(50):
        decision = decide(child, Outcome.MISCONFIGURED, history, now_s=float(at_s), seed=at_s)
        assert isinstance(decision, Restart)
        assert 30.0 <= decision.delay_s <= 600.0
        history = decision.history
    assert history.failures_in_row == 1
    assert history.restarts == 50


def test_the_more_often_only_a_person_could_help_the_more_rarely_it_is_tried():
    child, bounds = spec(), []
    for failures in (1, 2, 3, 4, 5, 10_000):
        delays = [child.misconfigured_delay_s(failures, random.Random(seed)) for seed in range(200)]
        bounds.append((min(delays), max(delays)))
    lows, highs = zip(*bounds, strict=True)
    assert 30 <= lows[0] < highs[0] <= 60
    assert 60 <= lows[1] < highs[1] <= 120
    assert 300 <= lows[-1] < highs[-1] <= 600
    assert list(highs) == sorted(highs)


@pytest.mark.parametrize(
    ("outcome", "ran_s", "in_row"),
    [
        pytest.param(Outcome.MISCONFIGURED, 0.0, 4, id="once more"),
        pytest.param(Outcome.MISCONFIGURED, 3600.0, 1, id="after a good while"),
        pytest.param(Outcome.CRASHED, 0.0, 0, id="something else"),
    ],
)
def test_only_ends_in_a_row_make_it_rarer(outcome, ran_s, in_row):
    decision = decide(spec(), outcome, History(misconfigured_in_row=3), ran_s=ran_s)
    assert decision.history.misconfigured_in_row == in_row


@given(
    base_s=st.floats(0.001, 10.0),
    growth=st.floats(1.0, 1000.0),
    failures=st.integers(1, 10**9),
    seed=st.integers(),
)
def test_delay_is_finite_and_between_zero_and_the_cap(base_s, growth, failures, seed):
    backoff = Backoff(base_s=base_s, cap_s=base_s * growth)
    delay_s = backoff.delay_s(failures, random.Random(seed))
    assert math.isfinite(delay_s)
    assert 0.0 <= delay_s <= backoff.cap_s


@given(failures=st.integers(1, 100))
def test_longest_delay_never_shrinks_as_failures_go_on(failures):
    backoff = Backoff(base_s=0.5, cap_s=30.0)
    assert backoff.delay_s_max(failures) <= backoff.delay_s_max(failures + 1)


def test_same_dice_give_the_same_decision():
    assert decide(spec(), Outcome.CRASHED, seed=7) == decide(spec(), Outcome.CRASHED, seed=7)
