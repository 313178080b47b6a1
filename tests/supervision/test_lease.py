"""One holder, across processes, numbered."""

import os
import signal
import subprocess
import sys

import pytest

from vigil.errors import Misconfigured
from vigil.supervision.lease import acquire_lease

HOLDER = """
import sys, time
from pathlib import Path
from vigil.supervision.lease import acquire_lease
lease = acquire_lease(Path(sys.argv[1]), version="9.9")
print(lease.epoch, flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A second process that holds the lease on tmp_path."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"1\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_second_instance_is_told_directory_holder_and_fix(tmp_path, holder):
    with pytest.raises(Misconfigured) as refused:
        acquire_lease(tmp_path, version="1.0")
    for part in (str(tmp_path), f"process id {holder.pid}", "Vigil 9.9", "VIGIL_STATE_DIR"):
        assert part in str(refused.value)


def test_kill_dash_nine_lets_go_at_once_and_the_epoch_grows(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with acquire_lease(tmp_path, version="1.0") as lease:
        assert lease.epoch == 2


def test_epochs_grow_over_acquisitions(tmp_path):
    epochs = []
    for _ in range(3):
        with acquire_lease(tmp_path / "made" / "for me", version="1.0") as lease:
            epochs.append(lease.epoch)
    assert epochs == [1, 2, 3]


def test_refusal_does_not_use_up_an_epoch_or_overwrite_the_holders_note(tmp_path):
    with acquire_lease(tmp_path, version="1.0") as lease:
        note = (tmp_path / "vigil.lock").read_bytes()
        with pytest.raises(Misconfigured):
            acquire_lease(tmp_path, version="2.0")
        assert (tmp_path / "vigil.lock").read_bytes() == note
    with acquire_lease(tmp_path, version="1.0") as next_lease:
        assert next_lease.epoch == lease.epoch + 1


def test_files_are_private_and_the_lock_is_not_inherited(tmp_path):
    with acquire_lease(tmp_path, version="1.0") as lease:
        assert (tmp_path / "vigil.lock").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "vigil.epoch").stat().st_mode & 0o777 == 0o600
        assert not os.get_inheritable(lease._descriptor)


def test_a_link_in_place_of_the_lock_is_refused_and_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "vigil.lock").symlink_to(victim)
    with pytest.raises(Misconfigured, match="vigil.lock"):
        acquire_lease(tmp_path / "state", version="1.0")
    assert victim.read_text() == "mine"


def test_a_file_in_place_of_the_directory_names_path_and_fix(tmp_path):
    path = tmp_path / "state"
    path.write_text("")
    with pytest.raises(Misconfigured, match="cannot be used: File exists.*VIGIL_STATE_DIR"):
        acquire_lease(path, version="1.0")


def test_an_unreadable_epoch_is_not_started_over(tmp_path):
    (tmp_path / "vigil.epoch").write_text("garbage")
    with pytest.raises(Misconfigured, match="does not hold a number"):
        acquire_lease(tmp_path, version="1.0")
    (tmp_path / "vigil.epoch").write_text("41")
    with acquire_lease(tmp_path, version="1.0") as lease:
        assert lease.epoch == 42


def test_lease_is_no_longer_intact_when_its_file_is_deleted_or_replaced(tmp_path):
    with acquire_lease(tmp_path, version="1.0") as lease:
        assert lease.is_intact()
        (tmp_path / "vigil.lock").unlink()
        assert not lease.is_intact()
        (tmp_path / "vigil.lock").write_text("another")
        assert not lease.is_intact()
    assert not lease.is_intact()
