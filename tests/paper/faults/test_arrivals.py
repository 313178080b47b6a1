import pytest

from vigil.paper.faults.arrivals import ARRIVALS_MAX, Arrivals
from vigil.paper.wire.framing import Request


def order(label):
    return Request(method="private/buy", params={"label": label})


def labels(arrivals):
    return [each.label for each in arrivals.seen]


def test_the_oldest_make_room():
    arrivals = Arrivals()
    for number in range(ARRIVALS_MAX + 5):
        arrivals.note(order(f"n{number}"), None, number)
    assert len(arrivals.seen) == ARRIVALS_MAX
    assert labels(arrivals)[0] == "n5"


@pytest.mark.parametrize(
    ("label", "noted"), [("x" * 64, ["x" * 64]), ("x" * 65, []), (7, []), (None, [])]
)
def test_what_can_be_no_label_is_not_noted(label, noted):
    arrivals = Arrivals()
    arrivals.note(order(label), 1, 0)
    assert labels(arrivals) == noted


def test_nothing_is_noted_where_nobody_will_ask():
    arrivals = Arrivals(is_kept=False)
    arrivals.note(order("a"), 1, 0)
    assert not arrivals.seen
