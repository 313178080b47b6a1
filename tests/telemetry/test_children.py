"""What the supervisor tells of its children, as log lines of the right loudness."""

import pytest
from structlog.testing import capture_logs

from vigil.errors import Transient
from vigil.supervision.supervisor import ChildEvent, ChildEventKind
from vigil.telemetry.children import log_child_event


def logged(kind, **facts):
    with capture_logs() as lines:
        log_child_event(ChildEvent(kind=kind, name="session", **({"restarts": 0} | facts)))
    (line,) = lines
    return line


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        (ChildEventKind.STARTED, "debug"),
        (ChildEventKind.STOPPING, "debug"),
        (ChildEventKind.STOPPED, "info"),
        (ChildEventKind.FINISHED, "info"),
        (ChildEventKind.RESTARTING, "warning"),
        (ChildEventKind.MISCONFIGURED, "error"),
        (ChildEventKind.GAVE_UP, "error"),
        (ChildEventKind.CRASHED_WHILE_STOPPING, "error"),
        (ChildEventKind.ABANDONED, "error"),
    ],
)
def test_what_needs_a_person_is_louder_than_what_heals_itself(kind, level):
    line = logged(kind)
    assert (line["event"], line["log_level"], line["child"]) == (kind.value, level, "session")


def test_every_kind_of_event_has_its_level():
    assert {logged(kind)["log_level"] for kind in ChildEventKind} <= {
        "debug",
        "info",
        "warning",
        "error",
    }


def test_a_surprise_comes_with_its_traceback_and_a_foreseen_end_without():
    surprise, foreseen = RuntimeError("boom"), Transient("no route")
    assert logged(ChildEventKind.RESTARTING, error=surprise)["exc_info"] is surprise
    assert "exc_info" not in logged(ChildEventKind.RESTARTING, error=foreseen)


def test_only_what_is_known_is_said():
    assert logged(ChildEventKind.STOPPED).keys() == {"event", "log_level", "child"}
    line = logged(ChildEventKind.RESTARTING, restarts=2, reason="no route", delay_s=1.23456)
    assert (line["restarts"], line["reason"], line["delay_s"]) == (2, "no route", 1.23)


def test_what_was_foreseen_and_goes_on_is_told_once_and_a_surprise_every_time():
    def level(error, **facts):
        return logged(ChildEventKind.RESTARTING, error=error, **facts)["log_level"]

    assert level(Transient("no route")) == "warning"
    assert level(Transient("no route"), is_repeated=True) == "debug"
    assert level(RuntimeError("boom"), is_repeated=True) == "warning"
