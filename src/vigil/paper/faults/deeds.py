"""Doing what faults of connections and of the venue say: now, at a time, or when something passes.

The shell's side of the menu. It finds the lines or the books that a fault is for, has the change
made, and lets out what others are to hear of it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from vigil.paper.faults import connection_deeds, venue_deeds
from vigil.paper.faults.arming import Armed
from vigil.paper.faults.deed import Memory, Scene, Undo
from vigil.paper.faults.entry import Fault, Point, Unfit, whole
from vigil.paper.faults.interference import Faults
from vigil.paper.faults.menu import fault_named
from vigil.paper.faults.skew import SkewedClock
from vigil.paper.line import Line
from vigil.paper.reactions import Outgoing
from vigil.paper.venue import Venue

_CONNECTION = whole(
    "connection", "one connection, by number; left out, all", None, least=1, most=2**31
)


class Shell(Protocol):
    """What deeds need of the server."""

    venue: Venue
    faults: Faults
    clock: SkewedClock
    lines: dict[int, Line]

    def release(self, outgoing: Iterable[Outgoing]) -> None:
        """Store what happened, then let the messages about it go."""
        ...

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Do something after that many seconds, unless the server stops before."""
        ...


class Deeds:
    """The hands of the menu."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._is_busy = False
        self._memory = Memory()

    def do(self, fault: str, /, **given: Any) -> dict[str, Any]:
        """Do a fault of a connection or of the venue now.

        Args:
            given: Its own fields, and for one of connections `connection`.

        Returns: What was done, for people and tests.
        Raises: Unfit.
        """
        entry = fault_named(fault)
        if entry.point not in (Point.CONNECTION, Point.VENUE):
            raise Unfit("fault", f"{fault} waits for something to pass; arm it instead")
        connection = None
        if entry.point is Point.CONNECTION:
            connection = _CONNECTION.read(given.pop("connection", None))
        values = entry.read_values(given)
        done = self._perform(entry, values, connection)
        self._shell.faults.arms.hits[entry.name] += 1
        return done

    def run(self, struck: Iterable[Armed], connection: int | None) -> None:
        """Do what a request or a notification of that connection set off.

        What a deed has to tell sets off no other, or the first could go on for ever.

        Args:
            connection: None over HTTP, where whoever answers the request hangs up on it himself.
        """
        for armed in struck:
            if self._is_busy:
                self._shell.faults.arms.take_back_hit(armed)
            elif connection is not None or armed.fault.point is not Point.CONNECTION:
                self._run(armed, connection)

    def follow_time(self, now_ms: int) -> None:
        """Do what is due now, and let go what was held for too long."""
        faults = self._shell.faults
        for armed in faults.arms.due(now_ms):
            self._run(armed, armed.matcher.connection)
        for number, frame in faults.overdue(now_ms):
            if number in self._shell.lines:
                self._shell.lines[number].send(frame)

    def _run(self, armed: Armed, connection: int | None) -> None:
        self._is_busy = True
        try:
            self._perform(armed.fault, armed.values, connection)
        except Unfit:
            # Nothing there that it could happen to: it did not, and nobody waits for an answer.
            self._shell.faults.arms.take_back_hit(armed)
        finally:
            self._is_busy = False

    def _perform(
        self, entry: Fault, values: Mapping[str, Any], connection: int | None
    ) -> dict[str, Any]:
        if entry.point is Point.CONNECTION:
            return self._strike_lines(entry.name, values, connection)
        shell = self._shell
        if entry.name == "skew-clock":
            shell.clock.set_offset(values["offset_ms"], values["smear_s"])
            return {"offset_ms": values["offset_ms"]}
        now_ms = shell.clock.now_ms()
        scene = Scene(venue=shell.venue, values=values, now_ms=now_ms, memory=self._memory)
        deed = venue_deeds.perform(entry.name, scene)
        if deed.ends_connections:
            for line in tuple(shell.lines.values()):
                line.abort()
        shell.release((*shell.venue.notice(now_ms), *deed.outgoing))
        if deed.undo is not None and values.get("lasts_s") is not None:
            undo = deed.undo
            shell.later(values["lasts_s"], lambda: self._undo(undo))
        return deed.done

    def _undo(self, undo: Undo) -> None:
        now_ms = self._shell.clock.now_ms()
        told = undo(now_ms)
        self._shell.release((*self._shell.venue.notice(now_ms), *told))

    def _strike_lines(
        self, name: str, values: Mapping[str, Any], connection: int | None
    ) -> dict[str, Any]:
        shell = self._shell
        numbers = sorted(shell.lines) if connection is None else [connection]
        if connection is not None and connection not in shell.lines:
            raise Unfit("connection", f"{connection} is not open; open are {sorted(shell.lines)}")
        for number in numbers:
            connection_deeds.strike(
                name, values, shell.lines[number], shell.venue.sessions, shell.later
            )
        return {"connections": numbers}
