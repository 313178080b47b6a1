"""Tells at the end how many inputs each target was given."""

import pytest
from rounds import SECONDS, SEED, at, inputs


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and report.when == "call":
        told = f"VIGIL_FUZZ_SEED={SEED} VIGIL_FUZZ_FIRST={at['number']} begins with this input"
        report.sections.append(("fuzz", told))
    return report


def pytest_terminal_summary(terminalreporter):
    if inputs:
        told = ", ".join(f"{target} {count}" for target, count in sorted(inputs.items()))
        terminalreporter.write_line(f"fuzzed with seed {SEED}, {SECONDS} s each: {told}")
