"""The machine's file: the new one or the old one, and garbage out of the way."""

import json
import os
from decimal import Decimal

import pytest

from vigil import durable_file
from vigil.clock import SystemClock
from vigil.fleet.checkpoint import Checkpoint


@pytest.fixture
def checkpoint(tmp_path) -> Checkpoint:
    return Checkpoint(tmp_path / "checkpoint.json", clock=SystemClock())


def test_what_is_saved_is_loaded(checkpoint):
    checkpoint.save({"savedAt": 1, "peak": Decimal("1.50"), "strategies": {"x": {"emas": [1.5]}}})
    assert checkpoint.load() == {"savedAt": 1, "peak": "1.50", "strategies": {"x": {"emas": [1.5]}}}
    assert checkpoint.path.stat().st_mode & 0o777 == 0o600


def test_nothing_saved_is_nothing_loaded(checkpoint):
    assert checkpoint.load() is None


def test_the_previous_one_is_kept(checkpoint):
    for number in (1, 2, 3):
        checkpoint.save({"n": number})
    assert json.loads(checkpoint.previous_path.read_bytes()) == {"n": 2}


@pytest.mark.parametrize(
    "garbage", [b"", b"\0" * 512, b'{"n": 3', b"[]", b"null", b"\xff"], ids=repr
)
def test_garbage_is_put_aside_and_the_previous_one_serves(checkpoint, garbage):
    checkpoint.save({"n": 1})
    checkpoint.save({"n": 2})
    checkpoint.path.write_bytes(garbage)
    assert checkpoint.load() == {"n": 1}
    (aside,) = checkpoint.path.parent.glob("checkpoint.json.garbage-*")
    assert aside.read_bytes() == garbage
    checkpoint.save({"n": 3})
    assert checkpoint.load() == {"n": 3}
    assert json.loads(checkpoint.previous_path.read_bytes()) == {"n": 1}


def test_two_garbage_files_are_no_reason_not_to_start(checkpoint):
    checkpoint.path.write_bytes(b"x")
    checkpoint.previous_path.write_bytes(b"y")
    assert checkpoint.load() is None


class Crash(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", range(6))
def test_a_crash_at_any_step_leaves_the_old_one_or_the_new_one(checkpoint, monkeypatch, step):
    checkpoint.save({"n": 1})
    checkpoint.save({"n": 2})
    steps = []

    def crashing(real):
        def call(*args, **kwargs):
            if len(steps) == step:
                raise Crash
            steps.append(real.__name__)
            return real(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for name in ("open", "fsync", "replace"):
            patch.setattr(os, name, crashing(getattr(os, name)))
        with pytest.raises(Crash):
            checkpoint.save({"n": 3})
    assert checkpoint.load() == ({"n": 2} if step <= 3 else {"n": 3})


def test_a_full_disk_raises_and_the_one_before_stays(checkpoint, monkeypatch):
    checkpoint.save({"n": 1})

    def full(*_args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(durable_file.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            checkpoint.save({"n": 2})
    assert checkpoint.load() == {"n": 1}


def test_what_cannot_be_kept_is_refused_before_the_disk_is_touched(checkpoint):
    checkpoint.save({"n": 1})
    with pytest.raises(TypeError, match="set"):
        checkpoint.save({"n": {1, 2}})
    assert checkpoint.load() == {"n": 1}
    assert not checkpoint.previous_path.exists()


async def test_saving_in_a_thread_is_saving(checkpoint):
    await checkpoint.save_in_thread({"n": 1})
    assert checkpoint.load() == {"n": 1}
