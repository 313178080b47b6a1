"""Children that are restarted when they end, and stopped in order.

Each child is a coroutine function. A keeper task under one TaskGroup runs it, asks `restarts` what
follows on its end, waits and runs it again; one child's crash is nobody else's business. What
happens is told to `on_event`, in words that are log events. The supervisor knows nothing of
trading: what to do about a child that was given up on is decided above.

A child that swallows its cancellation is abandoned when its deadline has passed. That is why a
child's own task is not in the TaskGroup, which would wait for it for ever, but is owned by its
keeper; `abandoned` tells the composition root that the interpreter cannot end by itself.
"""

import asyncio
import enum
import random
from collections.abc import Callable
from typing import assert_never

from msgspec import Struct, field

from vigil.clock import Clock
from vigil.errors import Misconfigured
from vigil.supervision.restarts import (
    ChildSpec,
    GiveUp,
    History,
    Outcome,
    Restart,
    Stop,
    on_exit,
)


class ChildState(enum.Enum):
    """Where a child is in its life."""

    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPED = "stopped"  # finished, or stopped on demand, or not started yet
    FAILED = "failed"  # given up on
    ABANDONED = "abandoned"  # did not end when told to


class ChildEventKind(enum.Enum):
    """What can be told of a child; the values are log events."""

    STARTED = "child.started"
    FINISHED = "child.finished"
    RESTARTING = "child.restarting"
    MISCONFIGURED = "child.misconfigured"
    GAVE_UP = "child.gave_up"
    STOPPING = "child.stopping"
    STOPPED = "child.stopped"
    CRASHED_WHILE_STOPPING = "child.crashed_while_stopping"
    ABANDONED = "child.abandoned"


class ChildEvent(Struct, frozen=True, kw_only=True):
    """One thing that happened to a child.

    Args:
        reason: In words, empty when the kind says all. May quote an error, so redact it.
        delay_s: For a restart, how long until it; for a stop, how long it took.
        error: What ended the child, with its traceback.
        is_repeated: For a restart: it ended in these very words the time before, and has not done
            well since.
    """

    kind: ChildEventKind
    name: str
    restarts: int
    reason: str = ""
    delay_s: float | None = None
    error: BaseException | None = None
    is_repeated: bool = False


class ChildStatus(Struct, frozen=True, kw_only=True):
    """A child as others may see it.

    Args:
        since_s: Loop time at which `state` was entered, seconds.
        last_error: What ended it last, in words; None while it never failed. Redact it.
        is_misconfigured: The last end can only be mended by a person.
    """

    name: str
    state: ChildState
    since_s: float
    restarts: int
    last_error: str | None
    is_misconfigured: bool


class _Child(Struct, kw_only=True, eq=False):
    spec: ChildSpec
    since_s: float
    state: ChildState = ChildState.STOPPED
    history: History = field(default_factory=History)
    keeper: asyncio.Task[None] | None = None
    last_error: str | None = None
    is_misconfigured: bool = False


