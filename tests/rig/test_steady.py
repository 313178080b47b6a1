"""A machine that stalls costs no test its deadlines."""

import asyncio
import time

import pytest
from steady import BEAT_S, GRACE_S, MachineClock, SteadyLoop, SteadyTime

from vigil.clock import SystemClock

HELD_S = 0.3


def hold() -> None:
    """What a stopped process looks like from inside; the machine's time goes on."""
    time.sleep(HELD_S)


async def test_tests_run_on_it_and_vigils_clock_agrees_with_it():
    loop, clock = asyncio.get_running_loop(), SystemClock()
    assert isinstance(loop, SteadyLoop)
    for _ in range(2):
        before_s, told_s, after_s = loop.time(), clock.elapsed_s(), loop.time()
        assert before_s <= told_s <= after_s
        behind_ms = time.time_ns() / 1e6 - clock.now_ms()
        assert behind_ms >= loop.left_out_s * 1000 - 1
        hold()


async def test_a_pause_of_the_whole_process_is_no_time_for_anybody():
    loop, clock = asyncio.get_running_loop(), SystemClock()
    began_s, began_ms, machine_s = loop.time(), clock.now_ms(), time.monotonic()
    async with asyncio.timeout(HELD_S * 2):
        for _ in range(4):
            hold()
            await asyncio.sleep(0)
    assert time.monotonic() - machine_s >= HELD_S * 4
    # The loop comes round once for each pause, and once more to end the last of them.
    assert loop.time() - began_s <= 5 * (BEAT_S + GRACE_S)
    assert clock.now_ms() - began_ms <= 5000 * (BEAT_S + GRACE_S) + 2


async def test_otherwise_time_passes_as_ever():
    loop = asyncio.get_running_loop()
    before_s, left_out_s, machine_s = loop.time(), loop.left_out_s, time.monotonic()
    await asyncio.sleep(0.2)
    assert loop.time() - before_s >= 0.2 - 1e-3
    passed_s = time.monotonic() - machine_s
    assert loop.time() - before_s >= passed_s - (loop.left_out_s - left_out_s) - 0.01
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await asyncio.Event().wait()


async def test_the_machines_clock_counts_a_pause_too():
    clock = MachineClock()
    began_s, began_ms = clock.elapsed_s(), clock.now_ms()
    hold()
    await asyncio.sleep(0)
    assert clock.elapsed_s() - began_s >= HELD_S
    assert clock.now_ms() - began_ms >= HELD_S * 1000 - 1


def test_between_two_runs_its_time_stands_still():
    loop = SteadyLoop()
    try:
        loop.run_until_complete(asyncio.sleep(0))
        before_s = loop.time()
        hold()
        assert loop.time() - before_s <= BEAT_S + GRACE_S
        loop.run_until_complete(asyncio.sleep(0))
        assert loop.time() - before_s <= 2 * (BEAT_S + GRACE_S)
    finally:
        loop.close()


def test_without_a_loop_it_is_the_machines_time():
    before_s, before_ns = time.monotonic(), time.time_ns()
    assert before_s <= SteadyTime.monotonic() <= time.monotonic()
    assert before_ns <= SteadyTime.time_ns() <= time.time_ns()
