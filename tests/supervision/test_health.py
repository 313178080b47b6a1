"""The verdict on the whole."""

import pytest

from vigil.supervision.health import Beat, Fact, Health, Severity, assess


@pytest.mark.parametrize(
    ("age_s", "severity", "expected"),
    [
        pytest.param(10.0, Severity.BREAKS, Health.HEALTHY, id="exactly at the age allowed"),
        pytest.param(10.1, Severity.BREAKS, Health.UNHEALTHY, id="vital and stale"),
        pytest.param(10.1, Severity.DEGRADES, Health.DEGRADED, id="useful and stale"),
    ],
)
def test_a_beat_older_than_allowed_counts_by_its_severity(age_s, severity, expected):
    beat = Beat(name="loop", last_s=100.0, max_age_s=10.0, severity=severity)
    assert assess([beat], [], 100.0 + age_s).health is expected


def test_a_part_that_does_not_run_is_a_reason():
    beat = Beat(name="reconciler", last_s=None, max_age_s=10.0)
    assessment = assess([beat], [], 0.0)
    assert assessment.health is Health.UNHEALTHY
    assert [(r.name, r.text) for r in assessment.reasons] == [("reconciler", "is not running")]


def test_the_worst_reason_decides_and_comes_first():
    facts = [
        Fact(name="state file", is_ok=False, reason="line 3 is wrong"),
        Fact(name="disk", is_ok=True, reason="never shown", severity=Severity.BREAKS),
    ]
    beats = [Beat(name="loop", last_s=0.0, max_age_s=1.0)]
    assessment = assess(beats, facts, 5.0)
    assert assessment.health is Health.UNHEALTHY
    assert [reason.name for reason in assessment.reasons] == ["loop", "state file"]
    assert assessment.reasons[0].text == "last beat 5.0 s ago, allowed are 1 s"


def test_nothing_wrong_is_healthy():
    assert assess([], [Fact(name="x", is_ok=True, reason="")], 0.0).health is Health.HEALTHY
