"""What holds for every test of the tree."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from steady import SteadyLoop, SteadyTime

from vigil import clock

# Properties are judged by their truth, not by the wall clock of a busy machine. What fails says how
# to have it again.
settings.register_profile(
    "vigil", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("vigil")


def pytest_asyncio_loop_factories(config, item):
    return {"steady": SteadyLoop}


@pytest.fixture(scope="session", autouse=True)
def steady_clock() -> Iterator[None]:
    """Vigil's clock agrees with the loop of the test: see `steady`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "time", SteadyTime)
        yield
