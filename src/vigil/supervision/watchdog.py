"""What systemd is told: ready, alive, what is going on, stopping.

`sdnotify` owns the socket; the rest of the protocol is here. A ping leaves only while `is_alive`
finds nothing wrong, so that the watchdog measures progress and not the mere existence of a loop.
Without systemd every call does nothing. No call ever blocks or raises: what the socket does not
take is counted in `notices_lost`.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

import os
from collections.abc import Callable, Mapping

from sdnotify import SystemdNotifier  # type: ignore[import-untyped]  # it ships no types

from vigil.clock import Clock

_PINGS_PER_TIMEOUT = 3  # systemd advises two; one may then be lost without harm
_STATUS_LENGTH_MAX = 200


class Watchdog:
    """The service manager's ear.

    Args:
        environ: The process environment; `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` are
            read from it. sdnotify reads the first from `os.environ`, so it must agree with that.
    """

    def __init__(self, *, clock: Clock, environ: Mapping[str, str]) -> None:
        self._clock = clock
        self._notifier = _connect(environ)
        self.timeout_s = watchdog_timeout_s(environ, pid=os.getpid())
        self.notices_lost = 0
        self._last_status = ""

    @property
    def is_supervised(self) -> bool:
        """Whether a service manager listens."""
        return self._notifier is not None

    def ready(self) -> None:
        """Start-up is over."""
        self._notify("READY=1")

    def status(self, text: str) -> None:
        """Say in one line what is going on, for `systemctl status`; repeats are not sent."""
        # A newline would start another assignment; sdnotify encodes Latin-1 and drops the rest.
        line = " ".join(text.split()).encode("ascii", "replace").decode("ascii")
        line = line[:_STATUS_LENGTH_MAX]
        if line != self._last_status:
            self._last_status = line
            self._notify(f"STATUS={line}")

    def stopping(self) -> None:
        """Stopping has begun."""
        self._notify("STOPPING=1")

    def extend_timeout(self, extension_usec: int) -> None:
        """Ask for so many microseconds more, from now, for the start or stop under way."""
        assert extension_usec > 0, extension_usec
        self._notify(f"EXTEND_TIMEOUT_USEC={extension_usec}")

    def close(self) -> None:
        """Close the socket; afterwards every call does nothing."""
        if self._notifier is not None:
            self._notifier.socket.close()
            self._notifier = None

    async def run(self, is_alive: Callable[[], str | None]) -> None:
        """Ping until cancelled, while `is_alive` returns None; else tell what it returned.

        Without a watchdog to feed, the status is still kept up to date.
        """
        every_s = (self.timeout_s or 30.0) / _PINGS_PER_TIMEOUT
        was_silent = False
        while True:
            trouble = is_alive()
            if trouble is None:
                if self.timeout_s is not None:
                    self._notify("WATCHDOG=1")
                if was_silent:
                    self.status("alive again")
            else:
                self.status(f"not alive: {trouble}")
            was_silent = trouble is not None
            await self._clock.sleep(every_s)

    def _notify(self, assignment: str) -> None:
        if self._notifier is None:
            return
        try:
            self._notifier.notify(assignment)
        except OSError:  # the socket is full or gone
            self.notices_lost += 1


def watchdog_timeout_s(environ: Mapping[str, str], *, pid: int) -> float | None:
    """How long systemd waits between pings, seconds; None when it does not watch this process."""
    usec = environ.get("WATCHDOG_USEC", "")
    watched_pid = environ.get("WATCHDOG_PID", str(pid))
    if not (usec.isascii() and usec.isdigit()) or int(usec) == 0 or watched_pid != str(pid):
        return None
    return int(usec) / 1_000_000


def _connect(environ: Mapping[str, str]) -> SystemdNotifier | None:
    if not environ.get("NOTIFY_SOCKET"):
        return None
    try:
        # debug=True: else sdnotify swallows every error, and losses could not be counted.
        notifier = SystemdNotifier(debug=True)
    except OSError:
        return None
    notifier.socket.setblocking(False)  # a manager that does not read must not stop the loop
    return notifier
