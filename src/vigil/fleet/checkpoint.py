"""The machine's file: what strategies were doing, so that a restart need not warm up.

Saved each minute and at shutdown; the previous one is kept. A crash leaves the new one, or the old
one, never half of one. Nothing that safety needs lives only here, hence what cannot be read is put
aside and reported, and the start goes on without it.

`save` is blocking: a few kilobytes and two syncs, some milliseconds on a healthy disk. While
strategies trade it is called through `save_in_thread`, since a sick disk may take seconds.
"""

import asyncio
import os
import threading
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import structlog

from vigil.clock import Clock
from vigil.durable_file import sync_directory, write_new_file

log = structlog.get_logger(__name__)


class Checkpoint:
    """The checkpoint in one state directory.

    Args:
        path: `checkpoint.json`; the previous one is kept beside it.
        clock: Names what is put aside.
    """

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self.path = path
        self.previous_path = path.with_name(f"{path.stem}.prev{path.suffix}")
        self._clock = clock
        # A thread's save whose caller was cancelled goes on; the one at shutdown must wait for it.
        self._turn = threading.Lock()

    def load(self) -> dict[str, Any] | None:
        """The newest checkpoint that can be read; None when there is none.

        What cannot be read is renamed to `…garbage-<milliseconds>` and reported in the log.
        """
        for path in (self.path, self.previous_path):
            try:
                return _decoded(path.read_bytes())
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                self._put_aside(path, str(error))
        return None

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint, durably. Decimals are written as text.

        Raises: OSError, as the file system gave it; the checkpoint is then the one before.
        """
        data = orjson.dumps(state, default=_as_text, option=orjson.OPT_INDENT_2)
        with self._turn:
            temporary = self.path.with_name(f".{self.path.name}.new")
            write_new_file(temporary, data)
            if self.path.exists():
                os.replace(self.path, self.previous_path)  # noqa: PTH105 - beside the next
            os.replace(temporary, self.path)  # noqa: PTH105
            sync_directory(self.path.parent)

    async def save_in_thread(self, state: Mapping[str, Any]) -> None:
        """As `save`, without holding the loop."""
        await asyncio.to_thread(self.save, state)

    def _put_aside(self, path: Path, reason: str) -> None:
        aside = path.with_name(f"{path.name}.garbage-{self._clock.now_ms()}")
        try:
            os.replace(path, aside)  # noqa: PTH105
        except OSError as error:
            reason = f"{reason}; and it cannot be renamed: {error}"
        log.error("checkpoint.unreadable", path=str(path), kept_as=str(aside), reason=reason)


def _decoded(data: bytes) -> dict[str, Any]:
    state = orjson.loads(data)
    if not isinstance(state, dict):
        raise ValueError(f"a {type(state).__name__} where an object should be")  # noqa: TRY004
    return state


def _as_text(value: Any) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be kept in a checkpoint")
