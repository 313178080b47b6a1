"""A loop that stands still is noticed and its culprit named."""

import asyncio
import time

from steady import MachineClock

from vigil.supervision.stall import StallGuard


def a_callback_that_blocks(seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.01)


async def guarded(guard: StallGuard, block_s: float) -> None:
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        run = group.create_task(guard.run())
        while guard.last_beat_s is None:
            await asyncio.sleep(0.001)
        a_callback_that_blocks(block_s)
        beat_s = guard.last_beat_s
        while guard.last_beat_s == beat_s:
            await asyncio.sleep(0.001)
        run.cancel()


async def test_a_stuck_loop_has_its_stack_dumped_with_the_culprit_named(tmp_path):
    lags = []
    with (tmp_path / "stacks").open("w") as dump:
        guard = StallGuard(
            clock=MachineClock(),
            dump_to=dump,
            beat_s=0.02,
            stuck_s=0.1,
            lag_s_warned=0.05,
            on_lag=lags.append,
        )
        await guarded(guard, 0.4)
    assert "a_callback_that_blocks" in (tmp_path / "stacks").read_text()
    assert guard.lag_s_max > 0.2
    assert lags == [guard.lag_s_max]


async def test_a_loop_that_moves_is_not_complained_of(tmp_path):
    with (tmp_path / "stacks").open("w") as dump:
        guard = StallGuard(clock=MachineClock(), dump_to=dump, beat_s=0.02, stuck_s=30.0)
        await guarded(guard, 0.0)
    assert (tmp_path / "stacks").read_text() == ""
    assert guard.lag_s >= 0.0
