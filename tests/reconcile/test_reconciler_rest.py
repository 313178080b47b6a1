"""How long the reconciler rests between passes nobody asked for."""

import pytest

from vigil.reconcile.reconciler import SOON_PASSES, rest_s


@pytest.mark.parametrize(
    ("unfinished", "interval_s", "wanted_s"),
    [
        pytest.param(0, 60.0, 60.0, id="all done: the interval"),
        pytest.param(1, 60.0, 2.0, id="something left: soon"),
        pytest.param(SOON_PASSES, 60.0, 2.0, id="the last soon one"),
        pytest.param(SOON_PASSES + 1, 60.0, 4.0, id="then rarer"),
        pytest.param(SOON_PASSES + 4, 60.0, 32.0, id="and rarer"),
        pytest.param(10_000, 60.0, 60.0, id="never rarer than the interval"),
        pytest.param(10_000, 3_600.0, 3_600.0, id="nor a number out of bounds"),
        pytest.param(1, 0.5, 0.5, id="never later than the interval"),
    ],
)
def test_an_unfinished_pass_is_followed_soon_but_not_for_ever(
    unfinished: int, interval_s: float, wanted_s: float
) -> None:
    assert rest_s(unfinished, interval_s) == wanted_s
