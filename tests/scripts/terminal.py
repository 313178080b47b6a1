"""A script under a terminal of its own, watched and typed at as a person would."""

import contextlib
import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CTRL_C = b"\x03"
PATIENCE_S = 60.0

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """Runs a command as the leader of a session whose terminal is ours."""

    def __init__(self, command: list[str], *, env: dict[str, str], cwd: Path) -> None:
        self._ours, theirs = pty.openpty()
        self._raw = b""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *command],
            env=env,
            cwd=cwd,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)

    @property
    def coloured(self) -> str:
        """All that was shown so far, escape sequences included."""
        return self._raw.decode("utf-8", "replace")

    @property
    def text(self) -> str:
        """All that was shown so far, as read by a person."""
        return _COLOUR.sub("", self.coloured).replace("\r\n", "\n")

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def await_text(self, wanted: str, *, within_s: float = PATIENCE_S) -> str:
        """Watch until something matching the pattern is shown; the matching part."""
        deadline = time.monotonic() + within_s
        while True:
            found = re.search(wanted, self.text)
            if found:
                return found.group()
            assert self._read(deadline), f"{wanted!r} was never shown, but:\n{self.text[-3000:]}"

    def await_end(self, *, within_s: float = PATIENCE_S) -> int:
        """Watch until the command has ended; its exit code."""
        deadline = time.monotonic() + within_s
        while self._read(deadline):
            pass
        assert time.monotonic() < deadline, f"it never ended:\n{self.text[-3000:]}"
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        """Hang up, as closing the window does, and see that it ends."""
        os.close(self._ours)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE_S)
        self.process.kill()
        self.process.wait()

    def _read(self, deadline: float) -> bool:
        """Whether something was shown before the deadline and before the end."""
        ready, _, _ = select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            shown = os.read(self._ours, 65_536)
        except OSError:  # how a terminal says that nobody is left on the other side
            return False
        self._raw += shown
        return bool(shown)
