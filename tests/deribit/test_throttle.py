import asyncio
from typing import Any

import pytest

from vigil.deribit.credits import LOWEST_TIER, Credits, Lane, Pool, Rate
from vigil.deribit.throttle import Throttle
from vigil.domain.portfolio import RateLimit
from vigil.errors import Transient

BUY, CANCEL = "private/buy", "private/cancel"


@pytest.fixture
def throttle(stepped_clock: Any) -> Throttle:
    """Full pools of the lowest tier."""
    made = Throttle(stepped_clock)
    stepped_clock.loop_s += 100
    return made


def spend_all(throttle: Throttle, lane: Lane) -> int:
    count = 0
    while throttle.try_spend(BUY, lane):
        count += 1
    return count


class Queue:
    """Callers that wait, and the order in which they were served or turned away."""

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle
        self.served: list[str] = []
        self.refused: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    def join(self, name: str, lane: Lane, within_s: float = 10.0) -> None:
        self.tasks.append(asyncio.ensure_future(self._wait(name, lane, within_s)))

    async def _wait(self, name: str, lane: Lane, within_s: float) -> None:
        try:
            await self._throttle.spend(BUY, lane, within_s=within_s)
        except Transient:
            self.refused.append(name)
        else:
            self.served.append(name)


@pytest.fixture
def queue(throttle: Throttle) -> Queue:
    return Queue(throttle)


def test_while_there_is_enough_nothing_is_awaited(throttle: Throttle) -> None:
    assert spend_all(throttle, Lane.ENTRY) == 12
    assert throttle.try_spend(CANCEL, Lane.REDUCE)


async def test_the_higher_lane_goes_first_and_within_a_lane_who_came_first(
    throttle: Throttle, queue: Queue, stepped_clock: Any
) -> None:
    spend_all(throttle, Lane.REDUCE)
    for name, lane in [
        ("entry 1", Lane.ENTRY),
        ("entry 2", Lane.ENTRY),
        ("stop", Lane.PROTECT),
        ("cancel 1", Lane.REDUCE),
        ("cancel 2", Lane.REDUCE),
    ]:
        queue.join(name, lane)
        await stepped_clock.advance(0)
    await stepped_clock.advance(10)
    assert queue.served == ["cancel 1", "cancel 2", "stop", "entry 1", "entry 2"]


async def test_a_crowd_of_entries_that_is_too_large_turns_no_cancel_away(
    throttle: Throttle, queue: Queue, stepped_clock: Any
) -> None:
    spend_all(throttle, Lane.REDUCE)
    for number in range(300):
        queue.join(f"entry {number}", Lane.ENTRY, within_s=300)
    queue.join("cancel", Lane.REDUCE, within_s=2.0)
    await stepped_clock.advance(0.25)
    assert "cancel" not in queue.refused
    assert queue.served == ["cancel"]
    for task in queue.tasks:
        task.cancel()


async def test_a_cancel_behind_a_crowd_of_entries_waits_a_quarter_second_at_most(
    throttle: Throttle, queue: Queue, stepped_clock: Any
) -> None:
    spend_all(throttle, Lane.REDUCE)
    for number in range(40):
        queue.join(f"entry {number}", Lane.ENTRY)
    await stepped_clock.advance(0)
    queue.join("cancel", Lane.REDUCE)
    await stepped_clock.advance(0.25)
    assert queue.served == ["cancel"]
    await stepped_clock.advance(60)
    assert not [task for task in queue.tasks if not task.done()]


async def test_who_comes_later_does_not_overtake_by_not_waiting(
    throttle: Throttle, queue: Queue, stepped_clock: Any
) -> None:
    spend_all(throttle, Lane.ENTRY)
    queue.join("first", Lane.ENTRY)
    await stepped_clock.advance(0)
    assert not throttle.try_spend(BUY, Lane.ENTRY)
    assert throttle.try_spend(BUY, Lane.PROTECT)
    await stepped_clock.advance(10)
    assert queue.served == ["first"]
    assert throttle.try_spend(BUY, Lane.ENTRY)


async def test_what_cannot_come_in_time_is_refused_at_once(
    throttle: Throttle, queue: Queue, stepped_clock: Any
) -> None:
    spend_all(throttle, Lane.REDUCE)
    queue.join("entry", Lane.ENTRY, within_s=0.5)
    await stepped_clock.advance(0)
    assert queue.refused == ["entry"]
    with pytest.raises(Transient, match=r"no rate-limit credit for 1\.\d s"):
        await throttle.spend(BUY, Lane.ENTRY, within_s=0.5)


async def test_who_gives_up_leaves_the_queue(
    throttle: Throttle, queue: Queue, stepped_clock: Any
) -> None:
    spend_all(throttle, Lane.REDUCE)
    queue.join("gone", Lane.REDUCE)
    queue.join("patient", Lane.REDUCE)
    await stepped_clock.advance(0)
    queue.tasks[0].cancel()
    await stepped_clock.advance(0.25)
    assert queue.served == []  # its wait was reckoned with the other one ahead
    await stepped_clock.advance(0.25)
    assert queue.served == ["patient"]


async def test_those_who_wait_are_bounded(
    throttle: Throttle, queue: Queue, stepped_clock: Any
) -> None:
    spend_all(throttle, Lane.REDUCE)
    for number in range(300):
        queue.join(str(number), Lane.REDUCE, within_s=1e6)
    await stepped_clock.advance(0)
    assert len(queue.refused) == 300 - 256
    await stepped_clock.advance(300)
    assert len(queue.served) == 256


async def test_the_pools_do_not_wait_for_one_another(
    throttle: Throttle, queue: Queue, stepped_clock: Any
) -> None:
    spend_all(throttle, Lane.REDUCE)
    queue.join("entry", Lane.ENTRY)
    await stepped_clock.advance(0)
    assert throttle.try_spend("public/ticker", Lane.QUERY)
    await stepped_clock.advance(10)


async def test_after_running_out_a_session_waits_for_half_a_pool(
    throttle: Throttle, stepped_clock: Any
) -> None:
    throttle.drain("")
    recovering = asyncio.ensure_future(throttle.recover())
    await stepped_clock.advance(2.0)
    assert not recovering.done()
    await stepped_clock.advance(0.5)
    assert recovering.done()
    await throttle.recover()


def test_running_out_is_told(stepped_clock: Any) -> None:
    told: list[str] = []
    throttle = Throttle(stepped_clock, on_drained=told.append)
    throttle.drain("10028 too_many_requests")
    assert told == ["10028 too_many_requests"]


def test_the_account_s_limits_are_taken_over(throttle: Throttle, stepped_clock: Any) -> None:
    throttle.adopt({"matching_engine.trading.total": RateLimit(rate=30, burst=100)})
    stepped_clock.loop_s += 10
    assert spend_all(throttle, Lane.ENTRY) == 60


def test_a_sign_of_life_goes_out_whatever_is_left_and_is_counted(stepped_clock: Any) -> None:
    limits = dict(LOWEST_TIER) | {Pool.DEFAULT: Rate(per_s=1, burst=10)}
    throttle = Throttle(stepped_clock, Credits(limits, now_s=stepped_clock.elapsed_s()))
    stepped_clock.loop_s += 100
    for _ in range(8):
        throttle.spend_anyway("public/test")
    assert not throttle.try_spend("public/get_time", Lane.PROTECT)
