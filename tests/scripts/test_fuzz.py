import re
import subprocess

import pytest

from .terminal import ROOT

FUZZ = str(ROOT / "scripts" / "fuzz")


def test_what_is_no_number_of_seconds_is_refused_before_anything_is_installed(settings):
    refused = subprocess.run([FUZZ, "ten"], env=settings, capture_output=True, text=True)
    assert refused.returncode == 1
    assert refused.stderr == "fuzz: ten is no number of seconds; try scripts/fuzz 600\n"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_short_run_tries_every_target_and_names_its_seed(installed, settings):
    run = subprocess.run(
        [FUZZ, "10", "--basetemp", settings["VIGIL_STATE_DIR"]],
        env=settings | {"VIGIL_FUZZ_SEED": "4711"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout
    (told,) = re.findall("fuzzed with seed 4711, 1.0 s each: (.*)", run.stdout)
    targets = re.findall(r"([a-z_]+) \d+", told)
    assert len({target for target in targets if target != "requests"}) >= 10


def test_as_many_targets_as_the_script_divides_its_seconds_by():
    (count,) = re.findall(r"readonly TARGETS=(\d+)", (ROOT / "scripts" / "fuzz").read_text())
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "fuzz").glob("test_*.py"))
    assert len(re.findall(r"in rounds\(", tests)) == int(count)
