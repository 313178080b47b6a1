import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .terminal import ROOT

TOOLS = ("bash", "basename", "cat", "dirname", "rm")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout without an environment, and a PATH that holds next to nothing."""
    for name in ("scripts/lib/environment.sh", "pyproject.toml"):
        target = tmp_path / "check out" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    return tmp_path / "check out"


def put_python(checkout: Path, body: str, name: str = "python3") -> Path:
    python = checkout.parent / "bin" / name
    python.write_text(f"#!/usr/bin/env bash\n{body}\n")
    python.chmod(0o755)
    return python


def prepare(
    checkout: Path, call: str = "prepare_environment core", **variables: str
) -> "subprocess.CompletedProcess[str]":
    environment = checkout / "scripts" / "lib" / "environment.sh"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"source '{environment}'; {call}"],
        env={"PATH": str(checkout.parent / "bin"), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_missing_python_is_told_with_what_to_install(checkout):
    ended = prepare(checkout)

    assert ended.returncode == 1
    assert "python3 is missing: install Python 3.11 or later" in ended.stderr


@pytest.mark.parametrize("variables", [{}, {"PYTHON": "/nowhere/python"}], ids=["none", "named"])
def test_who_goes_on_after_failures_is_told_no_more_than_that(checkout, variables):
    """As `.ci/run` does, where no shell ends by itself at what fails."""
    kept = checkout / ".venv" / "kept"
    kept.parent.mkdir()
    kept.touch()
    ended = prepare(checkout, "(prepare_environment core) || exit", **variables)

    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "Python 3.11 or later" in line
    assert kept.exists()


def test_an_old_python_is_told_with_its_version(checkout):
    put_python(checkout, '[[ $1 == --version ]] && echo "Python 3.9.2"; [[ $1 != -c ]]')

    ended = prepare(checkout)

    assert ended.returncode == 1
    assert "Python 3.9.2 is too old: install Python 3.11 or later" in ended.stderr


def test_a_later_python_under_its_own_name_is_found_beside_an_old_one(checkout):
    put_python(checkout, "exit 1")
    put_python(checkout, f'exec "{sys.executable}" "$@"', name="python3.12")

    ended = prepare(checkout)

    assert f"Making .venv with Python {sys.version.split()[0]}" in ended.stderr


def test_a_named_python_that_is_too_old_is_refused_and_no_other_is_taken(checkout):
    old = put_python(checkout, "exit 1", name="python3.9")
    put_python(checkout, f'exec "{sys.executable}" "$@"')

    ended = prepare(checkout, PYTHON=str(old))

    assert ended.returncode == 1
    assert f"PYTHON={old} is not Python 3.11 or later" in ended.stderr


def test_a_python_without_venv_is_told_with_what_to_install_and_leaves_nothing(checkout):
    body = 'if [[ $1 == -m ]]; then echo "ensurepip is not available"; exit 1; fi; echo Python'
    put_python(checkout, body)

    ended = prepare(checkout)

    assert ended.returncode == 1
    assert "ensurepip is not available" in ended.stderr
    assert "apt install python3-venv" in ended.stderr
    assert not (checkout / ".venv").exists()