class Supervisor:
    """Runs children under one TaskGroup.

    Args:
        on_event: Told of everything, synchronously, in the loop. What it raises is counted in
            `events_lost` and goes no further: a broken log must not stop anything.
    """

    def __init__(
        self, *, clock: Clock, rng: random.Random, on_event: Callable[[ChildEvent], None]
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._on_event = on_event
        self._children: dict[str, _Child] = {}
        self._group: asyncio.TaskGroup | None = None
        self._stop_requested = asyncio.Event()
        self._stopped = asyncio.Event()
        self._abandoned: list[tuple[str, asyncio.Task[None]]] = []
        self.events_lost = 0

    async def run(self) -> None:
        """Run the children until `stop_all`; when cancelled, stop them all in order first.

        Raises: ExceptionGroup, when a child ended by something that is no `Exception`, or by
            `MemoryError`: nobody can go on after these.
        """
        assert self._group is None, "a supervisor runs once"
        async with asyncio.TaskGroup() as self._group:
            for child in tuple(self._children.values()):
                self._launch(child)
            try:
                await self._stop_requested.wait()
            finally:
                self.request_stop()
                try:
                    await self._stop_in_order()
                finally:
                    self._stopped.set()

    def add_child(self, spec: ChildSpec) -> None:
        """Add a child, and start it when the supervisor runs and is not stopping.

        Raises: ValueError, when there is a child of that name, or an abandoned one still runs.
        """
        if spec.name in self._children:
            raise ValueError(f"there is a child {spec.name!r} already")
        self._check_not_abandoned(spec.name)
        child = _Child(spec=spec, since_s=self._clock.elapsed_s())
        self._children[spec.name] = child
        self._launch(child)

    async def remove_child(self, name: str) -> None:
        """Stop a child within its deadline and forget it.

        Raises: KeyError, when there is none of that name.
        """
        child = self._children[name]
        await self._stop(child)
        if self._children.get(name) is child:
            del self._children[name]

    async def restart_child(self, name: str) -> None:
        """Stop a child, forget its failures and start it afresh; also a failed or stopped one.

        Raises: KeyError, when there is none of that name; ValueError, when it was abandoned and
            still runs.
        """
        child = self._children[name]
        await self._stop(child)
        self._check_not_abandoned(name)
        child.history = History()
        child.last_error = None
        child.is_misconfigured = False
        if self._children.get(name) is child:
            self._launch(child)

    def request_stop(self) -> None:
        """Have `run` stop every child and return. Children added from now on stay unstarted."""
        self._stop_requested.set()

    async def stop_all(self) -> None:
        """Stop every child, the higher stages and the younger first, and see it done.

        Each stop is bounded by its child's own deadline.
        """
        self.request_stop()
        if self._group is not None:
            await self._stopped.wait()

    def status(self) -> tuple[ChildStatus, ...]:
        """Every child, in the order of addition."""
        return tuple(
            ChildStatus(
                name=child.spec.name,
                state=child.state,
                since_s=child.since_s,
                restarts=child.history.restarts,
                last_error=child.last_error,
                is_misconfigured=child.is_misconfigured,
            )
            for child in self._children.values()
        )

    @property
    def abandoned(self) -> tuple[str, ...]:
        """Names of children that were told to end and still run."""
        return tuple(name for name, body in self._abandoned if not body.done())

    def _check_not_abandoned(self, name: str) -> None:
        # Two lives of one child at once would both act in its name.
        if name in self.abandoned:
            raise ValueError(f"child {name!r} was abandoned and still runs")

    def _launch(self, child: _Child) -> None:
        if self._group is None or self._stop_requested.is_set() or child.keeper is not None:
            return
        name = f"keeper of {child.spec.name}"
        child.keeper = self._group.create_task(self._keep(child), name=name)

    async def _keep(self, child: _Child) -> None:
        """Run one child, again and again, until nothing more follows on its end."""
        while True:
            started_s = self._clock.elapsed_s()
            self._enter(child, ChildState.RUNNING)
            self._tell(child, ChildEventKind.STARTED)
            error = await self._run_once(child)
            told_before = child.last_error
            if error is not None:
                child.last_error = _in_words(error)
            outcome = _outcome_of(error)
            child.is_misconfigured = outcome is Outcome.MISCONFIGURED
            now_s = self._clock.elapsed_s()
            decision = on_exit(
                child.spec,
                child.history,
                outcome,
                ran_s=now_s - started_s,
                now_s=now_s,
                rng=self._rng,
            )
            match decision:
                case Stop():
                    self._enter(child, ChildState.STOPPED)
                    self._tell(child, ChildEventKind.FINISHED)
                    break
                case GiveUp(reason=reason):
                    self._enter(child, ChildState.FAILED)
                    text = f"{reason}: {child.last_error}" if error is not None else reason
                    self._tell(child, ChildEventKind.GAVE_UP, reason=text, error=error)
                    break
                case Restart(delay_s=delay_s, history=history):
                    child.history = history
                    self._enter(child, ChildState.BACKOFF)
                    kind = (
                        ChildEventKind.MISCONFIGURED
                        if outcome is Outcome.MISCONFIGURED
                        else ChildEventKind.RESTARTING
                    )
                    text = child.last_error or "" if error is not None else "ended by itself"
                    self._tell(
                        child,
                        kind,
                        reason=text,
                        delay_s=delay_s,
                        error=error,
                        is_repeated=text == told_before and history.failures_in_row > 1,
                    )
                    await self._clock.sleep(delay_s)
                case _:
                    assert_never(decision)
        child.keeper = None

    async def _run_once(self, child: _Child) -> BaseException | None:
        """Run one life of a child to its end; None when it returned."""
        # start() is called inside the task, so that what it raises at once is the child's error.
        body = asyncio.get_running_loop().create_task(_live(child.spec), name=child.spec.name)
        try:
            await asyncio.wait({body})
        except asyncio.CancelledError:
            await self._end(child, body)
            raise
        if body.cancelled():
            return asyncio.CancelledError("cancelled itself")
        error = body.exception()
        if error is not None and _is_fatal(error):
            raise error
        return error

    async def _end(self, child: _Child, body: asyncio.Task[None]) -> None:
        """Cancel a child's task and wait for it no longer than its deadline."""
        body.cancel()
        self._abandoned.append((child.spec.name, body))  # until seen to have ended
        await asyncio.wait({body}, timeout=child.spec.stop_timeout_s)
        self._abandoned = [(name, task) for name, task in self._abandoned if not task.done()]
        if not body.done():
            self._enter(child, ChildState.ABANDONED)
            reason = f"did not end within {child.spec.stop_timeout_s:g} s of being cancelled"
            self._tell(child, ChildEventKind.ABANDONED, reason=reason)
            body.add_done_callback(_look_away)
        elif not body.cancelled() and (error := body.exception()) is not None:
            child.last_error = _in_words(error)
            kind = ChildEventKind.CRASHED_WHILE_STOPPING
            self._tell(child, kind, reason=child.last_error, error=error)

    async def _stop(self, child: _Child) -> None:
        keeper = child.keeper
        if keeper is None:
            return
        self._tell(child, ChildEventKind.STOPPING)
        started_s = self._clock.elapsed_s()
        keeper.cancel()
        # Bounded: the keeper waits for its child no longer than the deadline.
        await asyncio.wait({keeper})
        if child.keeper is keeper:
            child.keeper = None
        if child.state in {ChildState.RUNNING, ChildState.BACKOFF}:
            self._enter(child, ChildState.STOPPED)
        if child.state is ChildState.STOPPED:
            took_s = self._clock.elapsed_s() - started_s
            self._tell(child, ChildEventKind.STOPPED, delay_s=took_s)

    async def _stop_in_order(self) -> None:
        # The sort is stable, so that within a stage the reversed order of addition remains.
        youngest_first = reversed(self._children.values())
        for child in sorted(youngest_first, key=lambda child: -child.spec.stage):
            await self._stop(child)

    def _enter(self, child: _Child, state: ChildState) -> None:
        child.state = state
        child.since_s = self._clock.elapsed_s()

    def _tell(
        self,
        child: _Child,
        kind: ChildEventKind,
        *,
        reason: str = "",
        delay_s: float | None = None,
        error: BaseException | None = None,
        is_repeated: bool = False,
    ) -> None:
        event = ChildEvent(
            kind=kind,
            name=child.spec.name,
            restarts=child.history.restarts,
            reason=reason,
            delay_s=delay_s,
            error=error,
            is_repeated=is_repeated,
        )
        try:
            self._on_event(event)
        except Exception:  # noqa: BLE001 - whatever it is, it must not reach the children
            self.events_lost += 1


async def _live(spec: ChildSpec) -> None:
    await spec.start()


def _look_away(body: asyncio.Task[None]) -> None:
    # Nobody waits for an abandoned task; asyncio would complain of an error nobody looked at.
    if not body.cancelled():
        body.exception()


def _outcome_of(error: BaseException | None) -> Outcome:
    if error is None:
        return Outcome.FINISHED
    return Outcome.MISCONFIGURED if _is_misconfigured(error) else Outcome.CRASHED


def _is_misconfigured(error: BaseException) -> bool:
    """Whether a person is needed; a group of errors is, when all of it is."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_misconfigured(inner) for inner in error.exceptions)
    return isinstance(error, Misconfigured)


def _is_fatal(error: BaseException) -> bool:
    """Whether going on is worse than ending: no `Exception` at all, or no memory left."""
    if isinstance(error, BaseExceptionGroup):
        return any(_is_fatal(inner) for inner in error.exceptions)
    return not isinstance(error, Exception) or isinstance(error, MemoryError)


def _in_words(error: BaseException) -> str:
    """An error in one line, groups opened, since 'unhandled errors in a TaskGroup' says nothing."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_in_words(inner) for inner in error.exceptions)
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
