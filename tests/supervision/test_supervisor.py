"""Children live, fall, come back and go, on the real loop with tiny delays."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest

from vigil.clock import SystemClock
from vigil.errors import Misconfigured
from vigil.supervision.restarts import Backoff, ChildSpec, Intensity, RestartPolicy
from vigil.supervision.supervisor import ChildEventKind, ChildState, Supervisor

QUICK = Backoff(base_s=0.001, cap_s=0.002)


class Stage:
    """A supervisor that runs, and what it told."""

    def __init__(self) -> None:
        self.events = []
        self.changed = asyncio.Event()
        self.supervisor = Supervisor(
            clock=SystemClock(), rng=random.Random(1), on_event=self._on_event
        )

    def _on_event(self, event) -> None:
        self.events.append(event)
        self.changed.set()

    async def until(self, condition) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self.changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await self.changed.wait()

    def kinds(self, name):
        return [event.kind for event in self.events if event.name == name]

    def state(self, name):
        return {s.name: s for s in self.supervisor.status()}[name].state

    def status(self, name):
        return {s.name: s for s in self.supervisor.status()}[name]


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Stage]:
    stage = Stage()
    async with asyncio.TaskGroup() as group:
        group.create_task(stage.supervisor.run())
        try:
            yield stage
        finally:
            await stage.supervisor.stop_all()


def spec(name, start, **changes) -> ChildSpec:
    return ChildSpec(**({"name": name, "start": start, "backoff": QUICK} | changes))


async def forever() -> None:
    await asyncio.Event().wait()


async def crash() -> None:
    raise RuntimeError("boom")


async def test_a_crashed_child_is_started_again_and_the_others_do_not_notice():
    lives = []

    async def fragile() -> None:
        lives.append(len(lives))
        if len(lives) < 4:
            raise RuntimeError(f"life {len(lives)}")
        await forever()

    async with running() as stage:
        stage.supervisor.add_child(spec("steady", forever))
        stage.supervisor.add_child(spec("fragile", fragile))
        await stage.until(lambda: len(lives) == 4)
        assert stage.kinds("steady") == [ChildEventKind.STARTED]
        assert stage.status("fragile").restarts == 3
        assert stage.status("fragile").last_error == "RuntimeError: life 3"
        assert stage.state("fragile") is ChildState.RUNNING


async def test_an_end_in_the_same_words_is_a_repetition_until_a_run_that_did_well():
    ends = iter(["no route", "no route", "refused", "refused", "refused"])
    lived_s = iter([0, 0, 0, 0, 0.25])

    async def fragile() -> None:
        await asyncio.sleep(next(lived_s, 0))
        if (words := next(ends, None)) is None:
            await forever()
        raise RuntimeError(words)

    async with running() as stage:
        stage.supervisor.add_child(
            spec("fragile", fragile, backoff=Backoff(base_s=0.001, cap_s=0.002, settled_s=0.2))
        )
        await stage.until(lambda: stage.status("fragile").restarts == 5)
        told = [one for one in stage.events if one.kind is ChildEventKind.RESTARTING]
        assert [one.is_repeated for one in told] == [False, True, False, True, False]


async def test_children_added_before_it_runs_are_started():
    stage = Stage()
    stage.supervisor.add_child(spec("early", forever))
    assert stage.state("early") is ChildState.STOPPED
    async with asyncio.TaskGroup() as group:
        group.create_task(stage.supervisor.run())
        await stage.until(lambda: stage.state("early") is ChildState.RUNNING)
        await stage.supervisor.stop_all()


async def test_a_child_over_its_intensity_is_left_failed_and_reported_once():
    async with running() as stage:
        stage.supervisor.add_child(spec("steady", forever))
        stage.supervisor.add_child(
            spec("hopeless", crash, intensity=Intensity(restarts_max=2, period_s=60))
        )
        await stage.until(lambda: stage.state("hopeless") is ChildState.FAILED)
        gave_up = [e for e in stage.events if e.kind is ChildEventKind.GAVE_UP]
        assert [e.name for e in gave_up] == ["hopeless"]
        assert gave_up[0].reason == "crashed after 2 restarts within 60 s: RuntimeError: boom"
        assert isinstance(gave_up[0].error, RuntimeError)
        assert stage.state("steady") is ChildState.RUNNING


async def test_a_failed_child_comes_back_when_restarted_by_hand_with_its_failures_forgotten():
    is_mended = False

    async def child() -> None:
        if not is_mended:
            raise RuntimeError("not yet")
        await forever()

    async with running() as stage:
        stage.supervisor.add_child(
            spec("child", child, intensity=Intensity(restarts_max=0, period_s=60))
        )
        await stage.until(lambda: stage.state("child") is ChildState.FAILED)
        is_mended = True
        await stage.supervisor.restart_child("child")
        await stage.until(lambda: stage.state("child") is ChildState.RUNNING)
        assert stage.status("child").restarts == 0
        assert stage.status("child").last_error is None


async def test_misconfiguration_waits_slowly_says_why_and_heals_without_a_restart():
    is_mended = False

    async def session() -> None:
        if not is_mended:
            async with asyncio.TaskGroup():  # wrapped, as a child with tasks of its own raises it
                raise Misconfigured("invalid credentials: set VIGIL_CLIENT_SECRET")
        await forever()

    async with running() as stage:
        stage.supervisor.add_child(
            spec(
                "session",
                session,
                intensity=Intensity(restarts_max=1, period_s=60),
                misconfigured_retry_s=(0.01, 0.02),
            )
        )
        await stage.until(lambda: stage.kinds("session").count(ChildEventKind.MISCONFIGURED) >= 3)
        assert stage.status("session").is_misconfigured
        event = next(e for e in stage.events if e.kind is ChildEventKind.MISCONFIGURED)
        assert event.reason == "Misconfigured: invalid credentials: set VIGIL_CLIENT_SECRET"
        assert 0.01 <= event.delay_s <= 0.02
        is_mended = True
        await stage.until(lambda: stage.state("session") is ChildState.RUNNING)


async def test_a_transient_child_that_finishes_stays_stopped():
    async def short() -> None:
        await asyncio.sleep(0)

    async with running() as stage:
        stage.supervisor.add_child(spec("short", short, restart=RestartPolicy.TRANSIENT))
        await stage.until(lambda: ChildEventKind.FINISHED in stage.kinds("short"))
        assert stage.state("short") is ChildState.STOPPED


async def test_a_child_that_cancels_itself_has_crashed():
    async def suicidal() -> None:
        raise asyncio.CancelledError

    async with running() as stage:
        stage.supervisor.add_child(
            spec("suicidal", suicidal, intensity=Intensity(restarts_max=0, period_s=1))
        )
        await stage.until(lambda: stage.state("suicidal") is ChildState.FAILED)
        assert "cancelled itself" in stage.status("suicidal").last_error


async def test_start_that_raises_before_its_first_await_is_the_childs_error():
    def not_even_a_coroutine():
        raise ImportError("no such strategy")

    async with running() as stage:
        stage.supervisor.add_child(
            spec("broken", not_even_a_coroutine, intensity=Intensity(restarts_max=0, period_s=1))
        )
        await stage.until(lambda: stage.state("broken") is ChildState.FAILED)
        assert stage.status("broken").last_error == "ImportError: no such strategy"


async def test_stops_higher_stages_and_younger_children_first():
    ended = []

    def child(name):
        async def body() -> None:
            try:
                await forever()
            finally:
                await asyncio.sleep(0.001)
                ended.append(name)

        return body

    async with running() as stage:
        for name, level in [("session", 0), ("web", 2), ("a", 1), ("b", 1), ("late", 0)]:
            stage.supervisor.add_child(spec(name, child(name), stage=level))
        await stage.until(lambda: len(stage.events) == 5)
    assert ended == ["web", "b", "a", "late", "session"]
    stopped = [e for e in stage.events if e.kind is ChildEventKind.STOPPED]
    assert [e.name for e in stopped] == ended
    assert all(e.delay_s >= 0.001 for e in stopped)


async def test_a_cancelled_run_stops_the_children_in_order_too():
    ended = []
    stage = Stage()

    def child(name):
        async def body() -> None:
            try:
                await forever()
            finally:
                await asyncio.sleep(0.001)
                ended.append(name)

        return body

    for name in ("first", "second"):
        stage.supervisor.add_child(spec(name, child(name)))
    async with asyncio.TaskGroup() as group:
        run = group.create_task(stage.supervisor.run())
        await stage.until(lambda: len(stage.events) == 2)
        run.cancel()
    assert ended == ["second", "first"]


async def test_a_child_that_swallows_cancellation_is_abandoned_and_the_rest_still_stops():
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        raise RuntimeError("long after")

    async with running() as stage:
        stage.supervisor.add_child(spec("polite", forever))
        stage.supervisor.add_child(spec("stubborn", stubborn, stop_timeout_s=0.02))
        await stage.until(lambda: len(stage.events) == 2)
        await stage.supervisor.stop_all()
        assert stage.state("stubborn") is ChildState.ABANDONED
        assert stage.state("polite") is ChildState.STOPPED
        assert stage.supervisor.abandoned == ("stubborn",)
        assert ChildEventKind.ABANDONED in stage.kinds("stubborn")
        assert ChildEventKind.STOPPED not in stage.kinds("stubborn")
        release.set()
        await stage.until(lambda: stage.supervisor.abandoned == ())


async def test_an_abandoned_child_gets_no_second_life_while_the_first_lasts():
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    async with running() as stage:
        stage.supervisor.add_child(spec("s", stubborn, stop_timeout_s=0.01))
        await stage.until(lambda: stage.state("s") is ChildState.RUNNING)
        with pytest.raises(ValueError, match="abandoned and still runs"):
            await stage.supervisor.restart_child("s")
        await stage.supervisor.remove_child("s")
        with pytest.raises(ValueError, match="abandoned and still runs"):
            stage.supervisor.add_child(spec("s", forever))
        release.set()
        await stage.until(lambda: stage.supervisor.abandoned == ())
        stage.supervisor.add_child(spec("s", forever))
        await stage.until(lambda: stage.state("s") is ChildState.RUNNING)


async def test_a_removed_child_is_stopped_and_forgotten_and_its_name_is_free():
    async with running() as stage:
        stage.supervisor.add_child(spec("a", forever))
        with pytest.raises(ValueError, match="already"):
            stage.supervisor.add_child(spec("a", forever))
        await stage.until(lambda: stage.state("a") is ChildState.RUNNING)
        await stage.supervisor.remove_child("a")
        assert stage.supervisor.status() == ()
        stage.supervisor.add_child(spec("a", forever))
        await stage.until(lambda: stage.kinds("a").count(ChildEventKind.STARTED) == 2)


async def test_a_child_may_be_removed_before_its_first_step_and_during_backoff():
    async with running() as stage:
        stage.supervisor.add_child(spec("unborn", forever))
        await stage.supervisor.remove_child("unborn")
        stage.supervisor.add_child(spec("faller", crash, backoff=Backoff(base_s=600, cap_s=600)))
        await stage.until(lambda: stage.state("faller") is ChildState.BACKOFF)
        await stage.supervisor.remove_child("faller")
        assert stage.supervisor.status() == ()


async def test_a_child_that_crashes_while_it_is_stopped_says_so_and_stays_stopped():
    async def messy() -> None:
        try:
            await forever()
        finally:
            raise OSError("cannot close")

    async with running() as stage:
        stage.supervisor.add_child(spec("messy", messy))
        await stage.until(lambda: stage.state("messy") is ChildState.RUNNING)
    assert stage.state("messy") is ChildState.STOPPED
    assert stage.status("messy").last_error == "OSError: cannot close"
    assert ChildEventKind.CRASHED_WHILE_STOPPING in stage.kinds("messy")


async def test_a_child_added_while_stopping_is_not_started():
    async with running() as stage:

        async def adds_another() -> None:
            try:
                await forever()
            finally:
                stage.supervisor.add_child(spec("too late", forever))

        stage.supervisor.add_child(spec("adder", adds_another))
        await stage.until(lambda: stage.state("adder") is ChildState.RUNNING)
    assert stage.state("too late") is ChildState.STOPPED
    assert stage.kinds("too late") == []


async def test_a_broken_listener_stops_nothing_and_is_counted():
    def broken(_event) -> None:
        raise OSError("log is gone")

    supervisor = Supervisor(clock=SystemClock(), rng=random.Random(1), on_event=broken)
    lives = []

    async def child() -> None:
        lives.append(1)
        if len(lives) < 3:
            raise RuntimeError
        await supervisor.stop_all()

    supervisor.add_child(spec("child", child))
    async with asyncio.timeout(5):
        await supervisor.run()
    assert len(lives) == 3
    assert supervisor.events_lost >= 5


@pytest.mark.parametrize("is_grouped", [False, True])
async def test_running_out_of_memory_ends_the_supervisor_after_an_orderly_stop(is_grouped):
    ended = []

    async def steady() -> None:
        try:
            await forever()
        finally:
            ended.append("steady")

    async def greedy() -> None:
        if is_grouped:
            raise ExceptionGroup("several", [ValueError(), MemoryError()])
        raise MemoryError

    stage = Stage()
    stage.supervisor.add_child(spec("steady", steady))
    stage.supervisor.add_child(spec("greedy", greedy))
    with pytest.raises(BaseExceptionGroup) as caught:
        await stage.supervisor.run()
    assert caught.group_contains(MemoryError)
    assert ended == ["steady"]
