"""Whole small files on disk, replaced so that a crash leaves the old one or the new one.

The lease's epoch, the checkpoint and the operator's last good file are written through here. It
knows bytes and paths; what they mean, and when to write, is its callers' business.
"""

import os
from pathlib import Path

PRIVATE_FILE_MODE = 0o600


def write_new_file(path: Path, data: bytes, *, mode: int = PRIVATE_FILE_MODE) -> None:
    """Create `path` with `data`, synced to disk; its name is durable after `sync_directory`.

    Whatever had the name before is removed first, so that a planted link is not written through.

    Raises: OSError, as the file system gave it.
    """
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)  # the umask may have taken more than was meant
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def replace_file(path: Path, data: bytes, *, mode: int = PRIVATE_FILE_MODE) -> None:
    """Put `data` at `path` by write, sync, rename, sync of the directory.

    Only for files that have one writer; the operator's own file goes through `fleet.exchange`.

    Raises: OSError, as the file system gave it; then `path` is as it was.
    """
    temporary = path.with_name(f".{path.name}.new")
    write_new_file(temporary, data, mode=mode)
    os.replace(temporary, path)  # noqa: PTH105 - the twin of os.rename in fleet.exchange
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
