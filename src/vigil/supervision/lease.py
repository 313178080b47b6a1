"""The right to trade out of one state directory: one holder at a time, numbered.

Taken before anything else at start and held until the process ends, by `flock`, which the kernel
lets go even after `kill -9`. Each holder gets an epoch, a number larger than every earlier one,
that fences off what an earlier holder may still have under way. What the right is used for is not
known here; past one machine, the same two promises come from PostgreSQL.
"""

import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from vigil.durable_file import PRIVATE_FILE_MODE, replace_file
from vigil.errors import Misconfigured

LOCK_NAME = "vigil.lock"
EPOCH_NAME = "vigil.epoch"
_NOTE_LENGTH_MAX = 4096


class Lease:
    """A held lease. Get one by `acquire_lease`; `release` it last of all.

    Args:
        epoch: Grows with each acquisition in this directory, durably; the first is 1.
    """

    def __init__(self, *, state_dir: Path, epoch: int, descriptor: int) -> None:
        self.state_dir = state_dir
        self.epoch = epoch
        self._descriptor: int | None = descriptor

    def is_intact(self) -> bool:
        """Whether the lock file is still the one that is locked.

        Somebody who deletes it makes room for a second holder: then this one must stop acting.
        """
        if self._descriptor is None:
            return False
        try:
            there = (self.state_dir / LOCK_NAME).lstat()
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(self._descriptor))

    def release(self) -> None:
        """Let go. The file stays: deleting it would race with the next holder."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def acquire_lease(state_dir: Path, *, version: str) -> Lease:
    """Take the right to act on `state_dir`, which is made if it is missing.

    Args:
        state_dir: Where the state lives.
        version: Left in the lock file, for whoever is refused meanwhile.

    Raises: Misconfigured, when another process holds it, or when the directory or its files
        cannot be used; the message names the holder or the path, and the fix.
    """
    path = state_dir / LOCK_NAME
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A planted link would have us lock, and write to, a file of somebody else's choice.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, PRIVATE_FILE_MODE)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Misconfigured(
                f"state directory {state_dir.absolute()} is in use by {_read_note(descriptor)};"
                " stop that one, or set VIGIL_STATE_DIR to another directory"
            ) from error
        _write_note(descriptor, version)
        epoch = _next_epoch(state_dir / EPOCH_NAME)
    except OSError as error:
        os.close(descriptor)
        raise _unusable(path, error) from error
    except Misconfigured:
        os.close(descriptor)
        raise
    return Lease(state_dir=state_dir, epoch=epoch, descriptor=descriptor)


def _unusable(path: Path, error: OSError) -> Misconfigured:
    return Misconfigured(
        f"state directory {path.parent.absolute()} cannot be used: {error.strerror or error}"
        f" ({error.filename or path}); make it a directory that the user with id {os.getuid()}"
        " owns and may write, or set VIGIL_STATE_DIR to one"
    )


def _write_note(descriptor: int, version: str) -> None:
    note = json.dumps({"pid": os.getpid(), "version": version}).encode() + b"\n"
    os.fchmod(descriptor, PRIVATE_FILE_MODE)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, note, 0)


def _read_note(descriptor: int) -> str:
    """The holder, in words. Its note may be half written at this moment."""
    with suppress(ValueError, KeyError, TypeError):
        note = json.loads(os.pread(descriptor, _NOTE_LENGTH_MAX, 0))
        return f"Vigil {note['version']} with process id {int(note['pid'])}"
    return "another Vigil"


def _next_epoch(path: Path) -> int:
    """Count one up, durably. Only ever called under the lock."""
    try:
        epoch = int(path.read_text("ascii")) + 1
    except FileNotFoundError:
        epoch = 1
    except ValueError as error:
        # Starting again at 1 would let an old holder's number win.
        raise Misconfigured(
            f"{path.absolute()} does not hold a number; write into it one larger than any epoch"
            " in the ledger"
        ) from error
    replace_file(path, f"{epoch}\n".encode("ascii"))
    return epoch
