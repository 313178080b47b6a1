import json
import subprocess

import pytest

from .terminal import ROOT

FIGURE_KEYS = {"name", "value", "unit", "baseline", "ratio", "hold", "isHeld", "note"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_quick_benchmark_writes_every_measurement_with_the_documented_keys(
    installed, settings, tmp_path
):
    """That it runs and what it writes; how fast anything was is no test's business."""
    report_file = tmp_path / "figures.json"

    subprocess.run(
        [str(ROOT / "scripts" / "bench"), "--quick", "--json", str(report_file)],
        env=settings,
        check=True,
        stdout=subprocess.DEVNULL,
    )

    report = json.loads(report_file.read_text())
    assert report.keys() == {"machine", "rounds", "isQuick", "figures"}
    assert report["isQuick"] is True
    assert all(figure.keys() == FIGURE_KEYS for figure in report["figures"])
    assert all(figure["value"] >= 0 for figure in report["figures"])
    measured = {figure["name"].partition(".")[0] for figure in report["figures"]}
    assert measured == {
        "ingest",
        "memory",
        "order",
        "paper",
        "reconcile",
        "round_trip",
        "startup",
    }
