"""Replacing a file that a person may be saving at the same moment, without losing their edit.

Look-then-rename loses an edit that falls between the two. Here the new file and the one in place
exchange names in one step, and what came out is compared with what the new one was based on; is it
something else, it is put back, and the caller starts over from it.

Source: renameat2(2), RENAME_EXCHANGE.
"""

import errno
import os
import stat
from pathlib import Path

from vigil.durable_file import sync_directory, write_new_file

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NOT_SUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})


class NotRegular(OSError):
    """A link, directory or device stands where a file should be."""


def read_regular(path: Path, size_max: int) -> bytes:
    """The content of a regular file, one byte more than `size_max` at most.

    Raises: OSError; NotRegular, when it is something else than a file.
    """
    # O_NONBLOCK: opening a FIFO that stands there must not wait for its writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            raise NotRegular(error.errno, "is a link or device, not a file") from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotRegular(errno.EINVAL, "is no regular file")
        return file.read(size_max + 1)


def replace_if_unchanged(path: Path, *, base: bytes, data: bytes, spare: Path) -> bool:
    """Put `data` at `path`, provided that `base` is there; durable when this returns.

    Args:
        path: A regular file; the new one gets its mode.
        base: What the new content was made from.
        data: The new content.
        spare: A free name in the same directory. Left behind after success, with what was
            displaced: an editor that writes in place may still hold that file open.

    Returns: False, when something else was there; then that is there still, and `spare` is not.
    Raises: OSError, as the file system gave it.
    """
    write_new_file(spare, data, mode=stat.S_IMODE(path.stat().st_mode))
    if not _exchange(spare, path):
        return _replace_after_looking(path, base=base, spare=spare)
    came_out = read_regular(spare, len(base))
    is_done = came_out == base
    put = data
    while not is_done:
        # Somebody saved in between. Put that back; if then something else comes out than what was
        # put there, they saved once more, and that newer one has to go back instead.
        held = came_out
        _exchange(spare, path)
        came_out = read_regular(spare, max(len(put), len(held)))
        if came_out == put:
            spare.unlink()
            sync_directory(path.parent)
            return False
        put = held
    sync_directory(path.parent)
    return True


def _replace_after_looking(path: Path, *, base: bytes, spare: Path) -> bool:
    """For file systems that cannot exchange: the gap between look and rename is what remains."""
    if read_regular(path, len(base)) != base:
        spare.unlink()
        return False
    os.rename(spare, path)  # noqa: PTH104 - the name of the system call that matters here
    sync_directory(path.parent)
    return True


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False, when the system cannot.

    Raises: OSError.
    """
    import ctypes  # noqa: PLC0415 - rarely wanted, and no start is to pay for it

    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    ctypes.set_errno(0)
    outcome = renameat2(
        _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), ctypes.c_uint(_RENAME_EXCHANGE)
    )
    if outcome == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_SUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(other))
