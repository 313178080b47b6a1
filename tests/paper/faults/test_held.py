"""Notifications that wait for others: let go in order, by channel, by connection, by time."""

from vigil.paper.faults.held import Held


def hold(held, frame, behind="b.*", connection=1, until_ms=100):
    held.hold(connection=connection, behind=behind, frame=frame, until_ms=until_ms)


def test_they_go_when_one_like_it_passed_on_their_connection():
    held = Held()
    hold(held, b"first")
    hold(held, b"second", behind="c,b.x")
    hold(held, b"elsewhere", connection=2)
    assert held.passed(1, "a.x") == []
    assert held.passed(1, "b.x") == [b"first", b"second"]
    assert held.passed(1, "b.x") == []
    assert held


def test_patience_ends():
    held = Held()
    hold(held, b"soon", until_ms=100)
    hold(held, b"later", until_ms=200)
    assert list(held.overdue(99)) == []
    assert list(held.overdue(100)) == [(1, b"soon")]
    assert held.passed(1, "b.x") == [b"later"]


def test_a_connection_that_is_gone_has_nothing_waiting():
    held = Held()
    hold(held, b"x")
    held.forget(1)
    assert not held
