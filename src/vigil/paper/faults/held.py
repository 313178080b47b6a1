"""Notifications held back until others have passed. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

_HELD_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    connection: int
    behind: tuple[str, ...]
    frame: bytes
    until_ms: int


class Held:
    """What is held, in the order of holding."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def hold(self, *, connection: int, behind: str, frame: bytes, until_ms: int) -> None:
        """Keep a frame until one on a channel like `behind` passed, or the time is up."""
        if len(self._waiting) >= _HELD_MAX:
            self._waiting.pop(0)
        globs = tuple(glob.strip() for glob in behind.split(","))
        self._waiting.append(
            _Waiting(connection=connection, behind=globs, frame=frame, until_ms=until_ms)
        )

    def passed(self, connection: int, channel: str) -> list[bytes]:
        """What may go, now that a notification on that channel passed."""
        freed = [
            each
            for each in self._waiting
            if each.connection == connection
            and any(fnmatchcase(channel, glob) for glob in each.behind)
        ]
        self._waiting = [each for each in self._waiting if each not in freed]
        return [each.frame for each in freed]

    def overdue(self, now_ms: int) -> Iterator[tuple[int, bytes]]:
        """What was held for too long."""
        late = [each for each in self._waiting if each.until_ms <= now_ms]
        self._waiting = [each for each in self._waiting if each.until_ms > now_ms]
        return ((each.connection, each.frame) for each in late)

    def forget(self, connection: int) -> None:
        """The connection is gone."""
        self._waiting = [each for each in self._waiting if each.connection != connection]
